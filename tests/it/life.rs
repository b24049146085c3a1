//! The daemon can always be reached, or the command says why: a daemon that is suspended, without its socket, full of clients that
//! wait, stopping repeatedly, of another version, another program, or one that other shells started.

use crate::support::{Home, Process, at_once, call, finish, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Every command that talks to a daemon.
const COMMANDS: [&[&str]; 21] = [
    &["invoke", "--emulator", "hello"],
    &["invoke", "--emulator", "-o", "json", "hello"],
    &["invoke", "--emulator", "--detach", "hello"],
    &["runs", "list"],
    &["runs", "show", "run_1"],
    &["runs", "attach", "run_1"],
    &["runs", "cancel", "run_1"],
    &["sessions", "list", "--emulator"],
    &["sessions", "create", "--emulator"],
    &["sessions", "delete", "--emulator", "session-one"],
    &["files", "list", "--emulator"],
    &["files", "mkdir", "--emulator", "d"],
    &["monitor", "--emulator", "-f"],
    &["agents", "list", "--emulator"],
    &["partitions", "list"],
    &["auth", "status"],
    &["auth", "clear"],
    &["status"],
    &["doctor"],
    &["socket"],
    &["stop"],
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    finish(home.command(arguments).stderr(Stdio::piped()))
}

fn process_of(home: &Home, arguments: &[&str]) -> u64 {
    let output = run(home, arguments);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    status["processId"].as_u64().unwrap()
}

#[test]
fn every_command_says_of_a_suspended_daemon_what_is_wrong_and_what_helps() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    daemon.signal(Signal::STOP);
    let id = daemon.id();
    for (output, command) in at_once(COMMANDS.iter().map(|command| {
        let mut command = home.command(command);
        command.stderr(Stdio::piped());
        command
    }))
    .into_iter()
    .zip(COMMANDS)
    {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{command:?}: {output:?}");
        assert!(
            said.contains(&format!("the daemon (process {id}) is suspended and has not answered within")),
            "{said}"
        );
        assert!(said.contains(&format!("`kill -CONT {id}`")) && said.contains(&format!("`kill -9 {id}`")), "{said}");
        assert_eq!(said.matches("has not answered").count(), 1, "{command:?}: {said}");
    }
    // Each of the two pieces of advice helps.
    daemon.signal(Signal::CONT);
    assert_eq!(run(&home, COMMANDS[0]).status.code(), Some(0));
    assert_eq!(call(&home.socket(), "daemon/status")["result"]["runs"], 0, "what was not sent has run");
    daemon.signal(Signal::STOP);
    daemon.signal(Signal::KILL);
    daemon.ended();
    assert_eq!(run(&home, COMMANDS[0]).status.code(), Some(0));
    run(&home, &["stop"]);
}

#[test]
fn the_time_limit_of_a_call_bounds_also_the_wait_for_a_suspended_daemon_with_a_full_queue() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    daemon.signal(Signal::STOP);
    // Until no more connections are accepted without waiting.
    let mut waiting = Vec::new();
    while let Some(stream) = connect_at_once(&home.socket()) {
        waiting.push(stream);
    }
    let began = Instant::now();
    let output = run(&home, &["invoke", "--emulator", "-t", "1", "hello"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("is suspended") && said.contains(&format!("kill -9 {}", daemon.id())), "{said}");
    assert!(began.elapsed() < Duration::from_secs(12), "it did not keep to its own limit: {:?}", began.elapsed());
    daemon.signal(Signal::CONT);
}

fn connect_at_once(socket: &Path) -> Option<rustix::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    connect(&stream, &SocketAddrUnix::new(socket).unwrap()).ok().map(|()| stream)
}

#[test]
fn another_program_on_the_socket_is_called_that() {
    let home = Home::new();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path("run/cupola")).unwrap();
    // The test accepts every connection and sends nothing.
    let listener = UnixListener::bind(home.socket()).unwrap();
    thread::spawn(move || {
        let _all: Vec<UnixStream> = listener.incoming().map_while(Result::ok).collect();
    });
    for command in [&["status"][..], &["invoke", "--emulator", "-t", "1", "hello"]] {
        let output = run(&home, command);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{said}");
        assert!(said.contains(&format!("process {}", std::process::id())) && said.contains("is not Cupola"), "{said}");
        assert!(said.contains("CUPOLA_SOCKET"), "{said}");
    }
}

/// How a daemon's socket gets lost.
type Removal = fn(&Home);

