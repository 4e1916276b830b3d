//! Who scales in the replays: the stream as it is configured, the policies, and the variants.

use serde_json::Value;

use super::{
    args::{Backtest, settings_of},
    demand::Demand,
    replay::{Candidate, REGION, TABLE},
};
use crate::{
    commands::provision::pair,
    config::{Config, Setting},
    output::error::{Exit, Failure, Report},
};
use autoscaler_core::{
    alarm::Direction,
    subscription::{Account, Subscription},
};

/// All candidates of a stream, in the order of the rows.
///
/// # Errors
/// Where a variant is not a setting of a stream.
pub fn all(
    args: &Backtest,
    config: Option<&Config>,
    demand: &Demand,
    start_shards: u32,
) -> Result<Vec<Candidate>, Failure> {
    let candidate = |name: &str, config: Config, alarms: Vec<Value>| Candidate {
        name: name.to_owned(),
        config,
        alarms,
        start_shards,
    };
    let mut all = Vec::new();
    let subscribed = config.and_then(|config| Some((config, subscription(config, demand)?)));
    if let Some((config, subscription)) = subscribed {
        let alarms = designed(config, subscription, demand, start_shards);
        all.push(candidate(
            "configured",
            replayed(config, subscription, demand)?,
            alarms,
        ));
    }
    all.push(candidate(
        "original",
        plain(demand, Vec::new())?,
        Vec::new(),
    ));
    for variant in &args.variant {
        let config = varied(variant, demand)?;
        all.push(candidate(variant, config, Vec::new()));
    }
    Ok(all)
}

fn subscription<'a>(config: &'a Config, demand: &Demand) -> Option<&'a Subscription> {
    let name = Some(demand.stream.as_str());
    config
        .subscriptions
        .iter()
        .find(|it| it.stream.as_deref() == name)
}

/// The defaults for the one stream, with settings of its own.
fn plain(demand: &Demand, settings: Vec<Setting>) -> Result<Config, Failure> {
    let text = format!(
        "[aws]\nregion = \"{REGION}\"\n[log]\ntable = \"{TABLE}\"\n[[streams]]\nname = \"{}\"\n",
        demand.stream
    );
    Ok(Config::from_toml_and(&text, settings)?)
}

/// The stream's own settings, moved into the replay's Region.
fn replayed(
    config: &Config,
    subscription: &Subscription,
    demand: &Demand,
) -> Result<Config, Failure> {
    let plain = plain(demand, Vec::new())?;
    let account = Account {
        region: Some(REGION.into()),
        ..Account::default()
    };
    let subscription = Subscription {
        account,
        ..subscription.clone()
    };
    Ok(Config {
        audit_interval: config.audit_interval,
        subscriptions: vec![subscription],
        ..plain
    })
}

/// The pair that `alarms print` makes for the stream.
fn designed(
    config: &Config,
    subscription: &Subscription,
    demand: &Demand,
    start_shards: u32,
) -> Vec<Value> {
    let stream = pair::Stream::of(subscription, &demand.stream, start_shards);
    let settings = [Direction::Up, Direction::Down].map(|direction| {
        let names = &subscription.alarms;
        pair::settings(&config.alarms, names, direction, &stream)
    });
    // Settings are plain data with text keys, which always serialize.
    settings
        .iter()
        .filter_map(|it| serde_json::to_value(it).ok())
        .collect()
}

fn varied(variant: &str, demand: &Demand) -> Result<Config, Failure> {
    let usage = |text: String| {
        let report = Report::new(format!("--variant {variant}: {text}"));
        let hint =
            "give settings of a stream, such as cooldown_down=1h or min_shards=4,max_shards=64";
        Failure::new(Exit::Usage, report.hint(hint))
    };
    let settings = settings_of(variant).map_err(usage)?;
    let settings = settings.into_iter().map(|(key, value)| Setting {
        key: format!("defaults.{key}"),
        value,
    });
    plain(demand, settings.collect()).map_err(|failure| Failure {
        exit: Exit::Usage,
        ..failure
    })
}
