//! Errors of AWS and of the network: each cause has its own hint.

use std::io;

use autoscaler_core::priority::Priority;
use autoscaler_sandbox::Fault;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpClient, SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use kinesis_autoscaler::aws::{Aws, Error, Kind, PreSendCheck, RegionClients, Transport};

use crate::world::{World, named};

/// AWS's answer, and how it is reported.
struct Case {
    code: &'static str,
    message: &'static str,
    kind: Kind,
    hint: &'static str,
}

const fn case(code: &'static str, message: &'static str, kind: Kind, hint: &'static str) -> Case {
    Case {
        code,
        message,
        kind,
        hint,
    }
}

const DENIED: &str = "AccessDeniedException";
const SIGNATURE: &str = "InvalidSignatureException";
const LIMIT: &str = "LimitExceededException";
const CLOCK: &str = "set the clock of this host (`timedatectl` shows whether it is synchronized): AWS refuses requests that are \
                     signed more than 5 minutes off";
const KMS: &str = "the data is encrypted with a KMS key: allow `kms:Decrypt` and `kms:GenerateDataKey` on it to this identity \
                   (IAM policy and key policy), and check that the key is enabled and not scheduled for deletion";
const SERVICE_CONTROL: &str = "the organization's service control policy does not allow `kinesis:UpdateShardCount`: ask the \
                               administrators of the AWS organization; IAM policies of the account have no effect on it";

const CASES: &[Case] = &[
    case(
        DENIED,
        "User: arn:aws:iam::1:user/a is not authorized to perform: kinesis:UpdateShardCount on resource: orders because \
         no identity-based policy allows the kinesis:UpdateShardCount action",
        Kind::AccessDenied,
        "allow the action `kinesis:UpdateShardCount` in the IAM policy of the role that runs this (`kinesis-autoscaler \
         check --policy` prints the whole policy)",
    ),
    case(
        DENIED,
        "User is not authorized to perform: UpdateShardCount.",
        Kind::AccessDenied,
        "allow the action `kinesis:UpdateShardCount` in the IAM policy of the role that runs this (`kinesis-autoscaler \
         check --policy` prints the whole policy)",
    ),
    case(
        DENIED,
        "User: a is not authorized to perform: kinesis:UpdateShardCount on resource: orders with an explicit deny in an \
         identity-based policy",
        Kind::AccessDenied,
        "an IAM policy of this identity denies `kinesis:UpdateShardCount` explicitly: remove that statement; allowing it \
         elsewhere has no effect",
    ),
    case(
        DENIED,
        "User: a is not authorized to perform: kinesis:UpdateShardCount on resource: orders with an explicit deny in a \
         service control policy",
        Kind::AccessDenied,
        SERVICE_CONTROL,
    ),
    case(
        DENIED,
        "User: a is not authorized to perform: kinesis:UpdateShardCount on resource: orders because no service control \
         policy allows the kinesis:UpdateShardCount action",
        Kind::AccessDenied,
        SERVICE_CONTROL,
    ),
    case(
        DENIED,
        "User: a is not authorized to perform: kinesis:UpdateShardCount on resource: orders with an explicit deny in a \
         permissions boundary",
        Kind::AccessDenied,
        "allow `kinesis:UpdateShardCount` in the permissions boundary of the role that runs this, besides its IAM policy",
    ),
    case(
        DENIED,
        "User: a is not authorized to perform: kinesis:UpdateShardCount on resource: orders because no VPC endpoint \
         policy allows the kinesis:UpdateShardCount action",
        Kind::AccessDenied,
        "allow `kinesis:UpdateShardCount` in the policy of the VPC endpoint that the call goes through",
    ),
    case(
        "KMSAccessDeniedException",
        "The ciphertext refers to a customer master key that does not exist",
        Kind::AccessDenied,
        KMS,
    ),
    case(
        "KMSDisabledException",
        "arn:aws:kms:eu-west-1:1:key/k is disabled.",
        Kind::AccessDenied,
        KMS,
    ),
    case(
        DENIED,
        "User: a is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-west-1:1:key/k",
        Kind::AccessDenied,
        KMS,
    ),
    case(
        SIGNATURE,
        "Signature expired: 20261122T113000Z is now earlier than 20261122T115500Z (20261122T120000Z - 5 min.)",
        Kind::NoCredentials,
        CLOCK,
    ),
    case(
        SIGNATURE,
        "Signature not yet current: 20261122T123000Z is still later than 20261122T120500Z",
        Kind::NoCredentials,
        CLOCK,
    ),
    case(
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        Kind::NoCredentials,
        CLOCK,
    ),
    case(
        SIGNATURE,
        "The request signature we calculated does not match the signature you provided.",
        Kind::NoCredentials,
        "check that the secret access key belongs to the access key, and that no proxy changes the requests",
    ),
    case(
        "ExpiredTokenException",
        "The security token included in the request is expired",
        Kind::NoCredentials,
        "the temporary credentials have expired: renew them, or let the program use a profile or a role, which it renews \
         itself",
    ),
    case(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        Kind::NoCredentials,
        "check that the access key exists, is active, and belongs to this partition, and that the Region is enabled for \
         the account",
    ),
    case(
        LIMIT,
        "This request would exceed the shard limit for the account 123456789012 in eu-west-1. Current shard count for the \
         account: 18. Limit: 20. Number of additional shards that would have resulted from this request: 4.",
        Kind::AccountLimit,
        "request an increase of `Shards per Region` for Amazon Kinesis Data Streams in Service Quotas: this needs 22 \
         shards, and the quota is 20",
    ),
    case(
        LIMIT,
        "UpdateShardCount to 900 would exceed the shard limit for the account 123456789012. Limit: 500",
        Kind::AccountLimit,
        "request an increase of `Shards per Region` for Amazon Kinesis Data Streams in Service Quotas: the quota is 500",
    ),
    case(
        LIMIT,
        "UpdateShardCount cannot be called more than 10 times in a 24 hour period for stream orders",
        Kind::LimitExceeded,
        "AWS allows 10 calls per stream in any 24 hours: wait until the oldest is that old (`kinesis-autoscaler history` \
         lists them), or ask AWS Support for more",
    ),
    case(
        LIMIT,
        "Rate exceeded for account 123456789012.",
        Kind::Throttled,
        "other tools share this quota; lower [quotas] to leave them room",
    ),
    case(
        "ResourceInUseException",
        "Stream orders is not ACTIVE",
        Kind::InUse,
        "",
    ),
];

