//! `daemon/doctor`: looks at everything a call needs, in the order of its way.

use crate::auth::{Account, SCOPE};
use crate::clock::rfc3339;
use crate::daemon::Daemon;
use crate::directory::PrivateDirectory;
use crate::foundry::Extras;
use crate::rpc::scope::Scope;
use crate::rpc::{Call, RpcError};
use cupola_protocol::doctor::{Check, CheckStatus, DoctorParams, DoctorResponse};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::target::Target;

pub(crate) async fn doctor(call: Call, params: DoctorParams) -> Result<DoctorResponse, RpcError> {
    let looking = async {
        let daemon = &call.daemon;
        let mut checks = vec![daemon_itself(daemon), socket(daemon), state(daemon).await];
        checks.push(credential(daemon, params.target.as_ref()).await);
        checks.extend(target(daemon, params.target.as_ref(), &params.isolation).await);
        DoctorResponse { checks }
    };
    tokio::select! {
        response = looking => Ok(response),
        () = call.cancelled.cancelled() => Err(RpcError::cancelled()),
    }
}

fn check(name: &str, status: CheckStatus, message: impl Into<String>) -> Check {
    Check { name: name.to_owned(), status, message: message.into(), hint: None }
}

fn failed(name: &str, error: RpcError) -> Check {
    Check { hint: error.data.hint, ..check(name, CheckStatus::Error, error.message) }
}

fn daemon_itself(daemon: &Daemon) -> Check {
    let minutes = daemon.started.elapsed().as_secs() / 60;
    let version = env!("CARGO_PKG_VERSION");
    check("daemon", CheckStatus::Ok, format!("version {version}, process {}, up {minutes} min", std::process::id()))
}

fn socket(daemon: &Daemon) -> Check {
    let path = &daemon.config.socket;
    let shown = path.display();
    match path.parent().map(PrivateDirectory::open) {
        Some(Ok(_)) => check("socket", CheckStatus::Ok, format!("{shown}, in a directory of yours alone")),
        Some(Err(error)) => check("socket", CheckStatus::Error, format!("{shown}: {error}")),
        None => check("socket", CheckStatus::Error, format!("{shown} is in no directory")),
    }
}

async fn state(daemon: &Daemon) -> Check {
    let directory = daemon.config.state_directory.display();
    match daemon.store.count().await {
        Ok(count) => check("state", CheckStatus::Ok, format!("{directory}, partitions with saved state: {count}")),
        Err(error) => failed("state", error.into()),
    }
}

/// Asks for a token, unless the target takes none of the configured credential.
async fn credential(daemon: &Daemon, target: Option<&Target>) -> Check {
    let name = daemon.config.credential.name();
    match target {
        Some(Target::Emulator { .. }) => {
            return check("credential", CheckStatus::Skipped, "the emulator takes a test token of its own");
        }
        Some(Target::Local { .. }) => {
            return check("credential", CheckStatus::Skipped, "a local agent is sent no token");
        }
        _ => {}
    }
    match daemon.foundry.tokens().get(Account::Configured, SCOPE).await {
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
async fn target(daemon: &Daemon, target: Option<&Target>, isolation: &Isolation) -> Vec<Check> {
    let Some(target) = target else {
        let message = "no agent was named; name one to have the way to it looked at";
        return vec![check("target", CheckStatus::Skipped, message)];
    };
    match Scope::with(daemon, target, isolation, Extras::default()).await {
        Ok(scope) if scope.is_local() => {
            let message = "an agent on a local port; whether it listens shows with the first invoke";
            vec![check("target", CheckStatus::Skipped, message), model(&scope)]
        }
        Ok(scope) => {
            let agent = scope.partition.agent.as_str();
            let found = match scope.definition {
                Some(_) => check("target", CheckStatus::Ok, format!("{agent} answers")),
                None => Check {
                    hint: Some("give --isolation-model if the model found below is wrong".to_owned()),
                    ..check("target", CheckStatus::Warning, format!("{agent} is there, but you may not read about it"))
                },
            };
            vec![found, model(&scope)]
        }
        Err(error) if error.data.kind == ErrorKind::ProjectNotResolved => {
            vec![Check { status: CheckStatus::Skipped, ..failed("target", error) }]
        }
        Err(error) => vec![failed("target", error)],
    }
}

/// How the target isolates its users, and whether what was given means anything to it.
fn model(scope: &Scope) -> Check {
    let given = scope.is_isolated();
    let (status, message, hint) = match (scope.model, given) {
        (IsolationModel::Keys, true) => {
            (CheckStatus::Ok, "by isolation keys (container protocol 1.0.0), and keys are given", None)
        }
        (IsolationModel::Keys, false) => (
            CheckStatus::Warning,
            "by isolation keys (container protocol 1.0.0), and none is given",
            Some("without --user-isolation-key all your users share one state, or are refused"),
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