#[test]
fn a_socket_that_is_removed_comes_back_without_a_second_daemon() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    let id = u64::from(daemon.id());
    let removals: [(&str, Removal); 4] = [
        ("the socket", |home| fs::remove_file(home.socket()).unwrap()),
        ("the socket and its lock", |home| {
            fs::remove_file(home.socket()).unwrap();
            fs::remove_file(home.path("run/cupola/v1.sock.lock")).unwrap();
        }),
        ("the directory", |home| fs::remove_dir_all(home.path("run/cupola")).unwrap()),
        ("the directory, to another name", |home| {
            fs::rename(home.path("run/cupola"), home.path("run/aside")).unwrap();
        }),
    ];
    let commands: [&[&str]; 4] = [
        &["status", "-o", "json"],
        &["invoke", "--emulator", "-o", "json", "hello"],
        &["socket"],
        &["doctor", "--emulator"],
    ];
    for ((what, remove), command) in removals.into_iter().zip(commands) {
        remove(&home);
        let output = run(&home, command);
        assert_eq!(output.status.code(), Some(0), "{what}, {command:?}: {output:?}");
        assert_eq!(process_of(&home, &["status", "-o", "json"]), id, "{what}: another daemon was started");
    }
    fs::remove_file(home.socket()).unwrap();
    assert_eq!(text(&run(&home, &["stop"]).stdout), "Stopping the daemon\n");
    assert!(daemon.ended().success());
}

#[test]
fn a_daemon_in_whose_place_another_one_listens_leaves() {
    let home = Home::new();
    let mut first = home.serve(&[]);
    first.report();
    fs::remove_dir_all(home.path("run/cupola")).unwrap();
    // Another state directory, so another daemon.
    let state = home.path("other-state");
    let mut second = home.serve(&["--state-dir", state.to_str().unwrap()]);
    second.report();
    if process_of(&home, &["status", "-o", "json"]) == u64::from(first.id()) {
        // The first one was quicker to come back; then it is the second that had nothing to do.
        assert!(second.ended().success());
        return;
    }
    assert!(first.ended().success());
    assert!(second.is_running());
}

#[test]
fn one_daemon_per_state_directory_is_found_with_and_without_a_runtime_directory() {
    for starts_without in [false, true] {
        let home = Home::new();
        let plain = |arguments: &[&str]| {
            let mut command = home.command(arguments);
            command.env_remove("XDG_RUNTIME_DIR").stderr(Stdio::piped());
            command
        };
        let other = |arguments: &[&str]| {
            let mut command = home.command(arguments);
            command.env("XDG_RUNTIME_DIR", home.path("elsewhere")).stderr(Stdio::piped());
            command
        };
        let usual = |arguments: &[&str]| {
            let mut command = home.command(arguments);
            command.stderr(Stdio::piped());
            command
        };
        let invoke: &[&str] = &["invoke", "--emulator", "-o", "json", "hello"];
        let first = if starts_without { plain(invoke) } else { usual(invoke) };
        assert_eq!(finish(first).status.code(), Some(0));
        let ask = |command: Command| {
            let output = finish(command);
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
            status["processId"].as_u64().unwrap()
        };
        let status: &[&str] = &["status", "-o", "json"];
        let id = ask(usual(status));
        assert_eq!([ask(plain(status)), ask(other(status))], [id, id], "without first: {starts_without}");
        for command in [plain(invoke), other(invoke), usual(invoke)] {
            let output = finish(command);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        assert_eq!(ask(usual(status)), id);
        // `socket` says where it really listens.
        let sockets: Vec<_> = [plain(&["socket"]), usual(&["socket", "--no-start"]), other(&["socket"])]
            .into_iter()
            .map(|command| text(&finish(command).stdout))
            .collect();
        assert!(
            sockets.iter().all(|socket| *socket == sockets[0] && Path::new(socket.trim_end()).exists()),
            "{sockets:?}"
        );
        // A socket chosen by the user leads to the same daemon when one has to be started.
        let own = home.path("own/v1.sock");
        assert_eq!(finish(usual(&["socket", "--socket", own.to_str().unwrap()])).stdout, sockets[0].as_bytes());
        let stop = if starts_without { usual(&["stop"]) } else { plain(&["stop"]) };
        assert_eq!(text(&finish(stop).stdout), "Stopping the daemon\n");
        until("it was not stopped", || finish(usual(&["status"])).status.code() == Some(6));
        assert_eq!(finish(other(&["status"])).status.code(), Some(6));
    }
}

#[test]
fn daemons_of_one_state_directory_that_start_at_once_are_one() {
    let home = Home::new();
    let mut daemons: Vec<Process> = (0..9)
        .map(|number| {
            let mut command = home.command(&["serve", "--background"]);
            command.env("XDG_RUNTIME_DIR", home.path(&format!("run-{}", number % 3)));
            Process::start(command)
        })
        .collect();
    let reports: Vec<_> = daemons.iter_mut().map(Process::report).collect();
    assert!(reports.iter().all(|report| report.starts_with("ready ") && *report == reports[0]), "{reports:?}");
    let socket = reports[0].trim_start_matches("ready ").trim_end().to_owned();
    let id = call(Path::new(&socket), "daemon/status")["result"]["processId"].as_u64().unwrap();
    for daemon in daemons.iter_mut().filter(|daemon| u64::from(daemon.id()) != id) {
        assert!(daemon.ended().success());
    }
}

#[test]
fn serve_beside_a_daemon_says_which_one_runs() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    let id = daemon.id();
    let own = home.path("own/v1.sock");
    for arguments in [&["serve"][..], &["serve", "--socket", own.to_str().unwrap()]] {
        let output = run(&home, arguments);
        let said = text(&output.stdout);
        assert!(!output.status.success(), "{said}");
        assert!(said.starts_with(&format!("error: a daemon (process {id}) already runs")), "{said}");
        assert!(said.contains("cupola stop"), "{said}");
    }
    daemon.signal(Signal::STOP);
    let output = run(&home, &["serve"]);
    let said = text(&output.stdout);
    assert!(!output.status.success() && said.contains(&format!("(process {id}) is suspended")), "{said}");
    assert!(said.contains(&format!("kill -CONT {id}")), "{said}");
}

