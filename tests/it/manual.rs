//! The manual pages and the completions, as the programs take them that are to show them.

use crate::support::{Home, finish, skip};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_manual_is_written_where_it_is_asked_for() {
    let home = Home::new();
    let directory = home.path("man/man1");
    assert!(finish(home.command(&["man", directory.to_str().unwrap()])).status.success());
    let page = fs::read_to_string(directory.join("cupola-invoke.1")).unwrap();
    assert!(page.starts_with(".ie"), "{}", &page[..80]);
    assert!(page.contains("\"cupola 0."), "the footer names no version: {}", &page[..200]);
    let chat = fs::read_to_string(directory.join("cupola-chat.1")).unwrap();
    assert!(chat.contains(".SH SYNOPSIS\ncupola chat [OPTIONS] [AGENT]\n.SH DESCRIPTION"), "{chat}");
    assert!(chat.contains("/approve, /deny"), "the page says nothing of what can be typed in a chat: {chat}");
    fs::write(home.path("file"), "").unwrap();
    let refused = finish(home.command(&["man", home.path("file/man1").to_str().unwrap()]));
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn the_manual_is_shown_without_a_warning() {
    let home = Home::new();
    let directory = home.path("man1");
    assert!(finish(home.command(&["man", directory.to_str().unwrap()])).status.success());
    let pages: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 20, "{pages:?}");
    let Ok(shown) = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).args(&pages).output() else {
        return skip("groff", "it is not installed (Debian: apt install groff-base)");
    };
    assert!(shown.status.success() && shown.stderr.is_empty(), "{}", text(&shown.stderr));
}

#[test]
fn bash_completes_commands_flags_and_their_values() {
    let script = "source <(cupola completions bash)
        complete_last() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _cupola cupola \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[@]}\"; }
        complete_last cupola sess
        complete_last cupola files upl
        complete_last cupola invoke --user-iso
        complete_last cupola doctor --output ''";
    let directory = Path::new(env!("CARGO_BIN_EXE_cupola")).parent().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", script]).env_clear().env("PATH", format!("{}:/usr/bin:/bin", directory.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command);
    assert_eq!(text(&output.stdout), "sessions\nupload\n--user-isolation-key\njson table\n", "{output:?}");
}
