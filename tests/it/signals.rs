//! Signals to a daemon under load: a reload loses no tick, and nothing half-done is
//! left unrecorded by a stop.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::emulator::{
    harness::{Emulator, Kinesis},
    play::Play,
};

const SEED: u64 = 11;
const STREAMS: usize = 8;
const RELOADS: usize = 24;
const BETWEEN_RELOADS: Duration = Duration::from_millis(700);
const LIMIT: Duration = Duration::from_secs(60);
const QUIET_WITHIN: Duration = Duration::from_secs(270);
const AUDIT_INTERVAL: &str = "4s";

fn emulator() -> Option<Emulator> {
    Emulator::start(Kinesis::Recorded {
        moto_latency_ms: 10,
        cloudwatch_latency_ms: 10,
    })
}

/// How many ticks the daemon has made, and how many were late, by its own metrics; `None` while it
/// does not answer.
fn ticks(address: &str) -> Option<(u64, u64)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let sum = |name: &str| {
        let counts = text.lines().filter(|line| line.starts_with(name));
        let counts = counts.map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum::<Option<u64>>()
    };
    let made = sum("kinesis_autoscaler_ticks_total{")?;
    Some((made, sum("kinesis_autoscaler_late_ticks_total ")?))
}

#[test]
fn reloads_of_good_and_bad_files_under_load_lose_no_tick() {
    let Some(emulator) = emulator() else { return };
    let mut play = Play::begin(&emulator, STREAMS, Rng::with_seed(SEED));
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let metrics = format!("[metrics]\nlisten = \"{address}\"\n\n");
    let config = metrics + &play.config();
    let mut daemon = emulator.daemon("reloaded", AUDIT_INTERVAL, &config);
    assert!(
        play.until_begins("reloaded", LIMIT).is_some(),
        "it does nothing:\n{}",
        daemon.log()
    );
    let good = fs::read_to_string(&daemon.config).expect("it was written");
    let (started, before) = (Instant::now(), ticks(&address).expect("it answers"));
    for reload in 0..RELOADS {
        let text = match reload % 4 {
            0 => good.replace("reserved_scale_ups = 0", "reserved_scale_ups = 1"),
            1 => "nonsense".to_owned(),
            2 => good.clone(),
            _ => good.replace("[[streams]]", "[[strems]]"),
        };
        fs::write(&daemon.config, text).expect("it is written");
        daemon.signal("HUP");
        play.step();
        thread::sleep(BETWEEN_RELOADS);
    }
    let seconds = started.elapsed().as_secs();
    let after = ticks(&address).expect("it answers");
    let (made, late) = (after.0 - before.0, after.1 - before.1);
    let log = daemon.log();
    let (taken, refused) = (
        log.matches("the new configuration is in force").count(),
        log.matches("the old one stays in force").count(),
    );
    eprintln!("{taken} reloads taken, {refused} refused; {made} ticks in {seconds} s, {late} late");
    assert!(
        taken >= RELOADS / 4 && refused >= RELOADS / 4,
        "{taken}, {refused}\n{log}"
    );
    // A late tick is one that waited for another, which the schedule's next due time may have gone
    // by.
    assert!(
        made + late + 1 >= seconds,
        "{made} ticks in {seconds} s, {late} late, with one due every second:\n{log}"
    );
    let other = good.replace("\"* * * * * *\"", "\"*/2 * * * * *\"");
    fs::write(&daemon.config, other).expect("it is written");
    daemon.signal("HUP");
    assert!(
        play.until_begins("reloaded", LIMIT).is_some(),
        "with another schedule it does nothing:\n{}",
        daemon.log()
    );
    play.until_quiet(QUIET_WITHIN);
    daemon.signal("TERM");
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.log());
    play.check();
    assert!(play.scalings() > 0, "nothing was scaled:\n{}", daemon.log());
    assert!(
        play.problems.is_empty(),
        "{:#?}\n{}",
        play.problems,
        daemon.log()
    );
}

#[test]
fn a_stop_in_mid_scaling_takes_less_than_ten_seconds_and_leaves_nothing_unrecorded() {
    let Some(emulator) = emulator() else { return };
    let mut play = Play::begin(&emulator, STREAMS, Rng::with_seed(SEED));
    let config = play.config();
    for stop in ["TERM", "INT", "TERM"] {
        let mut daemon = emulator.daemon("stopped", AUDIT_INTERVAL, &config);
        let begun = play.until_begins("stopped", LIMIT);
        assert!(begun.is_some(), "it does nothing:\n{}", daemon.log());
        let asked = Instant::now();
        daemon.signal(stop);
        let exit = daemon.ended();
        let took = asked.elapsed();
        eprintln!("SIG{stop} in mid-scaling: ended after {took:.1?}");
        assert_eq!(exit.code(), Some(0), "{}", daemon.log());
        assert!(took < Duration::from_secs(10), "it took {took:?}");
        play.look();
        assert_eq!(
            play.open(),
            0,
            "what was under way has ended:\n{}",
            daemon.log()
        );
    }
    let mut last = emulator.daemon("stopped", AUDIT_INTERVAL, &config);
    play.until_quiet(QUIET_WITHIN);
    last.signal("TERM");
    assert_eq!(last.ended().code(), Some(0), "{}", last.log());
    play.check();
    assert!(
        play.problems.is_empty(),
        "{:#?}\n{}",
        play.problems,
        last.log()
    );
}
