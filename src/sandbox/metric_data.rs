//! GetMetricData.

use serde_json::{Map, Value as Json, json};

use super::{
    cloudwatch::invalid,
    metrics::{self, Query, Source},
    region::Region,
    wire::{Answer, ApiError},
    world::Context,
};
use autoscaler_core::metric_math::Value;

/// The most queries in a request.
const MAX_QUERIES: usize = 500;

/// The most data points in a response.
pub(crate) const MAX_POINTS: usize = 100_800;

/// The points of one query in the requested order, each a minute since the epoch and a value.
type Points = Vec<(i64, f64)>;

pub(crate) fn get(region: &mut Region, input: &Map<String, Json>, ctx: &Context) -> Answer {
    let list = input.get("MetricDataQueries").and_then(Json::as_array);
    let queries = Query::read_all(list.map_or(&[], Vec::as_slice), &region.account);
    let queries = queries.map_err(invalid)?;
    if queries.is_empty() || queries.len() > MAX_QUERIES {
        return Err(invalid(format!(
            "MetricDataQueries must have 1 to {MAX_QUERIES} queries"
        )));
    }
    let (from, until) = (time(input, "StartTime")?, time(input, "EndTime")?);
    if from >= until {
        return Err(invalid("StartTime must be before EndTime"));
    }
    let newest_first = match input.get("ScanBy").and_then(Json::as_str) {
        None | Some("TimestampDescending") => true,
        Some("TimestampAscending") => false,
        Some(other) => return Err(invalid(format!("ScanBy cannot be {other}"))),
    };
    for stream in region.streams.values_mut() {
        stream.settle(ctx.now);
    }
    let mut results = Vec::new();
    for query in queries.iter().filter(|query| query.return_data) {
        let mut points = points(region, &queries, query, (from, until), ctx)?;
        if newest_first {
            points.reverse();
        }
        results.push((query, points));
    }
    answer(input, &results, region.points_per_page, ctx)
}

fn time(input: &Map<String, Json>, member: &str) -> Result<f64, ApiError> {
    let time = input.get(member).and_then(Json::as_f64);
    let time = time.filter(|time| (0.0..1e11).contains(time));
    time.ok_or_else(|| {
        invalid(format!(
            "{member} is required, and must be a time after 1970"
        ))
    })
}

/// Returns one query's points for the periods that begin in the requested time, oldest first.
fn points(
    region: &Region,
    queries: &[Query],
    query: &Query,
    (from, until): (f64, f64),
    ctx: &Context,
) -> Result<Points, ApiError> {
    let needed = metrics::sorted(needed(queries, query)).map_err(invalid)?;
    let mut periods: Vec<i64> = needed
        .iter()
        .filter_map(|query| match &query.source {
            Source::Metric(metric) => Some(metric.period_minutes),
            Source::Expression(_) => None,
        })
        .collect();
    periods.sort_unstable();
    periods.dedup();
    let [period] = periods[..] else {
        return Err(invalid(format!(
            "the query {} has metrics of several periods, or none: the sandbox does not support that",
            query.id
        )));
    };
    // Periods begin at multiples of their length. StartTime is rounded down to the start of its
    // period; EndTime is exclusive.
    let first = (from / 60.0).floor() as i64;
    let first = first - first.rem_euclid(period);
    let arrived = metrics::arrived_until(ctx.now, region.metric_delay);
    let kept = match period {
        ..5 => 15 * 1_440,
        5..60 => 63 * 1_440,
        _ => 455 * 1_440,
    };
    let oldest = arrived - kept;
    let first = first.max(oldest - oldest.rem_euclid(period));
    let last = ((until / 60.0).ceil() as i64).min(arrived);
    let starts: Vec<i64> = (first..last).step_by(period as usize).collect();
    let values = metrics::evaluate(&needed, &region.streams, &starts, arrived, false);
    match values.map_err(invalid)?.remove(&query.id) {
        Some(Value::Series(series)) => Ok(starts
            .into_iter()
            .zip(series)
            .filter_map(|(start, point)| point.map(|value| (start, value)))
            .collect()),
        _ => Err(invalid(format!(
            "the query {} is not a single time series",
            query.id
        ))),
    }
}

/// Returns a query and the queries that it refers to.
fn needed(queries: &[Query], query: &Query) -> Vec<Query> {
    let mut ids = vec![query.id.as_str()];
    let mut at = 0;
    while let Some(id) = ids.get(at).copied() {
        if let Some(Source::Expression(expr)) =
            queries.iter().find(|q| q.id == id).map(|q| &q.source)
        {
            let mut refers = Vec::new();
            expr.ids(&mut refers);
            refers.retain(|id| !ids.contains(id));
            ids.extend(refers);
        }
        at += 1;
    }
    let needed = queries.iter().filter(|q| ids.contains(&q.id.as_str()));
    needed.cloned().collect()
}

/// Returns one page: as many points as fit, at most `most`, query after query. The token is the
/// number of points returned so far.
fn answer(
    input: &Map<String, Json>,
    results: &[(&Query, Points)],
    most: usize,
    ctx: &Context,
) -> Answer {
    let limit = input.get("MaxDatapoints").and_then(Json::as_u64);
    let limit = limit.map_or(most, |n| usize::try_from(n).unwrap_or(most));
    let limit = limit.clamp(1, most);
    let token = input.get("NextToken").and_then(Json::as_str);
    let mut skip: usize = match token.map(str::parse) {
        None => 0,
        Some(Ok(done)) => done,
        Some(Err(_)) => {
            let message = "The next token specified is invalid.";
            return Err(ApiError::bad("InvalidNextToken", message));
        }
    };
    let all: usize = results.iter().map(|(_, points)| points.len()).sum();
    let done = skip;
    let mut left = limit;
    let mut out = Vec::new();
    for (query, points) in results {
        let skipped = skip.min(points.len());
        skip -= skipped;
        let rest = &points[skipped..];
        let mut taken = rest.len().min(left);
        left -= taken;
        let more = taken < rest.len();
        if ctx.partial {
            taken /= 2;
        }
        let (times, values): (Vec<i64>, Vec<f64>) = rest[..taken].iter().copied().unzip();
        out.push(json!({
            "Id": query.id,
            "Label": query.label.clone().unwrap_or_else(|| label(query)),
            "Timestamps": times.iter().map(|minute| minute * 60).collect::<Vec<_>>(),
            "Values": values,
            "StatusCode": if more || ctx.partial { "PartialData" } else { "Complete" },
        }));
    }
    let mut out = json!({"MetricDataResults": out, "Messages": []});
    if done + limit < all {
        out["NextToken"] = json!((done + limit).to_string());
    }
    Ok(out)
}

fn label(query: &Query) -> String {
    match &query.source {
        Source::Metric(metric) => metric.measure.name().to_owned(),
        Source::Expression(_) => query.id.clone(),
    }
}
