//! Errors of the configuration: all at once, each with its place and its
//! key.

use kinesis_autoscaler::{
    config::{Config, Error, Origin, Overrides, Problem},
    output::error::{Exit, Failure},
};

use crate::config::{MINIMAL, load, variables};

/// Key path, and a part of `message | hint`.
type Expected<'a> = &'a [(&'a str, &'a str)];

#[track_caller]
fn check_problems(what: &str, result: Result<Config, Error>, expected: Expected) {
    let error = result.expect_err(what);
    let found: Vec<_> = error.problems().iter().map(spoken).collect();
    assert_eq!(found.len(), expected.len(), "{what}\n{found:#?}");
    for ((key, text), (expected_key, fragment)) in found.iter().zip(expected) {
        assert_eq!(key, expected_key, "{what}\n{found:#?}");
        assert!(
            text.contains(fragment),
            "{what}\n{fragment:?} in {found:#?}"
        );
    }
}

fn spoken(problem: &Problem) -> (String, String) {
    let hint = problem.hint.as_deref().unwrap_or_default();
    (problem.key.clone(), format!("{} | {hint}", problem.message))
}

/// `text` comes after `MINIMAL`: in the entry of the stream, or a section of its own.
#[track_caller]
fn check(text: &str, expected: Expected) {
    check_problems(
        text,
        Config::from_toml(&format!("{MINIMAL}\n{text}")),
        expected,
    );
}

#[track_caller]
fn check_variables(of: &[(&str, &str)], expected: Expected) {
    check_problems(&format!("{of:?}"), load(MINIMAL, variables(of)), expected);
}

/// `<toml> => <key path>: <part of "message | hint">`; `\n` breaks the line.
#[track_caller]
fn check_lines(lines: &str, load: impl Fn(&str) -> Result<Config, Error>) {
    for line in lines.lines().filter(|it| !it.is_empty()) {
        let (text, rest) = line.split_once(" => ").unwrap();
        let (key, fragment) = rest.split_once(": ").unwrap();
        let result = load(&text.replace("\\n", "\n"));
        check_problems(line, result, &[(key, fragment)]);
    }
}

