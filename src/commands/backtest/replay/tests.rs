use std::{f64::consts::TAU, ops::Range};

use autoscaler_sandbox::Call;
use clap::Parser;

use super::{
    super::{Subject, args::Backtest, candidates, demand},
    *,
};
use crate::config::Config;

/// What a replay leaves behind.
#[derive(Debug, PartialEq)]
struct Left {
    plan: Plan,
    scaling_log: Vec<Value>,
    /// Every call with its time, except for polls and the reading of alarms.
    calls: Vec<Call>,
}

/// Runs one candidate. Returns what it leaves, and how often alarms were read.
fn replay(candidate: &Candidate, subject: &Subject, ticks: Ticks) -> (Left, usize) {
    let Subject { demand, model, .. } = subject;
    let work = async |mut replay: Replay<'_>| {
        assert!(replay.run(ticks, &|_| true).await?);
        let calls = replay.place.sandbox().request_log().into_iter();
        let (polls, calls): (Vec<Call>, Vec<Call>) =
            calls.partition(|call| call.operation == "DescribeAlarms");
        let left = Left {
            plan: std::mem::take(&mut replay.plan),
            scaling_log: replay.place.items(TABLE),
            calls,
        };
        Ok((left, polls.len()))
    };
    in_virtual_time(candidate, demand, model, work).expect("it runs")
}

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    backtest: Backtest,
}

/// A stream, and what is expected of the replays of all who scale it.
struct Case {
    what: &'static str,
    /// Shards' worth of demand in a minute.
    used: fn(f64) -> f64,
    gaps: Range<usize>,
    start_shards: u32,
    flags: &'static [&'static str],
    /// Of the row `configured`.
    settings: &'static str,
}

impl Case {
    fn subject(&self, model: Model) -> Subject {
        let minute = |minute: usize| {
            let shard = demand::Load {
                bytes: 62_914_560.0,
                records: 15_360.0,
            };
            let has_data = !self.gaps.contains(&minute);
            has_data.then(|| shard.times((self.used)(minute as f64)))
        };
        let demand = Demand {
            stream: "orders".to_owned(),
            // The audit's turn is not at the first minute.
            start: "2026-01-01T00:04:00Z".parse().expect("a time"),
            minutes: (0..6 * 60).map(minute).collect(),
            period_minutes: 1,
            rejected_share: 0.0,
            short_of_shards: 0..0,
        };
        let text = format!(
            "[aws]\nregion = \"{REGION}\"\n[log]\ntable = \"{TABLE}\"\n[[streams]]\nname = \"orders\"\n{}",
            self.settings
        );
        let config = Config::from_toml_and(&text, Vec::new()).expect("a configuration");
        Subject {
            prices: config.prices.clone(),
            configured: Some(config),
            alarms: None,
            start_shards: self.start_shards,
            demand: Arc::new(demand),
            model,
            notes: Vec::new(),
        }
    }
}

#[test]
fn ticks_that_find_nothing_to_do_can_be_left_out() {
    for case in [
        Case {
            what: "waves with bursts and a gap, on uneven keys",
            used: |minute| match minute % 170.0 {
                100.0..106.0 => 14.0,
                _ => 3.0 - 2.0 * (minute / 150.0 * TAU).cos(),
            },
            gaps: 200..215,
            start_shards: 6,
            flags: &["--skew", "1.25", "--variant", "memory=1h,fill=0.5"],
            settings: "policy = \"adaptive\"\n",
        },
        Case {
            what: "more demand than the account may scale up for",
            used: |_| 9.0,
            gaps: 0..0,
            start_shards: 1,
            flags: &["--skew", "1.5", "--variant", "max_shards=5"],
            settings: "cooldown_up = \"7m\"\n",
        },
        Case {
            what: "next to nothing, and windows that raise, lower and hold",
            used: |_| 0.3,
            gaps: 0..0,
            start_shards: 8,
            flags: &["--metric-delay", "1m", "--resharding", "11m"],
            settings: "policy = \"adaptive\"\n\
                windows = [\n\
                { at = \"2026-01-01T01:01:00Z\", for = \"30m\", min_shards = 18 },\n\
                { at = \"2026-01-01T02:02:00Z\", for = \"1h\", hold = \"down\" },\n\
                { at = \"2026-01-01T04:03:00Z\", for = \"1h\", min_shards = 5, max_shards = 6 },\n\
                ]\n",
        },
    ] {
        let Words { backtest } = Words::parse_from(["backtest"].iter().chain(case.flags));
        let subject = case.subject(backtest.model.clone());
        let all = candidates::all(&backtest, &subject).expect("candidates");
        let mut scaled = 0;
        for candidate in all {
            let what = format!("{}: {}", case.what, candidate.name);
            let (every, polls) = replay(&candidate, &subject, Ticks::All);
            let (needed, fewer) = replay(&candidate, &subject, Ticks::Needed);
            assert_eq!(needed, every, "{what}");
            assert!(fewer < polls, "{what}: {fewer} of {polls} polls");
            scaled += every.plan.calls.len();
        }
        assert!(scaled > 3, "{}: {scaled} scalings", case.what);
    }
}
