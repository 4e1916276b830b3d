//! A chart over minutes as SVG: an area, stepped lines over it, and marks of each line below.
//!
//! The palette is that of Okabe and Ito, which people with any colour vision can tell apart; lines
//! also differ in their dashes.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::svg::{self, put, text};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 76.0;
const PLOT_HEIGHT: f64 = 300.0;
const MARK_ROW: f64 = 12.0;
const LEGEND_ROW: f64 = 20.0;
/// Length of a line's sample.
const SAMPLE: f64 = 28.0;
/// Characters of a caption's line.
const CAPTION_WIDTH: usize = 130;

/// Colour in light viewers, colour in dark ones, dashes.
const STYLES: [(&str, &str, &str); 7] = [
    ("#0072b2", "#56b4e9", ""),
    ("#d55e00", "#f0883e", "14 3"),
    ("#009e73", "#3fd0a4", "6 3"),
    ("#aa4499", "#e39ac8", "2 3"),
    ("#8c6d00", "#e6c84f", "10 3 2 3"),
    ("#1f2328", "#e6edf3", "4 4"),
    ("#56b4e9", "#a5d6ff", "1 2"),
];

/// A step between the times of an axis, and how they are written.
const STEPS: [(i64, &str); 9] = [
    (3_600, "%H:%M"),
    (3 * 3_600, "%m-%d %H:%M"),
    (6 * 3_600, "%m-%d %H:%M"),
    (12 * 3_600, "%m-%d %H:%M"),
    (86_400, "%m-%d"),
    (2 * 86_400, "%m-%d"),
    (7 * 86_400, "%Y-%m-%d"),
    (30 * 86_400, "%Y-%m-%d"),
    (90 * 86_400, "%Y-%m-%d"),
];

/// What is drawn; every series has one value for each minute from `start` on.
#[derive(Clone, Debug)]
pub struct Chart {
    pub title: String,
    /// A sentence below the title.
    pub caption: String,
    pub start: Timestamp,
    /// How many minutes at the start are shaded, and what that means.
    pub shaded: usize,
    pub shaded_name: String,
    pub area_name: String,
    pub area: Vec<f64>,
    pub value_title: String,
    pub lines: Vec<Line>,
    pub marks_title: String,
}

/// A stepped line with its marks.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub values: Vec<f64>,
    /// The minutes that are marked.
    pub marks: Vec<usize>,
}

impl Chart {
    /// The whole document.
    pub fn svg(&self) -> String {
        let marks_top = TOP + PLOT_HEIGHT + 58.0;
        let marked = self.lines.iter().enumerate();
        let marked: Vec<(usize, &Line)> = marked.filter(|it| !it.1.marks.is_empty()).collect();
        let legend_top = marks_top + MARK_ROW * marked.len() as f64 + 26.0;
        let rows = (self.lines.len() + 2).div_ceil(2);
        let height = legend_top + LEGEND_ROW * rows as f64 + 8.0;
        let mut svg = svg::open((WIDTH, height), &self.title, &dark());
        text(&mut svg, "ink", (LEFT, 28.0), "start", 18, &self.title);
        for (line, y) in caption(&self.caption).iter().zip([48.0, 63.0]) {
            text(&mut svg, "soft", (LEFT, y), "start", 12, line);
        }
        self.shade(&mut svg);
        self.axes(&mut svg);
        self.area(&mut svg);
        for (number, line) in self.lines.iter().enumerate() {
            self.line(&mut svg, number, line);
        }
        let marks = match marked.is_empty() {
            true => format!("{}: none", self.marks_title),
            false => self.marks_title.clone(),
        };
        let place = (LEFT, marks_top - 12.0);
        text(&mut svg, "soft", place, "start", 12, &marks);
        for (row, (number, line)) in marked.into_iter().enumerate() {
            self.marks(&mut svg, number, line, marks_top + MARK_ROW * row as f64);
        }
        self.legend(&mut svg, legend_top);
        svg + "</svg>\n"
    }

