//! Calls that wait for one session: one has it at a time, in the order in which they came, and nothing is left behind.

use super::explore;
use crate::partition::queues::Queues;
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

const KEY: &str = "session";

/// Calls join in one order, and take their turns in the same one; a call that gives up holds nobody up.
pub fn turns_come_one_at_a_time_in_the_order_of_arrival() {
    explore(|| {
        block_on(async {
            let queues = Queues::<&str>::default();
            let (order, holders) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
            let mut tasks = Vec::new();
            for number in 0..3 {
                let (mut queued, order, holders) = (queues.join(&KEY), Arc::clone(&order), Arc::clone(&holders));
                tasks.push(spawn(async move {
                    queued.wait().await;
                    let turn = queued.turn().expect("it waited for it");
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two have their turn");
                    order.lock().expect("no panic").push(number);
                    yield_now().await;
                    holders.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                }));
            }
            let impatient = queues.join(&KEY);
            tasks.push(spawn(async move { drop(impatient) }));
            for task in tasks {
                task.await.expect("a call");
            }
            assert_eq!(*order.lock().expect("no panic"), [0, 1, 2]);
            assert!(queues.is_empty(), "a queue is left behind");
        });
    });
}

/// Calls come and go while the queue empties: none joins a queue that is being removed, so no two have their turn.
pub fn a_queue_that_is_removed_is_joined_by_nobody() {
    explore(|| {
        block_on(async {
            let (queues, holders) = (Queues::<&str>::default(), Arc::new(AtomicU64::new(0)));
            let tasks = [(); 3].map(|()| {
                let (queues, holders) = (queues.clone(), Arc::clone(&holders));
                spawn(async move {
                    for _ in 0..2 {
                        let mut queued = queues.join(&KEY);
                        queued.wait().await;
                        let turn = queued.turn().expect("it waited for it");
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two have their turn");
                        yield_now().await;
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                })
            });
            for task in tasks {
                task.await.expect("a call");
            }
            assert!(queues.is_empty(), "a queue is left behind");
        });
    });
}

/// Who looks on hears of every change, and in the end that nobody is ahead.
pub fn who_looks_on_hears_that_the_queue_moves() {
    explore(|| {
        block_on(async {
            let queues = Queues::<&str>::default();
            let ahead = [queues.join(&KEY), queues.join(&KEY)];
            let last = queues.join(&KEY);
            let position = last.position();
            let looking = spawn(async move {
                let mut seen = position.ahead();
                while seen > 0 {
                    position.below(seen).await;
                    let now = position.ahead();
                    assert!(now < seen, "the queue grew at its front");
                    seen = now;
                }
            });
            let leaving = ahead.map(|queued| spawn(async move { drop(queued) }));
            for leaving in leaving {
                leaving.await.expect("a call");
            }
            looking.await.expect("who looks on");
            drop(last);
            assert!(queues.is_empty(), "a queue is left behind");
        });
    });
}