const OUT_OF_RANGE: &str = r#"
schedule = "* * * * *"                            => schedule: expected 6 fields, found 5 | the seconds come first: "0 * * * * *"
schedule = ""                                     => schedule: expected 6 fields, found 0
schedule = "@hourly"                              => schedule: expected 6 fields, found 1 | second, minute, hour
schedule = "0 * * * * * 2030"                     => schedule: expected 6 fields, found 7
schedule = "0 61 * * * *"                         => schedule: minute 61 is out of range 0-59
schedule = "0 0 24 * * *"                         => schedule: hour 24 is out of range 0-23
schedule = "0 0 0 0 * *"                          => schedule: day of month 0 is out of range 1-31
schedule = "0 0 0 * 1-13 *"                       => schedule: month 13 is out of range 1-12
schedule = "5,99999999999 * * * * *"              => schedule: second 99999999999 is out of range 0-59
schedule = "0 */99 * * * *"                       => schedule: minute step 99 is out of range 1-59
schedule = "*/0 * * * * *"                        => schedule: second step 0 is out of range 1-59
schedule = "a b c d e f"                          => schedule: invalid cron expression `a b c d e f`: 
schedule = "0 0 0 30 2 *"                         => schedule: never fires
schedule = "0 0 0 31 4,6,9,11 *"                  => schedule: never fires
schedule = 5                                      => schedule: expected a string, found 5
audit_interval = 15                               => audit_interval: expected a duration, found 15 | write it as a string
audit_interval = "15"                             => audit_interval: time unit needed
audit_interval = "367d"                           => audit_interval: at most 366 days
audit_interval = "soon"                           => audit_interval: invalid duration `soon`
audit_interval = 1979-05-27                       => audit_interval: found a date
tick_timeout = "0s"                               => tick_timeout: longer than 0s
call_timeout = "0s"                               => call_timeout: longer than 0s
call_timeout = "99999999999999999999s"            => call_timeout: invalid duration
log_format = "xml"                                => log_format: must be "text" or "json"
log_format = true                                 => log_format: found true
state_dir = ""                                    => state_dir: must not be empty
aws.region = ""                                   => aws.region: invalid Region ""; expected for example `eu-west-1`
aws.region = "EU (Ireland)"                       => aws.region: invalid Region "EU (Ireland)"; expected for example `eu-west-1`
aws.profile = ""                                  => aws.profile: must not be empty
aws.role_arn = "arn:aws:iam::123:role/x"          => aws.role_arn: invalid role ARN
aws.role_arn = "arn:aws:iam::123456789012:user/x" => aws.role_arn: invalid role ARN
aws.role_arn = "arn:aws:iam::123456789012:role/"  => aws.role_arn: invalid role ARN
aws = 3                                           => aws: expected a table, found 3 | its keys are set one by one: region, profile, role_arn, ca_bundle
quotas.describe_alarms = 0                        => quotas.describe_alarms: above 0
quotas.describe_alarms = -1.5                     => quotas.describe_alarms: above 0
quotas.describe_alarms = nan                      => quotas.describe_alarms: finite
quotas.describe_alarms = inf                      => quotas.describe_alarms: finite
quotas.describe_alarms = "8"                      => quotas.describe_alarms: expected a number, found the string "8"
high_availability.lease_duration = "0s"           => high_availability.lease_duration: longer than 0s
high_availability = true                          => high_availability: expected a table
metrics.listen = "localhost:9184"                 => metrics.listen: an IP address, not a host name
metrics.listen = "127.0.0.1"                      => metrics.listen: invalid address "127.0.0.1"
notify = 3                                        => notify: expected a table, found 3 | its keys are set one by one: sns_topic, command
notify = {}                                       => notify: the section names nothing to notify | set sns_topic or command
notify.sns_topic = "kinesis-scaling"              => notify.sns_topic: invalid topic ARN "kinesis-scaling" | expected for example "arn:aws:sns:eu-west-1:
notify.sns_topic = "arn:aws:sqs:eu-west-1:123456789012:a" => notify.sns_topic: invalid topic ARN
notify.sns_topic = "arn:aws:sns::123456789012:a"  => notify.sns_topic: invalid topic ARN
notify.sns_topic = "arn:aws:sns:eu-west-1:123:a"  => notify.sns_topic: invalid topic ARN
notify.sns_topic = "arn:aws:sns:eu-west-1:123456789012:a b" => notify.sns_topic: invalid topic ARN
notify.sns_topic = "arn:aws:sns:eu-west-1:123456789012:.fifo" => notify.sns_topic: invalid topic ARN
notify.sns_topic = "arn:aws:sns:eu-west-1:123456789012:a:0f3c" => notify.sns_topic: the ARN of a subscription
notify.command = []                               => notify.command: must not be empty | write the program and each argument
notify.command = "/usr/bin/page"                  => notify.command: expected an array of strings, found the string "/usr/bin/page" | write the program and each argument
notify.command = ["page", "x"]                    => notify.command: the program "page" is not an absolute path | write its whole path
notify.command = [""]                             => notify.command: the program "" is not an absolute path
notify.command = ["/bin/page", "a\u0000b"]        => notify.command: NUL character
notify.topic = "a"                                => notify.topic: unknown key | known here: sns_topic, command
alarms.up_threshold = 0                           => alarms.up_threshold: above 0 and at most 1
alarms.up_threshold = 75                          => alarms.up_threshold: above 0 and at most 1
alarms.down_threshold = nan                       => alarms.down_threshold: above 0 and at most 1
alarms.down_threshold = 0.8                       => alarms.down_threshold: not below up_threshold, which is 0.75
alarms.period_seconds = 90                        => alarms.period_seconds: multiple of 60, is 90 | Kinesis gives its metrics once a minute
alarms.period_seconds = 10                        => alarms.period_seconds: from 60 to 86400
alarms.up_periods = 0                             => alarms.up_periods: from 1 to 10080
alarms.down_periods = 289                         => alarms.down_periods: 86700 s | CloudWatch looks back at most 86400 s
alarms = { period_seconds = 3600, down_periods = 169 } => alarms.down_periods: at most 604800 s
alarms.throttle_share = 1.01                      => alarms.throttle_share: from 0 to 1, is 1.01
alarms.throttle_share = nan                       => alarms.throttle_share: from 0 to 1
alarms.ignore_fields = "EvaluationState"          => alarms.ignore_fields: expected an array of strings, found the string
alarms.ignore_fields = [1]                        => alarms.ignore_fields: expected an array of strings
alarms.reads = "yes"                              => alarms.reads: expected true or false, found the string "yes"
defaults.policy = "adaptable"                     => defaults.policy: must be "original" or "adaptive", is "adaptable"
defaults.cooldown_down = "14d 1s"                   => defaults.cooldown_down: 14days 1s is longer than log.retention_days, which is 14
defaults.memory = "0s"                            => defaults.memory: longer than 0s
defaults.memory = "59m"                           => defaults.memory: at least 1h, is 59m
defaults.memory = "8d"                            => defaults.memory: at most 7days, is 8d
defaults.fill = 0                                 => defaults.fill: above 0 and at most 1, is 0
defaults.fill = 0.5555                            => defaults.fill: at most three decimals, is 0.5555
defaults.saving = -0.1                            => defaults.saving: from 0 to 0.5, is -0.1
defaults.saving = 0.6                             => defaults.saving: from 0 to 0.5, is 0.6
defaults.max_iterator_age = 600                   => defaults.max_iterator_age: expected a duration, found 600
aws.ca_bundle = ""                                => aws.ca_bundle: must not be empty
defaults.min_shards = 0                           => defaults.min_shards: from 1 to 10000, is 0
defaults.max_shards = 10001                       => defaults.max_shards: from 1 to 10000, is 10001
defaults.max_shards = 4.5                         => defaults.max_shards: expected a whole number, found 4.5
defaults.max_shards = -9223372036854775808        => defaults.max_shards: is -9223372036854775808
defaults.reserved_scale_ups = 11                  => defaults.reserved_scale_ups: from 0 to 10, is 11
defaults.cooldown_up = "14d"\ndefaults.cooldown_down = "2y" => defaults.cooldown_down: at most 366 days
defaults = { min_shards = 5, max_shards = 4 }     => defaults.min_shards: min_shards is 5, above max_shards, which is 4
defaults.alarm_name = "{stream}"                  => defaults.alarm_name: has no {direction}
defaults.alarm_name = "{direction}"               => defaults.alarm_name: has no {stream}
defaults.alarm_name = "{stream}-{dir}"            => defaults.alarm_name: unknown placeholder {dir}
defaults.alarm_name = "{stream}-{direction"       => defaults.alarm_name: unbalanced brace
defaults.alarm_name = "{stream}-direction}"       => defaults.alarm_name: unbalanced brace
"#;

