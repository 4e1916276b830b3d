//! What a check finds, and how that is told: one line a finding, with its mend.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Output;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The stream is not scaled until it is mended.
    Error,
    /// It works, but hardly as it is meant.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Warning => "\x1b[1;33m",
            Self::Info => "\x1b[1;36m",
        }
    }
}

/// One thing that a person should know. The field names are a promise to users' scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// A stable code.
    pub rule: &'static str,
    /// The alarm, stream, table or key that it is about.
    pub subject: String,
    /// The stream that is concerned; `None` where all are.
    pub stream: Option<String>,
    pub region: Option<String>,
    pub message: String,
    pub mend: String,
}

impl Finding {
    /// A finding that is not yet said to belong to a stream.
    pub fn new(
        severity: Severity,
        rule: &'static str,
        subject: &str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            rule,
            subject: subject.to_owned(),
            stream: None,
            region: None,
            message: message.into(),
            mend: mend.into(),
        }
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub all: Vec<Finding>,
    pub streams: usize,
    /// IAM actions that cannot be tried without effect.
    pub not_tried: Vec<String>,
}

impl Findings {
    /// Whether anything keeps a stream from being scaled.
    pub fn failed(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many findings there are of one kind.
    pub fn count(&self, severity: Severity) -> usize {
        self.all
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// The findings and a summary; the IAM policy too, if it is given.
    pub fn render(&self, output: Output, colour: bool, policy: Option<&str>) -> String {
        match output {
            Output::Json => self.to_json(policy),
            _ => self.to_text(colour, policy),
        }
    }

    fn to_json(&self, policy: Option<&str>) -> String {
        let mut object = json!({
            "streams": self.streams,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "findings": self.all,
            "not_tried": self.not_tried,
        });
        if let Some(policy) = policy {
            object["policy"] = serde_json::from_str(policy).unwrap_or(Value::Null);
        }
        object.to_string() + "\n"
    }

    fn to_text(&self, colour: bool, policy: Option<&str>) -> String {
        let mut text: String = self
            .all
            .iter()
            .map(|finding| line(finding, colour))
            .collect();
        let count = |severity: Severity, one: &str, many: &str| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let counts = [
            count(Severity::Error, "error", "errors"),
            count(Severity::Warning, "warning", "warnings"),
            count(Severity::Info, "note", "notes"),
        ];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        let verdict = match counts.is_empty() {
            true => "all is well".to_owned(),
            false => counts.join(", "),
        };
        let streams = match self.streams {
            1 => "1 stream".to_owned(),
            n => format!("{n} streams"),
        };
        text += &format!("checked {streams}, their alarms and the log table: {verdict}\n");
        if !self.not_tried.is_empty() {
            let actions = self.not_tried.join(", ");
            text += &format!("not tried, for that would change something: the right to {actions}");
            text += match policy {
                Some(_) => "\nthe IAM policy that grants all that is needed:\n",
                None => " (`check --policy` prints the IAM policy)\n",
            };
        }
        text + policy.unwrap_or_default()
    }
}

fn line(finding: &Finding, colour: bool) -> String {
    let (on, off) = match colour {
        true => (finding.severity.colour(), "\x1b[0m"),
        false => ("", ""),
    };
    let region = finding.region.as_ref().map(|region| format!(" ({region})"));
    format!(
        "{on}{}:{off} {}{}: {}; {}\n",
        finding.severity.name(),
        finding.subject,
        region.unwrap_or_default(),
        finding.message,
        finding.mend
    )
}
