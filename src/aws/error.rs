//! One error for every AWS call: a kind for the program, a text and a hint for the person.

mod cause;
mod operation;
mod policy;

use std::{error::Error as StdError, iter::successors};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};

use self::cause::Cause;
pub use self::cause::increase as shard_quota_hint;
pub use self::operation::Operation;
use super::{credentials::Unusable, rate_limit::RateLimiter, text, transport::Failure};

/// What went wrong, as far as the program cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request was never sent, or its answer was lost: a write may have happened.
    Timeout,
    Unreachable,
    /// AWS failed (5xx): a write may have happened.
    Server,
    Throttled,
    AccessDenied,
    NoCredentials,
    NotFound,
    /// ResourceInUseException: the stream is not ACTIVE, or the table exists.
    InUse,
    /// A limit of the stream, as 10 reshardings in 24 h.
    LimitExceeded,
    /// The account's quota of shards in the Region.
    AccountLimit,
    /// A condition of a DynamoDB write did not hold.
    Condition,
    /// Another transaction held an item of this one, or the same one is in progress: retry.
    Conflict,
    /// AWS refused the request as it stands.
    Invalid,
}

impl Kind {
    /// True if the request was surely not carried out.
    pub fn is_refusal(self) -> bool {
        !matches!(self, Self::Timeout | Self::Unreachable | Self::Server)
    }

    /// True if AWS was not reached, or did not accept the caller, whatever the request was.
    pub fn is_away(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::Unreachable | Self::NoCredentials
        )
    }

    /// True if the same request may be answered a little later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Timeout | Self::Unreachable | Self::Throttled)
    }

    /// A stable code for metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Server => "server",
            Self::Throttled => "throttled",
            Self::AccessDenied => "access_denied",
            Self::NoCredentials => "no_credentials",
            Self::NotFound => "not_found",
            Self::InUse => "in_use",
            Self::LimitExceeded => "limit_exceeded",
            Self::AccountLimit => "account_limit",
            Self::Condition => "condition",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
        }
    }
}

/// A failed AWS call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", .operation.name())]
pub struct Error {
    pub operation: Operation,
    pub kind: Kind,
    cause: Cause,
    message: String,
    /// The sources of credentials that were tried, each with what it said.
    tried: Vec<String>,
}

impl Error {
    fn new(operation: Operation, cause: Cause, message: &str) -> Self {
        Self {
            operation,
            kind: cause.kind(),
            cause,
            // One line: it goes into logs, tables and reports.
            message: text::one_line(message),
            tried: Vec::new(),
        }
    }

    /// An answer that lacks what AWS promises.
    pub(super) fn unreadable(operation: Operation, message: &str) -> Self {
        Self::new(operation, Cause::Server, message)
    }

    /// A request that the SDK cannot build.
    pub(super) fn unsendable(operation: Operation, error: &dyn StdError) -> Self {
        Self::new(operation, Cause::Invalid, &error.to_string())
    }

    /// Classifies the SDK's error by what failed, HTTP status and error code.
    pub(super) fn from_sdk<E>(operation: Operation, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match &error {
            SdkError::TimeoutError(_) => {
                Self::new(operation, Cause::NoAnswer, "no answer within the deadline")
            }
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or("unknown error");
                let message = service.err().message().unwrap_or("no message");
                let cause = Cause::of_answer(status, code, message);
                Self::new(operation, cause, &format!("{code}: {message}"))
            }
            SdkError::DispatchFailure(failure) => {
                Self::not_sent(operation, &error).unwrap_or_else(|| match failure.is_timeout() {
                    true => Self::new(
                        operation,
                        Cause::NoAnswer,
                        "no connection within the deadline",
                    ),
                    false => Self::new(operation, Cause::Unreachable, &innermost(&error)),
                })
            }
            SdkError::ConstructionFailure(_) => Self::not_sent(operation, &error)
                .unwrap_or_else(|| Self::new(operation, Cause::Invalid, &innermost(&error))),
            _ => {
                let message = format!("the answer could not be read: {}", innermost(&error));
                Self::unreadable(operation, &message)
            }
        }
    }

    /// A request that got no answer because credentials or a connection were missing.
    fn not_sent(operation: Operation, error: &(dyn StdError + 'static)) -> Option<Self> {
        let chain = || successors(Some(error), |&error| error.source());
        let connection = chain().find_map(|error| error.downcast_ref::<Failure>());
        let credentials = chain().find_map(|error| error.downcast_ref::<Unusable>());
        let (cause, message) = match (credentials, connection) {
            (Some(unusable), None) => {
                let text = DisplayErrorContext(error).to_string();
                let cause = Cause::of_credentials(&text, unusable.profile());
                let why = refusal(&text).unwrap_or_else(|| innermost(error));
                if let Some((why, tried)) = why.split_once(TRIED) {
                    let message = format!("{unusable}: {}", why.trim_end());
                    let lines = tried.lines().map(text::one_line);
                    let tried = lines.filter(|line| !line.is_empty()).collect();
                    return Some(Self {
                        tried,
                        ..Self::new(operation, cause, &message)
                    });
                }
                (cause, format!("{unusable}: {why}"))
            }
            (Some(unusable), Some(failure)) => (
                of_failure(failure),
                format!("{unusable}: {}", told(failure)),
            ),
            (None, Some(failure)) if failure.is_timeout() => (
                Cause::NoAnswer,
                "no connection within the deadline".to_owned(),
            ),
            (None, Some(failure)) => (
                of_failure(failure),
                format!("{} at {}", operation.service(), told(failure)),
            ),
            (None, None) => return None,
        };
        Some(Self::new(operation, cause, &message))
    }

    /// Slows `limiter` down if AWS has throttled the call; returns the error.
    pub(super) fn slowing(self, limiter: &RateLimiter) -> Self {
        if self.kind == Kind::Throttled {
            limiter.slow_down();
        }
        self
    }

    /// What AWS said, without the operation.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = self.cause.hint(self.operation, &self.message)?;
        let tried = self.tried.iter().map(|line| format!("\n- {line}"));
        Some(hint + &tried.collect::<String>())
    }
}

/// Precedes the list of the providers that the SDK's chain has tried, one a line.
const TRIED: &str = "Attempted:";

fn of_failure(failure: &Failure) -> Cause {
    match failure {
        Failure::NotAws { .. } => Cause::NotAws,
        Failure::Unreached { .. } if innermost(failure).contains("UnknownIssuer") => {
            Cause::UntrustedCertificate
        }
        Failure::Unreached { .. } => Cause::Unreachable,
    }
}

fn told(failure: &Failure) -> String {
    match failure {
        Failure::NotAws { .. } => failure.to_string(),
        Failure::Unreached { .. } => format!("{failure}: {}", innermost(failure)),
    }
}

/// STS's refusal, out of the SDK's account of all providers that it has tried.
fn refusal(text: &str) -> Option<String> {
    const NOT_AUTHORIZED: &str = "not authorized to perform: ";
    let (_, rest) = text.split_once(NOT_AUTHORIZED)?;
    let words = rest.split(['"', '\\', ',']).next()?;
    Some(format!("{NOT_AUTHORIZED}{words}"))
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let chain = successors(Some(error), |&error| error.source());
    chain.last().unwrap_or(error).to_string()
}
