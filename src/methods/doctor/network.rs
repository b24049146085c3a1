//! Which settings of the network apply to a target: proxy, fixed address, certificates.

use super::{check, failed};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{FoundryError, Route};
use crate::system::proxies::Way;
use cupola_protocol::doctor::{Check, CheckStatus};
use cupola_protocol::target::Target;

/// The name of the check.
const NAME: &str = "network";

/// The settings that apply to requests to a target. Nothing is said about a target on this machine, which no setting applies to, nor about one
/// that is not found: the check of the target says why.
pub(super) async fn network(daemon: &Daemon, target: Option<&Target>) -> Option<Check> {
    let resolved = daemon.targets.resolve(target?).await.ok()?;
    Some(match resolved.agent.route()? {
        Ok(route) => shown(&route),
        Err(error) => failed(NAME, CallError::from(FoundryError::Setup(error.to_string()))),
    })
}

fn shown(route: &Route) -> Check {
    let Route { host, way, fixed, certificates } = route;
    let resolves = matches!(way, Way::Through { resolves: true, .. });
    let mut message = match way {
        Way::Direct => format!("{host} without a proxy"),
        Way::Excepted(variable) => format!("{host} without the proxy, because {variable} excepts it"),
        Way::Through { proxy, variable, .. } => format!("{host} through the proxy {proxy}, which {variable} names"),
    };
    if let Some(address) = fixed.filter(|_| !resolves) {
        message.push_str(&match way {
            // Only the address reaches the proxy, with the port of the URL.
            Way::Through { .. } => format!("; resolve gives the address {}", address.ip()),
            Way::Direct | Way::Excepted(_) => format!("; resolve gives the address {address}"),
        });
    }
    if !certificates.is_empty() {
        let files: Vec<_> = certificates.iter().map(|path| path.display().to_string()).collect();
        message.push_str("; trusted besides the system's certificates: ");
        message.push_str(&files.join(", "));
    }
    match fixed.filter(|_| resolves) {
        None => check(NAME, CheckStatus::Ok, message),
        Some(address) => Check {
            hint: Some("add the host to NO_PROXY or use a socks5:// proxy, then run `cupola stop`".to_owned()),
            ..check(
                NAME,
                CheckStatus::Warning,
                format!("{message}; the proxy finds the address itself, so {address} from resolve is not used"),
            )
        },
    }
}
