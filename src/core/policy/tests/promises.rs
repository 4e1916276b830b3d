//! What the adaptive policy promises, whatever the traffic.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Calls for half-lives other than the default, and for demands that fill the fixed point.
const MEMORY_SECONDS: [u64; 5] = [3600, 12 * 3600, 24 * 3600, 90_061, 14 * 86_400];

/// Changes of a constant load: from a period on, in hundredths of a shard.
fn levels() -> impl Strategy<Value = Vec<(usize, u64)>> {
    vec((0..WEEK, 0_u64..60_000), 0..12)
}

/// Bytes of each period of a week in which the load changes at each of `levels`.
fn week(base: u64, levels: &[(usize, u64)]) -> Vec<u64> {
    let mut loads = vec![base; WEEK];
    for (from, hundredths) in levels {
        loads[*from..].fill(*hundredths);
    }
    let bytes = |hundredths: u64| SHARD_BYTES * hundredths / 100;
    loads.into_iter().map(bytes).collect()
}

fn known(sums: Vec<u64>) -> Vec<Option<u64>> {
    sums.into_iter().map(Some).collect()
}

/// The shards that the stream has after the decision.
fn after_down(input: &Input) -> u32 {
    target(Adaptive::default().scale_down(input)).unwrap_or(input.shards)
}

fn after_up(input: &Input) -> u32 {
    target(Adaptive::default().scale_up(input)).unwrap_or(input.shards)
}

/// The last ten minutes, with the same gaps in every metric.
fn recent(bytes: &[Option<u64>], records: u64, rejected: u64) -> Traffic {
    let each = |sum: u64| Sums {
        sums: bytes.iter().map(|it| it.map(|_| sum)).collect(),
        ..Sums::default()
    };
    Traffic {
        start: after(now(), -SignedDuration::from_mins(10)),
        period: Period::Minute,
        bytes: Sums {
            sums: bytes.to_vec(),
            ..Sums::default()
        },
        records: each(records),
        rejected: each(rejected),
        outgoing: None,
    }
}

proptest! {
    #[test]
    fn a_scale_down_stays_within_half_and_waits_for_quiet_and_calls(
        n in 1_u32..3000, base in 0_u64..60_000, levels in levels(),
        scaled in proptest::option::of(0_i64..180), rejected in proptest::option::of(0_usize..36), calls in 0_usize..=10,
    ) {
        let mut case = input(n, 0);
        case.history.bytes.sums = known(week(base, &levels));
        case.scaled_at = scaled.map(|minutes| after(now(), -SignedDuration::from_mins(minutes)));
        if let Some(periods) = rejected {
            case.history.rejected.sums[WEEK - 1 - periods] = Some(1);
        }
        case.calls_left = calls;
        let to = after_down(&case);
        prop_assert!(to >= n.div_ceil(2) && to <= n && to >= 1, "{n} to {to}");
        if to < n {
            prop_assert!(scaled.is_none_or(|minutes| minutes >= 60), "scaled {scaled:?} min ago");
            // A period of 5 minutes ends 5 minutes after it begins.
            prop_assert!(rejected.is_none_or(|periods| periods >= 12), "rejected {rejected:?} periods ago");
            prop_assert!(calls > 3, "{calls} calls left");
            let now_used = case.history.bytes.sums[WEEK - 1].unwrap_or(0);
            // The peak has faded by 0.5 % since the last period that has data.
            prop_assert!(u64::from(to) * SHARD_BYTES * 56 >= now_used * 100, "{to} do not carry the last period");
        }
    }

    #[test]
    fn more_traffic_never_means_fewer_shards_after_a_scale_down(
        n in 1_u32..3000, base in 0_u64..60_000, levels in levels(), more in 0_u64..5_000, at in 0..WEEK, length in 1..WEEK,
    ) {
        let mut case = input(n, 0);
        let mut bytes = week(base, &levels);
        case.history.bytes.sums = known(bytes.clone());
        let less = after_down(&case);
        for sum in bytes.iter_mut().skip(at).take(length) {
            *sum += SHARD_BYTES * more / 100;
        }
        case.history.bytes.sums = known(bytes);
        prop_assert!(after_down(&case) >= less, "{less} before, {} with more traffic", after_down(&case));
    }

    #[test]
    fn a_scale_up_adds_a_shard_at_least(
        n in 1_u32..5000, bytes in vec(proptest::option::of(0..SHARD_BYTES * 2000), 10), records in 0_u64..10_000_000,
        rejected in 0_u64..1_000_000, active in proptest::option::of(0_i64..20),
    ) {
        let mut case = input(n, 0);
        case.recent = recent(&bytes, records, rejected);
        case.active_since = active.map(|minutes| after(now(), -SignedDuration::from_mins(minutes)));
        let to = after_up(&case);
        prop_assert!(to > n, "{n} to {to}");
    }

    #[test]
    fn more_traffic_never_means_fewer_shards_after_a_scale_up(
        n in 1_u32..5000, bytes in vec(proptest::option::of(0..SHARD_BYTES * 500), 10), records in 0_u64..10_000_000,
        rejected in 0_u64..100_000, more in 0_u64..SHARD_BYTES * 500, times in 1_u64..20,
    ) {
        let mut case = input(n, 0);
        let mut up = |bytes: &[Option<u64>], records: u64, rejected: u64| {
            case.recent = recent(bytes, records, rejected);
            after_up(&case)
        };
        let raised = |by: &dyn Fn(u64) -> u64| -> Vec<Option<u64>> { bytes.iter().map(|it| it.map(by)).collect() };
        let before = up(&bytes, records, rejected);
        prop_assert!(up(&raised(&|sum| sum + more), records, rejected) >= before, "more bytes");
        prop_assert!(up(&bytes, records, rejected + more) >= before, "more rejected");
        let multiple = raised(&|sum| sum * times);
        prop_assert!(up(&multiple, records * times, rejected * times) >= before, "a multiple of all");
    }

    #[test]
    fn the_fading_peak_of_any_series_is_exact_to_a_millionth_over_14_days(
        changes in vec((0..14 * 288_usize, 0..Demand::ONE_SHARD * 10_000), 1..40), memory in 0..MEMORY_SECONDS.len(),
    ) {
        let memory = MEMORY_SECONDS[memory];
        let fade = Fade::new(300, memory);
        let exact_fade = (-300.0 / memory as f64).exp2();
        let (mut peak, mut exact) = (Peak::default(), 0.0_f64);
        for i in 0..14 * 288 {
            let mut here = changes.iter().filter(|(at, _)| *at == i);
            let demand = here.next().map_or(0, |(_, demand)| *demand);
            peak = peak.faded(fade).max(Demand(demand), i);
            exact = (exact * exact_fade).max(demand as f64);
            // The demand is rounded up to one unit, which is 2 parts in 10^12 of a shard.
            let error = (peak.demand().0 as f64 - exact).abs();
            prop_assert!(error <= exact / 1e6 + 1.0, "period {i}: {} for {exact}", peak.demand().0);
        }
    }
}
