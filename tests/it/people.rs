//! What a person at a terminal sees and types: tables that fit, the beginnings of ids, coloured labels, what a command waits for,
//! sessions that are cleared away, completions, and the words of other tools.

use crate::cli::{answer, say, scripted};
use crate::support::{Home, Terminal, finish, finish_after};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;

/// Two sessions of acme and one of contoso.
const SESSIONS: [(&str, &str); 3] = [
    ("acme", "session-acme-0001-of-a-script"),
    ("acme", "session-acme-0002-of-a-script"),
    ("contoso", "session-contoso-1"),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(home: &Home, words: &[&str]) -> Output {
    finish(home.command(words).stderr(Stdio::piped()))
}

/// A command for the emulator, as this user.
fn of<'a>(user: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--emulator", "--user-isolation-key", user]].concat()
}

fn with_sessions() -> Home {
    let home = Home::new();
    for (user, id) in SESSIONS {
        let made = run(&home, &of(user, &["sessions", "create", "--session-id", id]));
        assert!(made.status.success(), "{made:?}");
    }
    home
}

fn sessions(home: &Home, user: &str) -> Vec<String> {
    let listed: Value = serde_json::from_slice(&run(home, &of(user, &["sessions", "list"])).stdout).unwrap();
    let ids = listed["data"].as_array().unwrap().iter().map(|session| session["agent_session_id"].as_str().unwrap());
    let mut ids: Vec<_> = ids.map(str::to_owned).collect();
    ids.sort();
    ids
}

/// A terminal of this width.
fn terminal(columns: u16) -> (Terminal, File) {
    let (person, program) = Terminal::new();
    let sized = Command::new("stty")
        .args(["rows", "24", "cols", &columns.to_string()])
        .stdin(program.try_clone().unwrap())
        .status();
    assert!(sized.unwrap().success());
    (person, program)
}

/// What a command shows on a terminal of this width.
fn shown(home: &Home, columns: u16, words: &[&str]) -> String {
    let (person, program) = terminal(columns);
    let mut command = home.command(words);
    command.stderr(program.try_clone().unwrap()).stdout(program);
    finish(command);
    text(&person.all()).replace("\r\n", "\n")
}

fn stop(home: &Home) {
    assert!(run(home, &["stop"]).status.success());
}

#[test]
fn a_list_without_an_agent_shows_all_agents_of_the_emulator_that_is_named() {
    let home = Home::new();
    for agent in ["notes", "notes-identity"] {
        let asked = run(&home, &["invoke", "--emulator", "--agent-name", agent, "hello"]);
        assert!(asked.status.success(), "{asked:?}");
    }
    let agents = |words: &[&str], list: &str, variables: &[(&str, &str)]| {
        let mut command = home.command(words);
        command.envs(variables.iter().copied()).stderr(Stdio::piped());
        let listed: Value = serde_json::from_slice(&finish(command).stdout).unwrap();
        let mut agents: Vec<_> =
            listed[list].as_array().unwrap().iter().map(|one| one["agent"].as_str().unwrap().to_owned()).collect();
        agents.sort();
        agents
    };
    let both = ["emulator/notes", "emulator/notes-identity"];
    let nowhere = "--project-endpoint=https://acct.services.ai.azure.com/api/projects/p";
    for list in ["runs", "partitions"] {
        assert_eq!(agents(&[list, "list", "--emulator"], list, &[]), both);
        assert_eq!(agents(&[list, "list", "--emulator=http://127.0.0.1:9"], list, &[]), [""; 0]);
        assert_eq!(agents(&[list, "list", nowhere], list, &[]), [""; 0]);
        assert_eq!(agents(&[list, "list", "--emulator", "-n", "notes"], list, &[]), both[..1]);
        assert_eq!(agents(&[list, "list", "--emulator"], list, &[("CUPOLA_AGENT", "notes")]), both[..1]);
    }
    // An isolation's runs are those of the agent that a call would reach.
    assert_eq!(agents(&["runs", "list", "--emulator", "--user-isolation-key", "acme"], "runs", &[]), [""; 0]);
    stop(&home);
}

