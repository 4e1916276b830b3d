//! How far a long read has come, on standard error and only where that is a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of `total` steps; it is gone from the terminal when it is dropped or finished.
pub fn bar(total: usize, what: &'static str) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let total = u64::try_from(total).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(total), target);
    // The template is a constant that parses; were it wrong, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {eta}") {
        bar.set_style(style.progress_chars("#>-"));
    }
    bar.with_message(what)
        .with_finish(indicatif::ProgressFinish::AndClear)
}
