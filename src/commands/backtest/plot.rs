//! A small plot for terminals, in ASCII: demand, and the capacity of the first row.

use super::{Backtested, demand::Demand};

const LINES: usize = 8;

/// Demand as columns of `#`, capacity as `-`, `columns` wide.
pub fn text(result: &Backtested, columns: usize) -> String {
    let Some((name, plan)) = result
        .outcomes
        .iter()
        .find_map(|it| Some((&it.row.name, it.plan.as_ref()?)))
    else {
        return String::new();
    };
    let demand = &result.subject.demand;
    let minutes = demand.minutes.len();
    let width = columns.saturating_sub(8).max(10);
    let cells = |column: usize| column * minutes / width..((column + 1) * minutes / width);
    let peaks: Vec<f64> = (0..width)
        .map(|column| peak(demand, cells(column)))
        .collect();
    let counts: Vec<f64> = (0..width)
        .map(|column| {
            cells(column)
                .map(|it| plan.serving[it])
                .max()
                .map_or(0.0, f64::from)
        })
        .collect();
    let top = peaks.iter().chain(&counts).copied().fold(1.0, f64::max);
    let level = |value: f64| (value / top * LINES as f64).ceil() as usize;
    let mut text = String::new();
    for line in (1..=LINES).rev() {
        let label = if line == LINES {
            format!("{top:.0}")
        } else {
            String::new()
        };
        let cell = |(peak, count): (&f64, &f64)| match () {
            () if level(*count) == line => '-',
            () if level(*peak) >= line => '#',
            () => ' ',
        };
        let row: String = peaks.iter().zip(&counts).map(cell).collect();
        text.push_str(&format!("{label:>6} |{}\n", row.trim_end()));
    }
    let date = |minute: usize| demand.time(minute).strftime("%m-%d").to_string();
    let (first, last) = (date(0), date(minutes.saturating_sub(1)));
    let gap = width.saturating_sub(first.len());
    text + &format!("     0 |{first}{last:>gap$}\n        # demand in shards, - shards of {name}\n")
}

fn peak(demand: &Demand, minutes: std::ops::Range<usize>) -> f64 {
    minutes.map(|it| demand.at(it).shards()).fold(0.0, f64::max)
}
