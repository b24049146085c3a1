//! What a greeting says of the daemon: its version, which may be another one than this program's, and whether it bound the
//! connection.

use crate::failure::Failure;
use crate::terminal;
use cupola_protocol::daemon::ProgramInfo;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// This program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The other version of a daemon that was met, and when the person hears of it.
static OTHER_VERSION: Mutex<OtherVersion> = Mutex::new(OtherVersion { waits: false, is_told: false, version: None });

struct OtherVersion {
    waits: bool,
    is_told: bool,
    version: Option<String>,
}

/// From now on the warning about another version waits for [`warn`]: an error is written as JSON, and must stand alone.
pub(crate) fn hold_warning() {
    OTHER_VERSION.lock().unwrap_or_else(PoisonError::into_inner).waits = true;
}

/// Prints the warning that was held, if there is one.
pub(crate) fn warn() {
    let mut other = OTHER_VERSION.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = other.version.take().filter(|_| !other.is_told) {
        other.is_told = true;
        let _ = writeln!(
            terminal::stderr(),
            "warning: the running daemon is version {}, but this program is {VERSION}; run `cupola stop` to update it",
            terminal::line(&version)
        );
    }
}

/// An older daemon keeps running after an update; say so once, because its behaviour is the older one's. On a pipe as well: a
/// script's log is where somebody will look.
pub(super) fn report_skew(greeted: &RawValue) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Greeted {
        server_info: ProgramInfo,
    }
    let Ok(greeted) = serde_json::from_str::<Greeted>(greeted.get()) else { return };
    let mut other = OTHER_VERSION.lock().unwrap_or_else(PoisonError::into_inner);
    other.version = greeted.server_info.version.filter(|version| version != VERSION);
    let waits = other.waits;
    drop(other);
    if !waits {
        warn();
    }
}

/// Does a greeting say that the connection is bound?
pub(super) fn is_bound(greeted: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Granted {
        #[serde(default)]
        bound: bool,
    }
    serde_json::from_str::<Granted>(greeted.get()).is_ok_and(|granted| granted.bound)
}

/// A daemon that does not know bindings ignores them, and would let the connection reach everything.
pub(crate) fn too_old_to_bind() -> Failure {
    Failure::daemon_hint(
        "the running daemon is too old to bind a connection; nothing was sent",
        "run `cupola stop`; the next command starts a daemon of this version",
    )
}
