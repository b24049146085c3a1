//! The way to the daemon: the one that runs, else one that is started; and a call that is offered until a daemon begins it.
//!
//! The daemon is greeted first, and the call is sent when it has answered: a daemon that hangs has never seen the call. A daemon that
//! stops before it has begun the call says so, or leaves it unread; the call is then sent to the daemon that comes after.

use super::call::{Ask, Connection, Unbegun};
use super::kept::Binding;
use super::patience::Patience;
use super::running::Place;
use super::start;
use super::stream::Stream;
use crate::failure::Failure;
use clap::Args;
use cupola_protocol::Method;
use cupola_protocol::daemon::{Bind, Stop, StopParams};
use serde_json::value::RawValue;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long to wait before the next daemon is looked for: one that stops takes its socket away at once.
const NEXT_DAEMON: Duration = Duration::from_millis(5);

/// How long the foreground runs of an older daemon may still take when a newer one takes over: as long as a run may take by default.
const HAND_OVER_LIMIT: Duration = Duration::from_mins(30);

/// The flags of every command that talks to the daemon.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Daemon")]
pub(crate) struct DaemonFlags {
    /// The daemon's socket [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Run the daemon inside this process for this call only, for containers and CI
    #[arg(long, conflicts_with = "socket")]
    pub no_daemon: bool,
    /// Use this gateway of the configuration file, by its name or URL, instead of the daemon
    #[arg(long, value_name = "NAME|URL", conflicts_with_all = ["socket", "no_daemon"])]
    pub gateway: Option<String>,
}

/// Runs a daemon inside this process for one call, or opens a line to the gateway that is named, and returns the client's end of its
/// connection.
pub(crate) type Embedded = fn(Option<&str>) -> io::Result<Stream>;

/// Runs each time that a call has been sent.
pub(crate) type OnSent = Rc<dyn Fn(&Stream)>;

impl DaemonFlags {
    /// Where the daemon is looked for.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        Place::new(self.socket.as_deref())
    }

    /// Is it this user's daemon that is used: not one inside this process, and no gateway?
    pub(crate) fn is_resident(&self) -> bool {
        !self.no_daemon && self.gateway.is_none()
    }

    /// A connection to a daemon, wherever it has to come from.
    pub(crate) fn connect(&self, embedded: Embedded, patience: &Patience) -> Result<Stream, Failure> {
        if let Some(gateway) = &self.gateway {
            return embedded(Some(gateway)).map_err(|error| Failure::daemon(error.to_string()));
        }
        if self.no_daemon {
            return embedded(None)
                .map_err(|error| Failure::daemon(format!("could not run a daemon in this process: {error}")));
        }
        Ok(self.find(patience)?.0)
    }

    /// A connection to the daemon that runs, else to one that is started; and where it listens.
    pub(crate) fn find(&self, patience: &Patience) -> Result<(Stream, PathBuf), Failure> {
        let place = self.place()?;
        loop {
            if let Some(found) = place.running(patience)? {
                return Ok(found);
            }
            match start::start(&place, patience)? {
                start::Started::Found(stream, path) => return Ok((stream, path)),
                // It was ready, and stopped before it was found.
                start::Started::Gone(failure) => {
                    if !patience.may_offer() {
                        return Err(failure);
                    }
                }
            }
        }
    }

    /// Where the daemon listens, once it has answered a greeting.
    pub(crate) fn answering(&self) -> Result<PathBuf, Failure> {
        let patience = Patience::for_first_word();
        let (_, path) = self.tried(&patience, || {
            let (stream, path) = self.find(&patience).map_err(Unbegun::Otherwise)?;
            let mut connection = Connection::new(stream);
            self.greet(&mut connection, None, &patience)?;
            Ok((connection, path))
        })?;
        Ok(path)
    }

    /// Greets the daemon. An older one is told to hand over, and has not begun anything then: the next one is of this version.
    fn greet(&self, connection: &mut Connection, bind: Option<&Bind>, patience: &Patience) -> Result<(), Unbegun> {
        let greeted = connection.greet(bind, patience)?;
        if !self.is_resident() || !greeted.is_to_be_replaced() {
            if self.gateway.is_none() {
                greeted.report_skew();
            }
            return Ok(());
        }
        let place = self.place().map_err(Unbegun::Otherwise)?;
        let Some((stream, _)) = place.running(patience).map_err(Unbegun::Otherwise)? else { return Err(handed_over()) };
        let deadline_ms = u64::try_from(HAND_OVER_LIMIT.as_millis()).ok();
        let params = StopParams { drain: true, deadline_ms, ..StopParams::default() };
        Connection::new(stream).call_at_once::<Stop>(params, patience)?;
        greeted.report_hand_over();
        Err(handed_over())
    }

    /// Has an older daemon hand over, if one runs.
    pub(crate) fn replace_older(&self, patience: &Patience) -> Result<(), Failure> {
        if !self.is_resident() {
            return Ok(());
        }
        self.tried(patience, || {
            let Some((stream, _)) =
                self.place().and_then(|place| place.running(patience)).map_err(Unbegun::Otherwise)?
            else {
                return Ok(());
            };
            self.greet(&mut Connection::new(stream), None, patience)
        })
    }

    /// A connection on which the daemon has answered a call that even a full daemon accepts, and the answer.
    pub(crate) fn after<M: Method>(
        &self,
        embedded: Embedded,
        params: impl Fn() -> M::Params,
    ) -> Result<(Connection, Box<RawValue>), Failure> {
        let patience = Patience::for_first_word();
        self.tried(&patience, || {
            let mut connection = Connection::new(self.connect(embedded, &patience).map_err(Unbegun::Otherwise)?);
            let answer = connection.call_at_once::<M>(params(), &patience)?;
            Ok((connection, answer))
        })
    }

    /// Tries it with one daemon after another while they stop before they have begun it.
    pub(crate) fn tried<Done>(
        &self,
        patience: &Patience,
        attempt: impl Fn() -> Result<Done, Unbegun>,
    ) -> Result<Done, Failure> {
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Unbegun::Stopping(_)) if self.is_resident() && patience.may_offer() => thread::sleep(NEXT_DAEMON),
                Err(unbegun) => return Err(unbegun.failure()),
            }
        }
    }

    /// Sends an encoded call to a daemon that answers. `on_sent` runs each time that it has been sent.
    pub(crate) fn ask(
        &self,
        embedded: Embedded,
        call: Vec<u8>,
        on_sent: impl Fn(&Stream) + 'static,
    ) -> Result<Connection, Failure> {
        self.ask_within(embedded, call, Patience::for_first_word(), on_sent)
    }

    /// As [`Self::ask`], to be sent later: what a call that has lost its daemon is continued with.
    pub(crate) fn asking(&self, embedded: Embedded, on_sent: fn(&Stream)) -> Ask {
        let daemon = self.clone();
        Box::new(move |call| daemon.ask(embedded, call, on_sent))
    }

    /// As [`Self::ask`], on a connection that is bound before the call is sent: one that was kept, or a new one.
    pub(super) fn ask_bound(&self, embedded: Embedded, binding: Binding, call: Vec<u8>) -> Result<Connection, Failure> {
        let (patience, stop) = (Patience::for_first_word(), Arc::clone(&binding.stop));
        let on_sent = Rc::new(move |stream: &Stream| stop.sent(stream));
        let binding = Some(binding);
        Offer { daemon: self.clone(), embedded, binding, call: call.into(), patience, on_sent }.make()
    }

    /// As [`Self::ask`], within limits.
    pub(crate) fn ask_within(
        &self,
        embedded: Embedded,
        call: Vec<u8>,
        patience: Patience,
        on_sent: impl Fn(&Stream) + 'static,
    ) -> Result<Connection, Failure> {
        let on_sent = Rc::new(on_sent);
        Offer { daemon: self.clone(), embedded, binding: None, call: call.into(), patience, on_sent }.make()
    }
}

