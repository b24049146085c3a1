//! The real binary: `cupola gateway`, and commands that use it like the daemon.

use super::issuer::{AUDIENCE, Issuer, Key};
use crate::hints::advice;
use crate::support::{Framing, Home, Process, TestEmulator, finish, free_address};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;

/// The developer tool of the one who is signed in as this person: it gives a token for the audience that it is asked for, and writes down
/// what that was.
fn sign_in(home: &Home, issuer: &Issuer, subject: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let (token, asked) = (issuer.token(subject), home.path("asked"));
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> '{}'\necho '{{\"token\":\"{token}\",\"expiresOn\":\"2099-01-01T00:00:00Z\"}}'\n",
        asked.display()
    );
    fs::create_dir_all(home.path("bin")).unwrap();
    fs::write(home.path("bin/azd"), script).unwrap();
    fs::set_permissions(home.path("bin/azd"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A gateway's process, and a home whose configuration has both the gateway and the way to it.
pub(crate) struct Running {
    pub(crate) home: Home,
    url: String,
    pub(crate) emulator: TestEmulator,
    issuer: Issuer,
    process: Process,
}

impl Running {
    pub(crate) async fn start() -> Self {
        let home = Home::new();
        let mut emulator = TestEmulator::start().await;
        emulator.list_in(&home);
        let issuer = Issuer::start(Key::p256("first")).await;
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::create_dir_all(home.path(".config/cupola")).unwrap();
        let file = |name: &str, text: &str| {
            let path = home.path(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (certificate, key) = (file("tls.pem", &cert.pem()), file("tls.key", &signing_key.serialize_pem()));
        let token = file("token", &format!("{}\n", issuer.token("ada")));
        let other = file("other-token", &issuer.token("eve"));
        let address = free_address();
        let (url, target) = (format!("https://localhost:{}", address.port()), emulator.target("notes"));
        let text = format!(
            "[gateway]\nlisten = \"{address}\"\ncertificate = \"{certificate}\"\nprivateKey = \"{key}\"\n\
             [[gateway.issuers]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nalgorithm = \"ES256\"\n\
             [gateway.agents.notes]\ntarget = {{ kind = \"emulator\", url = {}, agent = \"notes\" }}\n[[gateway.grants]]\n\
             [gateways.mine]\nurl = \"{url}\"\ntoken = {{ file = \"{token}\" }}\nauthorities = \"{certificate}\"\n\
             [gateways.other-user]\nurl = \"{url}\"\ntoken = {{ file = \"{other}\" }}\nauthorities = \"{certificate}\"\n\
             [gateways.signed-in]\nurl = \"{url}\"\naudience = \"{AUDIENCE}\"\nauthorities = \"{certificate}\"\n\
             [gateways.unproven]\nurl = \"{url}\"\nauthorities = \"{certificate}\"\n\
             [gateways.stranger]\nurl = \"{url}\"\ntoken = {{ env = \"STRANGERS_TOKEN\" }}\nauthorities = \"{certificate}\"\n",
            issuer.url, target["url"],
        );
        file(".config/cupola/config.toml", &text);
        let mut process = Process::start(home.command(&["gateway"]));
        assert_eq!(process.first_line(), format!("ready https://{address}\n"));
        Self { home, url, emulator, issuer, process }
    }

    /// What a command printed, after its end: whether it ended well, its output, its errors.
    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let mut command = self.home.command(arguments);
        command.stderr(Stdio::piped()).env("STRANGERS_TOKEN", "let me in");
        let output = finish(command);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    pub(crate) async fn end(mut self) {
        self.process.signal(Signal::TERM);
        assert!(self.process.ended().success());
        self.issuer.end().await;
        self.emulator.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_use_a_gateway_like_the_daemon() {
    let running = Running::start().await;
    let (ok, said, errors) = running.run(&["invoke", "--gateway", "mine", "remember the milk"]);
    assert!(ok, "{said} {errors}");
    let (ok, said, errors) =
        running.run(&["invoke", "--gateway", &running.url, "-n", "notes", "what do you remember?"]);
    assert!(ok && said.contains("the milk"), "{said} {errors}");
    let (ok, said, errors) = running.run(&["invoke", "--gateway", "mine", "--chat", "other", "what do you remember?"]);
    assert!(ok && !said.contains("the milk"), "{said} {errors}");
    let (ok, runs, errors) = running.run(&["runs", "list", "--gateway", "mine", "-o", "json"]);
    assert!(ok && runs.matches("runId").count() == 2, "{runs} {errors}");
    // No daemon was started for it.
    assert!(!running.home.socket().exists());
    assert_eq!(running.emulator.turns()[0].header("x-agent-user-isolation-key").map(str::len), Some(43));

    for (arguments, said) in [
        (&["invoke", "--gateway", "other", "hello"][..], "no gateway \"other\" is in the configuration file"),
        (&["invoke", "--gateway", "https://localhost:1", "hello"], "is in the configuration file"),
        (&["invoke", "--gateway", "mine", "-n", "other", "hello"], "a gateway reaches only the agents"),
        (
            &["invoke", "--gateway", "mine", "--chat-isolation-key", "x", "hello"],
            "the gateway takes it from your token",
        ),
    ] {
        let (ok, _, errors) = running.run(arguments);
        assert!(!ok && errors.contains(said), "{arguments:?}: {errors}");
    }
    let (ok, _, errors) = running.run(&["invoke", "--gateway", "stranger", "hello"]);
    assert!(!ok && errors.contains("the token was refused: it is not a signed token"), "{errors}");
    assert!(errors.contains("with a token that your identity provider has issued for this gateway"), "{errors}");
    assert!(!errors.contains("let me in"), "{errors}");
    let run = |arguments: &[&str]| {
        let mut command = running.home.command(&[&["invoke", "--gateway", "mine"], arguments].concat());
        command.stderr(Stdio::piped());
        finish(command)
    };
    let given = advice("leave the isolation flags out").given_by(&run(&["--user-isolation-key", "eve", "hello"]));
    given.works(&run(&["hello"])).works(&run(&["--chat", "work", "hello"])).done();
    let given = advice("name only the agent, as the gateway calls it").given_by(&run(&["--emulator", "hello"]));
    given.works(&run(&["--agent-name", "notes", "hello"])).done();
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_trusts_the_users_own_directory_gets_a_token_of_the_credential() {
    let running = Running::start().await;
    sign_in(&running.home, &running.issuer, "ada");
    let run = |arguments: &[&str]| {
        let mut command = running.home.command(arguments);
        let tools = running.home.path("bin");
        command.env("PATH", format!("{}:/usr/bin:/bin", tools.display())).stderr(Stdio::piped());
        let output = finish(command);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (ok, said, errors) = run(&["invoke", "--gateway", "signed-in", "remember the milk"]);
    assert!(ok, "{said} {errors}");
    // It is the person whom her own token names as well.
    let (ok, said, errors) = run(&["invoke", "--gateway", "mine", "what do you remember?"]);
    assert!(ok && said.contains("the milk"), "{said} {errors}");
    fs::write(running.home.path("note.txt"), "hello").unwrap();
    let file = running.home.path("note.txt").display().to_string();
    let (ok, said, errors) = run(&["files", "upload", &file, "--gateway", "signed-in"]);
    assert!(ok, "{said} {errors}");
    let asked = fs::read_to_string(running.home.path("asked")).unwrap();
    assert!(asked.lines().all(|line| line.contains(&format!("{AUDIENCE}/.default"))), "{asked}");
    let (ok, _, errors) = run(&["invoke", "--gateway", "unproven", "hello"]);
    assert!(!ok && errors.contains("must have either token or audience"), "{errors}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_on_attach_speaks_to_a_gateway_in_its_own_framing() {
    let running = Running::start().await;
    for framing in [Framing::Lsp, Framing::Ndjson] {
        let (mut bridge, mut client) = running.home.attach(&["--gateway", "mine", "--only", "invoke"], framing);
        let answer = client.call("initialize", json!({"clientInfo": {"name": "an editor"}})).await;
        assert_eq!(answer["result"]["bound"], true, "{answer}");
        let params = json!({"input": "tokens one two", "partialResultToken": 1});
        client.send(json!({"jsonrpc": "2.0", "id": "turn", "method": "invoke", "params": params})).await;
        let mut events = 0;
        let answer = loop {
            let message: Value = client.next().await;
            if message["id"] == "turn" {
                break message;
            }
            events += 1;
        };
        assert!(answer["result"]["status"] == "completed" && events > 2, "{answer}");
        let refused = client.call("sessions/list", json!({})).await;
        assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{refused}");
        client.leave().await;
        assert!(bridge.ended().success());
    }
    running.end().await;
}

#[test]
fn a_gateway_without_tls_serves_this_machine_only_and_one_without_settings_says_so() {
    let home = Home::new();
    fs::create_dir_all(home.path(".config/cupola")).unwrap();
    let run = |arguments: &[&str]| String::from_utf8(finish(home.command(arguments)).stdout).unwrap();
    assert!(run(&["gateway"]).contains("has no [gateway]"));
    let text = "[gateway]\nlisten = \"0.0.0.0:0\"\n[[gateway.issuers]]\nissuer = \"https://id.example\"\naudience = \"a\"\n\
        [gateway.agents.notes]\ntarget = { kind = \"emulator\", url = \"http://127.0.0.1:1\" }\n[[gateway.grants]]\n";
    fs::write(home.path(".config/cupola/config.toml"), text).unwrap();
    let refused = run(&["gateway", "--plain-http"]);
    assert!(refused.contains("--plain-http needs a loopback address"), "{refused}");
    let refused = run(&["gateway"]);
    assert!(refused.contains("certificate and privateKey in [gateway] name no files"), "{refused}");
}
