//! Every key of the configuration: its name, kind, range, default and documentation.
//!
//! This is the only place to declare a key. The documentation is also what `config/config.toml`
//! and the man page say. A key of [`StreamSettings`] ends up in the field of the same name of
//! [`Subscription`]; any other key is used by the section's reader in `check.rs`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use autoscaler_core::{
    alarm::AlarmNames,
    alarm_template::AlarmTemplate,
    constraints::Hold,
    policy::demand::Share,
    subscription::{Account, Origin, Permille, Policy, Subscription},
    window::{Recurrence, Window},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    Complaint, LogFormat, cron, format,
    kind::{
        Checked, Choice, CommandLine, DAY, Dollars, Example, Flag, Optional, OrOff, PATH, PERIOD,
        PERIOD_OR_ZERO, Period, Rate, Ratio, Text, Texts, Thousandths, Whole, text,
    },
    settings::{Settings, settings},
    template,
    written::Written,
};

const RATIO: Ratio = Ratio {
    zero: false,
    most: 1.0,
};
const RATIO_OR_ZERO: Ratio = Ratio {
    zero: true,
    most: 1.0,
};
/// One call removes at most half of the shards.
const SAVING: Ratio = Ratio {
    zero: true,
    most: 0.5,
};
const SHARDS: Whole = Whole {
    min: 1,
    max: 10_000,
};
const PERIODS: Whole = Whole {
    min: 1,
    max: 10_080,
};
const PERIOD_SECONDS: Whole = Whole {
    min: 60,
    max: 86_400,
};
const SCALE_UPS: Whole = Whole { min: 0, max: 10 };
const DAYS: Whole = Whole { min: 1, max: 3650 };
const MEMORY: Period = Period {
    min: Duration::from_secs(60 * 60),
    max: Duration::from_secs(7 * DAY.as_secs()),
};
const LOG_FORMAT: Choice<LogFormat> =
    Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
const POLICY: Choice<Policy> = Choice(&[
    ("original", Policy::Original),
    ("adaptive", Policy::Adaptive),
]);
const LISTEN: Text<SocketAddr> = Text {
    parse: format::listen,
    show: ToString::to_string,
};
const ALARM_NAME: Text<AlarmTemplate> = Text {
    parse: template::parse,
    show: ToString::to_string,
};

const HOLD: Choice<Hold> = Choice(&[("up", Hold::Up), ("down", Hold::Down), ("both", Hold::Both)]);
const WHEN: Text<Arc<dyn Recurrence>> = Text {
    parse: cron::Times::parse,
    show: |times| times.text().to_owned(),
};
const TIME: Text<Timestamp> = Text {
    parse: format::time,
    show: ToString::to_string,
};
const TIME_ZONE: Text<TimeZone> = Text {
    parse: format::time_zone,
    show: |zone| zone.iana_name().unwrap_or("UTC").to_owned(),
};

const fn optional(
    parse: fn(&str) -> Result<String, Complaint>,
    example: &'static str,
) -> Optional<Text> {
    let kind = text(parse);
    Optional { kind, example }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

settings! {
    /// The keys before the first section.
    #[derive(Debug)]
    pub(super) struct General {
        /// When to poll: six-field cron, seconds first, UTC. At rest a poll is one API call, which
        /// AWS does not charge for.
        schedule: String = text(cron::schedule), "*/10 * * * * *".to_owned();
        /// How often each stream is audited for what no alarm shows, such as a manual resharding,
        /// and the alarms of patterns are listed; "0s" turns both off.
        audit_interval: Option<Duration> = OrOff(PERIOD_OR_ZERO), Some(minutes(15));
        /// How long a tick may wait for slow reads. Ticks never overlap: a longer tick delays the
        /// next one.
        tick_timeout: Duration = PERIOD, Duration::from_secs(50);
        /// How long one AWS call may take, including its retries.
        call_timeout: Duration = PERIOD, Duration::from_secs(10);
        /// Format of the log on standard error: "text" for people, "json" for machines.
        log_format: LogFormat = LOG_FORMAT, LogFormat::Text;
        /// Where rows of the scaling log wait while DynamoDB does not answer. Default:
        /// $STATE_DIRECTORY as systemd sets it, otherwise this.
        state_dir: PathBuf = PATH, "/var/lib/kinesis-autoscaler".into();
        /// Further files, relative to the folder of this one, such as ["conf.d/*.toml"]; those of a
        /// pattern are read in the order of their names. Each can have sections, [[streams]] and
        /// [[windows]]; a key that two files set is an error.
        include: Vec<String> = Texts, Vec::new();
    }
}

settings! {
    /// An account and Region, in `[aws]` and under `[[streams]]`.
    #[derive(Clone, Debug)]
    pub(super) struct AccountKeys {
        region: Option<String> = optional(format::region, "eu-west-1"), None;
        profile: Option<String> = optional(format::profile, "production"), None;
        role_arn: Option<String> = optional(
            format::role_arn,
            "arn:aws:iam::123456789012:role/kinesis-autoscaler",
        ), None;
    }
}

settings! {
    #[derive(Debug)]
    pub(super) struct Connection {
        /// PEM file of certificate authorities to trust, for example that of a TLS proxy. The
        /// variable AWS_CA_BUNDLE sets it, too.
        ca_bundle: Option<PathBuf> = Optional { kind: PATH, example: "/etc/ssl/certs/proxy.pem" }, None;
    }
}

settings! {
    #[derive(Debug)]
    pub(super) struct LogKeys {
        /// The DynamoDB table with all scalings, from which the daily limit is counted, too.
        /// Required. `kinesis-autoscaler table create` creates it.
        table: Option<String> = optional(format::table_name, "kinesis-autoscaler-logs-prod"), None;
        /// After how many days DynamoDB may delete a row.
        retention_days: u32 = DAYS, 14;
    }
}

settings! {
    /// Calls per second that we allow ourselves in one account and Region.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Quotas {
        describe_alarms: f64 = Rate, 8.0;
        put_metric_alarm: f64 = Rate, 2.5;
        set_alarm_state: f64 = Rate, 2.5;
        describe_stream_summary: f64 = Rate, 16.0;
        update_shard_count: f64 = Rate, 8.0;
    }
}

