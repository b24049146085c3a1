//! What a bound connection reaches of this machine's files: nothing, or what is below one directory and decides nothing
//! about trust.

use super::{bound, kind};
use crate::support::emulator::emulators_directory;
use crate::support::{Client, TestDaemon, TestEmulator};
use cupola::config::{Config, Flags};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A daemon whose files of trust lie all over a directory, and a root beside them.
struct Machine {
    daemon: TestDaemon,
    emulator: TestEmulator,
    place: TempDir,
}

impl Machine {
    async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for directory in ["given/in", "run/cupola", "config/cupola", "state", "azure", "azd", "outside"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        let configuration = format!(
            "trusted_certificates = [\"{place}/given/in/ca.pem\"]\nlog_file = \"{place}/given/in/cupola.log\"\n\
             [credential]\nkind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = {{ file = \"{place}/given/secret\" }}\n",
            place = place.path().display()
        );
        fs::write(at("given/cupola.toml"), configuration).unwrap();
        for name in [
            "given/secret",
            "given/in/ca.pem",
            "given/in/cupola.log",
            "given/in/federated",
            "given/in/roots.pem",
            "config/cupola/profiles.toml",
            "azure/msal_token_cache.json",
            "azd/config.json",
            "run/cupola/v1.sock.lock",
            "outside/theirs",
            "given/own.txt",
            "given/in/own.txt",
        ] {
            fs::write(at(name), "content").unwrap();
        }
        fs::set_permissions(at("state"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let variables = [
            ("HOME", ""),
            ("CUPOLA_CONFIG", "given/cupola.toml"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_RUNTIME_DIR", "run"),
            ("CUPOLA_STATE_DIR", "state"),
            ("AZURE_CONFIG_DIR", "azure"),
            ("AZD_CONFIG_DIR", "azd"),
            ("AZURE_FEDERATED_TOKEN_FILE", "given/in/federated"),
            ("SSL_CERT_FILE", "given/in/roots.pem"),
        ];
        let environment = |name: &str| -> Option<OsString> {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| at(value).into())
        };
        let mut config = Config::resolve(Flags::default(), &environment).unwrap();
        config.emulators_directory = Some(emulators_directory());
        let daemon = TestDaemon::configured(|given| *given = config);
        Self { daemon, emulator: TestEmulator::start().await, place }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A connection that may transfer what is below `root`, with a session that has a file.
    async fn bound(&self, root: &str) -> Client {
        let methods = ["invoke", "files/upload", "files/download", "files/*"];
        let bind = json!({"target": self.emulator.target("notes"), "isolation": {"userKey": "acme"},
            "methods": methods, "files": self.at(root)});
        let mut client = bound(&self.daemon, bind).await;
        client.call("invoke", json!({"input": "remember the milk"})).await;
        client
    }

    async fn end(self, client: Client) {
        client.leave().await;
        self.daemon.end().await;
        self.emulator.end().await;
    }
}

/// How SQLite's write-ahead log begins.
const WAL: &[u8] = &[0x37, 0x7f, 0x06];

/// All files below a directory with what is in them; links are not followed. The daemon itself writes its database.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                let text = fs::read(entry.path()).unwrap();
                let is_database = next.ends_with("state") || text.starts_with(b"SQLite") || text.starts_with(WAL);
                found.push((entry.path(), if is_database { Vec::new() } else { text }));
            }
        }
    }
    found.sort();
    found
}

/// Every way of asking for a transfer of this path.
fn transfers(path: &Path) -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for recursive in [false, true] {
        all.push(("files/upload", json!({"localPath": path, "path": "sent", "recursive": recursive})));
        all.push(("files/download", json!({"localPath": path, "path": "notes.txt", "recursive": recursive})));
    }
    all
}

