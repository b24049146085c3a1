//! Mistakes in a command line end with the code that `cupola --help` documents, in every command: 2, before anything is done.

use crate::support::{Home, finish};
use std::fs;
use std::process::{Output, Stdio};

/// The code of an invalid command line.
const USAGE: i32 = 2;
/// The code of something that does not exist.
const NOT_FOUND: i32 = 4;

fn run(home: &Home, words: &[&str]) -> Output {
    finish(home.command(words).stderr(Stdio::piped()))
}

fn said(output: &Output) -> String {
    // `serve` reports on its standard output, which the process that started it reads.
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

/// The commands that `--help` lists, at the second column.
fn listed(home: &Home, words: &[&str]) -> Vec<String> {
    let help = run(home, &[words, &["--help"]].concat());
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn an_unknown_flag_is_a_usage_error_of_every_command() {
    let home = Home::new();
    let commands = listed(&home, &[]);
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let mut lines = vec![vec![command.clone()]];
        lines.extend(listed(&home, &[command]).into_iter().map(|action| vec![command.clone(), action]));
        for line in lines {
            let words: Vec<_> = line.iter().map(String::as_str).chain(["--no-such-flag"]).collect();
            let refused = run(&home, &words);
            assert_eq!(refused.status.code(), Some(USAGE), "{words:?}: {}", said(&refused));
        }
    }
    assert!(!home.socket().exists(), "a daemon was started for a command that cannot be understood");
}

#[test]
fn a_value_that_cannot_be_used_is_a_usage_error_that_names_it() {
    let home = Home::new();
    let file = home.path("taken");
    fs::write(&file, "").unwrap();
    let taken = file.to_str().unwrap();
    let below = format!("{taken}/below");
    let (absent, empty) = (home.path("absent"), home.path("empty"));
    fs::create_dir(&empty).unwrap();
    let (absent, empty) = (absent.to_str().unwrap(), empty.to_str().unwrap());
    let cases: &[(&[&str], &str)] = &[
        (&["emulator", "--agent", "mine"], "--agent"),
        (&["emulator", "--agent", "mine=exec:run,protocols=mcp"], "--agent"),
        (&["emulator", "--agent", "mine=replay:/no/such/file"], "--agent"),
        (&["emulator", "--listen", "nowhere"], "--listen"),
        (&["emulator", "--listen", "0.0.0.0:0"], "--listen"),
        (&["emulator", "--listen", "192.0.2.1:0", "--listen-beyond-loopback"], "192.0.2.1:0"),
        (&["emulator", "--listen", "127.0.0.1:0", "--record", taken], "--record"),
        (&["emulator", "--listen", "127.0.0.1:0", "--record", &below], "--record"),
        (&["emulator", "--listen", "127.0.0.1:0", "--data-dir", taken], "taken is a file, not a directory"),
        (&["emulator", "token", "--data-dir", taken], "taken is a file, not a directory"),
        (&["emulator", "token", "--data-dir", absent], "does not exist"),
        (&["emulator", "token", "--data-dir", empty], "has no emulator's secret"),
        (&["serve", "--state-dir", taken], "not a directory"),
        (&["man", taken], "taken is a file, not a directory"),
        (&["invoke", "-C", taken, "hi"], "taken is a file, not a directory"),
        (&["emulator", "--listen", "127.0.0.1:0", "--watch", &below], "--watch"),
        (&["emulator", "--listen", "127.0.0.1:0", "--env", "A B=1"], "--env"),
        (&["emulator", "--listen", "127.0.0.1:0", "--env-file", &below], "--env-file"),
        (&["emulator", "--listen", "127.0.0.1:0", "--allow-env", "A B"], "--allow-env"),
        (&["emulator", "--listen", "127.0.0.1:0", "--tls", "--tls-cert", &below, "--tls-key", &below], "below"),
        (&["serve", "--idle-exit", "soon"], "--idle-exit"),
        (&["serve", "--log", "cupola=loudly"], "--log"),
        (&["invoke", "--emulator", "--client-header", "tenant", "hi"], "x-client-tenant: contoso"),
        (&["invoke", "--emulator", "--client-header", "authorization: x", "hi"], "x-client-tenant: contoso"),
        (&["invoke", "--emulator", "--timeout", "soon", "hi"], "--timeout"),
        (&["invoke", "--emulator", "--record", &below, "hi"], "below"),
        (&["invoke", "--emulator", "-f", &below], "below"),
        (&["invoke", "--emulator", "--session-id", "no", "hi"], "--session-id"),
        (&["sessions", "prune", "--emulator", "--older-than", "soon"], "--older-than"),
        (&["monitor", "--emulator", "--tail", "none"], "--tail"),
        (&["runs", "attach", "run-1", "--after", "x"], "--after"),
        (&["mcp", "--emulator", "--only", "no_such_tool"], "no_such_tool"),
        (&["acp", "--agent-endpoint", "nowhere"], "--agent-endpoint"),
        (&["completions", "tcsh"], "tcsh"),
    ];
    for (words, named) in cases {
        let refused = run(&home, words);
        assert_eq!(refused.status.code(), Some(USAGE), "{words:?}: {}", said(&refused));
        assert!(said(&refused).contains(named), "{words:?}: {}", said(&refused));
    }
    let none = run(&home, &["emulator", "token"]);
    assert_eq!(none.status.code(), Some(NOT_FOUND), "{}", said(&none));
}
