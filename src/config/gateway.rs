//! `[gateway]` of the configuration file: what `cupola gateway` serves, to whom, and under which isolation; and `[gateways.NAME]`: the
//! gateways that the command line may use.

use crate::system::secret::SecretSource;
use cupola_protocol::daemon::MethodPattern;
use cupola_protocol::isolation::{Isolation, IsolationKey, IsolationModel, UserIdentity};
use cupola_protocol::target::{AgentName, Target};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;
use url::{Host, Url};

/// Where a gateway listens unless it is told otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8443);
/// Calls of one caller in a minute: ten a second, which no person and few programs reach.
const DEFAULT_CALLS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();
/// Runs of one caller at once: a few windows of an editor.
const DEFAULT_RUNS_AT_ONCE: NonZeroU16 = NonZeroU16::new(8).unwrap();
/// How far an issuer's clock may be off, in seconds.
const DEFAULT_LEEWAY: u16 = 60;
/// More than five minutes would keep an expired token alive for too long.
const MAX_LEEWAY: u16 = 300;
/// How long after the keys of an issuer were asked for they are not asked for again, whatever tokens name: a caller with tokens of
/// unknown keys must not make the gateway ask the issuer all the time.
const KEY_REST: Duration = Duration::from_secs(30);
/// Claims that users can change themselves, or that an administrator gives to another person later.
const MUTABLE_CLAIMS: [&str; 12] = [
    "email",
    "preferred_username",
    "upn",
    "unique_name",
    "name",
    "given_name",
    "family_name",
    "nickname",
    "username",
    "phone_number",
    "picture",
    "login",
];

/// What `cupola gateway` serves.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewaySettings {
    /// Where it listens.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The PEM file of its certificate chain.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The PEM file of the certificate's private key.
    #[serde(default)]
    pub private_key: Option<PathBuf>,
    /// A PEM file with the authorities whose client certificates prove who calls. Without it no certificate does.
    #[serde(default)]
    pub client_authorities: Option<PathBuf>,
    /// The web origins whose pages may call. Requests of all other pages are refused.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Calls of one caller in a minute.
    #[serde(default = "default_calls")]
    pub calls_per_minute: NonZeroU32,
    /// Runs of one caller at once.
    #[serde(default = "default_runs")]
    pub runs_at_once: NonZeroU16,
    /// Who issues the tokens that prove who calls.
    #[serde(default)]
    pub issuers: Vec<IssuerSettings>,
    /// The agents, by the names that callers know them by.
    pub agents: BTreeMap<AgentName, AgentSettings>,
    /// Who may use which of them. Without a grant nobody may use any.
    pub grants: Vec<Grant>,
    /// How long the gateway waits before it asks an issuer for its keys again. Not in the file: only tests change it.
    #[serde(skip, default = "key_rest")]
    pub key_rest: Duration,
}

/// An issuer of tokens: an identity provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its identifier, exactly as in `iss`.
    pub issuer: String,
    /// The gateway's own audience, exactly as in `aud`.
    pub audience: String,
    /// The one algorithm that it signs with.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The claim that is the isolation, verbatim. When left out the isolation is a digest of `iss` and `sub`.
    #[serde(default)]
    pub isolation_claim: Option<String>,
    /// Take the isolation from a claim that users can change themselves.
    #[serde(default)]
    pub allow_mutable_claim: bool,
    /// How far its clock may be off, in seconds.
    #[serde(default = "default_leeway")]
    pub leeway: u16,
}

/// How a token is signed: with a key pair. Algorithms with a shared secret are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// RSA PKCS#1 1.5 with SHA-256: what most providers use.
    #[default]
    RS256,
    /// RSA PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// Its name in a token and in a key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// An agent that the gateway offers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentSettings {
    /// Which agent it is: of a project, by its endpoint, or of an emulator at a URL.
    pub target: Target,
    /// What the isolation is sent as.
    #[serde(default)]
    pub isolate_by: IsolateBy,
    /// Forces a model instead of detecting it.
    #[serde(default)]
    pub model: Option<IsolationModel>,
}

/// What the isolation of a caller is sent as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IsolateBy {
    /// The user key; as the identity to an agent that isolates by identity.
    #[default]
    UserKey,
    /// Both the user key and the chat key, for agents that require both.
    BothKeys,
    /// The identity.
    UserIdentity,
}

