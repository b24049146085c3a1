//! Hints about which agent is meant: azd's project, an endpoint, a local port.

use super::advice;
use crate::support::deployed::{Deployed, HOST, project};
use crate::support::{LocalAgent, free_address, skip};
use std::fs;
use std::path::Path;
use std::process::Output;

/// A directory of azd's with these services; `.env` of its one environment has the endpoint and more.
fn write(root: &Path, services: &str, environment: &str) {
    fs::create_dir_all(root.join(".azure/dev")).unwrap();
    fs::write(root.join("azure.yaml"), format!("name: shop\nservices:\n{services}")).unwrap();
    fs::write(root.join(".azure/config.json"), r#"{"version":1,"defaultEnvironment":"dev"}"#).unwrap();
    fs::write(root.join(".azure/dev/.env"), environment).unwrap();
}

const ONE: &str = "  my-notes: {host: azure.ai.agent}\n";
const TWO: &str = "  my-notes: {host: azure.ai.agent}\n  strict: {host: azure.ai.agent}\n";

async fn run(deployed: &Deployed, directory: &Path, line: &str) -> Output {
    run_with(deployed, directory, &[], line).await
}

async fn run_with(deployed: &Deployed, directory: &Path, variables: &[(&str, &str)], line: &str) -> Output {
    let line = line.replace("PROJECT", &project());
    let words = super::words(&line);
    deployed.run_in(directory, variables, &words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

const NAMED: &str = "invoke --project-endpoint PROJECT --agent-name notes hello";

#[tokio::test]
async fn an_agent_that_cannot_be_told_is_named() {
    let deployed = Deployed::start().await;
    let root = deployed.home.path("shop");
    let elsewhere = deployed.home.path("");
    let endpoint = format!("FOUNDRY_PROJECT_ENDPOINT={}\n", project());
    let both = format!("{endpoint}AGENT_MY_NOTES_NAME=notes\nAGENT_STRICT_NAME=notes\n");

    let refused = run(&deployed, &elsewhere, "invoke hello").await;
    let given = advice("change to the directory of an azd project").given_by(&refused);
    write(&root, ONE, &both);
    let given = given.works(&run(&deployed, &root, "invoke hello").await);
    let given = given.works(&run(&deployed, &elsewhere, NAMED).await);
    given.works(&run(&deployed, &elsewhere, "invoke --emulator hello").await).done();

    write(&root, TWO, &both);
    let given = advice("name the agent before the message").given_by(&run(&deployed, &root, "invoke hello").await);
    let given = given.works(&run(&deployed, &root, "invoke my-notes hello").await);
    given.works(&run(&deployed, &root, "invoke --agent-name strict hello").await).done();

    write(&root, "  web: {host: containerapp}\n", &both);
    let given =
        advice("to call an agent that azure.yaml does not list").given_by(&run(&deployed, &root, "invoke hello").await);
    given.works(&run(&deployed, &root, "invoke --agent-name notes hello").await).done();

    write(&root, ONE, &endpoint);
    fs::create_dir_all(root.join(".azure/prod")).unwrap();
    fs::write(root.join(".azure/prod/.env"), &both).unwrap();
    let given =
        advice("run `azd deploy`, choose another environment").given_by(&run(&deployed, &root, "invoke hello").await);
    let given = given.works(&run(&deployed, &root, "invoke --environment prod hello").await);
    let given = given.works(&run(&deployed, &root, "invoke --agent-name notes hello").await);
    // What `azd deploy` leaves behind.
    fs::write(root.join(".azure/dev/.env"), &both).unwrap();
    given.works(&run(&deployed, &root, "invoke hello").await).done();

    let given = advice("`azd env list` shows the environments");
    let given = given.given_by(&run(&deployed, &root, "invoke --environment none hello").await);
    given.works(&run(&deployed, &root, "invoke --environment dev hello").await).done();

    write(&root, ONE, "AGENT_MY_NOTES_NAME=notes\n");
    let given = advice("run `azd ai project set URL`").given_by(&run(&deployed, &root, "invoke hello").await);
    let given = given.works(&run(&deployed, &root, "invoke --project-endpoint PROJECT hello").await);
    let variable = project();
    let variable = [("FOUNDRY_PROJECT_ENDPOINT", variable.as_str())];
    let given = given.works(&run_with(&deployed, &root, &variable, "invoke hello").await);
    let given = given.works(&run(&deployed, &root, "invoke --emulator -n notes hello").await);
    // What `azd ai project set` writes.
    fs::create_dir_all(deployed.home.path(".azd")).unwrap();
    let config = serde_json::json!({"extensions": {"ai-agents": {"context": {"endpoint": project()}}}});
    fs::write(deployed.home.path(".azd/config.json"), config.to_string()).unwrap();
    given.works(&run(&deployed, &root, "invoke hello").await).done();
    deployed.end().await;
}

#[tokio::test]
async fn a_project_file_that_cannot_be_used_is_corrected_or_done_without() {
    let deployed = Deployed::start().await;
    let root = deployed.home.path("shop");
    let environment = format!("FOUNDRY_PROJECT_ENDPOINT={}\nAGENT_MY_NOTES_NAME=notes\n", project());
    write(&root, ONE, "not an assignment\n");
    let given = advice("correct the file, or name the agent with --project-endpoint");
    let given = given.given_by(&run(&deployed, &root, "invoke hello").await);
    let given = given.works(&run(&deployed, &root, NAMED).await);
    write(&root, ONE, &environment);
    given.works(&run(&deployed, &root, "invoke hello").await).done();

    // Only root can give a file away.
    if std::os::unix::fs::chown(root.join("azure.yaml"), Some(54_321), None).is_err() {
        skip("a project of another user", "only root can give its files away");
        return deployed.end().await;
    }
    let given = advice("if you trust the project, copy it into a directory of your own");
    let given = given.given_by(&run(&deployed, &root, "invoke hello").await);
    let given = given.works(&run(&deployed, &root, NAMED).await);
    let copied = deployed.home.path("copied");
    write(&copied, ONE, &environment);
    given.works(&run(&deployed, &copied, "invoke hello").await).done();
    deployed.end().await;
}

#[tokio::test]
async fn an_endpoint_is_one_that_may_be_called_and_of_the_right_protocol() {
    let deployed = Deployed::start().await;
    let home = deployed.home.path("");
    let endpoint = |path: &str| format!("invoke --agent-endpoint PROJECT/agents/notes/endpoint/protocols/{path} hello");
    let responses = endpoint("openai/responses");
    let given = advice("leave --protocol out, or pass the endpoint of that protocol");
    let given =
        given.given_by(&run(&deployed, &home, &responses.replace("hello", "--protocol invocations hello")).await);
    let given = given.works(&run(&deployed, &home, &responses).await);
    given
        .works(&run(&deployed, &home, &endpoint("invocations").replace("hello", "--protocol invocations hello")).await)
        .done();

    let elsewhere = NAMED.replace("PROJECT", "https://acct.foundry.example.com/api/projects/p");
    let given = advice("for a host of your own, add its domain").given_by(&run(&deployed, &home, &elsewhere).await);
    let config = deployed.home.path(".config/cupola/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let allowed = text.replace(&format!("\"{HOST}\" ="), "\"acct.foundry.example.com\" =");
    fs::write(&config, format!("allowed_hosts = [\"foundry.example.com\"]\n{allowed}")).unwrap();
    deployed.run(&["stop"]).await;
    // It may have a token now; the host does not exist, so nothing more can be checked here.
    let let_through = run(&deployed, &home, &elsewhere).await;
    let said = String::from_utf8_lossy(&let_through.stderr).into_owned();
    given.helps(!said.contains("may not receive a token")).done();
    deployed.end().await;
}

#[tokio::test]
async fn a_local_agent_is_started_or_found_on_its_port() {
    let deployed = Deployed::start().await;
    let home = deployed.home.path("");
    let port = free_address().port();
    let invoke = format!("invoke --local --port {port} hello");
    let given =
        advice("start the agent, or pass the port it listens on").given_by(&run(&deployed, &home, &invoke).await);
    let agent = LocalAgent::start().await;
    let given = given.works(&run(&deployed, &home, &format!("invoke --local --port {} hello", agent.port)).await);
    let started = LocalAgent::start_at(port).await;
    given.works(&run(&deployed, &home, &invoke).await).done();
    drop((agent, started));
    deployed.end().await;
}
