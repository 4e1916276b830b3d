//! The process is killed (SIGKILL) over and over at random moments: nothing is lost, and nothing is
//! done twice.
//!
//! `CRASH_KILLS=200 cargo test crash -- --nocapture` is the long run; `CRASH_SEED` varies
//! it.

use std::{
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::emulator::{
    harness::{Emulator, Kinesis},
    play::Play,
};

const KILLS: usize = 12;
const SEED: usize = 20_261_122;
/// How many milliseconds the process lives: from before its first call until well into its next
/// tick.
const LIFE_MS: std::ops::Range<u64> = 100..2500;
const BETWEEN_STEPS: Duration = Duration::from_millis(100);
/// An intent whose call may have been sent is settled after a minute, an alarm older than its
/// definition counts after three.
const QUIET_WITHIN: Duration = Duration::from_secs(270);

#[test]
fn nothing_is_lost_or_done_twice_however_often_the_process_is_killed() {
    let (kills, seed) = (number("CRASH_KILLS", KILLS), number("CRASH_SEED", SEED));
    // With slow calls a kill more often leaves only an intent in the scaling log, which takes a
    // minute to settle: not in the short run.
    let moto_latency_ms = if kills > KILLS { 30 } else { 0 };
    let Some(emulator) = Emulator::start(Kinesis::Recorded {
        moto_latency_ms,
        cloudwatch_latency_ms: 30,
    }) else {
        return;
    };
    let mut rng = Rng::with_seed(seed as u64);
    let streams = 6 + kills / 3;
    let mut play = Play::begin(&emulator, streams, rng.fork());
    // The emulator answers two audits a second in addition to all other calls.
    let audit_interval = format!("{}s", streams.div_ceil(2));
    let config = play.config();
    let started = Instant::now();
    let mut mid_scaling = 0;
    for _ in 0..kills {
        let mut daemon = emulator.daemon("killed", &audit_interval, &config);
        let end = Instant::now() + Duration::from_millis(rng.u64(LIFE_MS));
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left < 2 * BETWEEN_STEPS {
                thread::sleep(left);
                break;
            }
            play.step();
            thread::sleep(BETWEEN_STEPS);
        }
        daemon.kill();
        play.look();
        mid_scaling += usize::from(play.open() > 0);
    }
    let mut daemon = emulator.daemon("killed", &audit_interval, &config);
    play.until_quiet(QUIET_WITHIN);
    // If nothing was left to do, it is quiet before the daemon handles signals.
    let deadline = Instant::now() + QUIET_WITHIN;
    while !daemon.log().contains("started") && Instant::now() < deadline {
        thread::sleep(BETWEEN_STEPS);
    }
    daemon.signal("TERM");
    let exit = daemon.ended();
    if exit.code() != Some(0) {
        play.problems.push(format!("the last daemon ended: {exit}"));
    }
    let rows = play.check();
    let spool = emulator.spool_of("killed");
    if !spool.is_empty() {
        play.problems.push(format!("the spool has {spool:?}"));
    }
    eprintln!(
        "seed {seed}: {kills} kills, {mid_scaling} of them with a scaling open; {} scalings, rows {rows:?}, {:.0} s",
        play.scalings(),
        started.elapsed().as_secs_f64()
    );
    assert!(play.scalings() > 0, "nothing was scaled:\n{}", daemon.log());
    assert!(
        play.problems.is_empty(),
        "seed {seed}:\n{}\n\n{}",
        play.problems.join("\n"),
        daemon.log()
    );
}

fn number(variable: &str, otherwise: usize) -> usize {
    let Ok(text) = std::env::var(variable) else {
        return otherwise;
    };
    text.parse()
        .unwrap_or_else(|error| panic!("{variable}: {error}"))
}
