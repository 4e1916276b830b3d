//! Runs the command of the configuration, with an event on its standard input.

use std::{
    io,
    os::unix::process::CommandExt,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Child,
    time::timeout,
};

/// What is kept of the command's output; the rest is read and discarded.
const KEPT: usize = 4096;
/// What the log shows of it, in characters.
const SHOWN: usize = 300;
/// How long its output is read after its end: a process that it has left behind may hold it open.
const OUTPUT_WITHIN: Duration = Duration::from_millis(500);
/// What systemd tells the daemon alone.
const OWN_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// The command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("{program} cannot be waited for: {source}")]
    Wait { program: String, source: io::Error },
    #[error("{program} failed ({status}){said}")]
    Exit {
        program: String,
        status: ExitStatus,
        said: String,
    },
}

impl CommandError {
    pub const HINT_WHEN_LATE: &'static str =
        "the command and what it has started were killed; see what it waits for";

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Start { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    "create it, or correct `command` under [notify]; of a script, the interpreter in its first line has to exist, too"
                }
                io::ErrorKind::PermissionDenied => {
                    "make it executable for the user of the service, outside of home directories"
                }
                _ => return None,
            },
            Self::Exit { .. } => "run it by hand with an event on its standard input",
            Self::Wait { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// Kills the command with all that it has started, unless it ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended just now.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Runs the command and waits for its end. Cancelling kills it.
pub(super) async fn run(command: &[String], input: &[u8]) -> Result<(), CommandError> {
    // The configuration has at least the program.
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) => (program.as_str(), arguments),
        None => return Ok(()),
    };
    let name = || program.to_owned();
    let mut child = spawn(program, arguments).map_err(|source| CommandError::Start {
        program: name(),
        source,
    })?;
    let mut group = Group::of(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = {
        let mut talk = pin!(async {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A command need not read its input.
                    let _ = stdin.write_all(input).await;
                }
            };
            tokio::join!(feed, read(stdout, &mut out), read(stderr, &mut err));
        });
        let status = tokio::select! {
            status = child.wait() => {
                let _ = timeout(OUTPUT_WITHIN, &mut talk).await;
                status
            }
            () = &mut talk => child.wait().await,
        };
        status.map_err(|source| CommandError::Wait {
            program: name(),
            source,
        })?
    };
    group.0 = None;
    match status.success() {
        true => Ok(()),
        false => Err(CommandError::Exit {
            program: name(),
            status,
            said: said(&err).or_else(|| said(&out)).unwrap_or_default(),
        }),
    }
}

fn spawn(program: &str, arguments: &[String]) -> io::Result<Child> {
    let mut command = std::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for variable in OWN_VARIABLES {
        command.env_remove(variable);
    }
    tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
}

/// Reads to the end, and keeps the beginning.
async fn read(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    let mut buffer = [0; KEPT];
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        let room = KEPT.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

/// What the command has said, in one line without control characters.
fn said(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let line: String = line.chars().map(printable).take(SHOWN).collect();
    (!line.is_empty()).then(|| format!(": {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, input: &[u8]) -> Result<(), String> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&command, input)
            .await
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn output_without_end_is_read_and_input_need_not_be() {
        let input = vec![b'x'; 1_000_000];
        for script in [
            "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2",
            "head -c 3000000 /dev/zero; cat",
            "exec <&-; exit 0",
            "exec >&- 2>&-; cat > /dev/null",
            // What it leaves behind holds its output open.
            "sleep 5 & exit 0",
        ] {
            assert_eq!(shell(script, &input).await, Ok(()), "{script}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_with_what_the_command_said() {
        let error = |script: &'static str| async move {
            let failed = shell(script, b"").await;
            failed.expect_err("it fails")
        };
        for (script, expected) in [
            ("exit 3", "/bin/sh failed (exit status: 3)"),
            ("echo out; exit 1", "/bin/sh failed (exit status: 1): out"),
            (
                "echo out; printf 'a\\n  b\\033[1m' >&2; exit 1",
                "/bin/sh failed (exit status: 1): a b\u{fffd}[1m",
            ),
            ("kill -9 $$", "/bin/sh failed (signal: 9 (SIGKILL))"),
        ] {
            assert_eq!(error(script).await, expected);
        }
        let long = error("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1").await;
        assert_eq!(
            long.len(),
            "/bin/sh failed (exit status: 1): ".len() + SHOWN
        );
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_started_is_told_with_a_hint() {
        for (program, hint) in [
            ("/nonexistent/page", "create it"),
            ("/etc/passwd", "make it executable"),
        ] {
            let error = run(&[program.to_owned()], b"").await;
            let error = error.expect_err("it cannot be started");
            assert!(error.to_string().starts_with(program), "{error}");
            assert!(
                error.hint().is_some_and(|it| it.starts_with(hint)),
                "{error}"
            );
        }
    }
}
