//! Two hosts and one lease with lost and late answers, and a host's spool when
//! another took over.

use std::{sync::Arc, time::Duration};

use autoscaler_core::{
    alarm::Direction,
    scaling::{Outcome, Scaling},
};
use autoscaler_sandbox::Fault;
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::{
    commands::status::gather,
    daemon::metrics::Metrics,
    reconcile::{
        context::Context,
        lease::{Lease, LeaseTerm, Standing},
        report::Report,
        scaling_log::Opened,
        tick::Autoscaler,
    },
};

use crate::world::{World, acted, tick};

const CONFIG: &str =
    "[high_availability]\nlease_duration = \"30s\"\n[[streams]]\nname = \"orders\"\n";
const BEAT: SignedDuration = SignedDuration::from_secs(10);
const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";

struct Two {
    world: World,
    a: Arc<Context>,
    b: Arc<Context>,
}

impl Two {
    async fn new() -> Self {
        let world = World::new();
        let a = world.start_on("a", CONFIG).await;
        let b = world.start_on("b", CONFIG).await;
        Self { world, a, b }
    }

    fn a(&self) -> &Lease {
        self.a.lease.as_ref().expect("a lease")
    }

    fn b(&self) -> &Lease {
        self.b.lease.as_ref().expect("a lease")
    }

    /// The first `times` calls of an operation go wrong.
    fn fault(&self, operation: &'static str, mut times: u32, fault: Fault) {
        self.world.sandbox.set_faults(move |call| {
            if call.operation == operation && times > 0 {
                times -= 1;
                return fault.clone();
            }
            Fault::None
        });
    }

