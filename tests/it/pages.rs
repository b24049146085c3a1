//! The sessions in the pages are what really happens: every `console` block is run, in order, and compared word for word.

use crate::support::{Home, finish, finish_after, free_address, skip};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command, as `$` and `>` lines, and all it printed.
#[derive(Debug, Default)]
struct Step {
    command: String,
    output: String,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), output: String::new() });
            } else if let (Some(more), Some(step)) = (line.strip_prefix("> "), steps.last_mut()) {
                step.command.push('\n');
                step.command.push_str(more);
            } else if let Some(step) = steps.last_mut() {
                step.output.push_str(line);
                step.output.push('\n');
            }
        }
    }
    steps
}

/// Programs that the pages use beside `cupola`, and Debian's packages of them.
const PROGRAMS: [(&str, &str); 4] = [("nc", "netcat-openbsd"), ("jq", "jq"), ("curl", "curl"), ("python3", "python3")];

/// The port that pages show for an emulator. Another one may be there on the machine that runs the tests.
const PORT: &str = "8787";

/// The package that is missing for a command, if one is.
fn missing_for(command: &str) -> Option<&'static str> {
    let words = command.split(|character: char| !character.is_ascii_alphanumeric());
    let is_missing = |program: &str| {
        let looked = Command::new("bash").args(["-c", &format!("command -v {program}")]).output().unwrap();
        !looked.status.success()
    };
    PROGRAMS
        .iter()
        .find(|(program, _)| words.clone().any(|word| word == *program) && is_missing(program))
        .map(|(_, package)| *package)
}

/// Commands that cannot run here, and why. What is not run may not claim any output.
const NOT_RUN: [(&str, &str); 2] = [
    ("systemctl ", "a test's home has no service manager; tests/it/service.rs gives its files to systemd's own tools"),
    ("launchctl ", "it is part of macOS; tests/it/service.rs reads its file"),
];

/// Groups of processes that a page leaves in the background; they end with this.
#[derive(Default)]
struct Background(Vec<Pid>);

impl Drop for Background {
    fn drop(&mut self) {
        for group in &self.0 {
            // One that has ended by itself is fine.
            let _ = kill_process_group(*group, Signal::TERM);
        }
    }
}

fn is_run(step: &Step) -> bool {
    let is_run = !NOT_RUN.iter().any(|(command, _)| step.command.contains(command));
    assert!(is_run || step.output.is_empty(), "the output of `{}` was never checked", step.command);
    is_run
}

/// Runs a page's sessions, in order, in a new home that has the project's `docs`.
fn replay(page: &str) {
    let mut steps = steps(page);
    steps.retain(is_run);
    assert!(steps.len() > 2, "the sessions were not found");
    let home = Home::new();
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"), home.path("docs")).unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_cupola")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let port = free_address().port().to_string();
    let mut background = Background::default();
    for step in steps {
        let [told, expected] = [&step.command, &step.output].map(|text| text.replace(PORT, &port));
        if let Some(package) = missing_for(&step.command) {
            skip(&step.command, &format!("a program is missing (Debian: {package})"));
            continue;
        }
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("exec 2>&1\n{told}")])
            .env_clear()
            .current_dir(home.path(""))
            .env("HOME", home.path(""))
            .env("XDG_RUNTIME_DIR", home.path("run"))
            .env("PATH", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let (group, output) = finish_after(command, |child| Pid::from_child(child));
        if told.contains(" &\n") {
            background.0.push(group);
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        // Ids of requests are new every time.
        let stable: String = printed.split_inclusive('\n').filter(|line| !line.starts_with("request id: ")).collect();
        assert_eq!(stable, expected, "$ {}", step.command);
    }
    assert!(finish(home.command(&["stop", "--force"])).status.success());
}

#[test]
fn every_session_in_the_readme_is_what_really_happens() {
    replay(include_str!("../../README.md"));
}

#[test]
fn every_session_in_the_shell_page_is_what_really_happens() {
    replay(include_str!("../../docs/shell.md"));
}

#[test]
fn every_session_in_the_terminal_page_is_what_really_happens() {
    replay(include_str!("../../docs/terminal.md"));
}

#[test]
fn every_session_in_the_attach_page_is_what_really_happens() {
    replay(include_str!("../../docs/attach.md"));
}

#[test]
fn every_session_in_the_mcp_page_is_what_really_happens() {
    replay(include_str!("../../docs/mcp.md"));
}

#[test]
fn every_session_in_the_emulator_page_is_what_really_happens() {
    replay(include_str!("../../docs/emulator.md"));
}

#[test]
fn every_session_in_the_network_page_is_what_really_happens() {
    replay(include_str!("../../docs/network.md"));
}

#[test]
fn every_session_in_the_service_page_is_what_really_happens() {
    replay(include_str!("../../docs/service.md"));
}

