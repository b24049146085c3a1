//! A daemon that ends, because it was told to or because another one takes over: it leaves when all work has ended, and not before.

use super::explore;
use crate::lifetime::activity::Activity;
use crate::lifetime::shutdown::Shutdown;
use shuttle::future::{block_on, spawn};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Calls and runs are under way, and end while the daemon waits for them.
pub fn a_daemon_leaves_when_all_work_has_ended() {
    explore(|| {
        block_on(async {
            let (activity, shutdown) = (Activity::default(), Shutdown::new());
            let unanswered = Arc::new(AtomicU64::new(3));
            // Work that is admitted keeps the daemon from the moment that it is.
            let admitted = [activity.connection(), activity.request(), activity.run()];
            let working = admitted.map(|work| {
                let unanswered = Arc::clone(&unanswered);
                spawn(async move {
                    unanswered.fetch_sub(1, Ordering::SeqCst);
                    drop(work);
                })
            });
            let asking = spawn({
                let shutdown = shutdown.clone();
                async move { shutdown.hand_over() }
            });
            activity.settled_or(shutdown.draining()).await;
            shutdown.drain();
            activity.idle_for(Duration::ZERO).await;
            assert_eq!(unanswered.load(Ordering::SeqCst), 0, "it left before the work had ended");
            asking.await.expect("who asks");
            for working in working {
                working.await.expect("the work");
            }
        });
    });
}

/// Runs that survive end as soon as another daemon takes over; the others end by themselves. A run that makes another piece of work before it
/// ends keeps the daemon without a break.
pub fn a_run_that_survives_ends_when_another_daemon_takes_over() {
    explore(|| {
        block_on(async {
            let (activity, shutdown) = (Activity::default(), Shutdown::new());
            let left = Arc::new(AtomicU64::new(0));
            let surviving = [activity.run(), activity.run()].map(|run| {
                let (activity, shutdown, left) = (activity.clone(), shutdown.clone(), Arc::clone(&left));
                spawn(async move {
                    shutdown.leaving().await;
                    // Its followers are answered.
                    let answering = activity.request();
                    drop(run);
                    left.fetch_add(1, Ordering::SeqCst);
                    drop(answering);
                })
            });
            let asking = spawn({
                let shutdown = shutdown.clone();
                async move { shutdown.hand_over() }
            });
            shutdown.draining().await;
            activity.idle_for(Duration::ZERO).await;
            assert_eq!(left.load(Ordering::SeqCst), 2, "it left before its runs");
            asking.await.expect("who asks");
            for run in surviving {
                run.await.expect("a run");
            }
        });
    });
}
