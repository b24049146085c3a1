//! First calls together: how often the credential is asked for a token.

use crate::Setting;
use crate::bed::{self, Alone};
use crate::line;
use crate::measure::float;
use crate::report::{Report, Target, duration};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

/// Clients, and the first calls of each.
const CLIENTS: usize = 50;
const CALLS: usize = 10;
/// The host that a deployed agent would have; the daemon's settings lead it to the emulator.
const HOST: &str = "bench.services.ai.azure.com";

/// Row 7.
pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let there = bed::directory()?;
    let (_emulator, endpoint) =
        bed::emulator(&setting.binary, there.path(), "deployed", &["--tls", "--tls-name", HOST])?;
    let asked = there.path().join("asked");
    let tools = there.path().join("bin");
    azd(&tools, &asked, &endpoint.token)?;
    let address = endpoint.url.trim_start_matches("https://").trim_end_matches('/').replace("localhost", "127.0.0.1");
    let daemon = Alone::with(&setting.binary, |directory, command| {
        let certificate = endpoint.certificate.as_deref().unwrap_or(Path::new("")).display();
        let config = format!("trusted_certificates = [\"{certificate}\"]\n[resolve]\n\"{HOST}\" = \"{address}\"\n");
        command.env("PATH", format!("{}:/usr/bin:/bin", tools.display())).env("HOME", directory);
        fs::write(directory.join("config.toml"), config).map_err(|error| error.to_string())
    })?;
    let target = json!({"kind": "project", "endpoint": format!("https://{HOST}/api/projects/proj1"), "agent": "notes"});
    let began = Instant::now();
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (mut line, target) = (daemon.line()?, target.clone());
        clients.push(std::thread::spawn(move || {
            (0..CALLS).try_for_each(|call| {
                let params = line::invoke(&target, &format!("client-{client:03}-{call:03}"), "hello", false);
                line.call("invoke", &params).map(|_| ())
            })
        }));
    }
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    let took = began.elapsed();
    let count = fs::read_to_string(&asked).unwrap_or_default().lines().count();
    let name = format!("token fetches of {} first calls", CLIENTS * CALLS);
    let of = format!("{CLIENTS} clients, {}", duration(took));
    report.add(7, name, (float(count), ""), Target::AtMost(1.0), of);
    if count == 0 {
        return Err("the credential was not asked at all".to_owned());
    }
    Ok(())
}

/// A stand-in for azd that writes down that it was asked.
fn azd(directory: &Path, asked: &Path, token: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    fs::create_dir(directory).map_err(failed)?;
    let script = format!(
        "#!/bin/sh\necho asked >> '{}'\necho '{{\"token\":\"{token}\",\"expiresOn\":\"2099-01-01T00:00:00Z\"}}'\n",
        asked.display()
    );
    let program = directory.join("azd");
    fs::write(&program, script).map_err(failed)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(failed)
}
