//! `history`: the rows that it shows, also those of the original, and the pictures that it draws of
//! them.

use autoscaler_sandbox::Fault;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kinesis_autoscaler::{
    commands::history::{Log, Span, read},
    output::{
        error::{Exit, Failure},
        times::Times,
    },
};
use serde_json::{Value, json};

use crate::world::{TABLE, World, named};

fn streams(stream: Option<&str>) -> Vec<String> {
    stream.into_iter().map(ToOwned::to_owned).collect()
}

fn week_before(world: &World) -> Span {
    let until = world.clock.now();
    let since = until - SignedDuration::from_hours(7 * 24);
    Span { since, until }
}

/// A row as the original wrote it.
fn original(stream: &str, at: &str, from: u32, to: u32) -> Value {
    json!({
        "stream_name": {"S": stream},
        "scaling_datetime": {"S": at},
        "shard_count": {"N": from.to_string()},
        "target_shard_count": {"N": to.to_string()},
        "scaling_type": {"S": if to >= from { "SCALE_UP" } else { "SCALE_DOWN" }},
        "expiration_datetime": {"N": "1800000000"},
    })
}

/// A row of ours: the original's attributes, and more.
fn ours(stream: &str, at: &str, from: u32, to: u32, more: &[(&str, &str)]) -> Value {
    let mut row = original(stream, at, from, to);
    let arn = format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{stream}");
    for (name, value) in [("stream_arn", arn.as_str()), ("outcome", "done")]
        .iter()
        .chain(more)
    {
        row[*name] = json!({ "S": value });
    }
    row
}

fn put(world: &World, row: Value) {
    world.place.put_item(TABLE, row).expect("a row");
}

async fn history(world: &World, config: &str, stream: Option<&str>) -> Result<Log, Failure> {
    let context = world.context(world.config(config), false).await;
    read(&context, &streams(stream), week_before(world)).await
}

