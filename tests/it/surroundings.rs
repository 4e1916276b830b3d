//! The environment of the process: profiles, proxies, certificate authorities, and the Region.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
};

use autoscaler_core::priority::Priority;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use kinesis_autoscaler::aws::{Aws, PreSendCheck, Transport};
use rustls::{
    ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;

use crate::world::{World, named};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls");

/// A listener on the loopback interface, and what it has received: the start of each connection.
struct Listener {
    address: String,
    received: Receiver<String>,
}

impl Listener {
    fn start(answer: impl Fn(TcpStream) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (send, received) = channel();
        // It ends with the process, or with the test.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if send.send(answer(connection)).is_err() {
                    return;
                }
            }
        });
        Self { address, received }
    }

    /// Records the first bytes, and closes.
    fn plain() -> Self {
        Self::start(head)
    }

    /// Speaks TLS, with a certificate of the authority `ca.pem`.
    fn tls() -> Self {
        let pem = |name: &str| std::fs::read(Path::new(TLS).join(name)).expect("the file");
        let certificate = CertificateDer::from_pem_slice(&pem("server.pem")).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(&pem("server.key")).expect("PEM");
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they fit");
        let config = Arc::new(config);
        Self::start(move |connection| {
            let server = ServerConnection::new(config.clone()).expect("the configuration is good");
            head(rustls::StreamOwned::new(server, connection))
        })
    }

    fn heads(&self) -> Vec<String> {
        self.received.try_iter().collect()
    }
}

