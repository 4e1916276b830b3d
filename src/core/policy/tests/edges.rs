//! The exact edges of what the policies read, count and wait for.

use super::*;
use crate::{datetime::at, policy::demand::Share};

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn held_until(verdict: Verdict) -> (Reason, Option<Timestamp>) {
    match verdict {
        Verdict::Hold {
            reason, recheck_at, ..
        } => (reason, recheck_at),
        Verdict::Scale { to, detail, .. } => panic!("it scales to {to}: {detail}"),
    }
}

/// Seven minutes of the same sums, the last of which begins `ago` minutes ago.
fn recent(ago: i64, bytes: u64, rejected: u64) -> Traffic {
    let sums = |sum: u64| Sums {
        sums: vec![Some(sum); 7],
        ..Sums::default()
    };
    Traffic {
        start: after(now(), -minutes(ago + 6)),
        period: Period::Minute,
        bytes: sums(bytes),
        records: sums(1_000),
        rejected: sums(rejected),
        ..Traffic::default()
    }
}

#[test]
fn a_policy_reads_back_from_now() {
    let read = |policy: &dyn Policy, direction| {
        let reads = policy.reads(direction, now());
        reads.map(|it| (now().duration_since(it.from), it.period, it.rejected))
    };
    let adaptive = Adaptive::default();
    assert_eq!(read(&Original, Direction::Up), None);
    let day = (hours(24), Period::FiveMinutes, false);
    assert_eq!(read(&Original, Direction::Down), Some(day));
    let last = (minutes(10), Period::Minute, true);
    assert_eq!(read(&adaptive, Direction::Up), Some(last));
    let week = (hours(7 * 24), Period::FiveMinutes, true);
    assert_eq!(read(&adaptive, Direction::Down), Some(week));
}

#[test]
fn the_last_minutes_are_those_of_the_last_ten() {
    for (ago, to) in [(10, 16), (11, 15)] {
        let mut case = input(10, 0);
        case.recent = recent(ago, 8 * SHARD_BYTES / 5, 0);
        assert_eq!(
            target(Adaptive::default().scale_up(&case)),
            Ok(to),
            "{ago} min ago"
        );
    }
}

#[test]
fn rejections_count_in_minutes_that_began_when_the_stream_was_active() {
    let doubles = Ok(20);
    let grows = Ok(16);
    // The last three minutes begin 3, 2 and 1 min ago, and reject 1 % of their records.
    for (active_minutes_ago, to) in [(60, doubles), (1, doubles), (0, grows)] {
        let mut case = input(10, 0);
        case.recent = recent(1, 8 * SHARD_BYTES / 5, 1_000);
        case.active_since = Some(after(now(), -minutes(active_minutes_ago)));
        let found = target(Adaptive::default().scale_up(&case));
        assert_eq!(found, to, "ACTIVE since {active_minutes_ago} min");
    }
    let mut case = input(10, 0);
    case.recent = recent(1, 8 * SHARD_BYTES / 5, 1_000);
    let ignores = Adaptive {
        throttle_share: Share(0),
        ..Adaptive::default()
    };
    assert_eq!(
        target(ignores.scale_up(&case)),
        grows,
        "where the share is 0"
    );
}

#[test]
fn the_next_six_hours_hold_until_the_last_of_them_that_needs_more_is_over() {
    let with = |loads: &[(usize, u64)]| {
        let mut case = input(10, 0);
        for (period, hundredths) in loads {
            case.history.bytes.sums[*period] = Some(SHARD_BYTES * hundredths / 100);
        }
        Adaptive::default().scale_down(&case)
    };
    // A week ago, 3 hours from now by the clock: 8 shards need 10. What needs 7 may come later.
    let verdict = with(&[(36, 800), (48, 560)]);
    // Its period ends at 15:05. Looks are gathered on the half hour.
    let until = after(now(), hours(3) + minutes(30));
    assert_eq!(held_until(verdict), (Reason::AtTarget, Some(until)));
    assert_eq!(target(with(&[(48, 560)])), Ok(7));
    assert_eq!(
        target(with(&[(72, 800)])),
        Err(Reason::AtTarget),
        "6 hours from now"
    );
    assert_eq!(target(with(&[(73, 800)])), Ok(5), "later than that");
}

#[test]
fn a_peak_too_high_to_fade_holds_until_it_has_left_the_four_days() {
    // Its period began two days ago, and leaves when the next one begins, at 12:05. Another leaves
    // at 12:30, just when streams are looked at.
    for later in [0_usize, 5] {
        let mut case = input(10, 0);
        case.history.bytes.sums[WEEK - 2 * 288 + later] = Some(SHARD_BYTES * 10_000);
        let verdict = Adaptive::default().scale_down(&case);
        let Verdict::Hold { detail, .. } = &verdict else {
            panic!("{verdict:?}");
        };
        let leaves = after(now(), hours(48) + minutes(5 + 5 * later as i64));
        let told = format!("; the peak alone allows a scale-down from {}", at(leaves));
        assert!(detail.ends_with(&told), "{told}: {detail}");
        let until = after(now(), hours(48) + minutes(30));
        assert_eq!(held_until(verdict), (Reason::AtTarget, Some(until)));
    }
}

