//! The endpoint: requests, moves, slow clients.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kinesis_autoscaler::{
    config,
    daemon::metrics::{Change, Endpoint},
    reconcile::{context::Context, tick::Autoscaler},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Process, daemon::free, has, lacks};
use crate::world::{World, named, tick};

/// Sends one request and reads the whole answer: status line and headers, body.
async fn request(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    request(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"),
    )
    .await
}

fn listen(address: &str) -> config::Metrics {
    let listen = address.parse().expect("an address");
    config::Metrics { listen }
}

async fn endpoint(context: &Arc<Context>, address: &str) -> Endpoint {
    let change = Change::to(Some(&listen(address)), None)
        .await
        .expect("bound");
    change.make(None, context).expect("an endpoint")
}

#[tokio::test]
async fn the_endpoint_serves_metrics_and_health() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let endpoint = endpoint(&process.context, "127.0.0.1:0").await;
    let address = endpoint.server().address;

    let (head, body) = get(address, "/healthz").await;
    assert!(
        head.starts_with("HTTP/1.1 503"),
        "before the first tick: {head}"
    );
    let json: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(json["healthy"], false, "{body}");

    let mut autoscaler = Autoscaler::new(process.context.clone(), false);
    endpoint.metrics().ticked(&tick(&mut autoscaler).await);
    let (head, body) = get(address, "/healthz").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let json: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(json["healthy"], true, "{body}");
    assert_eq!(
        json["last_tick"]["unpolled"],
        serde_json::json!([]),
        "{body}"
    );

    let (head, body) = get(address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    has(&body, &["ticks_total{result=\"ok\"} 1"]);
    lacks(&body, "# EOF");
    let scrape = "GET /metrics HTTP/1.1\r\nHost: test\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.1\r\n\r\n";
    let (head, body) = request(address, scrape).await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");

    for (wire, status) in [
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", "200"),
        ("HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n", "200"),
        ("GET /favicon.ico HTTP/1.1\r\nHost: test\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let (head, _) = request(address, wire).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{wire:?}: {head}"
        );
    }
}

#[tokio::test]
async fn the_endpoint_moves_only_when_its_address_changes() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let context = &process.context;
    let mut first = endpoint(context, "127.0.0.1:0").await;
    let address = first.server().address;

    let change = Change::to(Some(&listen("127.0.0.1:0")), Some(&mut first)).await;
    let mut kept = change
        .expect("kept")
        .make(Some(first), context)
        .expect("an endpoint");
    assert_eq!(
        kept.server().address,
        address,
        "the same address is not bound anew"
    );

    // What is taken is an error, and the old endpoint goes on.
    let taken = Change::to(Some(&listen(&address.to_string())), None).await;
    let error = taken.expect_err("the address is in use");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.hint().contains("another process"), "{}", error.hint());
    assert!(get(address, "/").await.0.contains("200"));

    let change = Change::to(None, Some(&mut kept))
        .await
        .expect("nothing to bind");
    assert!(
        change.make(Some(kept), context).is_none(),
        "the section is gone"
    );
    // The server's task ends at its next turn.
    tokio::task::yield_now().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_reload_moves_the_endpoint_to_another_address_with_the_same_port() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let context = &process.context;
    let mut first = endpoint(context, &free().to_string()).await;
    let port = first.server().address.port();
    let everywhere = listen(&format!("0.0.0.0:{port}"));

    // Somebody else holds the port of another address of this machine.
    let other = std::net::TcpListener::bind(("127.0.0.2", port)).expect("bound");
    let refused = Change::to(Some(&everywhere), Some(&mut first)).await;
    let error = refused.expect_err("127.0.0.2 is taken").to_string();
    assert_eq!(
        error,
        format!(
            "the metrics endpoint cannot listen on 0.0.0.0:{port}, and stays on 127.0.0.1:{port}"
        )
    );
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(get(here, "/metrics").await.0.contains("200"), "restored");
    drop(other);

    let change = Change::to(Some(&everywhere), Some(&mut first)).await;
    let moved = change.expect("bound").make(Some(first), context);
    let moved = moved.expect("an endpoint");
    assert_eq!(
        moved.server().address,
        SocketAddr::from(([0, 0, 0, 0], port))
    );
    let there = SocketAddr::from(([127, 0, 0, 2], port));
    assert!(get(there, "/metrics").await.0.contains("200"), "moved");
}

#[tokio::test]
async fn a_client_that_never_asks_keeps_no_other_from_its_answer() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let endpoint = endpoint(&process.context, "127.0.0.1:0").await;
    let address = endpoint.server().address;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    let answer = tokio::time::timeout(Duration::from_secs(5), get(address, "/metrics")).await;
    assert!(answer.expect("in time").0.contains("200"));
}
