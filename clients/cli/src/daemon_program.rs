//! `cupola-daemon`, the program beside `cupola`: it has the daemon and everything else that a command only starts.
//!
//! Most of a warm call is the start of its process, and the start costs more the more code a program has (docs/benchmarks.md, row 5). So
//! `cupola` is the command line alone. Where a command needs the daemon's code, the other program takes its place and reads the same
//! command line.

use crate::{environment, exit};
use std::env::{self, consts::EXE_SUFFIX};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{self, Command};

/// The other program's name, without the ending that Windows needs.
const NAME: &str = "cupola-daemon";

/// The flags with which `cupola-daemon` runs the whole command. Otherwise this program would read standard input before it needs
/// `cupola-daemon`. A message that begins like one of them does no harm: `cupola-daemon` has every command.
const FLAGS: [&str; 3] = ["--no-daemon", "--gateway", "--record"];

/// Does `cupola-daemon` run the whole command?
pub(crate) fn is_asked(arguments: &[OsString]) -> bool {
    arguments.iter().any(|word| word.to_str().is_some_and(|word| FLAGS.iter().any(|flag| word.starts_with(flag))))
}

/// The program to start as the daemon: `cupola-daemon` beside this program. If there is none, it is this program: either this is the
/// whole program under another name, or it reports what is missing.
pub(crate) fn path() -> io::Result<PathBuf> {
    let (this, other) = programs()?;
    Ok(if other.is_file() { other } else { this })
}

/// Runs this process's command line in the other program, and ends with it. Without the other program the reason goes to `output`.
pub(crate) fn instead(mut output: impl Write) -> ! {
    let failed = match programs() {
        Ok((this, other)) => format!(
            "could not run {}, which belongs beside {}: {}; install both, or build both with `cargo build`",
            other.display(),
            this.display(),
            replaced_by(Command::new(&other).args(env::args_os().skip(1)))
        ),
        Err(error) => format!("cannot find this program's path: {error}"),
    };
    // Nothing is left to do if the reason cannot be shown.
    let _ = writeln!(output, "error: {failed}").and_then(|()| output.flush());
    process::exit(exit::DAEMON.into());
}

/// What is wrong when a command of version `wanted` starts this program, which has another one.
pub(crate) fn of_another_version(wanted: &str) -> String {
    let path = env::current_exe().unwrap_or_else(|_| NAME.into());
    format!(
        "{} is version {}, and the command that starts it is version {wanted}; install both of one version",
        path.display(),
        environment::version()
    )
}

/// This program and the other one. A link to this program is followed.
fn programs() -> io::Result<(PathBuf, PathBuf)> {
    let this = env::current_exe()?;
    let this = this.canonicalize().unwrap_or(this);
    let other = this.with_file_name(format!("{NAME}{EXE_SUFFIX}"));
    Ok((this, other))
}

/// Returns only if the command cannot be run.
#[cfg(unix)]
fn replaced_by(command: &mut Command) -> io::Error {
    use std::os::unix::process::CommandExt as _;
    // Its name in a list of processes is the one that was typed.
    let typed = env::args_os().next();
    command.arg0(typed.unwrap_or_else(|| NAME.into())).exec()
}

/// Returns only if the command cannot be run.
#[cfg(windows)]
fn replaced_by(command: &mut Command) -> io::Error {
    // Ctrl-C reaches both processes, and the other one decides what it means.
    let _ = ctrlc::set_handler(|| {});
    match command.status() {
        Ok(status) => process::exit(status.code().unwrap_or(exit::DAEMON.into())),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_one_of_these_flags_is_run_by_the_other_program() {
        let is_asked = |line: &str| is_asked(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in
            ["invoke --no-daemon hi", "invoke --gateway=prod hi", "chat --gateway prod", "invoke --record a.json hi"]
        {
            assert!(is_asked(line), "{line}");
        }
        for line in ["invoke hi", "status", "serve --background"] {
            assert!(!is_asked(line), "{line}");
        }
    }
}
