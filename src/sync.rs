//! The locks and counters of the parts that a schedule explorer looks at. Those are [`crate::feed`], [`crate::lifetime`], and the queues
//! and leases of [`crate::partition`]; they use nothing else of `std` that tasks share. `tests/schedules` compiles the same files with a
//! `sync` of its own, whose locks and counters let other tasks continue at each step.

pub use std::sync::atomic;
pub use std::sync::{Mutex, MutexGuard, PoisonError};
pub use tokio::sync::Notify;
