//! The state of the sandbox: accounts and Regions, keys, permissions, quotas and the request log.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    Call, cloudwatch, dynamodb, kinesis,
    region::Region,
    sns,
    wire::{Answer, ApiError, Request, Service},
};

/// The account of all access keys except those that AssumeRole returned.
pub(crate) const DEFAULT_ACCOUNT: &str = "123456789012";

/// The most calls that the request log keeps.
const REQUEST_LOG_LENGTH: usize = 100_000;

/// AWS's published default quotas in calls per second, for each account and Region.
const QUOTAS: [(&str, f64); 8] = [
    ("DescribeAlarms", 9.0),
    ("PutMetricAlarm", 3.0),
    ("SetAlarmState", 3.0),
    ("DescribeStreamSummary", 20.0),
    ("ListStreams", 5.0),
    ("UpdateShardCount", 10.0),
    ("DescribeLimits", 1.0),
    ("GetMetricData", 500.0),
];

/// The circumstances of a request.
pub(crate) struct Context {
    pub now: Timestamp,
    /// Return fewer results than there are.
    pub partial: bool,
}

impl Context {
    /// Returns how many of `available` results go on a page of at most `limit`.
    pub(crate) fn page(&self, limit: usize, available: usize) -> usize {
        if self.partial {
            limit.min(available / 2)
        } else {
            limit.min(available)
        }
    }
}

/// The owner of an access key.
#[derive(Clone, Debug)]
struct Caller {
    account: String,
    arn: String,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    /// By account and Region.
    pub places: BTreeMap<(String, String), Region>,
    keys: BTreeMap<String, Caller>,
    pub refused_roles: BTreeSet<String>,
    pub denied: BTreeSet<String>,
    pub enforce_quotas: bool,
    buckets: BTreeMap<(String, String, String), Bucket>,
    pub latency: Duration,
    pub calls: BTreeMap<String, u64>,
    pub throttled: BTreeMap<String, u64>,
    pub request_log: VecDeque<Call>,
    /// The number of requests so far, used as the request id.
    pub requests: u64,
}

impl World {
    pub(crate) fn place(&mut self, account: &str, region: &str) -> &mut Region {
        self.places
            .entry((account.to_owned(), region.to_owned()))
            .or_insert_with(|| Region::new(account, region))
    }

    fn caller(&self, access_key: &str) -> Caller {
        self.keys
            .get(access_key)
            .cloned()
            .unwrap_or_else(|| Caller {
                account: DEFAULT_ACCOUNT.into(),
                arn: format!("arn:aws:iam::{DEFAULT_ACCOUNT}:user/sandbox"),
            })
    }

    pub(crate) fn account_of(&self, access_key: &str) -> String {
        self.caller(access_key).account
    }

    /// Executes a request. Throttling and permissions are checked first.
    pub(crate) fn answer(&mut self, request: &Request, ctx: &Context) -> Answer {
        let caller = self.caller(&request.access_key);
        if self.enforce_quotas && !self.take_token(&caller.account, request) {
            return Err(self.throttle(request));
        }
        let needed = actions(request);
        if let Some(action) = needed.into_iter().find(|it| self.denied.contains(it)) {
            let place = self.place(&caller.account, &request.region);
            let resource = resource_arn(place, request);
            return Err(denied(request.service, &caller.arn, &action, &resource));
        }
        if request.service == Service::Sts {
            return self.sts(request, &caller);
        }
        let region = self.place(&caller.account, &request.region);
        let (operation, input) = (request.operation.as_str(), &request.input);
        match request.service {
            Service::Kinesis => kinesis::call(region, operation, input, ctx),
            Service::CloudWatch => cloudwatch::call(region, operation, input, ctx),
            Service::Sns => sns::call(region, operation, input, ctx),
            _ => dynamodb::call(region, operation, input, ctx),
        }
    }

