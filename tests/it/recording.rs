//! `invoke --record` and `emulator --record`: what they keep is answered again by a `replay:FILE` agent, to the same user alone.

use crate::support::{Home, Process, TestEmulator, finish};
use cupola_emulator::container::Runtime;
use cupola_emulator::recording::replay::Replay;
use cupola_emulator::stock_agents;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut command = home.command(arguments);
    command.stderr(Stdio::piped()).current_dir(home.path(""));
    finish(command)
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An emulator whose agent of this name has nothing but the recording, and a home that finds it.
async fn replaying(file: &Path, agent: &str) -> (Home, TestEmulator, String) {
    let replay: Arc<dyn Runtime> = Arc::new(Replay::of(file, agent, false).unwrap());
    let mut emulator = TestEmulator::with(|options| options.agents = stock_agents(&replay)).await;
    let home = Home::new();
    emulator.list_in(&home);
    let target = format!("--emulator=http://{}", emulator.address());
    (home, emulator, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_invokes_are_answered_again_without_the_agent_and_to_the_same_user_alone() {
    for (agent, who, other) in [
        ("notes", ["--user-isolation-key", "tenant-acme"], ["--user-isolation-key", "tenant-contoso"]),
        ("notes-identity", ["--user-identity", "alice@contoso.com"], ["--user-identity", "bob@contoso.com"]),
    ] {
        let home = Home::new();
        let invoke = |text: &str, more: &[&str]| {
            run(&home, &[&["invoke", "--emulator", "-n", agent, "--record", "a.jsonl", text], &who[..], more].concat())
        };
        let remembered = stdout(&invoke("remember the code is 4711", &[]));
        assert_eq!(remembered, "Remembered: the code is 4711\n");
        // The whole result, too, and one more exchange in the same file.
        let result: Value = serde_json::from_str(&stdout(&invoke("what do you remember?", &["-o", "json"]))).unwrap();
        assert!(result["text"].as_str().unwrap().contains("4711"), "{result}");
        let invocation = stdout(&invoke("hello", &["--protocol", "invocations"]));

        let file = home.path("a.jsonl");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let kept = fs::read_to_string(&file).unwrap();
        assert_eq!(kept.lines().count(), 4, "{kept}");
        let session = result["sessionId"].as_str().unwrap();
        for secret in [who[1], session, result["responseId"].as_str().unwrap(), "Bearer", "eyJ"] {
            assert!(!kept.contains(secret), "{secret} is in {kept}");
        }

        let (replaying, emulator, target) = replaying(&file, agent).await;
        let again = |text: &str, who: &[&str], more: &[&str]| {
            run(&replaying, &[&["invoke", &target, "-n", agent, text], who, more].concat())
        };
        let refused = again("remember the code is 4711", &other, &[]);
        assert!(!refused.status.success() && !stderr(&refused).contains("Remembered"), "{refused:?}");
        assert!(stderr(&refused).contains("a.jsonl") && stderr(&refused).contains("POST /responses"), "{refused:?}");
        assert_eq!(stdout(&again("remember the code is 4711", &who, &[])), remembered);
        let replayed: Value =
            serde_json::from_str(&stdout(&again("what do you remember?", &who, &["-o", "json"]))).unwrap();
        assert_eq!(replayed["text"], result["text"]);
        assert_ne!(replayed["sessionId"], result["sessionId"], "ids are this run's");
        assert_eq!(stdout(&again("hello", &who, &["--protocol", "invocations"])), invocation);
        emulator.end().await;
    }
}

#[test]
fn a_prompt_is_kept_only_if_it_may_be_and_a_file_of_another_kind_is_left_as_it_is() {
    let home = Home::new();
    let invoke = |file: &str, more: &[&str]| {
        run(&home, &[&["invoke", "--emulator", "--record", file, "remember my secret plan"], more].concat())
    };
    stdout(&invoke("a.jsonl", &["--record-without-prompts"]));
    let kept = fs::read_to_string(home.path("a.jsonl")).unwrap();
    assert!(!kept.contains("remember my secret plan"), "{kept}");
    let refused = invoke("a.jsonl", &[]);
    assert!(stderr(&refused).contains("keeps no prompts"), "{refused:?}");
    assert_eq!(fs::read_to_string(home.path("a.jsonl")).unwrap(), kept);

    fs::write(home.path("mine.txt"), "mine").unwrap();
    fs::set_permissions(home.path("mine.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let refused = invoke("mine.txt", &[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(fs::read_to_string(home.path("mine.txt")).unwrap(), "mine");
    for format in ["raw", "jsonl"] {
        assert_eq!(invoke("b.jsonl", &["-o", format]).status.code(), Some(2));
    }
    assert!(!home.path("b.jsonl").exists());
}

#[test]
fn a_separate_emulator_records_and_replays() {
    let home = Home::new();
    let start = |agents: &str, more: &[&str]| {
        let fixed = ["emulator", "--json", "--listen", "127.0.0.1:0", "--agent", agents];
        let mut command = home.command(&[&fixed, more].concat());
        command.current_dir(home.path("")).stderr(Stdio::piped());
        command
    };
    let ask = |emulator: &mut Process| {
        let ready: Value = serde_json::from_str(&emulator.first_line()).unwrap();
        let target = format!("--emulator={}", ready["url"].as_str().unwrap());
        run(&home, &["invoke", &target, "-n", "mine", "--user-identity", "alice", "hello"])
    };
    let mut emulator = Process::start(start("mine=builtin:notes", &["--record", "mine.jsonl"]));
    let answer = stdout(&ask(&mut emulator));
    emulator.signal(rustix::process::Signal::INT);
    emulator.ended();
    assert_eq!(fs::metadata(home.path("mine.jsonl")).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(home.path("mine.jsonl")).unwrap();

    let refused = finish(start("mine=builtin:notes", &["--record", "mine.jsonl"]));
    assert!(!refused.status.success() && stderr(&refused).contains("exists already"), "{refused:?}");
    assert_eq!(fs::read_to_string(home.path("mine.jsonl")).unwrap(), kept);

    let mut emulator = Process::start(start("mine=replay:mine.jsonl,replay=timed", &[]));
    assert_eq!(stdout(&ask(&mut emulator)), answer);
    emulator.signal(rustix::process::Signal::INT);
    emulator.ended();

    fs::write(home.path("damaged.jsonl"), format!("{kept}nonsense\n")).unwrap();
    let line = format!("line {}", kept.lines().count() + 1);
    for (agent, expected) in [
        ("mine=replay:damaged.jsonl", &*line),
        ("other=replay:mine.jsonl", "it has: mine"),
        ("mine=replay:absent.jsonl", "absent.jsonl"),
        ("mine=builtin:notes,replay=timed", "only a replay:FILE agent has"),
        ("mine=replay:mine.jsonl,replay=soon", "use timed or instant"),
    ] {
        let refused = finish(start(agent, &[]));
        assert!(!refused.status.success() && stderr(&refused).contains(expected), "{agent}: {refused:?}");
    }
}

#[test]
fn a_recording_of_invocations_is_replayed_without_saying_so_again() {
    let home = Home::new();
    let agent = "notes";
    let recorded = run(&home, &["invoke", "--emulator", "-p", "invocations", "--record", "i.jsonl", "hello"]);
    let mut emulator = Process::start(home.command(&[
        "emulator",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--agent",
        &format!("{agent}=replay:{},protocol=1.0.0", home.path("i.jsonl").display()),
    ]));
    let ready: Value = serde_json::from_str(&emulator.first_line()).unwrap();
    let target = format!("--emulator={}", ready["url"].as_str().unwrap());
    let again = run(&home, &["invoke", &target, "-n", agent, "hello"]);
    assert_eq!(stdout(&again), stdout(&recorded));
    emulator.signal(rustix::process::Signal::INT);
    emulator.ended();
}
