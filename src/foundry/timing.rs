//! How long calls and connections may take, and how long and how many connections are kept.

use std::time::Duration;

/// How long a call other than a turn may take, all its attempts together. Creating a session waits for a sandbox.
pub const CALL_LIMIT: Duration = Duration::from_mins(2);

/// How long a connection may take. Longer than three lost SYN packets.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept. Azure's front ends drop idle ones after four minutes.
pub(super) const IDLE_CONNECTION: Duration = Duration::from_secs(210);

/// Unused connections that are kept per host, about 30 KiB each: enough for what a team's callers do at once. After two hundred
/// streams the others are closed, because each holds buffers here and at the other end.
pub(super) const IDLE_CONNECTIONS: usize = 32;

/// How often an unused connection is probed.
pub(super) const TCP_KEEPALIVE: Duration = Duration::from_mins(1);
