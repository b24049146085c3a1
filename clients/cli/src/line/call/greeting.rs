//! What shows that the daemon which gets a call works: its answer to a greeting. A new connection begins with the greeting. On one that
//! was kept, the call goes first, and a daemon that says nothing about it is greeted then.

use super::message::{Message, error_object};
use super::{Connection, Unbegun, append, fill, garbage};
use crate::failure::Failure;
use crate::line::patience::Patience;
use crate::line::stream;
use crate::line::version::{self, Greeted};
use cupola_protocol::daemon::{Bind, Initialize, InitializeParams, ProgramInfo};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::rpc::{Id, Request};
use cupola_protocol::{Method, PROTOCOL_VERSION};
use serde_json::value::RawValue;
use std::io;
use std::time::Duration;

/// The id of the greeting ahead of the call.
const GREETING: Id = Id::Number(0);
/// How long a daemon may be silent about a call on a connection that was kept before it is greeted again. Most calls are answered, or
/// have their first event, sooner.
const SOON: Duration = Duration::from_secs(1);

/// What shows that the daemon which gets a call works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// It has spoken.
    Word,
    /// Nothing yet: the call is sent on a connection that was kept.
    Awaited,
    /// It was greeted after such a call. So it may have read the call, and left the greeting unread.
    GreetedAgain,
}

impl Connection {
    /// Greets the daemon and waits for its first word, for a limited time. With `bind`, has the connection bound.
    pub(crate) fn greet(&mut self, bind: Option<&Bind>, patience: &Patience) -> Result<Greeted, Unbegun> {
        let program =
            ProgramInfo { name: "cupola-cli".to_owned(), version: Some(crate::environment::version().to_owned()) };
        let protocol_versions = Some(vec![PROTOCOL_VERSION]);
        let params = InitializeParams { client_info: Some(program), protocol_versions, bind: bind.cloned() };
        let mut bytes = Vec::new();
        append(&mut bytes, &Request::call(GREETING, Initialize::NAME, params)).map_err(Unbegun::Otherwise)?;
        self.offer(&bytes, patience)?;
        self.first_word(patience)?;
        loop {
            self.read_line(Some(patience.first_word())).map_err(|error| self.unbegun(&error, patience))?;
            let message: Message<'_> =
                serde_json::from_slice(&self.line).map_err(|error| Unbegun::Otherwise(garbage(&error)))?;
            if message.method.is_some() || !matches!(message.id, None | Some(GREETING)) {
                continue;
            }
            if let Some(error) = message.error.map(error_object) {
                return match error.data.as_ref().map(|data| data.kind) {
                    Some(ErrorKind::ShuttingDown) => Err(Unbegun::Stopping(Failure::Call(Box::new(error)))),
                    Some(ErrorKind::Overloaded) => Err(Unbegun::Otherwise(Failure::Call(Box::new(error)))),
                    _ if bind.is_some() => Err(Unbegun::Otherwise(Failure::Call(Box::new(error)))),
                    // It has spoken. What it makes of the call, it will say.
                    _ => Ok(Greeted::default()),
                };
            }
            let greeted = Greeted::of(message.result.unwrap_or(RawValue::NULL));
            if bind.is_some() && !greeted.is_bound() {
                return Err(Unbegun::Otherwise(version::too_old_to_bind()));
            }
            return Ok(greeted);
        }
    }

    /// Waits until the daemon has said anything, or has gone.
    pub(super) fn first_word(&mut self, patience: &Patience) -> Result<(), Unbegun> {
        match fill(&mut self.reader) {
            Ok([]) => Err(self.unbegun(&io::Error::from(io::ErrorKind::UnexpectedEof), patience)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.unbegun(&error, patience)),
        }
    }

    /// Waits until the daemon has said anything about a call on a connection that was kept. One that says nothing for a while is greeted
    /// again: it answers that at once, however long the call takes, or it hangs.
    pub(super) fn proven(&mut self) -> io::Result<()> {
        if self.proof != Proof::Awaited {
            return Ok(());
        }
        self.proof = Proof::Word;
        self.reader.get_mut().limit(Some(SOON))?;
        match fill(&mut self.reader) {
            Err(error) if stream::is_over(&error) => {}
            other => return other.map(drop),
        }
        let mut greeting = Vec::new();
        if append(&mut greeting, &Request::call(GREETING, Initialize::NAME, InitializeParams::default())).is_ok() {
            self.proof = Proof::GreetedAgain;
            // Why it could not be sent, the next read says.
            let _ = self.send(&greeting);
        }
        self.reader.get_mut().limit(Some(self.patience.first_word()))?;
        fill(&mut self.reader).map(drop)
    }
}
