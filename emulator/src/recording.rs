//! Exchanges with agents, kept in a file and answered from it, so that an application's tests need neither agent nor model.
//!
//! - [`mod@format`]: the file, JSON Lines with a version; [`request`]: what makes two requests the same (pure)
//! - [`markers`]: ids, keys and identities in answers, replaced when they are kept and put back when they are given (pure)
//! - [`capture`]: one exchange as it is kept (pure)
//! - [`record`]: an agent whose exchanges are kept; [`replay`]: an agent that answers from a file

pub mod capture;
pub mod format;
mod markers;
pub mod record;
pub mod replay;
mod request;
