//! One run of ticks for cron, and the daemon.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use autoscaler_sandbox::{RegionHandle, demo};
use tokio::time::Instant;

use super::world::{World, connect, context, world};
use crate::{
    aws::Aws,
    cli::{Cli, Output},
    config::LogFormat,
    daemon::{
        metrics,
        notify::{self, Notifier},
        plan::{Plan, STOP_WITHIN},
        schedule::{self, Reload, ScheduleError, Signals},
    },
    output::{
        error::{Exit, Failure, Report as ErrorReport},
        logging::{self, Level},
        print, terminal_width,
    },
    reconcile::{clock::Clock, context::Role, report::Report, state_file, tick::Autoscaler},
};

/// A limit for a single run that does not end by itself, which would be a bug.
const ONCE_WITHIN: Duration = Duration::from_secs(3600);

/// Runs one tick, prints its report, and returns its exit code.
pub(super) async fn once(cli: &Cli) -> Result<Exit, Failure> {
    let mut world = world(cli)?;
    logging::start(
        world.config.log_format,
        cli.log_level(Level::Warn),
        &world.clock,
    );
    // Handle signals before the first request, so that none ends the process in the middle of a
    // scaling.
    let mut signals = Signals::new().map_err(ScheduleError::from)?;
    let Some(_lock) = lock(&world, cli.dry_run)? else {
        let folder = world.config.state_dir.display();
        let skipped = format!("another kinesis-autoscaler uses the state directory {folder}");
        tracing::warn!("{skipped}: another run is under way, and this one does nothing");
        if cli.output == Output::Json {
            let report = Report {
                skipped: Some(skipped),
                ..Report::of_nothing(world.clock.now(), false)
            };
            print(&render(&report, Output::Json))?;
        }
        return Ok(Exit::Done);
    };
    let aws = connect(&world).await?;
    let _demo = world.demo.take();
    let context = Arc::new(context(world, aws, cli.dry_run, Role::Once));
    let (state_dir, tick_timeout) = (
        context.config.state_dir.clone(),
        context.config.tick_timeout,
    );
    let notifier = Notifier::start(&context, &notify::Counts::default());
    let notify = |report: &Report| {
        if let Some(notifier) = &notifier {
            notifier.reported(report);
        }
    };
    let mut autoscaler = Autoscaler::new(context, true);
    if cli.dry_run {
        autoscaler.inspect_all();
    } else {
        autoscaler.resume(&state_dir);
    }
    let ran = tokio::select! {
        report = autoscaler.run_once_and(tick_timeout, ONCE_WITHIN, notify) => Some(report),
        () = signals.stop() => None,
    };
    let stopped = ran.is_none();
    let report = match ran {
        Some(report) => report,
        None => {
            let deadline = Instant::now() + STOP_WITHIN;
            let (cut, report) = autoscaler.stop_and(deadline, notify).await;
            tracing::warn!(
                streams = cut,
                "stopped by a signal; interrupted scalings stay open in the scaling log and are settled by the next run"
            );
            report
        }
    };
    if !cli.dry_run {
        autoscaler.save_state(&state_dir);
    }
    let printed = print(&render(&report, cli.output));
    if let Some(notifier) = notifier {
        notifier.end(notify::ONCE_WITHIN).await;
    }
    printed?;
    Ok(if report.failed() && !stopped {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// Runs ticks until a signal stops them.
pub(super) async fn daemon(cli: &Cli) -> Result<Exit, Failure> {
    let mut world = world(cli)?;
    logging::start(
        world.config.log_format,
        cli.log_level(Level::Info),
        &world.clock,
    );
    let Some(_lock) = lock(&world, cli.dry_run)? else {
        let error = format!(
            "another kinesis-autoscaler uses the state directory {}",
            world.config.state_dir.display()
        );
        let hint = "stop it, or set another `state_dir`";
        return Err(Failure::new(
            Exit::Failed,
            ErrorReport::new(error).hint(hint),
        ));
    };
    let aws = connect(&world).await?;
    let metrics = metrics::Change::to(world.config.metrics.as_ref(), None).await?;
    let demo = world.demo.take();
    let narrator = demo.as_ref().map(|demo| Narrator {
        region: demo.region.clone(),
        clock: world.clock.clone(),
        logged: None,
    });
    if narrator.is_some() {
        tracing::info!("sandbox time runs fast: an hour takes 15 seconds; stop with Ctrl-C");
    }
    let in_force = (world.config.state_dir.clone(), world.config.log_format);
    let context = Arc::new(context(world, aws, cli.dry_run, Role::Daemon));
    let metrics = metrics.make(None, &context);
    let notified = notify::Counts::default();
    let notifier = Notifier::start(&context, &notified);
    let plan = Plan::new(context).await;
    let reloader = Reloader {
        cli: cli.clone(),
        in_force,
        metrics,
        notifier,
        notified,
        narrator,
    };
    reloader.count_notifications();
    let ended = schedule::run(plan, reloader).await;
    ended.map(|()| Exit::Done)
}

/// Logs the shard counts of the demo's streams once per simulated hour.
struct Narrator {
    region: RegionHandle,
    clock: Clock,
    logged: Option<String>,
}

impl Narrator {
    fn log(&mut self) {
        let hour = self.clock.now().strftime("%a %H:00").to_string();
        if self.logged.as_ref() != Some(&hour) {
            let shards = |name: &&str| Some(format!("{name} {}", self.region.stream(name)?.target));
            let streams: Vec<String> = demo::STREAMS.iter().filter_map(shards).collect();
            tracing::info!("{hour} in the sandbox, shards: {}", streams.join(", "));
            self.logged = Some(hour);
        }
    }
}

/// Reads the configuration again from the same place.
struct Reloader {
    cli: Cli,
    /// What cannot change without a restart.
    in_force: (PathBuf, LogFormat),
    metrics: Option<metrics::Endpoint>,
    notifier: Option<Notifier>,
    /// The counts go on over reloads.
    notified: notify::Counts,
    narrator: Option<Narrator>,
}

impl Reloader {
    fn count_notifications(&self) {
        if let Some(endpoint) = &self.metrics {
            endpoint.metrics().count_notifications(&self.notified);
        }
    }
}

impl Reload for Reloader {
    type Prepared = (World, Aws, metrics::Change);

    async fn prepare(&mut self) -> Result<Self::Prepared, String> {
        if self.cli.sandbox {
            return Err("the sandbox has no configuration file".to_owned());
        }
        let world = world(&self.cli).map_err(|failure| failure.to_string())?;
        let (state_dir, log_format) = &self.in_force;
        if world.config.state_dir != *state_dir {
            // This process holds the lock of that directory and owns the rows in it.
            return Err("state_dir cannot change while this runs: restart it".to_owned());
        }
        if world.config.log_format != *log_format {
            tracing::warn!("log_format changes with the next restart only");
        }
        let aws = connect(&world)
            .await
            .map_err(|failure| failure.to_string())?;
        let change = metrics::Change::to(world.config.metrics.as_ref(), self.metrics.as_mut());
        let change = change
            .await
            .map_err(|error| Failure::from(error).to_string())?;
        Ok((world, aws, change))
    }

    async fn plan(&mut self, (world, aws, change): Self::Prepared) -> Result<Plan, Failure> {
        let context = Arc::new(context(world, aws, self.cli.dry_run, Role::Daemon));
        self.metrics = change.make(self.metrics.take(), &context);
        self.count_notifications();
        self.notifier = match self.notifier.take() {
            Some(notifier) => notifier.adopt(&context),
            None => Notifier::start(&context, &self.notified),
        };
        Ok(Plan::new(context).await)
    }

    fn reloaded(&mut self, taken: bool) {
        if let Some(endpoint) = &self.metrics {
            endpoint.metrics().reloaded(taken);
        }
    }

    fn ended(&mut self, report: &Report) {
        if let Some(notifier) = &self.notifier {
            notifier.reported(report);
        }
    }

    async fn stop(&mut self) {
        if let Some(notifier) = self.notifier.take() {
            notifier.end(notify::STOP_WITHIN).await;
        }
    }

    fn ticked(&mut self, report: &Report) {
        if let Some(endpoint) = &self.metrics {
            endpoint.metrics().ticked(report);
        }
        if let Some(notifier) = &self.notifier {
            notifier.ticked(report);
        }
        if let Some(narrator) = &mut self.narrator {
            narrator.log();
        }
        if self.cli.output == Output::Json {
            // If nobody reads the reports any more, the daemon continues.
            let _ = print(&render(report, Output::Json));
        }
    }
}

/// Keeps two processes out of one state directory: `None` if another process has it. A directory
/// that cannot be written to is reported, but does not stop scaling.
fn lock(world: &World, dry_run: bool) -> Result<Option<Option<File>>, Failure> {
    if dry_run {
        return Ok(Some(None));
    }
    let open = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        let mut options = state_file::options();
        options.create(true).write(true).truncate(false);
        options.open(folder.join("lock"))
    };
    let folder = &world.config.state_dir;
    let file = match open(folder) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(%error, state_dir = %folder.display(), "the state directory cannot be written to: rows that DynamoDB refuses would be lost");
            return Ok(Some(None));
        }
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Failure::new(Exit::Failed, error)),
    }
}

fn render(report: &Report, output: Output) -> String {
    match output {
        Output::Json => report.to_json() + "\n",
        _ => report.to_text(terminal_width()),
    }
}