/// The daemon that was found stops, and has begun nothing.
fn handed_over() -> Unbegun {
    Unbegun::Stopping(Failure::daemon("the older daemon hands over, and no newer one has answered yet"))
}

/// A call, and all that is needed to send it again.
struct Offer {
    daemon: DaemonFlags,
    embedded: Embedded,
    /// What the connection is bound to first.
    binding: Option<Binding>,
    call: Rc<[u8]>,
    patience: Patience,
    on_sent: OnSent,
}

impl Offer {
    /// Sends the call to a daemon that answers, or to the one that comes after it.
    fn make(self) -> Result<Connection, Failure> {
        let mut connection = match self.on_kept()? {
            Some(connection) => connection,
            None => self.on_new()?,
        };
        connection.awaits_beside(self.binding.as_ref().is_some_and(|binding| binding.has_beside));
        (self.on_sent)(connection.stream());
        if self.daemon.is_resident() {
            connection.again_by(Box::new(move || self.may_repeat().then(|| self.make())));
        }
        Ok(connection)
    }

    /// Sends it on a connection that was kept. None if there is none, or if its daemon ends it: the call was not begun then.
    fn on_kept(&self) -> Result<Option<Connection>, Failure> {
        let Some(Binding { bind, kept, .. }) = &self.binding else { return Ok(None) };
        while let Some(mut connection) = kept.take(bind) {
            match connection.offer_next(&self.call, &self.patience) {
                Ok(()) => return Ok(Some(connection)),
                Err(Unbegun::Stopping(_)) => {}
                Err(Unbegun::Otherwise(failure)) => return Err(failure),
            }
        }
        Ok(None)
    }

    fn on_new(&self) -> Result<Connection, Failure> {
        let bind = self.binding.as_ref().map(|binding| &binding.bind);
        self.daemon.tried(&self.patience, || {
            let stream = self.daemon.connect(self.embedded, &self.patience).map_err(Unbegun::Otherwise)?;
            let mut connection = Connection::new(stream);
            // A daemon inside this process is there, and a gateway has answered.
            if self.daemon.is_resident() || bind.is_some() {
                self.daemon.greet(&mut connection, bind, &self.patience)?;
            }
            connection.offer(&self.call, &self.patience)?;
            Ok(connection)
        })
    }

    /// May it be sent again? What was cancelled is not, and then the bytes that a daemon left unread may be the cancellation.
    fn may_repeat(&self) -> bool {
        self.patience.may_offer() && !self.binding.as_ref().is_some_and(|binding| binding.stop.is_wanted())
    }
}
