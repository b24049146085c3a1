//! Client certificates as the proof of who calls.

use super::World;
use super::issuer::Key;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An authority of a test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate of this name, if it has one.
    fn certify(&self, uri: Option<&str>) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// Says something to the agent with this certificate and these headers. The status and the answer; nothing if TLS failed.
async fn say(
    world: &World,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    headers: &[(&str, &str)],
) -> Option<(u16, Value)> {
    let stream = world.connect_with(own).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let body = json!({"id": 1, "method": "invoke", "params": {"input": "hello"}}).to_string();
    let mut request =
        http::Request::post("/rpc").header("host", "localhost").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(bytes::Bytes::from(body))).unwrap()).await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    let _ = connection.await;
    Some((status, serde_json::from_slice(&body).unwrap()))
}

async fn world(authority: &Authority) -> (World, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("authority.pem");
    std::fs::write(&path, authority.0.pem()).unwrap();
    let settings = format!("clientAuthorities = \"{}\"", path.display());
    let grants = "[[grants]]\nclaim = \"san\"\nvalue = \"uri:spiffe://tests/ada\"\n\
        [[grants]]\nclaim = \"san\"\nvalue = \"uri:spiffe://tests/eve\"\n";
    (World::with(&settings, Key::p256("first"), "algorithm = \"ES256\"", grants).await, directory)
}

#[tokio::test]
async fn a_certificate_of_a_configured_authority_proves_who_calls_and_no_header_does() {
    let authority = Authority::new();
    let (world, _directory) = world(&authority).await;
    for uri in ["spiffe://tests/ada", "spiffe://tests/eve", "spiffe://tests/ada"] {
        let (status, answer) = say(&world, Some(authority.certify(Some(uri))), &[]).await.unwrap();
        assert_eq!((status, &answer["result"]["status"]), (200, &json!("completed")), "{uri}: {answer}");
    }
    let sent: Vec<_> = world.emulator.turns();
    let keys: Vec<_> = sent.iter().map(|turn| turn.header("x-agent-user-isolation-key").unwrap()).collect();
    assert!(keys[0] == keys[2] && keys[0] != keys[1], "{keys:?}");

    let stranger = Authority::new().certify(Some("spiffe://tests/ada"));
    assert!(say(&world, Some(stranger), &[]).await.is_none(), "another authority's certificate was taken");
    let header = [("x-forwarded-client-cert", "URI=spiffe://tests/ada"), ("x-client-verify", "SUCCESS")];
    assert_eq!(say(&world, None, &header).await.unwrap().0, 401);
    assert_eq!(
        say(&world, Some(authority.certify(None)), &header).await.unwrap().0,
        401,
        "a certificate without a name"
    );
    assert_eq!(say(&world, Some(authority.certify(Some("spiffe://tests/bob"))), &[]).await.unwrap().0, 403);
    // A bad token is not made good by a certificate.
    let ada = authority.certify(Some("spiffe://tests/ada"));
    assert_eq!(say(&world, Some(ada), &[("authorization", "Bearer x")]).await.unwrap().0, 401);
    assert_eq!(world.emulator.turns().len(), 3);
    world.end().await;
}
