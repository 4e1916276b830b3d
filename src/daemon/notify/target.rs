//! Where notifications go: a topic, a command.

use crate::{
    aws::Topic,
    reconcile::{context::Context, events::Event},
};

use super::command::{self, CommandError};

/// The names of all targets, in the record and in the log.
pub(super) const NAMES: [&str; 2] = [SNS, COMMAND];
const SNS: &str = "sns_topic";
const COMMAND: &str = "command";

/// A target of the configuration.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Sns(Topic),
    Command(Vec<String>),
}

/// Why an event was not delivered, and what to do about it.
#[derive(Clone, Debug)]
pub(super) struct NotDelivered {
    pub error: String,
    pub hint: Option<String>,
}

impl Target {
    /// Those that the configuration names.
    pub fn all(context: &Context) -> Vec<Self> {
        let topic = context.aws.topic.clone().map(Self::Sns);
        let notify = context.config.notify.as_ref();
        let command = notify.and_then(|notify| notify.command.clone());
        topic
            .into_iter()
            .chain(command.map(Self::Command))
            .collect()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Sns(_) => SNS,
            Self::Command(_) => COMMAND,
        }
    }

    /// Delivers an event, once.
    pub async fn send(&self, event: &Event) -> Result<(), NotDelivered> {
        let message = event.to_json();
        match self {
            Self::Sns(topic) => {
                let subject = event.subject();
                let sent = topic.publish(&event.id, &subject, &message);
                sent.await.map_err(|error| NotDelivered {
                    error: error.to_string(),
                    hint: error.hint(),
                })
            }
            Self::Command(command) => {
                let ran = command::run(command, message.as_bytes());
                ran.await.map_err(|error| NotDelivered {
                    error: error.to_string(),
                    hint: error.hint(),
                })
            }
        }
    }

    /// What to do where it does not answer in time.
    pub fn hint_when_late(&self) -> &'static str {
        match self {
            Self::Sns(_) => "check the network path from this host to SNS",
            Self::Command(_) => CommandError::HINT_WHEN_LATE,
        }
    }
}
