//! What made a call fail: finer than [`Kind`], because each cause has its own fix.

use super::{Kind, Operation, policy::Policy};

/// The cause of a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::aws) enum Cause {
    NoAnswer,
    Unreachable,
    UntrustedCertificate,
    /// Something on the way, as a captive portal, answered in place of AWS.
    NotAws,
    NoCredentials,
    /// The profile's login has expired, or there was none; the command logs in.
    Login {
        command: String,
    },
    /// The clock of this host is wrong.
    Clock,
    ExpiredToken,
    InvalidKey,
    WrongSecret,
    RoleRefused,
    Denied(Policy),
    Kms,
    Rate,
    /// UpdateShardCount was called 10 times in 24 h, or another limit of the stream.
    StreamLimit,
    /// The account's shards in this Region.
    ShardQuota,
    NotFound,
    InUse,
    Condition,
    Conflict,
    Server,
    Invalid,
}

impl Cause {
    /// The cause by HTTP status, error code and message of a service's answer.
    pub fn of_answer(status: u16, code: &str, message: &str) -> Self {
        match code {
            "ThrottlingException"
            | "Throttled"
            | "Throttling"
            | "RequestLimitExceeded"
            | "ProvisionedThroughputExceededException"
            | "KMSThrottlingException"
            | "TooManyRequestsException"
            | "SlowDown" => Self::Rate,
            "LimitExceededException" => Self::of_limit(message),
            "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation"
                if message.contains("perform: kms:") =>
            {
                Self::Kms
            }
            "AccessDeniedException"
            | "AccessDenied"
            | "UnauthorizedOperation"
            | "AuthorizationError" => Self::Denied(Policy::of(message)),
            code if code.starts_with("KMS") => Self::Kms,
            "InaccessibleEncryptionDateTimeException" => Self::Kms,
            "ResourceNotFoundException" | "ResourceNotFound" | "NotFound" => Self::NotFound,
            "ResourceInUseException" => Self::InUse,
            "ConditionalCheckFailedException" => Self::Condition,
            "TransactionCanceledException" => Self::of_transaction(message),
            "TransactionConflictException" | "TransactionInProgressException" => Self::Conflict,
            _ => match Self::of_signature(code, message) {
                Some(cause) => cause,
                None if status >= 500 => Self::Server,
                None => Self::Invalid,
            },
        }
    }

    /// The cause by the text of a failure to get credentials.
    pub fn of_credentials(text: &str, profile: Option<&str>) -> Self {
        let login = |command: &str| {
            let profile = profile.map(|name| format!(" --profile {name}"));
            Self::Login {
                command: format!("aws {command}{}", profile.unwrap_or_default()),
            }
        };
        let codes = [
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidClientTokenId",
        ];
        let code = codes.into_iter().find(|code| text.contains(code));
        match code.and_then(|code| Self::of_signature(code, text)) {
            Some(cause) => cause,
            None if text.contains("AssumeRole") && text.contains("AccessDenied") => {
                match Policy::of(text) {
                    Policy::NoneAllows | Policy::Identity => Self::RoleRefused,
                    policy => Self::Denied(policy),
                }
            }
            None if text.contains("Login token") => login("login"),
            None if text.contains("SSO token") || text.contains("SSO session") => {
                login("sso login")
            }
            None => Self::NoCredentials,
        }
    }

    /// Kinesis has one code for three limits, which differ in their text alone.
    fn of_limit(message: &str) -> Self {
        let message = message.to_ascii_lowercase();
        if message.starts_with("rate exceeded") {
            Self::Rate
        } else if message.contains("shard limit for the account") {
            Self::ShardQuota
        } else {
            Self::StreamLimit
        }
    }

    fn of_transaction(message: &str) -> Self {
        let has = |code| message.contains(code);
        if has("ConditionalCheckFailed") {
            Self::Condition
        } else if has("TransactionConflict") {
            Self::Conflict
        } else if has("ThrottlingError") || has("ProvisionedThroughputExceeded") {
            Self::Rate
        } else {
            Self::Invalid
        }
    }

