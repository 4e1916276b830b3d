//! What can be verified of notifications without sending one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::finding::{Finding, Severity};
use crate::{
    aws::{Kind, Topic},
    reconcile::context::Context,
};

/// Looks whether the topic exists, and whether the command can be run.
pub async fn findings(context: &Context) -> Vec<Finding> {
    let topic = match &context.aws.topic {
        Some(topic) => topic_found(topic).await,
        None => None,
    };
    let notify = context.config.notify.as_ref();
    let command = notify.and_then(|notify| notify.command.as_deref());
    let program = command.and_then(|command| program_found(command.first()?));
    topic.into_iter().chain(program).collect()
}

async fn topic_found(topic: &Topic) -> Option<Finding> {
    let error = topic.check().await.err()?;
    let fix = error
        .hint()
        .unwrap_or_else(|| "check again later".to_owned());
    let (severity, rule, message) = match error.kind {
        Kind::AccessDenied => {
            let message =
                "not verified: reading the topic is not allowed, but publishing to it may be";
            (Severity::Info, "topic_not_verified", message)
        }
        Kind::NotFound => {
            let message = "the topic does not exist, so no notification arrives";
            (Severity::Warning, "topic_missing", message)
        }
        _ => (Severity::Warning, "topic_not_verified", error.message()),
    };
    Some(Finding::new(severity, rule, &topic.arn, message, fix))
}

/// A file without any permission to execute cannot be run, whoever the service's user is.
fn program_found(program: &str) -> Option<Finding> {
    let (message, fix) = match fs::metadata(Path::new(program)) {
        Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => return None,
        Ok(_) => (
            "the command of [notify] is not an executable file".to_owned(),
            "make it executable (chmod 755)",
        ),
        Err(error) => (
            format!("the command of [notify] cannot be found on this host: {error}"),
            "create it on each host that runs the program, or correct `command`",
        ),
    };
    let rule = "notify_command";
    Some(Finding::new(Severity::Warning, rule, program, message, fix))
}
