//! What follows from the rows, in one sentence, and what they rest on.

use super::{
    Backtested, Subject,
    foresight::BLOCK_MINUTES,
    score::{Outcome, RETRY_SHARE, Row, put_units_week},
};
use crate::output::table::counted;

pub const HOURS_A_WEEK: f64 = 168.0;
pub const HOURS_A_MONTH: f64 = 730.0;

/// Savings below 5 % are not worth a change.
const WORTH_IT: f64 = 0.95;
/// A row that rejects this share of the records has too few shards.
const TOO_SMALL: f64 = 0.05;
/// A row is not recommended if it rejects this many times as much as today's row, and at least
/// [`MORE_AT_LEAST`] more.
const MORE: f64 = 1.5;
const MORE_AT_LEAST: f64 = 0.005;
/// Producers that are throttled for this long send less, or give up.
const UNKNOWN_FROM_MINUTES: usize = 60;
/// What an account with on-demand Advantage is billed for at least, in GB a week: 25 MB/s.
const ADVANTAGE_LEAST_GB: f64 = 0.025 * 3600.0 * HOURS_A_WEEK;

/// One sentence: keep what there is, or change to what.
pub fn advice(result: &Backtested) -> String {
    let replayed = |it: &&Outcome| it.row.peak_shards.is_some() && it.row.name != "held_at_peak";
    let Some((today, others)) = result.outcomes.split_first().filter(|it| replayed(&it.0)) else {
        return "There is nothing to compare: no policy was replayed.".to_owned();
    };
    let put_units = put_units_week(&result.subject.demand, &result.subject.prices);
    let others: Vec<&Row> = others.iter().map(|it| &it.row).collect();
    of_rows(&today.row, &others, put_units)
}

/// The same of the first row and all others; provisioned ones pay `put_units` a week more.
fn of_rows(today: &Row, others: &[&Row], put_units: f64) -> String {
    let paid = today.cost_week_usd + put_units;
    let ratio = |row: &Row| match row.peak_shards {
        Some(_) => (row.cost_week_usd + put_units) / paid,
        None => row.cost_week_usd / paid,
    };
    let standard = others.iter().find(|it| it.name == "on_demand_standard");
    let standard = standard.map_or_else(String::new, |row| {
        format!("; on-demand Standard {:.1} times", ratio(row))
    });
    let (kept, of_today) = match today.name.as_str() {
        "configured" => ("what you have", "of what you pay".to_owned()),
        name => (name, format!("of what {name} costs")),
    };
    // Advantage is a decision about a whole account, and foresight is nobody's choice.
    let is_choice = |it: &&Row| !["foresight", "on_demand_advantage"].contains(&&*it.name);
    let choices = others.iter().copied().filter(is_choice);
    let by_cost = |a: &&Row, b: &&Row| ratio(a).total_cmp(&ratio(b));
    let fewer = |it: &&Row| it.rejected_share < today.rejected_share / 2.0;
    let as_few = |it: &&Row| it.rejected_share <= MORE * today.rejected_share + MORE_AT_LEAST;
    let enough = choices.clone().filter(fewer).min_by(by_cost);
    let enough = enough.filter(|_| today.rejected_share >= TOO_SMALL);
    let cheaper = |it: &&Row| ratio(it) < WORTH_IT;
    let cheapest = choices.clone().filter(as_few).min_by(by_cost);
    let Some(best) = enough.or(cheapest.filter(cheaper)) else {
        let but = match choices.clone().any(|it| cheaper(&it)) {
            true => " without more throttling",
            false => "",
        };
        let text = "nothing that was compared is at least 5 % cheaper";
        return format!("Keep {kept}: {text}{but}{standard}.");
    };
    let subject = match (best.name.as_str(), best.peak_shards) {
        ("on_demand_standard", _) => "Use on-demand: Standard".to_owned(),
        ("held_at_peak", Some(peak)) => format!("Hold a constant {}: that", counted(peak, "shard")),
        (name, _) => name.to_owned(),
    };
    let share = today.rejected_share * 100.0;
    let why = enough.map_or_else(String::new, |_| {
        format!(" ({kept} rejects {share:.0} % of the records)")
    });
    let (cost, throttling) = (ratio(best), throttling(best, today));
    let standard = best.peak_shards.map_or("", |_| &standard);
    format!("{subject} would have cost {cost:.2} {of_today}, {throttling}{why}{standard}.")
}

