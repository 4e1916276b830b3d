//! Shard counts over time as a picture for a report: one panel for each stream, on a light or a
//! dark background.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::{
    Log, Span, axis,
    read::utc,
    series::{self, Series},
};
use crate::output::{
    svg::{self, put},
    times::Times,
};
use autoscaler_core::{
    alarm::Direction,
    scaling::{Outcome, Scaling},
};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 28.0;
const HEAD: f64 = 76.0;
const PANEL: f64 = 150.0;
/// Around a panel: its title above, its times below.
const ABOVE: f64 = 30.0;
const BELOW: f64 = 50.0;
/// Counts beside marks move away from the line where they would touch, up to this many times.
const LABEL_ROOM: f64 = 26.0;
const LABEL_LEVELS: usize = 3;
const LABEL_HEIGHT: f64 = 11.0;

const DARK: &str = "\
.count { stroke: #79c0ff } .under { fill: #79c0ff } .up { fill: #56d364 } .down { fill: #ffa657 } .no { stroke: #ff7b72 }";

/// Shapes of the marks, centred on the point that they mark.
const SHAPES: &str = "\
<path id=\"up\" class=\"up\" fill=\"#1a7f37\" d=\"M0-11 5-2H-5Z\"/>\
<path id=\"down\" class=\"down\" fill=\"#bc4c00\" d=\"M0 11 5 2H-5Z\"/>\
<path id=\"no\" class=\"no\" stroke=\"#cf222e\" stroke-width=\"2\" d=\"M-4-4 4 4M-4 4 4-4\"/>";

pub(super) fn text(log: &Log) -> String {
    let all = series::all(log);
    let height = HEAD + (ABOVE + PANEL + BELOW) * (all.len().max(1) as f64);
    let title = match all.as_slice() {
        [one] => format!("Shards of {}", one.name),
        _ => "Shards by stream".to_owned(),
    };
    let mut svg = svg::open((WIDTH, height), &title, DARK);
    put!(&mut svg, "<defs>{SHAPES}</defs>");
    let span = shown(log);
    head(&mut svg, span, &title);
    for (number, series) in all.iter().enumerate() {
        let top = HEAD + ABOVE + (ABOVE + PANEL + BELOW) * (number as f64);
        panel(&mut svg, span, series, top, all.len() > 1);
    }
    if all.is_empty() {
        let message = "No scalings in this time";
        svg::text(
            &mut svg,
            "soft",
            (WIDTH / 2.0, HEAD + 60.0),
            "middle",
            14,
            message,
        );
    }
    svg + "</svg>\n"
}

/// The time that is drawn: where all scalings are in its second half, from shortly before the first
/// of them, so that recent ones do not lie on top of each other.
fn shown(log: &Log) -> Span {
    let (since, until) = (log.since, log.until);
    let first = log.rows.iter().map(|row| row.at).min().unwrap_or(since);
    let drawn = until.duration_since(first);
    let since = match drawn < until.duration_since(since) / 2 {
        true => (first - drawn / 10 - SignedDuration::from_mins(1)).max(since),
        false => since,
    };
    Span { since, until }
}

fn head(svg: &mut String, Span { since, until }: Span, title: &str) {
    svg::text(svg, "ink", (LEFT, 34.0), "start", 18, title);
    let span = format!("{} to {} UTC", utc(since), utc(until));
    svg::text(svg, "soft", (LEFT, 56.0), "start", 12, &span);
    let mut x = WIDTH - RIGHT - 330.0;
    for (shape, words, room) in [
        ("up", "scaled up", 100.0),
        ("down", "scaled down", 115.0),
        ("no", "refused or undone", 0.0),
    ] {
        let y = match shape {
            "up" => 58.0,
            "down" => 46.0,
            _ => 52.0,
        };
        put!(svg, "<use href=\"#{shape}\" x=\"{x:.1}\" y=\"{y}\"/>");
        svg::text(svg, "soft", (x + 12.0, 56.0), "start", 12, words);
        x += room;
    }
}

/// Where times and counts are in one panel.
struct Scale {
    since: Timestamp,
    /// Seconds.
    span: f64,
    top: f64,
    highest: f64,
}

impl Scale {
    fn x(&self, at: Timestamp) -> f64 {
        let past = at.duration_since(self.since).as_secs_f64() / self.span;
        LEFT + past.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, count: u32) -> f64 {
        self.top + PANEL * (1.0 - f64::from(count) / self.highest)
    }
}