#[test]
fn prune_deletes_what_is_old_enough_and_only_in_its_own_scope() {
    let home = with_sessions();
    let prune = |words: &[&str]| run(&home, &of("acme", &[&["sessions", "prune"], words].concat()));
    let young = prune(&["--older-than", "1h", "--yes"]);
    assert_eq!((text(&young.stdout).as_str(), young.status.code()), ("No session is that old.\n", Some(0)));
    let dry = prune(&["--older-than", "0s", "--dry-run"]);
    assert!(text(&dry.stdout).contains("Nothing was deleted: --dry-run. Without it, 2 sessions would be."), "{dry:?}");
    let refused = prune(&["--older-than", "0s"]);
    assert_eq!(refused.status.code(), Some(2), "nobody could be asked: {refused:?}");
    assert_eq!(sessions(&home, "acme").len(), 2);

    let pruned = prune(&["--older-than", "0s", "--yes", "-o", "json"]);
    let said: Value = serde_json::from_slice(&pruned.stdout).unwrap();
    assert_eq!((said["deleted"].as_array().unwrap().len(), said["kept"].as_array().unwrap().len()), (2, 0), "{said}");
    assert_eq!((sessions(&home, "acme").len(), sessions(&home, "contoso").len()), (0, 1));

    // The service lists what another chat of the user made, and it is not the command's to delete.
    assert!(run(&home, &of("acme", &["invoke", "--chat", "c1", "hello"])).status.success());
    for words in [["--older-than", "0s", "--dry-run"], ["--older-than", "0s", "--yes"]] {
        let left = prune(&[&words[..], &["-o", "json"]].concat());
        let said: Value = serde_json::from_slice(&left.stdout).unwrap();
        assert_eq!((&said["wouldDelete"], &said["deleted"], left.status.code()), (&json!([]), &json!([]), Some(0)));
        assert_eq!(said["kept"].as_array().unwrap().len(), 1, "{said}");
    }
    stop(&home);
}

#[test]
fn prune_asks_at_a_terminal_and_takes_nothing_but_yes() {
    let home = with_sessions();
    for (typed, left) in [("\n", 2), ("n\n", 2), ("y\n", 0)] {
        let (mut person, program) = terminal(100);
        let mut command = home.command(&of("acme", &["sessions", "prune", "--older-than", "0s"]));
        command.stdin(program.try_clone().unwrap()).stderr(program.try_clone().unwrap()).stdout(program);
        let ((), done) = finish_after(command, |_| {
            let listed = person.look_for("Delete 2 sessions and all their files? [y/N] ");
            assert!(listed.contains("session-acme-0001-of-a-script"), "{listed}");
            person.press(typed);
        });
        assert_eq!((done.status.code(), sessions(&home, "acme").len()), (Some(0), left), "{typed:?}");
        let said = text(&person.all());
        assert!(said.contains(if left == 0 { "Deleted 2 sessions." } else { "Nothing was deleted." }), "{said}");
    }
    stop(&home);
}

