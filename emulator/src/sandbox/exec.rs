//! `exec:COMMAND`: each session is a separate process, as in the service each is a separate sandbox.
//!
//! The command is run by `sh -c` in the emulator's working directory, with its own environment: `PATH` and a few
//! others are kept, the rest is what a hosted container gets (contract section 16). `FOUNDRY_HOSTING_ENVIRONMENT` stays
//! unset: with it the agent server packages would want the service's storage and a credential.
//!
//! The operator may give it more variables ([`Exec::environment`]). Of the variables that a posted agent version has, only those reach a process whose names the operator allowed
//! ([`Exec::allow`]); a version with any other is refused.
//!
//! Windows has no process groups and no `sh`; there every start fails with an error that says so.

use crate::container::{Container, Runtime, SandboxContext, StartError};
use crate::logs::AgentOutput;
use crate::variables::{AgentVariables, AllowedVariables, Refused};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for `GET /readiness`. Real agents import for seconds, and for much longer on a busy machine.
#[cfg(unix)]
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Between SIGTERM and SIGKILL. The responses server takes up to 10 s to end its runs and then stores what it cuts off
/// as failed (contract 14.1); killed before that it leaves them in progress for ever. An agent with nothing to do ends
/// at once, so the platform's full 30 s would only make a stuck one last longer.
pub const GRACE: Duration = Duration::from_secs(12);

/// Variables taken over from the emulator: where programs are, how text is written, where temporary files go.
#[cfg(unix)]
const KEPT_VARIABLES: [&str; 6] = ["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// Output lines quoted when an agent crashes: a Python traceback's last lines fit.
#[cfg(unix)]
const QUOTED_LINES: usize = 10;

/// Most characters of those lines, counted from the end, where the reason is. Clients show about a thousand of a message.
#[cfg(unix)]
const QUOTED_CHARACTERS: usize = 800;

/// Starts one process per session.
#[derive(Debug, Clone)]
pub struct Exec {
    command: String,
    grace: Duration,
    allowed: AllowedVariables,
    environment: AgentVariables,
    output: Option<AgentOutput>,
}

impl Exec {
    /// `command` is a shell command line that serves HTTP on `$PORT`.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            grace: GRACE,
            allowed: AllowedVariables::default(),
            environment: AgentVariables::default(),
            output: None,
        }
    }

    /// Sets the time between SIGTERM and SIGKILL, [`GRACE`] by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Tells `output` each line of the agents, and what happens to their sandboxes.
    #[must_use]
    pub fn show_on(mut self, output: Option<AgentOutput>) -> Self {
        self.output = output;
        self
    }

    /// Sets environment variables for every process. They win over those of an agent version.
    #[must_use]
    pub fn environment(mut self, variables: AgentVariables) -> Self {
        self.environment = variables;
        self
    }

    /// Sets which environment variables a posted agent version may set; none by default.
    #[must_use]
    pub fn allow(mut self, variables: AllowedVariables) -> Self {
        self.allowed = variables;
        self
    }
}

impl Runtime for Exec {
    fn admit(&self, variables: &BTreeMap<String, String>) -> Result<(), Refused> {
        self.allowed.admit(variables)
    }

    fn runs_sources(&self) -> bool {
        true
    }

    fn start(&self, context: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
        Box::pin(async move {
            #[cfg(unix)]
            return unix::start(self, context).await;
            #[cfg(not(unix))]
            {
                drop(context);
                Err(StartError::Spawn {
                    command: self.command.clone(),
                    source: std::io::Error::new(
                        std::io::ErrorKind::Unsupported,
                        "exec: agents need Linux or macOS; start the agent yourself and use url:",
                    ),
                })
            }
        })
    }
}

#[cfg(unix)]
mod unix {
    use super::{Exec, KEPT_VARIABLES, QUOTED_CHARACTERS, QUOTED_LINES, READY_WITHIN};
    use crate::container::{CallError, Container, SandboxContext, StartError};
    use crate::logs::{LogKind, LogReader, LogSink, LogStream};
    use crate::sandbox::forward::{EndsWithConnection, Forward};
    use crate::sandbox::port::PortLease;
    use crate::sandbox::process::Process;
    use axum::body::Body;
    use futures_util::future::BoxFuture;
    use futures_util::{StreamExt as _, stream};
    use std::io;
    use std::os::unix::fs::DirBuilderExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;
    use tokio::process::Command;
    use tokio::sync::watch;
    use tokio::time::timeout;

    /// How long after the end of its connection the end of a process is waited for. A complete answer waits as long.
    const UNTIL_KNOWN: Duration = Duration::from_millis(200);