#[tokio::test]
async fn local_files_are_out_of_bounds_unless_methods_and_a_directory_say_otherwise() {
    let machine = Machine::new().await;
    let target = machine.emulator.target("notes");
    let own = machine.at("given/own.txt");
    for (about, more) in [
        ("nothing", json!({})),
        ("only a directory", json!({"files": machine.at("given")})),
        ("only methods", json!({"methods": ["invoke", "files/upload", "files/download"]})),
        ("a pattern", json!({"methods": ["invoke", "files/*"], "files": machine.at("given")})),
    ] {
        let mut bind = json!({"target": target, "isolation": {"userKey": "acme"}});
        bind.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut client = bound(&machine.daemon, bind).await;
        client.call("invoke", json!({"input": "hello"})).await;
        let before = machine.emulator.requests().len();
        for (method, params) in transfers(&own) {
            let refused = client.call(method, params).await;
            assert_eq!(kind(&refused), "outOfBounds", "{about} {method}: {refused}");
            let hint = refused["error"]["data"]["hint"].as_str().unwrap();
            assert!(hint.contains("files/read") && hint.contains("--files"), "{hint}");
        }
        let greeting = client.call("initialize", json!({})).await;
        let methods = greeting["result"]["capabilities"]["methods"].to_string();
        assert!(!methods.contains("load"), "{about}: {methods}");
        assert_eq!(machine.emulator.requests().len(), before, "the service was asked");
        client.leave().await;
    }
    let client = machine.bound("given").await;
    machine.end(client).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_binds_nothing() {
    let machine = Machine::new().await;
    symlink(machine.at("state"), machine.at("link-to-state")).unwrap();
    for (files, expected) in [
        (machine.at("none"), "localFile"),
        (machine.at("given/own.txt"), "localFile"),
        (machine.at("state"), "outOfBounds"),
        (machine.at("link-to-state"), "outOfBounds"),
        (machine.at("config/cupola"), "outOfBounds"),
        (machine.at("run/cupola"), "outOfBounds"),
        (machine.at("azure"), "outOfBounds"),
        (PathBuf::from("given"), "invalidParams"),
    ] {
        let mut client = machine.daemon.connect();
        let bind = json!({"target": machine.emulator.target("notes"), "files": files, "methods": ["invoke"]});
        let refused = client.call("initialize", json!({"bind": bind})).await;
        assert_eq!(kind(&refused), expected, "{files:?}: {refused}");
        assert_eq!(kind(&client.call("invoke", json!({"input": "hello"})).await), "outOfBounds", "{files:?}");
        client.leave().await;
    }
    let client = machine.bound("given").await;
    machine.end(client).await;
}

#[tokio::test]
async fn below_the_directory_files_and_trees_go_both_ways() {
    let machine = Machine::new().await;
    let mut client = machine.bound("given").await;
    let [own, new, tree] = ["given/own.txt", "given/in/new.txt", "given/back"].map(|name| machine.at(name));
    let up = client.call("files/upload", json!({"localPath": own, "path": "data/own.txt"})).await;
    assert_eq!(up["result"]["bytes"], 7, "{up}");
    let down = client.call("files/download", json!({"localPath": new, "path": "data/own.txt"})).await;
    assert_eq!(down["result"]["bytes"], 7, "{down}");
    assert_eq!(fs::read_to_string(&new).unwrap(), "content");
    // It may be replaced, too.
    let again = client.call("files/download", json!({"localPath": new, "path": "notes.txt"})).await;
    assert_eq!((fs::read_to_string(&new).unwrap().as_str(), again["error"].is_null()), ("the milk\n", true), "{again}");
    let down = client.call("files/download", json!({"localPath": tree, "path": "data", "recursive": true})).await;
    assert_eq!(down["result"]["tree"]["files"], 1, "{down}");
    assert_eq!(fs::read_to_string(tree.join("own.txt")).unwrap(), "content");
    machine.end(client).await;
}

/// By its path, by `..`, by a link on the way or at the end, by a hard link, below a directory: nothing that decides over
/// trust is read or written, and nothing outside the directory.
#[tokio::test]
async fn no_path_and_no_link_leads_to_what_decides_over_trust() {
    let machine = Machine::new().await;
    // The widest directory there is, so that only the files' own meaning protects them.
    for root in ["", "given"] {
        let mut client = machine.bound(root).await;
        let at = |name: &str| machine.at(name);
        let hard = at(&format!("given/hard{}", root.len()));
        let soft = at(&format!("given/soft{}", root.len()));
        fs::create_dir_all(&hard).unwrap();
        fs::create_dir_all(&soft).unwrap();
        let trust = [
            "given/cupola.toml",
            "given/secret",
            "given/in/ca.pem",
            "given/in/cupola.log",
            "given/in/federated",
            "given/in/roots.pem",
            "config/cupola/profiles.toml",
            "state/state.db",
            "state/state.db-wal",
            "azure/msal_token_cache.json",
            "azd/config.json",
            "run/cupola/v1.sock.lock",
        ];
        let mut paths: Vec<PathBuf> = trust.iter().map(|name| at(name)).collect();
        for (number, name) in trust.iter().enumerate() {
            assert!(at(name).is_file(), "{name}");
            fs::hard_link(at(name), hard.join(number.to_string())).unwrap();
            symlink(at(name), soft.join(number.to_string())).unwrap();
            paths.extend([hard.join(number.to_string()), soft.join(number.to_string())]);
        }
        for (name, target) in [("up", ".."), ("state", "../../state"), ("outside", "../../outside")] {
            symlink(target, soft.join(name)).unwrap();
        }
        paths.extend(
            ["up/secret", "state/state.db", "outside/theirs", "outside/new", "state"].map(|name| soft.join(name)),
        );
        paths.extend(
            [
                // They do not exist yet.
                "config/cupola/config.toml",
                "state/new",
                "run/cupola/new",
                "given/in/cupola.log.old",
                "azd/auth",
                // Other spellings.
                "given/../given/secret",
                "given/in/../secret",
                "given/./../state/state.db",
                "state",
                "config/cupola",
            ]
            .map(at),
        );
        let before = contents(machine.place.path());
        let sent = |machine: &Machine| machine.emulator.asked("PUT", "sessions").len();
        let sent_before = sent(&machine);
        for path in &paths {
            for (method, params) in transfers(path) {
                // Without a root around them they are outside; what is missing cannot be read.
                let response = client.call(method, params.clone()).await;
                let refused = kind(&response);
                let is_missing = method == "files/upload" && refused == "localFile" && !path.exists();
                assert!(refused == "outOfBounds" || is_missing, "{root:?} {method} {params}: {response}");
            }
        }
        // Nor is it reached below a directory: all else of that is sent.
        let up = client.call("files/upload", json!({"localPath": at("given"), "path": "all", "recursive": true})).await;
        let tree = &up["result"]["tree"];
        let shown = tree.to_string();
        // Its own 2 files and nothing else.
        assert_eq!(tree["files"], 2, "{up}");
        for name in &trust[..6] {
            assert!(shown.contains(&*at(name).to_string_lossy()), "{name}: {shown}");
        }
        let failures = tree["failures"].as_array().unwrap();
        assert!(failures.iter().all(|failure| failure["kind"] == "outOfBounds"), "{shown}");
        assert_eq!(sent(&machine), sent_before + 2);
        assert!(before == contents(machine.place.path()), "something was written");
        client.leave().await;
        fs::remove_dir_all(&hard).unwrap();
        fs::remove_dir_all(&soft).unwrap();
    }
    let client = machine.bound("given").await;
    machine.end(client).await;
}

/// The names of a directory in the session are the agent's choice: they may be those of files that decide over trust.
#[tokio::test]
async fn a_tree_that_is_fetched_replaces_nothing_that_decides_over_trust() {
    let machine = Machine::new().await;
    let mut client = machine.bound("").await;
    fs::remove_file(machine.at("given/in/ca.pem")).unwrap();
    symlink(machine.at("outside"), machine.at("given/way")).unwrap();
    for path in [
        "t/given/cupola.toml",
        "t/given/in/ca.pem",
        "t/given/in/CA.pem",
        "t/given/way/x",
        "t/state/state.db",
        "t/given/x",
    ] {
        let written = client.call("files/write", json!({"path": path, "content": "ZXZpbA==", "isLast": true})).await;
        assert_eq!(written["result"]["isWritten"], true, "{written}");
    }
    let configuration = fs::read(machine.at("given/cupola.toml")).unwrap();
    let params = json!({"path": "t", "localPath": machine.place.path(), "recursive": true});
    let down = client.call("files/download", params).await;
    let tree = &down["result"]["tree"];
    assert_eq!((&tree["files"], tree["failures"].as_array().unwrap().len()), (&json!(1), 5), "{down}");
    assert_eq!(fs::read(machine.at("given/cupola.toml")).unwrap(), configuration);
    assert_eq!(fs::read_to_string(machine.at("given/x")).unwrap(), "evil");
    let names = |name: &str| crate::files::names(&machine.at(name));
    assert_eq!(names("outside"), ["theirs"]);
    assert!(!names("given/in").iter().any(|name| name.eq_ignore_ascii_case("ca.pem")), "{:?}", names("given/in"));
    machine.end(client).await;
}

/// In an azd project the files say which agent the next connection is bound to.
#[tokio::test]
async fn a_project_s_own_files_are_not_rewritten_by_a_connection_that_was_bound_by_them() {
    let machine = Machine::new().await;
    let project = machine.at("given");
    fs::create_dir_all(project.join(".azure/dev")).unwrap();
    let yaml = "name: x\nservices:\n  mine:\n    host: azure.ai.agent\n    name: mine\n";
    fs::write(project.join("azure.yaml"), yaml).unwrap();
    fs::write(project.join(".azure/config.json"), r#"{"defaultEnvironment":"dev"}"#).unwrap();
    let endpoint = "FOUNDRY_PROJECT_ENDPOINT=https://a.services.ai.azure.invalid/api/projects/p\n";
    fs::write(project.join(".azure/dev/.env"), endpoint).unwrap();
    let bind = json!({"target": {"kind": "directory", "path": project.join("in")}, "files": project,
        "methods": ["files/upload", "files/download"]});
    let mut client = bound(&machine.daemon, bind).await;
    for path in ["azure.yaml", "azure.yml", ".azure/dev/.env", ".azure/config.json", "in/azure.yaml", "in/.azure"] {
        let params = json!({"localPath": project.join(path), "path": "notes.txt"});
        let refused = client.call("files/download", params).await;
        assert_eq!(kind(&refused), "outOfBounds", "{path}: {refused}");
    }
    machine.end(client).await;
}
