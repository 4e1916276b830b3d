//! The configuration: valid files, and what each layer changes.

use std::{ffi::OsString, fs, path::Path, sync::Arc, time::Duration};

use autoscaler_core::{
    alarm::AlarmNames,
    policy::demand::Share,
    subscription::{Account, Origin, Permille, Policy, Subscription},
};
use kinesis_autoscaler::config::{
    Config, HighAvailability, LogFormat, LogTable, Metrics, Overrides, PairDesign, Prices, Quotas,
    commented_file, known_keys,
};
use proptest::prelude::*;

pub const MINIMAL: &str = "
    [log]
    table = \"logs\"
    [[streams]]
    name = \"orders\"
";

pub fn variables(of: &[(&str, &str)]) -> Overrides {
    Overrides {
        variables: of.iter().map(|(k, v)| (k.into(), v.into())).collect(),
        settings: Vec::new(),
    }
}

/// Writes `text` to a file, and loads that.
pub fn load(text: &str, overrides: Overrides) -> Result<Config, kinesis_autoscaler::config::Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs::write(&path, text).unwrap();
    Config::load(&path, overrides)
}

/// The configuration that `MINIMAL` loads as.
fn minimal() -> Config {
    Config {
        schedule: "*/10 * * * * *".to_owned(),
        audit_interval: Some(Duration::from_secs(900)),
        tick_timeout: Duration::from_secs(50),
        call_timeout: Duration::from_secs(10),
        log_format: LogFormat::Text,
        state_dir: "/var/lib/kinesis-autoscaler".into(),
        home: Account::default(),
        ca_bundle: None,
        log: LogTable {
            table: "logs".to_owned(),
            retention_days: 14,
        },
        quotas: Quotas {
            describe_alarms: 8.0,
            put_metric_alarm: 2.5,
            set_alarm_state: 2.5,
            describe_stream_summary: 16.0,
            update_shard_count: 8.0,
        },
        high_availability: None,
        metrics: None,
        notify: None,
        prices: Prices {
            source: "us-east-1, September 2026".to_owned(),
            shard_hour: 0.015,
            put_units_million: 0.014,
            stream_hour: 0.04,
            standard_gb_in: 0.08,
            standard_gb_out: 0.04,
            advantage_gb_in: 0.032,
            advantage_gb_out: 0.016,
            metrics_thousand: 0.01,
            shard_metric_month: 0.3,
        },
        alarms: PairDesign {
            up_threshold: 0.75,
            down_threshold: 0.25,
            up_periods: 1,
            down_periods: 288,
            period_seconds: 300,
            throttle_share: 0.005,
        },
        ignore_fields: Vec::new(),
        patterns: Vec::new(),
        subscriptions: vec![orders()],
        unmatched_includes: Vec::new(),
    }
}

fn orders() -> Subscription {
    Subscription {
        stream: Some("orders".to_owned()),
        alarms: pair("orders-scale-up-alarm"),
        account: Account::default(),
        min_shards: 1,
        max_shards: 10_000,
        cooldown_up: Duration::ZERO,
        cooldown_down: Duration::ZERO,
        reserved_scale_ups: 3,
        policy: Policy::Original,
        memory: Duration::from_secs(12 * 60 * 60),
        fill: Permille::new(550),
        saving: Permille::new(300),
        max_iterator_age: None,
        reads: false,
        windows: Arc::default(),
        throttle_share: Share(5_000),
        origin: Origin::Named,
    }
}

fn pair(name: &str) -> AlarmNames {
    AlarmNames::from_either(name).unwrap()
}

