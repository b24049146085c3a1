//! How the daemon ends, once a signal or `daemon/stop` asks for it: first a drain, then force.
//!
//! *Draining*: no new connection, new requests are refused as `shuttingDown`, what is under way ends by itself.
//! *Forced*: whatever is left is cancelled, gets `CANCEL_GRACE` to answer, and is dropped.

use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long requests and runs may continue after a first signal. Long enough for most answers to finish; short of the 90 s after
/// which systemd kills.
pub const DRAIN_GRACE: Duration = Duration::from_secs(30);

/// The two steps of ending, as something to ask for and to wait for. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Shutdown {
    drain: CancellationToken,
    force: CancellationToken,
    /// Asked for by a signal: nothing is kept for somebody who may come.
    hurry: CancellationToken,
    /// Another daemon takes over what can be continued.
    hand_over: CancellationToken,
    /// When runs that are still active are ended.
    deadline: watch::Sender<Option<Instant>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Nothing asked for yet.
    pub fn new() -> Self {
        Self {
            drain: CancellationToken::new(),
            force: CancellationToken::new(),
            hurry: CancellationToken::new(),
            hand_over: CancellationToken::new(),
            deadline: watch::Sender::new(None),
        }
    }

    /// Asks for a drain.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Asks for a drain in which another daemon takes over what can be continued.
    pub fn hand_over(&self) {
        self.hand_over.cancel();
        self.drain();
    }

    /// Ends the runs that are still active at `deadline`. An earlier deadline stays.
    pub fn end_runs_at(&self, deadline: Instant) {
        self.deadline.send_modify(|known| *known = Some(known.map_or(deadline, |known| known.min(deadline))));
    }

    /// Returns when the deadline of the runs has passed.
    pub async fn overdue(&self) {
        let mut deadline = self.deadline.subscribe();
        loop {
            let known = *deadline.borrow_and_update();
            let passed = async {
                match known {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                // The sender is in `self`.
                _ = deadline.changed() => {}
            }
        }
    }

    /// Returns when what can be continued is left to the next daemon: nobody waits for its end here.
    pub async fn leaving(&self) {
        tokio::select! {
            () = self.hurry.cancelled() => {}
            () = self.hand_over.cancelled() => {}
        }
    }

    /// Asks to end at once.
    pub fn force(&self) {
        self.drain.cancel();
        self.force.cancel();
    }

    /// Has a signal asked for the end? Then the machine or its user wants the process to be gone.
    pub fn is_hurried(&self) -> bool {
        self.hurry.is_cancelled() || self.is_forced()
    }

    /// Has a drain (or more) been asked for?
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Is the end forced?
    pub fn is_forced(&self) -> bool {
        self.force.is_cancelled()
    }

    /// Returns when a drain (or more) is asked for.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Returns when the end is forced.
    pub async fn forced(&self) {
        self.force.cancelled().await;
    }

    /// A token that is cancelled when the end is forced: the root of every connection's requests.
    pub fn work(&self) -> CancellationToken {
        self.force.child_token()
    }
}

/// One request to end, from outside: the signal's name.
pub type StopSignal = &'static str;

/// Listens for the signals that ask a process to end.
pub fn signals() -> io::Result<mpsc::Receiver<StopSignal>> {
    // Two are all that make a difference; more are not worth a place.
    let (sender, receiver) = mpsc::channel(2);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for (name, kind) in [("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())] {
            let mut signal = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    let _ = sender.try_send(name);
                }
            });
        }
    }
    #[cfg(windows)]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            let _ = sender.try_send("Ctrl-C");
        }
    });
    Ok(receiver)
}

/// Drains at the first ask; forces at the second, or when [`DRAIN_GRACE`] is over. Never returns.
pub(crate) async fn obey(mut asked: mpsc::Receiver<StopSignal>, shutdown: &Shutdown) {
    if let Some(signal) = asked.recv().await {
        tracing::info!(signal, grace = ?DRAIN_GRACE, "finishing what is under way");
        shutdown.hurry.cancel();
        shutdown.drain();
        if let Ok(Some(signal)) = tokio::time::timeout(DRAIN_GRACE, asked.recv()).await {
            tracing::info!(signal, "a second time: stopping at once");
        }
        shutdown.force();
    }
    std::future::pending::<()>().await;
}
