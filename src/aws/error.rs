//! One error for every AWS call: a kind for the program, a text and a hint for the person.

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};

use crate::aws::rate_limit::RateLimiter;

/// AWS's own words before the action that it refuses.
const NOT_AUTHORIZED: &str = "not authorized to perform: ";
const ASSUME_ROLE: &str = "sts:AssumeRole";

/// The AWS operations in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    DescribeAlarms,
    PutMetricAlarm,
    SetAlarmState,
    GetMetricData,
    DescribeStreamSummary,
    UpdateShardCount,
    DescribeLimits,
    ListStreams,
    Query,
    GetItem,
    TransactWriteItems,
    DescribeTable,
    DescribeTimeToLive,
    CreateTable,
    UpdateTimeToLive,
}

impl Operation {
    /// The name by AWS's API reference.
    pub fn name(self) -> &'static str {
        match self {
            Self::TransactWriteItems => "TransactWriteItems",
            _ => self.iam_action().rsplit(':').next().unwrap_or_default(),
        }
    }

    /// The IAM action that allows it. A transaction needs the right to each of its writes; PutItem is the one ours always has.
    pub fn iam_action(self) -> &'static str {
        match self {
            Self::DescribeAlarms => "cloudwatch:DescribeAlarms",
            Self::PutMetricAlarm => "cloudwatch:PutMetricAlarm",
            Self::SetAlarmState => "cloudwatch:SetAlarmState",
            Self::GetMetricData => "cloudwatch:GetMetricData",
            Self::DescribeStreamSummary => "kinesis:DescribeStreamSummary",
            Self::UpdateShardCount => "kinesis:UpdateShardCount",
            Self::DescribeLimits => "kinesis:DescribeLimits",
            Self::ListStreams => "kinesis:ListStreams",
            Self::Query => "dynamodb:Query",
            Self::GetItem => "dynamodb:GetItem",
            Self::TransactWriteItems => "dynamodb:PutItem",
            Self::DescribeTable => "dynamodb:DescribeTable",
            Self::DescribeTimeToLive => "dynamodb:DescribeTimeToLive",
            Self::CreateTable => "dynamodb:CreateTable",
            Self::UpdateTimeToLive => "dynamodb:UpdateTimeToLive",
        }
    }
}

/// What went wrong, as far as the program cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request never left, or its answer was lost: a write may have happened.
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
    /// A limit of the account or the stream, or throttling by Kinesis, which uses the same code.
    LimitExceeded,
    /// A condition of a DynamoDB write did not hold.
    Condition,
    /// Another transaction held an item of this one, or the same one is under way: trying again is right.
    Conflict,
    /// AWS refused the request as it stands.
    Invalid,
}

impl Kind {
    /// True if the request was surely not carried out.
    pub fn is_refusal(self) -> bool {
        !matches!(self, Self::Timeout | Self::Unreachable | Self::Server)
    }

    /// True if AWS was not reached at all, whatever it was asked for.
    pub fn is_away(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::Unreachable | Self::NoCredentials
        )
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
    pub(super) message: String,
}

impl Error {
    /// An answer that came, but does not have what AWS promises.
    pub(super) fn unreadable(operation: Operation, message: &str) -> Self {
        Self {
            operation,
            kind: Kind::Server,
            message: message.to_owned(),
        }
    }

    /// What AWS said, without the operation.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The action that AWS says is not allowed; of a transaction it is one of several.
    fn denied_action(&self) -> &str {
        let told = self.message.split_once(NOT_AUTHORIZED);
        let told = told.and_then(|(_, rest)| rest.split_whitespace().next());
        told.unwrap_or(self.operation.iam_action())
    }

