//! azd's muscle memory with the real binary: the project around a directory, profiles, and taking over azd's own state.

use crate::support::deployed::{Deployed, HOST, project};
use crate::support::{Terminal, finish_after};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

/// An azd project with two agents, `notes` and `notes-required`, deployed as versions 1; gives a directory far below.
fn azd_project(deployed: &Deployed, services: &str) -> PathBuf {
    let root = deployed.home.path("shop");
    let below = root.join("src/agent");
    fs::create_dir_all(&below).unwrap();
    fs::create_dir_all(root.join(".azure/dev")).unwrap();
    fs::write(root.join("azure.yaml"), format!("name: shop\nservices:\n{services}")).unwrap();
    fs::write(root.join(".azure/config.json"), r#"{"version":1,"defaultEnvironment":"dev"}"#).unwrap();
    let env = format!(
        "FOUNDRY_PROJECT_ENDPOINT=\"{}\"\nAGENT_MY_NOTES_NAME=\"notes\"\nAGENT_MY_NOTES_VERSION=\"1\"\nAGENT_STRICT_NAME=\"notes-required\"\n",
        project()
    );
    fs::write(root.join(".azure/dev/.env"), env).unwrap();
    below
}

const ONE: &str = "  web: {host: containerapp}\n  my-notes: {host: azure.ai.agent}\n";
const TWO: &str = "  my-notes: {host: azure.ai.agent}\n  strict: {host: azure.ai.agent}\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn parsed(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn inside_an_azd_project_nothing_needs_to_be_named_and_it_is_the_same_state_as_when_it_is() {
    let deployed = Deployed::start().await;
    let below = azd_project(&deployed, ONE);
    let key = ["--user-isolation-key", "tenant-acme"];
    let invoke = [&["invoke", "-o", "json"], &key[..], &["remember the milk"]].concat();
    let first = parsed(&deployed.run_in(&below, &[], &invoke).await);
    let named = ["invoke", "--project-endpoint", &project(), "-n", "notes", key[0], key[1], "what do you remember?"];
    let second = deployed.json(&named).await;
    assert!(second["text"].as_str().unwrap().contains("milk"), "{second}");
    assert_eq!((&first["sessionId"], &first["conversationId"]), (&second["sessionId"], &second["conversationId"]));

    // From elsewhere, by its service or by its own name; and a session is bound to the version azd deployed.
    let root = below.parent().unwrap().to_str().unwrap();
    for agent in ["my-notes", "notes"] {
        let listed = deployed.json(&["sessions", "list", "-C", root, "-n", agent, key[0], key[1]]).await;
        assert_eq!(listed["data"][0]["agent_session_id"], first["sessionId"], "{listed}");
    }
    parsed(&deployed.run_in(&below, &[], &["sessions", "create", "-o", "json"]).await);
    let created = deployed.emulator.asked("POST", "sessions").pop().unwrap();
    assert_eq!(created.body["version_indicator"]["agent_version"], "1");
    let listed = parsed(&deployed.run_in(&below, &[], &["agents", "list"]).await);
    assert!(listed["data"].as_array().unwrap().len() >= 4, "{listed}");
    let shown = text(&deployed.run_in(&below, &[], &["agents", "show", "-o", "table"]).await.stdout);
    assert!(shown.contains("keys: --user-isolation-key") && shown.contains("responses 1.0.0"), "{shown}");
    deployed.end().await;
}

#[tokio::test]
async fn several_agents_are_an_error_at_once_without_a_prompt() {
    let deployed = Deployed::start().await;
    let below = azd_project(&deployed, TWO);
    for (arguments, json) in [
        (&["invoke", "hello"][..], false),
        (&["invoke", "-o", "json", "hello"], true),
        (&["sessions", "list", "--no-prompt"], false),
        (&["agents", "show"], false),
    ] {
        let output = deployed.run_in(&below, &[], arguments).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("several agents: my-notes, strict") && said.contains("--agent-name"), "{said}");
        if json {
            let error: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(error["error"]["data"]["kind"], "agentNotChosen");
            assert_eq!(error["error"]["data"]["choices"], json!(["my-notes", "strict"]));
        }
    }
    // The project's list does not need a chosen agent.
    parsed(&deployed.run_in(&below, &[], &["agents", "list"]).await);
    assert!(deployed.emulator.turns().is_empty());
    deployed.end().await;
}

