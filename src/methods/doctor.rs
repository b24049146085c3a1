//! `daemon/doctor`: looks at everything a call needs, in the order of its way.
//!
//! - [`mod@network`]: which settings of the network apply to the target
//! - [`mod@delegation`]: may the credential act for users?

pub(crate) mod delegation;
mod network;

use crate::auth::{Account, SCOPE};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Definition, Extras};
use crate::rpc::Call;
use crate::rpc::scope::{Confirmed, Scope};
use crate::system::clock::rfc3339;
use crate::system::directory::{self, PrivateDirectory};
use cupola_protocol::doctor::{Check, CheckStatus, DoctorParams, DoctorResponse};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::status::TelemetryStatus;
use cupola_protocol::target::Target;
use delegation::{Delegation, delegation, of_gateway};
use std::fs::OpenOptions;
use std::io;
use std::time::{Duration, SystemTime};

pub(crate) async fn doctor(call: Call, params: DoctorParams) -> Result<DoctorResponse, CallError> {
    let looking = async {
        let daemon = &call.daemon;
        let credential = credential(daemon, params.target.as_ref()).await;
        let can_sign_in = credential.status != CheckStatus::Error;
        let mut checks = vec![daemon_itself(daemon), socket(daemon), state(daemon).await];
        checks.extend(store(daemon).await);
        checks.extend(log(daemon));
        checks.extend(telemetry(daemon));
        checks.push(credential);
        checks.extend(network::network(daemon, params.target.as_ref()).await);
        checks.extend(gateway(daemon).await);
        checks.extend(target(daemon, params.target.as_ref(), &params.isolation, can_sign_in).await);
        DoctorResponse { checks }
    };
    tokio::select! {
        response = looking => Ok(response),
        () = call.cancelled.cancelled() => Err(CallError::cancelled()),
    }
}

fn check(name: &str, status: CheckStatus, message: impl Into<String>) -> Check {
    Check { name: name.to_owned(), status, message: message.into(), hint: None }
}

fn failed(name: &str, error: CallError) -> Check {
    Check { hint: error.data.hint, ..check(name, CheckStatus::Error, error.message) }
}

fn daemon_itself(daemon: &Daemon) -> Check {
    let seconds = daemon.started.elapsed().as_secs();
    let up = if seconds < 60 { format!("{seconds} s") } else { format!("{} min", seconds / 60) };
    let version = cupola_cli::version();
    check("daemon", CheckStatus::Ok, format!("version {version}, process {}, up {up}", std::process::id()))
}

fn socket(daemon: &Daemon) -> Check {
    let path = &daemon.config.socket;
    let shown = path.display();
    match directory::guard(path) {
        Ok(guard) => check("socket", CheckStatus::Ok, format!("{shown}, {guard}")),
        Err(error) => check("socket", CheckStatus::Error, format!("{shown}: {error}")),
    }
}

/// How long the service may take to answer for one agent of a gateway. A first token and a cold agent take some seconds.
const GATEWAY_LIMIT: Duration = Duration::from_secs(30);

/// Can the log be written? Said only if not: a daemon without a log works.
fn log(daemon: &Daemon) -> Option<Check> {
    let path = daemon.config.log_file.as_ref()?;
    let error = OpenOptions::new().append(true).open(path).err()?;
    Some(Check {
        hint: Some(
            "make it a file that you can write, then run `cupola stop`: the next command starts a daemon with a log"
                .to_owned(),
        ),
        ..check("log", CheckStatus::Warning, format!("{} cannot be written: {error}", path.display()))
    })
}

