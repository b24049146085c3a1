//! An agent as it is deployed: by its own host name, over TLS, with the real binary and a stand-in for `azd`.

use super::{Home, TestEmulator, finish};
use cupola_emulator::Options;
use cupola_emulator::tls::Tls;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

/// The host a deployed agent would have; `config.toml` leads it to the emulator.
pub(crate) const HOST: &str = "acct.services.ai.azure.com";

/// The project's endpoint.
pub(crate) fn project() -> String {
    format!("https://{HOST}/api/projects/proj1")
}

/// A home whose `config.toml` leads [`HOST`] to an emulator that speaks TLS.
pub(crate) struct Deployed {
    pub(crate) home: Home,
    pub(crate) emulator: TestEmulator,
}

impl Deployed {
    pub(crate) async fn start() -> Self {
        Self::at(HOST, |_| {}).await
    }

    /// Under another host name, with other agents.
    pub(crate) async fn at(host: &str, adjust: impl FnOnce(&mut Options)) -> Self {
        let home = Home::new();
        let mut certificate = None;
        let emulator = TestEmulator::with(|options| {
            let tls = Tls::generate(&home.path(""), &[host.to_owned()]).unwrap();
            certificate = Some(tls.certificate().to_owned());
            options.acceptor = Some(Arc::new(tls));
            options.host_names = vec![host.to_owned()];
            adjust(options);
        })
        .await;
        let (certificate, address) = (certificate.unwrap(), emulator.address());
        fs::create_dir_all(home.path(".config/cupola")).unwrap();
        let certificate = certificate.display();
        let config = format!("trusted_certificates = [\"{certificate}\"]\n[resolve]\n\"{host}\" = \"{address}\"\n");
        fs::write(home.path(".config/cupola/config.toml"), config).unwrap();
        fs::create_dir(home.path("bin")).unwrap();
        let token = emulator.token("developer");
        let azd = format!("#!/bin/sh\necho '{{\"token\":\"{token}\",\"expiresOn\":\"2099-01-01T00:00:00Z\"}}'\n");
        fs::write(home.path("bin/azd"), azd).unwrap();
        fs::set_permissions(home.path("bin/azd"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { home, emulator }
    }

    /// What the stand-in for `azd` gives.
    pub(crate) fn token(&self) -> String {
        self.emulator.token("developer")
    }

    /// Where the stand-in for `azd` is found.
    pub(crate) fn path_variable(&self) -> String {
        format!("{}:/usr/bin:/bin", self.home.path("bin").display())
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(&self.home.path(""), &[], arguments).await
    }

    /// The outcome in a directory, with variables.
    pub(crate) async fn run_in(&self, directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = self.home.command(arguments);
        command.env("PATH", self.path_variable()).stderr(Stdio::piped());
        command.current_dir(directory).envs(variables.iter().copied());
        tokio::task::spawn_blocking(move || finish(command)).await.unwrap()
    }

    /// The result of a call that must succeed.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) async fn end(self) {
        self.run(&["stop", "--force"]).await;
        self.emulator.end().await;
    }
}
