//! The real process: reading the configuration, start-up, an idle tick, and a storm in which every
//! stream scales up; CPU, calls, resident memory, size of the binary.
//!
//! The sandbox answers it over a socket from this process, so that the figures are the daemon's
//! alone.

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use autoscaler_sandbox::{RegionHandle, Sandbox};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::body::SdkBody;
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::{
    config::{Config, Overrides},
    reconcile::clock::Clock,
};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_kinesis-autoscaler");
const REGION: &str = "eu-west-1";
const TABLE: &str = "logs";
const TICKS: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(60);
const STREAMS: usize = 10_000;
/// Calls per second, far above any account's, so that the process is at work all the time. A call
/// costs more CPU at a slower limiter, and a small storm, which goes at once in a burst, would be
/// compared with a large one that waits.
const QUOTAS: &str = "[quotas]\ndescribe_alarms = 1000\nput_metric_alarm = 1000\n\
    set_alarm_state = 1000\ndescribe_stream_summary = 1000\nupdate_shard_count = 1000\n";

/// `cargo bench --bench process -- storm` measures the storms alone.
fn main() {
    let filter = env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let wanted = |part: &str| filter.as_deref().is_none_or(|filter| filter == part);
    if wanted("reading") {
        // First, while this process has no memory to use again.
        reading();
    }
    let bytes = fs::metadata(BINARY).expect("it was built").len();
    println!("binary: {:.1} MiB", bytes as f64 / 1_048_576.0);
    if wanted("idle") {
        for streams in [1, 100, 1_000, STREAMS] {
            idle("subscriptions", streams, &named(streams));
        }
        idle("discovered streams", STREAMS, DISCOVERED);
    }
    if wanted("storm") {
        // A short run says little.
        for (streams, runs) in [(100, 9), (1_000, 3), (STREAMS, 3)] {
            let mut figures: Vec<Storm> = (0..runs).map(|_| storm(streams)).collect();
            figures.sort_by_key(|run| run.cpu);
            let Storm { cpu, memory, calls } = figures[runs / 2];
            println!(
                "storm, {streams:>6} of {streams} streams scale up: {cpu:.2?} of CPU (the median of {runs}), {:.2?} a stream; {calls} calls; at most {memory:.0} MiB resident",
                cpu / u32::try_from(streams).expect("few"),
            );
        }
    }
}

/// A world behind an endpoint, and a daemon that has just been started against it.
struct Run {
    sandbox: Sandbox,
    polls: Receiver<Instant>,
    child: Child,
    started: Instant,
    _folder: TempDir,
}

impl Run {
    /// `streams` streams of 2 shards, subscribed by `entries`; `change` is made before the daemon
    /// starts.
    fn start(
        streams: usize,
        entries: &str,
        settings: &str,
        change: impl Fn(&RegionHandle, &str),
    ) -> Self {
        // The alarms have been in their state for long.
        let begun = Timestamp::now() - SignedDuration::from_mins(10);
        let clock = Clock::simulated(begun, 1);
        let sandbox = Sandbox::new(clock.reader());
        let place = sandbox.region(REGION);
        place.create_log_table(TABLE);
        place.set_shard_limit(1_000_000);
        let names = names(streams);
        for name in &names {
            place.create_stream(name, 2);
            place.pair(name, 2);
        }
        clock.jump(SignedDuration::from_mins(10));
        names.iter().for_each(|name| change(&place, name));

        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (polled, polls) = channel();
        let server = sandbox.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (sandbox, polled) = (server.clone(), polled.clone());
                thread::spawn(move || answer(connection, &sandbox, &polled));
            }
        });
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("config.toml");
        fs::write(&file, configuration(entries, settings)).expect("it is written");
        let started = Instant::now();
        let child = Command::new(BINARY)
            .args(["--config".as_ref(), file.as_os_str()])
            .env("KINESIS_AUTOSCALER_STATE_DIR", folder.path().join("state"))
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Self {
            sandbox,
            polls,
            child,
            started,
            _folder: folder,
        }
    }

    fn poll(&self) -> Instant {
        self.polls.recv_timeout(PATIENCE).expect("it polls")
    }

    /// User and system time of all its threads.
    fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux");
        let nanoseconds = threads.filter_map(|thread| {
            // A thread may have ended.
            let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    fn memory(&self, field: &str) -> f64 {
        memory(&self.child.id().to_string(), field)
    }

    fn calls(&self) -> u64 {
        self.sandbox.calls().values().sum()
    }
}

/// A figure of a process in MiB.
fn memory(process: &str, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let line = line.expect("the field").trim().trim_end_matches(" kB");
    line.parse::<f64>().expect("a number") / 1024.0
}

fn names(streams: usize) -> Vec<String> {
    (0..streams).map(|i| format!("stream-{i}")).collect()
}

/// An entry for each stream.
fn named(streams: usize) -> String {
    let names = names(streams).into_iter();
    let entries = names.map(|name| format!("[[streams]]\nname = \"{name}\"\n"));
    entries.collect()
}

/// One entry for all streams.
const DISCOVERED: &str = "[[streams]]\nmatch = \"stream-*\"\n";

fn configuration(entries: &str, settings: &str) -> String {
    format!(
        "audit_interval = \"0s\"\n{settings}\n[aws]\nregion = \"{REGION}\"\n[log]\ntable = \"{TABLE}\"\n{entries}"
    )
}

/// Reads a configuration of many streams, in this process.
fn reading() {
    const RUNS: usize = 9;
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("config.toml");
    fs::write(&file, configuration(&named(STREAMS), "")).expect("it is written");
    let read = || Config::load(&file, Overrides::default()).expect("it is valid");
    // The peak counts from here on.
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let before = memory("self", "VmRSS:");
    let config = read();
    let per_stream = |field| (memory("self", field) - before) * 1024.0 / STREAMS as f64;
    let (peak, kept) = (per_stream("VmHWM:"), per_stream("VmRSS:"));
    drop(config);
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            drop(read());
            started.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "configuration of {STREAMS} streams: read in {:.1?} (the median of {RUNS}; the least {:.1?}); {peak:.2} KiB a stream at most, {kept:.2} KiB afterwards",
        times[RUNS / 2],
        times[0],
    );
}

