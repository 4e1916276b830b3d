//! The real process with 10,000 subscriptions and nothing to do: start-up time, CPU of an idle tick, resident memory, size of the binary.
//!
//! A small server in this process answers its polls with "no alarm is in ALARM", so that the figures are the daemon's alone.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Sender, channel},
    thread,
    time::{Duration, Instant},
};

const BINARY: &str = env!("CARGO_BIN_EXE_kinesis-autoscaler");
const TICKS: u32 = 10;

fn main() {
    println!(
        "binary: {:.1} MiB",
        fs::metadata(BINARY).expect("it was built").len() as f64 / 1_048_576.0
    );
    for streams in [1, 100, 10_000] {
        measure(streams);
    }
}

fn measure(streams: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (polled, polls) = channel();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let polled = polled.clone();
            thread::spawn(move || answer(connection, &polled));
        }
    });
    let folder = tempfile::tempdir().expect("a directory");
    let config = folder.path().join("config.toml");
    let entries: String = (0..streams)
        .map(|i| format!("[[streams]]\nname = \"stream-{i}\"\n"))
        .collect();
    let top = "schedule = \"* * * * * *\"\naudit_interval = \"0s\"\n[aws]\nregion = \"eu-west-1\"\n[log]\ntable = \"logs\"\n";
    fs::write(&config, format!("{top}{entries}")).expect("it is written");

    let started = Instant::now();
    let mut child = Command::new(BINARY)
        .args(["--config".as_ref(), config.as_os_str()])
        .env("KINESIS_AUTOSCALER_STATE_DIR", folder.path().join("state"))
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let first: Instant = polls
        .recv_timeout(Duration::from_secs(60))
        .expect("it polls");
    let start_up = first.duration_since(started);
    // The first ticks warm up; the next ones count.
    for _ in 0..4 {
        polls
            .recv_timeout(Duration::from_secs(60))
            .expect("it polls");
    }
    let before = cpu(&child);
    for _ in 0..TICKS {
        polls
            .recv_timeout(Duration::from_secs(60))
            .expect("it polls");
    }
    let tick = (cpu(&child) - before) / TICKS;
    let memory = status(&child, "VmRSS:");
    println!(
        "{streams:>6} subscriptions: first request after {start_up:.1?}, idle tick {tick:.2?} of CPU, {memory} resident"
    );
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
}

/// Answers DescribeAlarms with no alarms (CBOR), and whatever asks DynamoDB with no items (JSON).
fn answer(mut connection: TcpStream, polled: &Sender<Instant>) {
    let mut received = Vec::new();
    let mut buffer = [0; 65_536];
    while let Ok(n @ 1..) = connection.read(&mut buffer) {
        received.extend_from_slice(&buffer[..n]);
        while let Some(head_end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..head_end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|n| n.parse().ok());
            let whole = head_end + 4 + length.unwrap_or(0);
            if received.len() < whole {
                break;
            }
            received.drain(..whole);
            let reply: &[u8] = if head.contains("describealarms") {
                let _ = polled.send(Instant::now());
                b"HTTP/1.1 200 OK\r\nsmithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor\r\ncontent-length: 1\r\n\r\n\xa0"
            } else {
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 12\r\n\r\n{\"Items\":[]}"
            };
            if connection.write_all(reply).is_err() {
                return;
            }
        }
    }
}

/// User and system time, at the kernel's 10 ms resolution.
fn cpu(child: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("Linux");
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .expect("a name in parentheses")
        .1
        .split(' ')
        .collect();
    let ticks: u64 =
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    Duration::from_millis(ticks * 10)
}

fn status(child: &Child, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .expect("the field");
    let kib: f64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    format!("{:.1} MiB", kib / 1024.0)
}
