//! Two daemons share one world. The one that acts is stopped (SIGTERM), killed (SIGKILL), and
//! frozen (SIGSTOP) and thawed: the other takes over in time, and the two never act together.

use std::{collections::BTreeSet, time::Duration};

use fastrand::Rng;

use crate::emulator::{
    daemon::Daemon,
    harness::{Emulator, Kinesis},
    play::{Call, Play, now},
};

const LEASE: &str = "[high_availability]\nlease_duration = \"3s\"\n\n";
const LEASE_SECONDS: f64 = 3.0;
const BEAT_SECONDS: f64 = LEASE_SECONDS / 3.0;
const TICK_SECONDS: f64 = 1.0;
/// How much a busy machine may add to a promised time.
const SLACK_SECONDS: f64 = 3.0;
/// Waits are longer than promised times, so that a failure shows the time that it took.
const LIMIT: Duration = Duration::from_secs(30);
const QUIET_WITHIN: Duration = Duration::from_secs(270);
const STREAMS: usize = 16;
/// Longer than the test: a new holder starts with the alarms, not with all streams.
const AUDIT_INTERVAL: &str = "1h";
const SEED: u64 = 7;
const FREEZES: usize = 3;
/// A request past its lease check when the host is frozen is sent when it resumes. It arrives
/// within this time, and cannot be told from one that was sent before.
const IN_FLIGHT_SECONDS: f64 = 0.5;

struct Hosts<'a> {
    emulator: &'a Emulator,
    play: Play,
    config: String,
    /// The active one comes first.
    daemons: [Daemon; 2],
    thaws: Vec<Thaw>,
}

/// When a frozen daemon was thawed, and which of its requests were past their lease check.
struct Thaw {
    name: &'static str,
    at: f64,
    in_flight: BTreeSet<String>,
}

impl Thaw {
    /// Whether a request was past its lease check: of each sequence of requests only the first one
    /// can be.
    fn allows(&mut self, call: &Call) -> bool {
        let soon = self.at..self.at + IN_FLIGHT_SECONDS;
        self.name == call.key
            && soon.contains(&call.received)
            && self.in_flight.insert(subject(call))
    }
}

/// The alarm, stream or intent that a request is about.
fn subject(call: &Call) -> String {
    let intents = call.rows.iter().map(|row| row.intent.clone());
    let named = call.alarm.clone().or_else(|| call.stream.clone());
    named.into_iter().chain(intents).collect()
}

#[test]
fn one_of_two_daemons_acts_also_when_it_is_stopped_killed_or_frozen() {
    let Some(emulator) = Emulator::start(Kinesis::Recorded {
        moto_latency_ms: 20,
        cloudwatch_latency_ms: 30,
    }) else {
        return;
    };
    let mut rng = Rng::with_seed(SEED);
    let mut hosts = Hosts::start(&emulator, rng.fork());
    hosts.taken_over("stopped (SIGTERM)", BEAT_SECONDS, |daemon| {
        daemon.signal("TERM");
    });
    let exit = hosts.daemons[1].ended();
    assert_eq!(exit.code(), Some(0), "{}", hosts.daemons[1].log());
    hosts.restart();

    let dead_after = LEASE_SECONDS + BEAT_SECONDS;
    hosts.taken_over("killed (SIGKILL)", dead_after, Daemon::kill);
    hosts.restart();

    for _ in 0..FREEZES {
        hosts.until_mid_scaling();
        std::thread::sleep(Duration::from_millis(rng.u64(0..150)));
        hosts.taken_over("frozen (SIGSTOP)", dead_after, |daemon| {
            daemon.signal("STOP");
        });
        hosts.thaw();
    }
    hosts.end();
}

