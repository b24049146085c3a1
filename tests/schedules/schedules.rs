//! The parts of the daemon where tasks meet, under a schedule explorer: it lets the tasks of a model take their steps in many orders, and
//! finds those in which something is lost, told twice, or waited for in vain.
//!
//! The files are the daemon's own. They take their locks and counters from `crate::sync`, which here is the explorer's. The futures of
//! tokio are single steps, and a task that waits for one is woken as ever.
//!
//! - [`models`]: what the tasks do, and what must hold
//! - [`sync`]: locks and counters that let other tasks continue

/// The daemon's files.
#[expect(dead_code, unreachable_pub, reason = "each model uses a part of them")]
#[path = "../../src"]
mod daemon {
    pub(crate) mod feed;
    pub(crate) mod lifetime;
    pub(crate) mod partition {
        pub(crate) mod queues;
        pub(crate) mod redis {
            pub(crate) mod leases {
                pub(crate) mod table;
            }
        }
    }
}

pub mod models;
mod sync;

use daemon::{feed, lifetime, partition};
