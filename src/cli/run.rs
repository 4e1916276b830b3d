//! Runs what the command line asks for: one tick, the daemon, or a subcommand.

mod backtest;
mod config;

use std::{
    fs::{File, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    aws::{Aws, ConnectError, Transport},
    cli::{Cli, Command, Output, TableCommand, completions},
    commands::{
        check::{self, Findings},
        consent::Consent,
        history, pause, provision, scale, shards, status, subscriptions,
    },
    config::{CONFIG_VARIABLE, Complaint, Config, LogFormat, Overrides, Setting},
    daemon::{
        metrics,
        notify::{self, Notifier},
        plan::{Plan, STOP_WITHIN},
        schedule::{self, Reload, ScheduleError, Signals},
    },
    output::{
        error::{Exit, Failure, Report as ErrorReport},
        logging::{self, Level},
        print, stdout_colour, terminal_width,
    },
    reconcile::{
        clock::Clock,
        context::{Context, Process, Role},
        discovery::discover,
        report::Report,
        state_file,
        tick::Autoscaler,
    },
};
use autoscaler_sandbox::{RegionHandle, Sandbox, demo};
use aws_types::os_shim_internal::Env;

/// In the sandbox's daemon a simulated day takes six minutes: ticks are one second, or four
/// simulated minutes, apart.
const DEMO_SPEED: u32 = 240;

/// A limit for a single run that does not end by itself, which would be a bug.
const ONCE_WITHIN: Duration = Duration::from_secs(3600);

/// Runs the command line.
pub async fn run(cli: &Cli) -> Result<Exit, Failure> {
    let named = std::env::var_os(CONFIG_VARIABLE);
    if cli.sandbox && !cli.quiet && named.is_some_and(|it| !it.is_empty()) {
        // With standard error closed there is nobody to tell.
        let _ = writeln!(
            io::stderr(),
            "warning: --sandbox reads no configuration file: {CONFIG_VARIABLE} is ignored"
        );
    }
    match &cli.command {
        Some(Command::Completions { shell }) => {
            print(&completions::script(*shell))?;
            Ok(Exit::Done)
        }
        None if cli.once => once(cli).await,
        None => daemon(cli).await,
        Some(Command::Check { offline: true, .. }) => offline(cli),
        Some(Command::Check {
            policy,
            strict,
            streams,
            ..
        }) => {
            let manual = manual_context_for(cli, &streams.names).await?;
            let asked = check::Asked {
                scope: match streams.names.is_empty() {
                    true => check::Scope::All,
                    false => check::Scope::Chosen,
                },
                policy: *policy,
                strict: *strict,
            };
            check::run(&manual.context, cli.output, stdout_colour(), asked).await
        }
        Some(Command::Config { command }) => config::run(cli, command).await,
        Some(Command::Alarms { command }) => {
            // The alarms of a stream that a pattern matches may be what is to be created.
            let manual = manual_context_and(cli, &[], command.streams()).await?;
            let exit = provision::alarms::run(&manual.context, command, cli.output).await?;
            Ok(subscriptions::of_what_is_known(&manual.context, exit))
        }
        Some(Command::Table {
            command: TableCommand::Print { format },
        }) => {
            let table = world(cli)?.config.log.table;
            print(&provision::table::print(&table, *format, cli.output))?;
            Ok(Exit::Done)
        }
        Some(Command::Table {
            command: TableCommand::Create,
        }) => {
            print(
                &provision::table::create(&manual_context(cli).await?.context, cli.output).await?,
            )?;
            Ok(Exit::Done)
        }
        Some(Command::Scale(args)) => {
            let consent = Consent::from_flag(args.yes || cli.dry_run);
            scale::run(
                &manual_context(cli).await?.context,
                args,
                cli.output,
                consent,
            )
            .await
        }
        Some(Command::Shards(args)) => {
            shards::run(&manual_context(cli).await?.context, args, cli.output).await
        }
        Some(Command::Pause(args)) => {
            pause::pause(&manual_context(cli).await?.context, args, cli.output).await
        }
        Some(Command::Resume(args)) => {
            pause::resume(&manual_context(cli).await?.context, args, cli.output).await
        }
        Some(Command::Backtest(args)) => backtest::run(cli, args).await,
        Some(Command::Status(args)) => {
            let manual = manual_context_for(cli, &args.names()).await?;
            status::run(&manual.context, args, cli.output).await
        }
        Some(Command::History(args)) => {
            history::run(&manual_context(cli).await?.context, args, cli.output).await
        }
    }
}

/// Checks the configuration without asking AWS.
fn offline(cli: &Cli) -> Result<Exit, Failure> {
    let world = world(cli);
    if cli.output == Output::Json {
        let (findings, exit) = match &world {
            Ok(world) => (Findings::of_configuration(&world.config), Exit::Done),
            Err(failure) => (Findings::of_failure(failure), failure.exit),
        };
        print(&findings.render(Output::Json, None, false, None))?;
        return Ok(exit);
    }
    let config = world?.config;
    for Complaint { message, hint } in config.warnings() {
        let hint = hint.map_or_else(String::new, |it| format!("hint: {it}\n"));
        print(&format!("warning: configuration: {message}\n{hint}"))?;
    }
    print("the configuration is good\n")?;
    Ok(Exit::Done)
}

/// What the program runs against: AWS, or the embedded one.
struct World {
    config: Config,
    transport: Transport,
    clock: Clock,
    /// Set with `--sandbox`.
    demo: Option<Demo>,
}

/// The embedded AWS, and the state directory of this process.
struct Demo {
    region: RegionHandle,
    /// Removed when this is dropped. Every process has its own, so that two can run side by side.
    _state: TempDir,
}

fn load(cli: &Cli) -> Result<Config, Failure> {
    let path = cli.config_path(std::env::var_os(CONFIG_VARIABLE).as_deref());
    Ok(Config::load(&path, Overrides::from_env(cli.set.clone()))?)
}

fn world(cli: &Cli) -> Result<World, Failure> {
    if cli.sandbox {
        // Commands that only read see a demo that stands still; `scale --wait` should not take real
        // minutes.
        let runs = matches!(cli.command, None | Some(Command::Scale(_)));
        return demo_world(cli.once || !runs, cli.set.clone());
    }
    network(load(cli)?)
}

/// AWS itself.
fn network(config: Config) -> Result<World, Failure> {
    let transport = Transport::network(&Env::real(), config.ca_bundle.as_deref());
    let transport = transport.map_err(|error| {
        let hint = error.hint();
        Failure::new(Exit::Config, ErrorReport::new(error).hint(hint))
    })?;
    Ok(World {
        config,
        transport,
        clock: Clock::system(),
        demo: None,
    })
}

/// The demo at the present time. The daemon and `scale` run it faster than real time.
fn demo_world(once: bool, settings: Vec<Setting>) -> Result<World, Failure> {
    let clock = Clock::simulated(
        Timestamp::now() - demo::AGE_OF_ALARMS,
        if once { 1 } else { DEMO_SPEED },
    );
    let sandbox = Sandbox::new(clock.reader());
    demo::build(&sandbox, demo::REGION, |by| clock.jump(by));
    let state = demo_state()?;
    let text = demo_config(&state, clock.speed());
    let config = Config::from_toml_and(&text, settings)?;
    let transport = Transport::embedded(sandbox.http_client());
    Ok(World {
        config,
        transport,
        clock,
        demo: Some(Demo {
            region: sandbox.region(demo::REGION),
            _state: state,
        }),
    })
}

fn demo_config(state: &TempDir, speed: u32) -> String {
    format!(
        "schedule = \"* * * * * *\"\nstate_dir = {:?}\n[aws]\nregion = \"{}\"\n[log]\ntable = \"{}\"\n{}",
        state.path(),
        demo::REGION,
        demo::TABLE,
        demo::config(speed),
    )
}

/// An empty state directory whose name other users can neither guess nor create in advance.
fn demo_state() -> Result<TempDir, Failure> {
    let made = tempfile::Builder::new()
        .prefix("kinesis-autoscaler-sandbox-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir();
    made.map_err(|error| Failure::new(Exit::Failed, error))
}

/// Creates the clients; no request is sent yet.
async fn connect(world: &World) -> Result<Aws, Failure> {
    let connected = Aws::connect(&world.config, world.transport.clone()).await;
    connected.map_err(|error| {
        let no_metadata = std::env::var("AWS_EC2_METADATA_DISABLED");
        let exit = match error {
            ConnectError::NoRegion(_) => {
                no_region(no_metadata.is_ok_and(|it| it.eq_ignore_ascii_case("true")))
            }
            _ => Exit::Config,
        };
        let hint = error.hint();
        Failure::new(exit, ErrorReport::new(error).hint(hint))
    })
}

/// The instance metadata service may answer later, so a service that got no Region from it should
/// be restarted.
fn no_region(metadata_is_off: bool) -> Exit {
    match metadata_is_off {
        true => Exit::Config,
        false => Exit::Failed,
    }
}

fn context(world: World, aws: Aws, dry_run: bool, role: Role) -> Context {
    let process = Process {
        host: host_name(),
        role,
        dry_run,
    };
    Context::new(world.config, aws, world.clock, process)
}

/// The context of a command.
struct Manual {
    context: Arc<Context>,
    /// Keeps the demo's state directory until the command has ended.
    _demo: Option<Demo>,
}

async fn manual_context(cli: &Cli) -> Result<Manual, Failure> {
    manual_context_for(cli, &[]).await
}

/// The context of a command for the named streams only, or for all of them.
async fn manual_context_for(cli: &Cli, streams: &[String]) -> Result<Manual, Failure> {
    manual_context_and(cli, streams, &[]).await
}

/// The same, with those of `nominees` that a pattern matches, also if they have no alarms.
async fn manual_context_and(
    cli: &Cli,
    streams: &[String],
    nominees: &[String],
) -> Result<Manual, Failure> {
    let mut world = world(cli)?;
    logging::start(
        world.config.log_format,
        cli.log_level(Level::Warn),
        &world.clock,
    );
    let aws = connect(&world).await?;
    let demo = world.demo.take();
    let mut context = discover(context(world, aws, cli.dry_run, Role::Command), nominees).await;
    if !matches!(cli.command, Some(Command::Check { .. })) {
        subscriptions::warn_of_unlisted(&context);
    }
    if !streams.is_empty() {
        let chosen = subscriptions::select(&context, streams).await?;
        let mut roster = (*context.roster).clone();
        roster.keep(&chosen);
        context = context.with_roster(roster);
    }
    Ok(Manual {
        context: Arc::new(context),
        _demo: demo,
    })
}

/// Runs one tick, prints its report, and returns its exit code.
async fn once(cli: &Cli) -> Result<Exit, Failure> {
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
async fn daemon(cli: &Cli) -> Result<Exit, Failure> {
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

/// This machine's name, for rows and the lease.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
