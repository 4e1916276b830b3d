//! Two hosts and one lease when answers are lost or late, and what a host had in its spool when another took over.

use std::{sync::Arc, time::Duration};

use autoscaler_core::scaling::{Outcome, Scaling};
use autoscaler_sandbox::Fault;
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::{
    commands::status::gather,
    reconcile::{
        context::Context,
        lease::{Lease, Standing},
        scaling_log::Opened,
    },
};

use crate::world::World;

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