settings! {
    /// One of several daemons acts; the others stand by.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct HighAvailability {
        /// A standby takes over when the acting daemon has not renewed its lease for this long.
        lease_duration: Duration = PERIOD, Duration::from_secs(30);
    }
}

settings! {
    /// The Prometheus endpoint.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Metrics {
        /// Address and port. The default can be reached from this machine only.
        listen: SocketAddr = LISTEN, (Ipv4Addr::LOCALHOST, 9184).into();
    }
}

settings! {
    /// Where notifications go.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Notify {
        /// The ARN of an SNS topic, in any Region; it is published to with the account of `[aws]`.
        sns_topic: Option<String> = optional(
            format::topic_arn,
            "arn:aws:sns:eu-west-1:123456789012:kinesis-scaling",
        ), None;
        /// A program with its arguments. Each notification is a process of it, with a JSON object
        /// on standard input, and has 10 s.
        command: Option<Vec<String>> = Example(CommandLine, vec!["/usr/local/bin/page".to_owned()]), None;
    }
}

impl Notify {
    /// The Region of the topic.
    pub fn region(&self) -> Option<&str> {
        self.sns_topic.as_deref()?.split(':').nth(3)
    }
}

settings! {
    /// Thresholds and windows of a pair; the defaults are the original's.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct PairDesign {
        /// Usage at or above which a stream is scaled up, and at or below which it is scaled down.
        up_threshold: f64 = RATIO, 0.75;
        down_threshold: f64 = RATIO, 0.25;
        /// How many periods in a row must be beyond the threshold, and how long a period is.
        up_periods: u32 = PERIODS, 1;
        down_periods: u32 = PERIODS, 288;
        period_seconds: u32 = PERIOD_SECONDS, 300;
        /// Usage is at least 1 in a period in which more than this share of the records was
        /// rejected; 0 leaves rejections out.
        throttle_share: f64 = RATIO_OR_ZERO, 0.005;
    }
}

settings! {
    /// What AWS charges, in dollars.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Prices {
        /// Where and as of when the prices hold; `backtest` prints it beside them.
        source: String = text(format::line), "us-east-1, September 2026".to_owned();
        /// A shard for an hour, and a million PUT payload units of 25 KB.
        shard_hour: f64 = Dollars, 0.015;
        put_units_million: f64 = Dollars, 0.014;
        /// On-demand Standard: a stream for an hour, and a GB written and read.
        stream_hour: f64 = Dollars, 0.04;
        standard_gb_in: f64 = Dollars, 0.08;
        standard_gb_out: f64 = Dollars, 0.04;
        /// On-demand Advantage: a GB written and read.
        advantage_gb_in: f64 = Dollars, 0.032;
        advantage_gb_out: f64 = Dollars, 0.016;
        /// A thousand metrics that GetMetricData is asked for.
        metrics_thousand: f64 = Dollars, 0.01;
        /// A metric of one shard (enhanced monitoring) for a month.
        shard_metric_month: f64 = Dollars, 0.3;
    }
}