impl Drop for Run {
    fn drop(&mut self) {
        // It is ours, and not waited for anywhere else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn idle(what: &str, streams: usize, entries: &str) {
    let schedule = format!("schedule = \"* * * * * *\"\n{QUOTAS}");
    let run = Run::start(streams, entries, &schedule, |_, _| ());
    let start_up = run.poll().duration_since(run.started);
    let start_up_cpu = run.cpu();
    // At first every stream is inspected, some at each tick.
    let inspected = || run.sandbox.calls().get("DescribeStreamSummary").copied();
    while inspected().unwrap_or(0) < streams as u64 {
        run.poll();
    }
    // The tick of the last one may still be under way.
    run.polls.try_iter().for_each(drop);
    for _ in 0..3 {
        run.poll();
    }
    let (cpu, calls) = (run.cpu(), run.calls());
    for _ in 0..TICKS {
        run.poll();
    }
    let (cpu, calls) = (run.cpu() - cpu, run.calls() - calls);
    println!(
        "idle, {streams:>6} {what}: first request after {start_up:.1?} ({start_up_cpu:.1?} of CPU), a tick takes {:.2?} of CPU and {:.1} calls, {:.1} MiB resident",
        cpu / TICKS,
        calls as f64 / f64::from(TICKS),
        run.memory("VmRSS:")
    );
}

/// The figures of a storm.
struct Storm {
    cpu: Duration,
    memory: f64,
    calls: u64,
}

fn storm(streams: usize) -> Storm {
    let run = Run::start(streams, &named(streams), QUOTAS, |place, name| {
        let alarm = format!("{name}-scale-up-alarm");
        place.set_alarm_state(&alarm, "ALARM", "the benchmark says so");
    });
    let calls = |operation: &str| run.sandbox.calls().get(operation).copied().unwrap_or(0);
    let all = streams as u64;
    while calls("SetAlarmState") < 2 * all || calls("TransactWriteItems") < 2 * all {
        assert!(
            run.started.elapsed() < Duration::from_secs(600),
            "it never ends"
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(calls("UpdateShardCount"), all, "each stream is scaled once");
    Storm {
        cpu: run.cpu(),
        memory: run.memory("VmHWM:"),
        calls: run.calls(),
    }
}

/// Answers each request of a connection from the sandbox.
fn answer(mut connection: TcpStream, sandbox: &Sandbox, polled: &Sender<Instant>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    let mut received = Vec::new();
    let mut buffer = [0; 65_536];
    while let Ok(n @ 1..) = connection.read(&mut buffer) {
        received.extend_from_slice(&buffer[..n]);
        while let Some((request, length)) = whole_request(&received) {
            received.drain(..length);
            if request.uri().ends_with("/DescribeAlarms") {
                // The run may have ended.
                let _ = polled.send(Instant::now());
            }
            let response = runtime.block_on(sandbox.call(request));
            let response = response.expect("there are no faults");
            let body = response.body().bytes().expect("it is in memory");
            let mut reply = format!("HTTP/1.1 {} -\r\n", response.status().as_u16());
            for (name, value) in response.headers() {
                reply += &format!("{name}: {value}\r\n");
            }
            reply += &format!("content-length: {}\r\n\r\n", body.len());
            let reply = [reply.as_bytes(), body].concat();
            if connection.write_all(&reply).is_err() {
                return;
            }
        }
    }
}

/// The first request of what was received, if it is whole, and its length.
fn whole_request(received: &[u8]) -> Option<(HttpRequest, usize)> {
    let head_end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..head_end]).expect("a head is text");
    let mut lines = head.lines();
    let uri = lines.next()?.split(' ').nth(1)?;
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse().expect("a number"));
    let (start, end) = (head_end + 4, head_end + 4 + length);
    let body = received.get(start..end)?.to_vec();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_uri(uri).expect("a path");
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(name.to_lowercase(), value.to_owned());
    }
    Some((request, end))
}
