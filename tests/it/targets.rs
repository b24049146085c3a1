//! Which agent a call reaches: by its own endpoint, over TLS, with the real binary and a stand-in for `azd`.

use crate::support::deployed::{Deployed, HOST, project};

pub(crate) fn endpoint(path: &str) -> String {
    format!("{}/agents/notes/endpoint/protocols/{path}", project())
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