/// Changes `MINIMAL` and its `Config` in the same way.
#[track_caller]
fn check(text: &str, overrides: &[(&str, &str)], change: impl FnOnce(&mut Config)) {
    let mut expected = minimal();
    change(&mut expected);
    match load(text, variables(overrides)) {
        Ok(config) => assert_eq!(config, expected),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_not_written_has_its_default() {
    check(MINIMAL, &[], |_| ());
    assert_eq!(Config::from_toml(MINIMAL).unwrap(), minimal());
}

#[test]
fn every_key_is_read() {
    let text = r#"
        schedule = "*/30 * * * * *"
        audit_interval = "0s"
        tick_timeout = "1m 5s"
        call_timeout = "1500ms"
        log_format = "json"
        state_dir = "/tmp/state"
        [aws]
        region = "eu-west-1"
        profile = "p"
        role_arn = "arn:aws-us-gov:iam::123456789012:role/path/r"
        ca_bundle = "/etc/ssl/proxy.pem"
        [log]
        table = "t.a-b_1"
        retention_days = 30
        [quotas]
        describe_alarms = 1
        put_metric_alarm = 0.5
        set_alarm_state = 3
        describe_stream_summary = 4
        update_shard_count = 5
        [high_availability]
        lease_duration = "1m"
        [metrics]
        listen = "[::]:80"
        [notify]
        sns_topic = "arn:aws-us-gov:sns:us-gov-east-1:123456789012:a_b-1.fifo"
        command = ["/usr/local/bin/page", "--team", "data"]
        [alarms]
        up_threshold = 1
        down_threshold = 0.5
        up_periods = 2
        down_periods = 24
        period_seconds = 3600
        throttle_share = 0
        ignore_fields = ["NewField"]
        reads = true
        [defaults]
        alarm_name = "{direction}/{stream}"
        min_shards = 2
        max_shards = 20
        cooldown_up = "1s"
        cooldown_down = "2s"
        reserved_scale_ups = 0
        policy = "adaptive"
        memory = "6h"
        fill = 1
        saving = 0
        max_iterator_age = "10m"
        [[streams]]
        name = "a"
        [[streams]]
        name = "b"
        alarm_name = "other {direction}"
        region = "us-east-1"
        profile = "q"
        role_arn = "arn:aws:iam::123456789012:role/s"
        min_shards = 3
        max_shards = 3
        cooldown_up = "3s"
        cooldown_down = "4s"
        reserved_scale_ups = 10
        policy = "original"
        memory = "1d"
        fill = 0.625
        saving = 0.5
        max_iterator_age = "0s"
        reads = false
        [[streams]]
        alarm = "clicks-scale-down-prod"
        max_shards = 64
    "#;
    let config = Config::from_toml(text).unwrap();
    assert_eq!(config.audit_interval, None);
    assert_eq!(config.call_timeout, Duration::from_millis(1500));
    assert_eq!(config.home.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.quotas.put_metric_alarm, 0.5);
    assert_eq!(
        config.alarms,
        PairDesign {
            up_threshold: 1.0,
            down_threshold: 0.5,
            up_periods: 2,
            down_periods: 24,
            period_seconds: 3600,
            throttle_share: 0.0,
        }
    );
    assert_eq!(
        config.ca_bundle.as_deref(),
        Some(Path::new("/etc/ssl/proxy.pem"))
    );
    assert_eq!(config.ignore_fields, ["NewField"]);
    let notify = config.notify.as_ref().unwrap();
    assert_eq!(notify.region(), Some("us-gov-east-1"));
    let command = ["/usr/local/bin/page", "--team", "data"].map(str::to_owned);
    assert_eq!(notify.command.as_deref(), Some(&command[..]));
    let [a, b, clicks] = &config.subscriptions[..] else {
        panic!("three streams")
    };
    assert_eq!(a.alarms.scale_up, "scale-up/a");
    assert_eq!(a.account, config.home);
    assert_eq!(
        (a.min_shards, a.max_shards, a.reserved_scale_ups),
        (2, 20, 0)
    );
    assert_eq!(
        *b,
        Subscription {
            stream: Some("b".to_owned()),
            alarms: pair("other scale-up"),
            account: Account {
                region: Some("us-east-1".into()),
                profile: Some("q".into()),
                role_arn: Some("arn:aws:iam::123456789012:role/s".into()),
            },
            min_shards: 3,
            max_shards: 3,
            cooldown_up: Duration::from_secs(3),
            cooldown_down: Duration::from_secs(4),
            reserved_scale_ups: 10,
            policy: Policy::Original,
            memory: Duration::from_secs(24 * 60 * 60),
            fill: Permille::new(625),
            saving: Permille::new(500),
            max_iterator_age: None,
            reads: false,
            windows: Arc::default(),
            throttle_share: Share(0),
            origin: Origin::Named,
        }
    );
    assert_eq!(clicks.stream, None);
    assert_eq!(clicks.alarms, pair("clicks-scale-up-prod"));
    assert_eq!((clicks.min_shards, clicks.max_shards), (2, 64));
    assert_eq!(clicks.policy, Policy::Adaptive);
    assert_eq!(clicks.memory, Duration::from_secs(6 * 60 * 60));
    assert_eq!(
        (clicks.fill, clicks.saving),
        (Permille::new(1000), Permille::new(0))
    );
    assert_eq!(clicks.max_iterator_age, Some(Duration::from_secs(600)));
    assert!(clicks.reads);
}

#[test]
fn later_layers_win() {
    let prefixed = |key: &str, value: &str| (format!("KINESIS_AUTOSCALER_{key}"), value.to_owned());
    let check_one = |key: &str, value: &str, change: fn(&mut Config)| {
        let (key, value) = prefixed(key, value);
        check(MINIMAL, &[(&key, &value)], change);
    };
    check_one("LOG__TABLE", "other", |it| {
        it.log.table = "other".to_owned()
    });
    check_one("LOG__TABLE", "12345", |it| {
        it.log.table = "12345".to_owned()
    });
    check_one("LOG__TABLE", "true", |it| it.log.table = "true".to_owned());
    check_one("LOG__RETENTION_DAYS", " 7 ", |it| it.log.retention_days = 7);
    check_one("AUDIT_INTERVAL", "0s", |it| it.audit_interval = None);
    check_one("LOG_FORMAT", "json", |it| it.log_format = LogFormat::Json);
    check_one("QUOTAS__PUT_METRIC_ALARM", "1", |it| {
        it.quotas.put_metric_alarm = 1.0
    });
    check_one("QUOTAS__PUT_METRIC_ALARM", "1e-1", |it| {
        it.quotas.put_metric_alarm = 0.1
    });
    check_one("HIGH_AVAILABILITY__LEASE_DURATION", "5s", |it| {
        it.high_availability = Some(HighAvailability {
            lease_duration: Duration::from_secs(5),
        });
    });
    check_one("DEFAULTS__FILL", "0.7", |it| {
        it.subscriptions[0].fill = Permille::new(700)
    });
    check_one("ALARMS__READS", "true", |it| {
        it.subscriptions[0].reads = true
    });
    check_one("ALARMS__IGNORE_FIELDS", r#"["A", "B"]"#, |it| {
        it.ignore_fields = ["A".to_owned(), "B".to_owned()].into()
    });
    check_one("DEFAULTS__MAX_SHARDS", "8", |it| {
        it.subscriptions[0].max_shards = 8
    });
    check_one("STREAMS", r#"[{name = "clicks", max_shards = 4}]"#, |it| {
        it.subscriptions = vec![Subscription {
            stream: Some("clicks".to_owned()),
            alarms: pair("clicks-scale-up-alarm"),
            max_shards: 4,
            ..orders()
        }];
    });
    check_one("CONFIG", "/elsewhere", |_| ());
    // Kubernetes sets these for a Service named kinesis-autoscaler.
    check_one("PORT", "tcp://10.0.0.1:9184", |_| ());
    check_one("PORT_9184_TCP_ADDR", "10.0.0.1", |_| ());
    check_one("SERVICE_HOST", "10.0.0.1", |_| ());
    check_one("SERVICE_PORT_METRICS", "9184", |_| ());
    check(
        MINIMAL,
        &[("KINESIS_AUTOSCALERS", "x"), ("AWS_REGION", "x")],
        |_| (),
    );
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let mut overrides = variables(&[("KINESIS_AUTOSCALER_LOG__RETENTION_DAYS", "7")]);
    overrides.settings = [
        "log.retention_days=8",
        "log.retention_days = 9",
        "log_format=json",
    ]
    .map(|it| it.parse().unwrap())
    .into();
    let config = load(MINIMAL, overrides).unwrap();
    assert_eq!(config.log.retention_days, 9);
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn the_state_directory_is_systemds_unless_the_file_names_one() {
    let given = |text, directory| {
        load(text, variables(&[("STATE_DIRECTORY", directory)]))
            .unwrap()
            .state_dir
    };
    let own = format!("state_dir = \"mine\"\n{MINIMAL}");
    assert_eq!(given(MINIMAL, "/var/lib/a"), Path::new("/var/lib/a"));
    assert_eq!(
        given(MINIMAL, "/var/lib/a:/var/lib/b"),
        Path::new("/var/lib/a")
    );
    assert_eq!(given(MINIMAL, ""), Path::new("/var/lib/kinesis-autoscaler"));
    assert_eq!(given(&own, "/var/lib/a"), Path::new("mine"));
}

#[test]
fn sections_that_are_there_are_on() {
    let config = Config::from_toml(&format!("{MINIMAL}\n[high_availability]\n[metrics]")).unwrap();
    let lease_duration = Duration::from_secs(30);
    assert_eq!(
        config.high_availability,
        Some(HighAvailability { lease_duration })
    );
    let listen = "127.0.0.1:9184".parse().unwrap();
    assert_eq!(config.metrics, Some(Metrics { listen }));
}

#[test]
fn the_same_name_in_another_account_or_region_is_another_stream() {
    let text = r#"
        log.table = "logs"
        streams = [
            { name = "orders" },
            { name = "orders", region = "us-east-1" },
            { name = "orders", profile = "other" },
            { alarm = "orders-scale-up-alarm", region = "us-east-2" },
        ]
    "#;
    assert_eq!(Config::from_toml(text).unwrap().subscriptions.len(), 4);
}

#[test]
fn regions_that_aws_does_not_have_are_warned_of() {
    for region in [
        "eu-west-1",
        "us-gov-east-1",
        "cn-northwest-1",
        "ap-southeast-7",
        "mx-central-1",
        "us-isob-east-1",
        "eusc-de-east-1",
        "il-central-1",
    ] {
        let config = Config::from_toml(&format!("aws.region = \"{region}\"\n{MINIMAL}")).unwrap();
        assert_eq!(config.warnings(), [], "{region}");
    }
    for region in [
        "eu-west1",
        "eu-wset-1",
        "eu-west",
        "eu-1",
        "xx-west-1",
        "local",
        "eu-west-",
    ] {
        let text = format!(
            "{MINIMAL}region = \"{region}\"\n[[streams]]\nname = \"b\"\nregion = \"{region}\""
        );
        let warnings = Config::from_toml(&text).unwrap().warnings();
        let messages: Vec<_> = warnings.iter().map(|it| it.message.as_str()).collect();
        let expected = format!("`{region}` is not named like a Region of AWS");
        assert_eq!(messages, [expected]);
    }
}

#[test]
fn no_key_looks_like_a_variable_of_kubernetes() {
    for key in known_keys() {
        let ours = ["port", "port_", "service_"]
            .iter()
            .all(|it| !key.starts_with(it));
        assert!(ours, "{key}");
    }
}

#[test]
fn ten_thousand_streams_load() {
    let mut text = "log.table = \"logs\"\n".to_owned();
    for i in 0..10_000 {
        text += &format!("[[streams]]\nname = \"stream-{i}\"\nmax_shards = 64\n");
    }
    assert_eq!(
        Config::from_toml(&text).unwrap().subscriptions.len(),
        10_000
    );
}

fn shipped(name: &str) -> String {
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config")
            .join(name),
    )
    .unwrap()
}

