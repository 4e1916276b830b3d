//! Who scales in the replays: the stream as it is configured, the policies, and the variants.

use serde_json::Value;

use super::{
    Subject,
    args::{Backtest, settings_of},
    replay::{Candidate, REGION, TABLE},
};
use crate::{
    commands::provision::pair,
    config::{self, Config, Setting, stream_keys},
    output::error::{Exit, Failure, Report},
};
use autoscaler_core::{
    alarm::Direction,
    subscription::{Policy, Subscription},
};

/// All candidates of a stream, in the order of the rows.
///
/// # Errors
/// Where a variant is not a setting of a stream.
pub(super) fn all(args: &Backtest, subject: &Subject) -> Result<Vec<Candidate>, Failure> {
    let base = Base::of(subject);
    let mut all = Vec::new();
    if base.own.is_some() {
        all.push(base.candidate("configured", base.config(Vec::new())?, Pair::Own));
    }
    for (name, policy) in [
        ("original", Policy::Original),
        ("adaptive", Policy::Adaptive),
    ] {
        let config = base.config(vec![of_policy(policy)])?;
        all.push(base.candidate(name, config, Pair::OfPolicy));
    }
    for variant in &args.variant {
        let config = varied(variant, &base)?;
        // With another policy, the stream would have the alarms of that.
        let policy = |config: &Config| config.subscriptions.first().map(|it| it.policy);
        let own = base.own.map(|(_, subscription)| subscription.policy);
        let pair = match own.is_some() && policy(&config) == own {
            true => Pair::Own,
            false => Pair::OfPolicy,
        };
        all.push(base.candidate(variant, config, pair));
    }
    Ok(all)
}

/// Which alarms a candidate is scaled by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pair {
    /// Those of the stream, or what `alarms print` makes for it.
    Own,
    /// For the original policy those of the original's documentation, otherwise what `alarms print`
    /// makes.
    OfPolicy,
}

/// What the candidates start from: the stream as it is configured, otherwise the defaults.
struct Base<'a> {
    subject: &'a Subject,
    own: Option<(&'a Config, &'a Subscription)>,
}

impl<'a> Base<'a> {
    fn of(subject: &'a Subject) -> Self {
        let config = subject.configured.as_ref();
        let own = config.and_then(|config| Some((config, config.subscriptions.first()?)));
        Self { subject, own }
    }

    /// The stream in the replay's Region, with some of its settings replaced.
    fn config(&self, settings: Vec<Setting>) -> Result<Config, config::Error> {
        let stream = &self.subject.demand.stream;
        let (retention, defaults) = match self.own {
            None => (String::new(), String::new()),
            Some((config, own)) => {
                let keys = stream_keys(own).into_iter().filter(|it| !it.is_example);
                let keys = keys.map(|key| format!("{} = {}\n", key.name, key.value));
                let retention = format!("retention_days = {}\n", config.log.retention_days);
                (retention, keys.collect())
            }
        };
        let text = format!(
            "[aws]\nregion = \"{REGION}\"\n[log]\ntable = \"{TABLE}\"\n{retention}\
             [defaults]\n{defaults}[[streams]]\nname = \"{stream}\"\n"
        );
        let plain = Config::from_toml_and(&text, settings)?;
        let Some((config, own)) = self.own else {
            return Ok(plain);
        };
        let subscriptions = plain.subscriptions.into_iter().map(|it| Subscription {
            windows: own.windows.clone(),
            reads: own.reads,
            throttle_share: own.throttle_share,
            ..it
        });
        Ok(Config {
            audit_interval: config.audit_interval,
            subscriptions: subscriptions.collect(),
            ..plain
        })
    }

    fn candidate(&self, name: &str, mut config: Config, pair: Pair) -> Candidate {
        let alarms = match (pair, self.own, config.subscriptions.first_mut()) {
            (Pair::Own, Some((_, own)), Some(subscription)) => {
                subscription.alarms = own.alarms.clone();
                let read = self.subject.alarms.clone();
                read.unwrap_or_else(|| self.designed(subscription))
            }
            (_, _, Some(subscription)) if subscription.policy == Policy::Adaptive => {
                self.designed(subscription)
            }
            _ => Vec::new(),
        };
        Candidate {
            name: name.to_owned(),
            config,
            alarms,
            start_shards: self.subject.start_shards,
        }
    }

    /// The pair that `alarms print` makes for the stream.
    fn designed(&self, subscription: &Subscription) -> Vec<Value> {
        let Subject {
            demand,
            start_shards,
            ..
        } = self.subject;
        let design = self.own.map(|(config, _)| config.alarms);
        let design = design.unwrap_or_default();
        let stream = pair::Stream::of(subscription, &demand.stream, *start_shards);
        let settings = [Direction::Up, Direction::Down]
            .map(|direction| pair::settings(&design, &subscription.alarms, direction, &stream));
        // Settings are plain data with text keys, which always serialize.
        settings
            .iter()
            .filter_map(|it| serde_json::to_value(it).ok())
            .collect()
    }
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

fn of_policy(policy: Policy) -> Setting {
    Setting {
        key: "defaults.policy".to_owned(),
        value: policy.name().to_owned(),
    }
}

fn varied(variant: &str, base: &Base<'_>) -> Result<Config, Failure> {
    let report = |text: String, hint: Option<String>| {
        let usual = "give settings of a stream, such as memory=24h or min_shards=4,max_shards=64";
        let hint = hint.unwrap_or_else(|| usual.to_owned());
        Report::new(format!("--variant {variant}: {text}")).hint(hint)
    };
    let settings = settings_of(variant);
    let settings = settings.map_err(|text| Failure::new(Exit::Usage, report(text, None)))?;
    let sets = |keys: &[&str]| settings.iter().any(|(key, _)| keys.contains(&key.as_str()));
    // These mean something to the adaptive policy alone.
    let implied = sets(&["memory", "fill", "saving"]) && !sets(&["policy"]);
    let settings = settings.iter().map(|(key, value)| Setting {
        key: format!("defaults.{key}"),
        value: value.clone(),
    });
    let settings = settings.chain(implied.then(|| of_policy(Policy::Adaptive)));
    base.config(settings.collect()).map_err(|error| Failure {
        exit: Exit::Usage,
        reports: error
            .into_problems()
            .into_iter()
            .map(|problem| {
                let key = &problem.key;
                let key = key.strip_prefix("defaults.").unwrap_or(key);
                report(format!("{key}: {}", problem.message), problem.hint)
            })
            .collect(),
    })
}
