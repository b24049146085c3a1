//! `files/*`: both ways, whole or not at all, and only one's own.

use crate::support::{Client, Framing, Home, TestDaemon, TestEmulator, finish};
use crate::tenants::say;
use cupola_emulator::Undocumented;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use tempfile::TempDir;
use tokio::net::UnixStream;

const MB: usize = 1024 * 1024;

/// One tenant's call.
pub(crate) fn mine(target: &Value, rest: Value) -> Value {
    let mut params = json!({"target": target, "isolation": {"userKey": "acme", "chatKey": "one"}});
    let Value::Object(rest) = rest else { panic!("no object: {rest}") };
    for (name, value) in rest {
        params[name] = value;
    }
    params
}

/// A daemon, an emulator, a client whose tenant has a session, and a local directory.
pub(crate) struct World {
    pub(crate) daemon: TestDaemon,
    pub(crate) emulator: TestEmulator,
    pub(crate) client: Client,
    pub(crate) target: Value,
    pub(crate) local: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(&mut cupola_emulator::Options)) -> Self {
        let (daemon, emulator) = (TestDaemon::start(), TestEmulator::with(adjust).await);
        let target = emulator.target("notes");
        let mut client = daemon.connect();
        say(&mut client, &target, json!({"userKey": "acme", "chatKey": "one"}), "hello").await;
        Self { daemon, emulator, client, target, local: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.local.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.local.path().join(name), content).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.local.path().join(name)).unwrap()
    }

    /// What is in the local directory, hidden files too.
    fn names(&self) -> Vec<String> {
        names(self.local.path())
    }

    pub(crate) async fn call(&mut self, method: &str, rest: Value) -> Value {
        let params = mine(&self.target, rest);
        self.client.call(method, params).await
    }

    pub(crate) async fn ok(&mut self, method: &str, rest: Value) -> Value {
        let response = self.call(method, rest).await;
        assert!(response.get("result").is_some(), "{method}: {response}");
        response["result"].clone()
    }

    /// The kind and the hint of a call that fails.
    pub(crate) async fn refused(&mut self, method: &str, rest: Value) -> (String, String) {
        let response = self.call(method, rest).await;
        let text = |name: &str| response["error"]["data"][name].as_str().unwrap_or_default().to_owned();
        assert!(response.get("error").is_some(), "{method}: {response}");
        (text("kind"), text("hint"))
    }

    pub(crate) async fn end(self) {
        self.client.leave().await;
        self.daemon.end().await;
        self.emulator.end().await;
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn entry_names(list: &Value) -> Vec<&str> {
    list["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

fn cut(after_bytes: usize) -> Fault {
    Fault::Cut { after_bytes }
}

pub(crate) fn answer(status: u16, body: Value) -> Fault {
    let headers = BTreeMap::new().try_into().unwrap();
    Fault::Status { status: status.try_into().unwrap(), headers, body: Some(body) }
}

#[tokio::test]
async fn a_file_goes_there_and_back_under_the_isolation_of_the_call() {
    let mut world = World::start().await;
    let seed = world.write("sämple data.json", "{\"a\": 1}\n");
    let up = world.ok("files/upload", json!({"localPath": seed})).await;
    assert_eq!((&up["path"], &up["bytes"], &up["localPath"]), (&json!("sämple data.json"), &json!(9), &json!(seed)));
    world.ok("files/upload", json!({"localPath": seed, "path": "/data/in/a.json"})).await;
    world.ok("files/mkdir", json!({"path": "data/out"})).await;

    let home = world.ok("files/list", json!({})).await;
    assert_eq!((&home["path"], home.get("has_more")), (&json!("."), None));
    assert!(entry_names(&home).contains(&"data") && entry_names(&home).contains(&"sämple data.json"), "{home}");
    let data = world.ok("files/list", json!({"path": "/data"})).await;
    assert_eq!(entry_names(&data), ["in", "out"]);
    assert_eq!((&data["entries"][0]["is_directory"], &data["entries"][0]["is_dir"]), (&json!(true), &json!(true)));
    let stat = world.ok("files/stat", json!({"path": "data/in/a.json"})).await;
    assert_eq!((&stat["name"], &stat["path"], &stat["size"]), (&json!("a.json"), &json!("data/in/a.json"), &json!(9)));
    assert!(stat["modified_time"].as_i64().unwrap() > 1_700_000_000);

    let back = world.path("back.json");
    let down = world.ok("files/download", json!({"path": "data/in/a.json", "localPath": back})).await;
    assert_eq!((&down["bytes"], down["sessionId"].is_string()), (&json!(9), true));
    assert_eq!(world.read("back.json"), "{\"a\": 1}\n");
    world.ok("files/delete", json!({"path": "data", "recursive": true})).await;
    assert!(!entry_names(&world.ok("files/list", json!({})).await).contains(&"data"));

    let sent: Vec<_> =
        world.emulator.requests().into_iter().filter(|request| request.path.contains("/files")).collect();
    assert_eq!(sent.len(), 9);
    for request in &sent {
        assert_eq!(request.header("x-agent-user-isolation-key"), Some("acme"), "{}", request.path);
        assert_eq!(request.header("x-agent-chat-isolation-key"), Some("one"), "{}", request.path);
    }
    assert!(sent[0].path.ends_with("/files/content?api-version=v1&path=s%C3%A4mple+data.json"), "{}", sent[0].path);
    assert_eq!(sent[0].header("content-length"), Some("9"));
    assert_eq!(sent[0].header("content-type"), Some("application/octet-stream"));
    world.end().await;
}

#[tokio::test]
async fn a_transfer_says_how_far_it_is_and_ends_with_all() {
    let mut world = World::start().await;
    let file = world.write("a", vec![b'x'; 300_000]);
    let back = world.path("b");
    for (method, rest) in [
        ("files/upload", json!({"localPath": file, "path": "a", "partialResultToken": "t"})),
        ("files/download", json!({"localPath": back, "path": "a", "partialResultToken": "t"})),
    ] {
        let params = mine(&world.target, rest);
        let id = world.client.request(method, params).await;
        let mut bytes = Vec::new();
        let response = loop {
            let message = world.client.next().await;
            if message["id"] == id {
                break message;
            }
            assert_eq!((&message["method"], &message["params"]["token"]), (&json!("$/progress"), &json!("t")));
            let value = &message["params"]["value"];
            assert_eq!((&value["type"], &value["totalBytes"]), (&json!("progress"), &json!(300_000)), "{message}");
            bytes.push(value["bytes"].as_u64().unwrap());
        };
        assert_eq!(response["result"]["bytes"], 300_000, "{response}");
        assert!(bytes.is_sorted(), "{bytes:?}");
        assert_eq!(bytes.last(), Some(&300_000), "{method}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_anything_is_sent_and_a_413_is_explained() {
    let mut world = World::start().await;
    let large = world.path("large");
    fs::File::create(&large).unwrap().set_len(50 * MB as u64 + 1).unwrap();
    let response = world.call("files/upload", json!({"localPath": large})).await;
    assert_eq!(response["error"]["data"]["kind"], "fileTooLarge", "{response}");
    assert!(response["error"]["message"].as_str().unwrap().contains("50 MB"), "{response}");
    assert!(world.emulator.asked("PUT", "sessions").is_empty(), "it was sent");

    let small = world.write("small", "x");
    world.emulator.fail("*/files/content", 1, answer(413, json!({"error": {"message": "no"}})));
    let (kind, hint) = world.refused("files/upload", json!({"localPath": small})).await;
    assert_eq!(kind, "fileTooLarge");
    assert!(hint.contains("50 MB"), "{hint}");
    world.end().await;
}

#[tokio::test]
async fn a_download_that_breaks_off_harms_nothing_and_leaves_nothing() {
    let mut world = World::start().await;
    let source = world.write("source", vec![b'n'; 200_000]);
    world.ok("files/upload", json!({"localPath": source, "path": "a"})).await;
    let kept = world.write("kept", "old");
    let fetch = json!({"path": "a", "localPath": kept});

    world.emulator.fail("*/files/content", 1, cut(100_000));
    let (kind, hint) = world.refused("files/download", fetch.clone()).await;
    assert_eq!((kind.as_str(), hint.as_str()), ("connectionFailed", "run the command again; nothing was changed"));
    let (kind, _) = world.refused("files/download", json!({"path": "none", "localPath": kept})).await;
    assert_eq!(kind, "notFound");
    assert_eq!((world.read("kept").as_str(), world.names()), ("old", vec!["kept".to_owned(), "source".to_owned()]));

    world.ok("files/download", fetch).await;
    assert_eq!(world.read("kept").len(), 200_000);
    world.end().await;
}

#[tokio::test]
async fn a_cancelled_download_harms_nothing_and_leaves_nothing() {
    let mut world = World::start().await;
    let source = world.write("source", vec![b'n'; 200_000]);
    world.ok("files/upload", json!({"localPath": source, "path": "a"})).await;
    let kept = world.write("kept", "old");
    let bytes = NonZeroUsize::new(1000).unwrap();
    world.emulator.fail("*/files/content", 1, Fault::Drip { bytes, every_milliseconds: 50 });
    let params = mine(&world.target, json!({"path": "a", "localPath": kept, "partialResultToken": 1}));
    let id = world.client.request("files/download", params).await;
    loop {
        let message = world.client.next().await;
        assert_eq!(message["method"], "$/progress", "{message}");
        if message["params"]["value"]["bytes"].as_u64() > Some(0) {
            break;
        }
    }
    assert_eq!(world.names().len(), 3, "nothing is being written");
    world.client.send(json!({"method": "$/cancelRequest", "params": {"id": id}})).await;
    let response = loop {
        let message = world.client.next().await;
        if message["id"] == id {
            break message;
        }
    };
    assert_eq!(response["error"]["data"]["kind"], "cancelled", "{response}");
    assert_eq!((world.read("kept").as_str(), world.names()), ("old", vec!["kept".to_owned(), "source".to_owned()]));
    world.end().await;
}

#[tokio::test]
async fn an_upload_refused_for_now_is_sent_again_from_its_beginning() {
    let mut world = World::start().await;
    let file = world.write("a.txt", "the whole text");
    world.emulator.fail("*/files/content", 2, answer(503, json!({})));
    world.ok("files/upload", json!({"localPath": file})).await;
    let sent: Vec<_> = world.emulator.asked("PUT", "sessions").into_iter().map(|request| request.body).collect();
    assert_eq!(sent, vec![json!("the whole text"); 3]);
    let back = world.path("back");
    world.ok("files/download", json!({"path": "a.txt", "localPath": back})).await;
    assert_eq!(world.read("back"), "the whole text");
    world.end().await;
}

#[tokio::test]
async fn a_service_without_mkdir_and_stat_is_got_on_with() {
    let mut world =
        World::with(|options| options.without = vec![Undocumented::MakeDirectory, Undocumented::Stat]).await;
    let file = world.write("a.txt", "four");
    world.ok("files/upload", json!({"localPath": file, "path": "data/a.txt"})).await;
    for (path, size) in [("data/a.txt", 4), ("/data/a.txt", 4), ("data", 0), ("data/", 0), (".", 0)] {
        let stat = world.ok("files/stat", json!({"path": path})).await;
        assert_eq!((&stat["size"], stat["is_directory"] == true), (&json!(size), size == 0), "{path}: {stat}");
    }
    for path in ["none", "data/none", "none/a.txt"] {
        assert_eq!(world.refused("files/stat", json!({"path": path})).await.0, "notFound", "{path}");
    }
    let (kind, hint) = world.refused("files/mkdir", json!({"path": "more"})).await;
    assert_eq!(kind, "notOffered");
    assert!(hint.contains("upload a file into the directory"), "{hint}");
    let unknown = json!({"path": "more", "sessionId": "session-that-never-was"});
    for method in ["files/mkdir", "files/stat"] {
        assert_eq!(world.refused(method, unknown.clone()).await.0, "sessionNotFound", "{method}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_older_shape_of_a_listing_is_understood() {
    let mut world = World::start().await;
    let older = json!({"path": "data", "entries": [
        {"name": "in", "path": "data/in", "is_dir": true, "size": 0, "mode": 493, "modified_time": "2025-11-24T16:00:00Z"},
        {"name": "a", "is_dir": false, "size": 3, "modified_time": 1_764_000_000_000_i64},
    ]});
    world.emulator.fail("*/files", 1, answer(200, older));
    let list = world.ok("files/list", json!({"path": "data"})).await;
    assert_eq!(
        list,
        json!({"path": "data", "entries": [
            {"name": "in", "path": "data/in", "is_directory": true, "is_dir": true, "size": 0,
                "modified_time": 1_764_000_000, "mode": 493},
            {"name": "a", "path": "data/a", "is_directory": false, "is_dir": false, "size": 3,
                "modified_time": 1_764_000_000},
        ]})
    );
    world.end().await;
}

#[tokio::test]
async fn all_pages_of_a_directory_are_listed() {
    let mut world = World::start().await;
    let file = world.write("a", "x");
    for number in 0..103 {
        let path = format!("many/file-{number:03}");
        world.ok("files/upload", json!({"localPath": file, "path": path})).await;
    }
    let list = world.ok("files/list", json!({"path": "many"})).await;
    assert_eq!(entry_names(&list).len(), 103);
    assert_eq!((entry_names(&list)[102], list.get("has_more")), ("file-102", None));
    world.end().await;
}

#[tokio::test]
async fn the_hint_helps_when_a_directory_is_given_for_a_file() {
    let mut world = World::start().await;
    let file = world.write("a", "x");
    world.ok("files/upload", json!({"localPath": file, "path": "data/a"})).await;
    let directory = world.local.path().to_str().unwrap().to_owned();
    for (method, path, local, kind, hint) in [
        ("files/upload", "b", &directory, "localFile", "--recursive"),
        ("files/upload", "data", &file, "conflict", "--target-path"),
        ("files/download", "data", &file, "conflict", "--recursive"),
        ("files/download", "data/a", &directory, "localFile", "--target-path"),
    ] {
        let (said, help) = world.refused(method, json!({"path": path, "localPath": local})).await;
        assert_eq!(said, kind, "{method} {path}");
        assert!(help.contains(hint), "{method} {path}: {help}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_directory_with_something_in_it_is_deleted_only_recursively() {
    let mut world = World::start().await;
    let file = world.write("a", "x");
    world.ok("files/upload", json!({"localPath": file, "path": "data/a"})).await;
    let (kind, hint) = world.refused("files/delete", json!({"path": "data"})).await;
    assert_eq!(kind, "conflict");
    assert!(hint.contains("--recursive"), "{hint}");
    world.ok("files/delete", json!({"path": "data", "recursive": true})).await;
    let (kind, hint) = world.refused("files/delete", json!({"path": "data"})).await;
    assert_eq!(kind, "notFound");
    assert!(hint.contains("cupola files list"), "{hint}");
    world.end().await;
}

#[tokio::test]
async fn another_isolation_reaches_no_file_and_is_told_why() {
    let mut world = World::start().await;
    let file = world.write("a.txt", "secret");
    let up = world.ok("files/upload", json!({"localPath": file})).await;
    let back = world.path("back");
    let operations = [
        ("files/upload", json!({"localPath": file})),
        ("files/download", json!({"path": "a.txt", "localPath": back})),
        ("files/list", json!({})),
        ("files/stat", json!({"path": "a.txt"})),
        ("files/mkdir", json!({"path": "made"})),
        ("files/delete", json!({"path": "a.txt"})),
    ];
    // Known here as another one's: refused without asking. Elsewhere: the service does not find it.
    let elsewhere = TestDaemon::start();
    let mut stranger = elsewhere.connect();
    for (method, rest) in &operations {
        let mut wrong = mine(&world.target, rest.clone());
        wrong["isolation"] = json!({"userKey": "contoso", "chatKey": "one"});
        let none = world.client.call(method, wrong.clone()).await;
        assert_eq!(none["error"]["data"]["kind"], "sessionNotFound", "nothing is saved for them: {none}");
        wrong["sessionId"] = up["sessionId"].clone();
        let foreign = world.client.call(method, wrong.clone()).await;
        assert_eq!(foreign["error"]["data"]["kind"], "foreignSession", "{method}: {foreign}");
        let hidden = stranger.call(method, wrong.clone()).await;
        assert_eq!(hidden["error"]["data"]["kind"], "sessionNotFound", "{method}: {hidden}");
        assert!(hidden["error"]["data"]["hint"].as_str().unwrap().contains("other isolation keys"), "{hidden}");
        wrong["isolation"] = json!({});
        let keyless = stranger.call(method, wrong).await;
        assert_eq!(keyless["error"]["data"]["kind"], "sessionNotFound", "{method}: {keyless}");
        assert!(keyless["error"]["data"]["hint"].as_str().unwrap().contains("--user-isolation-key"), "{keyless}");
    }
    assert_eq!(world.names(), ["a.txt"]);
    assert_eq!(world.ok("files/stat", json!({"path": "a.txt"})).await["size"], 6, "it is still there");
    stranger.leave().await;
    elsewhere.end().await;
    world.end().await;
}

#[tokio::test]
async fn paths_that_lead_elsewhere_are_refused_on_both_sides() {
    let mut world = World::start().await;
    let file = world.write("a.txt", "x");
    for path in ["../record.json", "data/../../record.json"] {
        let (kind, _) = world.refused("files/upload", json!({"localPath": file, "path": path})).await;
        assert_eq!(kind, "badRequest", "{path}");
        let back = world.path("back");
        assert_eq!(world.refused("files/download", json!({"path": path, "localPath": back})).await.0, "badRequest");
    }
    for (method, rest, kind) in [
        ("files/upload", json!({"localPath": "a.txt"}), "invalidParams"),
        ("files/download", json!({"path": "a.txt", "localPath": "./a.txt"}), "invalidParams"),
        ("files/upload", json!({"localPath": file, "path": "a\nb"}), "invalidParams"),
        ("files/upload", json!({"localPath": world.path("none")}), "localFile"),
        ("files/upload", json!({"localPath": world.path("")}), "localFile"),
        ("files/download", json!({"path": "a.txt", "localPath": world.path("")}), "localFile"),
        ("files/download", json!({"path": "a.txt", "localPath": world.path("none/a.txt")}), "localFile"),
    ] {
        assert_eq!(world.refused(method, rest.clone()).await.0, kind, "{method} {rest}");
    }
    assert_eq!(world.names(), ["a.txt"]);
    world.end().await;
}

/// The most memory a process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn fifty_megabytes_go_there_and_back_in_constant_memory() {
    // No recorder: that one keeps bodies, and would shorten this one.
    let mut emulator = TestEmulator::with(|options| options.interceptor = None).await;
    let (home, local) = (Home::new(), tempfile::tempdir().unwrap());
    emulator.list_in(&home);
    let mut process = home.serve(&[]);
    process.report();
    let mut client = Client::new(UnixStream::connect(home.socket()).await.unwrap(), Framing::Ndjson);
    let target = emulator.target("notes");
    say(&mut client, &target, json!({"userKey": "acme", "chatKey": "one"}), "hello").await;

    let content: Vec<u8> = (0..50 * MB).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (file, back) = (local.path().join("a"), local.path().join("b"));
    fs::write(&file, &content).unwrap();
    let before = peak(process.id());
    for (method, path) in [("files/upload", &file), ("files/download", &back)] {
        let done = client.call(method, mine(&target, json!({"path": "a", "localPath": path}))).await;
        assert_eq!(done["result"]["bytes"], 50 * MB, "{done}");
    }
    let directory = local.path().join("tree");
    fs::create_dir(&directory).unwrap();
    fs::rename(&file, directory.join("a")).unwrap();
    for (method, name) in [("files/upload", "tree"), ("files/download", "back")] {
        let path = local.path().join(name);
        let params = json!({"path": "tree", "localPath": path, "recursive": true});
        let done = client.call(method, mine(&target, params)).await;
        assert_eq!(
            (&done["result"]["bytes"], &done["result"]["tree"]["files"]),
            (&json!(50 * MB), &json!(1)),
            "{done}"
        );
    }
    let growth = peak(process.id()) - before;
    assert!(growth < 10 * MB, "{growth} bytes");
    assert!(fs::read(&back).unwrap() == content, "other bytes came back");
    client.leave().await;
    emulator.end().await;
}

/// The real command line, with the article's own lines and azd's sentences.
#[test]
fn the_command_line_is_azds() {
    let (home, local) = (Home::new(), tempfile::tempdir().unwrap());
    fs::write(local.path().join("seed.json"), "{}\n").unwrap();
    let run = |words: &[&str]| {
        let keys = ["--emulator", "--user-isolation-key", "tenant-acme", "--chat-isolation-key", "thread-42"];
        let output = finish(home.command(&[words, &keys].concat()).current_dir(local.path()));
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let said = |words: &[&str], sentence: &str| assert_eq!(run(words), (format!("{sentence}\n"), Some(0)), "{words:?}");
    assert_eq!(run(&["invoke", "hello"]).1, Some(0));
    said(&["files", "upload", "./seed.json"], "Uploaded ./seed.json -> seed.json");
    said(&["files", "upload", "-f", "seed.json", "-t", "/data/in.json"], "Uploaded seed.json -> /data/in.json");
    said(&["files", "upload", "seed.json", "-t", "/data/out/"], "Uploaded seed.json -> /data/out/seed.json");
    said(&["files", "mkdir", "/data/out"], "Created /data/out");
    let (listed, code) = run(&["files", "ls", "/data"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((entry_names(&listed), &listed["path"], code), (vec!["in.json", "out"], &json!("data"), Some(0)));
    let (table, _) = run(&["files", "list", "/data", "-o", "table"]);
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["NAME", "PATH", "TYPE", "SIZE", "LAST", "MODIFIED"]);
    assert_eq!(cells[1], ["----", "----", "----", "----", "-------------"]);
    assert_eq!(cells[2][..4], ["in.json", "data/in.json", "file", "3"]);
    let stat: Value = serde_json::from_str(&run(&["files", "stat", "seed.json"]).0).unwrap();
    assert_eq!((&stat["size"], &stat["is_dir"]), (&json!(3), &json!(false)));
    said(&["files", "download", "/data/in.json"], "Downloaded /data/in.json -> in.json");
    said(&["files", "download", "--file", "seed.json", "--target-path", "b"], "Downloaded seed.json -> b");
    assert_eq!(names(local.path()), ["b", "in.json", "seed.json"]);
    assert_eq!(run(&["files", "delete", "/data"]).1, Some(1), "it is not empty");
    said(&["files", "rm", "/data", "--recursive"], "Removed /data");
    assert_eq!(run(&["files", "stat", "/data"]).1, Some(4));
    assert_eq!(run(&["files", "upload", "none"]).1, Some(2));
    let other = ["files", "ls", "--emulator", "--user-isolation-key", "tenant-contoso"];
    assert_eq!(finish(home.command(&other)).status.code(), Some(4), "they have no session");
    assert!(home.command(&["stop", "--force"]).status().unwrap().success());
}