#[test]
fn the_beginning_of_an_id_is_accepted_when_it_is_the_only_one() {
    let home = with_sessions();
    let session = |words: &[&str]| run(&home, &of("acme", &[&["sessions"], words].concat()));
    for given in ["session-acme-0002", "session-acme-0002-o…"] {
        let one: Value = serde_json::from_slice(&session(&["show", given]).stdout).unwrap();
        assert_eq!(one["agent_session_id"], "session-acme-0002-of-a-script", "{given}");
    }
    let several = session(&["delete", "session-acme"]);
    let said = text(&several.stderr);
    assert!(said.contains("session-acme-0001-of-a-script, session-acme-0002-of-a-script"), "{said}");
    assert_eq!((several.status.code(), sessions(&home, "acme").len()), (Some(2), 2));
    let deleted = session(&["delete", "session-acme-0001"]);
    assert_eq!(text(&deleted.stdout), "Deleted session session-acme-0001-of-a-script.\n");
    assert_eq!(sessions(&home, "acme"), ["session-acme-0002-of-a-script"]);
    let foreign = session(&["show", "session-contoso"]);
    assert_eq!(foreign.status.code(), Some(4), "sessions of others are not candidates: {foreign:?}");

    let detached = run(&home, &of("acme", &["invoke", "--detach", "hello"]));
    let id = text(&detached.stdout).trim().to_owned();
    let one: Value = serde_json::from_slice(&run(&home, &["runs", "show", &id[..12]]).stdout).unwrap();
    assert_eq!(one["runId"], id.as_str());
    assert_eq!(text(&run(&home, &["runs", "attach", &id[..12]]).stdout), "echo: hello\n");
    let listed: Value = serde_json::from_slice(&run(&home, &["partitions", "list"]).stdout).unwrap();
    let partition = listed["partitions"][0]["id"].as_str().unwrap();
    let forgot = run(&home, &["partitions", "forget", &partition[..6]]);
    assert!(text(&forgot.stdout).starts_with("Forgot the saved session"), "{forgot:?}");
    stop(&home);
}

#[test]
fn lists_are_tables_that_fit_on_a_terminal_and_json_elsewhere() {
    let home = with_sessions();
    assert!(run(&home, &of("acme", &["invoke", "hello"])).status.success());
    for (words, header) in [
        (&["sessions", "list"][..], "SESSION ID"),
        (&["runs", "list"], "RUN ID"),
        (&["partitions", "list"], "ID"),
        (&["agents", "list"], "NAME"),
    ] {
        let words = of("acme", words);
        for columns in [80, 200] {
            let table = shown(&home, columns, &words);
            assert!(table.starts_with(header), "{words:?}: {table}");
            let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(columns), "{words:?} takes {widest} columns: {table}");
        }
        assert!(serde_json::from_slice::<Value>(&run(&home, &words).stdout).is_ok(), "{words:?}");
    }
    let table = shown(&home, 80, &of("acme", &["sessions", "list"]));
    assert!(
        table.contains("s ago") && table.contains("in ") && table.contains(" d\n"),
        "times are shown as ages when the table is too wide: {table}"
    );
    assert!(shown(&home, 200, &of("acme", &["sessions", "list"])).contains("Z  "), "and times where there is");
    stop(&home);
}

#[test]
fn labels_have_colours_on_a_terminal_unless_told_otherwise() {
    let home = Home::new();
    let on = |variables: &[(&str, &str)]| {
        let (person, program) = terminal(80);
        let mut command = home.command(&["invoke", "--emulator"]);
        command.stderr(program).envs(variables.iter().copied());
        finish(command);
        text(&person.all())
    };
    let said = on(&[]);
    assert!(
        said.starts_with("\u{1b}[1;31merror:\u{1b}[0m ") && said.contains("\n\u{1b}[32mhint:\u{1b}[0m "),
        "{said:?}"
    );
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let said = on(&variables);
        assert!(said.starts_with("error: ") && !said.contains('\u{1b}'), "{said:?}");
    }
    let piped = run(&home, &["invoke", "--emulator"]);
    assert!(text(&piped.stderr).starts_with("error: "), "{piped:?}");
}

#[test]
fn a_person_sees_what_is_waited_for_until_the_answer_comes() {
    let home = Home::new();
    let (seen, waits) = channel::<()>();
    let daemon = scripted(&home, move |stream| {
        waits.recv().unwrap();
        say(stream, &answer("completed", "done"));
    });
    let (mut person, program) = terminal(80);
    let mut command = home.command(&["invoke", "--emulator", "hello"]);
    command.stderr(program);
    let ((), done) = finish_after(command, |_| {
        // Which seconds are shown depends on how busy the machine is.
        for _ in 0..2 {
            person.look_for("waiting for the agent: ");
            person.look_for(" s; a new session can take 90 s to start");
        }
        seen.send(()).unwrap();
    });
    assert_eq!(text(&done.stdout), "done\n", "{done:?}");
    daemon.join().unwrap();
    let shown = text(&person.all());
    assert!(shown.ends_with("\r\u{1b}[2K"), "the line stays: {shown:?}");
}

