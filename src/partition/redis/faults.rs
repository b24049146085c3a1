//! What an error of the store, or of the line to it, means.

use crate::partition::store::SharedFault;
use crate::system::tls::{CertificateFault, is_handshake_failure};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What happened.
pub(super) fn fault(error: &RedisError) -> SharedFault {
    let said = || error.to_string();
    // The same names in Valkey and Redis, at the start of an error.
    match error.code() {
        Some("FENCED") => return SharedFault::LeaseLost,
        Some("OOM") => return SharedFault::Full,
        Some("MISCONF") => return SharedFault::Disk(said()),
        Some("NOREPLICAS") => return SharedFault::NotDurable("too few replicas are connected".to_owned()),
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return SharedFault::Refused(said()),
        // WAITAOF, on a server without an append-only file.
        Some("ERR") if said().contains("WAITAOF") => return SharedFault::NotDurable(said()),
        Some("MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN") => return SharedFault::Unreachable(said()),
        _ => {}
    }
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly) => SharedFault::ReadOnly,
        ErrorKind::Server(ServerErrorKind::BusyLoading) => SharedFault::Loading,
        ErrorKind::AuthenticationFailed => SharedFault::Refused(said()),
        ErrorKind::InvalidClientConfig => SharedFault::Settings(said()),
        _ => match CertificateFault::of(error) {
            Some(certificate) => SharedFault::NotTrusted(certificate.to_string()),
            // The library hides the cause that TLS gave, and shows its words.
            None if is_handshake_failure(error) || said().contains("certificate") => SharedFault::NotTrusted(said()),
            None if error.is_timeout() => SharedFault::Unreachable("it does not answer".to_owned()),
            None if error.is_io_error() || error.is_connection_dropped() => SharedFault::Unreachable(said()),
            None => SharedFault::Other(said()),
        },
    }
}