settings! {
    #[derive(Debug)]
    pub(super) struct AlarmReplies {
        /// Fields in CloudWatch's replies that are not settings of an alarm. A field that this
        /// version does not know stops the scaling of its stream, because rewriting the alarm
        /// could erase it.
        ignore_fields: Vec<String> = Texts, Vec::new();
    }
}

settings! {
    /// In `[alarms]` and under `[[streams]]`.
    #[derive(Clone, Debug)]
    pub(super) struct Reads {
        /// Whether the bytes that consumers read (2 MiB/s per shard) count as usage, too.
        reads: bool = Flag, false;
    }
}

settings! {
    /// In `[defaults]` and under `[[streams]]`.
    #[derive(Clone, Debug)]
    pub(super) struct Naming {
        /// The names of a stream's two alarms; {direction} is scale-up or scale-down.
        alarm_name: AlarmTemplate = ALARM_NAME, AlarmTemplate::original();
    }
}

/// Declares the settings of a stream, which [`Subscription`] has under the same names.
macro_rules! stream_settings {
    ($($(#[doc = $about:literal])* $field:ident: $type:ty = $kind:expr, $default:expr;)+) => {
        settings! {
            /// In `[defaults]` and under `[[streams]]`.
            #[derive(Clone, Debug)]
            pub(super) struct StreamSettings {
                $($(#[doc = $about])* $field: $type = $kind, $default;)+
            }
        }

        impl StreamSettings {
            /// Those of a subscription.
            pub(super) fn of(subscription: &Subscription) -> Self {
                Self { $($field: subscription.$field),+ }
            }

            pub(super) fn subscription(
                self,
                stream: Option<String>,
                alarms: AlarmNames,
                account: Account,
                reads: bool,
                windows: Arc<[Window]>,
                throttle_share: Share,
            ) -> Subscription {
                let Self { $($field),+ } = self;
                let origin = Origin::Named;
                Subscription {
                    stream, alarms, account, reads, windows, throttle_share, origin, $($field),+
                }
            }
        }
    };
}

stream_settings! {
    /// Bounds of every scaling; AWS scales to at most 10000 shards.
    min_shards: u32 = SHARDS, 1;
    max_shards: u32 = SHARDS, 10_000;
    /// How long after any scaling a stream is not scaled in this direction.
    cooldown_up: Duration = PERIOD_OR_ZERO, Duration::ZERO;
    cooldown_down: Duration = PERIOD_OR_ZERO, Duration::ZERO;
    /// How many of the 10 scalings a day that AWS allows are reserved for scaling up.
    reserved_scale_ups: u32 = SCALE_UPS, 3;
    /// How the target shard count is chosen: "original" or "adaptive".
    policy: Policy = POLICY, Policy::Original;
    /// For the adaptive policy: the time in which it forgets half of a peak (1h to 7days), the
    /// usage at which that peak should run, and the smallest reduction for which it scales down
    /// (at most 0.5, because one call removes at most half of the shards).
    memory: Duration = MEMORY, DAY / 2;
    fill: Permille = Thousandths(RATIO), Permille::new(550);
    saving: Permille = Thousandths(SAVING), Permille::new(300);
    /// No scale-down while consumers are further behind than this; "0s" turns the check off.
    max_iterator_age: Option<Duration> = OrOff(PERIOD_OR_ZERO), None;
}

settings! {
    /// What an entry under `[[streams]]` subscribes.
    #[derive(Clone, Debug)]
    pub(super) struct Identity {
        /// The stream's name, or either alarm of its pair, which then names the stream.
        name: Option<String> = optional(format::stream_name, "orders"), None;
        alarm: Option<String> = optional(format::alarm, "clicks-scale-up-prod"), None;
        /// Or a pattern (`*` and `?`): every stream that matches and whose two alarms exist under
        /// the names of `alarm_name`, but for those that match a pattern in `except`.
        r#match: Option<String> = optional(format::glob, "prod-*"), None;
        except: Vec<String> = Checked { parse: format::glob, example: "*-test" }, Vec::new();
    }
}

settings! {
    /// An entry under `[[windows]]`, or in `windows` under `[[streams]]`.
    #[derive(Debug)]
    pub(super) struct WindowKeys {
        /// When it opens: six-field cron in `timezone`; or once, `at` a time with its offset.
        when: Option<Arc<dyn Recurrence>> = Optional { kind: WHEN, example: "0 30 7 * * MON-FRI" }, None;
        at: Option<Timestamp> = Optional { kind: TIME, example: "2026-11-27T06:00:00Z" }, None;
        /// How long it is open.
        r#for: Option<Duration> = Example(PERIOD, minutes(600)), None;
        /// The time zone of `when`.
        timezone: Option<TimeZone> = Optional { kind: TIME_ZONE, example: "Europe/Berlin" }, None;
        /// Bounds in place of the stream's. A stream below min_shards is scaled up to it.
        min_shards: Option<u32> = Example(SHARDS, 8), None;
        max_shards: Option<u32> = Example(SHARDS, 64), None;
        /// What its alarms do not scale meanwhile: "up", "down" or "both".
        hold: Option<Hold> = Example(HOLD, Hold::Down), None;
        /// How long before it opens its bounds hold, so that min_shards is reached by then.
        ahead: Duration = PERIOD_OR_ZERO, Duration::ZERO;
    }
}

/// Everything but `[[streams]]` and `[[windows]]`.
#[derive(Debug, Default)]
pub(super) struct Globals {
    pub general: General,
    pub account: AccountKeys,
    pub connection: Connection,
    pub log: LogKeys,
    pub quotas: Quotas,
    pub high_availability: HighAvailability,
    pub metrics: Metrics,
    pub notify: Notify,
    pub prices: Prices,
    pub design: PairDesign,
    pub replies: AlarmReplies,
    pub reads: Reads,
    pub naming: Naming,
    pub defaults: StreamSettings,
}

/// A table of the configuration.
pub(super) struct Section<'a> {
    /// Empty for the keys before the first section.
    pub name: &'static str,
    pub about: &'static [&'static str],
    /// The section turns a feature on by being there.
    pub optional: bool,
    pub groups: Vec<&'a mut dyn Settings>,
}

impl Globals {
    /// The tables in the order of the file.
    pub(super) fn sections(&mut self) -> Vec<Section<'_>> {
        let section = |name, about, groups| Section {
            name,
            about,
            optional: false,
            groups,
        };
        let optional = |name, about, groups| Section {
            optional: true,
            ..section(name, about, groups)
        };
        vec![
            section("", &[], vec![&mut self.general]),
            section(
                "aws",
                &[
                    "Account and Region of the scaling log, and of every stream that names no other. Default:",
                    "the SDK's own chain (AWS_REGION, AWS_PROFILE, ~/.aws, instance metadata). The values here",
                    "are examples.",
                ],
                vec![&mut self.account, &mut self.connection],
            ),
            section("log", &["The scaling log."], vec![&mut self.log]),
            section(
                "quotas",
                &[
                    "Calls per second in one account and Region: AWS's quotas, less a share for other tools.",
                ],
                vec![&mut self.quotas],
            ),
            optional(
                "high_availability",
                &[
                    "With this section, several daemons share the scaling log: one acts, the others stand by.",
                ],
                vec![&mut self.high_availability],
            ),
            optional(
                "metrics",
                &["With this section, Prometheus can read metrics at http://<listen>/metrics."],
                vec![&mut self.metrics],
            ),
            optional(
                "notify",
                &[
                    "With this section, scalings and conditions that begin or end are notified to an SNS topic,",
                    "to a command, or to both. The values here are examples.",
                ],
                vec![&mut self.notify],
            ),
            section(
                "prices",
                &["The prices that `kinesis-autoscaler backtest` and `shards` compute costs with."],
                vec![&mut self.prices],
            ),
            section(
                "alarms",
                &[
                    "The alarms that `kinesis-autoscaler alarms print` and `alarms create` make. Usage 1 is all",
                    "that the open shards can take.",
                ],
                vec![&mut self.design, &mut self.replies, &mut self.reads],
            ),
            section(
                "defaults",
                &["For every stream; an entry under [[streams]] can override each key."],
                vec![&mut self.naming, &mut self.defaults],
            ),
        ]
    }
}

/// An entry under `[[streams]]`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub identity: Identity,
    pub naming: Naming,
    pub settings: StreamSettings,
    pub reads: Reads,
    pub account: AccountKeys,
}

impl Entry {
    /// An entry that overrides nothing.
    pub(super) fn of(globals: &Globals) -> Self {
        Self {
            identity: Identity::default(),
            naming: globals.naming.clone(),
            settings: globals.defaults.clone(),
            reads: globals.reads.clone(),
            account: AccountKeys::default(),
        }
    }

    pub(super) fn groups(&mut self) -> [&mut dyn Settings; 5] {
        [
            &mut self.identity,
            &mut self.naming,
            &mut self.settings,
            &mut self.reads,
            &mut self.account,
        ]
    }

    /// Sets a key; `None` if there is no such key.
    pub(super) fn set(
        &mut self,
        name: &str,
        written: &Written<'_>,
    ) -> Option<Result<(), Complaint>> {
        let mut groups = self.groups().into_iter();
        groups.find_map(|group| group.set(name, written))
    }
}
