//! Shell completions, for installations without a package.

use clap::{CommandFactory, ValueEnum};

use super::Cli;

/// A shell that completions can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl From<Shell> for clap_complete::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Zsh => Self::Zsh,
            Shell::Fish => Self::Fish,
        }
    }
}

/// The script that the shell has to source.
pub fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    let shell = clap_complete::Shell::from(shell);
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "kinesis-autoscaler",
        &mut script,
    );
    String::from_utf8_lossy(&script).into_owned()
}