#[test]
fn the_shipped_file_is_that_of_the_declared_keys() {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/config.toml");
        fs::write(path, commented_file()).unwrap();
    }
    assert_eq!(
        shipped("config.toml"),
        commented_file(),
        "to update: UPDATE_EXPECT=1 cargo test --test it the_shipped_file"
    );
}

/// Takes the `#` from each line that is a key or a section, not prose.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|it: char| it == '[' || it.is_ascii_lowercase()) => {
            format!("{key}\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn every_shipped_file_loads() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config")).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|it| it.to_str()) {
            Some("toml") => {
                let text = uncommented(&fs::read_to_string(&path).unwrap());
                Config::from_toml(&text).unwrap();
            }
            Some("json") => {
                let text = fs::read_to_string(&path).unwrap();
                serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
            // The alert rules are tested with the metrics.
            Some("yml") => {}
            // This one with the notifications.
            Some("sh") => {}
            _ => panic!("{} is not tested", path.display()),
        }
    }
}

#[test]
fn the_commented_file_shows_the_defaults() {
    let text = shipped("config.toml");
    let nobody = Config::from_toml(&text).unwrap_err().to_string();
    assert_eq!(nobody, "configuration: streams: no stream is subscribed");
    let plain = format!("{text}\n[[streams]]\nname = \"orders\"\n");
    let plain = Config::from_toml(&plain).unwrap();
    let mut whole = Config::from_toml(&uncommented(&text)).unwrap();
    // Features that are off unless their section exists.
    let bare = format!("{MINIMAL}\n[high_availability]\n[metrics]");
    let bare = Config::from_toml(&bare).unwrap();
    assert_eq!(whole.high_availability.take(), bare.high_availability);
    assert_eq!(whole.metrics.take(), bare.metrics);
    assert!(whole.notify.take().is_some());
    // Keys without a default are shown with an example: the account, and the second stream.
    let home = std::mem::take(&mut whole.home);
    assert!(whole.ca_bundle.take().is_some());
    assert_eq!(whole.subscriptions.len(), 2);
    whole.subscriptions.truncate(1);
    assert_eq!(whole.subscriptions[0].account, home);
    whole.subscriptions[0].account = Account::default();
    assert_eq!(whole.subscriptions[0].windows.len(), 2);
    whole.subscriptions[0].windows = Arc::default();
    assert_eq!(std::mem::take(&mut whole.patterns).len(), 1);
    assert_eq!(whole, plain);
}