impl<'a> Hosts<'a> {
    /// Starts one, waits until it acts, and starts the other.
    fn start(emulator: &'a Emulator, rng: Rng) -> Self {
        let mut play = Play::begin(emulator, STREAMS, rng);
        let config = LEASE.to_owned() + &play.config();
        let first = emulator.daemon("host-a", AUDIT_INTERVAL, &config);
        let acts = play.until(now(), LIMIT, |play| first_act(play, "host-a", 0.0));
        assert!(acts.is_some(), "alone, it does not act:\n{}", first.log());
        let second = emulator.daemon("host-b", AUDIT_INTERVAL, &config);
        let mut hosts = Self {
            emulator,
            play,
            config,
            daemons: [first, second],
            thaws: vec![],
        };
        hosts.until_standing_by(0.0);
        hosts
    }

    /// Does something to the one that acts, and waits until the other does; they change places.
    fn taken_over(&mut self, what: &str, promised: f64, harm: impl FnOnce(&mut Daemon)) {
        let at = now();
        harm(&mut self.daemons[0]);
        self.daemons.reverse();
        let name = self.daemons[0].name;
        let holds = self.play.until(at, LIMIT, |play| {
            let taken = |call: &&Call| call.lease.is_some() && call.received > at;
            let mut leases = play.calls.iter().filter(taken);
            Some(leases.find(|call| holder(call) == Some(name))?.carried_out)
        });
        let polls = self.play.until(at, LIMIT, |play| {
            let poll = |call: &&Call| {
                call.key == name && call.received > at && call.operation == "DescribeAlarms"
            };
            play.calls.iter().find(poll).map(|call| call.received)
        });
        let acts = self.play.until(at, LIMIT, |play| first_act(play, name, at));
        let (Some(holds), Some(polls), Some(acts)) = (holds, polls, acts) else {
            panic!(
                "{what}: nobody took over: {holds:?}, {polls:?}, {acts:?}\n{}",
                self.logs()
            );
        };
        eprintln!(
            "{what}: {name} holds the lease after {holds:.2} s, ticks after {polls:.2} s, first writes after {acts:.2} s"
        );
        if holds > promised + SLACK_SECONDS {
            self.problem(format!("{what}: the lease was taken after {holds:.2} s"));
        }
        if polls > promised + TICK_SECONDS + SLACK_SECONDS {
            self.problem(format!("{what}: the other ticked after {polls:.2} s"));
        }
    }

    /// Restarts the daemon that has ended.
    fn restart(&mut self) {
        let at = now();
        self.daemons[1] = self
            .emulator
            .daemon(self.daemons[1].name, AUDIT_INTERVAL, &self.config);
        self.until_standing_by(at);
    }

    /// Waits until the one that acts has begun something after now.
    fn until_mid_scaling(&mut self) {
        let name = self.daemons[0].name;
        let begins = self.play.until_begins(name, LIMIT);
        assert!(begins.is_some(), "{name} does nothing:\n{}", self.logs());
    }

    /// Thaws the frozen one and waits until it stands by; it may close rows of its own scalings,
    /// and nothing else.
    fn thaw(&mut self) {
        let (at, name) = (now(), self.daemons[1].name);
        self.daemons[1].signal("CONT");
        self.until_standing_by(at);
        let mut thaw = Thaw {
            name,
            at,
            in_flight: BTreeSet::new(),
        };
        let of_thawed = |call: &&Call| call.key == name && call.received > at && call.status == 200;
        let calls: Vec<Call> = self.play.calls.iter().filter(of_thawed).cloned().collect();
        for call in &calls {
            let began = call.rows.iter().any(|row| row.outcome == "open");
            let acts = call.acts_on().is_some() || began;
            if call.lease.is_some() || acts && !thaw.allows(call) {
                let after = call.received - at;
                self.problem(format!(
                    "{name} was thawed and acts after {after:.3} s: {call:?}"
                ));
            }
        }
        let closed = calls.iter().filter(|call| !call.rows.is_empty()).count();
        let in_flight = thaw.in_flight.len();
        eprintln!(
            "thawed: {name} stands by; rows closed late: {closed}; requests in flight: {in_flight}"
        );
        thaw.in_flight.clear();
        self.thaws.push(thaw);
    }

