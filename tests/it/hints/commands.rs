//! Hints of the command line itself: what it refuses before anything is sent.

use super::{Stopped, advice, command, run};
use crate::support::deployed::Deployed;
use crate::support::{Home, Process, finish, finish_after};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// A command that is given this on standard input.
fn fed(home: &Home, line: &str, input: &[u8]) -> Output {
    let mut command = command(home, line);
    command.stdin(Stdio::piped());
    finish_after(command, |child| child.stdin.take().unwrap().write_all(input).unwrap()).1
}

#[test]
fn command_lines_that_are_refused_say_how_they_are_meant() {
    let home = Stopped::new();
    fs::write(home.path("message.txt"), "hello").unwrap();
    fs::write(home.path("binary"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(home.path("long.txt"), vec![b'x'; 16 * 1024 * 1024 + 1]).unwrap();
    // Every byte of it is six in JSON.
    fs::write(home.path("quoted.txt"), vec![1; 15 * 1024 * 1024]).unwrap();
    for (refused, hint, followed) in [
        (
            "invoke --emulator -n notes hello world",
            advice("is part of the message, put the whole message in quotes"),
            &["invoke --emulator -n notes hello~world"][..],
        ),
        (
            "invoke --emulator hello world",
            advice("if both words are the message, put them in quotes"),
            &["invoke --emulator hello~world"],
        ),
        (
            "sessions prune --emulator --older-than 0s",
            advice("add --yes to delete them, or --dry-run"),
            &["sessions prune --emulator --older-than 0s --dry-run", "sessions prune --emulator --older-than 0s --yes"],
        ),
        (
            "invoke --emulator",
            advice("pass it as the last argument, pass -f FILE"),
            &["invoke --emulator hello", "invoke --emulator -f message.txt"],
        ),
        (
            "invoke --emulator --detach -o raw hello",
            advice("omit --detach or -o raw"),
            &["invoke --emulator --detach hello", "invoke --emulator -o raw hello"],
        ),
        (
            "invoke --emulator --survive -o raw hello",
            advice("omit --survive or -o raw"),
            &["invoke --emulator --survive hello", "invoke --emulator -o raw hello"],
        ),
        (
            "invoke --emulator -f long.txt",
            advice("`, and name the file in the message"),
            &["files upload --emulator long.txt", "invoke --emulator what~is~in~long.txt?"],
        ),
        (
            "invoke --emulator -f quoted.txt",
            advice("upload large data as a file with"),
            &["files upload --emulator quoted.txt"],
        ),
        (
            "invoke --emulator -f binary",
            advice("to send binary data, upload it to the session"),
            &["files upload --emulator binary"],
        ),
        (
            "files download --emulator .",
            advice("pass a name with --target-path FILE"),
            &["files download --emulator . --target-path copy --recursive"],
        ),
    ] {
        let mut given = hint.given_by(&run(&home, refused));
        for line in followed {
            given = given.works(&run(&home, line));
        }
        given.done();
    }
    let given = advice("or pass - to read standard input").given_by(&run(&home, "invoke --emulator"));
    given.works(&fed(&home, "invoke --emulator -", b"hello")).done();
    let given = advice("name the file in the session with --target-path PATH");
    let given = given.given_by(&fed(&home, "files upload --emulator -", b"text"));
    given.works(&fed(&home, "files upload --emulator - --target-path a", b"text")).done();
}

#[test]
fn the_url_of_an_emulator_stands_behind_an_equals_sign() {
    let home = Stopped::new();
    let mut emulator = Process::start(command(&home, "emulator --listen 127.0.0.1:0 --json"));
    let started: serde_json::Value = serde_json::from_str(&emulator.first_line()).unwrap();
    let url = started["url"].as_str().unwrap();
    let given = advice("write --emulator=URL with `=`");
    let given = given.given_by(&run(&home, &format!("invoke --emulator {url} hello")));
    given.works(&run(&home, &format!("invoke --emulator={url} hello"))).done();
}

#[test]
fn a_log_is_followed_as_lines_of_json() {
    let home = Stopped::new();
    assert!(run(&home, "invoke --emulator hello").status.success());
    let given =
        advice("use -o jsonl, which prints one line").given_by(&run(&home, "monitor --emulator --follow -o json"));
    let mut following = Process::start(command(&home, "monitor --emulator --follow -o jsonl"));
    given.helps(following.first_line().starts_with('{')).done();
}

#[test]
fn a_chat_lists_its_commands() {
    let home = Stopped::new();
    let said = fed(&home, "chat --emulator", b"/nothing\n");
    let given = advice("type /help for a list of commands").given_by(&said);
    let help = fed(&home, "chat --emulator", b"/help\n");
    given.works(&help).helps(String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("/quit")).done();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_told_where_and_for_whom() {
    // Whose state it becomes depends on who has signed in.
    let deployed = Deployed::start().await;
    let (home, path) = (&deployed.home, deployed.path_variable());
    let run = |line: &str| finish(command(home, line).env("PATH", &path));
    let config = r#"{"extensions":{"ai-agents":{"sessions":{
        "acct.services.ai.azure.com/api/projects/p/agents/notes/versions/1/remote":"session-one"}}}}"#;
    fs::create_dir_all(home.path("elsewhere")).unwrap();
    fs::write(home.path("elsewhere/config.json"), config).unwrap();
    let import = "import azd --unisolated --dry-run --isolation-model keys";
    let given = advice("if azd uses another directory, pass --azd-config-dir").given_by(&run(import));
    let given = given.works(&run(&format!("{import} --azd-config-dir elsewhere")));
    given.works(&finish(command(home, import).env("PATH", &path).env("AZD_CONFIG_DIR", home.path("elsewhere")))).done();

    let homeless = |line: &str| {
        let mut command = command(home, line);
        command.env_remove("HOME").env("CUPOLA_STATE_DIR", home.path("state")).env("PATH", &path);
        finish(command)
    };
    let given = advice("pass --azd-config-dir PATH, or set").given_by(&homeless(import));
    given.works(&homeless(&format!("{import} --azd-config-dir elsewhere"))).done();
    finish(command(home, "stop").env("CUPOLA_STATE_DIR", home.path("state")));

    let import = "import azd --dry-run --isolation-model keys --azd-config-dir elsewhere";
    let given = advice("that apply to all sessions, or pass --unisolated").given_by(&run(import));
    let given = given.works(&run(&format!("{import} --user-isolation-key acme")));
    given.works(&run(&format!("{import} --unisolated"))).done();
    deployed.end().await;
}

