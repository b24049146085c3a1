//! `monitor`: passes a session's log on until it ends or nobody wants it any more.

use super::sessions::Named;
use crate::foundry::{LogError, LogQuery, LogReader};
use crate::rpc::Call;
use crate::rpc::error::RpcError;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::monitor::{MonitorEvent, MonitorParams, MonitorResponse};
use cupola_protocol::sessions::SessionParams;
use cupola_protocol::watch::Watch;

pub(crate) async fn monitor(call: Call, params: MonitorParams) -> Result<MonitorResponse, RpcError> {
    if params.follow && params.watch.partial_result_token.is_none() {
        return Err(RpcError::invalid_params(
            "follow needs a partialResultToken: a followed log has no end to wait for",
        ));
    }
    // A stream of the service keeps the daemon, as a run does.
    let _busy = call.daemon.activity.run();
    tokio::select! {
        read = read(&call, &params) => read,
        () = call.cancelled.cancelled() => Err(RpcError::cancelled()),
        // A followed log would outlast any drain.
        () = call.daemon.shutdown.draining(), if params.follow => Err(RpcError::shutting_down()),
    }
}

async fn read(call: &Call, params: &MonitorParams) -> Result<MonitorResponse, RpcError> {
    let MonitorParams { target, isolation, session_id, allow_shared_session, follow, tail, kind, raw, .. } =
        params.clone();
    let watch = Watch::default();
    let named = SessionParams { target, isolation, session_id, allow_shared_session, watch };
    let named = Named::resolve(call, &named).await?;
    if named.scope.agent.address().is_local() {
        return Err(RpcError::invalid_params("an agent on a local port has no log stream")
            .hint("its log is where it was started; sessions of a deployed agent or the emulator have one"));
    }
    let query = LogQuery { kind, tail, follow, raw };
    let mut log = named.scope.agent.logs(&named.scope.wire, &named.session, query);
    let mut sink = Sink { call, params, collected: Vec::new() };
    let agent = named.scope.agent.address().agent_name();
    sink.take(MonitorEvent::Started { session_id: named.session.clone(), agent }).await?;
    while let Some(event) = next(&mut log, &named).await? {
        sink.take(event).await?;
    }
    let events = params.watch.partial_result_token.is_none().then_some(sink.collected);
    Ok(MonitorResponse { session_id: named.session, count: log.count(), events })
}

async fn next(log: &mut LogReader, named: &Named) -> Result<Option<MonitorEvent>, RpcError> {
    log.next().await.map_err(|error| match error {
        LogError::Foundry(error) => named.explain(error, false),
        error @ LogError::NoSandbox => RpcError::new(ErrorKind::SessionNotReady, error.to_string())
            .hint("its log begins with its first invoke; --follow waits for that"),
        error @ LogError::Broken { .. } => RpcError::new(ErrorKind::ConnectionFailed, error.to_string()),
    })
}

/// Where events go: to the caller as they come, or into the response.
struct Sink<'a> {
    call: &'a Call,
    params: &'a MonitorParams,
    collected: Vec<MonitorEvent>,
}

impl Sink<'_> {
    async fn take(&mut self, event: MonitorEvent) -> Result<(), RpcError> {
        match &self.params.watch.partial_result_token {
            Some(token) => self.call.progress(token, &event).await?,
            None => self.collected.push(event),
        }
        Ok(())
    }
}