    /// Waits until the second one has looked at the lease three times, and so has ticked twice.
    fn until_standing_by(&mut self, since: f64) {
        let name = self.daemons[1].name;
        let stands_by = self.play.until(now(), LIMIT, |play| {
            let looks = |call: &&Call| {
                call.key == name && call.received > since && call.operation == "GetItem"
            };
            play.calls
                .iter()
                .filter(looks)
                .nth(2)
                .map(|call| call.received)
        });
        assert!(
            stands_by.is_some(),
            "{name} does not stand by:\n{}",
            self.logs()
        );
    }

    fn end(mut self) {
        self.play.until_quiet(QUIET_WITHIN);
        self.daemons[1].signal("TERM");
        let standby = self.daemons[1].ended();
        self.daemons[0].signal("TERM");
        let active = self.daemons[0].ended();
        for exit in [standby, active] {
            if exit.code() != Some(0) {
                self.problem(format!("a daemon ended: {exit}"));
            }
        }
        let rows = self.play.check();
        for name in ["host-a", "host-b"] {
            let spool = self.emulator.spool_of(name);
            if !spool.is_empty() {
                self.problem(format!("the spool of {name} has {spool:?}"));
            }
        }
        for daemon in &self.daemons {
            let told = daemon.log().contains("this host holds the lease");
            if !told {
                self.play
                    .problems
                    .push(format!("{} does not log that it acts", daemon.name));
            }
        }
        let takeovers = check_one_acts(&self.play.calls, &mut self.thaws, &mut self.play.problems);
        eprintln!(
            "{} scalings, rows {rows:?}, the lease passed {takeovers} times",
            self.play.scalings()
        );
        assert!(
            self.play.problems.is_empty(),
            "{}\n\n{}",
            self.play.problems.join("\n"),
            self.logs()
        );
    }

    fn problem(&mut self, problem: String) {
        self.play.problems.push(problem);
    }

    fn logs(&self) -> String {
        let log = |daemon: &Daemon| format!("{}:\n{}", daemon.name, daemon.log());
        self.daemons.each_ref().map(log).join("\n")
    }
}

/// Who holds the lease after this call; nobody after a release.
fn holder(call: &Call) -> Option<&str> {
    match call.lease.as_deref() {
        Some("") => Some(""),
        Some(_) => Some(&call.key),
        None => None,
    }
}

/// When `name` first wrote a count or an alarm after `since`.
fn first_act(play: &Play, name: &str, since: f64) -> Option<f64> {
    let acts = |call: &&Call| call.key == name && call.received > since && call.acts_on().is_some();
    play.calls.iter().find(acts).map(|call| call.carried_out)
}

/// Every write was sent while its sender held the lease, and every intent was logged while it did.
fn check_one_acts(calls: &[Call], thaws: &mut [Thaw], problems: &mut Vec<String>) -> usize {
    let mut passes: Vec<(f64, &str)> = vec![];
    for call in calls {
        if let Some(holder) = holder(call)
            && passes.last().is_none_or(|(_, last)| *last != holder)
        {
            passes.push((call.carried_out, holder));
        }
        let holder_at = |time: f64| {
            let before = passes.iter().rev().find(|(since, _)| *since <= time);
            before.map_or("", |(_, holder)| *holder)
        };
        let begins = call.rows.iter().any(|row| row.outcome == "open");
        let in_flight =
            (call.acts_on().is_some() || begins) && thaws.iter_mut().any(|thaw| thaw.allows(call));
        if in_flight {
            continue;
        }
        if call.acts_on().is_some() && holder_at(call.received) != call.key {
            problems.push(format!(
                "{} acts, but {:?} holds the lease: {call:?}",
                call.key,
                holder_at(call.received)
            ));
        }
        if begins && holder_at(call.carried_out) != call.key {
            problems.push(format!("an intent of another than the holder: {call:?}"));
        }
    }
    passes.len().saturating_sub(1)
}
