//! Runs a developer tool that prints a token: without standard input, so that it cannot wait for a person, ended with the
//! fetch, and with a bound on what it prints.

use azure_identity::Executor;
use cupola_cli::ISOLATION_VARIABLES;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::process::{Output, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// Most bytes that a tool may print to either of its outputs. A token has a few kilobytes, a usage page some more.
const MAX_OUTPUT_BYTES: u64 = 1024 * 1024;

/// Runs tools that are found on a path.
pub(super) struct Tool {
    path: Option<OsString>,
}

impl Tool {
    /// Looks for programs on `path`; on the process's own when left out.
    pub(super) const fn new(path: Option<OsString>) -> Self {
        Self { path }
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tool")
    }
}

#[async_trait::async_trait]
impl Executor for Tool {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        // A tool has no use for isolation keys.
        for name in ISOLATION_VARIABLES {
            command.env_remove(name);
        }
        // Dropped on an error, which ends it.
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = tokio::try_join!(printed(stdout), printed(stderr))?;
        Ok(Output { status: child.wait().await?, stdout, stderr })
    }
}

async fn printed(output: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        output.take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(io::Error::other(format!("it printed more than {MAX_OUTPUT_BYTES} bytes")));
    }
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    async fn run(script: &str) -> io::Result<Output> {
        Tool::new(None).run(OsStr::new("sh"), &[OsStr::new("-c"), OsStr::new(script)]).await
    }

    #[tokio::test]
    async fn what_a_tool_prints_is_read_from_both_outputs() {
        let output = run("echo token; echo warning >&2; exit 3").await.unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"token\n"[..], &b"warning\n"[..]));
        assert_eq!(output.status.code(), Some(3));
    }

    #[tokio::test]
    async fn a_tool_that_prints_without_end_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        for redirection in ["", ">&2"] {
            let process = directory.path().join("process");
            let script = format!("echo $$ > {}; exec yes {redirection}", process.display());
            let error = run(&script).await.unwrap_err().to_string();
            assert_eq!(error, "it printed more than 1048576 bytes");
            let process: i32 = std::fs::read_to_string(&process).unwrap().trim().parse().unwrap();
            // The runtime collects it as soon as it has ended.
            let process = rustix::process::Pid::from_raw(process).unwrap();
            let gone = async {
                while rustix::process::test_kill_process(process).is_ok() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.expect("it still runs");
        }
    }
}
