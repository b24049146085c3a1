//! Agents that are separate programs: one process per session (`exec:`), or one that already runs (`url:`).
//!
//! - [`exec`]: `exec:COMMAND`, what a session's process is told and when it counts as ready
//! - `process`: the process itself, which can not outlive the emulator
//! - `port`: a loopback port no two sessions share
//! - [`mod@url`]: an agent that is already running (`url:BASE`)
//! - `forward`: HTTP to either, streamed both ways and passed through unchanged

pub mod exec;
mod forward;
#[cfg(unix)]
mod port;
#[cfg(unix)]
mod process;
pub mod url;

pub use exec::Exec;
pub use url::Url;