#[test]
fn a_variable_that_is_empty_can_be_set_unset_or_ignored() {
    let home = Stopped::new();
    let with = |value: Option<&str>, line: &str| {
        let mut command = command(&home, line);
        if let Some(value) = value {
            command.env("CUPOLA_USER_ISOLATION_KEY", value);
        }
        finish(command)
    };
    let invoke = "invoke --emulator hello";
    let given = advice("or ignore the variables with --no-env").given_by(&with(Some(""), invoke));
    let given = given.works(&with(Some("acme"), invoke)).works(&with(None, invoke));
    given.works(&with(Some(""), "invoke --emulator --no-env hello")).done();
}

#[test]
fn a_profile_says_where_it_is_written_and_how() {
    let home = Stopped::new();
    let invoke = "invoke --profile acme hello";
    let path = home.path(".config/cupola/profiles.toml");
    let write = |text: &str, mode: u32| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let given = advice("], then its fields").given_by(&run(&home, invoke));
    write("[acme]\nemulator = true\nuser_isolation_key = \"tenant-acme\"\n", 0o600);
    given.works(&run(&home, invoke)).done();

    let homeless = |variable: &str, line: &str| {
        let mut command = command(&home, line);
        command.env_remove("HOME").env("CUPOLA_STATE_DIR", home.path("state")).env(variable, home.path(".config"));
        finish(command)
    };
    let given = advice("set one of them, or use flags").given_by(&homeless("UNUSED", invoke));
    let given = given.works(&homeless("XDG_CONFIG_HOME", invoke));
    given.works(&homeless("UNUSED", "invoke --emulator --user-isolation-key tenant-acme hello")).done();
    finish(command(&home, "stop").env("CUPOLA_STATE_DIR", home.path("state")));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(&home, invoke);
    let given = advice("; or name variables instead: user_isolation_key_env").given_by(&refused);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let given = given.works(&run(&home, invoke));
    write("[acme]\nemulator = true\nuser_isolation_key_env = \"ACME_KEY\"\n", 0o644);
    given.works(&finish(command(&home, invoke).env("ACME_KEY", "tenant-acme"))).done();

    let given = advice("set the variable, or remove --no-env").given_by(&run(&home, invoke));
    let given = given.works(&finish(command(&home, invoke).env("ACME_KEY", "tenant-acme")));
    let mut silenced = command(&home, "invoke --profile acme --no-env hello");
    let refused = finish(silenced.env("ACME_KEY", "tenant-acme"));
    assert!(!refused.status.success(), "{refused:?}");
    given.done();
}

#[test]
fn standard_input_is_stored_where_there_is_room() {
    let home = Stopped::new();
    assert!(run(&home, "invoke --emulator hello").status.success());
    fs::create_dir(home.path("roomy")).unwrap();
    fs::create_dir(home.path("full")).unwrap();
    let upload = "files upload --emulator - --target-path a";
    let within = |directory: &str| {
        let mut command = command(&home, upload);
        command.env("TMPDIR", home.path(directory)).stdin(Stdio::piped());
        finish_after(command, |child| child.stdin.take().unwrap().write_all(b"text").unwrap()).1
    };
    let given = advice("set TMPDIR to a directory that exists and has room").given_by(&within("nowhere"));
    given.works(&within("roomy")).done();
    // A limit on the size of files stands in for a full disk.
    let limited = format!("trap '' XFSZ; ulimit -f 1; exec {} {upload}", env!("CARGO_BIN_EXE_cupola"));
    let mut full = Command::new("bash");
    full.args(["-c", &limited]).env_clear().env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("run"));
    full.env("TMPDIR", home.path("full")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ((), refused) = finish_after(full, |child| {
        let _ = child.stdin.take().unwrap().write_all(&vec![b'x'; 64 * 1024]);
    });
    advice("until it is sent; set TMPDIR").given_by(&refused).works(&within("roomy")).done();
}

#[test]
fn a_directory_handed_over_takes_a_method_that_transfers() {
    let home = Stopped::new();
    fs::write(home.path("input"), "{\"id\":1,\"method\":\"files/list\"}\n").unwrap();
    let attach = |flags: &str| {
        let mut command = command(&home, &format!("attach --emulator {flags}"));
        command.stdin(fs::File::open(home.path("input")).unwrap());
        finish(command)
    };
    let given =
        advice("add --only files/upload or --only files/download").given_by(&attach("--files . --only files/list"));
    let given = given.works(&attach("--files . --only files/list --only files/upload"));
    let given = given.works(&attach("--files . --only files/list --only files/download"));
    given.works(&attach("--only files/list")).done();
}