/// Do traces and metrics leave the daemon as the configuration asks? Said only when it asks.
fn telemetry(daemon: &Daemon) -> Option<Check> {
    let TelemetryStatus { collector, metrics, sent_spans, dropped_spans, error } = daemon.telemetry.status()?;
    let spans = collector.map(|to| format!("spans go to {to} (sent: {sent_spans}, dropped: {dropped_spans})"));
    let metrics = metrics.map(|at| format!("metrics are at {at}"));
    let Some(error) = error else {
        let both: Vec<_> = spans.into_iter().chain(metrics).collect();
        let message = if both.is_empty() { "metrics are about to be served".to_owned() } else { both.join(", ") };
        return Some(check("telemetry", CheckStatus::Ok, message));
    };
    let message = spans.map_or_else(|| error.clone(), |spans| format!("{error}; {spans}"));
    Some(Check {
        hint: Some(
            "calls are not affected; correct [telemetry] in Cupola's configuration file or start the collector, then run \
             `cupola stop`: the next command starts a daemon with the new settings"
                .to_owned(),
        ),
        ..check("telemetry", CheckStatus::Warning, message)
    })
}

/// What to do when the state directory is gone.
const GONE_HINT: &str = "run `cupola stop`: the next command makes the directory again";

/// Can what is saved be read, and more be written? A running daemon keeps its file open, so a directory that was removed,
/// opened to others or filled shows with the next write, or when the next daemon starts.
async fn state(daemon: &Daemon) -> Check {
    let directory = daemon.config.state_directory.clone();
    let shown = directory.display().to_string();
    let wrong = |message: String, hint: Option<&str>| Check {
        hint: hint.map(str::to_owned),
        ..check("state", CheckStatus::Error, message)
    };
    let count = match daemon.store.count().await {
        Ok(count) => count,
        Err(_) if !directory.exists() => {
            return wrong(format!("{shown} is gone, and nothing can be saved"), Some(GONE_HINT));
        }
        Err(error) => return failed("state", error.into()),
    };
    let replaced = daemon.store.replaced();
    let tried = tokio::task::spawn_blocking(move || {
        // Opening a directory makes one that is missing.
        if !directory.exists() {
            return Ok(Err(io::Error::from(io::ErrorKind::NotFound)));
        }
        PrivateDirectory::open(&directory).map(|directory| directory.try_writing())
    });
    match tried.await {
        Ok(Ok(Ok(()))) if replaced > 0 => Check {
            hint: Some(
                "calls continue other sessions than before: `cupola sessions use ID` goes back to one; run `cupola stop` before \
                 you change the state file"
                    .to_owned(),
            ),
            ..check(
                "state",
                CheckStatus::Warning,
                format!(
                    "{shown}, partitions with saved state: {count}; the state file was removed or replaced while this daemon ran"
                ),
            )
        },
        Ok(Ok(Ok(()))) => check("state", CheckStatus::Ok, format!("{shown}, partitions with saved state: {count}")),
        Ok(Ok(Err(error))) if error.kind() == io::ErrorKind::NotFound => {
            wrong(format!("{shown} is gone, and nothing can be saved"), Some(GONE_HINT))
        }
        Ok(Ok(Err(error))) => wrong(
            format!("nothing can be written to {shown}: {error}"),
            Some("check the free space of the disk and the permissions of the directory"),
        ),
        Ok(Err(error)) => wrong(error.to_string(), None),
        Err(error) => wrong(format!("{shown} could not be looked at: {error}"), None),
    }
}

/// The shared store, if there is one: whether it can keep what it is given.
async fn store(daemon: &Daemon) -> Vec<Check> {
    match daemon.store.inspect().await {
        // `state` says why not.
        Err(_) => Vec::new(),
        Ok(findings) => findings
            .into_iter()
            .map(|finding| {
                let status = if finding.hint.is_some() { CheckStatus::Warning } else { CheckStatus::Ok };
                Check { hint: finding.hint.map(str::to_owned), ..check("store", status, finding.message) }
            })
            .collect(),
    }
}