#[test]
fn bash_completes_what_only_the_daemon_and_the_service_know() {
    let home = with_sessions();
    let profiles = home.path(".config/cupola/profiles.toml");
    fs::create_dir_all(profiles.parent().unwrap()).unwrap();
    fs::write(profiles, "[acme]\nemulator = true\n[contoso]\nemulator = true\n").unwrap();
    let completed = |line: &str| {
        let script = r#"source <("$0" completions bash)
            COMP_LINE="$1"; COMP_POINT=${#1}; read -ra COMP_WORDS <<< "$1"; [[ "$1" == *" " ]] && COMP_WORDS+=("")
            COMP_WORDS[0]="$0"
            COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
            _cupola_with_values "$0" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut command = Command::new("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_cupola"), line]).env_clear().stdin(Stdio::null());
        command.env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("run")).env("PATH", "/usr/bin:/bin");
        let output = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut words: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
        words.sort();
        words
    };
    let acme = ["session-acme-0001-of-a-script", "session-acme-0002-of-a-script"];
    assert_eq!(completed("cupola sessions show --emulator --user-isolation-key acme "), acme);
    assert_eq!(completed("cupola sessions show --emulator --user-isolation-key acme session-acme-0002"), acme[1..]);
    assert_eq!(completed("cupola invoke --emulator --agent-name notes-r"), ["notes-required"]);
    assert_eq!(completed("cupola chat --profile "), ["acme", "contoso"]);
    let detached = run(&home, &of("acme", &["invoke", "--detach", "hello"]));
    assert_eq!(completed("cupola runs show "), [text(&detached.stdout).trim()]);
    assert!(completed("cupola sessions pru").contains(&"prune".to_owned()), "commands are still completed");
    stop(&home);
}

#[test]
fn the_words_of_other_tools_are_understood() {
    let home = Home::new();
    let version = run(&home, &["version"]);
    assert_eq!(text(&version.stdout), text(&run(&home, &["--version"]).stdout));
    let login = run(&home, &["login"]);
    assert!(text(&login.stderr).contains("`az login`") && login.status.code() == Some(2), "{login:?}");
    assert!(run(&home, &["invoke", "--emulator", "hello"]).status.success());
    let log = run(&home, &["logs", "--emulator"]);
    assert!(log.status.success() && !log.stdout.is_empty(), "{log:?}");
    let agent: Value = serde_json::from_slice(&run(&home, &["show", "--emulator"]).stdout).unwrap();
    assert_eq!(agent["agent"]["name"], "notes");
    stop(&home);
}

#[test]
fn show_without_an_id_shows_the_newest_run_of_what_is_named() {
    let home = Home::new();
    let none = run(&home, &["runs", "show"]);
    assert_eq!(none.status.code(), Some(4), "{none:?}");
    for user in ["acme", "contoso"] {
        assert!(run(&home, &of(user, &["invoke", &format!("remember we are {user}")])).status.success());
    }
    let question = |words: &[&str]| {
        let shown = run(&home, words);
        serde_json::from_slice::<Value>(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"))["question"].clone()
    };
    assert_eq!(question(&["runs", "show"]), "remember we are contoso");
    assert_eq!(question(&of("acme", &["runs", "show"])), "remember we are acme");
    stop(&home);
}

#[test]
fn deleting_what_never_existed_succeeds_and_is_not_called_a_deletion() {
    let home = with_sessions();
    let delete = |id: &str| run(&home, &of("acme", &["sessions", "delete", id]));
    let never = delete("session-that-never-was");
    let said = text(&never.stdout);
    assert_eq!(never.status.code(), Some(0), "the service says so: {never:?}");
    assert!(said.starts_with("Found no session session-that-never-was to delete"), "{said}");
    let there = delete(SESSIONS[0].1);
    assert_eq!(text(&there.stdout), format!("Deleted session {}.\n", SESSIONS[0].1));
    stop(&home);
}
