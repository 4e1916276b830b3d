//! The report for people: one line for the log and systemd, and a table for the terminal.

use std::collections::BTreeMap;

use autoscaler_core::reason::Reason;

use super::{Done, Report, StreamReport};
use crate::output::{
    names::{Named, distinct_names},
    table::{and_more, rows, wrap},
};

impl Report {
    /// The tick as a status text, for `STATUS=` and the log.
    pub fn summary(&self) -> String {
        if let Some(holder) = &self.standby {
            return format!("standby; the lease is held by {holder}");
        }
        let count = |done: Done| {
            let streams = self.streams.iter();
            streams.filter(|stream| stream.action == done).count()
        };
        let failed = self
            .streams
            .iter()
            .filter(|stream| stream.error.is_some())
            .count();
        let at_rest = |stream: &&StreamReport| stream.reason == Reason::NoAlarm;
        let resting = self.at_rest + self.streams.iter().filter(at_rest).count();
        let (ups, downs, syncs) = (
            count(Done::ScaleUp),
            count(Done::ScaleDown),
            count(Done::SyncAlarms),
        );
        let held = self.streams.len() + self.at_rest - resting - ups - downs - syncs;
        let failed_holds = self
            .streams
            .iter()
            .filter(|stream| !stream.acts() && stream.error.is_some())
            .count();
        let done = |done, planned| if self.dry_run { planned } else { done };
        let parts = [
            (ups, done("scaled up", "to scale up")),
            (downs, done("scaled down", "to scale down")),
            (syncs, done("synced", "to sync")),
            (held - failed_holds, "held"),
            (failed, "failed"),
            (resting, "at rest"),
        ];
        let words: Vec<String> = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"))
            .collect();
        let total = self.streams.len() + self.at_rest;
        let streams = if total == 1 {
            "1 stream".to_owned()
        } else {
            format!("{total} streams")
        };
        let what = match words.len() {
            1 if resting == total => "all at rest".to_owned(),
            _ => words.join(", "),
        };
        let unlisted = match (self.unlisted.first(), self.listing.first()) {
            (Some(error), _) => format!("; alarms not listed: {error}"),
            (None, Some(region)) => format!("; the alarms of {region} are being listed"),
            (None, None) => String::new(),
        };
        let separator = if what.is_empty() { "" } else { ", " };
        format!(
            "{streams}{separator}{what}{unlisted} ({} ms)",
            self.duration_ms
        )
    }

    /// The table that a person reads, at most `width` columns wide where that is given.
    pub fn to_text(&self, width: Option<u16>) -> String {
        let notable = self
            .streams
            .iter()
            .filter(|stream| stream.reason != Reason::NoAlarm || self.streams.len() <= 20);
        let notable = folded(notable);
        let named = notable.iter().map(|(stream, _)| Named {
            stream: stream.name(),
            region: Some(&stream.region),
            account: stream.account.as_deref(),
        });
        let names = distinct_names(&named.collect::<Vec<_>>());
        let cells: Vec<[String; 4]> = notable
            .into_iter()
            .zip(names)
            .map(|((stream, more), name)| {
                let why = match &stream.error {
                    // Of what was begun, the detail says why, and the error what to do.
                    Some(error) if stream.acts() => format!("error: {error}\n{}", stream.detail),
                    Some(error) => format!("error: {error}\nhint: {}", stream.detail),
                    None => stream.detail.clone(),
                };
                let action = match stream.action {
                    Done::Hold => format!("hold: {}", stream.reason.code()),
                    done => done.code().replace('_', " "),
                };
                [
                    format!("{name}{}", and_more(more)),
                    action,
                    stream.shards(),
                    why,
                ]
            })
            .collect();
        let calls: Vec<String> = self
            .api_calls
            .iter()
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        let calls = match calls.is_empty() {
            true => "none".to_owned(),
            false => calls.join(", "),
        };
        let would = match self.dry_run {
            true => "dry run, nothing is changed; ",
            false => "",
        };
        let table = rows(["STREAM", "ACTION", "SHARDS", "WHY"], &cells, width);
        let width = width.map_or(usize::MAX, usize::from);
        let summary = wrap(&format!("{would}{}", self.summary()), "", "", width);
        let log = match &self.scaling_log_error {
            Some(error) => wrap(
                &format!("error: the scaling log cannot be used: {error}"),
                "",
                "  ",
                width,
            ),
            None => String::new(),
        };
        let calls = wrap(&format!("AWS calls: {calls}"), "", "  ", width);
        let unlisted: String = self
            .unlisted
            .iter()
            .map(|error| {
                let text = format!("error: alarms could not be listed: {error}");
                wrap(&text, "", "  ", width)
            })
            .collect();
        format!("{table}\n{summary}{unlisted}{log}{calls}")
    }
}

/// Streams that failed for the same cause are shown once, with the number of the others.
fn folded<'a>(streams: impl Iterator<Item = &'a StreamReport>) -> Vec<(&'a StreamReport, usize)> {
    let mut folded: Vec<(&StreamReport, usize)> = Vec::new();
    let mut failed: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for stream in streams {
        let Some(error) = &stream.error else {
            folded.push((stream, 0));
            continue;
        };
        let place = *failed
            .entry((stream.region.as_str(), error.as_str()))
            .or_insert(folded.len());
        match folded.get_mut(place) {
            Some((_, more)) => *more += 1,
            None => folded.push((stream, 0)),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use autoscaler_core::decision::{Action, Decision};
    use jiff::Timestamp;

    use super::*;

    fn report(streams: Vec<StreamReport>) -> Report {
        Report {
            streams,
            ..Report::of_nothing(Timestamp::UNIX_EPOCH, false)
        }
    }

    fn scaled(stream: &str) -> StreamReport {
        let detail = format!("{stream}-scale-up-alarm has been in ALARM since noon");
        let up = Decision::act(Action::ScaleUp { to: 4 }, Reason::Alarm, detail);
        StreamReport::of_two_shards(stream, &up)
    }

    #[test]
    fn the_text_fits_the_terminal_and_breaks_no_word() {
        let report = report(vec![scaled("orders"), scaled("a-stream-with-a-long-name")]);
        for width in [44, 60, 80, 120] {
            let text = report.to_text(Some(width));
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(usize::from(width)), "{width}:\n{text}");
            for word in ["a-stream-with-a-long-name", "orders-scale-up-alarm"] {
                assert!(text.contains(word), "{width}: {word} is broken:\n{text}");
            }
        }
        let narrow = report.to_text(Some(44));
        assert!(
            narrow.starts_with("orders  scale up  2 -> 4\n    "),
            "{narrow}"
        );
        let wide = report.to_text(Some(100));
        assert!(wide.starts_with("STREAM "), "{wide}");
    }

    #[test]
    fn streams_that_fail_for_one_cause_share_a_row() {
        let failed = |stream: &str| {
            StreamReport::of_two_shards(
                stream,
                &Decision::fail(Reason::AwsError, "AWS cannot be reached", "wait"),
            )
        };
        let streams = ["a", "b", "c"].map(failed);
        let text = report([&streams[..], &[scaled("d")]].concat()).to_text(None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("a and 2 more  hold: aws_error"),
            "{text}"
        );
        assert_eq!(text.matches("cannot be reached").count(), 1, "{text}");
        assert!(lines[3].starts_with("d  "), "{text}");
    }
}
