//! The real binary: its start report, its socket, its ends.

use crate::support::{Home, Process, call, finish};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

/// The process that answers on a socket.
fn server(socket: &Path) -> u64 {
    call(socket, "daemon/status")["result"]["processId"].as_u64().unwrap()
}

fn ready(home: &Home) -> String {
    format!("ready {}\n", home.socket().display())
}

#[test]
fn it_reports_ready_once_clients_can_connect_and_lets_go_of_its_starter() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    // Reading to the end shows that the pipe is closed while the daemon lives.
    assert_eq!(daemon.report(), ready(&home));
    assert_eq!(server(&home.socket()), u64::from(daemon.id()));
    assert!(daemon.is_running());
    let log = fs::read_to_string(home.path(".local/state/cupola/daemon.log")).unwrap();
    assert!(log.contains("listening"), "{log}");
}

#[test]
fn a_socket_left_by_kill_is_replaced() {
    let home = Home::new();
    let mut first = home.serve(&[]);
    first.report();
    first.signal(Signal::KILL);
    first.ended();
    assert!(home.socket().exists());
    let mut second = home.serve(&[]);
    assert_eq!(second.report(), ready(&home));
    assert_eq!(server(&home.socket()), u64::from(second.id()));
}

#[test]
fn of_many_started_at_once_one_stays_and_the_others_succeed() {
    let home = Home::new();
    let mut daemons: Vec<Process> = (0..8).map(|_| home.serve(&[])).collect();
    for daemon in &mut daemons {
        assert_eq!(daemon.report(), ready(&home));
    }
    let serving = server(&home.socket());
    let (mut winners, losers): (Vec<_>, Vec<_>) =
        daemons.into_iter().partition(|daemon| u64::from(daemon.id()) == serving);
    for mut loser in losers {
        assert!(loser.ended().success());
    }
    assert!(winners.iter_mut().all(Process::is_running) && winners.len() == 1);
}

#[test]
fn a_signal_or_a_stop_ends_it_and_takes_the_socket_away() {
    let home = Home::new();
    let stop = |home: &Home| assert_eq!(call(&home.socket(), "daemon/stop")["result"]["runs"], 0);
    for signal in [Some(Signal::TERM), Some(Signal::INT), None] {
        let mut daemon = home.serve(&[]);
        assert_eq!(daemon.report(), ready(&home));
        match signal {
            Some(signal) => daemon.signal(signal),
            None => stop(&home),
        }
        assert!(daemon.ended().success());
        assert!(!home.socket().exists());
    }
}

#[test]
fn it_exits_when_no_client_connects() {
    let home = Home::new();
    let mut daemon = home.serve(&["--idle-exit", "1"]);
    assert_eq!(daemon.report(), ready(&home));
    assert!(daemon.ended().success());
    assert!(!home.socket().exists());
}

#[test]
fn a_directory_that_is_not_private_is_refused_with_the_command_that_mends_it() {
    for (directory, mode) in [("run/cupola", 0o755), (".local/state/cupola", 0o770)] {
        let home = Home::new();
        let path = home.path(directory);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let mut daemon = home.serve(&[]);
        let report = daemon.report();
        assert!(report.starts_with("error: "), "{report}");
        assert!(report.contains(&format!("chmod 700 {}", path.display())), "{report}");
        assert_eq!(report.lines().count(), 1);
        assert!(!daemon.ended().success());
        assert!(!home.socket().exists());
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(home.serve(&[]).report(), ready(&home));
    }
}

#[test]
fn wrong_settings_are_named_and_nothing_is_started() {
    for (file, arguments, says) in [
        ("log = \"info\"\nidle = 5\n", &[][..], &["config.toml", "line 2", "idle"][..]),
        ("log =", &[], &["config.toml", "line 1"]),
        ("", &["--idle-exit", "soon"], &["--idle-exit", "soon", "seconds"]),
        ("", &["--log", "loud"], &["log", "loud"]),
    ] {
        let home = Home::new();
        fs::create_dir_all(home.path(".config/cupola")).unwrap();
        fs::write(home.path(".config/cupola/config.toml"), file).unwrap();
        let mut daemon = home.serve(arguments);
        let report = daemon.report();
        assert!(report.starts_with("error: "), "{report}");
        for part in says {
            assert!(report.contains(part), "{part:?} is missing in {report}");
        }
        assert!(!daemon.ended().success());
        assert!(!home.socket().exists());
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_passed_over() {
    let home = Home::new();
    fs::create_dir_all(home.path(".config/cupola/config.toml")).unwrap();
    let report = home.serve(&[]).report();
    assert!(report.starts_with("error: ") && report.contains("config.toml cannot be read"), "{report}");
}

#[test]
fn the_emulator_shows_what_its_agents_write_by_name_and_harmless() {
    let home = Home::new();
    let agent = "broken=exec:printf 'loading\\n\\033[2Jboom\\n'; exit 3";
    let mut command = home.command(&["emulator", "--listen", "127.0.0.1:0", "--json", "--agent", agent]);
    // A pipe gets no colours.
    command.stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let url = ready["url"].as_str().unwrap();
    let emulator = format!("--emulator={url}");
    let invoked = finish({
        let mut command = home.command(&["invoke", &emulator, "--agent-name", "broken", "hello"]);
        command.stderr(Stdio::piped());
        command
    });
    assert!(!invoked.status.success(), "{invoked:?}");
    let told = String::from_utf8(invoked.stderr).unwrap();
    let crashed = "error: the agent crashed while it started: exit code 3; its last lines:\n";
    assert!(told.starts_with(crashed) && told.contains("[2Jboom\n") && !told.contains('\u{1b}'), "{told}");
    assert!(told.contains("hint: fix the agent, then run the command again"), "{told}");
    assert_eq!(invoked.status.code(), Some(1), "{told}");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    let shown = String::from_utf8(ended.stderr).unwrap();
    let failure = "broken | The container did not start: the agent crashed while it started: exit code 3\n";
    let start = format!("broken | loading\nbroken | \\u{{1b}}[2Jboom\n{failure}");
    // An agent that crashed would crash again, so the call is not sent again by itself.
    assert_eq!(shown, start);
    finish(home.command(&["stop", "--force"]));
}
