//! The explorer's locks and counters, in place of `src/sync.rs`. Other tasks may continue before each of them is taken, and after it is given
//! back: what follows then is often a future of tokio, which itself is not such a point.

use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError as Poisoned};
use tokio::sync::futures::Notified;

pub(crate) use shuttle::sync::atomic;
pub(crate) use std::sync::PoisonError;

/// Lets other tasks continue.
fn point() {
    // While a task unwinds, there is nothing to explore any more.
    if !std::thread::panicking() {
        let _ = atomic::AtomicBool::new(false).load(atomic::Ordering::SeqCst);
    }
}

/// As `std`'s.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

/// As `std`'s.
pub(crate) struct MutexGuard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(content: T) -> Self {
        Self(shuttle::sync::Mutex::new(content))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        match self.0.lock() {
            Ok(guard) => Ok(MutexGuard(Some(guard))),
            Err(poisoned) => Err(Poisoned::new(MutexGuard(Some(poisoned.into_inner())))),
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.0.take());
        point();
    }
}

/// tokio's.
#[derive(Debug, Default)]
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        point();
        self.0.notified()
    }

    pub(crate) fn notify_one(&self) {
        point();
        self.0.notify_one();
    }

    pub(crate) fn notify_waiters(&self) {
        point();
        self.0.notify_waiters();
    }
}