/// `with 3 more minutes of throttling a week`; where the share of the records says otherwise than
/// the minutes, both.
fn throttling(row: &Row, today: &Row) -> String {
    let more = (row.rejected_minutes_week - today.rejected_minutes_week).round();
    // To the digits that the table shows.
    let percent = |row: &Row| (row.rejected_share * 10_000.0).round() / 100.0;
    let (share, before) = (percent(row), percent(today));
    let count = counted(format!("{:.0}", more.abs()), "minute");
    let (number, noun) = count.split_once(' ').unwrap_or((&count, ""));
    let minutes = match more {
        0.0 if share == before => return "with as much throttling".to_owned(),
        0.0 => "with as many minutes of throttling a week".to_owned(),
        1.0.. => format!("with {number} more {noun} of throttling a week"),
        _ => format!("with {number} fewer {noun} of throttling a week"),
    };
    let records = format!("of the records ({share:.2} % instead of {before:.2} %)");
    if share > before && more <= 0.0 {
        format!("{minutes} but rejecting more {records}")
    } else if share < before && more >= 0.0 {
        format!("{minutes} but rejecting fewer {records}")
    } else {
        minutes
    }
}

/// What every stream of a run is replayed with.
pub fn model(subject: &Subject) -> Vec<String> {
    let (model, prices) = (&subject.model, &subject.prices);
    let least = ADVANTAGE_LEAST_GB * prices.advantage_gb_in;
    let resharding = match model.resharding {
        Some(time) => humantime::format_duration(time).to_string(),
        None => {
            "30 s for each 10 shards, 2 to 8 min, half as much again off AWS's 25 % grid".to_owned()
        }
    };
    vec![
        format!(
            "Resharding takes {resharding}; meanwhile the larger count is billed. Metrics can be \
             read {} after their minute. {:.0} % of the rejected records are sent again in the next \
             minute.",
            humantime::format_duration(model.metric_delay),
            RETRY_SHARE * 100.0
        ),
        format!(
            "Prices: {} ([prices] in the configuration sets others); a shard-hour is ${}. Costs of \
             provisioned rows leave out PUT payload units.",
            prices.source, prices.shard_hour
        ),
        format!(
            "On-demand pays for {}. Advantage is a setting of the account, which is billed for at \
             least 25 MB/s: ${least:.0} a week for all its streams together.",
            counted(model.consumers, "consumer")
        ),
        format!(
            "foresight knows the demand of each {BLOCK_MINUTES} min, doubles or halves at most, and \
             changes 10 times in each 24 h from the first scored minute; it ignores that resharding \
             takes time. The first 24 h run but are not scored."
        ),
    ]
}

