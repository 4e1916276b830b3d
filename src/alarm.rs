//! The alarm contract of `epsagon/kinesis-autoscaler`: names, `shardCount`, the stream that a pair speaks of.

/// The names of a stream's two alarms.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlarmNames {
    pub scale_up: String,
    pub scale_down: String,
}

/// Why a name can be no half of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the alarm name has neither `scale-up` nor `scale-down` in it")]
    Neither,
    #[error("the alarm name has both `scale-up` and `scale-down` in it")]
    Both,
}

impl AlarmNames {
    /// Derives the pair from either name: every `scale-up` against every `scale-down`.
    pub fn from_either(name: &str) -> Result<Self, NameError> {
        match (name.contains("scale-up"), name.contains("scale-down")) {
            (true, true) => Err(NameError::Both),
            (false, false) => Err(NameError::Neither),
            (true, false) => Ok(Self {
                scale_up: name.to_owned(),
                scale_down: name.replace("scale-up", "scale-down"),
            }),
            (false, true) => Ok(Self {
                scale_up: name.replace("scale-down", "scale-up"),
                scale_down: name.to_owned(),
            }),
        }
    }
}
