//! Hints about a daemon that cannot be reached, and about where it is looked for.

use super::{Stopped, advice, command, run};
use crate::support::{Home, Process, TestEmulator, call, finish, finish_after, skip, until};
use cupola_emulator::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

#[test]
fn no_daemon_or_one_that_stops_is_followed_by_another() {
    let home = Stopped::new();
    let given = advice("the next `cupola invoke` starts one").given_by(&run(&home, "status"));
    given.works(&run(&home, "invoke --emulator hello")).works(&run(&home, "status")).done();

    let started = run(&home, "invoke --emulator --detach slow~4000");
    assert!(started.status.success(), "{started:?}");
    assert!(run(&home, "stop").status.success());
    until("it did not withdraw", || !home.socket().exists());
    let given = advice("the next `cupola invoke` starts a daemon; `cupola runs list`").given_by(&run(&home, "status"));
    let given = given.works(&run(&home, "runs list")).works(&run(&home, "stop --force"));
    given.works(&run(&home, "invoke --emulator hello")).done();
}

#[test]
fn a_daemon_that_does_not_answer_is_resumed_or_ended() {
    let home = Stopped::new();
    for resume in [true, false] {
        let mut daemon = home.serve(&[]);
        daemon.report();
        daemon.signal(Signal::STOP);
        let refused = run(&home, "invoke --emulator -t 1 hello");
        let given = advice("resume it with `kill -CONT").given_by(&refused);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let mark = if resume { "`kill -CONT " } else { "`kill -9 " };
        let id: i32 = said.split(mark).nth(1).unwrap().split('`').next().unwrap().parse().unwrap();
        let signal = if resume { Signal::CONT } else { Signal::KILL };
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        if !resume {
            daemon.ended();
        }
        given.works(&run(&home, "invoke --emulator hello")).done();
        run(&home, "stop --force");
        if resume {
            daemon.ended();
        }
    }
}

#[test]
fn another_program_on_the_socket_is_ended_or_avoided() {
    let home = Stopped::new();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path("run/cupola")).unwrap();
    let mut listening = Command::new("nc");
    listening.arg("-lkU").arg(home.socket());
    let mut listening = Process::start(listening);
    until("nc does not listen", || home.socket().exists());
    let invoke = "invoke --emulator -t 1 hello";
    let refused = run(&home, invoke);
    let given =
        advice("or set CUPOLA_SOCKET to another path in a directory that only you can write").given_by(&refused);
    fs::DirBuilder::new().mode(0o700).create(home.path("own")).unwrap();
    let elsewhere = |line: &str| finish(command(&home, line).env("CUPOLA_SOCKET", home.path("own/v1.sock")));
    let given = given.works(&elsewhere("invoke --emulator hello"));
    elsewhere("stop");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let id: i32 = said.split("`kill ").nth(1).unwrap().split('`').next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    listening.ended();
    given.works(&run(&home, "invoke --emulator hello")).done();
}

#[test]
fn a_daemon_that_hangs_is_ended() {
    let home = Stopped::new();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path("run/cupola")).unwrap();
    // A program of Cupola's name that takes connections and says nothing.
    let path = std::env::split_paths("/usr/bin:/bin").map(|place| place.join("nc")).find(|path| path.exists()).unwrap();
    fs::copy(path, home.path("cupola")).unwrap();
    let mut hanging = Command::new(home.path("cupola"));
    hanging.arg("-lkU").arg(home.socket());
    let mut hanging = Process::start(hanging);
    until("it does not listen", || home.socket().exists());
    let refused = run(&home, "invoke --emulator -t 1 hello");
    let given = advice("if this persists, end it with `kill -9").given_by(&refused);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let id: i32 = said.split("`kill -9 ").nth(1).unwrap().split('`').next().unwrap().parse().unwrap();
    assert_eq!(u32::try_from(id).unwrap(), hanging.id());
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
    hanging.ended();
    given.works(&run(&home, "invoke --emulator hello")).done();
}

/// A daemon of another version. It says what `answer` says to a method, as a result or as no JSON at all, and `stop` ends it.
fn other(home: &Home, answer: impl Fn(&str) -> Value + Send + 'static) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path("run/cupola")).unwrap();
    let socket = home.socket();
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let asked: Value = serde_json::from_str(&line).unwrap();
                let method = asked["method"].as_str().unwrap();
                if method == "daemon/stop" {
                    fs::remove_file(&socket).unwrap();
                }
                let line = match answer(method) {
                    Value::String(text) => text,
                    result => json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string(),
                };
                let _ = writeln!(&stream, "{line}");
                if method == "daemon/stop" {
                    return;
                }
            }
        }
    });
}

