//! Notifiers that hang do not move a storm.

use autoscaler_sandbox::Fault;
use jiff::SignedDuration;
use kinesis_autoscaler::daemon::notify::Outcome;

use super::{Process, TOPIC, told, topic};
use crate::world::{World, named};

const STREAMS: usize = 200;

/// When the last stream is resharded, in microseconds after the start, and the process.
async fn storm(notify: &str, hangs: bool) -> (i64, Option<(World, Process)>) {
    let world = World::new();
    topic(&world);
    let names: Vec<String> = (0..STREAMS).map(|i| format!("stream-{i}")).collect();
    names.iter().for_each(|name| world.stream(name, 2));
    world.pass(SignedDuration::from_mins(10)).await;
    world.sandbox.enforce_quotas(true);
    names.iter().for_each(|name| world.fire(name, "scale-up"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let config = format!("{notify}{}", named(&names));
    world
        .sandbox
        .set_faults(move |call| match &*call.operation {
            "Publish" if hangs => Fault::HangBefore,
            _ => Fault::None,
        });
    let started = world.clock.now();
    let tick = std::time::Duration::from_secs(10);
    let process = match notify.is_empty() {
        true => {
            let context = world
                .process(
                    world.config(&config),
                    kinesis_autoscaler::reconcile::context::Role::Daemon,
                    false,
                )
                .await;
            let mut autoscaler =
                kinesis_autoscaler::reconcile::tick::Autoscaler::new(context, false);
            autoscaler.inspect_all();
            while autoscaler.under_way() > 0 || world.clock.now() == started {
                autoscaler.tick(tick).await;
            }
            None
        }
        false => {
            let mut process = Process::start(&world, &config).await;
            while process.autoscaler.under_way() > 0 || world.clock.now() == started {
                let report = process.autoscaler.tick(tick).await;
                process.notifier.ticked(&report);
            }
            Some(process)
        }
    };
    let calls = world.sandbox.request_log().into_iter();
    let resharded = calls.filter(|call| call.operation == "UpdateShardCount");
    let times: Vec<i64> = resharded
        .map(|call| call.at.duration_since(started).as_micros() as i64)
        .collect();
    assert_eq!(times.len(), STREAMS);
    let last = times.into_iter().max().expect("a call");
    (last, process.map(|process| (world, process)))
}

#[tokio::test(start_paused = true)]
async fn a_notifier_that_hangs_does_not_move_the_last_scaling_of_a_storm() {
    let (alone, _) = storm("", false).await;
    println!("the last UpdateShardCount without notifications: {alone} us");
    let (well, process) = storm(TOPIC, false).await;
    assert_eq!(well, alone, "with a topic");
    let (world, process) = process.expect("a notifier");
    process
        .notifier
        .end(std::time::Duration::from_secs(60))
        .await;
    let scaled = told(&world).iter().filter(|kind| *kind == "scaled").count();
    assert!(scaled >= 1, "{:?}", told(&world));
    let command = "[notify]\ncommand = [\"/bin/sleep\", \"1000\"]\n";
    for notify in [TOPIC, command] {
        let (hangs, process) = storm(notify, true).await;
        assert_eq!(hangs, alone, "{notify} hangs");
        let (_, process) = process.expect("a notifier");
        let failed = process.counts.get(Outcome::Failed);
        assert!(failed > 0, "{notify}: {failed} attempts failed");
    }
}
