//! The AWS operations in use, by the names that AWS and IAM have for them.

/// The AWS operations in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    DescribeAlarms,
    PutMetricAlarm,
    SetAlarmState,
    GetMetricData,
    ListAlarmMuteRules,
    DescribeStreamSummary,
    UpdateShardCount,
    DescribeLimits,
    ListStreams,
    ListShards,
    Query,
    GetItem,
    TransactWriteItems,
    DescribeTable,
    DescribeTimeToLive,
    CreateTable,
    UpdateTimeToLive,
    Publish,
    GetTopicAttributes,
}

impl Operation {
    /// The name in AWS's API reference.
    pub fn name(self) -> &'static str {
        match self {
            Self::TransactWriteItems => "TransactWriteItems",
            _ => self.iam_action().rsplit(':').next().unwrap_or_default(),
        }
    }

    /// The IAM action that allows it. A transaction needs one for each kind of write in it; ours
    /// always have a put.
    pub fn iam_action(self) -> &'static str {
        match self {
            Self::DescribeAlarms => "cloudwatch:DescribeAlarms",
            Self::PutMetricAlarm => "cloudwatch:PutMetricAlarm",
            Self::SetAlarmState => "cloudwatch:SetAlarmState",
            Self::GetMetricData => "cloudwatch:GetMetricData",
            Self::ListAlarmMuteRules => "cloudwatch:ListAlarmMuteRules",
            Self::DescribeStreamSummary => "kinesis:DescribeStreamSummary",
            Self::UpdateShardCount => "kinesis:UpdateShardCount",
            Self::DescribeLimits => "kinesis:DescribeLimits",
            Self::ListStreams => "kinesis:ListStreams",
            Self::ListShards => "kinesis:ListShards",
            Self::Query => "dynamodb:Query",
            Self::GetItem => "dynamodb:GetItem",
            Self::TransactWriteItems => "dynamodb:PutItem",
            Self::DescribeTable => "dynamodb:DescribeTable",
            Self::DescribeTimeToLive => "dynamodb:DescribeTimeToLive",
            Self::CreateTable => "dynamodb:CreateTable",
            Self::UpdateTimeToLive => "dynamodb:UpdateTimeToLive",
            Self::Publish => "sns:Publish",
            Self::GetTopicAttributes => "sns:GetTopicAttributes",
        }
    }

    /// The service by the name that people know.
    pub fn service(self) -> &'static str {
        match self.iam_prefix() {
            "cloudwatch" => "CloudWatch",
            "kinesis" => "Kinesis",
            "sns" => "SNS",
            _ => "DynamoDB",
        }
    }

    /// The service by its name in IAM actions.
    pub(super) fn iam_prefix(self) -> &'static str {
        self.iam_action().split(':').next().unwrap_or_default()
    }
}
