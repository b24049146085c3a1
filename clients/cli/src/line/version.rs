//! What a greeting says of the daemon: its version, which may be another one than this program's, whether another daemon may take over
//! from it, and whether it bound the connection.

use crate::environment::version;
use crate::failure::Failure;
use crate::terminal;
use cupola_protocol::daemon::ProgramInfo;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// What is to be said about the version of a daemon that was met, and when.
static REMARK: Mutex<Remark> = Mutex::new(Remark { waits: false, is_told: false, text: None });

struct Remark {
    waits: bool,
    is_told: bool,
    text: Option<String>,
}

/// From now on the remark about another version waits for [`warn`]: an error is written as JSON, and must stand alone.
pub(crate) fn hold_warning() {
    REMARK.lock().unwrap_or_else(PoisonError::into_inner).waits = true;
}

/// Prints the remark that was held, if there is one.
pub(crate) fn warn() {
    let mut remark = REMARK.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = remark.text.take().filter(|_| !remark.is_told) {
        remark.is_told = true;
        let _ = writeln!(terminal::stderr(), "{text}");
    }
}

fn remark(text: Option<String>) {
    let mut remark = REMARK.lock().unwrap_or_else(PoisonError::into_inner);
    remark.text = text;
    let waits = remark.waits;
    drop(remark);
    if !waits {
        warn();
    }
}

/// What a daemon says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Greeted {
    server_info: Option<ProgramInfo>,
    capabilities: Granted,
    bound: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Granted {
    hand_over: bool,
}

impl Greeted {
    /// Reads the answer to a greeting.
    pub(super) fn of(answer: &RawValue) -> Self {
        serde_json::from_str(answer.get()).unwrap_or_default()
    }

    /// Is the connection bound?
    pub(super) const fn is_bound(&self) -> bool {
        self.bound
    }

    fn version(&self) -> Option<&str> {
        self.server_info.as_ref()?.version.as_deref()
    }

    /// Is it an older daemon that this program's can take over from?
    pub(super) fn is_to_be_replaced(&self) -> bool {
        self.capabilities.hand_over && self.version().is_some_and(|daemon| is_older(daemon, version()))
    }

    /// Says that the daemon has another version than this program: its behaviour is the other one's. On a pipe as well: a script's log is
    /// where somebody will look.
    pub(super) fn report_skew(&self) {
        let other = self.version().filter(|other| *other != version()).map(terminal::line);
        remark(other.map(|other| {
            let own = version();
            format!("warning: the running daemon is version {other}, but this program is {own}; run `cupola stop` to update it")
        }));
    }

    /// Says that a newer daemon takes over.
    pub(super) fn report_hand_over(&self) {
        let (other, own) = (terminal::line(self.version().unwrap_or_default()), version());
        remark(Some(format!("notice: the daemon was version {other}; version {own} takes over")));
    }
}

/// Is the first version older? Only numbers are compared: of two builds with the same numbers neither is older.
fn is_older(daemon: &str, own: &str) -> bool {
    matches!((numbers(daemon), numbers(own)), (Some(daemon), Some(own)) if daemon < own)
}

/// `1.2.3`, whatever follows.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let numbers = version.split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    let found = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(found)
}

/// A daemon that does not know bindings ignores them, and would let the connection reach everything.
pub(crate) fn too_old_to_bind() -> Failure {
    Failure::daemon_hint(
        "the running daemon is too old to bind a connection; nothing was sent",
        "run `cupola stop`; the next command starts a daemon of this version",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        for (daemon, own, expected) in [
            ("0.1.0", "0.2.0", true),
            ("0.9.9", "0.10.0", true),
            ("1.0.0-beta.1", "1.0.1", true),
            ("0.2.0", "0.1.0", false),
            ("1.0.0-beta.1", "1.0.0", false),
            ("1.0.0", "1.0.0", false),
            ("unknown", "1.0.0", false),
            ("1.0", "2.0.0", false),
        ] {
            assert_eq!(is_older(daemon, own), expected, "{daemon} {own}");
        }
    }

    #[test]
    fn only_an_older_daemon_that_says_so_is_replaced() {
        let greeted = |version: &str, hand_over: &str| {
            let text =
                format!(r#"{{"serverInfo":{{"name":"cupola","version":"{version}"}},"capabilities":{{{hand_over}}}}}"#);
            Greeted::of(&RawValue::from_string(text).unwrap()).is_to_be_replaced()
        };
        assert!(greeted("0.0.1", r#""handOver":true"#));
        assert!(!greeted("0.0.1", ""), "it does not know how");
        assert!(!greeted("99.0.0", r#""handOver":true"#), "it is newer");
    }
}
