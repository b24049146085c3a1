//! Requests captured from Microsoft's own clients, sent byte for byte: each gets an answer its sender accepts.
//!
//! `fixtures/requests/` holds what three clients sent: the CLI of the isolation-key era (protocol 1.0.0), the CLI of
//! today and the Python SDK (2.0.0). A name says which command or method it was; the last number counts its requests.
//! Only the host, the token and ids of things the service made up are replaced. Each is sent to a separate emulator,
//! in which what it names exists and belongs to whom the request is from.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod answer;
mod expect;
mod request;
mod world;

use expect::Expect;
use request::Recorded;
use std::collections::BTreeMap;
use std::io::Write;
use world::World;

/// Why a request has no part in this, if it has none.
fn skipped(request: &Recorded) -> Option<&'static str> {
    (!request.path().starts_with("/api/")).then_some("is for an agent without a service in front")
}

#[tokio::test]
async fn every_captured_request_gets_an_answer_its_sender_accepts() {
    let mut skips: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut replayed = 0;
    for request in request::all() {
        if let Some(reason) = skipped(&request) {
            skips.entry(reason).or_default().push(request.name.clone());
            continue;
        }
        let world = World::of(&request, &request, &request).await;
        let answer = world.send(&request).await;
        if let Err(problem) = Expect::of(&request).check(&answer) {
            problems.push(format!("{}: {problem}\n    {answer:?}", request.name));
        }
        world.end().await;
        replayed += 1;
    }
    // Written past the test harness, which would swallow it: what is not tested must be seen.
    let mut output = std::io::stdout();
    for (reason, names) in &skips {
        writeln!(output, "replay: {} skipped, {reason}: {}", names.len(), names.join(" ")).unwrap();
    }
    writeln!(output, "replay: {replayed} requests replayed").unwrap();
    assert!(problems.is_empty(), "{} of {replayed}:\n{}", problems.len(), problems.join("\n"));
    assert!(replayed > 165, "only {replayed} requests were found");
}

#[tokio::test]
async fn a_second_tenant_is_kept_out_of_the_firsts_saved_session() {
    let request = request::named("azd-isolation-era/fresh-tenant-contoso-1");
    let first = request::named("azd-isolation-era/fresh-tenant-acme-2");
    let world = World::of(&request, &first, &first).await;
    assert_eq!(world.send(&first).await.status, 200);
    let answer = world.send(&request).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    world.end().await;
}

#[tokio::test]
async fn a_session_made_without_its_user_is_behind_the_wall_for_that_user() {
    let made = request::named("azd-beta.11/fresh-version-1");
    for name in ["azd-beta.11/fresh-version-3", "azd-beta.11/fresh-other-user-1"] {
        let request = request::named(name);
        let world = World::of(&request, &made, &request).await;
        let answer = world.send(&request).await;
        assert_eq!(answer.status, 403, "{name}: {answer:?}");
        assert!(answer.text().contains("session_not_accessible"), "{name}: {answer:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn another_user_may_enter_the_session_but_not_the_conversation() {
    let alice = request::named("azd-beta.11/fresh-version-3");
    let bob = request::named("azd-beta.11/fresh-other-user-1");
    let world = World::of(&bob, &alice, &alice).await;
    assert_eq!(world.send(&alice).await.status, 200);
    let answer = world.send(&bob).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    world.end().await;
}