    /// `a` is silent, and `b` goes on watching: it takes over, and not while `a` may still act.
    async fn b_takes_over(&self) {
        for second in 0..60 {
            if second % BEAT.as_secs() == 0 {
                self.b().beat().await;
            }
            let standings = [self.a().standing(), self.b().standing()];
            let holders = standings.iter().filter(|it| holds(it)).count();
            assert!(holders < 2, "second {second}: {standings:?}");
            self.world.pass(SignedDuration::from_secs(1)).await;
        }
        assert!(holds(&self.b().standing()), "{:?}", self.b().standing());
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_shows_itself_in_the_status_and_leaves_when_it_stops() {
    let Two { world, a, b } = Two::new().await;
    world.stream("orders", 2);
    let lease = |context: &Arc<Context>| context.lease.clone().expect("a lease");
    lease(&a).beat().await;
    lease(&b).beat().await;
    world.pass(SignedDuration::from_secs(12)).await;
    let hosts = async || {
        let status = gather(&world.context(world.config(CONFIG), false).await).await;
        let text = status.to_text(None);
        text.lines()
            .find(|line| line.starts_with("hosts: "))
            .map(ToOwned::to_owned)
    };
    let both = hosts().await.unwrap_or_default();
    assert_eq!(both, "hosts: a acts; b stands by, seen 12s ago");
    lease(&b).release().await;
    assert_eq!(hosts().await.as_deref(), Some("hosts: a acts"));
    lease(&a).release().await;
    lease(&b).beat().await;
    assert_eq!(hosts().await.as_deref(), Some("hosts: b acts"));
}

fn holds(standing: &Standing) -> bool {
    matches!(standing, Standing::Holder(_))
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_not_counted_from_when_it_was_found() {
    let two = Two::new().await;
    two.a().beat().await;
    two.world.pass(BEAT).await;
    two.fault("TransactWriteItems", 9, Fault::HangAfter);
    two.a().beat().await;
    two.world.sandbox.clear_faults();
    two.b().beat().await;
    two.world.pass(BEAT).await;
    two.a().beat().await;
    assert!(holds(&two.a().standing()));
    two.b_takes_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_counts_from_the_answer_of_a_slow_read() {
    let two = Two::new().await;
    two.a().beat().await;
    two.fault("GetItem", 1, Fault::HangBefore);
    let renewal = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        two.a().beat().await;
    };
    tokio::join!(two.b().beat(), renewal);
    two.world.pass(BEAT).await;
    two.b_takes_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_was_under_way_when_the_lease_ran_out_is_no_sign_of_an_outage() {
    let two = Two::new().await;
    two.a().beat().await;
    two.fault("TransactWriteItems", u32::MAX, Fault::HangBefore);
    two.a().beat().await;
    assert!(holds(&two.a().standing()));
    two.world.pass(SignedDuration::from_secs(60)).await;
    assert_eq!(two.a().standing(), Standing::Standby(None));
    two.a().beat().await;
    let standing = two.a().standing();
    assert!(matches!(standing, Standing::Cut(_)), "{standing:?}");
    two.world.sandbox.clear_faults();
    two.a().beat().await;
    assert!(holds(&two.a().standing()));
}

#[tokio::test(start_paused = true)]
async fn a_lease_taken_without_an_answer_is_held_from_the_next_beat_on() {
    let two = Two::new().await;
    two.fault("TransactWriteItems", 9, Fault::HangAfter);
    two.a().beat().await;
    assert!(!holds(&two.a().standing()));
    two.world.sandbox.clear_faults();
    two.world.pass(BEAT).await;
    two.a().beat().await;
    assert!(holds(&two.a().standing()));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_up_although_a_beat_was_cut_short() {
    let two = Two::new().await;
    two.a().beat().await;
    two.fault("TransactWriteItems", 1, Fault::HangAfter);
    let cut = tokio::time::timeout(Duration::from_secs(1), two.a().beat()).await;
    assert!(cut.is_err(), "the beat ended");
    two.a().release().await;
    two.b().beat().await;
    assert!(holds(&two.b().standing()));
}

fn row(context: &Context, from: u32, to: u32) -> Scaling {
    context.scaling_log.begin(Scaling {
        stream_name: "orders".to_owned(),
        at: context.clock.now(),
        from,
        to,
        expires_at: Timestamp::MAX,
        outcome: Outcome::Open,
        stream_arn: ARN.to_owned(),
        reason: None,
        alarm: None,
        usage: None,
        note: None,
        host: None,
        version: None,
        intent_id: None,
    })
}

fn rows(world: &World) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let rows = world.rows();
    rows.iter()
        .map(|row| {
            (
                text(&row["target_shard_count"]["N"]),
                text(&row["outcome"]["S"]),
            )
        })
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(to, outcome): &(&str, &str)| (to.to_string(), outcome.to_string());
    expected.iter().map(owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_spooled_row_is_delivered_although_another_scaling_is_open_by_then() {
    let two = Two::new().await;
    two.fault("TransactWriteItems", u32::MAX, Fault::ResetBefore);
    let opened = two.a.scaling_log.open(row(&two.a, 2, 4), true, None).await;
    let Ok(Opened::Spooled(spooled, _)) = opened else {
        panic!("{opened:?}");
    };
    two.world.sandbox.clear_faults();
    two.world.pass(BEAT).await;
    let opened = two.b.scaling_log.open(row(&two.b, 4, 6), true, None).await;
    assert!(matches!(opened, Ok(Opened::Logged(_))), "{opened:?}");
    let closed = two.a.scaling_log.close(spooled, Outcome::Done, None).await;
    closed.expect("the spool takes it");
    assert_eq!(
        two.a
            .scaling_log
            .deliver(Duration::from_secs(5))
            .await
            .expect("delivered"),
        1
    );
    assert_eq!(
        rows(&two.world),
        pairs(&[("4", "done"), ("6", "open")]),
        "both rows, the marker still the second's"
    );
}

#[tokio::test(start_paused = true)]
async fn a_spooled_row_that_had_arrived_does_not_come_back_as_open() {
    let two = Two::new().await;
    two.fault("TransactWriteItems", 9, Fault::HangAfter);
    let opened = two.a.scaling_log.open(row(&two.a, 2, 4), true, None).await;
    let Ok(Opened::Spooled(spooled, _)) = opened else {
        panic!("{opened:?}");
    };
    two.world.sandbox.clear_faults();
    let settled = two.b.scaling_log.close(spooled, Outcome::NotApplied, None);
    settled.await.expect("the table takes it");
    two.a
        .scaling_log
        .deliver(Duration::from_secs(5))
        .await
        .expect("delivered");
    assert_eq!(rows(&two.world), pairs(&[("4", "not_applied")]));
    assert_eq!(two.a.scaling_log.spooled(), 0);
}

/// No request to DynamoDB is answered.
fn dynamodb_is_away(world: &World) {
    let operations = ["GetItem", "PutItem", "Query", "TransactWriteItems"];
    world.sandbox.set_faults(
        move |call| match operations.contains(&call.operation.as_str()) {
            true => Fault::ResetBefore,
            false => Fault::None,
        },
    );
}

/// Beats and ticks as the daemon does, for the time of `beats` beats, the first at once.
async fn run_for(world: &World, autoscaler: &mut Autoscaler, beats: u32) -> Report {
    let mut report = None;
    for _ in 0..beats {
        let began = world.clock.now();
        autoscaler.lease().expect("a lease").beat().await;
        report = Some(tick(autoscaler).await);
        // Retries pause for a random time.
        let took = world.clock.now().duration_since(began);
        world.pass(BEAT - took.min(BEAT)).await;
    }
    report.expect("at least one beat")
}

/// A host that was never the holder.
async fn newcomer(world: &World) -> Autoscaler {
    let context = world.start_on("new", CONFIG).await;
    let mut autoscaler = Autoscaler::new(context, true);
    autoscaler.inspect_all();
    autoscaler
}

#[tokio::test(start_paused = true)]
async fn a_host_that_starts_while_dynamodb_is_away_scales_up_after_a_lease_duration() {
    let world = World::new();
    world.stream("orders", 2);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    dynamodb_is_away(&world);
    let context = world.start_on("new", CONFIG).await;
    let metrics = Metrics::new(context.clone());
    let mut host = Autoscaler::new(context, true);
    host.inspect_all();
    let report = run_for(&world, &mut host, 3).await;
    assert!(report.standby.is_some(), "{report:?}");
    assert_eq!(world.shards("orders"), 2);
    let report = run_for(&world, &mut host, 1).await;
    acted(&report, "orders", "scale_up", 2, 4);
    metrics.ticked(&report);
    let reason = metrics.health().reason.unwrap_or_default();
    assert!(
        reason.contains("no host is known to hold the lease"),
        "{reason:?}"
    );
    assert_eq!(world.rows().len(), 0, "the row is in the spool");
    world.sandbox.clear_faults();
    // A delivery that began before is still failing at the first tick.
    run_for(&world, &mut host, 3).await;
    assert_eq!(rows(&world), pairs(&[("4", "done")]));
}

#[tokio::test(start_paused = true)]
async fn a_missing_table_or_right_does_not_keep_scale_ups_waiting_for_a_lease() {
    for error in ["ResourceNotFoundException", "AccessDeniedException"] {
        let two = Two::new().await;
        two.world.sandbox.set_faults(move |call| {
            let is_log = call.operation == "GetItem" || call.operation == "TransactWriteItems";
            match is_log {
                true => Fault::Refuse {
                    status: 400,
                    code: error.into(),
                    message: "no".into(),
                },
                false => Fault::None,
            }
        });
        for _ in 0..3 {
            two.b().beat().await;
            assert_eq!(two.b().standing(), Standing::Standby(None), "{error}");
            two.world.pass(BEAT).await;
        }
        two.b().beat().await;
        assert_eq!(two.b().standing(), Standing::Alone, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_without_a_lease_never_scales_down() {
    let world = World::new();
    world.stream("orders", 4);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-down");
    dynamodb_is_away(&world);
    let mut host = newcomer(&world).await;
    let report = run_for(&world, &mut host, 9).await;
    assert_eq!(report.standby, None);
    assert_eq!(world.shards("orders"), 4);
    let lease = host.lease().expect("a lease");
    assert!(lease.allows(LeaseTerm::ALONE, Direction::Up));
    assert!(!lease.allows(LeaseTerm::ALONE, Direction::Down));
}

#[tokio::test(start_paused = true)]
async fn a_live_holder_that_was_seen_is_waited_for_until_its_lease_ran_out() {
    let two = Two::new().await;
    two.a().beat().await;
    two.b().beat().await;
    dynamodb_is_away(&two.world);
    for _ in 0..3 {
        two.world.pass(BEAT).await;
        two.b().beat().await;
        let standing = two.b().standing();
        assert!(
            matches!(standing, Standing::Standby(Some(_))),
            "{standing:?}"
        );
    }
    two.world.pass(BEAT).await;
    two.b().beat().await;
    assert_eq!(two.b().standing(), Standing::Alone);
}

#[tokio::test(start_paused = true)]
async fn a_host_without_a_lease_stands_by_again_when_another_turns_out_to_hold_it() {
    let two = Two::new().await;
    dynamodb_is_away(&two.world);
    for _ in 0..4 {
        two.b().beat().await;
        two.world.pass(BEAT).await;
    }
    assert_eq!(two.b().standing(), Standing::Alone);
    two.world.sandbox.clear_faults();
    two.a().beat().await;
    two.b().beat().await;
    let standing = two.b().standing();
    assert!(
        matches!(standing, Standing::Standby(Some(_))),
        "{standing:?}"
    );
    assert!(!two.b().allows(LeaseTerm::ALONE, Direction::Up));
}

#[tokio::test(start_paused = true)]
async fn a_sleep_between_two_failed_beats_is_no_silence_of_dynamodb() {
    let two = Two::new().await;
    dynamodb_is_away(&two.world);
    two.b().beat().await;
    two.world.pass(SignedDuration::from_mins(10)).await;
    two.b().beat().await;
    assert_eq!(two.b().standing(), Standing::Standby(None));
}
