//! Where the daemon listens: the one rule that the daemon and every client follow.
//!
//! Pure: callers hand in how a variable is looked up, so that each program reads its environment in one place.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The socket's file name: the protocol's major version.
#[cfg(unix)]
const FILE_NAME: &str = "v1.sock";

/// `flag` (`--socket`), else `CUPOLA_SOCKET`, else `$XDG_RUNTIME_DIR/cupola/v1.sock`, else `v1.sock` in the state
/// directory; on Windows the pipe `\\.\pipe\cupola-v1-SID` in place of these two. Absolute unless the working directory
/// is gone. `None` when not even a home directory is known.
pub fn path(flag: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = flag.map(Path::to_path_buf).or_else(|| non_empty(&variable, "CUPOLA_SOCKET").map(PathBuf::from));
    if let Some(path) = named {
        return Some(std::path::absolute(&path).unwrap_or(path));
    }
    usual(variable)
}

/// A pipe's name is one for the whole machine, so it carries the user's SID.
#[cfg(windows)]
fn usual(_variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(PathBuf::from(format!(r"\\.\pipe\cupola-v1-{}", crate::user::id().ok()?)))
}

#[cfg(unix)]
fn usual(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    runtime_directory(variable).map(|directory| directory.join(FILE_NAME))
}

/// Where things are that run now: `$XDG_RUNTIME_DIR/cupola`, else the state directory.
pub fn runtime_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let runtime = absolute_variable(&variable, "XDG_RUNTIME_DIR").filter(|_| cfg!(unix));
    runtime.map(|runtime| runtime.join("cupola")).or_else(|| state_directory(variable))
}

/// The user's state directory: `CUPOLA_STATE_DIR`, else `$XDG_STATE_HOME/cupola`, else the system's own place for it.
pub fn state_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(named) = non_empty(&variable, "CUPOLA_STATE_DIR").map(PathBuf::from) {
        return Some(std::path::absolute(&named).unwrap_or(named));
    }
    if let Some(state) = absolute_variable(&variable, "XDG_STATE_HOME") {
        return Some(state.join("cupola"));
    }
    let (home, place) = if cfg!(windows) { ("LOCALAPPDATA", "") } else { ("HOME", ".local/state") };
    absolute_variable(&variable, home).map(|home| home.join(place).join("cupola"))
}

/// The XDG rules say that a relative path in one of their variables is to be ignored.
fn absolute_variable(variable: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    non_empty(variable, name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn non_empty(variable: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<OsString> {
    variable(name).filter(|value| !value.is_empty())
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    fn found(flag: Option<&str>, set: &[(&str, &str)]) -> Option<PathBuf> {
        path(flag.map(Path::new), |name| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_first_place_that_is_named_wins() {
        let all = [
            ("CUPOLA_SOCKET", "/s/own.sock"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
            ("CUPOLA_STATE_DIR", "/own"),
            ("XDG_STATE_HOME", "/state"),
            ("HOME", "/home/ada"),
        ];
        for (flag, set, expected) in [
            (Some("/f.sock"), &all[..], "/f.sock"),
            (None, &all[..], "/s/own.sock"),
            (None, &all[1..], "/run/user/7/cupola/v1.sock"),
            (None, &all[2..], "/own/v1.sock"),
            (None, &all[3..], "/state/cupola/v1.sock"),
            (None, &all[4..], "/home/ada/.local/state/cupola/v1.sock"),
            (None, &[("XDG_RUNTIME_DIR", "not/absolute"), ("HOME", "/h")][..], "/h/.local/state/cupola/v1.sock"),
            (None, &[("CUPOLA_SOCKET", ""), ("HOME", "/h")][..], "/h/.local/state/cupola/v1.sock"),
        ] {
            assert_eq!(found(flag, set).as_deref(), Some(Path::new(expected)));
        }
        assert_eq!(found(None, &[]), None);
    }

    #[test]
    fn a_relative_path_means_the_same_to_a_daemon_started_elsewhere() {
        assert!(found(Some("here.sock"), &[]).unwrap().is_absolute());
    }
}
