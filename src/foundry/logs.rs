//! A session's log: one stream of the service, and what several of them in a row say (contract section 6).
//!
//! - here: opening a stream, its bytes as events
//! - [`frame`]: what an event says (pure)
//! - [`window`]: what has been passed on already (pure); a new stream begins with lines of the old one
//! - [`reader`]: streams in a row as one log, and when it ends

mod frame;
mod reader;
mod window;

pub use reader::{LogError, LogEvent, LogPart, LogReader};

use super::answer::HttpAnswer;
use super::connections::innermost;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::request::Request;
use super::send::limited;
use super::{Agent, sse};
use cupola_protocol::id::SessionId;
use cupola_protocol::monitor::{LogKind, Tail};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use http::Method;
use std::collections::VecDeque;
use std::time::Duration;
use url::Url;

/// A stream without a byte for this long is dead: the service says every 60 s that there was nothing to say, and may be
/// late once.
const SILENCE_LIMIT: Duration = Duration::from_secs(150);

/// Longest line, in bytes, with what the service adds to it. azd takes lines of 1 MB (contract section 6).
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Which log to read, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct LogQuery {
    /// Which log: the agent's console or system events.
    pub kind: LogKind,
    /// How many of the last lines to begin with.
    pub tail: Tail,
    /// Continue with new lines as they are written.
    pub follow: bool,
    /// Pass every event on as it is.
    pub raw: bool,
}

/// The events of one stream; an error is how it broke.
type Frames = BoxStream<'static, Result<sse::Event, String>>;

/// Where streams come from.
trait Source: Send + Sync {
    /// Opens one that begins with `tail` lines; `None` when the session is there but has no sandbox whose log could be
    /// read.
    fn open(&self, tail: Tail) -> BoxFuture<'_, Result<Option<Frames>, FoundryError>>;
}

/// A session of an agent.
struct SessionLog {
    agent: Agent,
    isolation: WireIsolation,
    session: SessionId,
    query: LogQuery,
}

impl Agent {
    /// Reads a session's log. Nothing is asked before the first event is.
    pub fn logs(&self, isolation: &WireIsolation, session: &SessionId, query: LogQuery) -> LogReader {
        let (agent, isolation, session) = (self.clone(), isolation.clone(), session.clone());
        LogReader::new(Box::new(SessionLog { agent, isolation, session, query }), query)
    }
}