#[test]
fn what_is_not_published_yet_is_not_missing() {
    for policy in [&Original as &dyn Policy, &Adaptive::default()] {
        let down = |missing: std::ops::Range<usize>| {
            let mut case = input(10, 0);
            case.history.bytes.gaps_are_zero = false;
            case.history.bytes.sums[missing].fill(None);
            target(policy.scale_down(&case))
        };
        // Not even where the stream may have been created only yesterday.
        assert_eq!(down(0..WEEK - 287), Err(Reason::NoData));
        // Periods that begin 15 min ago may be unpublished, one that begins 20 min ago may not.
        assert_eq!(down(WEEK - 3..WEEK), Ok(5));
        assert_eq!(down(WEEK - 4..WEEK), Err(Reason::NoData));
    }
}

#[test]
fn missing_data_is_looked_for_soon_unless_it_has_been_missing_for_three_hours() {
    for policy in [&Original as &dyn Policy, &Adaptive::default()] {
        // Periods that begin 1 h, 3 h, and 3 h and 5 min ago.
        for (ago, wait) in [(12, minutes(5)), (36, minutes(5)), (37, hours(1))] {
            let mut case = input(10, 0);
            case.history.bytes.gaps_are_zero = false;
            case.history.bytes.sums[WEEK - ago] = None;
            let held = held_until(policy.scale_down(&case));
            assert_eq!(held, (Reason::NoData, Some(after(now(), wait))), "{ago}");
        }
    }
}

#[test]
fn a_point_of_the_period_under_way_is_not_from_the_future_and_one_of_the_next_is() {
    for policy in [&Original as &dyn Policy, &Adaptive::default()] {
        let mut case = input(10, 0);
        case.history.bytes.sums.push(Some(0));
        assert_eq!(target(policy.scale_down(&case)), Ok(5));
        case.history.bytes.sums.push(Some(0));
        assert_eq!(target(policy.scale_down(&case)), Err(Reason::NoData));
    }
}

#[test]
fn the_settings_of_the_adaptive_policy_are_followed() {
    let down = |policy: Adaptive| {
        let mut case = input(10, 0);
        // 12 hours ago: half of it is left.
        case.history.bytes.sums[WEEK - 144] = Some(SHARD_BYTES * 7);
        target(policy.scale_down(&case))
    };
    let default = Adaptive::default();
    assert_eq!(down(default), Ok(7));
    let fuller = Adaptive {
        fill: Share::percent(70),
        ..default
    };
    assert_eq!(down(fuller), Ok(5));
    let stingier = Adaptive {
        saving: Share::percent(40),
        ..default
    };
    assert_eq!(down(stingier), Err(Reason::AtTarget));
    let forgetful = Adaptive {
        memory_seconds: 6 * 3600,
        ..default
    };
    assert_eq!(down(forgetful), Ok(5));
}

#[test]
fn a_faded_peak_is_rounded_up_to_a_whole_unit() {
    let half = Fade::new(300, 300);
    for (demand, left) in [(4, 2), (3, 2), (1, 1), (0, 0)] {
        let peak = Peak::default().max(Demand(demand), 0).faded(half);
        assert_eq!(peak.demand(), Demand(left), "half of {demand}");
    }
}

#[test]
fn a_limit_that_does_not_decide_is_not_told() {
    let detail = |verdict: Verdict| match verdict {
        Verdict::Scale { detail, .. } | Verdict::Hold { detail, .. } => detail,
    };
    let adaptive = Adaptive::default();
    // At half usage, 5.5 shards call for 11, one more than there are; 5 call for 10.
    for (tenths, told) in [(50, true), (55, false)] {
        let mut growing = input(10, 0);
        growing.recent = recent(1, SHARD_BYTES / 5 * tenths / 10, 0);
        let detail = detail(adaptive.scale_up(&growing));
        assert_eq!(detail.contains("adds at least one shard"), told, "{detail}");
    }
    // At 55 % usage, 2.75 shards call for 5 of 10, the half that one call leaves; 2.2 call for 4.
    for (hundredths, told) in [(220, true), (275, false)] {
        let detail = detail(adaptive.scale_down(&input(10, hundredths)));
        assert_eq!(
            detail.contains("one call leaves at least"),
            told,
            "{detail}"
        );
    }
}