/// Asks for a token, unless the target takes none of the configured credential.
async fn credential(daemon: &Daemon, target: Option<&Target>) -> Check {
    let name = daemon.config.credential.name();
    match target {
        Some(Target::Emulator { .. }) => {
            return check("credential", CheckStatus::Skipped, "the emulator takes tokens that its own secret signs");
        }
        Some(Target::Local { .. }) => {
            return check("credential", CheckStatus::Skipped, "a local agent is sent no token");
        }
        _ => {}
    }
    match daemon.foundry.tokens().get(&Account::Configured, SCOPE).await {
        Ok(token) if token.expires_on() <= SystemTime::now() => {
            let until = rfc3339(token.expires_on());
            Check {
                hint: Some("check this machine's clock; if it is right, sign in again".to_owned()),
                ..check("credential", CheckStatus::Error, format!("{name} gave a token that expired at {until}"))
            }
        }
        Ok(token) => {
            let until = rfc3339(token.expires_on());
            check("credential", CheckStatus::Ok, format!("{name} gave a token that is good until {until}"))
        }
        Err(error) => {
            let hint = Some(error.hint().to_owned());
            Check { hint, ..check("credential", CheckStatus::Error, error.to_string()) }
        }
    }
}

/// Can the agent be found, and is the isolation one that it knows?
async fn target(daemon: &Daemon, target: Option<&Target>, isolation: &Isolation, can_sign_in: bool) -> Vec<Check> {
    let Some(target) = target else {
        let message = "no agent was named; name one to have the way to it looked at";
        return vec![check("target", CheckStatus::Skipped, message)];
    };
    match Scope::with(daemon, target, isolation, Extras::default(), Confirmed::ForThisCall).await {
        Ok(scope) if scope.is_local() => {
            let message = "an agent on a local port; whether it listens shows with the first invoke";
            vec![check("target", CheckStatus::Skipped, message), model(&scope)]
        }
        Ok(scope) => vec![agent(&scope), isolation_of(daemon, &scope).await],
        Err(error)
            if !can_sign_in
                && matches!(error.data.kind, ErrorKind::AuthenticationFailed | ErrorKind::CertificateNotTrusted) =>
        {
            vec![check("target", CheckStatus::Skipped, "it cannot be checked without a token")]
        }
        Err(error) if error.data.kind == ErrorKind::ProjectNotResolved => {
            vec![Check { status: CheckStatus::Skipped, ..failed("target", error) }]
        }
        Err(error) => vec![failed("target", error)],
    }
}

/// What the agent's definition says of it.
fn agent(scope: &Scope) -> Check {
    let agent = scope.partition.agent.as_str();
    match &scope.definition {
        Some(Definition { failure: Some(failure), .. }) => {
            check("target", CheckStatus::Error, format!("{agent} could not be deployed: {failure}"))
        }
        Some(_) => check("target", CheckStatus::Ok, format!("{agent} answers")),
        None => Check {
            hint: Some("pass --isolation-model if the model shown below is wrong".to_owned()),
            ..check("target", CheckStatus::Warning, format!("{agent} is there, but you may not read about it"))
        },
    }
}

/// Checks the agents of `[gateway]` with the credential that `cupola gateway` shares with this daemon. `None` if the configuration has no
/// gateway.
async fn gateway(daemon: &Daemon) -> Option<Check> {
    let settings = daemon.config.gateway.as_ref()?;
    if let Err(fault) = settings.check() {
        let hint =
            Some("correct [gateway] in Cupola's configuration file; docs/gateway.md describes its settings".to_owned());
        return Some(Check { hint, ..check("gateway", CheckStatus::Error, fault) });
    }
    let (mut served, mut found) = (Vec::new(), None);
    for (name, looked) in of_gateway(daemon, settings, GATEWAY_LIMIT).await {
        let silent =
            || CallError::new(ErrorKind::TimedOut, format!("nothing came within {} s", GATEWAY_LIMIT.as_secs()));
        let (status, error) = match looked.unwrap_or_else(|| Err(silent())) {
            Ok(Delegation::NotNeeded) => {
                served.push(name.to_string());
                continue;
            }
            Ok(Delegation::Permitted) => {
                served.push(format!("{name} (the credential may act for its users)"));
                continue;
            }
            Ok(Delegation::Refused(error)) => (CheckStatus::Error, error),
            Ok(Delegation::Unknown(error)) | Err(error) => (CheckStatus::Warning, error),
        };
        // An error is reported rather than a warning.
        if status == CheckStatus::Error || found.is_none() {
            let message = format!("agent {name}: {}", error.message());
            found = Some(Check { hint: error.data.hint, ..check("gateway", status, message) });
        }
        if status == CheckStatus::Error {
            break;
        }
    }
    Some(found.unwrap_or_else(|| check("gateway", CheckStatus::Ok, format!("agents: {}", served.join(", ")))))
}