fn older(method: &str) -> Value {
    match method {
        "initialize" => json!({"serverInfo": {"name": "cupola", "version": "0.0.1"}, "protocolVersion": 1}),
        "daemon/doctor" => json!({"checks": []}),
        "daemon/stop" => json!({"runs": 0}),
        "daemon/status" => {
            json!({"version": "0.0.1", "processId": 1, "socket": "", "stateDirectory": "", "uptimeMs": 1,
            "startedAt": "2026-01-01T00:00:00Z", "connections": 0, "requests": 0, "runs": 0, "protocolVersion": 1})
        }
        _ => json!({}),
    }
}

#[test]
fn a_daemon_of_another_version_is_stopped_and_replaced() {
    let home = Stopped::new();
    fs::write(home.path("input"), "{\"id\":1,\"method\":\"sessions/list\"}\n").unwrap();
    let attach = || {
        let mut command = command(&home, "attach --emulator --user-isolation-key a");
        command.stdin(fs::File::open(home.path("input")).unwrap());
        finish(command)
    };
    other(&home, older);
    let given = advice("run `cupola stop`; the next command starts a daemon of this version").given_by(&attach());
    given.works(&run(&home, "stop")).works(&attach()).done();
    run(&home, "stop --force");
    until("the daemon does not end", || !home.socket().exists());

    other(&home, older);
    let program = || super::Check::of(&run(&home, "doctor --emulator -o json"), "program");
    let given = advice("run `cupola stop`; the next command starts a daemon of this version").given_by(&program());
    given.works(&run(&home, "stop")).works(&program()).done();
    run(&home, "stop --force");
    until("the daemon does not end", || !home.socket().exists());

    for answer in [json!("no JSON"), json!({"runs": "none"})] {
        other(&home, move |method| if method == "runs/list" { answer.clone() } else { older(method) });
        let refused = run(&home, "runs list -o table");
        let given = advice("the daemon may be of another version: run `cupola stop`").given_by(&refused);
        let given = given.works(&run(&home, "stop")).works(&run(&home, "runs list -o table"));
        given.works(&run(&home, "status")).done();
        run(&home, "stop --force");
        until("the daemon does not end", || !home.socket().exists());
    }
}

#[test]
fn a_daemon_that_is_killed_in_a_call_is_started_by_the_next_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut emulator = runtime.block_on(TestEmulator::start());
    let home = Stopped::new();
    emulator.list_in(&home);
    let url = emulator.target("notes")["url"].as_str().unwrap().to_owned();
    let target = format!("--emulator={url} -n notes");
    let killed_in = |line: &str| {
        let before = emulator.requests().len();
        let ((), output) = finish_after(command(&home, line), |_| {
            until("nothing is asked", || {
                let asked = emulator.requests();
                asked.len() > before
                    && asked.last().unwrap().method == "POST"
                    && !asked.last().unwrap().path.contains("conversations")
            });
            let id = call(&home.socket(), "daemon/status")["result"]["processId"].as_i64().unwrap();
            kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
        });
        output
    };
    let latency = Fault::Latency { milliseconds: 600_000 };
    emulator.fail("*/endpoint/sessions", 1, latency.clone());
    let create = format!("sessions create {target}");
    let given = advice("` for sessions it created").given_by(&killed_in(&create));
    given.works(&run(&home, &format!("sessions list {target}"))).works(&run(&home, &create)).done();

    assert!(run(&home, &format!("invoke {target} hello")).status.success());
    emulator.fail("*/openai/responses", 1, latency);
    let given = advice("` shows what the agent did; see also");
    let refused = killed_in(&format!("invoke {target} hello"));
    let given = given.given_by(&refused);
    // Word for word.
    let hint = super::Outcome::hint(&refused).unwrap();
    let mut given = given;
    let named: Vec<&str> = hint.split('`').skip(1).step_by(2).collect();
    assert!(named.len() >= 2, "{hint}");
    for line in named {
        given = given.works(&run(&home, line.strip_prefix("cupola ").unwrap()));
    }
    given.done();
    drop(home);
    runtime.block_on(emulator.end());
}

