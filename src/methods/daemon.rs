//! `initialize`, `shutdown`, `rpc.discover`, `daemon/status`, `daemon/stop`.
//!
//! - [`details`]: what the daemon is doing, for those who look at it

mod details;

use super::table;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::rpc::Call;
use crate::rpc::bounds::Bounds;
use crate::system::clock::rfc3339;
use cupola_protocol::PROTOCOL_VERSION;
use cupola_protocol::daemon::{
    Capabilities, InitializeParams, InitializeResponse, NoParams, OPENRPC, OpenRpcDocument, ProgramInfo, StopParams,
    StopResponse,
};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::status::{StatusParams, StatusResponse};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Answers from static data, so that no editor concludes from a slow answer that there is nothing here.
///
/// A connection is bound before this returns its future, while messages are still in order: what came right behind is
/// held to it.
pub(crate) fn initialize(
    call: Call,
    params: InitializeParams,
) -> impl Future<Output = Result<InitializeResponse, CallError>> + Send {
    let Call { daemon, bounds, binding, client, .. } = call;
    if let Some(program) = &params.client_info {
        client.is_named(&program.name);
    }
    let bound = negotiate(params.protocol_versions.as_deref()).and_then(|()| match params.bind {
        None => Ok((bounds, false)),
        Some(bind) => binding.bind(bind).map(|bounds| (Some(bounds), true)),
    });
    async move {
        let (bounds, is_new) = bound?;
        if let Some(bounds) = bounds.as_ref().filter(|_| is_new)
            && let Err(error) = prepare(&daemon, bounds).await
        {
            binding.fail();
            return Err(error);
        }
        let table = table();
        let methods = bounds.as_ref().map_or_else(|| table.names(), |bounds| table.allowed(bounds));
        Ok(InitializeResponse {
            protocol_version: PROTOCOL_VERSION,
            server_info: ProgramInfo { name: "cupola".to_owned(), version: Some(cupola_cli::version().to_owned()) },
            process_id: std::process::id(),
            capabilities: Capabilities {
                methods: methods.into_iter().map(str::to_owned).collect(),
                framings: ["lsp", "ndjson", "http"].map(str::to_owned).to_vec(),
                hand_over: daemon.can_hand_over.load(Ordering::Relaxed),
            },
            bound: bounds.is_some(),
        })
    }
}

/// What must be known, or fail, when a connection is bound: an agent that a directory does not name, a directory for local
/// files that cannot be opened. Neither changes later.
async fn prepare(daemon: &Daemon, bounds: &Bounds) -> Result<(), CallError> {
    bounds.agent().await?;
    bounds.root(daemon).await?;
    Ok(())
}

/// One version is spoken. A client that knows newer ones too uses this one.
fn negotiate(offered: Option<&[u32]>) -> Result<(), CallError> {
    if let Some(versions) = offered
        && !versions.contains(&PROTOCOL_VERSION)
    {
        return Err(CallError::new(
            ErrorKind::InvalidParams,
            format!(
                "protocolVersions: this daemon speaks version {PROTOCOL_VERSION} only, the client offers {versions:?}"
            ),
        )
        .hint("use a client and a daemon of the same major version"));
    }
    Ok(())
}

/// One editor window closes; the daemon keeps running.
pub(crate) async fn shutdown(_call: Call, _params: NoParams) -> Result<(), CallError> {
    Ok(())
}

/// The committed document on one line, as a line of JSON must be.
pub(crate) async fn discover(_call: Call, _params: NoParams) -> Result<OpenRpcDocument, CallError> {
    static DOCUMENT: LazyLock<Option<Box<RawValue>>> = LazyLock::new(|| {
        let document: Value = serde_json::from_str(OPENRPC).ok()?;
        to_raw_value(&document).ok()
    });
    let document = DOCUMENT.clone().ok_or_else(|| CallError::internal("the OpenRPC document is not JSON"))?;
    Ok(OpenRpcDocument(document))
}

pub(crate) async fn status(call: Call, params: StatusParams) -> Result<StatusResponse, CallError> {
    let daemon = &call.daemon;
    // Status must answer when saved state cannot, so that one can find out what is wrong.
    let partitions = match daemon.store.count().await {
        Ok(count) => Some(count),
        Err(error) => {
            tracing::warn!(%error, "partitions cannot be counted");
            None
        }
    };
    Ok(StatusResponse {
        version: cupola_cli::version().to_owned(),
        protocol_version: PROTOCOL_VERSION,
        process_id: std::process::id(),
        socket: Some(daemon.config.socket.display().to_string()),
        state_directory: daemon.config.state_directory.display().to_string(),
        started_at: rfc3339(daemon.started_at),
        uptime_ms: u64::try_from(daemon.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        connections: daemon.activity.connections(),
        requests: daemon.activity.requests(),
        runs: daemon.activity.runs(),
        idle_exit_ms: daemon.config.idle_exit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
        resident_bytes: resident_bytes(),
        emulator: daemon.targets.emulator.running(),
        partitions,
        telemetry: daemon.telemetry.status().filter(|_| call.bounds.is_none()),
        details: if params.details && call.bounds.is_none() { Some(Box::new(details::of(daemon).await)) } else { None },
    })
}

/// Ends the daemon after this answer. Without `force` or a deadline it waits for runs under way, however long they take;
/// a second stop with one of them, or a signal, shortens that.
pub(crate) async fn stop(call: Call, params: StopParams) -> Result<StopResponse, CallError> {
    let (runs, unread_answers) = (call.daemon.activity.runs(), call.daemon.runs.unread());
    tracing::info!(force = params.force, drain = params.drain, deadline = params.deadline_ms, runs, "asked to stop");
    let shutdown = &call.daemon.shutdown;
    if let Some(deadline) =
        params.deadline_ms.and_then(|limit| Instant::now().checked_add(Duration::from_millis(limit)))
    {
        shutdown.end_runs_at(deadline);
    }
    match params {
        StopParams { force: true, .. } => shutdown.force(),
        StopParams { drain: true, .. } => shutdown.hand_over(),
        StopParams { .. } => shutdown.drain(),
    }
    Ok(StopResponse { runs, unread_answers })
}

/// Resident memory as Linux tells it: the second number of `statm`, in pages.
#[cfg(target_os = "linux")]
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn resident_bytes() -> Option<u64> {
    None
}
