//! `backtest` needs no configuration: with a file it needs no AWS either, and streams that are named
//! are replayed with the defaults.

use std::sync::Arc;

use autoscaler_core::{glob::is_pattern, subscription::Subscription};

use super::world::{World, connect, context, load, network, world};
use crate::{
    cli::Cli,
    commands::{
        backtest::{self, Backtest},
        consent::Consent,
    },
    config::{CONFIG_VARIABLE, Config},
    output::{
        error::{Exit, Failure, Report},
        logging::{self, Level},
    },
    reconcile::{context::Role, discovery::discover},
};

/// Finds what is to be replayed, and replays it.
pub(super) async fn run(cli: &Cli, args: &Backtest) -> Result<Exit, Failure> {
    let configured = configured(cli)?;
    if let Some(file) = &args.demand {
        let subscribed = configured.is_some();
        let config = match configured {
            Some(config) => config,
            None => unconfigured(cli, &["unnamed".to_owned()])?,
        };
        return backtest::run_file(file, args, config, subscribed, cli.output).await;
    }
    let mut world = world_of(cli, args, configured)?;
    logging::start(
        world.config.log_format,
        cli.log_level(Level::Warn),
        &world.clock,
    );
    let aws = connect(&world).await?;
    let _demo = world.demo.take();
    // It writes nothing, and so neither the spool nor the lease.
    let context = discover(context(world, aws, true, Role::Command), &[]).await;
    let consent = Consent::from_flag(args.yes);
    backtest::run_history(&Arc::new(context), args, cli.output, consent).await
}

fn world_of(cli: &Cli, args: &Backtest, configured: Option<Config>) -> Result<World, Failure> {
    let streams = &args.streams.names;
    match configured {
        _ if cli.sandbox => world(cli),
        Some(config) => network(subscribing(cli, config, streams)?),
        None if named(streams).next().is_some() => network(unconfigured(cli, streams)?),
        None => Err(nothing_to_replay(cli)),
    }
}

/// The configuration for a command that also works without one. A file that is named must exist.
fn configured(cli: &Cli) -> Result<Option<Config>, Failure> {
    let variable = std::env::var_os(CONFIG_VARIABLE);
    let named = cli.config.is_some() || variable.as_ref().is_some_and(|it| !it.is_empty());
    let there = named || cli.config_path(variable.as_deref()).exists();
    (there && !cli.sandbox).then(|| load(cli)).transpose()
}

/// The names that are not patterns.
fn named(streams: &[String]) -> impl Iterator<Item = &String> {
    streams.iter().filter(|name| !is_pattern(name))
}

/// The defaults for these streams.
pub(super) fn unconfigured(cli: &Cli, streams: &[String]) -> Result<Config, Failure> {
    let streams = named(streams).map(|name| format!("[[streams]]\nname = {name:?}\n"));
    let text = format!(
        "[log]\ntable = \"kinesis-autoscaler-logs\"\n{}",
        streams.collect::<String>()
    );
    Ok(Config::from_toml_and(&text, cli.set.clone())?)
}

/// The configuration with these streams, too, where it lacks them.
fn subscribing(cli: &Cli, mut config: Config, streams: &[String]) -> Result<Config, Failure> {
    let is_known = |name: &String| {
        let mut all = config.subscriptions.iter();
        all.any(|it| it.stream.as_ref() == Some(name) || it.alarms.both().contains(&name.as_str()))
    };
    let missing: Vec<String> = named(streams).filter(|it| !is_known(it)).cloned().collect();
    // A stream that only lacks its alarms has the settings of its pattern all the same.
    let fitting = missing.iter().filter_map(|name| config.by_pattern(name));
    let fitting: Vec<Subscription> = fitting.collect();
    let is_fitting = |name: &String| fitting.iter().any(|it| it.stream.as_ref() == Some(name));
    let missing: Vec<String> = missing.into_iter().filter(|it| !is_fitting(it)).collect();
    config.subscriptions.extend(fitting);
    if !missing.is_empty() {
        let home = config.home.clone();
        let mut added = unconfigured(cli, &missing)?.subscriptions;
        added
            .iter_mut()
            .for_each(|subscription| subscription.account = home.clone());
        config.subscriptions.extend(added);
    }
    Ok(config)
}

fn nothing_to_replay(cli: &Cli) -> Failure {
    let path = cli.config_path(std::env::var_os(CONFIG_VARIABLE).as_deref());
    let report = Report::new(format!(
        "there is no configuration at {}, and no stream is named",
        path.display()
    ));
    let hint = "name a stream with --stream NAME, or give its demand with --demand FILE.csv";
    Failure::new(Exit::Usage, report.hint(hint))
}
