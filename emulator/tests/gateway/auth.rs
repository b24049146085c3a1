//! Contract sections 1.2 to 1.7: tokens, API versions, envelopes, headers.

use crate::support::{Bench, START};
use cupola_emulator::Token;
use serde_json::json;

#[tokio::test]
async fn a_request_without_a_good_token_is_401_in_the_gateways_envelope() {
    let bench = Bench::start().await;
    let url = format!("{}/agents/notes?api-version=v1", bench.emulator.project_endpoint());
    bench.raw("GET", &url).send().await.refused(401, "unauthorized");
    let wrong = Token::of("ann").audience("https://cognitiveservices.azure.com");
    let expired = Token::of("ann").expires_at(START);
    for token in [wrong, expired] {
        let answer = bench.raw("GET", &url).token(&token).send().await;
        answer.refused(401, "unauthorized");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    bench
        .raw("GET", &url)
        .header("authorization", "Bearer FAKE.TOKEN.NOT-REAL")
        .send()
        .await
        .refused(401, "unauthorized");
    // The emulator's clock stands at START; every token here is good but for its signature.
    let stranger = Bench::start().await;
    let good = bench.emulator.sign(&Token::of("ann"));
    let (message, _) = good.rsplit_once('.').unwrap();
    let claims = message.split('.').nth(1).unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    for bad in [unsigned, format!("{message}."), format!("{message}.AAAA"), stranger.emulator.token("ann")] {
        let answer = bench.raw("GET", &url).header("authorization", &format!("Bearer {bad}")).send().await;
        answer.refused(401, "unauthorized");
        assert!(answer.text.contains("cupola emulator token"), "{}", answer.text);
    }
    let again = bench.restart().await;
    let url = format!("{}/agents/notes?api-version=v1", again.emulator.project_endpoint());
    again.raw("GET", &url).header("authorization", &format!("Bearer {good}")).send().await.ok();
    let bench = again;
    let slash = Token::of("ann").audience("https://ai.azure.com/").expires_at(START + 1);
    bench.raw("GET", &url).token(&slash).send().await.ok();
}

#[tokio::test]
async fn an_api_version_is_required_and_both_eras_are_known() {
    let bench = Bench::start().await;
    let url = format!("{}/agents/notes", bench.emulator.project_endpoint());
    bench.raw("GET", &url).caller("ann").send().await.refused(400, "invalid_request_error");
    for (query, status) in [("v1", 200), ("2025-11-15-preview", 200), ("2019-01-01", 400)] {
        let answer = bench.raw("GET", &format!("{url}?api-version={query}")).caller("ann");
        let answer = answer.header("foundry-features", "Anything=V1Preview").send().await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn any_project_name_reaches_the_agents() {
    let bench = Bench::start().await;
    let url = format!("{}/api/projects/_project/agents/notes?api-version=v1", bench.emulator.url());
    assert_eq!(bench.raw("GET", &url).caller("ann").send().await.ok().json()["name"], "notes");
}

#[tokio::test]
async fn every_answer_has_its_ids_and_says_it_is_the_emulators() {
    let bench = Bench::start().await;
    let good = bench.ask("GET", "/agents/notes").send().await;
    let bad = bench.ask("GET", "/nowhere").send().await;
    bad.refused(404, "not_found");
    for answer in [good, bad] {
        for name in ["x-request-id", "apim-request-id", "x-cupola-emulator"] {
            assert!(answer.header(name).is_some_and(|value| !value.is_empty()), "{name}");
        }
    }
    let own = bench.ask("GET", "/agents/notes").header("x-request-id", "mine").send().await;
    assert_eq!(own.header("x-request-id"), Some("mine"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = bench.ask("GET", "/agents/notes").header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    assert_eq!(traced.send().await.header("x-request-id"), Some(trace));
    bench.ask("PUT", "/agents/notes").send().await.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn about_lists_what_is_not_done_without_a_token() {
    let bench = Bench::start().await;
    let about = bench.raw("GET", &format!("{}/__cupola/about", bench.emulator.url())).send().await.ok().json();
    assert!(about["limits"].as_array().is_some_and(|limits| !limits.is_empty()));
    assert_eq!(about["agents"][2], json!({"name": "notes-identity", "protocol_version": "2.0.0"}));
}