const UNKNOWN: &str = r#"
shedule = "0 * * * * *"        => shedule: did you mean `schedule`?
region = "eu-west-1"           => region: goes under [aws] or under [[streams]]
max_shards = 5                 => max_shards: goes under [defaults] or under [[windows]] or under [[streams]]
timezone = "UTC"               => timezone: goes under [[windows]]
qqqqqq = 1                     => qqqqqq: known here: schedule, audit_interval
defalts = {}                   => defalts: did you mean `defaults`?
aws.regoin = "eu-west-1"       => aws.regoin: did you mean `region`?
aws.schedule = "x"             => aws.schedule: at the top, before the first [section]
quotas.put_metrics_alarm = 1   => quotas.put_metrics_alarm: did you mean `put_metric_alarm`?
high_availability.lease = "1s" => high_availability.lease: known here: lease_duration
metrics.port = 1               => metrics.port: known here: listen
defaults.name = "x"            => defaults.name: goes under [[streams]]
"#;

const ENTRIES: &str = r#"
name = "a b"                                      => streams[1].name: 1 to 128 letters
name = ""                                         => streams[1].name: invalid stream name
name = "arn:aws:kinesis:eu-west-1:123456789012:stream/a" => streams[1].name: not the ARN
name = 7                                          => streams[1].name: found 7
alarm = "clicks"                                  => streams[1].alarm: neither `scale-up` nor `scale-down`
alarm = "scale-up-scale-down"                     => streams[1].alarm: both
alarm = "scale-up\u0007"                         => streams[1].alarm: control character
name = "a"\nalarm = "scale-up"                    => streams[1].alarm: either `name` or `alarm`
alarm = "a-scale-up"\nalarm_name = "{direction}"  => streams[1].alarm_name: already names the pair
name = "a"\nalarm_name = "{stream}"               => streams[1].alarm_name: no {direction}
name = "a"\nalarm_name = "scale-down {direction}" => streams[1].alarm_name: both
name = "my-scale-up-log"                          => streams[1].name: both
name = "a"\nmin_shards = 4\nmax_shards = 2        => streams[1].min_shards: min_shards is 4, above max_shards, which is 2
name = "a"\ncooldown_up = "-1s"                   => streams[1].cooldown_up: invalid duration `-1s`
name = "a"\ncooldown_down = "15d"                 => streams[1].cooldown_down: 15days is longer than log.retention_days
name = "a"\npolicy = "x"                          => streams[1].policy: must be "original" or "adaptive", is "x"
name = "a"\nreads = 1                             => streams[1].reads: expected true or false, found 1
name = "a"\nreserved_scale_ups = 11               => streams[1].reserved_scale_ups: from 0 to 10
name = "a"\nrole_arn = "role/a"                   => streams[1].role_arn: invalid role ARN
match = ""                                        => streams[1].match: invalid pattern "" | `*` stands for any characters
match = "prod-[ab]"                               => streams[1].match: invalid pattern "prod-[ab]" | `*` stands for any characters and `?` for one
match = ["a", "b"]                                => streams[1].match: expected a string
match = "a*"\nexcept = "*-test"                   => streams[1].except: expected an array of strings
match = "a*"\nexcept = ["a b"]                    => streams[1].except: invalid pattern "a b"
match = "a*"\nname = "a"                          => streams[1].match: either `name` or `match`, this one has both
match = "a*"\nalarm = "a-scale-up"                => streams[1].match: either `alarm` or `match`, this one has both
name = "a"\nexcept = ["b"]                        => streams[1].except: there is none | add `match = "prod-*"`
except = ["b"]                                    => streams[1].except: there is none
match = "a*"\nalarm_name = "{direction}"          => streams[1].alarm_name: no {stream} in it
match = "a*"\nalarm_name = "{stream}"             => streams[1].alarm_name: no {direction} in it
match = "a*"\nalarm_name = "{stream}-scale-up-{direction}" => streams[1].alarm_name: both `scale-up` and `scale-down`
match = "a*"\nmin_shards = 4\nmax_shards = 2      => streams[1].min_shards: above max_shards, which is 2
match = "a*"\nmach = "b*"                         => streams[1].mach: did you mean `match`?
"#;