/// The first bytes of a connection, which is closed then; empty if it broke before.
fn head(mut connection: impl Read + Write) -> String {
    let mut bytes = [0; 4096];
    let read = connection.read(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// A configuration file beside its state directory.
fn configured(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let state = folder.path().join("state");
    let text = format!(
        "state_dir = {state:?}\ncall_timeout = \"3s\"\n{text}\n[log]\ntable = \"logs\"\n[[streams]]\nname = \"orders\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), text).expect("it is written");
    folder
}

/// One tick with no environment but `env`. Its HOME is the folder of the configuration.
fn run(folder: &TempDir, env: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"));
    command.args(["--once", "--config"]);
    command.arg(folder.path().join("config.toml")).env_clear();
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", folder.path());
    let output = command
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the binary starts");
    let said = [&output.stderr[..], &output.stdout].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
];

#[track_caller]
fn says(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in\n{said}");
    }
}

#[test]
fn a_profile_that_does_not_exist_is_an_error_whatever_the_environment_has() {
    let folder = configured("[aws]\nregion = \"eu-west-1\"\nprofile = \"nope\"");
    for keys in [&KEYS[..], &[]] {
        let (output, said) = run(
            &folder,
            &[keys, &[("AWS_CONFIG_FILE", "/etc/aws")]].concat(),
        );
        assert_eq!(output.status.code(), Some(78), "{said}");
        says(
            &said,
            &[
                "error: the AWS profile `nope` does not exist: it is neither in /etc/aws nor in ~/.aws/credentials",
                "hint: correct `profile`, or create the profile with `aws configure --profile nope`",
            ],
        );
    }
}

#[test]
fn a_configured_profile_signs_and_no_key_of_the_environment_does() {
    let folder = configured("[aws]\nregion = \"eu-west-1\"\nprofile = \"ours\"");
    let credentials = folder.path().join("credentials");
    let text = "[ours]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = secret\n";
    std::fs::write(&credentials, text).expect("it is written");
    let aws = Listener::plain();
    let endpoint = format!("http://{}", aws.address);
    let credentials = credentials.to_str().expect("UTF-8");
    let env = [
        ("AWS_SHARED_CREDENTIALS_FILE", credentials),
        ("AWS_ENDPOINT_URL", &endpoint),
    ];
    run(&folder, &[&KEYS[..], &env].concat());
    let heads = aws.heads();
    assert!(!heads.is_empty(), "requests were sent");
    for head in heads {
        says(&head, &["Credential=AKIDPROFILE/"]);
    }
}

#[test]
fn a_login_that_is_missing_is_named_with_its_command() {
    let folder = configured("[aws]\nregion = \"eu-west-1\"\nprofile = \"dev\"");
    let config = folder.path().join("aws-config");
    let text = "[profile dev]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = ops\n\
                [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.invalid/start\n";
    std::fs::write(&config, text).expect("it is written");
    let env = [("AWS_CONFIG_FILE", config.to_str().expect("UTF-8"))];
    let (output, said) = run(&folder, &[&KEYS[..], &env].concat());
    assert_eq!(output.status.code(), Some(1), "{said}");
    says(
        &said,
        &[
            "no AWS credentials from the profile `dev`",
            "log in again: `aws sso login --profile dev`",
        ],
    );
}

#[test]
fn https_goes_through_the_proxy_unless_no_proxy_names_the_host() {
    let folder = configured("[aws]\nregion = \"eu-west-1\"");
    for (proxy, exceptions) in [("HTTPS_PROXY", "NO_PROXY"), ("https_proxy", "no_proxy")] {
        for (hosts, direct) in [("", false), ("example.com,127.0.0.1", true)] {
            let (listener, aws) = (Listener::plain(), Listener::plain());
            let url = format!("http://{}", listener.address);
            let endpoint = format!("https://{}", aws.address);
            let env = [
                (proxy, url.as_str()),
                (exceptions, hosts),
                ("AWS_ENDPOINT_URL", &endpoint),
            ];
            run(&folder, &[&KEYS[..], &env].concat());
            let (through, past) = (listener.heads(), aws.heads());
            let connect = format!("CONNECT {} HTTP/1.1\r\n", aws.address);
            match direct {
                false => {
                    assert!(!through.is_empty() && past.is_empty(), "{past:?}");
                    assert!(
                        through.iter().all(|head| head.starts_with(&connect)),
                        "{through:?}"
                    );
                }
                true => assert!(through.is_empty() && !past.is_empty(), "{through:?}"),
            }
        }
    }
}

#[test]
fn a_proxy_that_is_away_is_named_without_its_password() {
    let folder = configured("[aws]\nregion = \"eu-west-1\"");
    let env = [
        ("HTTPS_PROXY", "http://ann:secret@127.0.0.1:9"),
        ("AWS_ENDPOINT_URL", "https://aws.invalid"),
    ];
    let (_, said) = run(&folder, &[&KEYS[..], &env].concat());
    let proxy = "https://aws.invalid cannot be reached (HTTPS_PROXY is http://127.0.0.1:9)";
    says(&said, &[proxy]);
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn an_authority_is_trusted_by_the_variable_or_the_key_and_otherwise_the_ways_are_named() {
    let authority = format!("{TLS}/ca.pem");
    let by_key = format!("ca_bundle = {authority:?}");
    for (key, variable, trusted) in [
        ("", None, false),
        ("", Some(authority.as_str()), true),
        (by_key.as_str(), None, true),
    ] {
        let folder = configured(&format!("[aws]\nregion = \"eu-west-1\"\n{key}"));
        let aws = Listener::tls();
        let endpoint = format!("https://{}", aws.address);
        let mut env = KEYS.to_vec();
        env.push(("AWS_ENDPOINT_URL", &endpoint));
        env.extend(variable.map(|path| ("AWS_CA_BUNDLE", path)));
        let (_, said) = run(&folder, &env);
        let requests = aws.heads();
        let spoke = requests.iter().any(|head| head.starts_with("POST /"));
        assert_eq!(spoke, trusted, "{key} {variable:?}: {requests:?}\n{said}");
        if !trusted {
            says(
                &said,
                &[
                    &endpoint,
                    "UnknownIssuer",
                    "`ca_bundle` under [aws] or in AWS_CA_BUNDLE",
                ],
            );
        }
    }
}

#[test]
fn a_ca_bundle_or_a_proxy_that_cannot_be_used_is_an_error() {
    let folder = configured("[aws]\nregion = \"eu-west-1\"");
    let bad = folder.path().join("bad.pem");
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&bad, text).expect("it is written");
    let bad = bad.to_str().expect("UTF-8");
    for (variable, value, words) in [
        (
            "AWS_CA_BUNDLE",
            "/nonexistent.pem",
            "/nonexistent.pem, named by AWS_CA_BUNDLE, cannot be used",
        ),
        (
            "AWS_CA_BUNDLE",
            bad,
            "bad.pem, named by AWS_CA_BUNDLE, cannot be used",
        ),
        (
            "HTTPS_PROXY",
            "http://[",
            "HTTPS_PROXY is not the URL of a proxy",
        ),
    ] {
        let (output, said) = run(&folder, &[&KEYS[..], &[(variable, value)]].concat());
        assert_eq!(output.status.code(), Some(78), "{said}");
        says(&said, &[words, "hint: "]);
    }
}

#[test]
fn a_stream_subscribed_twice_is_found_by_its_resolved_region() {
    let folder = configured("");
    let path = folder.path().join("config.toml");
    let text = std::fs::read_to_string(&path).expect("it is there");
    let again = "[[streams]]\nname = \"orders\"\nregion = \"us-east-1\"\n";
    std::fs::write(&path, text + again).expect("it is written");
    let region = [("AWS_REGION", "us-east-1")];
    let (output, said) = run(&folder, &[&KEYS[..], &region].concat());
    assert_eq!(output.status.code(), Some(78), "{said}");
    says(
        &said,
        &["`orders` without a region and `orders` with region = \"us-east-1\" are the same stream"],
    );
    let elsewhere = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ];
    let (output, said) = run(&folder, &[&KEYS[..], &elsewhere].concat());
    assert_eq!(
        output.status.code(),
        Some(1),
        "they are two streams: {said}"
    );
}

/// Records the host of each request on its way to the sandbox.
#[derive(Clone, Debug)]
struct Recorder<T> {
    next: T,
    hosts: Arc<Mutex<Vec<String>>>,
}

impl HttpClient for Recorder<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Recorder {
            next: self.next.http_connector(settings, components),
            hosts: self.hosts.clone(),
        })
    }
}

impl HttpConnector for Recorder<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().split('/').nth(2).unwrap_or_default();
        self.hosts.lock().expect("no panic").push(host.to_owned());
        self.next.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_and_resharded_through_one_endpoint() {
    let world = World::new();
    world.stream("orders", 2);
    let hosts = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder {
        next: world.sandbox.http_client(),
        hosts: hosts.clone(),
    };
    let transport = Transport::embedded(SharedHttpClient::new(recorder));
    let config = world.config(&named(&["orders"]));
    let aws = Aws::connect(&config, transport).await.expect("a Region");
    let (_, clients) = aws.all_clients().next().expect("a Region");
    let kinesis = &clients.kinesis;
    let read = kinesis.summary("orders", Priority::FIRST).await;
    read.expect("it is there");
    let check = PreSendCheck::new(|| true);
    let sent = kinesis.update_shard_count("orders", 4, check).await;
    sent.expect("it is ACTIVE");
    assert_eq!(
        *hosts.lock().expect("no panic"),
        ["kinesis.eu-west-1.amazonaws.com"; 2]
    );
}
