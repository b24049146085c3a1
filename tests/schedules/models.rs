//! Models: tasks that use one part of the daemon, and what must hold in every order of their steps.
//!
//! - [`feed`]: a stream and its readers
//! - [`queues`]: calls that wait for one session
//! - [`leases`]: leases that are renewed and given back
//! - [`hand_over`]: a daemon that ends while work is under way

pub mod feed;
pub mod hand_over;
pub mod leases;
pub mod queues;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Orders that are tried of each model by each way of choosing them: together about half a minute of a debug build.
const ORDERS: usize = 1000;

/// How often the tasks that go first change in one order: most faults need two or three such changes.
const CHANGES: usize = 3;

/// Tries a model in many orders: chosen at random, and with few changes of the task that goes first. Panics with the order in which
/// something is wrong, which `shuttle::replay` repeats.
fn explore(model: impl Fn() + Send + Sync + Clone + 'static) {
    fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
        // Time limits are part of some futures. The clock stands still.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime that only has a clock");
        let _clock = runtime.enter();
        Runner::new(scheduler, Config::new()).run(model);
    }
    run(RandomScheduler::new(ORDERS), model.clone());
    run(PctScheduler::new(CHANGES, ORDERS), model);
}
