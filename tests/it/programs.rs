//! Two programs: `cupola`, the command line, and `cupola-daemon` beside it.

use crate::support::{Home, finish, older_program};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const COMMAND: &str = env!("CARGO_BIN_EXE_cupola");

/// A copy of the command, with nothing beside it.
fn alone(home: &Home) -> PathBuf {
    let directory = home.path("alone");
    fs::create_dir(&directory).unwrap();
    let command = directory.join("cupola");
    fs::copy(COMMAND, &command).unwrap();
    command
}

/// Runs the program at `path` as the user of this home.
fn run(home: &Home, path: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("run"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command)
}

#[test]
fn a_command_line_alone_says_which_program_is_missing_and_where() {
    let home = Home::new();
    let command = alone(&home);
    let missing = command.canonicalize().unwrap().with_file_name("cupola-daemon");
    for line in
        ["invoke --emulator hi", "invoke --no-daemon --emulator hi", "mcp --emulator", "conformance --emulator --yes"]
    {
        let output = run(&home, &command, &line.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(6), "{line}: {said}");
        assert!(said.contains(&format!("could not run {}", missing.display())), "{line}: {said}");
    }
    // A starter, such as an editor, reads the reason where it would read `ready`.
    let report = String::from_utf8(run(&home, &command, &["serve"]).stdout).unwrap();
    assert!(report.starts_with("error: could not run") && report.contains("cargo build"), "{report}");
    assert!(run(&home, &command, &["--version"]).status.success(), "what it has itself, it does");
}

/// The start of a program costs more the more code it has.
#[test]
fn the_command_line_has_none_of_the_daemons_packages() {
    let has = |program: &[u8], package: &str| {
        // Where a package may panic, the program has the path of its source.
        let path = format!("/{package}-");
        program.windows(path.len()).any(|bytes| bytes == path.as_bytes())
    };
    let command = fs::read(COMMAND).unwrap();
    let daemon = fs::read(env!("CARGO_BIN_EXE_cupola-daemon")).unwrap();
    for package in ["azure_identity", "h2", "hyper", "redis", "reqwest", "rmcp", "rusqlite", "tokio"] {
        assert!(has(&daemon, package), "the test would not see {package}");
        assert!(!has(&command, package), "{package}");
    }
    assert!(has(&command, "clap_builder"));
}

#[test]
fn a_daemons_program_of_another_version_is_named_and_does_not_serve() {
    let home = Home::new();
    let command = alone(&home);
    fs::copy(older_program(), command.with_file_name("cupola-daemon")).unwrap();
    let output = run(&home, &command, &["invoke", "--emulator", "hello"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("cupola-daemon is version 0.0.1, and the command that starts it is version"), "{said}");
    assert!(!home.socket().exists(), "it serves");
}

#[test]
fn a_link_to_the_command_finds_the_daemon_beside_the_program() {
    let home = Home::new();
    let link = home.path("link");
    symlink(COMMAND, &link).unwrap();
    let output = run(&home, &link, &["invoke", "--emulator", "hello"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "echo: hello\n");
    assert!(run(&home, &link, &["stop"]).status.success());
}

#[test]
fn a_command_that_leaves_to_the_other_program_leaves_its_standard_input_too() {
    let home = Home::new();
    let mut command = home.command(&["invoke", "--no-daemon", "--emulator", "-"]);
    let mut running = command.stdin(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"remember the milk").unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Remembered: the milk\n");
}
