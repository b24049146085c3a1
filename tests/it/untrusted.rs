//! Hosts whose certificate is refused: named as that, not asked again, and with the setting that helps.

use crate::support::deployed::{Deployed, HOST, project};
use cupola_emulator::hooks::{Acceptor, Connection};
use futures_util::future::BoxFuture;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// A call that must reach the host.
const INVOKE: [&str; 8] = ["invoke", "hello", "--project-endpoint", "PROJECT", "--agent-name", "notes", "-o", "json"];

/// TLS with a certificate that is wrong in some way.
struct Wrong(TlsAcceptor);

impl Acceptor for Wrong {
    fn accept(&self, stream: TcpStream) -> BoxFuture<'_, std::io::Result<Box<dyn Connection>>> {
        Box::pin(async move { Ok(Box::new(self.0.accept(stream).await?) as Box<dyn Connection>) })
    }
}

impl Wrong {
    /// Signed by itself, and written where it can be trusted.
    fn generate(path: &Path, params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(path, certificate.pem()).unwrap();
        cupola::system::tls::use_ring();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
        Self(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A deployed agent whose host shows this certificate, which is among those that are trusted.
pub(crate) async fn showing(params: CertificateParams) -> Deployed {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("wrong.pem");
    let deployed =
        Deployed::at(HOST, |options| options.acceptor = Some(Arc::new(Wrong::generate(&path, &params)))).await;
    fs::copy(path, deployed.home.path("wrong.pem")).unwrap();
    configure(&deployed, &trusting(&deployed.home.path("wrong.pem")));
    deployed
}

pub(crate) fn trusting(path: &Path) -> String {
    format!("trusted_certificates = [\"{}\"]\n", path.display())
}

pub(crate) fn configure(deployed: &Deployed, settings: &str) {
    let resolve = format!("[resolve]\n\"{HOST}\" = \"{}\"\n", deployed.emulator.address());
    fs::write(deployed.home.path(".config/cupola/config.toml"), format!("{settings}{resolve}")).unwrap();
}

pub(crate) fn names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

/// The error of a call that must fail, as a script reads it.
fn error(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.starts_with("{\"error\"")).unwrap_or_else(|| panic!("{output:?}"));
    serde_json::from_str::<Value>(line).unwrap()["error"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_a_host_that_is_not_trusted_fails_at_once_and_names_the_setting() {
    let deployed = Deployed::start().await;
    configure(&deployed, "");
    fs::write(deployed.home.path("seed.txt"), "seed").unwrap();
    let project = project();
    let of_agent = ["--project-endpoint", &project, "--agent-name", "notes", "--user-isolation-key", "acme"];
    let of_model = [&of_agent[..], &["--isolation-model", "keys"]].concat();
    let session = ["--session-id", "session-1"];
    for words in [
        [&["invoke", "hello"], &of_agent[..]].concat(),
        [&["invoke", "hello"], &of_model[..]].concat(),
        [&["invoke", "hello", "--protocol", "invocations"], &of_model[..]].concat(),
        [&["invoke", "hello", "--protocol", "invocations_ws"], &of_model[..]].concat(),
        [&["sessions", "create"], &of_model[..]].concat(),
        [&["sessions", "list"], &of_model[..]].concat(),
        [&["files", "list"], &of_model[..], &session].concat(),
        [&["files", "upload", "seed.txt"], &of_model[..], &session].concat(),
        [&["files", "download", "seed.txt"], &of_model[..], &session].concat(),
        [&["monitor"], &of_model[..], &session].concat(),
        [&["monitor", "--follow"], &of_model[..], &session].concat(),
    ] {
        let format = if words.contains(&"--follow") { "jsonl" } else { "json" };
        let output = deployed.run(&[&words[..], &["-o", format]].concat()).await;
        let error = error(&output);
        assert_eq!(error["data"]["kind"], "certificateNotTrusted", "{words:?}: {error}");
        assert_eq!((error["data"]["retryable"].as_bool(), output.status.code()), (Some(false), Some(3)), "{words:?}");
        let (message, hint) = (error["message"].as_str().unwrap(), error["data"]["hint"].as_str().unwrap());
        assert!(message.contains("signed by an authority that this machine does not trust"), "{message}");
        assert!(hint.contains("trusted_certificates") && hint.contains("cupola stop"), "{hint}");
    }
    // The advice works.
    deployed.run(&["stop"]).await;
    configure(&deployed, &trusting(&deployed.home.path("certificate.pem")));
    let output = deployed.run(&[&["invoke", "hello"], &of_agent[..]].concat()).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "echo: hello\n", "{output:?}");
    deployed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_certificate_is_told_apart() {
    let mut expired = names(&[HOST]);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let mut future = names(&[HOST]);
    future.not_before = date_time_ymd(2400, 1, 1);
    for (params, message, hint) in [
        (expired, "its certificate has expired", "clock"),
        (future, "its certificate is not valid yet", "clock"),
        (names(&["other.example"]), "its certificate is for another host name", "resolve"),
    ] {
        let (deployed, project) = (showing(params).await, project());
        let output = deployed.run(&INVOKE.map(|word| if word == "PROJECT" { &project } else { word })).await;
        let error = error(&output);
        assert_eq!(error["data"]["kind"], "certificateNotTrusted", "{error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{message}: {error}");
        assert!(error["data"]["hint"].as_str().unwrap().contains(hint), "{hint}: {error}");
        deployed.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_trusted_certificates_that_holds_none_is_named_with_its_setting() {
    let (deployed, project) = (Deployed::start().await, project());
    for (file, text) in [("missing.pem", None), ("empty.pem", Some(""))] {
        let path = deployed.home.path(file);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        configure(&deployed, &trusting(&path));
        let output = deployed.run(&INVOKE.map(|word| if word == "PROJECT" { &project } else { word })).await;
        let error = error(&output);
        assert_eq!(error["data"]["kind"], "configurationInvalid", "{error}");
        assert_eq!((error["data"]["retryable"].as_bool(), output.status.code()), (Some(false), Some(6)), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("trusted_certificates") && message.contains(file), "{message}");
        deployed.run(&["stop"]).await;
    }
    deployed.end().await;
}
