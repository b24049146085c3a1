//! What Cupola writes is for this user only, whatever the umask is and however it was started.

use crate::support::{Home, finish, finish_after};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// `cupola` as a shell with the loosest umask starts it.
fn loosely(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_cupola")]).args(arguments).env_clear();
    command.env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("run")).env("TMPDIR", home.path("tmp"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Everything below a directory, with its permission bits.
fn below(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let metadata = entry.metadata().unwrap();
        found.push((entry.path(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            found.extend(below(&entry.path()));
        }
    }
    found
}

/// What others could read, write or enter.
fn open_to_others(home: &Home) -> Vec<String> {
    let places = [".local/state/cupola", "run", "tmp"].map(|place| home.path(place));
    let all: Vec<_> = places.iter().flat_map(|place| below(place)).collect();
    // The directories above Cupola's own are the caller's.
    let own = all.into_iter().filter(|(path, mode)| mode & 0o077 != 0 && *path != home.path("run/cupola"));
    own.map(|(path, mode)| format!("{} {mode:03o}", path.display())).collect()
}

/// Things that leave files: sessions with their keys, files of the emulator, a log.
const CALLS: [&[&str]; 3] = [
    &["invoke", "--emulator", "--user-isolation-key", "acme", "remember this"],
    &["sessions", "create", "--emulator", "--user-isolation-key", "acme", "--isolation-key", "sk"],
    &["files", "upload", "seed.txt", "--emulator", "--user-isolation-key", "acme"],
];

#[test]
fn every_file_is_private_with_and_without_a_daemon() {
    for flags in [&["--no-daemon"][..], &[]] {
        let home = Home::new();
        fs::create_dir(home.path("tmp")).unwrap();
        fs::write(home.path("seed.txt"), "seed").unwrap();
        for call in CALLS {
            let mut command = loosely(&home, &[call, flags].concat());
            let output = finish(command.current_dir(home.path("")));
            assert!(output.status.success(), "{call:?}: {output:?}");
        }
        let written = below(&home.path(".local/state/cupola"));
        let has = |name: &str| written.iter().any(|(path, _)| path.ends_with(name));
        assert!(has("state.db") && has("emulator") && (has("daemon.log") || !flags.is_empty()), "{written:?}");
        assert_eq!(open_to_others(&home), [""; 0]);
        finish(home.command(&["stop", "--force"]));
    }
}

#[test]
fn what_stands_between_a_pipe_and_the_daemon_is_private() {
    let home = Home::new();
    fs::create_dir(home.path("tmp")).unwrap();
    let words =
        ["files", "upload", "-", "--target-path", "a", "--emulator", "--no-daemon", "--user-isolation-key", "acme"];
    let session = ["sessions", "create", "--emulator", "--no-daemon", "--user-isolation-key", "acme"];
    assert!(finish(loosely(&home, &session)).status.success());
    let mut command = loosely(&home, &words);
    command.stdin(Stdio::piped());
    let (found, output) = finish_after(command, |child| {
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"content").unwrap();
        // Its place is made before the input is read.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let found = below(&home.path("tmp"));
            if found.iter().any(|(path, _)| path.ends_with("content")) || std::time::Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    assert!(output.status.success(), "{output:?}");
    assert!(found.len() == 2 && !found.iter().any(|(_, mode)| mode & 0o077 != 0), "{found:?}");
}

#[test]
fn a_state_file_that_was_open_to_others_is_made_private() {
    let home = Home::new();
    let state = home.path(".local/state/cupola");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(state.join("state.db"), "").unwrap();
    fs::set_permissions(state.join("state.db"), fs::Permissions::from_mode(0o666)).unwrap();
    let output = finish(loosely(&home, &[CALLS[0], &["--no-daemon"]].concat()));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(open_to_others(&home), [""; 0]);
}

/// Every byte of saved state.
fn state_bytes(home: &Home) -> Vec<u8> {
    let files = below(&home.path(".local/state/cupola"));
    let of_state = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state.db"));
    files.into_iter().filter(|(path, _)| of_state(path)).flat_map(|(path, _)| fs::read(path).unwrap()).collect()
}

#[test]
fn keys_of_deleted_sessions_and_of_forgotten_partitions_are_in_no_byte_of_saved_state() {
    const KEY: &str = "sk-that-must-be-gone";
    let holds_key = |home: &Home| state_bytes(home).windows(KEY.len()).any(|window| window == KEY.as_bytes());
    for flags in [&["--no-daemon"][..], &[]] {
        for end in [&["sessions", "delete", "session-by-hand"][..], &["partitions", "forget"]] {
            let home = Home::new();
            let run = |words: &[&str]| {
                let words = [words, &["--emulator", "--user-isolation-key", "acme"], flags].concat();
                let output = finish(home.command(&words));
                assert!(output.status.success(), "{words:?}: {output:?}");
            };
            run(&["sessions", "create", "--isolation-key", KEY, "--session-id", "session-by-hand"]);
            assert!(holds_key(&home), "this test could not see the key");
            run(end);
            assert!(!holds_key(&home), "{end:?} {flags:?}");
            finish(home.command(&["stop", "--force"]));
        }
    }
}
