//! Which tokens prove who calls. A refused one reaches no agent, whatever else is right about it.

use super::World;
use super::issuer::{AUDIENCE, Key, time, unsigned};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

const PUBLIC_KEY: &str = include_str!("../../fixtures/auth/public-key.pem");

fn list() -> Value {
    json!({"id": 1, "method": "runs/list", "params": {}})
}

/// The claims with some of them changed; null takes one out.
fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    Value::Object(claims)
}

/// A token by a secret that everybody has: the public key.
fn confused(secret: &[u8], id: &str, claims: &Value) -> String {
    let signed = unsigned(&json!({"alg": "HS256", "typ": "JWT", "kid": id}), claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

#[tokio::test]
async fn only_a_token_that_its_issuer_has_signed_for_this_gateway_and_for_now_proves_anything() {
    let world = World::with("", Key::rsa("first"), "leeway = 30", "[[grants]]").await;
    let key = &world.issuer.key;
    let good = world.issuer.claims("ada");
    let token = key.token(&good);
    let tampered = {
        let parts: Vec<&str> = token.split('.').collect();
        let other = URL_SAFE_NO_PAD.encode(with(&good, &json!({"sub": "eve"})).to_string());
        format!("{}.{other}.{}", parts[0], parts[2])
    };
    let changed = |changes: Value| key.token(&with(&good, &changes));
    let bare = unsigned(&json!({"alg": "none"}), &good);
    let modulus = URL_SAFE_NO_PAD.decode(key.public()["n"].as_str().unwrap()).unwrap();
    let stranger = Key::p256("first");
    let own = json!({"jwk": stranger.public()});
    for (what, token) in [
        ("forged: another claim under the signature", tampered),
        ("forged: the signature is gone", format!("{}.", token.rsplit_once('.').unwrap().0)),
        ("forged: signed with a key of the caller's own", stranger.token(&good)),
        ("forged: brings its key along", stranger.token_and(&own, &good)),
        ("expired", changed(json!({"exp": time(-60)}))),
        ("without an end", changed(json!({"exp": null}))),
        ("an end that is a text", changed(json!({"exp": "9999999999"}))),
        ("an end beyond any clock", changed(json!({"exp": 1e300}))),
        ("not valid yet", changed(json!({"nbf": time(300)}))),
        ("for another audience", changed(json!({"aud": "api://other"}))),
        ("for an audience that begins as ours", changed(json!({"aud": format!("{AUDIENCE}/x")}))),
        ("for several others", changed(json!({"aud": ["api://other", "api://another"]}))),
        ("without an audience", changed(json!({"aud": null}))),
        ("of another issuer", changed(json!({"iss": "https://id.example"}))),
        ("of an issuer that begins as ours", changed(json!({"iss": format!("{}/", world.issuer.url)}))),
        ("without an issuer", changed(json!({"iss": null}))),
        ("alg none, without a signature", format!("{bare}.")),
        ("alg none in other letters", format!("{}.", unsigned(&json!({"alg": "nOnE"}), &good))),
        ("alg none, with a signature", format!("{bare}.{}", token.rsplit_once('.').unwrap().1)),
        ("key confusion: the PEM file as the secret", confused(PUBLIC_KEY.as_bytes(), "first", &good)),
        ("key confusion: the modulus as the secret", confused(&modulus, "first", &good)),
        ("an algorithm that is not the issuer's", key.token_and(&json!({"alg": "PS256"}), &good)),
        ("an algorithm that nobody has", key.token_and(&json!({"alg": "RS1"}), &good)),
        ("an unknown key", key.token_and(&json!({"kid": "second"}), &good)),
        ("jku", key.token_and(&json!({"jku": format!("{}/keys", world.issuer.url)}), &good)),
        ("x5u", key.token_and(&json!({"x5u": "https://evil.example/cert"}), &good)),
        ("x5c", key.token_and(&json!({"x5c": ["MIIB"]}), &good)),
        ("crit", key.token_and(&json!({"crit": ["exp"]}), &good)),
        ("compressed", key.token_and(&json!({"zip": "DEF"}), &good)),
        ("an empty subject", changed(json!({"sub": ""}))),
        ("without a subject", changed(json!({"sub": null}))),
        ("a subject that is a number", changed(json!({"sub": 7}))),
        ("a subject that is a list", changed(json!({"sub": ["ada"]}))),
        ("no token at all", String::new()),
        ("too long", format!("{token}{}", "A".repeat(16 * 1024))),
        ("three dots", format!("{token}.x")),
        ("words", "let me in".to_owned()),
    ] {
        let answer = world.post(&token, &list()).await;
        assert!([401, 431].contains(&answer.status.as_u16()), "{what}: {answer:?}");
        if answer.status == 401 {
            assert_eq!(answer.kind(), "authenticationFailed", "{what}: {answer:?}");
            assert!(answer.headers.contains_key("www-authenticate"), "{what}");
            assert!(token.is_empty() || !answer.body.contains(&token), "{what}: the answer repeats the token");
        }
    }
    for (what, changes) in [
        ("as it is", json!({})),
        ("within the leeway", json!({"exp": time(-5)})),
        ("one of several audiences", json!({"aud": ["api://other", AUDIENCE]})),
        ("without nbf", json!({"nbf": null})),
    ] {
        let answer = world.post(&changed(changes), &list()).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        assert!(answer.json()["result"]["runs"].is_array(), "{what}: {answer:?}");
    }
    assert!(world.emulator.requests().is_empty() || world.emulator.turns().is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_token_counts_in_one_authorization_header_and_nowhere_else() {
    let world = World::new().await;
    let token = world.issuer.token("ada");
    let bearer = format!("Bearer {token}");
    let json = ("content-type", "application/json");
    for (what, path, headers, status) in [
        ("nothing", "/rpc".to_owned(), vec![json], 401),
        ("in the URL", format!("/rpc?access_token={token}"), vec![json], 400),
        (
            "in the URL and in the header",
            format!("/rpc?access_token={token}"),
            vec![json, ("authorization", &bearer)],
            400,
        ),
        ("another scheme", "/rpc".to_owned(), vec![json, ("authorization", &token)], 401),
        ("twice", "/rpc".to_owned(), vec![json, ("authorization", &bearer), ("authorization", &bearer)], 401),
        ("a proxy's header", "/rpc".to_owned(), vec![json, ("x-forwarded-authorization", &bearer)], 401),
        ("a proxy's user", "/rpc".to_owned(), vec![json, ("x-forwarded-user", "ada"), ("x-remote-user", "ada")], 401),
        (
            "a proxy's certificate",
            "/rpc".to_owned(),
            vec![json, ("x-client-cert", "x"), ("x-ssl-client-verify", "SUCCESS")],
            401,
        ),
        ("a cookie", "/rpc".to_owned(), vec![json, ("cookie", &bearer)], 401),
        ("as it should", "/rpc".to_owned(), vec![json, ("authorization", &bearer)], 200),
    ] {
        let answer = world.send(http::Method::POST, &path, &headers, list().to_string()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_new_key_of_the_issuer_counts_at_once_and_one_it_took_back_no_more() {
    let world = World::new().await;
    let old = world.issuer.token("ada");
    assert_eq!(world.post(&old, &list()).await.status, 200);
    let asked = world.issuer.asked();
    assert_eq!(world.post(&old, &list()).await.status, 200);
    assert_eq!(world.issuer.asked(), asked, "known keys were asked for again");
    let next = Key::p256("second");
    let new = next.token(&world.issuer.claims("ada"));
    assert_eq!(world.post(&new, &list()).await.status, 401, "the key is not published yet");
    world.issuer.publish(vec![next.public()]);
    assert_eq!(world.post(&new, &list()).await.status, 200);
    assert_eq!(world.post(&old, &list()).await.status, 401, "its key is published no more");
    world.end().await;
}

#[tokio::test]
async fn a_token_that_was_accepted_before_is_refused_once_it_has_expired() {
    let world = World::with("", Key::p256("first"), "algorithm = \"ES256\"\nleeway = 0", "[[grants]]").await;
    let token = world.issuer.key.token(&with(&world.issuer.claims("ada"), &json!({"exp": time(4)})));
    // It ends when the token does.
    let mut socket = world.socket("/rpc", &token).await;
    for _ in 0..2 {
        assert_eq!(world.post(&token, &list()).await.status, 200);
    }
    assert_eq!(socket.next().await, Err(4401));
    let answer = world.post(&token, &list()).await;
    assert_eq!((answer.status.as_u16(), answer.kind().as_str()), (401, "authenticationFailed"), "{answer:?}");
    assert!(answer.body.contains("it has expired"), "{answer:?}");
    world.end().await;
}

#[tokio::test]
async fn a_configured_claim_must_be_there_and_is_the_isolation_as_it_is() {
    let issuer = "algorithm = \"ES256\"\nisolationClaim = \"oid\"";
    let world = World::with("", Key::p256("first"), issuer, "[[grants]]").await;
    for oid in [json!(null), json!(""), json!(7), json!(["a"]), json!({"a": 1}), json!(" a"), json!("a\nb")] {
        let token = world.issuer.key.token(&with(&world.issuer.claims("ada"), &json!({"oid": oid})));
        let answer = world.post(&token, &list()).await;
        assert_eq!((answer.status.as_u16(), answer.kind().as_str()), (401, "authenticationFailed"), "{oid}");
    }
    let token = world.issuer.key.token(&with(&world.issuer.claims("ada"), &json!({"oid": "object-7"})));
    let said = json!({"id": 1, "method": "invoke", "params": {"input": "hello"}});
    let answer = world.post(&token, &said).await;
    assert_eq!(answer.json()["result"]["status"], "completed", "{answer:?}");
    assert_eq!(world.emulator.turns()[0].header("x-agent-user-isolation-key"), Some("object-7"));
    world.end().await;
}
