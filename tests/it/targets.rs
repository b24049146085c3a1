//! Which agent a call reaches: by its own endpoint, over TLS, with the real binary and a stand-in for `azd`.

use crate::support::{Home, TestEmulator};
use cupola_emulator::tls::Tls;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::sync::Arc;

/// The host a deployed agent would have; `config.toml` leads it to the emulator.
const HOST: &str = "acct.services.ai.azure.com";

fn project() -> String {
    format!("https://{HOST}/api/projects/proj1")
}

fn endpoint(path: &str) -> String {
    format!("{}/agents/notes/endpoint/protocols/{path}", project())
}

/// A home whose `config.toml` leads [`HOST`] to an emulator that speaks TLS.
struct Deployed {
    home: Home,
    emulator: TestEmulator,
}

impl Deployed {
    async fn start() -> Self {
        let home = Home::new();
        let mut certificate = None;
        let emulator = TestEmulator::with(|options| {
            let tls = Tls::generate(&home.path(""), &[HOST.to_owned()]).unwrap();
            certificate = Some(tls.certificate().to_owned());
            options.acceptor = Some(Arc::new(tls));
        })
        .await;
        let (certificate, address) = (certificate.unwrap(), emulator.address());
        fs::create_dir_all(home.path(".config/cupola")).unwrap();
        let certificate = certificate.display();
        let config = format!("trusted_certificates = [\"{certificate}\"]\n[resolve]\n\"{HOST}\" = \"{address}\"\n");
        fs::write(home.path(".config/cupola/config.toml"), config).unwrap();
        fs::create_dir(home.path("bin")).unwrap();
        let token = cupola_emulator::token("developer");
        let azd = format!("#!/bin/sh\necho '{{\"token\":\"{token}\",\"expiresOn\":\"2099-01-01T00:00:00Z\"}}'\n");
        fs::write(home.path("bin/azd"), azd).unwrap();
        fs::set_permissions(home.path("bin/azd"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { home, emulator }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.home.command(arguments);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.home.path("bin").display())).stderr(Stdio::piped());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// The result of a call that must succeed.
    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    async fn end(self) {
        self.run(&["stop", "--force"]).await;
        self.emulator.end().await;
    }
}

#[tokio::test]
async fn an_agent_endpoint_needs_no_project_and_shares_its_state_with_one() {
    let deployed = Deployed::start().await;
    let by_endpoint = endpoint("openai/responses?api-version=v1");
    let key = ["--user-isolation-key", "tenant-acme"];
    let call = |target: &[&str], message: &str| {
        let words = [&["invoke"], target, &key, &[message]].concat();
        words.into_iter().map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    let first = call(&["--agent-endpoint", &by_endpoint], "remember the milk");
    let first = deployed.json(&first.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let in_project = call(&["--project-endpoint", &project(), "--agent-name", "notes"], "what do you remember?");
    let second = deployed.json(&in_project.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(second["text"].as_str().unwrap().contains("milk"), "{second}");
    for field in ["sessionId", "conversationId"] {
        assert_eq!(first[field], second[field]);
    }
    // The older path means the same, and the path says the protocol.
    for (path, asked) in
        [("openai/v1/responses", "protocols/openai/responses"), ("invocations", "protocols/invocations")]
    {
        let before = deployed.emulator.asked("POST", asked).len();
        deployed.json(&["invoke", "--agent-endpoint", &endpoint(path), "hello"]).await;
        assert_eq!(deployed.emulator.asked("POST", asked).len(), before + 1, "{path}");
    }
    // What else works on an agent works on this one.
    let listed = deployed.json(&["sessions", "list", "--agent-endpoint", &by_endpoint, key[0], key[1]]).await;
    assert!(listed.to_string().contains(first["sessionId"].as_str().unwrap()), "{listed}");
    for request in deployed.emulator.requests() {
        assert!(request.header("authorization").unwrap().starts_with("Bearer "));
    }
    deployed.end().await;
}

#[tokio::test]
async fn an_agent_endpoint_elsewhere_is_refused_before_anything_is_sent() {
    let deployed = Deployed::start().await;
    let good = endpoint("openai/responses");
    for (url, code, says) in [
        (format!("{good}?api-version="), 2, "--agent-endpoint must look like"),
        (good.replace(HOST, &format!("{HOST}:443")), 2, "no port"),
        (good.replace("https", "http"), 2, "https"),
        (good.replace(HOST, "evil.example.com"), 3, "may not receive a token"),
        (good.replace(HOST, &format!("{HOST}.evil.example.com")), 3, "may not receive a token"),
    ] {
        let output = deployed.run(&["invoke", "--agent-endpoint", &url, "hello"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{url}: {said}");
        assert!(said.contains(says), "{url}: {said}");
    }
    let clash = deployed.run(&["invoke", "--agent-endpoint", &good, "--protocol", "invocations", "hello"]).await;
    assert_eq!(clash.status.code(), Some(2), "{clash:?}");
    assert!(deployed.emulator.asked("POST", "").is_empty());
    deployed.end().await;
}
