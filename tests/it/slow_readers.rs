//! The command line behind a pipe that is not read for a while, as behind a pager, and what it does when its daemon dies.

use crate::support::{Framing, Home, PATIENCE, Process, call, finish, finish_after, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Enough words that the events about them fill a pipe, a socket and what the daemon keeps for one client several times.
const WORDS: usize = 12_000;

fn words() -> String {
    (0..WORDS).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ")
}

/// Waits until a run has ended of which nothing is read, and gives its status.
fn status_without_reader(home: &Home, not: Option<&str>) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(run) = ended_run(home, not) {
            return run["status"].clone();
        }
        assert!(Instant::now() < deadline, "the run waits for a reader: {:?}", runs(home).first());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The runs there are, newest first; none before there is a daemon.
fn runs(home: &Home) -> Vec<Value> {
    if !home.socket().exists() {
        return Vec::new();
    }
    call(&home.socket(), "runs/list")["result"]["runs"].as_array().unwrap().clone()
}

/// The id of the newest run.
fn newest(home: &Home) -> Option<String> {
    runs(home).first().map(|run| run["runId"].as_str().unwrap().to_owned())
}

/// The newest run, once it has ended and nobody follows it any more, unless it is this one.
fn ended_run(home: &Home, not: Option<&str>) -> Option<Value> {
    let newest = runs(home).into_iter().next()?;
    let is_over = newest["status"] != "running" && newest["clients"] == 0 && newest["runId"].as_str() != not;
    is_over.then_some(newest)
}

/// Which run a command prints.
#[derive(PartialEq, Eq)]
enum Run {
    New,
    Old,
}

/// Runs a command whose output is not read until its run has ended; then reads all of it.
fn unread(home: &Home, command: &mut Command, act: impl FnOnce(&mut Child) -> Run) -> (String, Option<i32>) {
    let before = newest(home);
    let (printed, output) = finish_after(command, |child| {
        let run = act(child);
        let before = before.as_deref().filter(|_| run == Run::New);
        assert_eq!(status_without_reader(home, before), "completed");
        let mut printed = String::new();
        child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        printed
    });
    (printed, output.status.code())
}

/// The text of all events.
fn text(lines: &str) -> String {
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter_map(|event| event["delta"].as_str().map(str::to_owned)).collect()
}

#[test]
fn an_answer_waits_for_a_reader_that_sleeps() {
    let home = Home::new();
    let input = format!("stream {}", words());
    let base = ["invoke", "--emulator", "--user-isolation-key", "acme"];
    for (more, shown) in [
        (&["-o", "jsonl"][..], text as fn(&str) -> String),
        (&[], |printed| printed.trim_end().to_owned()),
        (&["-o", "json"], |printed| {
            serde_json::from_str::<Value>(printed).unwrap()["text"].as_str().unwrap().to_owned()
        }),
    ] {
        let arguments = [&base[..], more, &[&input]].concat();
        let (printed, code) = unread(&home, &mut home.command(&arguments), |_| Run::New);
        assert_eq!(code, Some(0), "{more:?}");
        assert!(shown(&printed) == words(), "{more:?}: {} bytes", printed.len());
    }
    let (printed, code) = unread(&home, &mut home.command(&[&base[..], &["-o", "raw", &input]].concat()), |_| Run::New);
    assert_eq!((code, printed.contains(&format!("word{}", WORDS - 1))), (Some(0), true));
    // What others print of the same run.
    let run = newest(&home).unwrap();
    let (printed, code) = unread(&home, &mut home.command(&["runs", "attach", &run]), |_| Run::Old);
    assert_eq!((printed.trim_end() == words(), code), (true, Some(0)));
    let mut chat = home.command(&["chat", "--emulator"]);
    let (printed, code) = unread(&home, chat.stdin(Stdio::piped()), |child| {
        writeln!(child.stdin.take().unwrap(), "{input}").unwrap();
        Run::New
    });
    assert_eq!((printed.trim_end() == words(), code), (true, Some(0)));
    finish(home.command(&["stop", "--force"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_behind_attach_may_read_late() {
    let home = Home::new();
    for framing in [Framing::Ndjson, Framing::Lsp] {
        let (mut bridge, mut program) = home.attach(&["--emulator"], framing);
        let before = newest(&home);
        let params = json!({"input": format!("stream {}", words()), "partialResultToken": 1});
        let id = program.request("invoke", params).await;
        tokio::task::block_in_place(|| {
            assert_eq!(status_without_reader(&home, before.as_deref()), "completed");
        });
        let answer = loop {
            let message = program.next().await;
            if message["id"] == id {
                break message;
            }
        };
        assert!(answer["result"]["text"] == words());
        program.leave().await;
        assert!(bridge.ended().success());
    }
    finish(home.command(&["stop", "--force"]));
}

#[test]
fn a_reader_that_goes_away_ends_a_command_that_waits_for_it() {
    let home = Home::new();
    let input = format!("stream {}", words());
    let ((), output) = finish_after(home.command(&["invoke", "--emulator", "-o", "jsonl", &input]), |child| {
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    });
    assert_eq!(output.status.code(), Some(141));
    finish(home.command(&["stop", "--force"]));
}

#[test]
fn an_input_that_is_too_long_is_a_wrong_command_line_wherever_it_comes_from() {
    let home = Home::new();
    let file = home.path("long.txt");
    std::fs::write(&file, "x".repeat(17_000_000)).unwrap();
    for (arguments, named) in [
        (vec!["-f", file.to_str().unwrap()], file.to_str().unwrap()),
        (vec!["-f", "-"], "standard input"),
        (vec!["-"], "standard input"),
    ] {
        let mut command = home.command(&[&["invoke", "--emulator"][..], &arguments].concat());
        command.stdin(std::fs::File::open(&file).unwrap()).stderr(Stdio::piped());
        let output = finish(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named) && said.contains("16 MiB (16777216 bytes)"), "{said}");
    }
    assert!(!home.socket().exists(), "a daemon was started for it");
}

/// Reads lines until one holds these words.
fn read_until(lines: &mut impl BufRead, wanted: &str) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended; {wanted:?} is not in {read:?}");
        read.push(line);
        if read.last().is_some_and(|line| line.contains(wanted)) {
            return read;
        }
    }
}

#[test]
fn a_followed_log_continues_after_the_daemon_was_killed_or_stopped_and_repeats_nothing() {
    let home = Home::new();
    let mut emulator = Process::start(home.command(&["emulator", "--listen", "127.0.0.1:0", "--json"]));
    let ready: Value = serde_json::from_str(&emulator.first_line()).unwrap();
    let target = format!("--emulator={}", ready["url"].as_str().unwrap());
    let invoke = |input: &str| {
        let output = finish(home.command(&["invoke", &target, "--user-isolation-key", "acme", input]));
        assert!(output.status.success());
    };
    for output in ["default", "jsonl"] {
        invoke("one");
        let arguments = ["monitor", &target, "--user-isolation-key", "acme", "--follow", "--tail", "1", "-o", output];
        let ((), ended) = finish_after(home.command(&arguments).stderr(Stdio::piped()), |child| {
            let mut log = BufReader::new(child.stdout.take().unwrap());
            let mut said = BufReader::new(child.stderr.take().unwrap());
            let mut printed = read_until(&mut log, "POST /responses 200");
            let daemon = call(&home.socket(), "daemon/status")["result"]["processId"].as_i64().unwrap();
            kill_process(Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap(), Signal::KILL).unwrap();
            // It starts the next daemon by itself.
            read_until(&mut said, "the daemon exited; the log continues");
            invoke("two");
            printed.extend(read_until(&mut log, "POST /responses 200"));
            finish(home.command(&["stop"]));
            read_until(&mut said, "the daemon was stopped; the log continues when it runs again");
            until("it did not withdraw", || !home.socket().exists());
            let again = finish(home.command(&["stop"]).stdout(Stdio::piped()));
            assert_eq!(String::from_utf8_lossy(&again.stdout), "no daemon is running\n", "it was started again");
            invoke("three");
            printed.extend(read_until(&mut log, "POST /responses 200"));
            let turns = printed.iter().filter(|line| line.contains("POST /responses 200")).count();
            assert_eq!(turns, 3, "{printed:#?}");
            child.kill().unwrap();
        });
        assert!(!ended.status.success());
    }
    finish(home.command(&["stop", "--force"]));
    emulator.signal(Signal::TERM);
    emulator.ended();
}
