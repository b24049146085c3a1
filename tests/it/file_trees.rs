//! `files --recursive`, standard input and output: whole directories both ways, links and names that lead elsewhere, and
//! what becomes of the rest when one file fails.

use crate::files::{World, answer, names};
use crate::support::{Home, finish_after};
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Every file below a directory with its content, every empty directory with a slash, sorted.
fn contents(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        let shown = next.strip_prefix(directory).unwrap().display().to_string();
        let inside = names(&next);
        if inside.is_empty() {
            found.push((shown + "/", String::new()));
        }
        for path in inside.iter().map(|name| next.join(name)) {
            if path.is_dir() {
                waiting.push(path);
            } else {
                let shown = path.strip_prefix(directory).unwrap().display().to_string();
                found.push((shown, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn tree(root: &Path) {
    fs::create_dir_all(root.join("a dir/ü")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("top.txt"), "top").unwrap();
    fs::write(root.join("a dir/one"), "1").unwrap();
    fs::write(root.join("a dir/ü/none"), "").unwrap();
}

#[tokio::test]
async fn a_directory_goes_there_and_comes_back_the_same() {
    let mut world = World::start().await;
    tree(&world.local.path().join("data"));
    let up = world.ok("files/upload", json!({"localPath": world.path("data"), "recursive": true})).await;
    assert_eq!((&up["path"], &up["bytes"]), (&json!("data"), &json!(4)), "{up}");
    assert_eq!(up["tree"], json!({"files": 3, "directories": 4}));
    let down = world.ok("files/download", json!({"path": "/data", "localPath": world.path("back"), "recursive": true}));
    let down = down.await;
    assert_eq!((&down["bytes"], &down["tree"]), (&json!(4), &json!({"files": 3, "directories": 4})), "{down}");
    let [data, back] = ["data", "back"].map(|name| contents(&world.local.path().join(name)));
    assert_eq!(data, back);
    assert_eq!(data.len(), 4);

    // Into an existing directory: the same files are replaced, the others are untouched.
    fs::write(world.path("back/mine"), "kept").unwrap();
    fs::write(world.path("back/top.txt"), "changed").unwrap();
    world.ok("files/download", json!({"path": "data", "localPath": world.path("back"), "recursive": true})).await;
    assert_eq!(fs::read_to_string(world.path("back/mine")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(world.path("back/top.txt")).unwrap(), "top");

    // One file is one file.
    let file = world.path("data/top.txt");
    let up = world.ok("files/upload", json!({"localPath": file, "path": "alone", "recursive": true})).await;
    assert_eq!((&up["bytes"], up.get("tree")), (&json!(3), None));
    let down = json!({"path": "alone", "localPath": world.path("alone"), "recursive": true});
    assert_eq!(world.ok("files/download", down).await.get("tree"), None);
    let (kind, hint) = world.refused("files/upload", json!({"localPath": world.path("data")})).await;
    assert_eq!((kind.as_str(), hint.as_str()), ("localFile", "to transfer a directory, add --recursive"));
    world.end().await;
}

#[tokio::test]
async fn links_lead_nowhere_but_inside() {
    let mut world = World::start().await;
    let data = world.local.path().join("data");
    tree(&data);
    let secret = world.write("secret", "hush");
    symlink(&secret, data.join("out")).unwrap();
    symlink("..", data.join("a dir/up")).unwrap();
    symlink("nowhere", data.join("dangling")).unwrap();
    symlink("../top.txt", data.join("a dir/inside")).unwrap();
    let up = world.ok("files/upload", json!({"localPath": data, "recursive": true})).await;
    assert_eq!((&up["tree"]["files"], up["tree"].get("failures")), (&json!(4), None), "{up}");
    let skipped = up["tree"]["skipped"].to_string();
    for (name, why) in [("data/out", "out of the directory"), ("dir/up", "not a file"), ("dangling", "leads nowhere")] {
        assert!(skipped.contains(name) && skipped.contains(why), "{skipped}");
    }
    let listed = world.ok("files/list", json!({"path": "data/a dir"})).await;
    assert!(listed.to_string().contains("\"inside\"") && !listed.to_string().contains("\"up\""), "{listed}");

    // What is here already may be a link, too.
    let back = world.local.path().join("back");
    fs::create_dir(&back).unwrap();
    symlink(&secret, back.join("top.txt")).unwrap();
    fs::create_dir(world.local.path().join("elsewhere")).unwrap();
    symlink(world.local.path().join("elsewhere"), back.join("a dir")).unwrap();
    let down = world.ok("files/download", json!({"path": "data", "localPath": back, "recursive": true})).await;
    let failures = down["tree"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{down}");
    assert!(failures.iter().all(|failure| failure["kind"] == "localFile"), "{down}");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "hush");
    assert!(names(&world.local.path().join("elsewhere")).is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_name_of_the_service_is_never_a_place() {
    let mut world = World::start().await;
    let file = world.write("a", "x");
    world.ok("files/upload", json!({"localPath": file, "path": "data/good"})).await;
    let entry = |name: &str, is_directory| json!({"name": name, "size": 1, "is_directory": is_directory});
    let evil = json!({"path": "data", "entries": [
        entry("../evil", false), entry("/etc/evil", false), entry("..", true), entry("", false), entry("good", false)]});
    world.emulator.fail("*/files", 1, answer(200, evil));
    let down = world.ok("files/download", json!({"path": "data", "localPath": world.path("back"), "recursive": true}));
    let down = down.await;
    assert_eq!(down["tree"]["failures"].as_array().unwrap().len(), 4, "{down}");
    assert_eq!(
        (names(&world.local.path().join("back")), names(world.local.path())),
        (vec!["good".to_owned()], vec!["a".to_owned(), "back".to_owned()])
    );
    world.end().await;
}

#[tokio::test]
async fn a_link_out_of_the_home_fails_alone() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("emulator");
    let mut world = World::with(move |options| options.data_dir = directory).await;
    let file = world.write("a", "x");
    world.ok("files/upload", json!({"localPath": file, "path": "data/a"})).await;
    let home = below(data.path(), "data");
    symlink("/etc/hostname", home.join("out")).unwrap();
    let down = json!({"path": "data", "localPath": world.path("back"), "recursive": true});
    let tree = world.ok("files/download", down).await["tree"].clone();
    assert_eq!(tree["files"], 1, "{tree}");
    assert_eq!(
        (&tree["failures"][0]["path"], &tree["failures"][0]["kind"]),
        (&json!("data/out"), &json!("badRequest"))
    );
    assert_eq!(names(&world.local.path().join("back")), ["a"]);
    world.end().await;
}

/// The directory of that name, wherever below `root` it is.
fn below(root: &Path, name: &str) -> PathBuf {
    let mut waiting = vec![root.to_owned()];
    while let Some(next) = waiting.pop() {
        if next.ends_with(name) {
            return next;
        }
        waiting.extend(names(&next).iter().map(|name| next.join(name)).filter(|path| path.is_dir()));
    }
    panic!("there is no {name} below {}", root.display());
}

#[tokio::test]
async fn one_file_fails_alone_and_what_concerns_all_ends_the_call() {
    let mut world = World::start().await;
    let data = world.local.path().join("data");
    tree(&data);
    fs::File::create(data.join("large")).unwrap().set_len(50 * 1024 * 1024 + 1).unwrap();
    fs::write(data.join("back\\slash"), "x").unwrap();
    let up = world.ok("files/upload", json!({"localPath": data, "recursive": true})).await;
    let kinds: Vec<_> =
        up["tree"]["failures"].as_array().unwrap().iter().map(|failure| failure["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["badRequest", "fileTooLarge"], "{up}");
    assert_eq!(up["tree"]["files"], 3, "{up}");

    world.emulator.fail("*/files/content", 1, Fault::Cut { after_bytes: 0 });
    let down = json!({"path": "data", "localPath": world.path("back"), "recursive": true});
    let partial = world.ok("files/download", down.clone()).await;
    assert_eq!(partial["tree"]["failures"].as_array().unwrap().len(), 1, "{partial}");
    assert_eq!(
        (&partial["tree"]["failures"][0]["kind"], &partial["tree"]["files"]),
        (&json!("connectionFailed"), &json!(2))
    );
    assert!(!names(&world.local.path().join("back")).iter().any(|name| name.starts_with(".cupola")));

    let asked = world.emulator.asked("GET", "sessions").len();
    world.emulator.fail("*/files/content", 1, answer(403, json!({"error": {"code": "forbidden"}})));
    assert_eq!(world.refused("files/download", down).await.0, "forbidden");
    assert!(world.emulator.asked("GET", "sessions").len() <= asked + 3, "it did not stop");
    let gone = json!({"path": "none", "localPath": world.path("none"), "recursive": true});
    assert_eq!(world.refused("files/download", gone).await.0, "notFound");
    world.end().await;
}

/// A separate emulator with these flags, and its URL.
fn emulator(home: &Home, flags: &[&str]) -> (std::process::Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cupola"));
    command.args(["emulator", "--json", "--listen", "127.0.0.1:0"]).args(flags).env_clear();
    command
        .env("TMPDIR", home.path(""))
        .env("XDG_RUNTIME_DIR", home.path("run"))
        .stdout(Stdio::piped())
        .stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    (child, ready["url"].as_str().unwrap().to_owned())
}

#[test]
fn the_command_copies_directories_and_pipes_without_what_is_not_documented() {
    let home = Home::new();
    let (mut emulator, url) = emulator(&home, &["--without", "mkdir,stat"]);
    let local = tempfile::tempdir().unwrap();
    tree(&local.path().join("data"));
    let place = format!("--emulator={url}");
    let run = |words: &[&str], input: &[u8]| -> Output {
        let mut command = home.command(&[words, &[place.as_str(), "--user-isolation-key", "acme"]].concat());
        command.current_dir(local.path()).env("TMPDIR", home.path("")).stdin(Stdio::piped()).stderr(Stdio::piped());
        // A command that does not read its input has closed it.
        finish_after(command, |child| child.stdin.take().unwrap().write_all(input)).1
    };
    let said = |output: &Output| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&["sessions", "create"], b"").status.code(), Some(0));
    // Without mkdir an empty directory cannot be made; everything else is still there.
    let (code, out, err) = said(&run(&["files", "upload", "data", "--recursive", "-t", "/work"], b""));
    assert_eq!((code, out.as_str()), (1, "Uploaded data -> /work (3 files, 4 bytes)\n"), "{err}");
    assert!(err.starts_with("error: ") && err.contains("/data/empty: "), "{err}");
    fs::remove_dir(local.path().join("data/empty")).unwrap();
    assert_eq!(said(&run(&["files", "upload", "data", "-r", "-t", "/work"], b"")).0, 0);
    let (code, out, err) = said(&run(&["files", "download", "/work", "-r", "-t", "back"], b""));
    assert_eq!((code, out.as_str()), (0, "Downloaded /work -> back (3 files, 4 bytes)\n"), "{err}");
    assert_eq!(contents(&local.path().join("data")), contents(&local.path().join("back")));
    let (_, out, _) = said(&run(&["files", "upload", "data", "-r", "-o", "json"], b""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["tree"]["files"], 3);

    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    assert_eq!(said(&run(&["files", "upload", "-", "-t", "piped"], &bytes)).1, "Uploaded - -> piped\n");
    let output = run(&["files", "download", "piped", "-t", "-"], b"");
    assert_eq!((output.status.code(), output.stdout == bytes), (Some(0), true));
    let (code, out, err) = said(&run(&["files", "download", "none", "-t", "-"], b""));
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    let (code, _, err) = said(&run(&["files", "upload", "-"], &bytes));
    assert!(code == 2 && err.contains("--target-path"), "{err}");
    let (code, _, err) = said(&run(&["files", "upload", "-", "-t", "x"], &vec![0; 50 * 1024 * 1024 + 1]));
    assert!(code == 2 && err.contains("52428800 bytes"), "{err}");
    let left: Vec<_> = names(&home.path("")).into_iter().filter(|name| name.starts_with("cupola-")).collect();
    assert_eq!(left.len(), 1, "only the emulator's own directory is left: {left:?}");

    // A directory that cannot be read is a separate failure, unless nothing is forbidden to this user.
    let locked = local.path().join("data/locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&locked).is_err() {
        assert_eq!(said(&run(&["files", "upload", "data", "-r"], b"")).0, 2);
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    emulator.kill().unwrap();
    emulator.wait().unwrap();
    assert!(home.command(&["stop", "--force"]).status().unwrap().success());
}
