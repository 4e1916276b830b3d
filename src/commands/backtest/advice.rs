//! What follows from the rows, in one sentence, and what they rest on.

use super::{
    Backtested, args,
    foresight::BLOCK_MINUTES,
    score::{Outcome, RETRY_SHARE, Row, put_units_week},
};

pub const HOURS_A_WEEK: f64 = 168.0;
pub const HOURS_A_MONTH: f64 = 730.0;

/// Less than this is no reason to change anything.
const WORTH_IT: f64 = 0.95;
/// What an account with on-demand Advantage is billed for at least, in GB a week: 25 MB/s.
const ADVANTAGE_LEAST_GB: f64 = 0.025 * 3600.0 * HOURS_A_WEEK;

/// One sentence: keep what there is, or change to what.
pub fn advice(result: &Backtested) -> String {
    let Some((today, others)) = result.outcomes.split_first() else {
        return "There is nothing to compare.".to_owned();
    };
    let today = &today.row;
    if today.peak_shards.is_none() || today.name == "held_at_peak" {
        return "There is nothing to compare: no policy was replayed.".to_owned();
    }
    let put_units = put_units_week(&result.demand, &result.prices);
    let paid = today.cost_week_usd + put_units;
    let ratio = |row: &Row| match row.peak_shards {
        Some(_) => (row.cost_week_usd + put_units) / paid,
        None => row.cost_week_usd / paid,
    };
    let standard = others.iter().find(|it| it.row.name == "on_demand_standard");
    let on_demand = standard.map_or(f64::INFINITY, |it| ratio(&it.row));
    if let Some(Outcome { row, .. }) = standard
        && on_demand < WORTH_IT
    {
        return format!(
            "Use on-demand: Standard would have cost {on_demand:.2} of what {} costs, {}.",
            today.name,
            minutes(row, today)
        );
    }
    let policies = others.iter().map(|it| &it.row);
    let policies = policies.take_while(|row| row.name != "held_at_peak");
    let best = policies.min_by(|a, b| a.cost_week_usd.total_cmp(&b.cost_week_usd));
    let aside = format!("on-demand Standard {on_demand:.1} times as much");
    match best {
        Some(best) if ratio(best) < WORTH_IT => format!(
            "{} would have cost {:.2} of what {} costs, {}; {aside}.",
            best.name,
            ratio(best),
            today.name,
            minutes(best, today)
        ),
        _ => format!(
            "Keep {}: nothing that was compared is at least 5 % cheaper; {aside}.",
            today.name
        ),
    }
}

/// `with 3 more minutes of throttling a week`.
fn minutes(row: &Row, today: &Row) -> String {
    let more = row.rejected_minutes_week - today.rejected_minutes_week;
    match more.round() {
        0.0 => "with as little throttling".to_owned(),
        _ if more > 0.0 => format!("with {more:.0} more minutes of throttling a week"),
        _ => format!("with {:.0} fewer minutes of throttling a week", -more),
    }
}

/// What the result rests on, and what it cannot know; one sentence or two each.
pub fn assumptions(result: &Backtested) -> Vec<String> {
    let (model, prices, demand) = (&result.model, &result.prices, &result.demand);
    let put_units = put_units_week(demand, prices);
    let least = ADVANTAGE_LEAST_GB * prices.advantage_in;
    let resharding = match model.resharding {
        Some(time) => humantime::format_duration(time).to_string(),
        None => {
            "30 s for each 10 shards, 2 to 8 min, half as much again off AWS's 25 % grid".to_owned()
        }
    };
    let mut all = vec![
        format!(
            "Resharding takes {resharding}; meanwhile the larger count is billed. Metrics can be \
             read {} after their minute.",
            humantime::format_duration(model.metric_delay)
        ),
        format!(
            "The busiest shard has {} times the mean load. {:.0} % of the rejected records are \
             sent again in the next minute.",
            model.skew,
            RETRY_SHARE * 100.0
        ),
        format!(
            "Prices: {} (the --price flags set others); a shard-hour is ${}. Costs of provisioned \
             rows leave out PUT payload units, ${put_units:.2} a week in each.",
            args::PRICES_FROM,
            prices.shard_hour
        ),
        format!(
            "On-demand pays for {} consumers. Advantage is a setting of the account, which is \
             billed for at least 25 MB/s: ${least:.0} a week for all its streams together.",
            model.consumers
        ),
        format!(
            "foresight knows the demand of each {BLOCK_MINUTES} min, doubles or halves at most, and changes \
             10 times in each 24 h from the first scored minute; it ignores that resharding takes time. The first 24 h run but are not scored."
        ),
    ];
    if demand.gaps() > 0 {
        all.push(format!(
            "{} minutes have no data and count as no demand, as FILL(x,0) in the usual alarms has it.",
            demand.gaps()
        ));
    }
    if demand.rejected_share > 0.0 {
        all.push(format!(
            "{:.1} % of the records in the history were rejected; each was tried {} times, and has \
             the mean size. What producers gave up sending is not known.",
            demand.rejected_share * 100.0,
            model.tries
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