#[test]
fn a_place_that_is_not_trusted_is_made_so_or_avoided() {
    let home = Stopped::new();
    let invoke = "invoke --emulator hello";
    let elsewhere = |line: &str| {
        let mut command = command(&home, line);
        command.env("CUPOLA_SOCKET", home.path("own/v1.sock"));
        finish(command)
    };
    fs::DirBuilder::new().mode(0o700).create(home.path("own")).unwrap();
    fs::create_dir_all(home.path("run")).unwrap();
    fs::write(home.path("run/cupola"), "").unwrap();
    let given = advice("unset XDG_RUNTIME_DIR if it is not yours").given_by(&run(&home, invoke));
    let given = given.works(&elsewhere(invoke));
    elsewhere("stop");
    given.works(&finish(command(&home, invoke).env_remove("XDG_RUNTIME_DIR"))).done();
    finish(command(&home, "stop --force").env_remove("XDG_RUNTIME_DIR"));
    fs::remove_file(home.path("run/cupola")).unwrap();

    fs::create_dir(home.path("run/cupola")).unwrap();
    fs::set_permissions(home.path("run/cupola"), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = run(&home, invoke);
    let given = advice("run: chmod 700 ").given_by(&refused);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let line = said.split("run: ").nth(1).unwrap().lines().next().unwrap();
    assert!(Command::new("sh").args(["-c", line]).status().unwrap().success());
    given.works(&run(&home, invoke)).done();
}

#[test]
fn a_place_of_another_user_is_left_alone() {
    let home = Home::new();
    let invoke = "invoke --emulator hello";
    fs::create_dir(home.path("run")).unwrap();
    // For root every place is open: it goes as somebody else.
    let is_root = chown(home.path(""), Some(54_321), None).is_ok();
    let as_user = |line: &str, change: &dyn Fn(&mut Command)| {
        let mut command = command(&home, line);
        if is_root {
            command.uid(54_321);
        }
        change(&mut command);
        finish(command)
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_cupola"));
    if is_root
        && binary
            .ancestors()
            .any(|place| fs::metadata(place).is_ok_and(|found| found.permissions().mode() & 0o001 == 0))
    {
        return skip("a place of another user", "the program lies where only root can run it");
    }
    fs::set_permissions(home.path("run"), fs::Permissions::from_mode(if is_root { 0o700 } else { 0 })).unwrap();
    let refused = as_user(invoke, &|_| ());
    let given = advice("it is another user's: unset XDG_RUNTIME_DIR").given_by(&refused);
    let given = given.works(&as_user(invoke, &|command| {
        command.env_remove("XDG_RUNTIME_DIR");
    }));
    as_user("stop --force", &|command| {
        command.env_remove("XDG_RUNTIME_DIR");
    });
    let own = |command: &mut Command| {
        command.env("CUPOLA_SOCKET", home.path("own/v1.sock"));
    };
    let given = given.works(&as_user(invoke, &own));
    as_user("stop --force", &own);
    given.done();
    fs::set_permissions(home.path("run"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn without_a_home_a_state_directory_is_named() {
    let home = Stopped::new();
    let bare = |line: &str, change: &dyn Fn(&mut Command)| {
        let mut command = command(&home, line);
        command.env_remove("HOME").env_remove("XDG_RUNTIME_DIR");
        change(&mut command);
        finish(command)
    };
    let invoke = "invoke --emulator hello";
    let given = advice("set HOME, or set CUPOLA_STATE_DIR").given_by(&bare(invoke, &|_| ()));
    let state = |command: &mut Command| {
        command.env("CUPOLA_STATE_DIR", home.path("state"));
    };
    let given = given.works(&bare(invoke, &state));
    bare("stop --force", &state);
    let own = |command: &mut Command| {
        command.env("HOME", home.path(""));
    };
    let given = given.works(&bare(invoke, &own));
    bare("stop --force", &own);
    given.done();
}

#[test]
fn a_call_that_a_stopping_daemon_refuses_is_answered_by_the_next_one() {
    let home = Stopped::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    assert!(run(&home, "invoke --emulator --detach slow~4000").status.success());
    let mut stream = std::os::unix::net::UnixStream::connect(home.socket()).unwrap();
    writeln!(stream, "{}", json!({"id": 0, "method": "initialize"})).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    answers.next().unwrap().unwrap();
    // One write: both are read at once, so the second one comes to a daemon that stops.
    let (stop, list) = (json!({"id": 1, "method": "daemon/stop"}), json!({"id": 2, "method": "auth/status"}));
    stream.write_all(format!("{stop}\n{list}\n").as_bytes()).unwrap();
    let refused = answers
        .map_while(Result::ok)
        .map(|line| serde_json::from_str::<Value>(&line).unwrap())
        .find(|answer| answer["error"]["data"]["kind"] == "shuttingDown")
        .expect("it was answered");
    let given = advice("connect again: a new daemon will answer").given_by(&refused);
    until("it did not withdraw", || !home.socket().exists());
    given.works(&run(&home, "auth status")).helps(run(&home, "status").status.success()).done();
}