    fn x(&self, minute: usize) -> f64 {
        let span = self.area.len().max(1) as f64;
        LEFT + (WIDTH - LEFT - RIGHT) * minute as f64 / span
    }

    fn top_value(&self) -> f64 {
        let lines = self.lines.iter().flat_map(|line| &line.values);
        let highest = lines.chain(&self.area).copied().fold(1.0, f64::max);
        let step = round_step(highest / 5.0);
        (highest / step).ceil() * step
    }

    fn y(&self, value: f64, top: f64) -> f64 {
        TOP + PLOT_HEIGHT * (1.0 - value / top)
    }

    fn shade(&self, svg: &mut String) {
        let width = self.x(self.shaded) - LEFT;
        put!(
            svg,
            "<rect class=\"shade\" fill=\"#eaeef2\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{PLOT_HEIGHT}\"/>"
        );
    }

    fn axes(&self, svg: &mut String) {
        let top = self.top_value();
        let step = round_step(top / 5.0);
        let right = WIDTH - RIGHT;
        for number in 0..=(top / step).round() as u32 {
            let value = f64::from(number) * step;
            let y = self.y(value, top);
            put!(
                svg,
                "<line class=\"grid\" stroke=\"#d1d9e0\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
            text(
                svg,
                "soft",
                (LEFT - 8.0, y + 4.0),
                "end",
                12,
                &value.to_string(),
            );
        }
        let middle = TOP + PLOT_HEIGHT / 2.0;
        svg::axis_title(svg, (18.0, middle), &self.value_title);
        let foot = TOP + PLOT_HEIGHT;
        for (minute, label) in self.times() {
            let x = self.x(minute);
            put!(
                svg,
                "<line class=\"grid\" stroke=\"#d1d9e0\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{foot}\" y2=\"{:.1}\"/>",
                foot + 5.0
            );
            text(svg, "soft", (x, foot + 18.0), "middle", 12, &label);
        }
        text(svg, "soft", (right, foot + 34.0), "end", 12, "time (UTC)");
    }

    /// At most ten round times, by minute.
    fn times(&self) -> Vec<(usize, String)> {
        let first = self.start.as_second();
        let last = first + self.area.len() as i64 * 60;
        let fits = |(step, _): &&(i64, &str)| (last - first) / step <= 10;
        let (step, format) = STEPS.iter().find(fits).unwrap_or(&STEPS[STEPS.len() - 1]);
        let begin = (first + step - 1).div_euclid(*step) * step;
        let ticks = (begin..last).step_by(*step as usize);
        let label = |at: i64| {
            let minute = usize::try_from((at - first) / 60).ok()?;
            Some((
                minute,
                Timestamp::from_second(at)
                    .ok()?
                    .strftime(format)
                    .to_string(),
            ))
        };
        ticks.filter_map(label).collect()
    }

    /// One point for each column of pixels: the highest value in it.
    fn area(&self, svg: &mut String) {
        let top = self.top_value();
        let columns = (WIDTH - LEFT - RIGHT) as usize;
        let minutes = self.area.len();
        let foot = TOP + PLOT_HEIGHT;
        let mut path = format!("M{LEFT} {foot}");
        for column in 0..columns {
            let cell = column * minutes / columns..(column + 1) * minutes / columns;
            let highest = self.area[cell.clone()].iter().copied().reduce(f64::max);
            if let Some(highest) = highest {
                let _ = write!(
                    path,
                    "L{:.1} {:.1}",
                    self.x(cell.start),
                    self.y(highest, top)
                );
            }
        }
        let right = WIDTH - RIGHT;
        put!(
            svg,
            "<path class=\"area\" fill=\"#b6bfc8\" fill-opacity=\"0.7\" d=\"{path}L{right} {foot}Z\"/>"
        );
    }

    fn line(&self, svg: &mut String, number: usize, line: &Line) {
        let top = self.top_value();
        let mut path = String::new();
        let mut before = None;
        for (minute, value) in line.values.iter().enumerate() {
            if before == Some(value) {
                continue;
            }
            let (x, y) = (self.x(minute), self.y(*value, top));
            let _ = match before {
                None => write!(path, "M{x:.1} {y:.1}"),
                Some(_) => write!(path, "H{x:.1}V{y:.1}"),
            };
            before = Some(value);
        }
        let right = WIDTH - RIGHT;
        let (light, _, dashes) = STYLES[number % STYLES.len()];
        put!(
            svg,
            "<path class=\"l{number}\" fill=\"none\" stroke=\"{light}\" stroke-width=\"1.6\" stroke-dasharray=\"{dashes}\" d=\"{path}H{right}\"/>"
        );
    }

    /// A row of ticks, those of neighbouring minutes joined, with the line's sample before it.
    fn marks(&self, svg: &mut String, number: usize, line: &Line, y: f64) {
        let (light, ..) = STYLES[number % STYLES.len()];
        let right = WIDTH - RIGHT;
        sample(svg, number, (LEFT - SAMPLE - 8.0, y));
        put!(
            svg,
            "<line class=\"grid\" stroke=\"#d1d9e0\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        );
        let mut path = String::new();
        let mut until = f64::NEG_INFINITY;
        for minute in &line.marks {
            let from = self.x(*minute);
            let to = self.x(minute + 1).max(from + 1.5);
            if to > until + 0.5 {
                let _ = write!(path, "M{:.1} {y:.1}H{to:.1}", from.max(until));
                until = to;
            }
        }
        put!(
            svg,
            "<path class=\"l{number}\" stroke=\"{light}\" stroke-width=\"8\" d=\"{path}\"/>"
        );
    }

    fn legend(&self, svg: &mut String, top: f64) {
        let place = |entry: usize| {
            let x = LEFT + (WIDTH - LEFT - RIGHT) / 2.0 * (entry % 2) as f64;
            (x, top + LEGEND_ROW * (entry / 2) as f64)
        };
        let filled = [
            ("area", "#b6bfc8", &self.area_name),
            ("shade", "#eaeef2", &self.shaded_name),
        ];
        for (entry, (class, fill, name)) in filled.into_iter().enumerate() {
            let (x, y) = place(entry);
            put!(
                svg,
                "<rect class=\"{class}\" fill=\"{fill}\" x=\"{x}\" y=\"{:.1}\" width=\"{SAMPLE}\" height=\"10\"/>",
                y - 9.0
            );
            text(svg, "ink", (x + 36.0, y), "start", 12, name);
        }
        for (number, line) in self.lines.iter().enumerate() {
            let (x, y) = place(number + filled.len());
            sample(svg, number, (x, y - 4.0));
            text(svg, "ink", (x + 36.0, y), "start", 12, &line.name);
        }
    }
}

/// A short piece of a line.
fn sample(svg: &mut String, number: usize, (x, y): (f64, f64)) {
    let (light, _, dashes) = STYLES[number % STYLES.len()];
    put!(
        svg,
        "<path class=\"l{number}\" stroke=\"{light}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\" d=\"M{x} {y:.1}h{SAMPLE}\"/>"
    );
}

fn dark() -> String {
    let lines = STYLES.iter().enumerate();
    let lines = lines.map(|(number, (_, dark, _))| format!(".l{number} {{ stroke: {dark} }} "));
    format!(
        ".area {{ fill: #57606a }} .shade {{ fill: #21262d }} {}",
        lines.collect::<String>()
    )
}

/// The caption's lines.
fn caption(text: &str) -> Vec<String> {
    let wrapped = super::table::wrap(text, "", "", CAPTION_WIDTH);
    wrapped.lines().map(str::to_owned).collect()
}

/// 1, 2 or 5 times a power of ten, not below `rough`; at least 1.
fn round_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    step.into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough)
}
