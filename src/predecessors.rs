//! Daemons that were replaced by this one and still finish their runs: each listens under a name of its own beside the socket.
//!
//! They answer `runs/*`, so a client of this daemon reaches their runs through it. On Windows nobody can find them.

use crate::error::CallError;
use cupola_cli::owner::{all_late, late};
use cupola_protocol::Method;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::rpc::{ErrorObject, MAX_MESSAGE_BYTES, PROGRESS};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

/// How long one may take to answer. Longer than it tells the service of a cancellation.
const PATIENCE: Duration = Duration::from_secs(5);

/// A daemon that was replaced.
#[derive(Debug, Clone)]
pub(crate) struct Predecessor(PathBuf);

/// A message that it sends: an event, or the answer to the one request.
#[derive(Deserialize)]
struct Message<'a> {
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<Progress<'a>>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Serialize)]
struct Request<'a, Params> {
    jsonrpc: &'static str,
    id: u8,
    method: &'static str,
    params: &'a Params,
}

/// Those of the daemon that listens on `socket`.
pub(crate) fn all(socket: &Path) -> Vec<Predecessor> {
    let own = late(socket, std::process::id());
    all_late(socket).into_iter().filter(|socket| *socket != own).map(Predecessor).collect()
}

impl Predecessor {
    /// Asks for something that has no events. `None`: it has ended, or does not answer.
    pub(crate) async fn ask<M: Method>(&self, params: &M::Params) -> Result<Option<M::Response>, CallError> {
        let asking = async {
            let Some(mut answers) = self.call::<M>(params).await? else { return Ok(None) };
            loop {
                match answers.next().await? {
                    Some(Answer::Event(_)) => {}
                    Some(Answer::Last(response)) => return Ok(Some(response)),
                    None => return Ok(None),
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Ok(None))
    }

    /// Makes a call. `None`: it has ended.
    pub(crate) async fn call<M: Method>(&self, params: &M::Params) -> Result<Option<Answers<M>>, CallError> {
        let request = serde_json::to_string(&Request { jsonrpc: "2.0", id: 1, method: M::NAME, params })
            .map_err(|_| CallError::internal("a call to the replaced daemon could not be written"))?;
        let Some(mut stream) = connect(&self.0).await else { return Ok(None) };
        if stream.write_all((request + "\n").as_bytes()).await.is_err() {
            return Ok(None);
        }
        Ok(Some(Answers { reader: BufReader::new(stream), method: PhantomData }))
    }
}

/// What comes of a call.
pub(crate) enum Answer<Response> {
    /// The value of a `$/progress`.
    Event(Box<RawValue>),
    /// The response.
    Last(Response),
}

/// The messages of one call.
pub(crate) struct Answers<M> {
    reader: BufReader<Stream>,
    method: PhantomData<fn() -> M>,
}

impl<M: Method> Answers<M> {
    /// The next one. `None`: the daemon ended before it had answered. The error is the daemon's.
    pub(crate) async fn next(&mut self) -> Result<Option<Answer<M::Response>>, CallError> {
        loop {
            let mut line = Vec::new();
            let mut limited = (&mut self.reader).take(MAX_MESSAGE_BYTES as u64 + 1);
            if !limited.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
                return Ok(None);
            }
            let Ok(message) = serde_json::from_slice::<Message<'_>>(&line) else { return Ok(None) };
            match message {
                Message { method: Some(PROGRESS), params: Some(Progress { value }), .. } => {
                    return Ok(Some(Answer::Event(value.to_owned())));
                }
                Message { method: Some(_), .. } => {}
                Message { error: Some(error), .. } => return Err(refused(error)),
                Message { result, .. } => {
                    let result = result.and_then(|result| serde_json::from_str(result.get()).ok());
                    return result.map(|result| Some(Answer::Last(result))).ok_or_else(|| {
                        CallError::new(ErrorKind::UnexpectedAnswer, "the replaced daemon's answer cannot be read")
                    });
                }
            }
        }
    }
}

fn refused(error: ErrorObject) -> CallError {
    match error.data {
        Some(data) => CallError { message: error.message, data: Box::new(data) },
        None => CallError::new(ErrorKind::InternalError, error.message),
    }
}

#[cfg(unix)]
type Stream = tokio::net::UnixStream;
#[cfg(not(unix))]
type Stream = tokio::io::DuplexStream;

/// The socket lies in a directory that only this user can enter.
#[cfg(unix)]
async fn connect(socket: &Path) -> Option<Stream> {
    Stream::connect(socket).await.ok()
}

#[cfg(not(unix))]
async fn connect(_socket: &Path) -> Option<Stream> {
    None
}