/// Runs a command on a terminal and does something at its question; gives its outcome and what was on the terminal.
async fn asked(
    deployed: &Deployed,
    directory: &Path,
    arguments: &[&str],
    act: fn(&mut Terminal, &Child),
) -> (Output, String) {
    let mut command = deployed.home.command(arguments);
    let (mut terminal, end) = Terminal::new();
    command.current_dir(directory).env("PATH", deployed.path_variable());
    command.stdin(Stdio::from(end.try_clone().unwrap())).stderr(Stdio::from(end));
    tokio::task::spawn_blocking(move || {
        let (seen, output) = finish_after(command, |child| {
            terminal.look_for("Which one? ");
            act(&mut terminal, child);
            terminal.seen
        });
        (output, seen)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn on_a_terminal_one_is_asked_which_agent_is_meant() {
    let deployed = Deployed::start().await;
    let below = azd_project(&deployed, TWO);
    let choose = |terminal: &mut Terminal, _: &Child| terminal.press("1\n");
    let (output, seen) = asked(&deployed, &below, &["invoke", "hello"], choose).await;
    assert!(output.status.success(), "{output:?}");
    assert!(seen.contains("1) my-notes") && seen.contains("2) strict"), "{seen}");
    assert!(text(&output.stdout).contains("hello"), "{output:?}");
    assert_eq!(deployed.emulator.turns().len(), 1);

    let interrupt = |_: &mut Terminal, child: &Child| kill_process(Pid::from_child(child), Signal::INT).unwrap();
    let (output, _) = asked(&deployed, &below, &["invoke", "hello"], interrupt).await;
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    deployed.end().await;
}

#[tokio::test]
async fn a_project_file_cannot_add_a_host_and_says_what_is_wrong_with_it() {
    let deployed = Deployed::start().await;
    let below = azd_project(&deployed, ONE);
    let env = below.join("../../.azure/dev/.env");
    for (line, code, says) in [
        ("FOUNDRY_PROJECT_ENDPOINT=https://evil.example.com/api/projects/p", 3, "may not receive a token"),
        ("FOUNDRY_PROJECT_ENDPOINT=https://acct.services.ai.azure.com:8443/api/projects/p", 2, ".env:2: FOUNDRY"),
        ("not an assignment", 2, ".env:2: "),
        ("", 2, "nothing says where the Foundry project is"),
    ] {
        fs::write(&env, format!("AGENT_MY_NOTES_NAME=notes\n{line}\n")).unwrap();
        let output = deployed.run_in(&below, &[], &["invoke", "hello"]).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(says), "{line}: {said}");
    }
    // The caller's variable is the last resort, and is silenced like all of them.
    let variable = [("FOUNDRY_PROJECT_ENDPOINT", project())];
    let variable = [(variable[0].0, variable[0].1.as_str())];
    let found = deployed.run_in(&below, &variable, &["invoke", "hello"]).await;
    assert!(found.status.success(), "{found:?}");
    let silenced = deployed.run_in(&below, &variable, &["invoke", "--no-env", "hello"]).await;
    assert_eq!(silenced.status.code(), Some(2), "{silenced:?}");
    let outside = deployed.run(&["invoke", "hello"]).await;
    assert!(text(&outside.stderr).contains("there is no azure.yaml"), "{outside:?}");
    deployed.end().await;
}

fn write_profiles(deployed: &Deployed, profiles: &str, mode: u32) {
    let path = deployed.home.path(".config/cupola/profiles.toml");
    fs::write(&path, profiles).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_profile_fills_in_what_flags_and_variables_leave_open() {
    let deployed = Deployed::start().await;
    let place = format!("project_endpoint = \"{}\"\nagent = \"notes\"\n", project());
    write_profiles(
        &deployed,
        &format!(
            "[acme]\n{place}user_isolation_key = \"tenant-acme\"\n[ci]\n{place}user_isolation_key_env = \"CI_KEY\"\n"
        ),
        0o600,
    );
    let keys = |deployed: &Deployed| {
        let turns = deployed.emulator.turns();
        turns.last().unwrap().header("x-agent-user-isolation-key").map(str::to_owned)
    };
    let home = deployed.home.path("");
    for (variables, flags, key) in [
        (&[][..], &["--profile", "acme"][..], "tenant-acme"),
        (&[("CUPOLA_PROFILE", "acme")], &[], "tenant-acme"),
        (&[("CUPOLA_USER_ISOLATION_KEY", "from-env")], &["--profile", "acme"], "from-env"),
        (&[("CUPOLA_USER_ISOLATION_KEY", "from-env")], &["--profile", "acme", "--no-env"], "tenant-acme"),
        (&[], &["--profile", "acme", "--user-isolation-key", "from-flag"], "from-flag"),
        (&[("CI_KEY", "from-ci")], &["--profile", "ci"], "from-ci"),
    ] {
        let output = deployed.run_in(&home, variables, &[&["invoke"], flags, &["hello"]].concat()).await;
        assert!(output.status.success(), "{flags:?}: {output:?}");
        assert_eq!(keys(&deployed).as_deref(), Some(key), "{variables:?} {flags:?}");
    }
    let turns = deployed.emulator.turns().len();
    for (flags, says) in
        [(&["--profile", "ci"][..], "CI_KEY, which is not set"), (&["--profile", "nobody"], "it has acme, ci")]
    {
        let output = deployed.run(&[&["invoke"], flags, &["hello"]].concat()).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(says), "{output:?}");
    }
    write_profiles(&deployed, "[acme]\nuser_isolation_key = \"tenant-acme\"\n", 0o644);
    let open = deployed.run(&["invoke", "--profile", "acme", "hello"]).await;
    let said = text(&open.stderr);
    assert!(said.contains("chmod 600") && !said.contains("tenant-acme"), "{said}");
    assert_eq!(deployed.emulator.turns().len(), turns, "something was sent anyway");
    deployed.end().await;
}

/// azd's own file with these sessions and conversations of the agent `notes`.
fn write_azd(deployed: &Deployed, session: &Value, conversation: &Value) -> PathBuf {
    let key = format!("{HOST}/api/projects/proj1/agents/notes/versions/1/remote");
    let config = json!({"extensions": {"ai-agents": {
        "sessions": {&key: session, "old-agent": "session-old", "localhost:8088/unknown/agents/x/versions/latest/local": "s"},
        "conversations": {&key: conversation},
    }}});
    fs::create_dir_all(deployed.home.path(".azd")).unwrap();
    let path = deployed.home.path(".azd/config.json");
    fs::write(&path, config.to_string()).unwrap();
    path
}

#[tokio::test]
async fn what_azd_has_saved_is_continued_under_the_key_it_is_given() {
    let deployed = Deployed::start().await;
    let acme = ["--user-isolation-key", "tenant-acme"];
    let notes = ["--project-endpoint", &project(), "-n", "notes"];
    // Another state directory stands for azd: the session is the service's, and nothing of it is known here.
    let remember = [&["invoke", "--no-daemon", "-o", "json"], &notes[..], &acme, &["remember the code 4711"]].concat();
    let elsewhere = deployed.home.path("elsewhere");
    let variables = [("CUPOLA_STATE_DIR", elsewhere.to_str().unwrap())];
    let theirs = parsed(&deployed.run_in(Path::new("/"), &variables, &remember).await);
    let file = write_azd(&deployed, &theirs["sessionId"], &theirs["conversationId"]);
    let before = fs::read(&file).unwrap();

    let unnamed = deployed.run(&["import", "azd"]).await;
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(text(&unnamed.stderr).contains("azd does not save which user"), "{unnamed:?}");
    let import = |more: &[&'static str]| [&["import", "azd"], &acme[..], more].concat();
    let dry = deployed.json(&import(&["--dry-run"])).await;
    assert_eq!((&dry["dryRun"], dry["entries"].as_array().unwrap().len()), (&json!(true), 2), "{dry}");
    let done = deployed.json(&import(&[])).await;
    // For version 1, and for calls that name no version.
    for (entry, version) in done["entries"].as_array().unwrap().iter().zip([json!("1"), Value::Null]) {
        assert_eq!(entry["outcome"], json!({"session": "imported", "conversation": "imported"}), "{done}");
        assert_eq!(entry["target"]["version"], version);
    }
    let skipped = done["skipped"].to_string();
    assert!(skipped.contains("older azd") && skipped.contains("local agent"), "{skipped}");
    let ask = [&["invoke"], &notes[..], &acme, &["what do you remember?"]].concat();
    let continued = deployed.json(&ask).await;
    assert!(continued["text"].as_str().unwrap().contains("4711"), "{continued}");
    assert_eq!(continued["conversationId"], theirs["conversationId"]);

    let again = text(&deployed.run(&import(&[])).await.stdout);
    assert!(again.contains("unchanged"), "{again}");
    let other = text(&deployed.run(&["import", "azd", "--unisolated", "--force"]).await.stdout);
    assert!(other.contains("it belongs to another user"), "{other}");
    assert_eq!(fs::read(&file).unwrap(), before, "azd's file was changed");
    deployed.end().await;
}
