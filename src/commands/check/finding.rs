//! What a check finds, and how it is printed: one line for each finding, with a suggested fix.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cli::Output,
    config::{Complaint, Config},
    output::{
        error::{Exit, Failure, Report},
        table::{and_more, counted, wrap},
    },
};

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The stream is not scaled until this is fixed.
    Error,
    /// It works, but probably not as intended.
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

/// One finding. The field names are part of the interface.
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
    #[serde(rename = "mend")]
    pub fix: String,
}

impl Finding {
    /// A finding that is not yet assigned to a stream.
    pub fn new(
        severity: Severity,
        rule: &'static str,
        subject: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            rule,
            subject: subject.to_owned(),
            stream: None,
            region: None,
            message: message.into(),
            fix: fix.into(),
        }
    }
}

/// What a check has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LookedAt {
    /// The configuration alone.
    #[default]
    Configuration,
    /// What AWS has, too.
    All,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub looked_at: LookedAt,
    pub all: Vec<Finding>,
    pub streams: usize,
    /// IAM actions that cannot be verified without modifying resources.
    pub not_tried: Vec<String>,
    /// Provisioned streams that nothing subscribes, with their Regions.
    pub unsubscribed: Vec<(String, String)>,
}

impl Findings {
    /// The warnings about a valid configuration.
    pub fn of_configuration(config: &Config) -> Self {
        let finding = |warning: Complaint| {
            let (rule, hint) = ("configuration", warning.hint.unwrap_or_default());
            Finding::new(Severity::Warning, rule, rule, warning.message, hint)
        };
        Self {
            all: config.warnings().into_iter().map(finding).collect(),
            streams: config.subscriptions.len(),
            ..Self::default()
        }
    }

    /// A configuration that cannot be used, as a finding for scripts.
    pub fn of_failure(failure: &Failure) -> Self {
        let finding = |report: &Report| {
            let (message, fix) = (report.error.to_string(), report.hints.join("; "));
            Finding::new(
                Severity::Error,
                "configuration",
                "configuration",
                message,
                fix,
            )
        };
        Self {
            all: failure.reports.iter().map(finding).collect(),
            ..Self::default()
        }
    }

    /// The exit status: a failure if a finding keeps a stream from being scaled or, if `strict`, is
    /// a warning.
    pub fn exit(&self, strict: bool) -> Exit {
        match self.failed(strict) {
            true => Exit::Failed,
            false => Exit::Done,
        }
    }

    /// Whether a finding keeps a stream from being scaled or, if `strict`, is a warning.
    pub fn failed(&self, strict: bool) -> bool {
        self.count(Severity::Error) > 0 || (strict && self.count(Severity::Warning) > 0)
    }

    /// How many findings there are of one kind.
    pub fn count(&self, severity: Severity) -> usize {
        self.all
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// The findings and a summary in lines of at most `width`, and the IAM policy if it is given.
    pub fn render(
        &self,
        output: Output,
        width: Option<u16>,
        colour: bool,
        policy: Option<&str>,
    ) -> String {
        let width = width.map_or(usize::MAX, usize::from);
        match output {
            Output::Json => self.to_json(policy),
            _ => self.to_text(width, colour, policy),
        }
    }

    fn to_json(&self, policy: Option<&str>) -> String {
        let mut object = json!({
            "streams": self.streams,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "findings": self.all,
            "not_tried": self.not_tried,
            "unsubscribed": self.unsubscribed.iter().map(|(stream, region)| {
                json!({"stream": stream, "region": region})
            }).collect::<Vec<_>>(),
        });
        if let Some(policy) = policy {
            object["policy"] = serde_json::from_str(policy).unwrap_or(Value::Null);
        }
        object.to_string() + "\n"
    }

    fn to_text(&self, width: usize, colour: bool, policy: Option<&str>) -> String {
        let folded = self.folded();
        let mut text: String = folded
            .iter()
            .map(|findings| lines(findings, width, colour))
            .collect();
        text += &wrap(&self.summary(&folded), "", "", width);
        if !self.unsubscribed.is_empty() {
            let names = self
                .unsubscribed
                .iter()
                .map(|(stream, region)| format!("{stream} ({region})"));
            let list = format!("not subscribed: {}", listed(names));
            text += &wrap(&list, "", "  ", width);
        }
        if !self.not_tried.is_empty() {
            let actions = self.not_tried.join(", ");
            let more = match policy {
                Some(_) => "",
                None => " (`check --policy` prints the IAM policy)",
            };
            let not_tried = format!(
                "not verified, because that would modify resources: permission for {actions}{more}"
            );
            text += &wrap(&not_tried, "", "", width);
        }
        if let Some(policy) = policy {
            text += "the IAM policy that grants all that is needed:\n";
            text += policy;
        }
        text
    }

    /// The number of lines of each severity; a line can be about several alarms.
    fn summary(&self, folded: &[Vec<&Finding>]) -> String {
        let worst = |findings: &Vec<&Finding>| findings.iter().map(|it| it.severity).min();
        let counts: Vec<String> = [
            (Severity::Error, "error"),
            (Severity::Warning, "warning"),
            (Severity::Info, "note"),
        ]
        .into_iter()
        .map(|(severity, noun)| {
            let lines = folded.iter().filter(|it| worst(it) == Some(severity));
            (lines.count(), noun)
        })
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| counted(count, noun))
        .collect();
        let counts = counts.join(", ");
        let streams = counted(self.streams, "stream");
        match (self.looked_at, counts.as_str()) {
            (LookedAt::Configuration, "") => "the configuration is good".to_owned(),
            (LookedAt::Configuration, counts) => {
                format!("the configuration is good, with {counts}")
            }
            (LookedAt::All, counts) => {
                let verdict = if counts.is_empty() {
                    "all is well"
                } else {
                    counts
                };
                format!("checked {streams}, their alarms and the log table: {verdict}")
            }
        }
    }

    /// Groups the findings that say the same about several subjects, the most serious first.
    fn folded(&self) -> Vec<Vec<&Finding>> {
        let mut folded: Vec<Vec<&Finding>> = Vec::new();
        let mut places: HashMap<_, usize> = HashMap::new();
        for finding in &self.all {
            let same = (finding.rule, &finding.message, &finding.fix);
            let place = *places.entry(same).or_insert(folded.len());
            match folded.get_mut(place) {
                Some(findings) => findings.push(finding),
                None => folded.push(vec![finding]),
            }
        }
        folded.sort_by_key(|findings| findings.iter().map(|it| it.severity).min());
        folded
    }
}

/// A line names up to this many subjects; `--output json` names all.
const NAMED: usize = 20;

/// The names in one line.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let names: Vec<String> = names.take(NAMED).collect();
    format!("{}{}", names.join(", "), and_more(more))
}

fn lines(findings: &[&Finding], width: usize, colour: bool) -> String {
    // `folded` never makes an empty group.
    let Some(first) = findings.first() else {
        return String::new();
    };
    let name = |finding: &&Finding| match &finding.region {
        Some(region) => format!("{} ({region})", finding.subject),
        None => finding.subject.clone(),
    };
    let names = listed(findings.iter().map(name));
    let severity = first.severity.name();
    let text = format!("{severity}: {names}: {}; {}", first.message, first.fix);
    let text = wrap(&text, "", "  ", width);
    match (colour, text.strip_prefix(severity)) {
        (true, Some(rest)) => {
            let rest = rest.trim_start_matches(':');
            format!("{}{severity}:\x1b[0m{rest}", first.severity.colour())
        }
        _ => text,
    }
}
