//! What is said of a daemon that is there and does not answer. Every command says the same.

use super::stream::{self, Stream};
use crate::failure::Failure;
use std::time::Duration;

/// What the system tells about the process that should answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Process {
    Unknown,
    /// A daemon that hangs, or is busy with something else.
    Daemon(i32),
    /// A daemon that was stopped by a signal, as Ctrl-Z or a debugger does.
    Suspended(i32),
    /// Another program that listens on the daemon's socket.
    Foreign(i32, String),
}

/// The daemon at the other end of `stream` said nothing for `waited`.
pub(crate) fn silent(stream: &Stream, waited: Duration) -> Failure {
    silent_process(stream::peer_process(stream), waited)
}

/// As [`silent`], of the process with this id, where it is known.
pub(crate) fn silent_process(id: Option<i32>, waited: Duration) -> Failure {
    words(&process(id), waited)
}

fn words(process: &Process, waited: Duration) -> Failure {
    let within = format!("within {} s", waited.as_secs().max(1));
    let next = "the next command starts a new one, and saved state is kept";
    match process {
        Process::Unknown => Failure::daemon_hint(
            format!("the daemon has not answered {within}"),
            format!("if this persists, end its process (`cupola serve`); {next}"),
        ),
        Process::Daemon(id) => Failure::daemon_hint(
            format!("the daemon (process {id}) has not answered {within}"),
            format!("if this persists, end it with `kill -9 {id}`; {next}"),
        ),
        Process::Suspended(id) => Failure::daemon_hint(
            format!("the daemon (process {id}) is suspended and has not answered {within}"),
            format!("resume it with `kill -CONT {id}`, or end it with `kill -9 {id}`; {next}"),
        ),
        Process::Foreign(id, name) => Failure::daemon_hint(
            format!(
                "process {id} ({name}) listens on the daemon's socket and has not answered {within}; it is not Cupola"
            ),
            format!(
                "end it with `kill {id}`, or set CUPOLA_SOCKET to another path in a directory that only you can write"
            ),
        ),
    }
}

fn process(id: Option<i32>) -> Process {
    let Some(id) = id else { return Process::Unknown };
    if let Some(name) = program(id).filter(|name| !is_ours(name)) {
        return Process::Foreign(id, name);
    }
    if is_suspended(id) { Process::Suspended(id) } else { Process::Daemon(id) }
}

/// Is it Cupola by its name, or by the name that this program has?
fn is_ours(name: &str) -> bool {
    let own = std::env::current_exe().ok();
    let own = own.as_deref().and_then(|path| path.file_name()).is_some_and(|own| own == name);
    own || name.starts_with("cupola")
}

/// The file name of the program that a process runs, where the system tells.
#[cfg(target_os = "linux")]
fn program(id: i32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{id}/exe")).ok()?;
    let name = path.file_name()?.to_string_lossy();
    // An update puts another file in its place.
    Some(name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned())
}

#[cfg(not(target_os = "linux"))]
fn program(_id: i32) -> Option<String> {
    None
}

/// Was it stopped by a signal, where the system tells?
#[cfg(target_os = "linux")]
fn is_suspended(id: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The state follows the program's name, which is in parentheses and may hold some itself.
    let state = status.rsplit_once(')').and_then(|(_, after)| after.trim_start().chars().next());
    matches!(state, Some('T' | 't'))
}

#[cfg(not(target_os = "linux"))]
fn is_suspended(_id: i32) -> bool {
    false
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_suspended_process_and_another_program_are_told_from_a_daemon_that_hangs() {
        let me = std::process::id().cast_signed();
        assert_eq!(process(Some(me)), Process::Daemon(me), "it has this program's own name");
        assert_eq!(process(None), Process::Unknown);
        let mut other = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        let id = other.id().cast_signed();
        let found = process(Some(id));
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(matches!(found, Process::Foreign(found, _) if found == id), "{found:?}");
    }

    #[test]
    fn each_advice_names_the_process_and_says_what_helps() {
        let waited = Duration::from_secs(15);
        for (process, message, hint) in [
            (Process::Daemon(7), "the daemon (process 7) has not answered within 15 s", "`kill -9 7`"),
            (Process::Suspended(7), "is suspended", "`kill -CONT 7`"),
            (Process::Foreign(7, "nc".to_owned()), "process 7 (nc) listens", "`kill 7`"),
        ] {
            let Failure::Daemon { message: said, hint: advice } = words(&process, waited) else {
                panic!("{process:?}")
            };
            assert!(said.contains(message) && advice.unwrap().contains(hint), "{said}");
        }
    }
}
