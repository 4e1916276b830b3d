//! The command line: how it parses, and wrong usage.

use std::{ffi::OsStr, path::Path, time::Duration};

use kinesis_autoscaler::cli::{
    AlarmsCommand, Cli, Command, ConfigCommand, Design, Format, History, Moment, Output, Scale,
    Shards, Status, Step, Streams, TableCommand, Target, Zone, ZoneName,
};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_from_args(
        ["kinesis-autoscaler"]
            .into_iter()
            .chain(line.split_whitespace()),
    )
}

#[track_caller]
fn check(line: &str, change: impl FnOnce(&mut Cli)) {
    let mut expected = Cli {
        config: None,
        once: false,
        dry_run: false,
        sandbox: false,
        output: Output::Text,
        set: Vec::new(),
        quiet: false,
        verbose: false,
        command: None,
    };
    change(&mut expected);
    match parse(line) {
        Ok(cli) => assert_eq!(cli, expected, "{line}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

#[test]
fn flags_parse() {
    check("", |_| ());
    check("--once --dry-run", |it| {
        (it.once, it.dry_run) = (true, true)
    });
    check("--config a.toml", |it| it.config = Some("a.toml".into()));
    check("--sandbox", |it| it.sandbox = true);
    check("-q", |it| it.quiet = true);
    check("--verbose", |it| it.verbose = true);
    check("--once --output json", |it| {
        (it.once, it.output) = (true, Output::Json)
    });
    check("--set a.b=c=d --set e=", |it| {
        it.set = ["a.b=c=d", "e="].map(|it| it.parse().unwrap()).into();
    });
}

#[test]
fn short_flags_mean_the_same_as_long_ones() {
    for (short, long) in [
        (
            "--once -n -c a.toml -o json",
            "--once --dry-run --config a.toml --output json",
        ),
        ("-q status", "--quiet status"),
        (
            "-v status -s a -s b",
            "--verbose status --stream a --stream b",
        ),
        ("status -w 10s", "status --watch 10s"),
        ("scale a --to 4 -y", "scale a --to 4 --yes"),
        ("backtest -y -s a", "backtest --yes --stream a"),
    ] {
        let (short, long) = (parse(short), parse(long));
        assert_eq!(short.expect("it parses"), long.expect("it parses"));
    }
}

#[test]
fn commands_parse() {
    let command = |line: &str, command| check(line, |it| it.command = Some(command));
    let streams = |names: &[&str]| Streams {
        names: names.iter().map(|it| (*it).to_owned()).collect(),
    };
    let checked = |offline, policy| Command::Check {
        offline,
        policy,
        strict: false,
        streams: Streams::default(),
    };
    command("check", checked(false, false));
    command("check --offline", checked(true, false));
    command("check --policy", checked(false, true));
    command("status", Command::Status(Status::default()));
    command(
        "status --stream orders --stream prod-*",
        Command::Status(Status {
            streams: streams(&["orders", "prod-*"]),
            ..Status::default()
        }),
    );
    command(
        "status orders --problems --watch 10s",
        Command::Status(Status {
            page: Some("orders".to_owned()),
            problems: true,
            watch: Some(Duration::from_secs(10)),
            ..Status::default()
        }),
    );
    let history = |names: &[&str], days: u64, svg: Option<&str>| {
        Command::History(History {
            streams: streams(names),
            since: Moment::Ago(Duration::from_secs(days * 86_400)),
            until: None,
            svg: svg.map(Into::into),
            zone: Zone::default(),
        })
    };
    command("history", history(&[], 7, None));
    command(
        "history --stream s --since 2d --svg a.svg",
        history(&["s"], 2, Some("a.svg")),
    );
    let shards = |closed, region: Option<&str>| {
        Command::Shards(Shards {
            stream: "s".to_owned(),
            closed,
            region: region.map(str::to_owned),
            account: None,
        })
    };
    command("shards s", shards(false, None));
    command(
        "status --time local",
        Command::Status(Status {
            zone: Zone {
                name: ZoneName::Local,
            },
            ..Status::default()
        }),
    );
    command("shards s --closed --region r", shards(true, Some("r")));
    let init = ConfigCommand::Init {
        out: Some("a.toml".into()),
    };
    command(
        "config init --out a.toml",
        Command::Config { command: init },
    );
    let show = ConfigCommand::Show;
    command("config show", Command::Config { command: show });
    let alarms = |command| Command::Alarms { command };
    command(
        "alarms print",
        alarms(AlarmsCommand::Print {
            streams: streams(&[]),
            shards: None,
            format: Format::Json,
            design: Design::default(),
        }),
    );
    command(
        "alarms print --shards 4 --format cloudformation --up-threshold 0.8 --period-seconds 60",
        alarms(AlarmsCommand::Print {
            streams: streams(&[]),
            shards: Some(4),
            format: Format::Cloudformation,
            design: Design {
                up_threshold: Some(0.8),
                period_seconds: Some(60),
                ..Design::default()
            },
        }),
    );
    command(
        "alarms create --stream s --replace",
        alarms(AlarmsCommand::Create {
            streams: streams(&["s"]),
            replace: true,
            design: Design::default(),
        }),
    );
    command(
        "table print",
        Command::Table {
            command: TableCommand::Print {
                format: Format::Json,
            },
        },
    );
    command(
        "table create",
        Command::Table {
            command: TableCommand::Create,
        },
    );
    let scale = |target, wait, yes| {
        let stream = "s".to_owned();
        Command::Scale(Scale {
            stream,
            target,
            region: None,
            account: None,
            wait,
            yes,
            note: None,
            force_max: None,
        })
    };
    let to = Target {
        to: Some(4),
        by: None,
    };
    command("scale s --to 4 --wait --yes", scale(to, true, true));
    for (text, step) in [
        ("+4", Step::Shards(4)),
        ("-4", Step::Shards(-4)),
        ("25%", Step::Percent(25)),
        ("+25%", Step::Percent(25)),
        ("-25%", Step::Percent(-25)),
        ("100%", Step::Percent(100)),
        ("-50%", Step::Percent(-50)),
    ] {
        let by = Target {
            to: None,
            by: Some(step),
        };
        command(&format!("scale s --by {text}"), scale(by, false, false));
        command(&format!("scale s --by={text}"), scale(by, false, false));
    }
}

#[test]
fn global_flags_stand_anywhere() {
    for line in [
        "--config a --output json status",
        "status --config a --output json",
    ] {
        check(line, |it| {
            it.config = Some("a".into());
            it.output = Output::Json;
            it.command = Some(Command::Status(Status::default()));
        });
    }
    assert_eq!(parse("history --output csv").unwrap().output, Output::Csv);
    assert_eq!(parse("--output csv history").unwrap().output, Output::Csv);
}

#[test]
fn wrong_usage_exits_with_2() {
    for line in [
        "--nonsense",
        "nonsense",
        "--output xml",
        "--output csv",
        "status --output csv",
        "status a b",
        "status a --stream b",
        "status --time berlin",
        "status --watch 0s",
        "status --watch soon",
        "--sandbox --config a",
        "status --sandbox --config a",
        "--config a status --sandbox",
        "config init --config a",
        "--config a config init --out b",
        "--once status",
        "status --once",
        "--set a",
        "--set =a",
        "--set streams[0].name=a",
        "config",
        "alarms",
        "alarms print --replace",
        "alarms print --shards 0",
        "alarms print --up-threshold high",
        "check --offline --policy",
        "table",
        "history --since 0s",
        "history --since yesterday",
        "shards",
        "shards s t",
        "scale",
        "scale s",
        "scale s --to 4 --force-max 0",
        "-q -v",
        "-q status -v",
        "scale --to 4",
        "scale s --to 4 --by +1",
        "scale s --to 0",
        "scale s --to 10001",
        "scale s --by 4",
        "scale s --by +0",
        "scale s --by 0%",
        "scale s --by +-4",
        "scale s --by +",
        "scale s --by %",
        "scale s --by 101%",
        "scale s --by -51%",
        "scale s --by +10001",
        "scale s --by 2.5%",
        "scale s --by +99999999999",
    ] {
        match parse(line) {
            Ok(cli) => panic!("{line}: {cli:?}"),
            Err(error) => assert_eq!(error.exit_code(), 2, "{line}"),
        }
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for line in [
        "-h",
        "--help",
        "--version",
        "scale -h",
        "alarms create --help",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 0, "{line}");
    }
    let help = parse("-h").unwrap_err().to_string();
    for word in [
        "Examples:",
        "KINESIS_AUTOSCALER_CONFIG",
        "NO_COLOR",
        "--sandbox",
    ] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn the_configuration_file_is_flag_then_variable_then_default() {
    let path = |line: &str, variable: Option<&str>| {
        parse(line).unwrap().config_path(variable.map(OsStr::new))
    };
    let default = Path::new("/etc/kinesis-autoscaler/config.toml");
    assert_eq!(path("--config a", Some("b")), Path::new("a"));
    assert_eq!(path("", Some("b")), Path::new("b"));
    assert_eq!(path("", Some("")), default);
    assert_eq!(path("", None), default);
}

#[test]
fn steps_read_back_as_written() {
    for text in ["+4", "-4", "+25%", "-25%"] {
        assert_eq!(text.parse::<Step>().unwrap().to_string(), text);
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef"),
        ("fish", "complete -c"),
    ] {
        let cli = parse(&format!("completions {shell}")).expect("it parses");
        let Some(Command::Completions { shell }) = cli.command else {
            panic!("{cli:?}");
        };
        let script = kinesis_autoscaler::cli::completions::script(shell);
        assert!(script.contains(part), "{script}");
        assert!(
            script.contains("provision") || script.contains("history"),
            "{script}"
        );
    }
    assert!(parse("completions tcsh").is_err());
}

#[test]
fn help_fits_60_columns_and_keeps_its_layout() {
    fn check(command: &clap::Command) {
        let help = command.clone().term_width(60).render_help().to_string();
        for line in help.lines() {
            assert!(
                line.chars().count() <= 60,
                "{}: {line:?}",
                command.get_name()
            );
        }
        let below = command.get_after_help().map(ToString::to_string);
        for line in below.iter().flat_map(|text| text.lines()) {
            let kept = help.lines().any(|it| it == line);
            assert!(
                kept,
                "{}: {line:?} is broken in\n{help}",
                command.get_name()
            );
        }
        command.get_subcommands().for_each(check);
    }
    check(&<Cli as clap::CommandFactory>::command());
}

#[test]
fn quiet_and_verbose_change_the_level_of_the_log() {
    use kinesis_autoscaler::output::logging::Level::{Debug, Error, Info, Warn};
    for (line, command, daemon) in [
        ("", Warn, Info),
        ("--quiet", Error, Error),
        ("status -q", Error, Error),
        ("-v", Info, Debug),
    ] {
        let cli = parse(line).unwrap();
        let levels = [Warn, Info].map(|usual| cli.log_level(usual));
        assert_eq!(levels, [command, daemon], "{line}");
    }
}

#[test]
fn the_version_begins_with_that_of_the_package() {
    let expected = format!("kinesis-autoscaler {}", env!("CARGO_PKG_VERSION"));
    for flag in ["-V", "--version"] {
        let version = parse(flag).unwrap_err().to_string();
        assert!(version.starts_with(&expected), "{flag}: {version}");
    }
}
