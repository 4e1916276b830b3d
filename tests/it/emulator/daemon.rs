//! The program as a daemon, a real process: started, stopped, killed, frozen and thawed.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::harness::{Emulator, REGION, TABLE};

/// Longer than any clean stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(15);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A running daemon; killed with its owner.
pub struct Daemon {
    pub name: &'static str,
    process: Child,
    log: PathBuf,
    pub config: PathBuf,
}

impl Emulator {
    /// The program itself, apart from where it was built: a build that comes while a long test runs
    /// does not change it.
    fn program_kept(&self) -> PathBuf {
        let built = Path::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"));
        let kept = self.folder.path().join("kinesis-autoscaler");
        if !kept.exists() {
            // By another process: a test that forks while this one has the copy open for writing
            // would keep it open, and an open program cannot be started (ETXTBSY).
            let copied = Command::new("cp").arg(built).arg(&kept).status();
            assert!(copied.expect("cp runs").success(), "the program is copied");
        }
        kept
    }

    /// Starts a daemon that ticks every second, with a folder and an AWS key id of its own, both
    /// called `name`.
    ///
    /// `sections` is TOML that follows on the usual one.
    pub fn daemon(&self, name: &'static str, audit_interval: &str, sections: &str) -> Daemon {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("the daemon's folder is made");
        let config = format!(
            "schedule = \"* * * * * *\"\naudit_interval = \"{audit_interval}\"\nstate_dir = {folder:?}\n\n\
             [aws]\nregion = \"{REGION}\"\n\n[log]\ntable = \"{TABLE}\"\n\n[defaults]\nreserved_scale_ups = 0\n\n\
             [quotas]\ndescribe_alarms = 1000\nput_metric_alarm = 1000\nset_alarm_state = 1000\n\
             describe_stream_summary = 1000\nupdate_shard_count = 1000\n\n{sections}"
        );
        let (file, log) = (folder.join("config.toml"), folder.join("log"));
        std::fs::write(&file, config).expect("the configuration is written");
        let mut options = OpenOptions::new();
        let stderr: File = options
            .create(true)
            .append(true)
            .open(&log)
            .expect("the log is made");
        let mut command = Command::new(self.program_kept());
        self.surround(&mut command, name);
        let process = command
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        Daemon {
            name,
            process,
            log,
            config: file,
        }
    }

    /// The rows that wait in a daemon's spool, a line each.
    pub fn spool_of(&self, name: &str) -> Vec<String> {
        let file = self.folder.path().join(name).join("spool.jsonl");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .filter(|line| !line.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    }
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All that daemons of this name have written to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL; the process is gone on return, and an end that came before is a failure.
    pub fn kill(&mut self) {
        let before = self.process.try_wait().expect("the process is ours");
        assert_eq!(before, None, "{} had ended:\n{}", self.name, self.log());
        self.process.kill().expect("the process is killed");
        self.process.wait().expect("the process ends");
    }

    /// Sends TERM, HUP, STOP or CONT.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\"", "sh", signal])
            .arg(self.pid().to_string())
            .status();
        assert!(status.expect("a shell runs").success(), "kill -{signal}");
    }

    /// Waits for the end of a daemon that was told to stop.
    pub fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + STOP_WITHIN;
        loop {
            if let Some(status) = self.process.try_wait().expect("the process is ours") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "{} does not stop:\n{}",
                self.name,
                self.log()
            );
            thread::sleep(BETWEEN_LOOKS);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A frozen process is killed just as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
