//! A progress bar on standard error, where that is a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter work needs no bar.
const FEWEST: usize = 20;

/// The progress of work in equal pieces.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for `pieces` pieces of work; few pieces get none.
    pub fn new(pieces: usize, what: &'static str) -> Self {
        if pieces < FEWEST {
            return Self(ProgressBar::hidden());
        }
        Self::with("{bar:30} {pos}/{len} {msg}", pieces, what)
    }

    /// A bar for a few long steps, with a text about the current one.
    pub fn steps(steps: usize) -> Self {
        Self::with("{bar:12} {wide_msg}", steps, "")
    }

    /// A bar for a number of simulated days, with the time that is left.
    pub fn days(days: usize) -> Self {
        Self::with("{bar:30} {percent} % {msg} {eta} left", days, "replayed,")
    }

    fn with(template: &str, pieces: usize, what: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let length = u64::try_from(pieces).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(
            bar.with_style(style.progress_chars("=>-"))
                .with_message(what),
        )
    }

    /// Counts `pieces` more as done.
    pub fn advance(&self, pieces: usize) {
        self.0.inc(u64::try_from(pieces).unwrap_or(u64::MAX));
    }

    /// Replaces the text.
    pub fn say(&self, words: String) {
        self.0.set_message(words);
    }

    /// Removes the bar.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
