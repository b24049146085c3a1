//! Under a service manager: systemd's own tool hands the daemon its socket, and reads the unit files.

use crate::support::{Home, Process, call, finish, skip};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The unit files, as they are shipped.
const UNITS: [(&str, &str); 2] = [
    ("cupola.socket", include_str!("../../docs/service/cupola.socket")),
    ("cupola.service", include_str!("../../docs/service/cupola.service")),
];

fn is_here(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip(program, "it is not installed (Debian: apt install systemd)");
    }
    found
}

#[test]
fn systemd_listens_and_the_first_client_starts_the_daemon() {
    if !is_here("systemd-socket-activate") {
        return;
    }
    let home = Home::new();
    let socket = home.socket();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(socket.parent().unwrap()).unwrap();
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(&socket).arg(env!("CARGO_BIN_EXE_cupola")).arg("serve");
    command.env_clear().env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("run"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut manager = Process::start(command);
    let deadline = Instant::now() + Duration::from_secs(20);
    // The file is there a moment before anybody listens. A connection that says nothing leaves again.
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < deadline, "nothing listens");
        std::thread::yield_now();
    }

    let first = call(&socket, "daemon/status");
    // The tool becomes the daemon.
    assert_eq!(first["result"]["processId"], manager.id(), "{first}");
    assert_eq!(first["result"]["socket"], socket.to_str().unwrap());
    // A daemon started by hand finds the socket served.
    let by_hand = finish(home.command(&["serve", "--background"]));
    assert!(by_hand.status.success(), "{by_hand:?}");
    assert_eq!(call(&socket, "daemon/status")["result"]["processId"], manager.id());

    assert_eq!(call(&socket, "daemon/stop")["result"]["runs"], 0);
    assert!(manager.ended().success());
    assert!(socket.exists(), "the daemon removed a socket that is its manager's");
}

#[test]
fn the_unit_files_are_understood() {
    if !is_here("systemd-analyze") {
        return;
    }
    let home = Home::new();
    let directory = home.path("");
    for (name, text) in UNITS {
        // Whether the program is installed there is another matter.
        let text = text.replace("%h/.cargo/bin/cupola", env!("CARGO_BIN_EXE_cupola"));
        std::fs::write(directory.join(name), text).unwrap();
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["--user", "verify"]).args(UNITS.map(|(name, _)| directory.join(name)));
    command.env("XDG_RUNTIME_DIR", &directory).env("HOME", &directory);
    command.stderr(Stdio::piped());
    let output = finish(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("cupola.s"), "{said}");
}

#[test]
fn the_launchd_file_starts_a_daemon_that_stays() {
    let text = include_str!("../../docs/service/cupola.plist");
    let strings: Vec<&str> = text
        .split("<string>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</string>"))
        .map(|(value, _)| value)
        .collect();
    let [label, program, arguments @ ..] = strings.as_slice() else { panic!("{strings:?}") };
    assert_eq!((*label, Path::new(program).file_name().unwrap().to_str()), ("cupola", Some("cupola")));
    // The flags are real ones: the same command line, with help asked for.
    let home = Home::new();
    let help = finish(home.command(&[arguments, &["--help"]].concat()));
    assert!(help.status.success(), "{help:?}");
}