/// Windows, each with its own error.
const WINDOWS: &str = r#"
for = "1h", hold = "up" => .when: neither `when` nor `at` | write when =
when = "0 0 7 * * *", at = "2026-11-27T06:00:00Z", for = "1h", hold = "up" => .at: either `when` or `at`, this one has both
at = "2026-11-27T06:00:00Z", hold = "up" => .for: no `for` | say how long it is open
at = "2026-11-27T06:00:00Z", for = "1h" => : changes nothing | set min_shards, max_shards or hold
at = "2026-11-27", for = "1h", hold = "up" => .at: invalid time "2026-11-27" | write date, time and offset
at = 2026-11-27T06:00:00Z, for = "1h", hold = "up" => .at: expected a string, found a date
when = "30 7 * * *", for = "1h", hold = "up" => .when: expected 6 fields, found 5 | the seconds come first
when = "0 30 25 * * *", for = "1h", hold = "up" => .when: hour 25 is out of range 0-23
when = "0 0 0 30 2 *", for = "1h", hold = "up" => .when: never fires
when = "0 0 7 * * *", for = "0s", hold = "up" => .for: longer than 0s
when = "0 0 7 * * *", for = "1h", hold = "up", timezone = "Europe/Berln" => .timezone: there is no time zone "Europe/Berln" | did you mean "Europe/Berlin"?
when = "0 0 7 * * *", for = "1h", hold = "up", timezone = "" => .timezone: there is no time zone "" | expected a name such as
when = "0 0 7 * * *", for = "1h", hold = "sideways" => .hold: must be "up" or "down" or "both", is "sideways"
when = "0 0 7 * * *", for = "1h", min_shards = 0 => .min_shards: from 1 to 10000
when = "0 0 7 * * *", for = "1h", min_shards = 9, max_shards = 8 => .min_shards: min_shards is 9, above max_shards, which is 8
when = "0 0 7 * * *", for = "1h", hold = "up", ahead = "-5m" => .ahead: invalid duration
when = "0 0 7 * * *", for = "1h", hold = "up", ahed = "5m" => .ahed: did you mean `ahead`?
"#;

