//! Contract section 21.1: which version answered, and `x-agent-version-override`.

use crate::support::{Answer, Ask, Bench};
use serde_json::json;

const RESOLVED: &str = "x-agent-version-resolved";
const FALLBACK: &str = "x-agent-version-fallback";

/// A turn by one of the two protocols, in a session if one is given.
fn turn<'a>(bench: &'a Bench, protocol: &str, session: Option<&str>) -> Ask<'a> {
    match (protocol, session) {
        ("responses", session) => bench.invoke("notes", json!({"input": "hi", "agent_session_id": session})),
        (_, Some(session)) => {
            bench.endpoint("POST", "notes", &format!("/protocols/invocations?agent_session_id={session}")).bytes("hi")
        }
        (_, None) => bench.endpoint("POST", "notes", "/protocols/invocations").bytes("hi"),
    }
}

fn versions(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header(RESOLVED), answer.header(FALLBACK))
}

#[tokio::test]
async fn a_single_call_chooses_the_version_that_answers() {
    let bench = Bench::start().await;
    let select = json!({"agent_endpoint": {"version_selector": {"version_selection_rules": [
        {"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100}]}}});
    bench.ask("PATCH", "/agents/notes").body(select).send().await.ok();
    for protocol in ["responses", "invocations"] {
        let ordinary = turn(&bench, protocol, None).send().await.ok();
        assert_eq!(versions(&ordinary), (Some("1"), None), "{protocol}");
        for (word, answers) in [("2", "2"), ("latest", "3"), ("1", "1")] {
            let answer = turn(&bench, protocol, None).header("x-agent-version-override", word).send().await.ok();
            assert_eq!(versions(&answer), (Some(answers), None), "{protocol} {word}");
            assert_eq!(bench.agents.contexts.lock().unwrap().last().unwrap().version, answers, "{protocol} {word}");
        }
        // The header is for the service: no agent sees it.
        assert_eq!(bench.agents.last().header("x-agent-version-override"), None);
    }
}

#[tokio::test]
async fn a_version_that_cannot_answer_gives_way_without_an_error() {
    let bench = Bench::start().await;
    for protocol in ["responses", "invocations"] {
        let unknown = turn(&bench, protocol, None).header("x-agent-version-override", "9").send().await.ok();
        assert_eq!(versions(&unknown), (Some("3"), Some("true")), "{protocol}");
        // A session stays at its version.
        let session = unknown.session();
        let bound = turn(&bench, protocol, Some(&session)).header("x-agent-version-override", "1").send().await.ok();
        assert_eq!(versions(&bound), (Some("3"), Some("true")), "{protocol}");
        assert_eq!(bound.session(), session, "{protocol}");
    }
}
