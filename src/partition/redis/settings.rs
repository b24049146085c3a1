//! `[store]` of the configuration file, for a shared store.

use crate::system::secret::SecretSource;
use serde::Deserialize;
use std::num::{NonZeroU8, NonZeroU16};
use std::path::PathBuf;
use std::time::Duration;
use url::{Host, Url};

/// How long a daemon keeps what it holds without renewing it: long enough for a pause of the network, short enough to wait for.
const DEFAULT_LEASE: NonZeroU16 = NonZeroU16::new(15).unwrap();

/// A shorter lease would be lost whenever a busy machine hesitates.
const MIN_LEASE: u16 = 3;

/// The port of Valkey and Redis.
const DEFAULT_PORT: u16 = 6379;

/// A shared store: Valkey, or Redis 7 or newer.
///
/// ```toml
/// [store]
/// kind = "redis"
/// url = "rediss://store.example.com:6379/0"
/// username = "cupola"
/// password = { file = "/run/secrets/store-password" }   # or { env = "STORE_PASSWORD" }
/// sealingKey = { file = "/run/secrets/store-key" }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisSettings {
    /// Where it is: `rediss://HOST[:PORT][/DATABASE]`, or `redis://` without TLS. No user and no password stand in it.
    pub url: String,
    /// The user; the store's default one when left out.
    #[serde(default)]
    pub username: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// Seals what must not be readable in the store: isolation values of runs, ownership keys, the secret that session ids are made
    /// with. The same for all daemons on the store; at least 32 characters.
    pub sealing_key: SecretSource,
    /// A PEM file with the authorities that may have signed the store's certificate, in place of the system's.
    #[serde(default)]
    pub authorities: Option<PathBuf>,
    /// Allow a connection without TLS to another machine.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// When a write counts as saved.
    #[serde(default)]
    pub durability: Durability,
    /// How many replicas must have a write before it counts as saved.
    #[serde(default)]
    pub replicas: u8,
    /// How many seconds a daemon keeps what it holds without renewing it.
    #[serde(default = "default_lease")]
    pub lease: NonZeroU16,
    /// What the names of all keys begin with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
}

/// When a write counts as saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// The store has it in memory.
    Memory,
    /// The store, and each replica that is waited for, has it on disk.
    #[default]
    Disk,
}

const fn default_lease() -> NonZeroU16 {
    DEFAULT_LEASE
}

fn default_prefix() -> String {
    "cupola".to_owned()
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: i64,
    pub(super) is_tls: bool,
}

impl RedisSettings {
    /// The files it names: they decide over trust.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let secrets = [self.password.as_ref(), Some(&self.sealing_key)];
        let secrets = secrets.into_iter().flatten().filter_map(SecretSource::path).map(ToOwned::to_owned);
        secrets.chain(self.authorities.clone()).collect::<Vec<_>>().into_iter()
    }

    /// How long a lease lasts.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease.get().into())
    }

    /// How many replicas to wait for; `None` if a write is saved as soon as the store has answered.
    pub(super) fn waits_for(&self) -> Option<(bool, u8)> {
        let disk = self.durability == Durability::Disk;
        (disk || NonZeroU8::new(self.replicas).is_some()).then_some((disk, self.replicas))
    }

    /// Where it is. The error names the field and the rule, and nothing of a password.
    pub fn check(&self) -> Result<(), &'static str> {
        self.place().map(|_| ())
    }

    pub(super) fn place(&self) -> Result<Place, &'static str> {
        let url = Url::parse(&self.url).map_err(|_| "url must be rediss://HOST[:PORT][/DATABASE]")?;
        let is_tls = match url.scheme() {
            "rediss" => true,
            "redis" => false,
            _ => return Err("url must begin with rediss:// (with TLS) or redis://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("url must have no user and no password in it; set username and password = { file = \"…\" }");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("url must end after the database's number");
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err("url must name a host"),
        };
        let is_here =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_tls && !is_here && !self.allow_plaintext {
            return Err(
                "url must begin with rediss:// for a store on another machine; allowPlaintext = true allows redis://",
            );
        }
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number.parse::<u16>().map_err(|_| "url must end with the number of a database")?.into(),
        };
        if self.lease.get() < MIN_LEASE {
            return Err("lease must be at least 3 seconds");
        }
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.:".contains(character);
        if self.prefix.is_empty() || !self.prefix.chars().all(is_plain) {
            return Err("prefix must be letters, digits and -_.: only");
        }
        Ok(Place { host, port: url.port().unwrap_or(DEFAULT_PORT), database, is_tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<RedisSettings, String> {
        let text = format!("sealingKey = {{ env = \"KEY\" }}\n{text}");
        let settings: RedisSettings = toml::from_str(&text).map_err(|error| error.to_string())?;
        settings.check().map_err(ToOwned::to_owned).map(|()| settings)
    }

    #[test]
    fn a_url_says_where_the_store_is_and_nothing_else() {
        let place = |url: &str| settings(&format!("url = \"{url}\"")).unwrap().place().unwrap();
        let remote = place("rediss://store.example.com/2");
        let expected = Place { host: "store.example.com".to_owned(), port: 6379, database: 2, is_tls: true };
        assert_eq!(remote, expected);
        assert_eq!((place("redis://127.0.0.1:7000").port, place("redis://[::1]").host.as_str()), (7000, "::1"));
        for (url, said) in [
            ("store.example.com", "rediss://HOST"),
            ("http://store.example.com", "begin with rediss://"),
            ("rediss://:hush@store.example.com", "no user and no password"),
            ("rediss://ada@store.example.com", "no user and no password"),
            ("rediss://store.example.com/#insecure", "end after"),
            ("rediss://store.example.com/?protocol=resp3", "end after"),
            ("redis://store.example.com", "allowPlaintext"),
            ("redis://10.0.0.1", "allowPlaintext"),
            ("rediss://store.example.com/x", "number of a database"),
        ] {
            let refused = settings(&format!("url = \"{url}\"")).unwrap_err();
            assert!(refused.contains(said) && !refused.contains("hush"), "{url}: {refused}");
        }
        assert!(settings("url = \"redis://10.0.0.1\"\nallowPlaintext = true").is_ok());
        for wrong in ["lease = 2", "lease = 0", "prefix = \"a{b}\"", "password = \"hush\"", "durabilty = \"disk\""] {
            assert!(settings(&format!("url = \"redis://localhost\"\n{wrong}")).is_err(), "{wrong}");
        }
    }
}