impl Source for SessionLog {
    fn open(&self, tail: Tail) -> BoxFuture<'_, Result<Option<Frames>, FoundryError>> {
        Box::pin(async move {
            let verb = format!("{}:logstream", self.session);
            let refused = match self.ask(&["sessions", &verb], tail).await {
                Ok(answer) => return frames(answer).map(Some),
                Err(error) if error.status() == Some(404) => error,
                Err(error) => return Err(error),
            };
            // Not found is also said of a session without a sandbox, and by a service that knows only the other path.
            let Ok(session) = self.agent.get_session(&self.isolation, &self.session).await else {
                return Err(refused);
            };
            let Some(version) = session.version_indicator else { return Ok(None) };
            match self.ask(&["versions", &version.agent_version, "sessions", &verb], tail).await {
                Ok(answer) => frames(answer).map(Some),
                Err(error) if error.status() == Some(404) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }
}

impl SessionLog {
    async fn ask(&self, segments: &[&str], tail: Tail) -> Result<HttpAnswer, FoundryError> {
        let mut url = self.agent.address.agent(segments);
        add_query(&mut url, self.query, tail);
        let request = Request::new(Operation::ReadLog, Method::GET, url).isolated(&self.isolation);
        limited(Operation::ReadLog, self.agent.call_limit(), self.agent.send(&request)).await
    }
}

fn add_query(url: &mut Url, query: LogQuery, tail: Tail) {
    let kind = match query.kind {
        LogKind::Console => "console",
        LogKind::System => "system",
    };
    url.query_pairs_mut()
        .append_pair("kind", kind)
        .append_pair("tail", &tail.get().to_string())
        .append_pair("follow", if query.follow { "true" } else { "false" });
}

fn frames(answer: HttpAnswer) -> Result<Frames, FoundryError> {
    if !answer.is_events() {
        let reason = format!("{} instead of an event stream", answer.header("content-type").unwrap_or("no type"));
        return Err(FoundryError::UnexpectedAnswer { operation: Operation::ReadLog, reason });
    }
    let bytes = answer.response.bytes_stream().map(|bytes| bytes.map_err(|error| innermost(&error)));
    Ok(events(bytes.boxed()))
}

/// Bytes as events, until the stream ends, breaks or is silent for too long.
fn events(bytes: BoxStream<'static, Result<bytes::Bytes, String>>) -> Frames {
    let state = Some((bytes, sse::Parser::with_longest(MAX_LINE_BYTES), VecDeque::new()));
    stream::unfold(state, |state| async move {
        let (mut bytes, mut parser, mut ready) = state?;
        loop {
            if let Some(event) = ready.pop_front() {
                return Some((Ok(event), Some((bytes, parser, ready))));
            }
            let broken = match tokio::time::timeout(SILENCE_LIMIT, bytes.next()).await {
                Ok(Some(Ok(bytes))) => match parser.push(&bytes, &mut ready) {
                    Ok(()) => continue,
                    Err(unreadable) => unreadable.to_string(),
                },
                Ok(Some(Err(reason))) => reason,
                Ok(None) => return parser.finish().map(|event| (Ok(event), None)),
                Err(_) => format!("nothing came for {} s", SILENCE_LIMIT.as_secs()),
            };
            return Some((Err(broken), None));
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(pieces: Vec<Result<&'static str, &'static str>>) -> Vec<String> {
        let pieces = pieces.into_iter().map(|piece| piece.map(bytes::Bytes::from).map_err(str::to_owned));
        let shown =
            |event: Result<sse::Event, String>| event.map_or_else(|broken| format!("! {broken}"), |event| event.data);
        events(stream::iter(pieces).boxed()).map(shown).collect().await
    }

    #[tokio::test]
    async fn events_come_until_the_stream_ends_or_breaks() {
        assert_eq!(read(vec![Ok("data: 1\n\nda"), Ok("ta: 2\n\n: remark\n\n")]).await, ["1", "2"]);
        assert_eq!(read(vec![Ok("data: 1\n\ndata: last")]).await, ["1", "last"]);
        assert_eq!(read(vec![Ok("data: 1\n\ndata: cut"), Err("reset")]).await, ["1", "! reset"]);
        assert_eq!(read(vec![]).await, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_is_a_broken_one() {
        let first = stream::iter([Ok(bytes::Bytes::from("data: 1\n\n"))]);
        let mut events = events(first.chain(stream::pending()).boxed());
        assert_eq!(events.next().await.unwrap().unwrap().data, "1");
        assert_eq!(events.next().await.unwrap(), Err("nothing came for 150 s".to_owned()));
        assert!(events.next().await.is_none());
    }

    #[tokio::test]
    async fn an_endless_line_and_endless_comments_break_the_stream() {
        for (piece, reason) in [
            ("data: ", format!("an event is longer than {MAX_LINE_BYTES} bytes")),
            (": quiet\n\n", "1048576 bytes of comments or empty events came in a row".to_owned()),
        ] {
            let piece = bytes::Bytes::from(piece.repeat(1000));
            let endless = stream::repeat_with(move || Ok(piece.clone())).take(10_000);
            let last: Vec<_> = events(endless.boxed()).map(|event| event.unwrap_err()).collect().await;
            assert_eq!(last, [reason]);
        }
    }

    #[test]
    fn the_query_is_azds_own() {
        let mut url = Url::parse("https://h/sessions/s:logstream?api-version=v1").unwrap();
        let query = LogQuery { kind: LogKind::System, tail: Tail::default(), follow: true, raw: false };
        add_query(&mut url, query, Tail::MAX);
        assert_eq!(url.query(), Some("api-version=v1&kind=system&tail=300&follow=true"));
    }
}