/// What is between the fences of a page that begin with this language.
fn blocks<'page>(page: &'page str, language: &str) -> Vec<&'page str> {
    let fence = format!("\n```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect()
}

/// Every object with a command, and the names above it.
fn commands<'value>(value: &'value Value, above: &[&'value str], found: &mut Vec<(String, &'value Value)>) {
    if value.get("command").is_some() {
        found.push((above.join("."), value));
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        commands(inner, &[above, &[name.as_str()]].concat(), found);
    }
}

/// The command of a settings block starts, takes its flags, and ends when its program leaves.
fn starts(home: &Home, command: &Value) {
    assert_eq!(command["command"], "cupola", "{command}");
    let arguments: Vec<&str> = command["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let mut started = home.command(&arguments);
    for (name, value) in command["env"].as_object().into_iter().flatten() {
        started.env(name, value.as_str().unwrap());
    }
    let ended = finish(started.stdin(Stdio::null()).stderr(Stdio::piped()));
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A home in which the profile of the pages exists.
fn home_with_profile() -> Home {
    let home = Home::new();
    let file = home.path(".config/cupola/profiles.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "[acme]\nemulator = true\n\n[contoso]\nemulator = true\n").unwrap();
    home
}

#[test]
fn every_settings_block_of_the_mcp_page_starts_the_server() {
    let page = include_str!("../../docs/mcp.md");
    let mut settings: Vec<Value> =
        blocks(page, "json").into_iter().map(|block| serde_json::from_str(block).unwrap()).collect();
    settings.extend(blocks(page, "toml").into_iter().map(|block| toml::from_str::<Value>(block).unwrap()));
    let mut found = Vec::new();
    for block in &settings {
        commands(block, &[], &mut found);
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["servers.foundry", "mcpServers.foundry", "context_servers.foundry", "mcpServers.acme", "mcpServers.contoso"];
    assert_eq!(names, [&expected[..], &["mcp_servers.foundry"]].concat());
    let home = home_with_profile();
    for (_, command) in found {
        starts(&home, command);
    }
}

#[test]
fn every_settings_block_of_the_acp_page_starts_the_agent() {
    let page = include_str!("../../docs/acp.md");
    let settings: Vec<Value> =
        blocks(page, "json").into_iter().map(|block| serde_json::from_str(block).unwrap()).collect();
    let mut found = Vec::new();
    for block in &settings {
        commands(block, &[], &mut found);
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["agent_servers.Foundry", "agent_servers.Foundry", "acp.agents.Foundry", ""]);
    let home = home_with_profile();
    for (_, command) in found {
        starts(&home, command);
    }
    // The blocks in Lua and Emacs Lisp, and the lines for Qt Creator and acpx, have the words of the same command.
    let lua = blocks(page, "lua").concat();
    let lisp = blocks(page, "elisp").concat();
    let words = |text: &str, before: &str, after: &str| {
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        let (words, _) = rest.split_once(after).unwrap();
        words
            .split([' ', ','])
            .map(|word| word.trim_matches('"'))
            .filter(|word| !word.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    };
    assert!(lisp.contains(":command \"cupola\""), "{lisp}");
    let found: [Vec<String>; 4] = [
        words(&lua, "{ \"cupola\", ", " }"),
        words(&lisp, ":command-params '(", ")"),
        words(page, "Executable `cupola`, arguments `", "`"),
        words(page, "acpx --agent 'cupola ", "'"),
    ];
    for arguments in found {
        starts(&home, &json!({"command": "cupola", "args": arguments}));
    }
}

#[test]
fn the_entry_for_the_registry_of_agents_is_valid_and_names_this_version() {
    let entry: Value = serde_json::from_str(include_str!("../../docs/acp/agent.json")).unwrap();
    assert_eq!(entry["version"], env!("CARGO_PKG_VERSION"));
    for member in ["id", "name", "description"] {
        assert!(entry[member].as_str().is_some_and(|text| !text.is_empty()), "{member}");
    }
    // Cupola has no account that the file could name.
    assert!(entry.get("repository").is_none() && !entry.to_string().contains("OWNER"), "{entry}");
    let mut found = 0;
    let home = Home::new();
    for platform in entry["distribution"]["binary"].as_object().unwrap().values() {
        assert_eq!(platform["cmd"], "./cupola");
        assert!(platform["archive"].as_str().unwrap().starts_with("https://releases.invalid/"), "{platform}");
        let mut command = json!({"command": "cupola", "args": platform["args"]});
        // The registry's entry leaves the agent to the person.
        command["args"].as_array_mut().unwrap().push(json!("--emulator"));
        starts(&home, &command);
        found += 1;
    }
    assert!(found > 0);
}

#[test]
fn every_page_is_in_the_index() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let index = std::fs::read_to_string(directory.join("README.md")).unwrap();
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<String> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "md"))
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        assert!(index.contains(&format!("]({page})")), "{page} is not in the index");
    }
}