/// A week with a bit of everything.
fn week() -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.stream("clicks", 6);
    for row in [
        original("orders", "2026-11-01T01:02:03.000456+0000", 1, 2),
        original("orders", "2026-11-17T01:02:03.000456+0000", 2, 4),
        ours(
            "orders",
            "2026-11-18T09:00:00.000001+0000",
            4,
            6,
            &[("reason", "alarm")],
        ),
        ours(
            "orders",
            "2026-11-20T09:00:00.000000+0000",
            6,
            3,
            &[("reason", "manual"), ("note", "said \"quiet, please\"")],
        ),
        ours(
            "orders",
            "2026-11-21T09:00:00.000000+0000",
            4,
            8,
            &[
                ("outcome", "refused"),
                ("note", "LimitExceededException: too many"),
            ],
        ),
        ours(
            "clicks",
            "2026-11-22T10:00:00.000000+0000",
            10,
            6,
            &[("reason", "alarm")],
        ),
    ] {
        put(&world, row);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn rows_come_newest_first_those_of_the_original_too() {
    let world = week();
    let config = named(&["orders", "clicks"]);
    let check = async |stream: Option<&str>, expected: &[(&str, u32, u32, &str)]| {
        let log = history(&world, &config, stream).await.expect("the log");
        let rows: Vec<_> = log
            .rows
            .iter()
            .map(|row| {
                (
                    row.stream_name.as_str(),
                    row.from,
                    row.to,
                    row.outcome.code(),
                )
            })
            .collect();
        assert_eq!(rows, expected, "{stream:?}");
        assert!(log.failure().is_none());
    };
    let orders = [
        ("orders", 4, 8, "refused"),
        ("orders", 6, 3, "done"),
        ("orders", 4, 6, "done"),
        ("orders", 2, 4, "done"),
    ];
    check(Some("orders"), &orders).await;
    check(Some("clicks"), &[("clicks", 10, 6, "done")]).await;
    check(Some("cl?ck*"), &[("clicks", 10, 6, "done")]).await;
    let mut all = vec![("clicks", 10, 6, "done")];
    all.extend(orders);
    check(None, &all).await;
}

#[tokio::test(start_paused = true)]
async fn json_and_csv_tell_the_same_rows() {
    let world = week();
    let log = history(&world, &named(&["orders", "clicks"]), None)
        .await
        .expect("the log");
    let json: Value = serde_json::from_str(&log.to_json()).expect("JSON");
    assert_eq!(json["table"], TABLE);
    let rows = json["scalings"].as_array().expect("rows");
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0]["at"], "2026-11-22T10:00:00Z");
    assert_eq!(
        (&rows[0]["region"], &rows[4]["region"]),
        (&json!("eu-west-1"), &Value::Null)
    );

    let csv = log.to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 6, "{csv}");
    let columns: Vec<&str> = lines[0].split(',').collect();
    let keys: Vec<&String> = rows[0].as_object().expect("an object").keys().collect();
    assert_eq!(columns.len(), keys.len());
    assert!(
        columns
            .iter()
            .all(|name| keys.iter().any(|key| key == name)),
        "{columns:?} {keys:?}"
    );
    assert_eq!(
        lines[3],
        "2026-11-20T09:00:00Z,orders,eu-west-1,SCALE_DOWN,6,3,done,manual,,,\"said \"\"quiet, please\"\"\",,"
    );
    assert_eq!(
        lines[5],
        "2026-11-17T01:02:03.000456Z,orders,,SCALE_UP,2,4,done,,,,,,"
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_table_is_told_in_each_form() {
    let world = World::new();
    world.stream("orders", 4);
    let log = history(&world, &named(&["orders"]), None)
        .await
        .expect("the log");
    let expected = format!("no scalings since 2026-11-15 12:00:00 UTC in the table {TABLE}\n");
    assert_eq!(log.to_text(None, true), expected);
    assert_eq!(log.to_text(Some(100), true), expected);
    assert_eq!(log.to_csv().lines().count(), 1, "the header");
    assert!(
        log.to_json().ends_with("\"scalings\":[]}") || log.to_json().contains("\"scalings\":[],")
    );
    assert!(log.to_svg().contains("No scalings"));
    let named = history(&world, &named(&["orders"]), Some("orders")).await;
    assert!(
        named.expect("the log").rows.is_empty(),
        "a subscribed stream without rows is no error"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_says_what_to_do() {
    let fails = async |world: &World, stream: Option<&str>, error: &str, hint: &str| {
        let failure = history(world, &named(&["orders", "clicks"]), stream)
            .await
            .expect_err(error);
        assert_eq!(failure.exit, Exit::Failed);
        let text = failure.to_string();
        assert!(
            text.contains(error) && text.contains(hint),
            "{error:?} and {hint:?} are not in\n{text}"
        );
    };
    let world = week();
    fails(&world, Some("ordres"), "ordres", "did you mean orders?").await;
    fails(&world, Some("payments"), "payments", "omit --stream").await;
    fails(&world, Some("pay*"), "pay*", "omit --stream").await;
    world.sandbox.deny("dynamodb:Query");
    fails(
        &world,
        None,
        "the log cannot be read",
        "allow the action `dynamodb:Query`",
    )
    .await;
    fails(
        &world,
        Some("orders"),
        "the log cannot be read",
        "allow the action `dynamodb:Query`",
    )
    .await;

    let world = World::new();
    let mut config = world.config(&named(&["orders"]));
    config.log.table = "not-there".to_owned();
    let context = world.context(config, false).await;
    for stream in [None, Some("orders")] {
        let failure = read(&context, &streams(stream), week_before(&world))
            .await
            .expect_err("no table");
        assert!(
            failure
                .to_string()
                .contains("kinesis-autoscaler table create"),
            "{failure}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_stream_that_is_subscribed_no_more_are_found_by_its_name() {
    let world = week();
    let log = history(&world, &named(&["orders"]), Some("clicks"))
        .await
        .expect("the log");
    assert_eq!(log.rows.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_by_alarm_is_found_by_its_stream() {
    let world = week();
    let config = "[[streams]]\nalarm = \"orders-scale-up-alarm\"\n";
    assert_eq!(
        history(&world, config, None)
            .await
            .expect("the log")
            .rows
            .len(),
        4
    );
    let failure = history(&world, config, Some("order"))
        .await
        .expect_err("no such stream");
    assert!(
        failure.to_string().contains("did you mean orders?"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_stream_that_fails_does_not_hide_the_others() {
    let world = week();
    let mut refused = 0;
    world.sandbox.set_faults(move |call| {
        if call.operation != "Query" || refused > 0 {
            return Fault::None;
        }
        refused += 1;
        let (code, message) = ("AccessDeniedException".to_owned(), "not now".to_owned());
        Fault::Refuse {
            status: 400,
            code,
            message,
        }
    });
    let log = history(&world, &named(&["orders", "clicks"]), None)
        .await
        .expect("the log");
    assert!(!log.rows.is_empty(), "the other stream's rows");
    let failure = log.failure().expect("one stream failed");
    assert_eq!(failure.exit, Exit::Failed);
    assert!(failure.to_string().contains("not now"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_rows_work_in_every_form() {
    let world = World::new();
    world.stream("orders", 4);
    let start: Timestamp = "2026-11-16T00:00:00Z".parse().expect("a time");
    for number in 0..10_000_u32 {
        let at = start + SignedDuration::from_secs(55 * i64::from(number));
        let at = at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string();
        let (from, to) = if number % 2 == 0 { (4, 8) } else { (8, 4) };
        put(
            &world,
            ours("orders", &at, from, to, &[("reason", "alarm")]),
        );
    }
    let log = history(&world, &named(&["orders"]), None)
        .await
        .expect("the log");
    assert_eq!(log.rows.len(), 10_000);
    assert!(
        log.rows.windows(2).all(|pair| pair[0].at > pair[1].at),
        "newest first"
    );
    assert_eq!(log.to_csv().lines().count(), 10_001);
    let text = log.to_text(Some(80), true);
    assert!(
        text.contains("10000 scalings of 1 stream"),
        "{}",
        &text[text.len() - 300..]
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    well_formed(&log.to_svg());
}

/// Tags are closed in the order in which they were opened, and no text breaks out of its element.
#[track_caller]
fn well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        let word = tag
            .split([' ', '/'])
            .find(|word| !word.is_empty())
            .expect("a name");
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(word);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes of {tag}");
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    assert!(
        !svg.contains("NaN") && !svg.contains("inf"),
        "coordinates are numbers"
    );
}

#[tokio::test(start_paused = true)]
async fn the_picture_has_a_panel_for_each_stream_and_marks_each_scaling() {
    let world = week();
    let config = named(&["orders", "clicks"]);
    let log = history(&world, &config, None).await.expect("the log");
    let svg = log.to_svg();
    well_formed(&svg);
    let count = |part: &str| svg.matches(part).count();
    assert_eq!(count("class=\"count\""), 2, "a line for each stream");
    // One of each is the legend.
    let marks = ["up", "down", "no"].map(|shape| count(&format!("href=\"#{shape}\"")) - 1);
    assert_eq!(marks, [2, 2, 1], "ups, downs, refused");
    for part in [
        "prefers-color-scheme: dark",
        ">open shards<",
        ">time (UTC)<",
        ">orders<",
        ">clicks<",
        ">11-18<",
        "2026-11-15 12:00:00 to 2026-11-22 12:00:00 UTC",
    ] {
        assert!(svg.contains(part), "{part:?} is not in the picture");
    }
    // For looking at it: SVG_FILE=/tmp/week.svg cargo test the_picture
    if let Some(path) = std::env::var_os("SVG_FILE") {
        std::fs::write(path, &svg).expect("written");
    }
    put(
        &world,
        original("<&\">", "2026-11-20T00:00:00.000000+0000", 1, 2),
    );
    let log = history(&world, &config, Some("<&\">"))
        .await
        .expect("the log");
    well_formed(&log.to_svg());
}

const IN_BERLIN: &str = "\
TIME                       STREAM  SHARDS  WHY
2026-11-21 10:00:00+01:00  orders  4 -> 8  refused: up, LimitExceededException:
                                           too many
2026-11-21 10:00:00+01:00  orders  3 -> 4  not by us, between 2026-11-20
                                           10:00:00+01:00 and the time of this
                                           row
2026-11-20 10:00:00+01:00  orders  6 -> 3  down, manual, said \"quiet, please\"
2026-11-18 10:00:00+01:00  orders  4 -> 6  up, alarm
2026-11-17 02:02:03+01:00  orders  2 -> 4  up

shards of orders
6 |                               #######################
  |                               #######################
  |                               #######################
  |                ######################################          #############
  |                #############################################################
  |#############################################################################
  |#############################################################################
0 |#############################################################################
  +----------------+---------------------+---------------------+----------------
                   11-17                 11-19                 11-21

4 scalings of 1 stream since 2026-11-15 13:00:00+01:00: 2 up, 1 down, 1 refused;
1 resharding not by us
";

#[tokio::test(start_paused = true)]
async fn a_change_of_the_count_that_no_row_explains_is_not_by_us() {
    let world = week();
    // A stream of the same name in another Region, whose counts have nothing to do with these.
    let mut elsewhere = ours("orders", "2026-11-20T10:00:00.000000+0000", 30, 40, &[]);
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
    elsewhere["stream_arn"] = json!({ "S": arn });
    put(&world, elsewhere);
    let log = history(&world, &named(&["orders", "clicks"]), None).await;
    let log = log.expect("the log");
    let json: Value = serde_json::from_str(&log.to_json()).expect("JSON");
    let expected = json!([{
        "stream": "orders",
        "region": "eu-west-1",
        "shards_before": 3,
        "shards_after": 4,
        "earliest": "2026-11-20T09:00:00Z",
        "latest": "2026-11-21T09:00:00Z",
    }]);
    assert_eq!(json["not_by_us"], expected);
    let text = log.to_text(None, false);
    let line = "2026-11-21 09:00:00  orders (eu-west-1)  3 -> 4    not by us, between 2026-11-20 09:00:00 and the time of this row";
    assert!(text.contains(line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn times_are_shown_in_a_zone_of_ones_own() {
    let (world, config) = (week(), named(&["orders", "clicks"]));
    let log = history(&world, &config, Some("orders")).await;
    let log = log.expect("the log");
    let zone = TimeZone::get("Europe/Berlin").expect("a zone");
    let text = log.to_text_in(Some(80), false, &Times::of(zone));
    assert_eq!(text, IN_BERLIN, "\n{text}");
}

#[tokio::test(start_paused = true)]
async fn the_plot_shows_the_counts_in_unicode_and_in_ascii() {
    let world = week();
    let config = named(&["orders", "clicks"]);
    let one = history(&world, &config, Some("orders"))
        .await
        .expect("the log");
    let all = history(&world, &config, None).await.expect("the log");
    let text = one.to_text(Some(60), true);
    assert!(
        text.contains("shards of orders") && text.contains('█') && text.contains('└'),
        "{text}"
    );
    let text = one.to_text(Some(60), false);
    assert!(text.is_ascii() && text.contains("#"), "{text}");
    let text = all.to_text(Some(60), false);
    assert!(
        text.is_ascii() && text.contains("SHARDS OVER TIME"),
        "{text}"
    );
    assert!(
        !all.to_text(None, true).contains("SHARDS OVER TIME"),
        "a pipe gets the rows alone"
    );
    for width in [20, 40, 80, 200] {
        for log in [&one, &all] {
            let text = log.to_text(Some(width), true);
            let fits = |line: &str| line.chars().count() <= usize::from(width);
            assert!(
                width < 60 || text.lines().all(fits),
                "{width} columns:\n{text}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_cannot_be_read_are_shown_with_question_marks_and_counted() {
    let world = week();
    for at in ["2026-11-22T11:00:00+00:00", "yesterday"] {
        let key = json!({"stream_name": {"S": "orders"}, "scaling_datetime": {"S": at}});
        put(&world, key);
    }
    let log = history(&world, &named(&["orders"]), None).await;
    let log = log.expect("the log");
    let text = log.to_text(None, false);
    let newest = text.lines().nth(1).expect("a row");
    assert!(
        newest.starts_with("2026-11-22 11:00:00  orders  ? -> ?"),
        "{text}"
    );
    assert!(
        text.contains("\n?                    orders  ? -> ?"),
        "{text}"
    );
    assert!(text.contains("; 2 more rows could not be read"), "{text}");
    let json: Value = serde_json::from_str(&log.to_json()).expect("JSON");
    assert_eq!(json["unreadable"], 2);
    let first = &json["scalings"][0];
    assert_eq!(
        (&first["at"], &first["shards_after"], &first["outcome"]),
        (
            &json!("2026-11-22T11:00:00Z"),
            &Value::Null,
            &json!("unreadable")
        )
    );
    assert_eq!(
        log.to_csv().lines().nth(1),
        Some("2026-11-22T11:00:00Z,orders,,,,,unreadable,,,,,,")
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_says_its_direction_and_usage_in_place_of_the_word_alarm() {
    let world = World::new();
    world.stream("orders", 4);
    let at = "2026-11-18T09:00:00.000001+0000";
    let mut row = ours("orders", at, 4, 6, &[("reason", "alarm")]);
    row["usage"] = json!({"N": "0.83"});
    put(&world, row);
    let log = history(&world, &named(&["orders"]), None).await;
    let text = log.expect("the log").to_text(None, false);
    assert!(text.contains("4 -> 6  up, usage 83%\n"), "{text}");
}

#[test]
fn a_span_is_given_by_durations_and_by_times() {
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
    let moment = |text: &str| {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    let check = |since: &str, until: Option<&str>, expected: Option<(&str, &str)>| {
        let until = until.map(moment);
        let span = Span::new(&moment(since), until.as_ref(), now).ok();
        let time = |text: &str| text.parse().expect("a time");
        let expected = expected.map(|(since, until)| Span {
            since: time(since),
            until: time(until),
        });
        assert_eq!(span, expected, "{since} {until:?}");
    };
    let noon = "2026-11-22T12:00:00Z";
    check("12h", None, Some(("2026-11-22T00:00:00Z", noon)));
    check("2026-11-20", None, Some(("2026-11-20T00:00:00Z", noon)));
    check(
        "2026-11-20T06:00:00+01:00",
        Some("1d"),
        Some(("2026-11-20T05:00:00Z", "2026-11-21T12:00:00Z")),
    );
    check("900000y", None, Some(("1970-01-01T00:00:00Z", noon)));
    check("2h", Some("3h"), None);
    check("2026-11-23", None, None);
}

#[tokio::test(start_paused = true)]
async fn recent_scalings_do_not_lie_on_top_of_each_other_in_the_picture() {
    let world = World::new();
    world.stream("orders", 4);
    for (minute, from, to) in [(10, 4, 6), (25, 6, 9), (40, 9, 14), (55, 14, 7)] {
        let at = format!("2026-11-22T11:{minute}:00.000000+0000");
        put(&world, ours("orders", &at, from, to, &[]));
    }
    let log = history(&world, &named(&["orders"]), None).await;
    let svg = log.expect("the log").to_svg();
    well_formed(&svg);
    let marks = svg.lines().filter(|line| line.contains("<title>"));
    let places: Vec<f64> = marks
        .filter_map(|line| line.split("x=\"").nth(1)?.split('"').next()?.parse().ok())
        .collect();
    assert_eq!(places.len(), 4, "{svg}");
    let apart = places.windows(2).all(|pair| pair[1] - pair[0] > 100.0);
    assert!(apart, "{places:?}");
    for count in ["6", "9", "14", "7"] {
        assert!(
            svg.contains(&format!("font-size=\"11\">{count}<")),
            "{count} in {svg}"
        );
    }
    if let Some(path) = std::env::var_os("SVG_FILE_RECENT") {
        std::fs::write(path, &svg).expect("written");
    }
}