    pub(super) async fn start(exec: &Exec, context: SandboxContext) -> Result<Arc<dyn Container>, StartError> {
        for path in [&context.home, &context.state_root] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|source| StartError::Home { path: path.clone(), source })?;
        }
        if let Some(output) = &exec.output {
            context.logs.mirror(output, &context.agent);
        }
        let spawn_error = |source| StartError::Spawn { command: exec.command.clone(), source };
        let port = PortLease::take().map_err(spawn_error)?;
        // What earlier starts of the session wrote is not this one's.
        let mut written = context.logs.read(LogKind::Console, 0);
        let process =
            Process::start(environment(exec, &context, &port), &exec.command, &context.logs).map_err(spawn_error)?;
        let forward = Forward::new(&format!("http://127.0.0.1:{}", port.number()))
            .map_err(|error| spawn_error(std::io::Error::other(error)))?;

        tokio::select! {
            // An agent that could not bind its port has ended by now; another process answers there.
            biased;
            status = process.wait() => {
                return Err(StartError::Exited { status, output: last_output(&mut written) });
            }
            ready = forward.ready(READY_WITHIN, |status| status.is_success()) => {
                if let Err(error) = ready {
                    process.stop(Duration::ZERO).await;
                    return Err(error);
                }
            }
        }
        let is_asked_to_stop = Arc::new(AtomicBool::new(false));
        tokio::spawn(report(process.ending(), Arc::clone(&is_asked_to_stop), context.logs.clone()));
        let written = Mutex::new(written);
        let logs = context.logs;
        Ok(Arc::new(Running { forward, process, written, is_asked_to_stop, logs, grace: exec.grace, _port: port }))
    }

    fn environment(exec: &Exec, context: &SandboxContext, port: &PortLease) -> Command {
        let mut command = Command::new("sh");
        command.env_clear();
        for name in KEPT_VARIABLES {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            // Logs would otherwise wait in a buffer until the agent ends.
            .env("PYTHONUNBUFFERED", "1")
            .envs(&context.environment)
            .envs(exec.environment.iter())
            // What identifies the session comes last: a definition can not pretend to be another one.
            .env("HOME", &context.home)
            .env("PORT", port.number().to_string())
            .env("FOUNDRY_AGENT_NAME", &context.agent)
            .env("FOUNDRY_AGENT_VERSION", &context.version)
            .env("FOUNDRY_AGENT_SESSION_ID", &context.session_id)
            .env("AGENTSERVER_STATE_ROOT", &context.state_root)
            .env_remove("FOUNDRY_HOSTING_ENVIRONMENT");
        command
    }

    fn last_output(written: &mut LogReader) -> String {
        let lines: Vec<_> = written.take().lines.into_iter().map(|line| line.message).collect();
        let last = lines.get(lines.len().saturating_sub(QUOTED_LINES)..).unwrap_or_default().join("\n");
        let left_out = last.chars().count().saturating_sub(QUOTED_CHARACTERS);
        last.chars().skip(left_out).collect()
    }

    /// Writes down that the process ended by itself, also where no call was under way.
    async fn report(mut ending: watch::Receiver<Option<String>>, is_asked_to_stop: Arc<AtomicBool>, logs: LogSink) {
        let Ok(status) = ending.wait_for(Option::is_some).await.map(|status| status.clone().unwrap_or_default()) else {
            return;
        };
        if !is_asked_to_stop.load(Ordering::Relaxed) {
            logs.push(LogStream::Status, format!("The agent crashed: {status}"));
        }
    }

    /// The same body, which breaks off instead of ending if the process has crashed.
    fn until_crash(body: Body, ending: watch::Receiver<Option<String>>) -> Body {
        let state = Some((body.into_data_stream(), ending));
        Body::from_stream(stream::unfold(state, |state| async {
            let (mut data, mut ending) = state?;
            if let Some(piece) = data.next().await {
                return Some((piece, Some((data, ending))));
            }
            let ended = timeout(UNTIL_KNOWN, ending.wait_for(Option::is_some)).await.ok()?.ok()?.clone();
            let crash = format!("the agent crashed while it answered: {}", ended.unwrap_or_default());
            Some((Err(axum::Error::new(io::Error::other(crash))), None))
        }))
    }

    /// A session's process that has become ready.
    struct Running {
        forward: Forward,
        process: Process,
        /// What it has written.
        written: Mutex<LogReader>,
        is_asked_to_stop: Arc<AtomicBool>,
        logs: LogSink,
        grace: Duration,
        _port: PortLease,
    }

    impl Running {
        fn last_output(&self) -> String {
            last_output(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl Container for Running {
        fn call(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, CallError>> {
            Box::pin(async move {
                if let Some(status) = self.process.ended() {
                    return Err(CallError::Gone(format!("its process ended: {status}")));
                }
                let error = match self.forward.call(request).await {
                    Ok(answer) if answer.extensions().get::<EndsWithConnection>().is_some() => {
                        return Ok(answer.map(|body| until_crash(body, self.process.ending())));
                    }
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let Some(status) = self.process.has_just_ended().await else { return Err(error) };
                Err(match error {
                    CallError::Gone(_) => CallError::Gone(format!("its process ended: {status}")),
                    _ => CallError::Crashed { status, output: self.last_output() },
                })
            })
        }

        fn stop(&self) -> BoxFuture<'_, ()> {
            Box::pin(async move {
                self.is_asked_to_stop.store(true, Ordering::Relaxed);
                self.process.stop(self.grace).await;
                let status = self.process.ended().unwrap_or_else(|| "killed".to_owned());
                self.logs.push(LogStream::Status, format!("Container stopped: {status}"));
            })
        }
    }
}