    fn take_token(&mut self, account: &str, request: &Request) -> bool {
        let quota = QUOTAS.iter().find(|(name, _)| *name == request.operation);
        let Some((_, rate)) = quota else {
            return true;
        };
        let key = (
            account.to_owned(),
            request.region.clone(),
            request.operation.clone(),
        );
        let now = Instant::now();
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            tokens: *rate,
            filled: now,
        });
        let waited = now.duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + waited * rate).min(*rate);
        bucket.filled = now;
        // The sum of many small waits may fall short of a whole token by a rounding error.
        let enough = bucket.tokens >= 1.0 - 1e-6;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }

    /// Counts a throttled call and returns the service's throttling error.
    pub(crate) fn throttle(&mut self, request: &Request) -> ApiError {
        *self.throttled.entry(request.operation.clone()).or_default() += 1;
        match request.service {
            Service::Kinesis => ApiError::bad(
                "LimitExceededException",
                format!(
                    "Rate exceeded for account {}.",
                    self.account_of(&request.access_key)
                ),
            ),
            _ => ApiError::bad("ThrottlingException", "Rate exceeded"),
        }
    }

    fn sts(&mut self, request: &Request, caller: &Caller) -> Answer {
        let text = |member: &str| request.input.get(member).and_then(Value::as_str);
        match request.operation.as_str() {
            "GetCallerIdentity" => Ok(json!({
                "Arn": caller.arn, "UserId": "AIDASANDBOX", "Account": caller.account,
            })),
            "AssumeRole" => {
                let role = text("RoleArn").unwrap_or_default();
                let session = text("RoleSessionName").unwrap_or("sandbox");
                self.assume_role(role, session, caller)
            }
            other => Err(ApiError::bad(
                "InvalidAction",
                format!("Could not find operation {other} for version 2011-06-15"),
            )),
        }
    }

    fn assume_role(&mut self, role: &str, session: &str, caller: &Caller) -> Answer {
        let account = role
            .strip_prefix("arn:aws:iam::")
            .and_then(|rest| rest.split_once(":role/"));
        let Some((account, name)) = account else {
            return Err(ApiError::bad(
                "ValidationError",
                format!("{role} is invalid"),
            ));
        };
        if self.refused_roles.contains(role) {
            return Err(denied(Service::Sts, &caller.arn, "sts:AssumeRole", role));
        }
        let name = name.rsplit('/').next().unwrap_or(name);
        let arn = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
        let key = format!("ASIASANDBOX{:09}", self.keys.len() + 1);
        self.keys.insert(
            key.clone(),
            Caller {
                account: account.to_owned(),
                arn: arn.clone(),
            },
        );
        // The SDK compares the expiry with the machine's clock, which the sandbox does not read.
        Ok(json!({
            "Credentials": {
                "AccessKeyId": key, "SecretAccessKey": "sandbox", "SessionToken": "sandbox",
                "Expiration": "2100-01-01T00:00:00Z",
            },
            "AssumedRoleUser": {"AssumedRoleId": format!("AROASANDBOX:{session}"), "Arn": arn},
        }))
    }

    /// Adds a call to the request log, which drops its oldest entry when it is full.
    pub(crate) fn record(&mut self, call: Call) {
        if self.request_log.len() == REQUEST_LOG_LENGTH {
            self.request_log.pop_front();
        }
        self.request_log.push_back(call);
    }
}

/// Returns the IAM actions that a request needs. A transaction also needs those of its writes.
fn actions(request: &Request) -> Vec<String> {
    let mut actions = vec![format!("{}:{}", request.service.name(), request.operation)];
    if request.operation == "TransactWriteItems" {
        let items = request.input.get("TransactItems").and_then(Value::as_array);
        let kinds = items.into_iter().flatten().filter_map(Value::as_object);
        actions.extend(kinds.flat_map(Map::keys).map(|kind| match kind.as_str() {
            "ConditionCheck" => "dynamodb:ConditionCheckItem".to_owned(),
            kind => format!("dynamodb:{kind}Item"),
        }));
    }
    actions
}

fn denied(service: Service, user: &str, action: &str, resource: &str) -> ApiError {
    let message = format!(
        "User: {user} is not authorized to perform: {action} on resource: {resource} \
         because no identity-based policy allows the {action} action"
    );
    match service {
        Service::CloudWatch | Service::Sts => ApiError::new(403, "AccessDenied", message),
        Service::Sns => ApiError::new(403, "AuthorizationError", message),
        _ => ApiError::bad("AccessDeniedException", message),
    }
}

fn resource_arn(region: &Region, request: &Request) -> String {
    let Some(resource) = request.resource() else {
        return "*".into();
    };
    match request.service {
        Service::Kinesis => region.stream_arn(&resource),
        Service::CloudWatch => region.alarm_arn(&resource),
        Service::DynamoDb => region.table_arn(&resource),
        Service::Sns | Service::Sts => resource,
    }
}
