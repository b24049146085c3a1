//! The locks and counters of the parts that a schedule explorer looks at: [`crate::feed`], [`crate::lifetime`], the queues and leases of
//! [`crate::partition`]. `tests/schedules` compiles the same files with a `sync` of its own, whose locks and counters let other tasks go on
//! at each step. Those parts use nothing else of `std` or `dashmap` that tasks share.

pub use std::sync::atomic;
pub use std::sync::{Mutex, MutexGuard, PoisonError};
pub use tokio::sync::Notify;
