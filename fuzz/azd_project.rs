//! azd's project files: whatever they say, what comes of them is a name and an endpoint that keep their rules.

use super::*;
use crate::auth::Account;
use crate::foundry::{Address, AllowedHosts};
use crate::fuzz::{Input, Mutated, below, mutated};
use bolero::generator::bolero_generator::driver::Driver;
use bolero::{ValueGenerator, check};
use cupola_protocol::target::AbsolutePath;
use std::fs;

const YAML: &str = "name: shop\nservices:\n  web: {host: containerapp}\n  my-agent:\n    host: azure.ai.agent\n    config: {kind: hosted, name: inline-agent}\n  \
    p: {host: azure.ai.project, endpoint: \"https://acct.services.ai.azure.com/api/projects/shop\"}\n";
const FOUNDRY: &str = "services:\n  all:\n    host: microsoft.foundry\n    endpoint: https://acct.services.ai.azure.com/api/projects/shop\n    agents:\n      - kind: hosted\n        \
    name: inline-agent\n      - $ref: ./other.yaml\n";
const CONFIG: &str = "{\"version\":1,\"defaultEnvironment\":\"dev\"}\n";
const ENV: &str = "FOUNDRY_PROJECT_ENDPOINT=\"https://acct.services.ai.azure.com/api/projects/shop\"\nAGENT_MY_AGENT_NAME=\"shop-agent\"\nAGENT_MY_AGENT_VERSION=7\n\
    AGENT_MY_AGENT_ENDPOINT='https://acct.services.ai.azure.com/api/projects/shop/agents/a/versions/3'\n# comment\nexport A = b\n";
const USER_CONFIG: &str = "{\"extensions\":{\"ai-agents\":{\"context\":{\"endpoint\":\"https://other.services.ai.azure.com/api/projects/x\"}}}}\n";

const WORDS: &[&str] = &[
    "services",
    "host",
    "azure.ai.agent",
    "azure.ai.project",
    "microsoft.foundry",
    "endpoint",
    "name",
    "agents",
    "https://evil.example/api/projects/p",
    "../x",
    "..",
    "http://",
    "${A}",
    "&a ",
    "*a",
    "<<: *a",
    "- ",
    "!!binary ",
    "---\n",
    "defaultEnvironment",
    "\"",
    "'",
    "#",
    "=",
    "export ",
    "\u{feff}",
    "\t",
];

/// The files that may be wrong: their names, and what they usually say.
const FILES: [(&str, &str); 5] = [
    ("azure.yaml", YAML),
    ("azure.yaml", FOUNDRY),
    (".azure/config.json", CONFIG),
    (".azure/dev/.env", ENV),
    ("azd/config.json", USER_CONFIG),
];

/// One of the files, changed. Two that are wrong would hide each other.
struct Changed(Vec<Mutated>);

impl ValueGenerator for Changed {
    type Output = (usize, Input);

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<(usize, Input)> {
        let which = below(driver, self.0.len())?;
        Some((which, self.0[which].generate(driver)?))
    }
}

#[test]
fn whatever_the_files_say_the_rules_hold() {
    let directory = tempfile::tempdir().unwrap();
    let path = |below: &str| directory.path().join(below).to_str().unwrap().parse::<AbsolutePath>().unwrap();
    for below in [".azure/dev", "azd", "bare"] {
        fs::create_dir_all(directory.path().join(below)).unwrap();
    }
    for (name, usual) in FILES {
        fs::write(directory.path().join(name), usual).unwrap();
    }
    // Neither names a project nor has an environment: azd's own configuration decides.
    fs::write(directory.path().join("bare/azure.yaml"), "services: {a: {host: azure.ai.agent, name: a}}").unwrap();
    let files = FILES.map(|(_, usual)| mutated([usual.into()], WORDS));
    check!().with_generator(Changed(files.into())).for_each(|(which, changed): &(usize, Input)| {
        let (name, usual) = FILES[*which];
        fs::write(directory.path().join(name), &**changed).unwrap();
        let start = if name == "azd/config.json" { "bare" } else { ".azure" };
        let target = DirectoryTarget { azd_config_directory: Some(path("azd")), ..DirectoryTarget::new(path(start)) };
        let outcome = resolve_as(&target, cupola_cli::ownership::User::current());
        fs::write(directory.path().join(name), usual).unwrap();
        match outcome {
            Ok(resolved) => {
                // It passes the host rule or is refused by it: no file can say otherwise.
                if let Ok(address) = Address::project(&resolved.endpoint, &resolved.agent, &AllowedHosts::default()) {
                    assert_eq!(address.account(), Some(&Account::Configured));
                    assert!(address.origin().ends_with(".services.ai.azure.com"), "{address:?}");
                }
                // No host is made up: it stands in the file, or where it always did.
                let host = resolved.endpoint.host().to_owned();
                let is_written =
                    |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&host) || bytes.contains(&b'\\');
                assert!(is_written(changed) || FILES.iter().any(|(_, usual)| usual.contains(&host)), "{host}");
            }
            // No file says where the project is, so there is none to name.
            Err(ProjectError::NoEndpoint { environment: None }) => {}
            Err(error) => {
                let shown = error.to_string();
                assert!(shown.contains(directory.path().to_str().unwrap()), "no file is named: {shown}");
            }
        }
    });
}
