//! `status --watch`: the same again and again, until a person has seen enough.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    Status,
    gather::{Known, gather_again},
};
use crate::{
    cli::{self, Output},
    commands::subscriptions,
    daemon::schedule::{ScheduleError, Signals},
    output::{self, error::Exit, error::Failure, print_unless_closed},
    reconcile::{context::Context, discovery::discover},
};

/// How long the streams of patterns are taken as they were listed.
const LISTED_FOR: SignedDuration = SignedDuration::from_mins(1);
/// Moves to the upper left corner and erases the screen.
const ERASE: &str = "\x1b[H\x1b[2J";

/// Looks again and again at the same streams, or at those that a pattern has by then.
#[derive(Debug)]
pub struct Watched {
    context: Arc<Context>,
    names: Vec<String>,
    listed_at: Timestamp,
    known: Known,
}

impl Watched {
    /// Watches the streams that match `names`, or all of them. Those of `context` were just listed.
    pub fn new(context: &Arc<Context>, names: Vec<String>) -> Self {
        Self {
            context: context.clone(),
            names,
            listed_at: context.clock.now(),
            known: Known::default(),
        }
    }

    /// Reads all of them.
    pub async fn look(&mut self) -> Status {
        let now = self.context.clock.now();
        let has_patterns = !self.context.config.patterns.is_empty();
        if has_patterns && now.duration_since(self.listed_at) >= LISTED_FOR {
            self.listed_at = now;
            self.list().await;
        }
        gather_again(&self.context, &mut self.known).await
    }

    /// Lists the streams again. Where that fails, they stay as they are, and the error is shown.
    async fn list(&mut self) {
        let listed = discover((*self.context).clone(), &[]).await;
        let mut roster = match listed.roster.unlisted.is_empty() {
            true => (*listed.roster).clone(),
            false => (*self.context.roster).clone(),
        };
        roster.unlisted.clone_from(&listed.roster.unlisted);
        if !self.names.is_empty() && roster.unlisted.is_empty() {
            match subscriptions::select(&listed, &self.names).await {
                Ok(chosen) => roster.keep(&chosen),
                // None of them is there any more.
                Err(_) => return,
            }
        }
        self.context = Arc::new(self.context.with_roster(roster));
    }
}

/// Reads and prints until SIGINT or SIGTERM, or until nobody reads standard output.
pub(super) async fn run(
    context: &Arc<Context>,
    args: &cli::Status,
    output: Output,
    every: Duration,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(ScheduleError::from)?;
    let mut watched = Watched::new(context, args.names());
    let times = args.zone.times();
    loop {
        let status = tokio::select! {
            status = watched.look() => status,
            () = signals.stop() => return Ok(Exit::Done),
        };
        let text = status.show(args, output, output::terminal_width(), &times);
        let head = format!(
            "{}, every {}",
            times.at(status.at),
            humantime::format_duration(every)
        );
        let frame = match (output, output::terminal_height()) {
            (Output::Json, _) => text,
            (_, Some(height)) => screen(&head, &text, usize::from(height)),
            (_, None) => format!("{head}\n{text}\n"),
        };
        if !print_unless_closed(&frame)? {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = signals.stop() => return Ok(Exit::Done),
        }
    }
}

/// The text on an erased screen of `height` lines; what does not fit is counted.
fn screen(head: &str, text: &str, height: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // The head, and a last line on which the cursor stays.
    let room = height.saturating_sub(2).max(1);
    let mut frame = format!("{ERASE}{head}; Ctrl-C ends it\n");
    let (shown, more) = match lines.len() <= room {
        true => (lines.len(), 0),
        false => (room - 1, lines.len() - room + 1),
    };
    for line in &lines[..shown] {
        frame += line;
        frame.push('\n');
    }
    if more > 0 {
        frame += &format!("... {more} more lines\n");
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_counts_the_lines_for_which_it_has_no_room() {
        for (lines, height, expected) in [
            (0, 24, ""),
            (3, 24, "1\n2\n3\n"),
            (3, 5, "1\n2\n3\n"),
            (3, 4, "1\n... 2 more lines\n"),
            (3, 1, "... 3 more lines\n"),
            (3, 0, "... 3 more lines\n"),
        ] {
            let text: String = (1..=lines).map(|line| format!("{line}\n")).collect();
            let frame = screen("now", &text, height);
            let head = format!("{ERASE}now; Ctrl-C ends it\n");
            assert_eq!(frame, head + expected, "{lines} lines, {height} high");
        }
    }
}