#[test]
fn windows_are_checked() {
    let with_all = |window: &str| format!("windows = [{{ {window} }}]\n{MINIMAL}");
    let with_own = |window: &str| format!("{MINIMAL}\nwindows = [{{ {window} }}]");
    for line in WINDOWS.lines().filter(|it| !it.is_empty()) {
        let (window, rest) = line.split_once(" => ").unwrap();
        let (key, fragment) = rest.split_once(": ").unwrap();
        for (text, path) in [
            (with_all(window), "windows[0]"),
            (with_own(window), "streams[0].windows[0]"),
        ] {
            let key = format!("{path}{key}");
            check_problems(line, Config::from_toml(&text), &[(&key, fragment)]);
        }
    }
    let floor = "at = \"2026-11-27T06:00:00Z\", for = \"1h\", min_shards = 9";
    check(
        &format!("max_shards = 8\nwindows = [{{ {floor} }}]"),
        &[(
            "streams[0].windows[0].min_shards",
            "min_shards is 9, above max_shards of the stream, which is 8 | lower it, or set a higher",
        )],
    );
    check(
        &format!(
            "[[windows]]\n{}\n[defaults]\nmax_shards = 8",
            floor.replace(", ", "\n")
        ),
        &[(
            "windows[0].min_shards",
            "above defaults.max_shards, which is 8",
        )],
    );
    check(
        "windows = [\"night\"]",
        &[(
            "streams[0].windows[0]",
            "expected a table, found the string",
        )],
    );
    check(
        "windows = \"night\"",
        &[(
            "streams[0].windows",
            "expected an array of tables, found the string \"night\" | write windows = [{ when",
        )],
    );
    check(
        "[windows]\nhold = \"up\"",
        &[(
            "windows",
            "expected an array of tables, found a table | each window starts with [[windows]]",
        )],
    );
    // All errors are reported at once.
    check(
        "[[windows]]\nwhen = \"x\"\ntimezone = \"Mars\"\nmin_shards = 3\nmax_shards = 2\n[[windows]]\nhold = \"up\"",
        &[
            ("windows[0].for", "no `for`"),
            ("windows[0].min_shards", "above max_shards"),
            ("windows[0].timezone", "no time zone"),
            ("windows[0].when", "expected 6 fields"),
            ("windows[1].for", "no `for`"),
            ("windows[1].when", "neither `when` nor `at`"),
        ],
    );
}

