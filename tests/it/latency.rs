//! How long the parts of a call took, as the service measured it: asked for by default, and data of the run.

use crate::invoke::stream;
use crate::support::{TestDaemon, TestEmulator};
use serde_json::json;

const REQUEST: &str = "x-ms-debug-latency-enabled";

#[tokio::test]
async fn a_run_says_how_its_session_started_and_where_the_time_went() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target("notes"), daemon.connect());
    for protocol in ["responses", "invocations"] {
        let params =
            json!({"target": target, "isolation": {"userKey": protocol}, "protocol": protocol, "input": "hello"});
        for start in ["cold", "warm", "resume"] {
            if start == "resume" {
                let of_session = json!({"target": target, "isolation": {"userKey": protocol}});
                assert_eq!(client.call("sessions/stop", of_session).await["result"]["alreadyStopped"], false);
            }
            let (events, answer) = stream(&mut client, params.clone()).await;
            let latency = &events[0]["latency"];
            assert_eq!(
                (&events[0]["type"], &latency["sessionStart"]),
                (&json!("started"), &json!(start)),
                "{events:?}"
            );
            for (phase, is_known) in [
                ("platformPreprocessingMs", true),
                ("infraSetupMs", start != "warm"),
                ("containerReadinessMs", start != "warm"),
                ("containerResponseMs", true),
                ("responseBeginMs", true),
            ] {
                assert_eq!(latency[phase].is_u64(), is_known, "{protocol} {start} {phase}: {latency}");
            }
            assert_eq!(&answer["result"]["latency"], latency, "{answer}");
            let run = client.call("runs/show", json!({"runId": answer["result"]["runId"]})).await["result"].clone();
            assert_eq!(&run["latency"], latency, "{run}");
        }
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn it_is_asked_for_on_turns_alone_and_not_where_the_setting_says_no() {
    for is_on in [true, false] {
        let (daemon, emulator) = (TestDaemon::configured(|config| config.latency = is_on), TestEmulator::start().await);
        let (target, mut client) = (emulator.target("notes"), daemon.connect());
        let (events, _) = stream(&mut client, json!({"target": target, "input": "hello"})).await;
        assert_eq!(events[0]["latency"].is_object(), is_on, "{events:?}");
        let asked = |requests: &[crate::support::emulator::Recorded]| -> Vec<Option<String>> {
            requests.iter().map(|request| request.header(REQUEST).map(str::to_owned)).collect()
        };
        assert_eq!(asked(&emulator.turns()), [is_on.then(|| "true".to_owned())]);
        let others: Vec<_> =
            emulator.requests().into_iter().filter(|request| !request.path.contains("/responses")).collect();
        assert!(!others.is_empty() && asked(&others).iter().all(Option::is_none));
        client.leave().await;
        daemon.end().await;
        emulator.end().await;
    }
}
