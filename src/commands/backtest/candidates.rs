//! Who scales in the replays: the stream as it is configured, the policies, and the variants.

use serde_json::Value;

use super::{
    Subject,
    args::{Backtest, settings_of},
    demand::Demand,
    replay::{Candidate, REGION, TABLE},
};
use crate::{
    commands::provision::pair,
    config::{Config, PairDesign, Setting},
    output::error::{Exit, Failure, Report},
};
use autoscaler_core::{
    alarm::Direction,
    subscription::{Account, Origin, Policy, Subscription},
};

/// All candidates of a stream, in the order of the rows.
///
/// # Errors
/// Where a variant is not a setting of a stream.
pub(super) fn all(args: &Backtest, subject: &Subject) -> Result<Vec<Candidate>, Failure> {
    let (demand, start_shards) = (&*subject.demand, subject.start_shards);
    let design = subject.configured.as_ref().map(|config| config.alarms);
    let design = design.unwrap_or_default();
    let candidate = |name: &str, config: Config, alarms: Option<Vec<Value>>| {
        let pair = |it| designed(&design, it, demand, start_shards);
        let policy = config.subscriptions.first();
        // Without alarms of its own, the replay has the pair of the original's documentation.
        let adaptive = policy.filter(|it| it.policy == Policy::Adaptive).map(pair);
        Candidate {
            name: name.to_owned(),
            config,
            alarms: alarms.or(adaptive).unwrap_or_default(),
            start_shards,
        }
    };
    let mut all = Vec::new();
    if let Some(own) = &subject.configured
        && let Some(subscription) = own.subscriptions.first()
    {
        let made = || designed(&design, subscription, demand, start_shards);
        let alarms = subject.alarms.clone().unwrap_or_else(made);
        let config = replayed(own, subscription, demand)?;
        all.push(candidate("configured", config, Some(alarms)));
    }
    all.push(candidate("original", plain(demand, Vec::new())?, None));
    all.push(candidate(
        "adaptive",
        plain(demand, vec![adaptive()])?,
        None,
    ));
    for variant in &args.variant {
        all.push(candidate(variant, varied(variant, demand)?, None));
    }
    Ok(all)
}

/// The configuration with the subscription of this stream alone; `None` if there is none.
pub fn one_stream(config: &Config, stream: &str) -> Option<Config> {
    let own = |it: &&Subscription| it.stream.as_deref() == Some(stream);
    let named = config.subscriptions.iter().find(own).cloned();
    Some(Config {
        subscriptions: vec![named.or_else(|| config.by_pattern(stream))?],
        patterns: Vec::new(),
        ..config.clone()
    })
}

fn adaptive() -> Setting {
    Setting {
        key: "defaults.policy".to_owned(),
        value: "adaptive".to_owned(),
    }
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
        // An alarm alone may name the stream in the configuration.
        stream: Some(demand.stream.clone()),
        origin: Origin::Named,
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
    design: &PairDesign,
    subscription: &Subscription,
    demand: &Demand,
    start_shards: u32,
) -> Vec<Value> {
    let stream = pair::Stream::of(subscription, &demand.stream, start_shards);
    let settings = [Direction::Up, Direction::Down].map(|direction| {
        let names = &subscription.alarms;
        pair::settings(design, names, direction, &stream)
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
        let hint = "give settings of a stream, such as memory=24h or min_shards=4,max_shards=64";
        Failure::new(Exit::Usage, report.hint(hint))
    };
    let settings = settings_of(variant).map_err(usage)?;
    let sets = |keys: &[&str]| settings.iter().any(|(key, _)| keys.contains(&key.as_str()));
    // These mean something to the adaptive policy alone.
    let implied = sets(&["memory", "fill", "saving"]) && !sets(&["policy"]);
    let settings = settings.iter().map(|(key, value)| Setting {
        key: format!("defaults.{key}"),
        value: value.clone(),
    });
    let settings = settings.chain(implied.then(adaptive));
    plain(demand, settings.collect()).map_err(|failure| Failure {
        exit: Exit::Usage,
        ..failure
    })
}
