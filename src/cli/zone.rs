//! `--time`: the zone of the times in a text.

use clap::{Args, ValueEnum};

use crate::output::times::Times;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct Zone {
    /// Zone of the times in the text: utc, or local by TZ or the machine
    #[arg(long = "time", value_enum, default_value_t, value_name = "ZONE")]
    #[arg(hide_possible_values = true)]
    pub name: ZoneName,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ZoneName {
    #[default]
    Utc,
    Local,
}

impl Zone {
    /// How to show times.
    pub fn times(self) -> Times {
        match self.name {
            ZoneName::Utc => Times::utc(),
            ZoneName::Local => Times::local(),
        }
    }
}
