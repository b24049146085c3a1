//! A loopback port for one session's process.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Ports given out by this process. Between choosing a free port and the agent listening on it the port is free for
/// anyone: without this list two sessions could be given the same one, and the second would find "ready" the agent of
/// the first, that is, another user's.
static LEASED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Tries before giving up; each finds a port the system calls free, so more than one is already rare.
const ATTEMPTS: usize = 100;

/// A port that no other session of this process is given until this value is dropped.
#[derive(Debug)]
pub(crate) struct PortLease(u16);

impl PortLease {
    /// Takes a free port on 127.0.0.1.
    pub(crate) fn take() -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if leased().insert(port) {
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
