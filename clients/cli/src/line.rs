//! The line to the daemon: finds the daemon, starts it when none answers, and makes calls on the connection.

pub(crate) mod ahead;
pub(crate) mod beside;
pub(crate) mod call;
pub(crate) mod connect;
pub(crate) mod interrupt;
pub(crate) mod patience;
pub(crate) mod running;
pub(crate) mod silent;
mod start;
pub(crate) mod stream;
