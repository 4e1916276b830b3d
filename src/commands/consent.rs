//! Asks a person on the terminal before something is done.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::output::error::{Exit, Failure, Report};

/// Whether to ask for confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--yes`.
    Given,
    Ask,
    /// There is no terminal to ask on.
    Impossible,
}

impl Consent {
    /// `--yes` or the terminal on standard input.
    pub fn from_flag(yes: bool) -> Self {
        match (yes, io::stdin().is_terminal()) {
            (true, _) => Self::Given,
            (false, true) => Self::Ask,
            (false, false) => Self::Impossible,
        }
    }

    /// Asks the question unless the answer was given; `impossible` is the error without a terminal.
    ///
    /// # Errors
    /// Where there is no terminal, or it cannot be read.
    pub fn confirm(
        self,
        question: &str,
        impossible: impl FnOnce() -> Report,
    ) -> Result<bool, Failure> {
        match self {
            Self::Given => Ok(true),
            Self::Impossible => Err(Failure::new(Exit::Usage, impossible())),
            Self::Ask => {
                say(&format!("{question} [y/N] "));
                let mut answer = String::new();
                let read = io::stdin().lock().read_line(&mut answer);
                read.map_err(|error| Failure::new(Exit::Failed, error))?;
                let answer = answer.trim().to_ascii_lowercase();
                Ok(matches!(answer.as_str(), "y" | "yes"))
            }
        }
    }
}

/// Writes to standard error, so that standard output has data only.
pub fn say(text: &str) {
    // If standard error is closed, nobody is reading.
    let _ = io::stderr().write_all(text.as_bytes());
}