#[test]
fn callers_that_race_with_stops_are_all_served() {
    const CALLERS: usize = 6;
    const CALLS: usize = 10;
    const STOPS: usize = 15;
    let home = Home::new();
    let commands: [&[&str]; 4] = [
        &["invoke", "--emulator", "--new-session", "hello"],
        &["runs", "list"],
        &["auth", "status"],
        &["sessions", "list", "--emulator"],
    ];
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let home = &home;
                scope.spawn(move || {
                    for number in 0..CALLS {
                        let output = run(home, commands[(caller + number) % commands.len()]);
                        assert_eq!(output.status.code(), Some(0), "{output:?}");
                    }
                })
            })
            .collect();
        let stopping = scope.spawn(|| {
            for _ in 0..STOPS {
                let output = run(&home, &["stop"]);
                assert_eq!(output.status.code(), Some(0), "{output:?}");
            }
        });
        for caller in callers {
            caller.join().unwrap();
        }
        stopping.join().unwrap();
    });
    run(&home, &["stop"]);
}

#[test]
fn a_daemon_that_is_told_to_stop_answers_every_client_that_has_sent_something() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    // Half a message, whose sender cannot know how much of it was read.
    let mut half = UnixStream::connect(home.socket()).unwrap();
    half.write_all(b"{\"id\":0,\"method\":\"initialize\"}\n{\"id\":1,").unwrap();
    let mut answers = BufReader::new(half.try_clone().unwrap()).lines();
    assert!(answers.next().unwrap().unwrap().contains("serverInfo"));
    call(&home.socket(), "daemon/stop");
    let last: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
    assert_eq!((&last["id"], &last["error"]["data"]["kind"]), (&json!(null), &json!("shuttingDown")));
    assert!(daemon.ended().success());
}

