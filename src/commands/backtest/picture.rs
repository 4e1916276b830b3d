//! The result as a picture: demand, the capacity of each row, rejected minutes, costs in the legend.

use super::{
    Backtested,
    advice::{HOURS_A_MONTH, HOURS_A_WEEK},
    demand::WARM_UP_MINUTES,
    score::Outcome,
};
use crate::output::chart::{Chart, Line};

/// One SVG document.
pub fn svg(result: &Backtested) -> String {
    let demand = &result.subject.demand;
    let minutes = demand.minutes.len();
    let drawn = result
        .outcomes
        .iter()
        .filter_map(|outcome| line(result, outcome));
    let advice = super::advice::advice(result);
    let value_title = match result.subject.model.skew() {
        1.0 => "shards".to_owned(),
        skew => format!("shards; the capacity is their count / {skew}"),
    };
    Chart {
        title: format!("Backtest of {}", demand.stream),
        caption: advice,
        start: demand.start,
        shaded: WARM_UP_MINUTES,
        shaded_name: "first 24 h, not scored".to_owned(),
        area_name: "demand".to_owned(),
        area: (0..minutes)
            .map(|minute| demand.at(minute).shards())
            .collect(),
        value_title,
        lines: drawn.collect(),
        marks_title: "minutes with rejected records".to_owned(),
    }
    .svg()
}

fn line(result: &Backtested, outcome: &Outcome) -> Option<Line> {
    let plan = outcome.plan.as_ref()?;
    let month = outcome.row.cost_week_usd / HOURS_A_WEEK * HOURS_A_MONTH;
    let skew = result.subject.model.skew();
    let capacity = plan.serving.iter().map(|count| f64::from(*count) / skew);
    Some(Line {
        name: format!("{}, ${month:.0} a month", outcome.row.name),
        values: capacity.collect(),
        marks: outcome.rejected_minutes.clone(),
    })
}