/// What some callers may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Only callers whose token has this claim; all proven callers when left out.
    #[serde(default)]
    pub claim: Option<String>,
    /// The value that the claim must have, or that must be in its list.
    #[serde(default)]
    pub value: Option<String>,
    /// The agents, by their names; all when left out.
    #[serde(default)]
    pub agents: Option<Vec<AgentName>>,
    /// The methods; all that work on one agent when left out.
    #[serde(default)]
    pub methods: Option<Vec<MethodPattern>>,
}

/// A gateway that the command line may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownGateway {
    /// Its address: `https://HOST[:PORT]`.
    pub url: String,
    /// Where the token is. Either this or an audience.
    #[serde(default)]
    pub token: Option<SecretSource>,
    /// The gateway's own audience, for which the credential of `[credential]` is asked for a token: where the gateway trusts Microsoft
    /// Entra ID.
    #[serde(default)]
    pub audience: Option<String>,
    /// A PEM file with the authorities that may have signed its certificate, besides the system's.
    #[serde(default)]
    pub authorities: Option<PathBuf>,
    /// The agent that is meant when a command names none.
    #[serde(default)]
    pub agent: Option<AgentName>,
}

const fn default_listen() -> SocketAddr {
    DEFAULT_LISTEN
}

const fn default_calls() -> NonZeroU32 {
    DEFAULT_CALLS_PER_MINUTE
}

const fn default_runs() -> NonZeroU16 {
    DEFAULT_RUNS_AT_ONCE
}

const fn default_leeway() -> u16 {
    DEFAULT_LEEWAY
}

const fn key_rest() -> Duration {
    KEY_REST
}

/// A URL that a token may travel to: https, or http on this machine.
pub fn is_confidential(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    !has_user && (url.scheme() == "https" || (url.scheme() == "http" && is_here)) && url.host().is_some()
}

impl AgentSettings {
    /// The isolation of the caller with this value. `None` if the value breaks the rules of what it is sent as.
    pub fn isolation(&self, value: &str) -> Option<Isolation> {
        let key = || IsolationKey::try_from(value.to_owned()).ok();
        let isolation = Isolation { model: self.model, ..Isolation::default() };
        Some(match self.isolate_by {
            IsolateBy::UserKey => Isolation { user_key: Some(key()?), ..isolation },
            IsolateBy::BothKeys => Isolation { user_key: Some(key()?), chat_key: Some(key()?), ..isolation },
            IsolateBy::UserIdentity => {
                Isolation { user_identity: Some(UserIdentity::try_from(value.to_owned()).ok()?), ..isolation }
            }
        })
    }
}

impl KnownGateway {
    /// The files that decide over trust.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        [self.token.as_ref().and_then(|token| token.path().map(ToOwned::to_owned)), self.authorities.clone()]
            .into_iter()
            .flatten()
    }
}

impl GatewaySettings {
    /// The files that decide over trust.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        [self.certificate.clone(), self.private_key.clone(), self.client_authorities.clone()].into_iter().flatten()
    }

    /// Checks what one field alone cannot say. The error names the field and the rule.
    pub fn check(&self) -> Result<(), String> {
        if self.certificate.is_some() != self.private_key.is_some() {
            return Err("certificate and privateKey must be given together".to_owned());
        }
        if self.issuers.is_empty() && self.client_authorities.is_none() {
            return Err("name who proves callers: at least one of [[gateway.issuers]], or clientAuthorities".to_owned());
        }
        let proofs = self.issuers.len() + usize::from(self.client_authorities.is_some());
        for issuer in &self.issuers {
            issuer.check(proofs)?;
        }
        let mut names: Vec<_> = self.issuers.iter().map(|issuer| &issuer.issuer).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < self.issuers.len() {
            return Err("each issuer must be there once: one audience and one algorithm are pinned for it".to_owned());
        }
        for (name, agent) in &self.agents {
            let is_offered = match &agent.target {
                Target::Project { .. } | Target::AgentEndpoint { .. } => true,
                Target::Emulator { url, .. } => url.is_some(),
                Target::Local { .. } | Target::Directory(_) | Target::Gateway { .. } => false,
            };
            if !is_offered {
                return Err(format!(
                    "the target of agent {name} must be of kind project or agentEndpoint, or emulator with a url"
                ));
            }
        }
        for grant in &self.grants {
            if grant.claim.is_some() != grant.value.is_some() {
                return Err("claim and value of a grant must be given together, or both left out".to_owned());
            }
            for name in grant.agents.iter().flatten() {
                if !self.agents.contains_key(name) {
                    return Err(format!("a grant names agent {name}, which is not in [gateway.agents]"));
                }
            }
        }
        Ok(())
    }
}

