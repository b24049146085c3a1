//! `monitor`: passes a session's log on until it ends or its last follower leaves. Those who follow the same log share one
//! stream of the service.

use super::named_session::NamedSession;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::feed::Next;
use crate::foundry::{LogError, LogEvent, LogQuery, LogReader};
use crate::partition::Partition;
use crate::rpc::Call;
use crate::shared_logs::{Joined, LogKey, LogLine, SharedLog};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::{Notice, NoticeCode};
use cupola_protocol::monitor::{MonitorEvent, MonitorParams, MonitorResponse};
use cupola_protocol::observe::ProgressOptions;
use cupola_protocol::rpc::ProgressToken;
use cupola_protocol::sessions::SessionParams;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tracing::Instrument;

pub(crate) async fn monitor(call: Call, params: MonitorParams) -> Result<MonitorResponse, CallError> {
    if params.follow && params.progress.partial_result_token.is_none() {
        return Err(CallError::invalid_params(
            "follow needs a partialResultToken: a followed log has no end to wait for",
        ));
    }
    tokio::select! {
        read = read(&call, &params) => read,
        () = call.cancelled.cancelled() => Err(CallError::cancelled()),
        // A followed log would outlast any drain.
        () = call.daemon.shutdown.draining(), if params.follow => Err(CallError::shutting_down()),
    }
}

async fn read(call: &Call, params: &MonitorParams) -> Result<MonitorResponse, CallError> {
    let MonitorParams { target, isolation, session_id, allow_shared_session, follow, tail, kind, raw, .. } =
        params.clone();
    let progress = ProgressOptions::default();
    let named = SessionParams { target, isolation, session_id, allow_shared_session, progress };
    let named = NamedSession::resolve_own(call, &named).await?;
    let query = LogQuery { kind, tail, follow, raw };
    let mut sink = Sink { call, params, collected: Vec::new() };
    let agent = named.scope.agent.address().agent_name();
    sink.take(&MonitorEvent::Started { session_id: named.session.clone(), agent }).await?;
    // A caller that wants to see the requests needs separate ones.
    if let (true, false, Some(token)) = (follow, params.progress.debug, &params.progress.partial_result_token) {
        return join(call, token, named, query).await;
    }
    // A stream of the service keeps the daemon, as a run does.
    let _busy = call.daemon.activity.run();
    let mut log = named.scope.agent.logs(&named.scope.wire, &named.session, query);
    while let Some(event) = next(&mut log, &named).await? {
        sink.take(&event.event).await?;
    }
    let events = params.progress.partial_result_token.is_none().then_some(sink.collected);
    Ok(MonitorResponse { session_id: named.session, count: log.count(), events })
}

async fn next(log: &mut LogReader, named: &NamedSession) -> Result<Option<LogEvent>, CallError> {
    log.next().await.map_err(|error| match error {
        LogError::Foundry(error) => named.explain(error, false),
        error @ LogError::NoSandbox => CallError::new(ErrorKind::SessionNotReady, error.to_string())
            .hint("the log begins with the session's first call: run `cupola invoke`, or wait for it with --follow"),
        error @ LogError::Broken { .. } => CallError::new(ErrorKind::ConnectionFailed, error.to_string()),
    })
}

/// Follows a log together with all who follow the same.
async fn join(
    call: &Call,
    token: &ProgressToken,
    named: NamedSession,
    query: LogQuery,
) -> Result<MonitorResponse, CallError> {
    let session_id = named.session.clone();
    let Partition { agent, owner, .. } = named.scope.partition.clone();
    let LogQuery { kind, tail, raw, .. } = query;
    let key = LogKey { agent, owner, session: session_id.clone(), kind, tail, raw };
    let Joined { mut follower, preamble, begun } = call.daemon.shared_logs.join(&key);
    if let Some(log) = begun {
        call.daemon.tasks.spawn(fill(Arc::clone(&call.daemon), key, log, named, query).in_current_span());
    }
    let mut count = 0;
    if let Some(preamble) = preamble {
        call.progress(token, &preamble).await?;
        count += 1;
    }
    loop {
        match follower.next().await {
            Next::Entries(lines) => {
                for line in lines {
                    call.progress(token, &line.json()).await?;
                    count += u64::from(line.is_of_service());
                }
            }
            Next::Lost { .. } => {
                let message = "lines are missing here: this client read too slowly".to_owned();
                let notice = Notice { code: NoticeCode::Gap, message };
                call.progress(token, &MonitorEvent::Notice { notice }).await?;
            }
            Next::End(end) => {
                return end.map(|()| MonitorResponse { session_id, count, events: None });
            }
        }
    }
}

/// Reads a log for its followers, until it ends or the last of them has left.
async fn fill(daemon: Arc<Daemon>, key: LogKey, log: Arc<SharedLog>, named: NamedSession, query: LogQuery) {
    // A stream of the service keeps the daemon, as a run does.
    let busy = daemon.activity.run();
    let mut reader = named.scope.agent.logs(&named.scope.wire, &named.session, query);
    let reading = async {
        while let Some(event) = next(&mut reader, &named).await? {
            let line = LogLine::new(&event);
            log.wait_for_room(&line).await;
            log.write(line);
        }
        Ok(())
    };
    let end = tokio::select! {
        end = AssertUnwindSafe(reading).catch_unwind() => {
            end.unwrap_or_else(|_| Err(CallError::internal("reading the log ended in a panic")))
        }
        () = log.deserted() => Ok(()),
    };
    daemon.shared_logs.leave(&key, &log);
    drop(busy);
    log.end(end);
}

/// Where events go: to the caller as they come, or into the response.
struct Sink<'a> {
    call: &'a Call,
    params: &'a MonitorParams,
    collected: Vec<MonitorEvent>,
}

impl Sink<'_> {
    async fn take(&mut self, event: &MonitorEvent) -> Result<(), CallError> {
        match &self.params.progress.partial_result_token {
            Some(token) => self.call.progress(token, event).await?,
            None => self.collected.push(event.clone()),
        }
        Ok(())
    }
}