#[test]
fn a_daemon_that_finishes_its_runs_can_be_asked_for_them_while_the_next_one_serves() {
    let home = Home::new();
    let mut first = home.serve(&[]);
    first.report();
    let id = u64::from(first.id());
    let detach = |message: &str| {
        let output = run(&home, &["invoke", "--emulator", "--user-isolation-key", message, "--detach", message]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout).trim_end().to_owned()
    };
    let (long, short) = (detach("slow 400"), detach("hello"));
    assert_eq!(text(&run(&home, &["runs", "attach", &short]).stdout).trim_end(), "echo: hello");
    assert!(text(&run(&home, &["stop"]).stdout).starts_with("The daemon will stop when the active run has finished"));
    until("it did not withdraw", || !home.socket().exists());
    // No other daemon runs yet.
    let said = text(&run(&home, &["status"]).stderr);
    assert!(
        said.contains(&format!("process {id} was told to stop")) && said.contains("`cupola stop --force`"),
        "{said}"
    );
    // The next daemon serves what does not need the emulator.
    assert_eq!(run(&home, &["partitions", "list"]).status.code(), Some(0));
    assert_ne!(process_of(&home, &["status", "-o", "json"]), id);
    // And the first one's runs are found in every way.
    let list: Value = serde_json::from_slice(&run(&home, &["runs", "list"]).stdout).unwrap();
    let listed: Vec<_> = list["runs"].as_array().unwrap().iter().map(|run| run["runId"].as_str().unwrap()).collect();
    assert!(listed.contains(&long.as_str()) && listed.contains(&short.as_str()), "{list}");
    let shown: Value = serde_json::from_slice(&run(&home, &["runs", "show", &long]).stdout).unwrap();
    assert_eq!(shown["status"], "running");
    assert_eq!(run(&home, &["runs", "show", "run-none"]).status.code(), Some(4));
    assert!(text(&run(&home, &["runs", "cancel", &long]).stdout).starts_with("Cancelled run"));
    // Its answer can still be read, and then the daemon leaves.
    assert!(first.is_running(), "the answer that was never fetched is gone");
    assert_eq!(run(&home, &["runs", "attach", &long]).status.code(), Some(130));
    assert!(first.ended().success());
    // The next daemon has the emulator now.
    assert_eq!(run(&home, &["invoke", "--emulator", "hello"]).status.code(), Some(0));
    run(&home, &["stop", "--force"]);
}

#[test]
fn a_call_waits_for_the_emulator_of_a_daemon_that_finishes_its_runs() {
    let home = Home::new();
    let mut first = home.serve(&[]);
    first.report();
    let started = run(&home, &["invoke", "--emulator", "--user-isolation-key", "one", "--detach", "slow 12"]);
    let id = text(&started.stdout).trim_end().to_owned();
    run(&home, &["stop"]);
    until("it did not withdraw", || !home.socket().exists());
    let output = run(&home, &["invoke", "--emulator", "--user-isolation-key", "two", "hello"]);
    assert_eq!((output.status.code(), text(&output.stdout).trim_end()), (Some(0), "echo: hello"), "{output:?}");
    // The first one's answer came meanwhile, and is kept until somebody has had it.
    let attached = run(&home, &["runs", "attach", &id]);
    assert_eq!(attached.status.code(), Some(0), "{attached:?}");
    assert!(first.ended().success());
    run(&home, &["stop"]);
}

#[test]
fn a_daemon_that_keeps_answers_is_ended_by_force_and_by_a_signal() {
    for by_signal in [false, true] {
        let home = Home::new();
        let mut daemon = home.serve(&[]);
        daemon.report();
        let started = run(&home, &["invoke", "--emulator", "--detach", "hello"]);
        let id = text(&started.stdout).trim_end().to_owned();
        until("the run does not end", || text(&run(&home, &["runs", "show", &id]).stdout).contains("\"completed\""));
        run(&home, &["stop"]);
        until("it did not withdraw", || !home.socket().exists());
        assert!(daemon.is_running());
        if by_signal {
            daemon.signal(Signal::TERM);
        } else {
            let said = text(&run(&home, &["stop", "--force"]).stdout);
            assert!(said.contains("which was finishing its runs"), "{said}");
        }
        assert!(daemon.ended().success());
        let left: Vec<_> =
            fs::read_dir(home.path("run/cupola")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["v1.sock.lock"]);
    }
}

#[test]
fn what_a_killed_daemon_left_of_its_end_is_removed_by_the_next_one() {
    let home = Home::new();
    let mut first = home.serve(&[]);
    first.report();
    run(&home, &["invoke", "--emulator", "--detach", "slow 400"]);
    run(&home, &["stop"]);
    let late = home.path(&format!("run/cupola/v1.sock.{}", first.id()));
    until("it did not withdraw", || late.exists());
    first.signal(Signal::KILL);
    first.ended();
    assert_eq!(run(&home, &["runs", "list"]).status.code(), Some(0));
    assert!(!late.exists());
    run(&home, &["stop"]);
}

/// A daemon of another version: it greets, and answers every call alike.
fn other_version(home: &Home, version: &'static str) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path("run/cupola")).unwrap();
    let listener = UnixListener::bind(home.socket()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let asked: Value = serde_json::from_str(&line).unwrap();
                let result = match asked["method"].as_str().unwrap() {
                    "initialize" => json!({"serverInfo": {"name": "cupola", "version": version}}),
                    "invoke" => {
                        json!({"runId": "r", "status": "completed", "text": "a", "isolationModel": "keys", "durationMs": 1})
                    }
                    _ => json!({"runs": [], "sessions": []}),
                };
                writeln!(&stream, "{}", json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).unwrap();
            }
        }
    });
}