    /// Why AWS did not accept who signed the request, or when.
    fn of_signature(code: &str, message: &str) -> Option<Self> {
        let off = ["Signature expired", "ignature not yet current"];
        Some(match code {
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Self::Clock,
            "InvalidSignatureException" | "SignatureDoesNotMatch"
                if off.iter().any(|text| message.contains(text)) =>
            {
                Self::Clock
            }
            "InvalidSignatureException" | "SignatureDoesNotMatch" => Self::WrongSecret,
            "ExpiredTokenException" | "ExpiredToken" => Self::ExpiredToken,
            "UnrecognizedClientException" | "InvalidClientTokenId" | "OptInRequired" => {
                Self::InvalidKey
            }
            "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => {
                Self::NoCredentials
            }
            _ => return None,
        })
    }

    /// What the program goes by.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoAnswer => Kind::Timeout,
            Self::Unreachable | Self::UntrustedCertificate | Self::NotAws => Kind::Unreachable,
            Self::NoCredentials
            | Self::Login { .. }
            | Self::Clock
            | Self::ExpiredToken
            | Self::InvalidKey
            | Self::WrongSecret => Kind::NoCredentials,
            Self::RoleRefused | Self::Denied(_) | Self::Kms => Kind::AccessDenied,
            Self::Rate => Kind::Throttled,
            Self::StreamLimit => Kind::LimitExceeded,
            Self::ShardQuota => Kind::AccountLimit,
            Self::NotFound => Kind::NotFound,
            Self::InUse => Kind::InUse,
            Self::Condition => Kind::Condition,
            Self::Conflict => Kind::Conflict,
            Self::Server => Kind::Server,
            Self::Invalid => Kind::Invalid,
        }
    }

    /// What a person can do about it. `message` is what AWS said.
    pub fn hint(&self, operation: Operation, message: &str) -> Option<String> {
        let text = match self {
            Self::NoAnswer | Self::Unreachable => {
                "check the network path from this host to AWS: DNS, the proxy (HTTPS_PROXY, NO_PROXY), the VPC endpoint, \
                 the security group, and AWS_ENDPOINT_URL"
            }
            Self::UntrustedCertificate => {
                "if a proxy inspects TLS, name its CA certificate (PEM) in `ca_bundle` under [aws] or in AWS_CA_BUNDLE, or \
                 add it to the system's trust store"
            }
            Self::NotAws => {
                "a proxy, a firewall or a captive portal answered in place of AWS: log in to it, allow this host there, or \
                 add the AWS host to NO_PROXY"
            }
            Self::NoCredentials => {
                "run where an instance role is attached, or set `profile` under [aws], AWS_PROFILE, or AWS_ACCESS_KEY_ID \
                 and AWS_SECRET_ACCESS_KEY"
            }
            Self::Login { command } => return Some(format!("log in again: `{command}`")),
            Self::Clock => {
                "set the clock of this host (`timedatectl` shows whether it is synchronized): AWS refuses requests that are \
                 signed more than 5 minutes off"
            }
            Self::ExpiredToken => {
                "the temporary credentials have expired: renew them, or let the program use a profile or a role, which it \
                 renews itself"
            }
            Self::InvalidKey => {
                "check that the access key exists, is active, and belongs to this partition, and that the Region is enabled \
                 for the account"
            }
            Self::WrongSecret => {
                "check that the secret access key belongs to the access key, and that no proxy changes the requests"
            }
            Self::RoleRefused => {
                "allow `sts:AssumeRole` on that role to the identity that runs the program, and name that identity in the \
                 role's trust policy"
            }
            Self::Denied(policy) => return Some(policy.hint(&denied_action(operation, message))),
            Self::Kms => {
                "the data is encrypted with a KMS key: allow `kms:Decrypt` and `kms:GenerateDataKey` on it to this identity \
                 (IAM policy and key policy), and check that the key is enabled and not scheduled for deletion"
            }
            Self::Rate => "other tools share this quota; lower [quotas] to leave them room",
            Self::StreamLimit if operation == Operation::UpdateShardCount => {
                "AWS allows 10 calls per stream in any 24 hours: wait until the oldest is that old (`kinesis-autoscaler \
                 history` lists them), or ask AWS Support for more"
            }
            Self::ShardQuota => return Some(shard_quota_hint(message)),
            Self::NotFound if operation.service() == "DynamoDB" => {
                "create the log table with `kinesis-autoscaler table create`"
            }
            Self::NotFound if operation.service() == "SNS" => {
                "create the topic, or correct `sns_topic` under [notify]"
            }
            Self::Invalid if operation.service() == "SNS" => {
                "check `sns_topic` under [notify]: the topic is published to in the Region that its ARN names, and in \
                 another account it needs a policy that allows `sns:Publish` to this identity"
            }
            Self::Invalid
                if operation.service() == "DynamoDB"
                    && ["schema", "for key", "the key"]
                        .iter()
                        .any(|it| message.contains(it)) =>
            {
                "the keys of the log table are not `stream_name` and `scaling_datetime`, both of the type S (string): \
                 `kinesis-autoscaler check` says which one is wrong; keys cannot be changed, so name another table in \
                 `table` under [log]"
            }
            Self::StreamLimit
            | Self::NotFound
            | Self::InUse
            | Self::Condition
            | Self::Conflict
            | Self::Server
            | Self::Invalid => return None,
        };
        Some(text.to_owned())
    }
}

/// The action that AWS says is not allowed, with its service prefix; a transaction needs several.
fn denied_action(operation: Operation, message: &str) -> String {
    let said = message.split_once("not authorized to perform: ");
    let action = said.and_then(|(_, rest)| rest.split_whitespace().next());
    match action.map(|action| action.trim_end_matches(['.', ','])) {
        Some(action) if action.contains(':') => action.to_owned(),
        Some(action) => format!("{}:{action}", operation.iam_prefix()),
        None => operation.iam_action().to_owned(),
    }
}

/// AWS's text ends in numbers, as `Current shard count for the account: 18. Limit: 20. Number of
/// additional shards that would have resulted from this request: 4`.
fn shard_quota_hint(message: &str) -> String {
    let after = |label: &str| {
        let (_, rest) = message.split_once(label)?;
        let rest = rest.trim_start_matches([':', ' ']);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    let current = after("shard count for the account");
    let more = after("resulted from this request");
    match (current, after("imit:"), more) {
        (Some(current), Some(limit), Some(more)) => increase(current.saturating_add(more), limit),
        (_, Some(limit), _) => format!("{ASK}: the quota is {limit}"),
        _ => format!("{ASK} (`kinesis-autoscaler check` compares it with max_shards)"),
    }
}

const ASK: &str =
    "request an increase of `Shards per Region` for Amazon Kinesis Data Streams in Service Quotas";

/// What to ask AWS for where the account needs `shards` shards.
pub fn increase(shards: u32, limit: u32) -> String {
    format!("{ASK}: this needs {shards} shards, and the quota is {limit}")
}