#[test]
fn values_out_of_range_are_refused() {
    check_lines(OUT_OF_RANGE, |text| {
        Config::from_toml(&format!("{text}\n{MINIMAL}"))
    });
}

#[test]
fn the_log_table_and_a_stream_are_required() {
    let table = "kinesis-autoscaler table create";
    for (text, expected) in [
        (
            "",
            &[("log.table", table), ("streams", "no stream is subscribed")][..],
        ),
        (
            "[log]\ntable = \"no\"\n[[streams]]\nname = \"a\"",
            &[("log.table", "3 to 255")],
        ),
        (
            "[log]\ntable = \"a b c\"\n[[streams]]\nname = \"a\"",
            &[("log.table", "invalid table name")],
        ),
        (
            "[log]\ntable = 5\n[[streams]]\nname = \"a\"",
            &[("log.table", "found 5")],
        ),
        (
            "log = 5\n[[streams]]\nname = \"a\"",
            &[("log", "expected a table")],
        ),
        (
            "[log]\ntabel = \"logs\"\n[[streams]]\nname = \"a\"",
            &[("log.tabel", "did you mean `table`?")],
        ),
        (
            "[log]\ntable = \"logs\"\nretention_days = 0\n[[streams]]\nname = \"a\"",
            &[("log.retention_days", "1 to 3650")],
        ),
        (
            "streams = []\nlog.table = \"logs\"",
            &[("streams", "no stream")],
        ),
        (
            "log.table = \"logs\"\n[streams]\nname = \"a\"",
            &[(
                "streams",
                "expected an array of tables, found a table | each entry starts with [[streams]]",
            )],
        ),
        (
            "log.table = \"logs\"\nstreams = [\"a\"]",
            &[("streams[0]", "expected a table, found the string \"a\"")],
        ),
    ] {
        check_problems(text, Config::from_toml(text), expected);
    }
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    check_lines(UNKNOWN, |text| {
        Config::from_toml(&format!("{text}\n{MINIMAL}"))
    });
    check(
        "max_shard = 5",
        &[("streams[0].max_shard", "did you mean `max_shards`?")],
    );
    check(
        "[[streams]]\nnmae = \"x\"",
        &[("streams[1].nmae", "did you mean `name`?")],
    );
}

#[test]
fn entries_of_streams_are_checked() {
    let long = "x".repeat(129);
    let long_alarm = format!("alarm = \"scale-up{}\"", "x".repeat(247));
    check_lines(ENTRIES, |text| {
        Config::from_toml(&format!("{MINIMAL}\n[[streams]]\n{text}"))
    });
    for (text, key, fragment) in [
        (
            format!("name = \"{long}\""),
            "streams[1].name",
            "invalid stream name",
        ),
        (long_alarm, "streams[1].alarm", "would have 257 characters"),
    ] {
        check(&format!("[[streams]]\n{text}"), &[(key, fragment)]);
    }
    check(
        "[[streams]]\nmax_shards = 3",
        &[("streams[1]", "neither `name` nor `alarm`")],
    );
    check(
        "min_shards = 9\n[defaults]\nmax_shards = 8",
        &[("streams[0].min_shards", "above max_shards, which is 8")],
    );
    check(
        "max_shards = 3\n[defaults]\nmin_shards = 4",
        &[("streams[0].max_shards", "min_shards is 4")],
    );
}

