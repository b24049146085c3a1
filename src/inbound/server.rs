//! Accepts clients, at most so many at once, until the daemon is to end; then waits for what is under way.

use super::connection;
use crate::daemon::Daemon;
use crate::inbound::listener::{Listener, Stream};
use crate::lifetime::shutdown::{self, StopSignal};
use crate::methods;
use crate::rpc::calls::CANCEL_GRACE;
use crate::rpc::table::Table;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Clients served at once; more wait in the socket's queue, and those that say nothing are closed for them. Half of the file
/// descriptors that systems grant by default, which leaves as many for the service's side.
pub const MAX_CONNECTIONS: usize = 512;
/// How long accepting rests after it failed, for example because no file descriptor was left.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often silent clients are asked to make room while all places are taken.
const CROWDED_POLL: Duration = Duration::from_millis(100);
/// How long the last answers may take to be written after the end was forced.
const FLUSH_GRACE: Duration = Duration::from_secs(1);

/// Serves clients until the daemon is asked to end (by `asked`, by `daemon/stop`) or has been idle for its limit.
///
/// `asked` carries one message per signal: the first drains, the second forces.
pub async fn run(mut listener: impl Listener, daemon: Arc<Daemon>, asked: mpsc::Receiver<StopSignal>) {
    let serving = async {
        accept_until_the_end(&mut listener, &daemon).await;
        listener.withdraw();
        // Those who came at the last moment are served to their end, unless the end was asked for.
        while let Some(Ok(stream)) = listener.accept().now_or_never() {
            daemon.tasks.spawn(connection::serve(Arc::clone(&daemon), methods::table(), stream));
        }
        drop(listener);
        daemon.activity.settled_or(daemon.shutdown.draining()).await;
        daemon.shutdown.drain();
        wait_for_the_rest(&daemon).await;
    };
    tokio::select! {
        () = serving => {}
        () = shutdown::obey(asked, &daemon.shutdown) => {}
        () = daemon.runs.forget_in_time() => {}
    }
}

async fn accept_until_the_end(listener: &mut impl Listener, daemon: &Arc<Daemon>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let idle = async {
        match daemon.config.idle_exit {
            Some(limit) => daemon.activity.idle_for(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(idle);
    loop {
        let accepted = async {
            let place = place(&places, daemon).await;
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = daemon.shutdown.draining() => return,
            (place, accepted) = accepted => match accepted {
                Ok(stream) => {
                    let daemon = Arc::clone(daemon);
                    daemon.clone().tasks.spawn(async move {
                        connection::serve(daemon, methods::table(), stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting failed; trying again");
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

/// A place for one more client, taken before it comes. While there is none, clients that have not said a word make room.
async fn place(places: &Arc<Semaphore>, daemon: &Daemon) -> Option<OwnedSemaphorePermit> {
    let free = Arc::clone(places).acquire_owned();
    tokio::pin!(free);
    loop {
        tokio::select! {
            biased;
            // The semaphore is never closed.
            place = &mut free => return place.ok(),
            () = tokio::time::sleep(CROWDED_POLL) => daemon.crowded.notify_waiters(),
        }
    }
}

/// Waits for every task and every run, and not much longer than [`CANCEL_GRACE`] once the end is forced.
async fn wait_for_the_rest(daemon: &Daemon) {
    daemon.tasks.close();
    let forced = async {
        daemon.shutdown.forced().await;
        tokio::time::sleep(CANCEL_GRACE + FLUSH_GRACE).await;
    };
    let ended = async {
        daemon.activity.idle_for(Duration::ZERO).await;
        daemon.tasks.wait().await;
    };
    tokio::select! {
        () = ended => tracing::info!("stopped"),
        () = forced => tracing::warn!(tasks = daemon.tasks.len(), runs = daemon.activity.runs(), "stopped with work left"),
    }
}

/// Serves one client that is already connected: `--no-daemon`, tests.
pub async fn serve_stream(daemon: Arc<Daemon>, table: &'static Table, stream: Stream) {
    let task = daemon.tasks.spawn(connection::serve(Arc::clone(&daemon), table, stream));
    // A panic in it has been logged by the panic hook; there is nothing else to tell.
    let _ = task.await;
}
