//! A loopback port for one session's process.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// Below the ports that systems hand out themselves: no connection that leaves this machine takes one of these before the
/// agent listens on it, which may be seconds later.
const PORTS: Range<u16> = 10_000..30_000;

/// Ports given out by this process. Between choosing a free port and the agent listening on it the port is free for
/// anyone: without this list two sessions could be given the same one, and the second would find "ready" the agent of
/// the first, that is, another user's.
static LEASED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Tries before giving up; few of the ports are in use, so more than one is already rare.
const ATTEMPTS: usize = 100;

/// A port that no other session of this process is given until this value is dropped.
#[derive(Debug)]
pub(crate) struct PortLease(u16);

impl PortLease {
    /// Takes a free port on 127.0.0.1.
    pub(crate) fn take() -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let port = any();
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && leased().insert(port) {
                return Ok(Self(port));
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port on 127.0.0.1"))
    }

    /// The port.
    pub(crate) fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        leased().remove(&self.0);
    }
}

/// Any of them: another emulator on this machine looks for ports as well.
fn any() -> u16 {
    let [low, high, ..] = *Uuid::new_v4().as_bytes();
    PORTS.start + u16::from_le_bytes([low, high]) % (PORTS.end - PORTS.start)
}

fn leased() -> std::sync::MutexGuard<'static, BTreeSet<u16>> {
    LEASED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_leases_share_a_port() {
        let leases: Vec<_> = (0..200).map(|_| PortLease::take().unwrap()).collect();
        let different: BTreeSet<_> = leases.iter().map(PortLease::number).collect();
        assert_eq!(different.len(), leases.len());
    }
}
