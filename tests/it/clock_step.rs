//! The daemon goes on ticking while the system clock is set back and forward.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Adds the seconds in the file `$CLOCK_STEP` to the wall clock, and leaves all other clocks alone.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, id, at);
    const char *path = getenv("CLOCK_STEP");
    if (failed || id != CLOCK_REALTIME || !path) return failed;
    char text[32] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) > 0) at->tv_sec += atoll(text);
    close(file);
    return 0;
}
"#;

/// A tick is due every second; an hour's delay would not end within this.
const TICK_WITHIN: Duration = Duration::from_secs(20);

/// Compiles the shim; `None` without a C compiler.
fn shim(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("clock_step.so");
    let mut compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-x", "c", "-", "-o"])
        .arg(&library)
        .stdin(Stdio::piped())
        .spawn()
        .ok()?;
    let mut source = compiler.stdin.take().expect("it is piped");
    source.write_all(SHIM.as_bytes()).expect("cc reads it");
    drop(source);
    let compiled = compiler.wait().expect("cc ends").success();
    assert!(compiled, "the shim does not compile");
    Some(library)
}

/// Ends the process also when the test fails.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ticks_go_on_when_the_clock_is_set_back_or_forward() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(library) = shim(folder.path()) else {
        eprintln!("SKIPPED: there is no C compiler (cc) for the clock shim");
        return;
    };
    let step = folder.path().join("step");
    fs::write(&step, "0").expect("it is written");
    let child = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
        .args(["--sandbox", "--output", "json"])
        .env("LD_PRELOAD", &library)
        .env("CLOCK_STEP", &step)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut daemon = Daemon(child);
    let output = BufReader::new(daemon.0.stdout.take().expect("it is piped"));
    let (sender, reports) = mpsc::channel();
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if line.starts_with('{') && sender.send(()).is_err() {
                return;
            }
        }
    });
    let ticks = |when: &str| {
        // The tick under way at the step may still report; further reports are of later ticks.
        for tick in 1..=4 {
            let report = reports.recv_timeout(TICK_WITHIN);
            report.unwrap_or_else(|_| panic!("tick {tick} does not come {when}"));
        }
    };
    ticks("after the start");
    for seconds in ["-7200", "0", "7200", "-86400"] {
        let new = folder.path().join("new");
        fs::write(&new, seconds).expect("it is written");
        fs::rename(&new, &step).expect("it is renamed");
        ticks(&format!("with the clock set by {seconds} s"));
    }
}