async fn reshard(clients: &RegionClients) -> Error {
    let always = PreSendCheck::new(|| true);
    let sent = clients
        .kinesis
        .update_shard_count("orders", 4, always)
        .await;
    sent.expect_err("it is refused")
}

#[tokio::test(start_paused = true)]
async fn each_cause_has_its_own_hint() {
    let world = World::new();
    world.stream("orders", 2);
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let (_, clients) = context.aws.all_clients().next().expect("a Region");
    for Case {
        code,
        message,
        kind,
        hint,
    } in CASES
    {
        world.sandbox.set_faults(|_| Fault::Refuse {
            status: 400,
            code: (*code).to_owned(),
            message: (*message).to_owned(),
        });
        let error = reshard(clients).await;
        assert_eq!(
            error.to_string(),
            format!("UpdateShardCount: {code}: {message}")
        );
        assert_eq!(error.kind, *kind, "{error}");
        assert_eq!(error.hint().unwrap_or_default(), *hint, "{error}");
    }
}

/// A fault between the program and AWS: a page in place of an answer, or a broken connection.
#[derive(Clone, Debug)]
enum OnTheWay {
    Page(u16, &'static str),
    Broken(&'static str),
}

impl HttpClient for OnTheWay {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for OnTheWay {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(match self {
            Self::Page(status, content_type) => {
                let status = StatusCode::try_from(*status).expect("a status");
                let mut response = HttpResponse::new(status, "<html>Log in</html>".into());
                response.headers_mut().insert("content-type", *content_type);
                Ok(response)
            }
            Self::Broken(why) => Err(ConnectorError::io(io::Error::other(*why).into())),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_before_aws_is_named_with_the_url() {
    const PORTAL: &str = "a proxy, a firewall or a captive portal answered in place of AWS";
    const NETWORK: &str = "check the network path from this host to AWS";
    const AUTHORITY: &str = "`ca_bundle` under [aws] or in AWS_CA_BUNDLE";
    let cases = [
        (
            OnTheWay::Page(200, "text/html"),
            "Kinesis at https://kinesis.eu-west-1.amazonaws.com answered HTTP 200 with text/html, which is not an answer \
             from AWS",
            PORTAL,
        ),
        (
            OnTheWay::Page(403, "text/html; charset=utf-8"),
            "Kinesis at https://kinesis.eu-west-1.amazonaws.com answered HTTP 403 with text/html, which is not an answer \
             from AWS",
            PORTAL,
        ),
        (
            OnTheWay::Page(503, "text/html"),
            "Kinesis at https://kinesis.eu-west-1.amazonaws.com answered HTTP 503 with text/html, which is not an answer \
             from AWS",
            PORTAL,
        ),
        (
            OnTheWay::Broken("Connection refused (os error 111)"),
            "Kinesis at https://kinesis.eu-west-1.amazonaws.com cannot be reached: Connection refused (os error 111)",
            NETWORK,
        ),
        (
            OnTheWay::Broken("invalid peer certificate: UnknownIssuer"),
            "Kinesis at https://kinesis.eu-west-1.amazonaws.com cannot be reached: invalid peer certificate: UnknownIssuer",
            AUTHORITY,
        ),
    ];
    let world = World::new();
    let config = world.config(&named(&["orders"]));
    for (on_the_way, text, hint) in cases {
        let transport = Transport::embedded(SharedHttpClient::new(on_the_way.clone()));
        let aws = Aws::connect(&config, transport).await.expect("a Region");
        let (_, clients) = aws.all_clients().next().expect("a Region");
        let error = clients
            .kinesis
            .summary("orders", Priority::FIRST)
            .await
            .expect_err("it is no answer");
        assert_eq!(error.message(), text, "{on_the_way:?}");
        assert_eq!(error.kind, Kind::Unreachable, "{on_the_way:?}");
        let said = error.hint().unwrap_or_default();
        assert!(said.contains(hint), "{on_the_way:?}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_control_character_of_an_error_gets_through() {
    let world = World::new();
    world.stream("orders", 2);
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let (_, clients) = context.aws.all_clients().next().expect("a Region");
    world.sandbox.set_faults(|_| Fault::Refuse {
        status: 400,
        code: "ValidationException".to_owned(),
        message: "\u{1b}]0;owned\u{7}\n\u{1b}[2Jdone".to_owned(),
    });
    assert_eq!(
        reshard(clients).await.to_string(),
        "UpdateShardCount: ValidationException: �]0;owned� �[2Jdone"
    );
}