fn panel(svg: &mut String, span: Span, series: &Series, top: f64, titled: bool) {
    let (_, highest) = series.bounds();
    let counts = axis::counts(highest, 4);
    let scale = Scale {
        since: span.since,
        span: span.until.duration_since(span.since).as_secs_f64().max(1.0),
        top,
        highest: f64::from(counts.last().copied().unwrap_or(1)),
    };
    if titled {
        svg::text(svg, "ink", (LEFT, top - 14.0), "start", 14, &series.name);
    }
    let right = WIDTH - RIGHT;
    for count in counts {
        let y = scale.y(count);
        put!(
            svg,
            "<path class=\"grid\" stroke=\"#d1d9e0\" d=\"M{LEFT} {y:.1}H{right}\"/>"
        );
        svg::text(
            svg,
            "soft",
            (LEFT - 8.0, y + 4.0),
            "end",
            12,
            &count.to_string(),
        );
    }
    let bottom = top + PANEL;
    for (at, text) in axis::times(span.since, span.until, 12, &Times::utc()) {
        let x = scale.x(at);
        put!(
            svg,
            "<path class=\"grid\" stroke=\"#d1d9e0\" d=\"M{x:.1} {top}V{:.1}\"/>",
            bottom + 5.0
        );
        svg::text(svg, "soft", (x, bottom + 20.0), "middle", 12, &text);
    }
    axis_titles(svg, top, bottom);
    line(svg, series, &scale, bottom);
    marks(svg, series, &scale);
}

fn axis_titles(svg: &mut String, top: f64, bottom: f64) {
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    svg::text(
        svg,
        "soft",
        (middle, bottom + 38.0),
        "middle",
        12,
        "time (UTC)",
    );
    let (x, y) = (LEFT - 52.0, (top + bottom) / 2.0);
    svg::axis_title(svg, (x, y), "open shards");
}

fn line(svg: &mut String, series: &Series, scale: &Scale, bottom: f64) {
    let mut path = String::new();
    for (at, count) in &series.steps {
        let (x, y) = (scale.x(*at), scale.y(*count));
        let _ = if path.is_empty() {
            write!(path, "M{x:.1} {y:.1}")
        } else {
            write!(path, "H{x:.1}V{y:.1}")
        };
    }
    let right = WIDTH - RIGHT;
    put!(
        svg,
        "<path class=\"under\" fill=\"#0969da\" fill-opacity=\"0.12\" d=\"{path}H{right}V{bottom}H{LEFT}Z\"/>"
    );
    put!(
        svg,
        "<path class=\"count\" fill=\"none\" stroke=\"#0969da\" stroke-width=\"2\" d=\"{path}H{right}\"/>"
    );
}

fn marks(svg: &mut String, series: &Series, scale: &Scale) {
    let mut labels = [f64::NEG_INFINITY; LABEL_LEVELS];
    for row in &series.marks {
        let x = scale.x(row.at);
        let done = matches!(row.outcome, Outcome::Done | Outcome::Open);
        // A triangle stands off the line, on the side that it came to.
        let (shape, count, label_y) = match (done, row.direction()) {
            (false, _) => ("no", row.from, -8.0),
            (true, Direction::Up) => ("up", row.to, -14.0),
            (true, Direction::Down) => ("down", row.to, 22.0),
        };
        let y = scale.y(count);
        put!(
            svg,
            "<use href=\"#{shape}\" x=\"{x:.1}\" y=\"{y:.1}\"><title>{}</title></use>",
            svg::escape(&tooltip(row))
        );
        let free = labels.iter().position(|last| x - last >= LABEL_ROOM);
        if let Some(level) = free.filter(|_| done) {
            labels[level] = x;
            let away = LABEL_HEIGHT * (level as f64) * f64::signum(label_y);
            let count = row.to.to_string();
            svg::text(svg, "ink", (x, y + label_y + away), "middle", 11, &count);
        }
    }
}

fn tooltip(row: &Scaling) -> String {
    let reason = row.reason.as_ref().map(|reason| format!(", {reason}"));
    format!(
        "{} UTC: {} to {} shards, {}{}",
        utc(row.at),
        row.from,
        row.to,
        row.outcome.code().replace('_', " "),
        reason.unwrap_or_default()
    )
}
