//! The whole program, killed and starved: what was acknowledged is still there.

use crate::hints::advice;
use crate::support::{Home, at_once, finish, skip};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Command;

fn run(home: &Home, arguments: &[&str]) -> (String, String, i32) {
    let mut command = home.command(arguments);
    command.stderr(std::process::Stdio::piped());
    let output = finish(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

fn status(home: &Home) -> Value {
    let (printed, complaint, code) = run(home, &["status", "-o", "json"]);
    assert_eq!(code, 0, "{complaint}");
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn a_killed_daemon_loses_nothing_that_was_answered() {
    let home = Home::new();
    let acme = ["invoke", "--emulator", "--user-isolation-key", "tenant-acme"];
    let invoke = |input: &str| run(&home, &[&acme[..], &[input]].concat());
    for round in 1..=3 {
        let (printed, complaint, code) = invoke(&format!("remember fact {round}"));
        assert_eq!((printed.as_str(), code), (format!("Remembered: fact {round}\n").as_str(), 0), "{complaint}");
        let id = i32::try_from(status(&home)["processId"].as_i64().unwrap()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    }
    let (printed, complaint, _) = invoke("what do you remember?");
    assert_eq!(printed, "I remember:\n- fact 1\n- fact 2\n- fact 3\n", "{complaint}");
    run(&home, &["stop", "--force"]);
}

#[test]
fn two_shells_that_start_at_once_share_one_daemon() {
    let home = Home::new();
    let shells = (0..6).map(|number| home.command(&["invoke", "--emulator", "-o", "json", &format!("hello {number}")]));
    let mut sessions = Vec::new();
    for output in at_once(shells) {
        assert!(output.status.success());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        sessions.push(answer["sessionId"].to_string());
    }
    sessions.dedup();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    run(&home, &["stop", "--force"]);
}

/// A file system of 1 MiB for the state directory; needs the right to mount.
#[test]
fn a_full_disk_is_reported_and_harms_nothing_saved() {
    let home = Home::new();
    let state = home.path("state");
    std::fs::create_dir(&state).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
        .arg(&state)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        skip("a full disk", "a small file system can be mounted by root only");
        return;
    }
    // The emulator keeps its own files elsewhere, so that it is Cupola's state that has no room.
    let mut emulator = home.command(&["emulator", "--listen", "127.0.0.1:0", "--json"]);
    let mut emulator = emulator.arg("--data-dir").arg(home.path("emulator")).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(emulator.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let target = format!("--emulator={}", ready["url"].as_str().unwrap());
    let environment = [("CUPOLA_STATE_DIR", state.as_os_str())];
    let run_it =
        |arguments: &[&str]| finish(home.command(arguments).envs(environment).stderr(std::process::Stdio::piped()));
    let cupola = |arguments: &[&str]| {
        let output = run_it(arguments);
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (printed, complaint) = cupola(&["invoke", &target, "--user-isolation-key", "acme", "remember the milk"]);
    assert_eq!(printed, "Remembered: the milk\n", "{complaint}");
    let filled = std::fs::write(state.join("ballast"), vec![0_u8; 2 * 1024 * 1024]);
    assert!(filled.is_err(), "the disk is not full");
    let invoke = ["invoke", &target, "--user-isolation-key", "contoso", "hello"];
    let refused = run_it(&invoke);
    assert!(refused.stdout.is_empty() && String::from_utf8_lossy(&refused.stderr).contains("error: saved state"));
    let given = advice("check that the disk has room and that the file").given_by(&refused);
    std::fs::remove_file(state.join("ballast")).unwrap();
    given.works(&run_it(&invoke)).done();
    let (printed, complaint) = cupola(&["invoke", &target, "--user-isolation-key", "acme", "what do you remember?"]);
    assert_eq!(printed, "I remember:\n- the milk\n", "{complaint}");
    cupola(&["stop", "--force"]);
    emulator.kill().unwrap();
    emulator.wait().unwrap();
    let unmounted = Command::new("umount").arg("--lazy").arg(&state).status().unwrap();
    assert!(unmounted.success());
}
