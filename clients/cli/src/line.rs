//! The line to the daemon: finds the daemon, starts it when none answers, and makes calls on the connection.
//!
//! - `connect`: finds a daemon, or starts one, and offers it a call; `running`, `start`: the two halves of that; `beside`: what
//!   `cupola serve` says when one runs already
//! - `call`: one call on a connection; `version`: what the greeting ahead of it says of the daemon; `patience`: how long it may take;
//!   `silent`: what is said of a daemon that does not answer; `continued`: how one that follows a run continues on the next daemon
//! - `bound`: calls on bound connections; `kept`: such connections between two calls
//! - `frame`: messages on standard input and output, for commands that pass them on
//! - `stream`: the socket or pipe; `ahead`: reads it while nobody takes anything
//! - `interrupt`: Ctrl-C; `stop`: the end of a call that another thread asks for

pub(crate) mod ahead;
pub(crate) mod beside;
pub(crate) mod bound;
pub(crate) mod call;
pub(crate) mod connect;
pub(crate) mod continued;
pub(crate) mod frame;
pub(crate) mod interrupt;
mod kept;
pub(crate) mod patience;
pub(crate) mod running;
pub(crate) mod silent;
mod start;
pub(crate) mod stop;
pub(crate) mod stream;
pub(crate) mod version;
