//! The two formats in which Prometheus reads series, and which of them a client asks for.

use std::fmt::{Display, Write};

/// Every name begins with this, but those that Prometheus has named itself.
const PREFIX: &str = "kinesis_autoscaler_";
const OPENMETRICS: &str = "application/openmetrics-text";

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4: the family of a counter carries `_total`, and no line ends the page.
    Text,
    /// OpenMetrics 1.0: `_total` is a suffix of the sample alone, and `# EOF` ends the page.
    OpenMetrics,
}

impl Format {
    /// The format that the values of a request's `Accept` headers prefer; text where they do not
    /// name OpenMetrics.
    pub fn accepted<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let (mut openmetrics, mut text, mut anything) = (0.0, None, 0.0);
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let mut quality = 1.0_f32;
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                if name.trim().eq_ignore_ascii_case("q") {
                    // What cannot be read is not asked for.
                    quality = value.trim().parse().unwrap_or(0.0);
                }
            }
            match kind.as_str() {
                OPENMETRICS => openmetrics = quality.max(openmetrics),
                "text/plain" => text = Some(quality.max(text.unwrap_or(0.0))),
                "text/*" | "*/*" => anything = quality.max(anything),
                _ => {}
            }
        }
        match openmetrics > 0.0 && openmetrics >= text.unwrap_or(anything) {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of series in the making.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
}

/// The samples of one family, which follow each other on the page.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    /// What the name of a sample begins with.
    name: String,
}

impl Page {
    /// An empty page, with room for `bytes`.
    pub fn new(format: Format, bytes: usize) -> Self {
        Self {
            format,
            text: String::with_capacity(bytes),
        }
    }

    /// Begins a family of this program; `name` is without prefix, and without `_total`.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        self.common_family(&format!("{PREFIX}{name}"), kind, help)
    }

    /// Begins a family whose name is the same in every program.
    pub fn common_family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        let total = match kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
        };
        let suffix = match self.format {
            Format::Text => total,
            Format::OpenMetrics => "",
        };
        let kind = kind.name();
        let text = &mut self.text;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name}{suffix} {help}");
        let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        let name = format!("{name}{total}");
        Family { text, name }
    }

    /// The whole page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// Adds a sample; `labels` as [`label`] writes them, with commas between.
    pub fn sample(&mut self, labels: &str, value: impl Display) -> &mut Self {
        self.write("", labels, "", value)
    }

    /// Adds a sample with one label more than `labels`.
    pub fn sample_with(&mut self, labels: &str, last: &str, value: impl Display) -> &mut Self {
        self.write("", labels, last, value)
    }

    /// Adds a sample whose name has a suffix, as those of a histogram.
    pub fn suffixed(&mut self, suffix: &str, labels: &str, value: impl Display) -> &mut Self {
        self.write(suffix, labels, "", value)
    }

    fn write(&mut self, suffix: &str, labels: &str, last: &str, value: impl Display) -> &mut Self {
        let separator = match labels.is_empty() || last.is_empty() {
            true => "",
            false => ",",
        };
        let (open, close) = match labels.is_empty() && last.is_empty() {
            true => ("", ""),
            false => ("{", "}"),
        };
        for part in [&self.name, suffix, open, labels, separator, last, close] {
            self.text.push_str(part);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, " {value}");
        self
    }
}

/// One label, with its value quoted.
pub fn label(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// The labels of a Region, and of an account where the configuration names one.
pub fn place(region: &str, account: Option<&str>) -> String {
    let account = account.map(|it| format!(",{}", label("account", it)));
    label("region", region) + &account.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_format() {
        let check = |accept: &[&str], expected| {
            assert_eq!(
                Format::accepted(accept.iter().copied()),
                expected,
                "{accept:?}"
            );
        };
        let (text, openmetrics) = (Format::Text, Format::OpenMetrics);
        check(&[], text);
        check(&["*/*"], text);
        check(&["text/html,application/xhtml+xml,*/*;q=0.8"], text);
        check(&["text/plain;version=0.0.4"], text);
        check(&["application/openmetrics-text"], openmetrics);
        check(
            &["Application/OpenMetrics-Text; version=1.0.0"],
            openmetrics,
        );
        // Prometheus 2 and 3.
        check(
            &[
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ],
            openmetrics,
        );
        check(
            &[
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.1",
            ],
            openmetrics,
        );
        check(&["text/plain, application/openmetrics-text;q=0.5"], text);
        check(&["application/openmetrics-text;q=0, */*"], text);
        check(&["application/openmetrics-text;q=high"], text);
        check(
            &["text/plain;q=0.2", "application/openmetrics-text;q=0.3"],
            openmetrics,
        );
    }

    #[test]
    fn a_label_is_quoted() {
        assert_eq!(label("stream", "a\"b\\c\nd"), r#"stream="a\"b\\c\nd""#);
    }
}