/// What one stream's result rests on, and what it cannot know.
pub fn notes(subject: &Subject) -> Vec<String> {
    let (model, demand) = (&subject.model, &subject.demand);
    let put_units = put_units_week(demand, &subject.prices);
    let keys = match model.skew() {
        1.0 => "Keys are taken to fill all shards evenly (--skew sets another ratio).".to_owned(),
        skew => format!("The busiest shard has {skew} times the mean load."),
    };
    let mut all = vec![format!(
        "{keys} PUT payload units cost ${put_units:.2} a week in each provisioned row, which the \
         advice counts."
    )];
    all.extend(subject.notes.iter().cloned());
    if demand.gaps() > 0 {
        all.push(format!(
            "{} without data count as no demand, as FILL(x,0) in the usual alarms has it.",
            counted(demand.gaps(), "minute")
        ));
    }
    if demand.rejected_share > 0.0 {
        all.push(format!(
            "{:.1} % of the records in the history were rejected; each was tried {} (--tries), and \
             has the mean size.",
            demand.rejected_share * 100.0,
            counted(model.tries, "time")
        ));
    }
    let short = &demand.short_of_shards;
    if short.len() >= UNKNOWN_FROM_MINUTES {
        let hours = short.len() as f64 / 60.0;
        all.push(format!(
            "From {} UTC the stream rejected records for {hours:.1} h without a pause. What its \
             producers held back or gave up then is not known: the demand may have been higher, and \
             every row with it.",
            demand.time(short.start).strftime("%Y-%m-%d %H:%M")
        ));
    }
    if demand.period_minutes > 1 {
        all.push(format!(
            "The demand is known for periods of {} min only: shorter peaks are not seen.",
            demand.period_minutes
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cost, share of the records that is rejected, minutes a week.
    type Figures = (f64, f64, f64);

    fn row(name: &str, (cost_week_usd, rejected_share, rejected_minutes_week): Figures) -> Row {
        Row {
            name: name.to_owned(),
            cost_week_usd,
            rejected_share,
            rejected_minutes_week,
            scalings_day: 0.0,
            most_in_24h: 0,
            peak_shards: (!name.starts_with("on_demand")).then_some(8),
            unused_share: None,
            scalings: Vec::new(),
        }
    }

    fn check(today: Figures, others: &[(&str, Figures)], expected: &str) {
        let others: Vec<Row> = others.iter().map(|it| row(it.0, it.1)).collect();
        let others: Vec<&Row> = others.iter().collect();
        assert_eq!(of_rows(&row("configured", today), &others, 0.0), expected);
    }

    const CHEAP: (&str, Figures) = ("max_shards=1", (10.0, 0.6, 5_000.0));
    const FORESIGHT: (&str, Figures) = ("foresight", (10.0, 0.0, 0.0));
    const STANDARD: (&str, Figures) = ("on_demand_standard", (300.0, 0.0, 0.0));

    #[test]
    fn it_is_about_costs_among_rows_that_reject_about_as_little() {
        check(
            (100.0, 0.0, 0.0),
            &[("adaptive", (96.0, 0.0, 0.0)), FORESIGHT, STANDARD],
            "Keep what you have: nothing that was compared is at least 5 % cheaper; on-demand \
             Standard 3.0 times.",
        );
        check(
            (100.0, 0.0, 0.0),
            &[CHEAP, STANDARD],
            "Keep what you have: nothing that was compared is at least 5 % cheaper without more \
             throttling; on-demand Standard 3.0 times.",
        );
        check(
            (100.0, 0.001, 10.0),
            &[("adaptive", (75.0, 0.004, 11.0)), CHEAP, STANDARD],
            "adaptive would have cost 0.75 of what you pay, with 1 more minute of throttling a week; \
             on-demand Standard 3.0 times.",
        );
        check(
            (100.0, 0.0, 0.0),
            &[
                ("held_at_peak", (50.0, 0.0, 0.0)),
                ("adaptive", (75.0, 0.0, 0.0)),
            ],
            "Hold a constant 8 shards: that would have cost 0.50 of what you pay, with as much \
             throttling.",
        );
        check(
            (1_000.0, 0.0, 0.0),
            &[("adaptive", (990.0, 0.0, 0.0)), STANDARD],
            "Use on-demand: Standard would have cost 0.30 of what you pay, with as much throttling.",
        );
    }

    #[test]
    fn fewer_minutes_are_not_called_less_throttling_where_they_reject_more() {
        let today = (100.0, 0.0011, 18.7);
        for (throttled, says) in [
            ((0.0011, 18.9), "with as much throttling"),
            ((0.0005, 11.7), "with 7 fewer minutes of throttling a week"),
            ((0.0011, 11.7), "with 7 fewer minutes of throttling a week"),
            (
                (0.0016, 11.7),
                "with 7 fewer minutes of throttling a week but rejecting more of the records (0.16 % \
                 instead of 0.11 %)",
            ),
            (
                (0.0016, 18.7),
                "with as many minutes of throttling a week but rejecting more of the records (0.16 % \
                 instead of 0.11 %)",
            ),
            (
                (0.0005, 18.7),
                "with as many minutes of throttling a week but rejecting fewer of the records (0.05 % \
                 instead of 0.11 %)",
            ),
            (
                (0.0005, 20.7),
                "with 2 more minutes of throttling a week but rejecting fewer of the records (0.05 % \
                 instead of 0.11 %)",
            ),
            ((0.0016, 20.7), "with 2 more minutes of throttling a week"),
        ] {
            let (share, minutes) = throttled;
            let says = format!("adaptive would have cost 0.50 of what you pay, {says}.");
            check(today, &[("adaptive", (50.0, share, minutes))], &says);
        }
    }

    #[test]
    fn a_stream_that_rejects_much_needs_more_whatever_that_costs() {
        check(
            (10.0, 0.3, 1_000.0),
            &[
                ("original", (8.0, 0.3, 1_000.0)),
                ("adaptive", (18.5, 0.001, 30.0)),
                ("held_at_peak", (40.0, 0.0, 0.0)),
                STANDARD,
            ],
            "adaptive would have cost 1.85 of what you pay, with 970 fewer minutes of throttling a \
             week (what you have rejects 30 % of the records); on-demand Standard 30.0 times.",
        );
    }
}
