//! Which settings of the network apply to a target: proxy, fixed address, certificates.

use super::{check, failed};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{FoundryError, Route};
use crate::system::proxies::Way;
use cupola_protocol::doctor::{Check, CheckStatus};
use cupola_protocol::target::Target;
use std::path::PathBuf;

/// The name of the check.
const NAME: &str = "network";

/// The settings that apply to requests to a target. Nothing is said about a target on this machine, which no setting applies to, nor about one
/// that is not found: the check of the target says why.
pub(super) async fn network(daemon: &Daemon, target: Option<&Target>) -> Option<Check> {
    let resolved = daemon.targets.resolve(target?).await.ok()?;
    Some(match resolved.agent.route()? {
        Ok(route) => shown(&route, &daemon.config.system_certificates),
        Err(error) => failed(NAME, CallError::from(FoundryError::Setup(error.to_string()))),
    })
}

fn shown(route: &Route, system: &[(&str, PathBuf)]) -> Check {
    let Route { host, way, fixed, certificates } = route;
    let mut parts = vec![match way {
        Way::Direct => format!("{host} without a proxy"),
        Way::Excepted(variable) => format!("{host} without the proxy, because {variable} excepts it"),
        Way::Through { proxy, variable, .. } => format!("{host} through the proxy {proxy}, which {variable} names"),
    }];
    let is_unused = fixed.is_some() && matches!(way, Way::Through { resolves: true, .. });
    parts.extend(fixed.map(|address| match way {
        Way::Direct | Way::Excepted(_) => format!("resolve gives the address {address}"),
        // The proxy is told the address, with the port of the URL.
        Way::Through { resolves: false, .. } => format!("resolve gives the address {}", address.ip()),
        Way::Through { resolves: true, .. } => {
            format!("the proxy finds the address itself, so {address} from resolve is not used")
        }
    }));
    let named =
        |(variable, path): &(&str, PathBuf)| format!("{variable} names the system's certificates: {}", path.display());
    parts.extend(system.iter().map(named));
    if !certificates.is_empty() {
        let files: Vec<_> = certificates.iter().map(|path| path.display().to_string()).collect();
        parts.push(format!("trusted besides the system's certificates: {}", files.join(", ")));
    }
    let message = parts.join("; ");
    if !is_unused {
        return check(NAME, CheckStatus::Ok, message);
    }
    Check {
        hint: Some("add the host to NO_PROXY or use a socks5:// proxy, then run `cupola stop`".to_owned()),
        ..check(NAME, CheckStatus::Warning, message)
    }
}