#[test]
fn a_daemon_of_another_version_is_pointed_out_off_a_terminal_too() {
    let home = Home::new();
    other_version(&home, "0.0.1");
    for command in [
        &["invoke", "--emulator", "hello"][..],
        &["invoke", "--emulator", "-o", "json", "hello"],
        &["invoke", "--emulator", "-o", "raw", "hello"],
        &["runs", "list"],
    ] {
        let output = run(&home, command);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.matches("the running daemon is version 0.0.1").count(), 1, "{command:?}: {said}");
        assert!(said.contains("run `cupola stop` to update it"), "{said}");
    }
}

#[test]
fn without_a_home_the_advice_is_one_that_works() {
    let home = Home::new();
    let bare = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env_remove("HOME").env_remove("XDG_RUNTIME_DIR").stderr(Stdio::piped());
        command
    };
    let state = home.path("state-of-my-own");
    for command in
        [&["invoke", "--emulator", "hello"][..], &["invoke", "--emulator", "--no-daemon", "hello"], &["status"]]
    {
        let output = finish(bare(command));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{said}");
        assert!(
            said.contains("CUPOLA_STATE_DIR") && !said.contains("--socket") && !said.contains("--state-dir"),
            "{said}"
        );
        if command[0] == "invoke" {
            let output = finish(bare(command).env("CUPOLA_STATE_DIR", &state));
            assert_eq!(output.status.code(), Some(0), "the advice does not help: {output:?}");
            finish(bare(&["stop"]).env("CUPOLA_STATE_DIR", &state));
        }
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named_and_making_it_helps() {
    let home = Home::new();
    fs::write(home.path("file"), "").unwrap();
    let invoke = |state: &str, more: &[&str]| {
        let mut command = home.command(&["invoke", "--emulator", "hello"]);
        finish(command.args(more).env("CUPOLA_STATE_DIR", home.path(state)).stderr(Stdio::piped()))
    };
    for (state, more) in [("one", &[][..]), ("two", &["--no-daemon"])] {
        let output = invoke("file/state", more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{said}");
        assert!(said.contains("file/state cannot be created") && said.contains("choose a directory"), "{said}");
        let output = invoke(state, more);
        assert_eq!(output.status.code(), Some(0), "the advice does not help: {output:?}");
    }
    finish(home.command(&["stop"]).env("CUPOLA_STATE_DIR", home.path("one")));
}

#[test]
fn a_daemon_that_cannot_write_its_log_starts_and_doctor_says_so() {
    let home = Home::new();
    let state = home.path(".local/state/cupola");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state.join("daemon.log")).unwrap();
    assert_eq!(run(&home, &["invoke", "--emulator", "hello"]).status.code(), Some(0));
    let output = run(&home, &["doctor", "--emulator"]);
    let said = text(&output.stdout);
    assert!(said.contains("warning  log") && said.contains("daemon.log cannot be written"), "{said}");
    run(&home, &["stop"]);
}

#[test]
fn a_daemon_whose_state_cannot_be_written_starts_and_says_what_does_not_work() {
    let home = Home::new();
    let state = home.path(".local/state/cupola");
    // As in a directory that may not be written, neither the lock, nor the log, nor the state can be opened: a superuser may write
    // everywhere else.
    for name in ["daemon.lock", "daemon.log", "state.db"] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state.join(name)).unwrap();
    }
    assert_eq!(run(&home, &["status"]).status.code(), Some(6));
    assert_eq!(run(&home, &["auth", "status"]).status.code(), Some(0), "what needs no state works");
    let output = run(&home, &["invoke", "--emulator", "hello"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("state.db") && said.contains("hint: "), "{said}");
    let output = run(&home, &["doctor"]);
    assert!(text(&output.stdout).contains("ERROR    state"), "{output:?}");
    assert_eq!(text(&run(&home, &["stop"]).stdout), "Stopping the daemon\n");
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_that_outlives_the_daemon_it_started_leaves_no_zombie() {
    let home = Home::new();
    let mut command = home.command(&["attach"]);
    command.stdin(Stdio::piped());
    let mut attached = Process::start(command);
    until("no daemon was started", || run(&home, &["status"]).status.success());
    let daemon = process_of(&home, &["status", "-o", "json"]);
    run(&home, &["stop"]);
    until("the daemon is a zombie", || !Path::new(&format!("/proc/{daemon}")).exists());
    assert!(attached.is_running());
}
