//! The policy by which AWS denies a call, according to AWS's own message.

/// Where an action is denied
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws) enum Policy {
    /// No identity-based policy allows it.
    NoneAllows,
    /// An identity-based policy denies it.
    Identity,
    ServiceControl,
    ResourceControl,
    Boundary,
    Session,
    Resource,
    Endpoint,
}

/// How AWS's messages name each policy, in "with an explicit deny in a …" and "because no …
/// allows".
const NAMES: [(&str, Policy); 6] = [
    ("service control policy", Policy::ServiceControl),
    ("resource control policy", Policy::ResourceControl),
    ("permissions boundary", Policy::Boundary),
    ("session policy", Policy::Session),
    ("resource-based policy", Policy::Resource),
    ("VPC endpoint policy", Policy::Endpoint),
];

impl Policy {
    /// Reads AWS's message.
    pub fn of(message: &str) -> Self {
        let named = NAMES.iter().find(|(name, _)| message.contains(name));
        match named {
            Some((_, policy)) => *policy,
            None if message.contains("explicit deny") => Self::Identity,
            None => Self::NoneAllows,
        }
    }

    /// Where to allow `action`.
    pub fn hint(self, action: &str) -> String {
        match self {
            Self::NoneAllows => format!(
                "allow the action `{action}` in the IAM policy of the role that runs this \
                 (`kinesis-autoscaler check --policy` prints the whole policy)"
            ),
            Self::Identity => format!(
                "an IAM policy of this identity denies `{action}` explicitly: remove that statement; allowing it elsewhere \
                 has no effect"
            ),
            Self::ServiceControl | Self::ResourceControl => {
                let kind = match self {
                    Self::ServiceControl => "service",
                    _ => "resource",
                };
                format!(
                    "the organization's {kind} control policy does not allow `{action}`: ask the administrators of the AWS \
                     organization; IAM policies of the account have no effect on it"
                )
            }
            Self::Boundary => format!(
                "allow `{action}` in the permissions boundary of the role that runs this, besides its IAM policy"
            ),
            Self::Session => format!(
                "allow `{action}` in the session policy that was passed when the role was assumed"
            ),
            Self::Resource => format!(
                "the resource's own policy does not allow `{action}`: change that policy for this identity"
            ),
            Self::Endpoint => format!(
                "allow `{action}` in the policy of the VPC endpoint that the call goes through"
            ),
        }
    }
}