#[test]
fn streams_and_alarms_are_subscribed_once() {
    check(
        "[[streams]]\nname = \"orders\"",
        &[(
            "streams[1].name",
            "\"orders\" is already subscribed by streams[0]",
        )],
    );
    check(
        "[[streams]]\nalarm = \"orders-scale-down-alarm\"",
        &[("streams[1].alarm", "already the alarm of streams[0]")],
    );
    check(
        "[[streams]]\nname = \"a\"\nalarm_name = \"orders-{direction}-alarm\"\n[[streams]]\nname = \"a\"",
        &[
            ("streams[1].alarm_name", "already the alarm of streams[0]"),
            ("streams[2].name", "already subscribed by streams[1]"),
        ],
    );
}

#[test]
fn all_is_said_at_once() {
    let text = r#"
        schedule = "* * * * *"
        [log]
        retention_days = 5000
        [quotas]
        put_metric_alarm = 0
        [defaults]
        alarm_name = "x"
        [[streams]]
        name = "a"
        min_shards = 20
        max_shards = 10
        typo = 1
        [[streams]]
        name = "b!"
        [[streams]]
        name = "a"
        alarm_name = "{direction}"
        [[streams]]
        max_shards = "64"
        [[streams]]
        name = "e"
        cooldown_up = 3
        [[streams]]
        name = "a"
        alarm_name = "two {direction}"
    "#;
    check_problems(
        text,
        Config::from_toml(text),
        &[
            ("defaults.alarm_name", "no {direction}"),
            ("log.retention_days", "3650"),
            ("log.table", "missing"),
            ("quotas.put_metric_alarm", "above 0"),
            ("schedule", "found 5"),
            ("streams[0].min_shards", "above"),
            ("streams[0].typo", "unknown key"),
            ("streams[1].name", "invalid stream name"),
            ("streams[2].name", "already subscribed by streams[0]"),
            ("streams[3]", "neither"),
            ("streams[3].max_shards", "found the string \"64\""),
            ("streams[4].cooldown_up", "expected a duration"),
            ("streams[5].name", "already subscribed by streams[0]"),
        ],
    );
}

#[test]
fn variables_are_checked_and_named() {
    for (name, value, key, fragment) in [
        (
            "LGO__TABLE",
            "x",
            "lgo",
            "did you mean KINESIS_AUTOSCALER_LOG__TABLE?",
        ),
        (
            "LOG_TABLE",
            "x",
            "log_table",
            "did you mean KINESIS_AUTOSCALER_LOG__TABLE?",
        ),
        (
            "LOG__TABEL",
            "x",
            "log.tabel",
            "did you mean KINESIS_AUTOSCALER_LOG__TABLE?",
        ),
        ("QQQQQQQQQQ", "x", "qqqqqqqqqq", "two underscores"),
        ("LOG__", "x", "log.", "no key has this variable"),
        ("A.B", "x", "a.b", "no key has this variable"),
        ("LOG", "x", "log", "expected a table"),
        (
            "SCHEDULE__X",
            "x",
            "schedule",
            "expected a string, found a table",
        ),
        (
            "LOG__RETENTION_DAYS",
            "many",
            "log.retention_days",
            "expected a whole number, found the string \"many\"",
        ),
        (
            "LOG__RETENTION_DAYS",
            "0",
            "log.retention_days",
            "from 1 to 3650",
        ),
        (
            "QUOTAS__DESCRIBE_ALARMS",
            "inf",
            "quotas.describe_alarms",
            "finite",
        ),
        ("TICK_TIMEOUT", "0", "tick_timeout", "longer than 0s"),
        ("STREAMS__0__NAME", "x", "streams", "expected an array"),
        ("STREAMS", "orders", "streams", "expected an array"),
        ("STREAMS", "\"é\\A\"", "streams", "expected an array"),
        (
            "STREAMS",
            r#"[{nmae = "x"}]"#,
            "streams[0].nmae",
            "did you mean `name`?",
        ),
        ("STREAMS", "[{name = 1}]", "streams[0].name", "found 1"),
    ] {
        let name = format!("KINESIS_AUTOSCALER_{name}");
        check_problems(
            &name,
            load(MINIMAL, variables(&[(&name, value)])),
            &[(key, fragment)],
        );
        let error = load(MINIMAL, variables(&[(&name, value)])).unwrap_err();
        let origin = &error.problems()[0].origin;
        let named = matches!(origin, Origin::Variable(it) if name.starts_with(it.as_str()));
        assert!(named, "{name}: {origin:?}");
    }
    check_variables(
        &[
            ("KINESIS_AUTOSCALER_LOG", "x"),
            ("KINESIS_AUTOSCALER_LOG__TABLE", "x"),
        ],
        &[
            ("log", "expected a table"),
            ("log.table", "another variable"),
        ],
    );
}