/// As [`model`], and whether the service lets the credential act for the user, if there is one.
async fn isolation_of(daemon: &Daemon, scope: &Scope) -> Check {
    let found = model(scope);
    if found.status != CheckStatus::Ok {
        return found;
    }
    if let Some(idle) = idle_pool(daemon, scope) {
        return idle;
    }
    match delegation(scope).await {
        Delegation::NotNeeded | Delegation::Permitted => found,
        Delegation::Refused(error) => failed("isolation", error),
        Delegation::Unknown(error) => Check {
            hint: error.data.hint,
            ..check(
                "isolation",
                CheckStatus::Warning,
                format!("{}; whether the credential may is not known: {}", found.message, error.message),
            )
        },
    }
}

/// A pool that is set for an agent whose users it cannot serve.
fn idle_pool(daemon: &Daemon, scope: &Scope) -> Option<Check> {
    let name = scope.target.agent()?.as_str();
    daemon.config.agents.get(name)?.pool.as_ref()?;
    if scope.model == IsolationModel::Identity {
        return None;
    }
    let message = format!("[agents.{name}.pool] has no effect: the agent does not tell its users apart by identity");
    let hint = "remove the pool from Cupola's configuration file, or deploy the agent with container protocol 2.0.0; then run \
                `cupola stop`";
    Some(Check { hint: Some(hint.to_owned()), ..check("isolation", CheckStatus::Warning, message) })
}

/// How the target isolates its users, and whether what was given means anything to it.
fn model(scope: &Scope) -> Check {
    let given = scope.is_isolated();
    if let Some(check) = contradiction(scope) {
        return check;
    }
    let (status, message, hint) = match (scope.model, given) {
        (IsolationModel::Keys, true) => {
            (CheckStatus::Ok, "by isolation keys (container protocol 1.0.0), and keys are given", None)
        }
        (IsolationModel::Keys, false) => (
            CheckStatus::Warning,
            "by isolation keys (container protocol 1.0.0), and none is given",
            Some("pass --user-isolation-key; without it all your users share one state, or are refused"),
        ),
        (IsolationModel::Identity, true) => {
            (CheckStatus::Ok, "by identity (container protocol 2.0.0), acting for a user", None)
        }
        (IsolationModel::Identity, false) => {
            (CheckStatus::Ok, "by identity (container protocol 2.0.0): your own, as your token says", None)
        }
        (IsolationModel::Local, _) if scope.is_local() => {
            (CheckStatus::Warning, "a local agent enforces none; Cupola keeps sessions apart by itself", None)
        }
        (IsolationModel::Local, _) => {
            (CheckStatus::Ok, "none is sent; Cupola keeps a session and a conversation per user and chat", None)
        }
    };
    Check { hint: hint.map(str::to_owned), ..check("isolation", status, message) }
}

/// A model that was insisted on and is not the agent's own. (`local` goes with every agent.)
fn contradiction(scope: &Scope) -> Option<Check> {
    let defined = scope.definition.as_ref().and_then(Definition::isolation_model)?;
    let name = |model| match model {
        IsolationModel::Keys => "isolation keys (container protocol 1.0.0)",
        IsolationModel::Identity => "identity (container protocol 2.0.0)",
        IsolationModel::Local => "nothing",
    };
    if scope.model == defined || scope.model == IsolationModel::Local {
        return None;
    }
    let message = format!("the agent isolates by {}, not by {}", name(defined), name(scope.model));
    let hint = Some("leave --isolation-model out, and isolation_model in the profile".to_owned());
    Some(Check { hint, ..check("isolation", CheckStatus::Error, message) })
}
