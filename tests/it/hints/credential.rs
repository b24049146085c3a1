//! Hints about tokens, certificates and the configuration file.

use super::{advice, words};
use crate::support::deployed::{Deployed, HOST, project};
use crate::support::{Home, TestEmulator};
use crate::untrusted::{configure, names, showing, trusting};
use rcgen::date_time_ymd;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

async fn run(deployed: &Deployed, line: &str) -> Output {
    let line = line.replace("PROJECT", &project());
    let words = words(&line);
    deployed.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

const INVOKE: &str = "invoke --project-endpoint PROJECT --agent-name notes hello";

/// A tool on the PATH of the tests that does this.
fn tool(home: &Home, name: &str, script: &str) {
    let path = home.path("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// `az login` has been run.
fn signed_in_az(deployed: &Deployed) -> String {
    let answer = format!(
        r#"{{"accessToken":"{}","expiresOn":"2099-01-01 00:00:00.000000","expires_on":4070908800,"subscription":"s","tenant":"t","tokenType":"Bearer"}}"#,
        deployed.token()
    );
    format!("echo '{answer}'")
}

const SIGNED_OUT: &str = "echo 'ERROR: not logged in' >&2; exit 1";

#[tokio::test]
async fn without_a_token_the_tool_that_gives_one_is_named() {
    let deployed = Deployed::start().await;
    let home = &deployed.home;
    let signed_in = fs::read_to_string(home.path("bin/azd")).unwrap().trim_start_matches("#!/bin/sh\n").to_owned();
    // The machine's own tools are out of reach.
    tool(home, "az", SIGNED_OUT);

    // One of them is there, and nobody has signed in.
    fs::remove_file(home.path("bin/azd")).unwrap();
    let given = advice("if your shell finds the tool that the daemon does not").given_by(&run(&deployed, INVOKE).await);
    tool(home, "az", &signed_in_az(&deployed));
    let given = given.works(&run(&deployed, INVOKE).await);
    // Installed where only the shell looks: the next daemon looks there as well.
    run(&deployed, "stop").await;
    given.works(&run(&deployed, INVOKE).await).done();
    run(&deployed, "stop").await;

    tool(home, "azd", SIGNED_OUT);
    tool(home, "az", SIGNED_OUT);
    let given = advice("sign in with `azd auth login` or `az login`, then try again");
    let given = given.given_by(&run(&deployed, INVOKE).await);
    tool(home, "azd", &signed_in);
    given.works(&run(&deployed, INVOKE).await).done();
    run(&deployed, "stop").await;

    // Only one is asked.
    let config = home.path(".config/cupola/config.toml");
    let plain = fs::read_to_string(&config).unwrap();
    for (kind, name, script, hint) in [
        ("azd", "azd", signed_in.clone(), advice("run `azd auth login`, then try again")),
        ("azureCli", "az", signed_in_az(&deployed), advice("run `az login`, then try again")),
    ] {
        fs::write(&config, format!("{plain}[credential]\nkind = \"{kind}\"\n")).unwrap();
        tool(home, name, SIGNED_OUT);
        let given = hint.given_by(&run(&deployed, INVOKE).await);
        tool(home, name, &script);
        given.works(&run(&deployed, INVOKE).await).done();
        run(&deployed, "stop").await;
        if kind == "azd" {
            fs::remove_file(home.path("bin/azd")).unwrap();
            let given = advice("install it and sign in; if your shell finds it already")
                .given_by(&run(&deployed, INVOKE).await);
            tool(home, "azd", &signed_in);
            run(&deployed, "stop").await;
            given.works(&run(&deployed, INVOKE).await).done();
            run(&deployed, "stop").await;
        }
    }

    fs::write(&config, format!("{plain}[credential]\nkind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = {{ env = \"NOT_SET\" }}\n")).unwrap();
    let given =
        advice("correct [credential] in the configuration file, then run").given_by(&run(&deployed, INVOKE).await);
    fs::write(&config, &plain).unwrap();
    run(&deployed, "stop").await;
    given.works(&run(&deployed, INVOKE).await).done();
    run(&deployed, "stop").await;

    // Nothing listens at Entra's address.
    let secret =
        "[credential]\nkind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = { env = \"SECRET\" }\n";
    fs::write(&config, format!("{plain}\"login.microsoftonline.com\" = \"127.0.0.1:1\"\n{secret}")).unwrap();
    let line = INVOKE.replace("PROJECT", &project());
    let line = words(&line);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let given = advice("and that this machine reaches Entra; after a change");
    let given = given.given_by(&deployed.run_in(&home.path(""), &[("SECRET", "hush")], &line).await);
    fs::write(&config, &plain).unwrap();
    run(&deployed, "stop").await;
    given.works(&run(&deployed, INVOKE).await).done();
    deployed.end().await;
}

/// Neither of the tools is anywhere.
#[tokio::test]
async fn without_any_tool_both_are_named() {
    let deployed = Deployed::start().await;
    let azd = fs::read_to_string(deployed.home.path("bin/azd")).unwrap();
    fs::remove_file(deployed.home.path("bin/azd")).unwrap();
    let bin = deployed.home.path("bin");
    let path = bin.to_str().unwrap();
    let home = deployed.home.path("");
    let line = INVOKE.replace("PROJECT", &project());
    let words = words(&line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let given =
        advice("install azd or az, then run").given_by(&deployed.run_in(&home, &[("PATH", path)], &words).await);
    // `install`, then `login`; and the next daemon has the shell's PATH.
    let elsewhere = deployed.home.path("installed");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("azd"), azd).unwrap();
    fs::set_permissions(elsewhere.join("azd"), fs::Permissions::from_mode(0o755)).unwrap();
    run(&deployed, "stop").await;
    let wider = format!("{}:/usr/bin:/bin", elsewhere.display());
    given.works(&deployed.run_in(&home, &[("PATH", &wider)], &words).await).done();
    deployed.end().await;
}

#[tokio::test]
async fn an_emulator_that_is_not_there_is_started_or_its_token_given() {
    let home = super::Stopped::new();
    let address = crate::support::free_address();
    let invoke = format!("invoke --emulator=http://{address} -n notes hello");
    let run = |line: &str| {
        let command = super::command(&home, line);
        tokio::task::spawn_blocking(move || crate::support::finish(command))
    };
    let refused = run(&invoke).await.unwrap();
    let given = advice("start it with `cupola emulator`; for one in a container").given_by(&refused);
    let mut emulator = home.command(&["emulator", "--listen", &address.to_string(), "--json"]);
    emulator.arg("--data-dir").arg(home.path("emulator"));
    let mut emulator = crate::support::Process::start(emulator);
    emulator.first_line();
    let given = given.works(&run(&invoke).await.unwrap());
    // One that is listed nowhere here.
    let token = run(&format!("emulator token --url http://{address}")).await.unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let listed = home.path("run/cupola/emulators");
    fs::rename(&listed, home.path("run/elsewhere")).unwrap();
    run("stop --force").await.unwrap();
    let refused = run(&invoke).await.unwrap();
    let again = advice("start it with `cupola emulator`; for one in a container").given_by(&refused);
    run("stop --force").await.unwrap();
    let mut with_token = super::command(&home, &invoke);
    with_token.env("CUPOLA_EMULATOR_TOKEN", token);
    let answered = tokio::task::spawn_blocking(move || crate::support::finish(with_token)).await.unwrap();
    given.works(&answered).done();
    again.works(&answered).done();
    run("stop --force").await.unwrap();
    fs::rename(home.path("run/elsewhere"), &listed).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_trusted_leads_to_its_setting() {
    // Signed by a private certificate authority.
    let deployed = Deployed::start().await;
    let good = trusting(&deployed.home.path("certificate.pem"));
    configure(&deployed, "");
    let given = advice("name the authority's PEM file in trusted_certificates").given_by(&run(&deployed, INVOKE).await);
    configure(&deployed, &good);
    run(&deployed, "stop").await;
    given.works(&run(&deployed, INVOKE).await).done();

    // A file of certificates that is not there.
    run(&deployed, "stop").await;
    configure(&deployed, &trusting(&deployed.home.path("missing.pem")));
    let given = advice("correct what it names, then run `cupola stop`").given_by(&run(&deployed, INVOKE).await);
    configure(&deployed, &good);
    run(&deployed, "stop").await;
    given.works(&run(&deployed, INVOKE).await).done();

    // `resolve` leads to another server.
    let other = showing(names(&["other.example"])).await;
    let config = deployed.home.path(".config/cupola/config.toml");
    let wrong = format!(
        "trusted_certificates = [\"{}\"]\n[resolve]\n\"{HOST}\" = \"{}\"\n",
        other.home.path("wrong.pem").display(),
        other.emulator.address()
    );
    fs::write(&config, wrong).unwrap();
    run(&deployed, "stop").await;
    let given =
        advice("another server answered: check the endpoint's host name").given_by(&run(&deployed, INVOKE).await);
    configure(&deployed, &good);
    run(&deployed, "stop").await;
    given.works(&run(&deployed, INVOKE).await).done();
    other.end().await;
    deployed.end().await;

    // The clock is right, so the certificate is renewed.
    let mut expired = names(&[HOST]);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let mut future = names(&[HOST]);
    future.not_before = date_time_ymd(2400, 1, 1);
    for (params, hint) in [
        (expired, advice("the host's certificate must be renewed")),
        (future, advice("its owner must replace the certificate")),
    ] {
        let spoiled = showing(params).await;
        let given = hint.given_by(&run(&spoiled, INVOKE).await);
        spoiled.end().await;
        let renewed = showing(names(&[HOST])).await;
        given.works(&run(&renewed, INVOKE).await).done();
        renewed.end().await;
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_looked_for() {
    let deployed = Deployed::start().await;
    let config = deployed.home.path(".config/cupola/config.toml");
    let good = fs::read_to_string(&config).unwrap();
    let address = deployed.emulator.address().to_string();
    fs::write(&config, good.replace(&address, "127.0.0.1:1")).unwrap();
    let given = advice("check the endpoint and this machine's network").given_by(&run(&deployed, INVOKE).await);
    fs::write(&config, good).unwrap();
    run(&deployed, "stop").await;
    given.works(&run(&deployed, INVOKE).await).done();
    deployed.end().await;
}

#[tokio::test]
async fn a_configuration_that_others_could_have_written_is_made_ones_own() {
    let deployed = Deployed::start().await;
    let config = deployed.home.path(".config/cupola/config.toml");
    let shell =
        |line: &str| assert!(std::process::Command::new("sh").args(["-c", line]).status().unwrap().success(), "{line}");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = run(&deployed, INVOKE).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let line = said.split("then run: ").nth(1).unwrap().lines().next().unwrap();
    let refused = serde_json::json!({"error": {"data": {"hint": said}}});
    let given = advice("check what it says, then run: chmod go-w").given_by(&refused);
    shell(line);
    given.works(&run(&deployed, INVOKE).await).done();
    run(&deployed, "stop").await;
    if std::os::unix::fs::chown(&config, Some(54_321), None).is_err() {
        crate::support::skip("a configuration of another user", "only root can give its files away");
        return deployed.end().await;
    }
    let refused = run(&deployed, INVOKE).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let line = said.split("make it yours: ").nth(1).unwrap().lines().next().unwrap();
    let refused = serde_json::json!({"error": {"data": {"hint": said}}});
    let given = advice("if you trust what it says, make it yours: chown -h").given_by(&refused);
    shell(line);
    given.works(&run(&deployed, INVOKE).await).done();
    deployed.end().await;
}

#[tokio::test]
async fn who_may_not_act_for_others_keeps_them_apart_on_this_machine() {
    // What withholds the permission to act for others leaves the machine's own partitions.
    let emulator = TestEmulator::with(|options| options.withhold_impersonation = true).await;
    let daemon = crate::support::TestDaemon::start();
    let mut client = daemon.connect();
    let invoke = |isolation: serde_json::Value| serde_json::json!({"target": emulator.target("notes-identity"), "isolation": isolation, "input": "hello"});
    let refused = client.call("invoke", invoke(serde_json::json!({"userIdentity": "alice"}))).await;
    let given = advice("or partition on this machine only with --isolation-model local").given_by(&refused);
    let local = serde_json::json!({"userIdentity": "alice", "model": "local"});
    given.works(&client.call("invoke", invoke(local)).await).done();
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