    /// Classifies the SDK's error by its kind, HTTP status and error code.
    pub(super) fn from_sdk<E>(operation: Operation, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let text = DisplayErrorContext(&error).to_string();
        let (kind, message) = match &error {
            SdkError::TimeoutError(_) => {
                (Kind::Timeout, "no answer within the deadline".to_owned())
            }
            SdkError::DispatchFailure(failure) if failure.is_timeout() => (
                Kind::Timeout,
                "no connection within the deadline".to_owned(),
            ),
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)
                if text.contains("AssumeRole") && text.contains("AccessDenied") =>
            {
                (Kind::AccessDenied, refused_role(&text))
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)
                if mentions_credentials(&text) =>
            {
                (
                    Kind::NoCredentials,
                    format!("no AWS credentials could be used: {}", innermost(&error)),
                )
            }
            SdkError::DispatchFailure(_) => (
                Kind::Unreachable,
                format!("AWS cannot be reached: {}", innermost(&error)),
            ),
            SdkError::ConstructionFailure(_) => (Kind::Invalid, innermost(&error)),
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or("unknown error");
                let message = service.err().message().unwrap_or("no message");
                (
                    classify(status, code, message),
                    format!("{code}: {message}"),
                )
            }
            _ => (
                Kind::Server,
                format!("the answer could not be read: {}", innermost(&error)),
            ),
        };
        // One line: it goes into logs, tables and reports.
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self {
            operation,
            kind,
            message,
        }
    }

    /// Slows `limiter` down if AWS has throttled the call; returns the error.
    pub(super) fn slowing(self, limiter: &RateLimiter) -> Self {
        if self.kind == Kind::Throttled {
            limiter.slow_down();
        }
        self
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self.kind {
            Kind::AccessDenied if self.denied_action() == ASSUME_ROLE => format!(
                "allow `{ASSUME_ROLE}` on that role to whatever runs this, and let the role's trust policy name it"
            ),
            Kind::AccessDenied => format!(
                "allow the action `{}` in the IAM policy of the role that runs this (`kinesis-autoscaler check --policy` prints it whole)",
                self.denied_action()
            ),
            Kind::NoCredentials => {
                "run where an instance role is attached, or set AWS_PROFILE, `profile` under [aws], or AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY"
                    .to_owned()
            }
            Kind::Timeout | Kind::Unreachable => {
                "check the network path to AWS (proxy, VPC endpoint, security group) and AWS_ENDPOINT_URL".to_owned()
            }
            Kind::Throttled => "other tools share this quota; lower [quotas] to leave them room".to_owned(),
            Kind::NotFound if self.operation.iam_action().starts_with("dynamodb:") => {
                "create the log table with `kinesis-autoscaler table create`".to_owned()
            }
            _ => return None,
        })
    }
}

fn classify(status: u16, code: &str, message: &str) -> Kind {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "TooManyRequestsException"
        | "SlowDown" => Kind::Throttled,
        "LimitExceededException" if message.starts_with("Rate exceeded") => Kind::Throttled,
        "LimitExceededException" => Kind::LimitExceeded,
        "AccessDeniedException"
        | "AccessDenied"
        | "UnauthorizedOperation"
        | "KMSAccessDeniedException" => Kind::AccessDenied,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken" => Kind::NoCredentials,
        "ResourceNotFoundException" | "ResourceNotFound" => Kind::NotFound,
        "ResourceInUseException" => Kind::InUse,
        "ConditionalCheckFailedException" => Kind::Condition,
        "TransactionCanceledException" if message.contains("ConditionalCheckFailed") => {
            Kind::Condition
        }
        "TransactionCanceledException" if message.contains("TransactionConflict") => Kind::Conflict,
        "TransactionConflictException" | "TransactionInProgressException" => Kind::Conflict,
        "TransactionCanceledException"
            if ["ThrottlingError", "ProvisionedThroughputExceeded"]
                .iter()
                .any(|code| message.contains(code)) =>
        {
            Kind::Throttled
        }
        _ if status >= 500 => Kind::Server,
        _ => Kind::Invalid,
    }
}

/// STS's refusal, out of the SDK's whole account of how it came to have no credentials.
fn refused_role(text: &str) -> String {
    let rest = text.split_once(NOT_AUTHORIZED).map(|(_, rest)| rest);
    let words = rest.and_then(|rest| rest.split(['"', '\\', ',']).next());
    match words {
        Some(words) => format!("{NOT_AUTHORIZED}{words}"),
        None => format!("{NOT_AUTHORIZED}{ASSUME_ROLE}"),
    }
}

fn mentions_credentials(text: &str) -> bool {
    ["credential", "identity", "AssumeRole"]
        .iter()
        .any(|word| text.contains(word))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