#[test]
fn the_command_line_is_named() {
    let mut overrides = Overrides::default();
    overrides
        .settings
        .push("log.retention_days=0".parse().unwrap());
    let error = load(MINIMAL, overrides).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--set: log.retention_days: must be from 1 to 3650, is 0"
    );
}

#[test]
fn syntax_errors_have_line_and_column() {
    for (text, position, fragment) in [
        ("a = 1\nb = = 2\n", (2, 5), "extra `=`"),
        ("[log]\ntable = \"x\ny\"", (2, 11), "invalid basic string"),
        ("é = 1", (1, 1), "invalid unquoted key"),
        (
            "[log]\ntable = \"a\"\ntable = \"b\"",
            (3, 1),
            "duplicate key",
        ),
    ] {
        let error = Config::from_toml(text).unwrap_err();
        let [problem] = error.problems() else {
            panic!("{error}")
        };
        let path = None;
        let position = Some(position);
        assert_eq!(problem.origin, Origin::File { path, position }, "{error}");
        assert!(error.to_string().contains(fragment), "{error}");
    }
}

#[test]
fn other_languages_are_recognized() {
    for (text, expected) in [
        (
            "# mine\nlog:\n  table: logs\n",
            "not TOML (looks like YAML)",
        ),
        ("---\nschedule: x\n", "not TOML (looks like YAML)"),
        ("- name: orders\n", "not TOML (looks like YAML)"),
        ("{\n  \"log\": {}\n}\n", "not TOML (looks like JSON)"),
    ] {
        let error = Config::from_toml(text).unwrap_err();
        let [problem] = error.problems() else {
            panic!("{error}")
        };
        assert_eq!(problem.message, expected);
        assert!(problem.hint.is_some(), "the parser's own message");
    }
    let toml = Config::from_toml("log.table = \"a: b\nx\"").unwrap_err();
    assert!(!toml.to_string().contains("looks like"), "{toml}");
}

#[test]
fn files_that_cannot_be_read_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.toml");
    std::fs::write(&bad, b"a = 1\nb = \"\xff\"").unwrap();
    for (path, expected) in [
        (
            directory.path().join("none.toml"),
            "none.toml: there is no such file",
        ),
        (directory.path().to_owned(), "this is a directory"),
        (bad, "bad.toml:2:6: the file is not UTF-8 from here on"),
    ] {
        let failure = Failure::from(Config::load(&path, Overrides::default()).unwrap_err());
        assert_eq!(failure.exit, Exit::Config);
        let text = failure.to_string();
        assert!(text.contains(expected), "{text}");
        if !text.contains("UTF-8") {
            for word in [
                "--config",
                "KINESIS_AUTOSCALER_CONFIG",
                "--sandbox",
                "caused by:",
            ] {
                assert!(text.contains(word), "{text}");
            }
        }
    }
}

#[test]
fn a_problem_reads_as_error_and_hint() {
    let text = format!("{MINIMAL}\nmax_shard = 5\nmin_shards = 0");
    let failure = Failure::from(Config::from_toml(&text).unwrap_err());
    assert_eq!(
        failure.to_string(),
        "error: configuration: streams[0].max_shard (orders): unknown key\n\
         hint: did you mean `max_shards`?\n\
         error: configuration: streams[0].min_shards (orders): must be from 1 to 10000, is 0"
    );
}
