//! One session's process and everything it starts: a process group that ends when asked, and with the emulator.
//!
//! Nothing that runs inside the emulator can end the group once the emulator itself was killed, and asking the kernel
//! to do it takes unsafe code. So the group holds its own guard: a background shell that reads a pipe from the
//! emulator. The kernel closes that pipe however the emulator ends, and the guard then kills its group.

use crate::logs::{LogSink, LogStream};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;

/// Runs `$1` as the group's leader with the guard beside it. The guard ignores the signals that ask an agent to
/// stop, else it would be gone during the grace period, and does not hold the agent's output open.
const GUARDED: &str = r#"
exec 3<&0
( trap '' TERM INT HUP QUIT; cat <&3; kill -KILL 0 ) >/dev/null 2>&1 &
exec 3<&- </dev/null
exec sh -c "$1"
"#;

/// Longer lines are cut into pieces of this size: an agent that never ends a line must not fill memory.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// After the kill: the guard and the kernel need milliseconds. Something that left the group may hold the output open
/// for ever, and must not hold up a stop.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// Between the broken connection of a process that crashed and the report of its end: the last output is read in between.
const UNTIL_REPORTED: Duration = Duration::from_secs(1);

/// The exit code of a shell is the number of the signal that ended its command, added to this.
const SHELLS_SIGNALS: i32 = 128;

/// A running process group.
#[derive(Debug)]
pub(crate) struct Process {
    group: Option<Pid>,
    /// The guard's pipe: dropped, the group is killed.
    lifeline: Mutex<Option<ChildStdin>>,
    ended: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts `shell_command` with `command`'s environment and working directory; its output goes to `logs`.
    pub(crate) fn start(mut command: Command, shell_command: &str, logs: &LogSink) -> io::Result<Self> {
        let mut child = command
            .args(["-c", GUARDED, "cupola-sandbox", shell_command])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let lifeline = Mutex::new(child.stdin.take());
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let (sender, ended) = watch::channel(None);
        let logs = logs.clone();
        tokio::spawn(async move {
            // The leader may be a shell that ends before the agent it started. The agent still holds the output.
            let ((), (), status) = tokio::join!(
                copy_lines(stdout, LogStream::Stdout, &logs),
                copy_lines(stderr, LogStream::Stderr, &logs),
                child.wait()
            );
            sender.send_replace(Some(describe(status)));
        });
        Ok(Self { group, lifeline, ended })
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Waits for the end for as long as it takes the system to report one that has happened. `None`: the process runs.
    pub(crate) async fn has_just_ended(&self) -> Option<String> {
        tokio::time::timeout(UNTIL_REPORTED, self.wait()).await.ok()
    }

    /// Learns when it ends, without holding the process.
    pub(crate) fn ending(&self) -> watch::Receiver<Option<String>> {
        self.ended.clone()
    }

    /// Waits for the end and says how it came.
    pub(crate) async fn wait(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(status) => status.clone().unwrap_or_default(),
            Err(_) => "ended with the emulator".to_owned(),
        }
    }

    /// Asks the group to stop, waits for `grace`, then kills what is left of it.
    pub(crate) async fn stop(&self, grace: Duration) {
        if self.ended().is_none()
            && let Some(group) = self.group
            && kill_process_group(group, Signal::TERM).is_ok()
        {
            // Running out of time is fine: remaining processes are killed below.
            let _ = tokio::time::timeout(grace, self.wait()).await;
        }
        let lifeline = self.lifeline.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(lifeline);
        let _ = tokio::time::timeout(AFTER_KILL, self.wait()).await;
    }
}

async fn copy_lines(output: Option<impl AsyncRead + Unpin>, stream: LogStream, logs: &LogSink) {
    let Some(output) = output else { return };
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                logs.push(stream, text.trim_end_matches(['\r', '\n']));
            }
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        // The system's own words for an exit code read like those of an HTTP status.
        Ok(status) => match status.code() {
            // A shell says so of a command that a signal ended.
            Some(code) if code > SHELLS_SIGNALS => format!("exit code {code}, signal {}", code - SHELLS_SIGNALS),
            Some(code) => format!("exit code {code}"),
            None => status.to_string().replacen(": ", " ", 1),
        },
        Err(error) => format!("unknown exit status: {error}"),
    }
}
