use aws_sdk_cloudwatch::{
    operation::put_alarm_mute_rule::builders::PutAlarmMuteRuleFluentBuilder,
    primitives::DateTime,
    types::{AlarmMuteRuleStatus, MuteTargets, Rule, Schedule},
};

use super::*;

fn put(world: &World, name: &str, schedule: &str, duration: &str) -> PutAlarmMuteRuleFluentBuilder {
    let schedule = Schedule::builder()
        .expression(schedule)
        .duration(duration)
        .build();
    let targets = MuteTargets::builder().alarm_names("a").alarm_names("b");
    world
        .cloudwatch()
        .put_alarm_mute_rule()
        .name(name)
        .rule(Rule::builder().schedule(schedule).build())
        .mute_targets(targets.build())
}

/// The rules of an alarm, each as name and status.
async fn rules_of(world: &World, alarm: &str, statuses: &[AlarmMuteRuleStatus]) -> Vec<String> {
    let call = world.cloudwatch().list_alarm_mute_rules();
    let call = call
        .alarm_name(alarm)
        .set_statuses((!statuses.is_empty()).then(|| statuses.to_vec()));
    let rules = call.send().await.unwrap();
    let rules = rules.alarm_mute_rule_summaries().iter();
    let shown = rules.map(|rule| {
        let arn = rule.alarm_mute_rule_arn().unwrap();
        let name = arn.rsplit(':').next().unwrap();
        format!("{name} {}", rule.status().unwrap().as_str())
    });
    shown.collect()
}

#[tokio::test(start_paused = true)]
async fn mute_rules_are_listed_by_alarm_and_status() {
    let world = World::new();
    let cases = [
        // It is Sunday, 22 November 2026, 12:00.
        ("now", "at(2026-11-22T11:59)", "PT2M", "ACTIVE"),
        ("past", "at(2026-11-22T11:00)", "PT1H", "EXPIRED"),
        ("later", "at(2026-11-22T12:01)", "P15D", "SCHEDULED"),
        ("nightly", "cron(0 22 * * SAT,SUN)", "PT14H1M", "ACTIVE"),
        ("monthly", "cron(0 12 1-21 JAN-DEC *)", "P1D", "SCHEDULED"),
    ];
    for (name, schedule, duration, _) in cases {
        let put = put(&world, name, schedule, duration);
        assert_eq!(outcome(put.send().await), "ok", "{name}");
    }
    let mut expected: Vec<String> = cases.map(|it| format!("{} {}", it.0, it.3)).to_vec();
    expected.sort();
    assert_eq!(rules_of(&world, "a", &[]).await, expected);
    assert_eq!(
        rules_of(&world, "b", &[AlarmMuteRuleStatus::Active]).await,
        ["nightly ACTIVE", "now ACTIVE"]
    );
    assert!(rules_of(&world, "c", &[]).await.is_empty());
    world.pass(1);
    assert_eq!(
        rules_of(&world, "b", &[AlarmMuteRuleStatus::Active]).await,
        ["later ACTIVE"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_mute_rule_is_valid_between_its_dates_only() {
    let world = World::new();
    let at = |minutes: i64| DateTime::from_secs(world.now().as_second() + minutes * 60);
    let put = put(&world, "r", "cron(* * * * *)", "PT1M");
    let put = put.start_date(at(5)).expire_date(at(10));
    assert_eq!(outcome(put.send().await), "ok");
    for (passed, status) in [
        (0, "SCHEDULED"),
        (5, "ACTIVE"),
        (4, "ACTIVE"),
        (1, "EXPIRED"),
    ] {
        world.pass(passed);
        assert_eq!(rules_of(&world, "a", &[]).await, [format!("r {status}")]);
    }
    let call = world.cloudwatch().list_alarm_mute_rules();
    let rule = call.send().await.unwrap().alarm_mute_rule_summaries()[0].clone();
    assert_eq!(rule.mute_type(), Some("RECURRING"));
    assert_eq!(rule.expire_date(), Some(&at(0)));
    assert_eq!(rule.last_updated_timestamp(), Some(&at(-10)));
}

#[tokio::test(start_paused = true)]
async fn mute_rules_that_aws_refuses_are_refused() {
    let world = World::new();
    let cases = [
        ("at(noon)", "PT1H", "The schedule expression at(noon)"),
        ("cron(0 25 * * *)", "PT1H", "The schedule expression cron"),
        ("rate(1 hour)", "PT1H", "The schedule expression rate"),
        ("cron(0 2 * * *)", "PT59S", "The duration \"PT59S\""),
        ("cron(0 2 * * *)", "P16D", "The duration \"P16D\""),
        ("cron(0 2 * * *)", "an hour", "The duration \"an hour\""),
    ];
    for (schedule, duration, expected) in cases {
        let got = outcome(put(&world, "r", schedule, duration).send().await);
        assert!(
            got.starts_with(&format!("ValidationError: {expected}")),
            "{got}"
        );
    }
    world.sandbox.deny("cloudwatch:ListAlarmMuteRules");
    let denied = world.cloudwatch().list_alarm_mute_rules().send().await;
    assert!(outcome(denied).starts_with("AccessDenied: "));
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_someone_else_put_mutes_until_it_is_deleted() {
    let world = World::new();
    let hour = Duration::from_hours(1);
    world.region.mute("deploy", &["a"], world.now(), hour);
    let active = [AlarmMuteRuleStatus::Active];
    assert_eq!(rules_of(&world, "a", &active).await, ["deploy ACTIVE"]);
    world.pass(60);
    assert!(rules_of(&world, "a", &active).await.is_empty());
    world.region.mute("deploy", &["a"], world.now(), hour);
    world.region.unmute("deploy");
    assert!(rules_of(&world, "a", &[]).await.is_empty());
}
