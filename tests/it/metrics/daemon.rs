//! The endpoint of the real process.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    process::Command,
};

use crate::systemd::Service;

/// An address that nobody listens on at this time.
pub fn free() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address")
}

fn with_metrics(address: SocketAddr) -> String {
    format!(
        "call_timeout = \"500ms\"\nlog.table = \"logs\"\nmetrics.listen = \"{address}\"\n[[streams]]\nname = \"orders\"\n"
    )
}

/// The answer's first line and the rest of it; an error where nobody answers.
fn ask(address: SocketAddr, path: &str) -> std::io::Result<(String, String)> {
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let halves = answer.split_once("\r\n");
    let (status, rest) = halves.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((status.to_owned(), rest.to_owned()))
}

#[test]
fn the_daemon_serves_them_and_a_reload_moves_them() {
    let (first, second) = (free(), free());
    let listen = [("KINESIS_AUTOSCALER_METRICS__LISTEN", first.to_string())];
    let listen = listen
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    // The variable overrides the file, so a changed file does not move the endpoint.
    let mut service = Service::start(&[], &listen);
    service.hears_line("READY=1");
    let (status, _) = ask(first, "/metrics").expect("served");
    assert!(status.contains("200"), "{status}");
    // AWS is out of reach.
    let (status, body) = ask(first, "/healthz").expect("served");
    assert!(status.contains("503"), "{status}\n{body}");
    std::fs::write(
        service.folder.path().join("config.toml"),
        with_metrics(second),
    )
    .expect("written");
    service.takes_a_reload();
    assert!(ask(first, "/metrics").is_ok(), "the address is the same");
    service.stops("TERM");

    let mut service = Service::start(&[], &[]);
    let file = service.folder.path().join("config.toml");
    service.hears_line("READY=1");
    std::fs::write(&file, with_metrics(first)).expect("written");
    service.takes_a_reload();
    assert!(ask(first, "/metrics").is_ok(), "the section is new");
    std::fs::write(&file, with_metrics(second)).expect("written");
    service.takes_a_reload();
    let (_, body) = ask(second, "/metrics").expect("it has moved");
    assert!(
        body.contains("kinesis_autoscaler_subscriptions 1"),
        "{body}"
    );
    assert!(ask(first, "/metrics").is_err(), "nobody is there any more");
    let everywhere = SocketAddr::from(([0, 0, 0, 0], second.port()));
    std::fs::write(&file, with_metrics(everywhere)).expect("written");
    service.takes_a_reload();
    assert!(ask(second, "/metrics").is_ok(), "the port is the same");

    let taken = std::net::TcpListener::bind(first).expect("it is free again");
    std::fs::write(&file, with_metrics(first)).expect("written");
    service.refuses_a_reload();
    assert!(ask(second, "/metrics").is_ok(), "the old one goes on");
    let log = service.log();
    assert!(
        log.contains("cannot listen on") && log.contains("another process"),
        "{log}"
    );
    drop(taken);
    service.stops("TERM");
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, with_metrics(address)).expect("written");
    let run = |once: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"));
        command
            .env_clear()
            .envs([
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
                ("AWS_REGION", "eu-west-1"),
            ])
            .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")])
            .env("KINESIS_AUTOSCALER_CONFIG", &file)
            .env("STATE_DIRECTORY", folder.path());
        command
            .args(once.then_some("--once"))
            .output()
            .expect("it runs")
    };
    let output = run(false);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let error = format!("error: the metrics endpoint cannot listen on {address}");
    for part in [
        error.as_str(),
        "caused by: ",
        "hint: another process listens there",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in\n{stderr}");
    }
    let stderr = String::from_utf8_lossy(&run(true).stderr).into_owned();
    assert!(
        !stderr.contains("cannot listen"),
        "a single run serves nothing: {stderr}"
    );
}
