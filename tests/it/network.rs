//! Proxies, `NO_PROXY` and `resolve`, with the real binary and a real proxy: every call goes the way that `cupola doctor` names.

use crate::hints::{Check, advice};
use crate::support::deployed::{Deployed, HOST, project};
use crate::support::proxy::Proxy;
use crate::support::{Client, Framing, Home, PATIENCE, Process, finish, free_address};
use crate::untrusted::trusting;
use cupola_emulator::faults::Fault;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::fs;
use std::process::{Output, Stdio};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A variable and its value.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Runs a command of a daemon that is started with these variables.
async fn run(deployed: &Deployed, variables: Variables<'_>, words: &[&str]) -> Output {
    let project = project();
    let agent = ["--project-endpoint", &project, "--agent-name", "notes", "--user-isolation-key", "acme"];
    deployed.run_in(&deployed.home.path(""), variables, &[words, &agent].concat()).await
}

async fn stop(deployed: &Deployed) {
    deployed.run(&["stop", "--force"]).await;
}

/// The settings without `resolve`, or with it.
fn configure(deployed: &Deployed, resolve: bool) {
    let trusted = trusting(&deployed.home.path("certificate.pem"));
    let fixed = format!("[resolve]\n\"{HOST}\" = \"{}\"\n", deployed.emulator.address());
    let settings = if resolve { trusted + &fixed } else { trusted };
    fs::write(deployed.home.path(".config/cupola/config.toml"), settings).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `cupola doctor` says about the network: the status, the message and the hint.
async fn network(deployed: &Deployed, variables: Variables<'_>) -> (String, String, String) {
    let output = run(deployed, variables, &["doctor", "-o", "json"]).await;
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let check = found["checks"].as_array().unwrap().iter().find(|check| check["name"] == "network").unwrap();
    let field = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
    (field("status"), field("message"), field("hint"))
}

/// All calls share one HTTP/2 connection. A call that waits to know more about the agent has not read its answer yet, and that must not
/// keep the others' answers back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_read_yet_keep_no_other_back() {
    const CALLERS: usize = 40;
    const CALLS: usize = 3;
    let deployed = Deployed::start().await;
    // Turns are answered before the agent is shown.
    deployed.emulator.fail("*/agents/notes", 1000, Fault::Latency { milliseconds: 1000 });
    let mut command = deployed.home.command(&["serve", "--background"]);
    command.env("PATH", deployed.path_variable());
    let mut daemon = Process::start(command);
    assert!(daemon.report().starts_with("ready"));
    let target = json!({"kind": "project", "endpoint": project(), "agent": "notes"});
    let callers = (0..CALLERS).map(|caller| {
        let (socket, target) = (deployed.home.socket(), target.clone());
        async move {
            let mut client = Client::new(UnixStream::connect(socket).await.unwrap(), Framing::Ndjson);
            for call in 0..CALLS {
                let isolation = json!({"userKey": format!("caller-{caller:02}-{call:02}")});
                let input = format!("stream {}", "word ".repeat(200).trim_end());
                let params = json!({"target": target, "isolation": isolation, "input": input});
                let answer = timeout(PATIENCE, client.call("invoke", params)).await.expect("a call does not end");
                assert_eq!(answer["result"]["status"], "completed", "{answer}");
            }
        }
    });
    join_all(callers).await;
    deployed.end().await;
    daemon.ended();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_proxy_carries_a_call_and_doctor_names_it_without_its_password() {
    let deployed = Deployed::start().await;
    let proxy = Proxy::start(deployed.emulator.address(), true).await;
    let address = proxy.address();
    for (variable, value, shown, resolve, asked) in [
        ("HTTPS_PROXY", format!("http://me:hush@{address}"), format!("http://{address}"), false, HOST),
        ("https_proxy", format!("me:hush@{address}"), format!("http://{address}"), false, HOST),
        ("ALL_PROXY", format!("socks5h://me:hush@{address}"), format!("socks5h://{address}"), false, HOST),
        ("HTTPS_PROXY", format!("socks5://me:hush@{address}"), format!("socks5://{address}"), true, "127.0.0.1"),
    ] {
        configure(&deployed, resolve);
        let variables = [(variable, value.as_str())];
        let output = run(&deployed, &variables, &["invoke", "hello"]).await;
        assert_eq!(text(&output.stdout), "echo: hello\n", "{value}: {output:?}");
        assert_eq!(proxy.asked(), [format!("{asked}:443")], "{value}");
        let (status, message, _) = network(&deployed, &variables).await;
        assert_eq!(status, "ok", "{message}");
        let says = format!("{HOST} through the proxy {shown}, which {variable} names");
        assert!(message.starts_with(&says) && !message.contains("hush"), "{message}");
        assert!(message.contains("certificate.pem"), "{message}");
        assert_eq!(message.contains("resolve gives the address 127.0.0.1;"), resolve, "{message}");
        stop(&deployed).await;
    }
    deployed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_goes_through_the_proxy() {
    let deployed = Deployed::start().await;
    configure(&deployed, false);
    fs::write(deployed.home.path("seed.txt"), "seed").unwrap();
    for scheme in ["http", "socks5h"] {
        let proxy = Proxy::start(deployed.emulator.address(), false).await;
        let value = format!("{scheme}://{}", proxy.address());
        for words in [
            &["invoke", "hello", "--protocol", "invocations_ws"][..],
            &["sessions", "list"],
            &["files", "upload", "seed.txt"],
            &["files", "download", "seed.txt", "--target-path", "-"],
            &["monitor"],
        ] {
            let output = run(&deployed, &[("HTTPS_PROXY", &value)], words).await;
            assert!(output.status.success(), "{scheme} {words:?}: {output:?}");
        }
        // A WebSocket has a connection of its own; the others share one.
        assert_eq!(proxy.asked(), [format!("{HOST}:443")]);
        stop(&deployed).await;
    }
    deployed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_no_proxy_lists_are_reached_without_it() {
    let deployed = Deployed::start().await;
    let proxy = Proxy::start(deployed.emulator.address(), false).await;
    let value = format!("http://{}", proxy.address());
    for (variables, says) in [
        (vec![], format!("{HOST} without a proxy; resolve gives the address {}", deployed.emulator.address())),
        (
            vec![("HTTPS_PROXY", value.as_str()), ("no_proxy", "example.com, .services.ai.azure.com")],
            format!("{HOST} without the proxy, because no_proxy excepts it; resolve gives"),
        ),
    ] {
        let output = run(&deployed, &variables, &["invoke", "hello"]).await;
        assert_eq!(text(&output.stdout), "echo: hello\n", "{variables:?}: {output:?}");
        let (status, message, _) = network(&deployed, &variables).await;
        assert_eq!(status, "ok", "{message}");
        assert!(message.starts_with(&says), "{message}");
        assert!(proxy.asked().is_empty(), "{variables:?}");
        stop(&deployed).await;
    }
    deployed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn the_systems_certificates_can_be_named_by_a_variable() {
    let deployed = Deployed::start().await;
    let certificate = deployed.home.path("certificate.pem").display().to_string();
    let resolve = format!("[resolve]\n\"{HOST}\" = \"{}\"\n", deployed.emulator.address());
    fs::write(deployed.home.path(".config/cupola/config.toml"), resolve).unwrap();
    let variables = [("SSL_CERT_FILE", certificate.as_str())];
    let output = run(&deployed, &variables, &["invoke", "hello"]).await;
    assert_eq!(text(&output.stdout), "echo: hello\n", "{output:?}");
    let (_, message, _) = network(&deployed, &variables).await;
    assert!(message.contains(&format!("SSL_CERT_FILE names the system's certificates: {certificate}")), "{message}");
    deployed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_the_proxy_does_not_use_is_a_warning() {
    let deployed = Deployed::start().await;
    let proxy = Proxy::start(deployed.emulator.address(), false).await;
    let value = format!("http://{}", proxy.address());
    let variables = [("HTTPS_PROXY", value.as_str())];
    let (status, message, _) = network(&deployed, &variables).await;
    assert_eq!(status, "warning", "{message}");
    assert!(message.contains("from resolve is not used"), "{message}");
    let output = run(&deployed, &variables, &["doctor", "-o", "json"]).await;
    let mut given =
        advice("add the host to NO_PROXY or use a socks5:// proxy").given_by(&Check::of(&output, "network"));
    let socks = format!("socks5://{}", proxy.address());
    for variables in [[variables[0], ("NO_PROXY", HOST)], [("HTTPS_PROXY", socks.as_str()), ("NO_PROXY", "")]] {
        stop(&deployed).await;
        given = given.helps(network(&deployed, &variables).await.0 == "ok");
    }
    given.done();
    deployed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_names_no_proxy_is_an_error_and_not_passed_over() {
    let deployed = Deployed::start().await;
    let variables = [("HTTPS_PROXY", "socks://me:hush@127.0.0.1:1080")];
    let output = run(&deployed, &variables, &["invoke", "hello", "-o", "json"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("HTTPS_PROXY is not the address of a proxy") && !said.contains("hush"), "{said}");
    let (status, message, hint) = network(&deployed, &variables).await;
    assert_eq!(status, "error", "{message}");
    assert!(message.contains("HTTPS_PROXY") && hint.contains("cupola stop"), "{message}: {hint}");
    // The advice works.
    stop(&deployed).await;
    let output = run(&deployed, &[], &["invoke", "hello"]).await;
    assert_eq!(text(&output.stdout), "echo: hello\n", "{output:?}");
    deployed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_refuses_or_does_not_answer_is_named_in_the_error() {
    let deployed = Deployed::start().await;
    configure(&deployed, false);
    let proxy = Proxy::start(deployed.emulator.address(), true).await;
    let (refusing, absent) = (proxy.address().to_string(), free_address());
    for (value, shown) in [
        (format!("http://{refusing}"), format!("http://{refusing}")),
        (format!("http://me:wrong@{refusing}"), format!("http://{refusing}")),
        (format!("socks5h://me:wrong@{refusing}"), format!("socks5h://{refusing}")),
        (format!("http://{absent}"), format!("http://{absent}")),
    ] {
        let output = run(&deployed, &[("HTTPS_PROXY", &value)], &["agents", "list", "-o", "json"]).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{value}: {said}");
        assert!(said.contains(&format!("through the proxy {shown}")) && !said.contains("wrong"), "{value}: {said}");
        stop(&deployed).await;
    }
    deployed.end().await;
}

#[test]
fn nothing_on_this_machine_is_reached_through_a_proxy() {
    let home = Home::new();
    let absent = format!("http://{}", free_address());
    for (words, says) in [
        (&["invoke", "--emulator", "hello"][..], "echo: hello\n"),
        (&["doctor", "--emulator", "-o", "json"], "\"target\""),
    ] {
        let mut command = home.command(words);
        for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env(variable, &absent);
        }
        let output = finish(command);
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains(says) && !said.contains("\"network\""), "{said}");
    }
    let mut command = home.command(&["stop", "--force"]);
    command.stderr(Stdio::null());
    finish(command);
}
