//! Accepts clients until the daemon ends, because it was asked to or was idle for its limit; then waits for what is under way.
//!
//! - [`descriptors`]: the limit of open files, which bounds what `limits/places` holds

pub mod descriptors;

use super::connection;
use crate::daemon::Daemon;
use crate::inbound::listener::{Listener, Stream};
use crate::lifetime::shutdown::{self, StopSignal};
use crate::limits::places::{Newcomer, Place, Places};
use crate::methods;
use crate::rpc::calls::CANCEL_GRACE;
use crate::rpc::table::Table;
use futures_util::FutureExt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long accepting rests after it failed, for example because no file descriptor was left.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often a daemon that only keeps the answers of detached runs looks whether somebody has had them.
const UNREAD_POLL: Duration = Duration::from_millis(100);
/// How long the last answers may take to be written after the end was forced.
const FLUSH_GRACE: Duration = Duration::from_secs(1);

/// Serves clients until the daemon is asked to end (by `asked`, by `daemon/stop`) or has been idle for its limit.
///
/// `asked` carries one message per signal: the first drains, the second forces.
pub async fn run(mut listener: impl Listener, daemon: Arc<Daemon>, asked: mpsc::Receiver<StopSignal>) {
    let serving = async {
        let places = Places::new(descriptors::limit());
        accept_until_the_end(&mut listener, &daemon, &places).await;
        listener.withdraw();
        // Those who came at the last moment are served to their end, unless the end was asked for.
        while let Some(Ok(Some(stream))) = listener.accept().now_or_never() {
            serve(&daemon, places.last(), stream);
        }
        let ending = async {
            daemon.activity.settled_or(daemon.shutdown.draining()).await;
            daemon.shutdown.drain();
            wait_for_the_rest(&daemon).await;
        };
        tokio::select! {
            () = ending => {}
            () = serve_late(&mut listener, &daemon, &places) => {}
        }
    };
    tokio::select! {
        () = serving => {}
        () = shutdown::obey(asked, &daemon.shutdown) => {}
        () = daemon.runs.forget_in_time() => {}
        () = daemon.journal.take_out_in_time() => {}
    }
}

async fn accept_until_the_end(listener: &mut impl Listener, daemon: &Arc<Daemon>, places: &Places) {
    let idle = async {
        match daemon.config.idle_exit {
            Some(limit) => daemon.activity.idle_for(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(idle);
    let mut failures = Failures::default();
    loop {
        let accepted = async {
            let newcomer = places.newcomer().await;
            (newcomer, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = daemon.shutdown.draining() => return,
            (newcomer, accepted) = accepted => match accepted {
                Ok(Some(stream)) => {
                    failures.over();
                    serve(daemon, newcomer, stream);
                }
                // Its clients find the other daemon when they connect again.
                Ok(None) => {
                    daemon.shutdown.drain();
                    return;
                }
                Err(error) => {
                    failures.add(&error);
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
            () = &mut idle => {
                tracing::info!(limit = ?daemon.config.idle_exit, "idle, leaving");
                return;
            }
        }
    }
}

/// Serves those who come for the runs of a daemon that only finishes them. Never returns.
async fn serve_late(listener: &mut impl Listener, daemon: &Arc<Daemon>, places: &Places) {
    loop {
        match listener.late().await {
            // Without a place left the client is closed, and comes again.
            Ok(stream) => {
                if let Some(place) = places.late() {
                    let serving = connection::serve(Arc::clone(daemon), methods::table(), stream, async { place });
                    daemon.tasks.spawn(serving);
                }
            }
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
    }
}

/// Serves one client in its own task.
fn serve(daemon: &Arc<Daemon>, newcomer: Newcomer, stream: Stream) {
    let settling = {
        let daemon = Arc::clone(daemon);
        async move { newcomer.settle(&daemon.crowded).await }
    };
    daemon.tasks.spawn(connection::serve(Arc::clone(daemon), methods::table(), stream, settling));
}

/// Failures to accept, in a row. The first is logged and the others are counted: while no descriptor is left there are
/// ten a second.
#[derive(Debug, Default)]
struct Failures(u64);

impl Failures {
    fn add(&mut self, error: &io::Error) {
        if self.0 == 0 {
            tracing::warn!(%error, "accepting a client failed; trying again every {ACCEPT_REST:?}");
        }
        self.0 += 1;
    }

    fn over(&mut self) {
        let failures = std::mem::take(&mut self.0);
        if failures > 0 {
            tracing::info!(failures, "clients are accepted again");
        }
    }
}

/// Waits for every task and every run, and not much longer than [`CANCEL_GRACE`] once the end is forced.
pub(crate) async fn wait_for_the_rest(daemon: &Daemon) {
    daemon.tasks.close();
    let forced = async {
        daemon.shutdown.forced().await;
        tokio::time::sleep(CANCEL_GRACE + FLUSH_GRACE).await;
    };
    let ended = async {
        daemon.activity.idle_for(Duration::ZERO).await;
        // The next daemon may have the emulator now.
        daemon.targets.emulator.release().await;
        while daemon.runs.has_unread() && !daemon.shutdown.is_hurried() {
            tokio::time::sleep(UNREAD_POLL).await;
        }
        daemon.activity.idle_for(Duration::ZERO).await;
        daemon.tasks.wait().await;
        daemon.telemetry.finish().await;
        daemon.journal.close().await;
    };
    tokio::select! {
        () = ended => tracing::info!("stopped"),
        () = forced => tracing::warn!(tasks = daemon.tasks.len(), runs = daemon.activity.runs(), "stopped with work left"),
    }
}

/// Serves one client that is already connected: `--no-daemon`, tests.
pub async fn serve_stream(daemon: Arc<Daemon>, table: &'static Table, stream: Stream) {
    let task = daemon.tasks.spawn(connection::serve(Arc::clone(&daemon), table, stream, async { Place::uncounted() }));
    // A panic in it has been logged by the panic hook; there is nothing else to tell.
    let _ = task.await;
}