#[test]
fn the_commented_file_has_every_key() {
    let text = uncommented(&shipped("config.toml"));
    let mut section = String::new();
    let mut shown = Vec::new();
    for line in text.lines().filter(|it| !it.starts_with('#')) {
        if line.starts_with('[') {
            section = format!("{}.", line.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.split_once(" = ") {
            shown.push(format!("{section}{key}"));
        }
    }
    let mut known = known_keys();
    known.sort();
    shown.sort();
    // A window that opens once is shown by itself.
    shown.dedup();
    assert_eq!(shown, known);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*", value in "\\PC*") {
        let _ = Config::from_toml(&text);
        let _ = Config::from_toml(&format!("log.table = {text:?}\nschedule = {text:?}\nstreams = [{{ name = {text:?}, alarm_name = {value:?} }}]"));
        let _ = load(MINIMAL, variables(&[("KINESIS_AUTOSCALER_STREAMS", &value), ("KINESIS_AUTOSCALER_LOG__TABLE", &text)]));
    }

    #[test]
    fn arbitrary_keys_and_values_never_panic(
        lines in prop::collection::vec(
            (prop::sample::select(known_keys()), "[a-z]{0,3}", "-?[0-9]{1,20}|\"[-a-z0-9{} *:]{0,9}\"|\\[\\[1\\]\\]|\\{a=1\\}|inf|nan|true|1979-05-27"),
            0..8,
        ),
    ) {
        let text: String = lines.iter().map(|(key, tail, value)| format!("{key}{tail} = {value}\n")).collect();
        let _ = Config::from_toml(&text);
        let mut overrides = Overrides::default();
        for (key, tail, value) in lines {
            let name = format!("KINESIS_AUTOSCALER_{key}{tail}").replace('.', "__").to_uppercase();
            overrides.variables.push((OsString::from(name), OsString::from(&value)));
            overrides.settings.extend(format!("{key}{tail}={value}").parse());
        }
        let _ = load(MINIMAL, overrides);
    }
}

#[test]
fn windows_of_every_stream_are_shared_and_a_stream_can_have_its_own() {
    let text = format!(
        "{MINIMAL}\n[[streams]]\nname = \"clicks\"\nwindows = [{{ at = \"2026-11-27T06:00:00Z\", for = \"1h\", hold = \"both\" }}]\n\
         [[streams]]\nname = \"views\"\n\
         [[windows]]\nwhen = \"0 30 7 * * MON-FRI\"\nfor = \"10h\"\ntimezone = \"Europe/Berlin\"\nmin_shards = 8\nahead = \"15m\"\n"
    );
    let config = Config::from_toml(&text).unwrap();
    let [orders, clicks, views] = &config.subscriptions[..] else {
        panic!("three streams: {config:#?}")
    };
    assert!(Arc::ptr_eq(&orders.windows, &views.windows));
    let told = |subscription: &Subscription| -> Vec<String> {
        subscription
            .windows
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let of_all = r#"the window "0 30 7 * * MON-FRI" (Europe/Berlin)"#;
    assert_eq!(told(orders), [of_all]);
    assert_eq!(told(clicks), [of_all, "the window at 2026-11-27T06:00:00Z"]);
    let window = &orders.windows[0];
    // A Friday in winter, then the Monday.
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let next = window.next(at("2026-11-26T12:00:00Z"));
    assert_eq!(next, Some(at("2026-11-27T06:30:00Z")));
    let next = window.next(at("2026-11-27T06:30:00Z"));
    assert_eq!(next, Some(at("2026-11-30T06:30:00Z")));
    let floor = |text: &str| window.constraint(at(text)).and_then(|it| it.floor);
    assert_eq!(floor("2026-11-27T06:14:59Z"), None);
    assert_eq!(floor("2026-11-27T06:15:00Z"), Some(8));
    assert_eq!(floor("2026-11-27T16:29:59Z"), Some(8));
    assert_eq!(floor("2026-11-27T16:30:00Z"), None);
    let variable = r#"[{at = "2026-11-27T06:00:00Z", for = "1h", max_shards = 4}]"#;
    let config = load(
        MINIMAL,
        variables(&[("KINESIS_AUTOSCALER_WINDOWS", variable)]),
    )
    .unwrap();
    assert_eq!(config.subscriptions[0].windows[0].cap, Some(4));
}

#[test]
fn an_entry_can_subscribe_by_pattern() {
    let text = format!(
        "{MINIMAL}\n[[streams]]\nmatch = \"prod-*\"\nexcept = [\"*-test\", \"x?\"]\nmin_shards = 3\n\
         region = \"us-east-1\"\nalarm_name = \"{{direction}}/{{stream}}\"\n[[streams]]\nname = \"b\"\n"
    );
    let config = Config::from_toml(&text).unwrap();
    let [pattern] = &config.patterns[..] else {
        panic!("one pattern")
    };
    assert_eq!((pattern.entry, pattern.glob.as_str()), (1, "prod-*"));
    assert_eq!(pattern.except, ["*-test", "x?"]);
    let found = pattern.subscription("prod-a").unwrap();
    assert_eq!(found.alarms.scale_down, "scale-down/prod-a");
    assert_eq!(found.min_shards, 3);
    assert_eq!(found.account.region.as_deref(), Some("us-east-1"));
    assert!(config.accounts().any(|it| *it == found.account));
    let entries = [0, 1].map(|subscription| config.entry(subscription));
    assert_eq!(entries, [0, 2], "the pattern is entry 1");
    let alone = "[log]\ntable = \"logs\"\n[[streams]]\nmatch = \"*\"\n";
    assert_eq!(Config::from_toml(alone).unwrap().subscriptions, []);
}