impl IssuerSettings {
    fn check(&self, proofs: usize) -> Result<(), String> {
        let name = &self.issuer;
        if !Url::parse(name).is_ok_and(|url| is_confidential(&url) && url.query().is_none() && url.fragment().is_none())
        {
            return Err(format!("issuer {name} must be an https URL (http only on this machine)"));
        }
        if self.audience.is_empty() {
            return Err(format!("the audience of issuer {name} must not be empty"));
        }
        if self.leeway > MAX_LEEWAY {
            return Err(format!("the leeway of issuer {name} must be at most {MAX_LEEWAY} seconds"));
        }
        let Some(claim) = &self.isolation_claim else { return Ok(()) };
        if MUTABLE_CLAIMS.contains(&claim.as_str()) && !self.allow_mutable_claim {
            return Err(format!(
                "isolationClaim {claim} of issuer {name} can be changed by users, who would get another user's state; use one that \
                 never changes (oid, sub), or set allowMutableClaim = true"
            ));
        }
        if proofs > 1 {
            return Err(format!(
                "isolationClaim of issuer {name} cannot be used beside another issuer or client certificates: two people could have \
                 the same value; leave it out"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENTS: &str = r#"
        [agents.notes]
        target = { kind = "emulator", url = "http://127.0.0.1:1", agent = "notes" }
        [[grants]]
    "#;

    fn check(head: &str, rest: &str) -> Result<(), String> {
        let settings: GatewaySettings =
            toml::from_str(&format!("{head}\n{rest}")).map_err(|error| error.to_string())?;
        settings.check()
    }

    fn issuer(more: &str) -> String {
        format!("[[issuers]]\nissuer = \"https://id.example\"\naudience = \"api://cupola\"\n{more}\n{AGENTS}")
    }

    #[test]
    fn what_would_mix_users_up_is_refused_when_the_gateway_starts() {
        assert_eq!(check("", &issuer("")), Ok(()));
        assert_eq!(check("", &issuer("isolationClaim = \"oid\"")), Ok(()));
        assert_eq!(check("", &issuer("isolationClaim = \"email\"\nallowMutableClaim = true")), Ok(()));
        let two = "[[issuers]]\nissuer = \"https://other.example\"\naudience = \"a\"\n";
        for (head, rest, said) in [
            ("", AGENTS.to_owned(), "name who proves callers"),
            ("", issuer("isolationClaim = \"email\""), "can be changed by users"),
            ("", issuer("isolationClaim = \"preferred_username\""), "can be changed by users"),
            ("", format!("{two}{}", issuer("isolationClaim = \"oid\"")), "two people could have"),
            ("clientAuthorities = \"/ca.pem\"", issuer("isolationClaim = \"oid\""), "two people could have"),
            ("", format!("{0}{0}{1}", two, issuer("")), "must be there once"),
            ("", issuer("leeway = 301"), "at most 300 seconds"),
            ("", issuer("algorithm = \"HS256\""), "unknown variant"),
            ("", issuer("algorithm = \"none\""), "unknown variant"),
            ("", issuer("").replace("https://id", "http://id"), "must be an https URL"),
            ("certificate = \"/c.pem\"", issuer(""), "given together"),
            (
                "",
                issuer("").replace("kind = \"emulator\", url = \"http://127.0.0.1:1\"", "kind = \"local\""),
                "must be of kind",
            ),
            ("", issuer("").replace("url = \"http://127.0.0.1:1\", ", ""), "must be of kind"),
            ("", format!("{}\nagents = [\"other\"]", issuer("")), "not in [gateway.agents]"),
            ("", format!("{}\nclaim = \"groups\"", issuer("")), "given together"),
        ] {
            let refused = check(head, &rest).unwrap_err();
            assert!(refused.contains(said), "{said}: {refused}");
        }
    }
}
