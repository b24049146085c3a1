//! Tokens for emulators: each is signed by the secret of the one it is sent to.
//!
//! The secret of a separate emulator is found in the list that running emulators of this user keep; a token from
//! `CUPOLA_EMULATOR_TOKEN` stands in where there is no such list, for the emulator it names and for no other. So no URL that a
//! client gives can draw out a token that was meant for another program.

use super::emulator::{CALLER, EmbeddedEmulator};
use crate::auth::{AccessToken, CallerId, Credential, GivenToken, TokenError};
use cupola_emulator::{Token, registry};
use cupola_protocol::target::EmulatorUrl;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long a token made here is good. It is made again whenever one is needed, and this outlasts any clock that is a little
/// off.
const LIFETIME: Duration = Duration::from_hours(1);

/// Finds secrets and signs tokens.
pub struct EmulatorTokens {
    embedded: Arc<EmbeddedEmulator>,
    /// Where running emulators are listed.
    list: Option<PathBuf>,
    /// From the environment.
    given: Option<GivenToken>,
    /// Those in the list that were running when they were looked at last, by origin. Never held across `.await`.
    seen: Mutex<HashMap<String, registry::Seen>>,
}

/// Gives tokens for one emulator.
struct ForOne {
    emulators: Arc<EmulatorTokens>,
    origin: String,
}

impl EmulatorTokens {
    /// Nothing is looked at yet.
    pub fn new(embedded: Arc<EmbeddedEmulator>, list: Option<PathBuf>, given: Option<GivenToken>) -> Self {
        Self { embedded, list, given, seen: Mutex::default() }
    }

    /// The URL to use for one that was asked for. `localhost` may lead to an address where another user's program listens, so it
    /// is replaced by the one where the emulator is.
    pub async fn url(&self, asked: &EmulatorUrl) -> EmulatorUrl {
        let Some((scheme, port)) = asked.as_str().split_once("://localhost:") else { return asked.clone() };
        let usual = format!("{scheme}://127.0.0.1:{port}");
        let listed = self.listed(asked.as_str().to_owned()).await.ok().flatten();
        listed.map_or(usual, |entry| entry.url).parse().unwrap_or_else(|_| asked.clone())
    }

    /// Gives tokens for the emulator at an origin.
    pub fn credential(self: &Arc<Self>, origin: &str) -> Arc<dyn Credential> {
        Arc::new(ForOne { emulators: Arc::clone(self), origin: origin.to_owned() })
    }

    async fn listed(&self, url: String) -> Result<Option<registry::Entry>, String> {
        let Some(list) = self.list.clone() else { return Ok(None) };
        let found = tokio::task::spawn_blocking(move || registry::find(&list, &url)).await;
        found.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    fn given(&self, origin: &str) -> Option<&GivenToken> {
        self.given.as_ref().filter(|given| given.is_for(origin))
    }

    async fn fetch(&self, origin: &str) -> Result<AccessToken, TokenError> {
        let refused = |reason: String| TokenError::Refused { credential: "emulator", reason };
        let end = SystemTime::now() + LIFETIME;
        let text = if let Some(token) = self.embedded.token(origin) {
            token
        } else if let Some(given) = self.given(origin) {
            return given.token().map_err(refused);
        } else if let Some(entry) = self.listed(origin.to_owned()).await.map_err(refused)? {
            let secret = registry::secret(&entry).map_err(|error| refused(error.to_string()))?;
            Token::of(CALLER).issuer(origin).expires_at(seconds(end)).encode(&secret)
        } else {
            return Err(TokenError::NoEmulator { origin: origin.to_owned() });
        };
        AccessToken::new(&text, end).ok_or_else(|| refused("the token cannot be sent in a header".to_owned()))
    }

    /// Is the emulator that a kept token is for still there?
    fn is_current(&self, origin: &str) -> bool {
        self.embedded.token(origin).is_some() || self.given(origin).is_some() || self.is_running(origin)
    }

    /// Does the emulator at this origin that was seen last still run, or another one in its place?
    fn is_running(&self, origin: &str) -> bool {
        let Some(list) = self.list.as_deref() else { return false };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(origin).is_some_and(registry::Seen::is_running) {
            return true;
        }
        seen.remove(origin);
        let Ok(Some((_, found))) = registry::see(list, origin) else { return false };
        // On Windows an open file would keep the next emulator from taking this one's place.
        if cfg!(unix) {
            seen.insert(origin.to_owned(), found);
        }
        true
    }
}

impl fmt::Debug for EmulatorTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmulatorTokens").field("list", &self.list).finish_non_exhaustive()
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Credential for ForOne {
    fn name(&self) -> &'static str {
        "emulator"
    }

    fn fingerprint(&self) -> String {
        format!("emulator {}", self.origin)
    }

    fn fetch<'a>(&'a self, _scope: &'a str, _skip_cached: bool) -> BoxFuture<'a, Result<AccessToken, TokenError>> {
        Box::pin(self.emulators.fetch(&self.origin))
    }

    fn caller(&self) -> Option<CallerId> {
        let own = || Some(CallerId::local(CALLER));
        self.emulators.given(&self.origin).map_or_else(own, GivenToken::caller)
    }

    /// Otherwise a token could go to a program that has taken the port of an emulator that is gone.
    fn is_current(&self) -> bool {
        self.emulators.is_current(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_emulator::{Emulator, Options, start};
    use std::path::Path;

    struct Bench {
        emulators: Arc<EmulatorTokens>,
        list: PathBuf,
        root: tempfile::TempDir,
    }

    fn bench(given: Option<&str>) -> Bench {
        let root = tempfile::tempdir().unwrap();
        let list = root.path().join("emulators");
        let embedded = Arc::new(EmbeddedEmulator::new(root.path().join("embedded"), root.path().join("sockets")));
        let given = given.map(|token| GivenToken::new(token.to_owned()));
        Bench { emulators: Arc::new(EmulatorTokens::new(embedded, Some(list.clone()), given)), list, root }
    }

    async fn emulator(directory: &Path) -> Emulator {
        start(Options::new(directory, Vec::new())).await.unwrap()
    }

    async fn token(emulators: &Arc<EmulatorTokens>, origin: &str) -> Result<String, TokenError> {
        let token = emulators.credential(origin).fetch("scope", false).await?;
        Ok(token.authorization().to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn each_emulator_gets_a_token_of_its_own_secret_and_others_get_none() {
        let bench = bench(None);
        let one = emulator(&bench.root.path().join("one")).await;
        let two = emulator(&bench.root.path().join("two")).await;
        assert!(matches!(token(&bench.emulators, one.url()).await, Err(TokenError::NoEmulator { .. })));
        let (first, _second) = (one.register(&bench.list).unwrap(), two.register(&bench.list).unwrap());
        let asked = |url: String, token: String| async move {
            crate::system::tls::use_ring();
            let url = format!("{url}/api/projects/p/agents?api-version=v1");
            reqwest::Client::new().get(url).header("authorization", token).send().await.unwrap().status().as_u16()
        };
        let of_one = token(&bench.emulators, one.url()).await.unwrap();
        assert_eq!(asked(one.url().to_owned(), of_one.clone()).await, 200);
        assert_eq!(asked(two.url().to_owned(), of_one).await, 401);
        let caller = CallerId::local(CALLER);
        let sent = bench.emulators.credential(one.url()).fetch("scope", false).await.unwrap();
        assert_eq!(
            (sent.caller(), bench.emulators.credential("http://127.0.0.1:1").caller()),
            (Some(&caller), Some(caller.clone()))
        );
        // Gone: a kept token is good for nothing, and there is no other.
        let credential = bench.emulators.credential(one.url());
        assert!(credential.is_current());
        drop(first);
        assert!(!credential.is_current());
        assert!(matches!(token(&bench.emulators, one.url()).await, Err(TokenError::NoEmulator { .. })));
    }

    #[tokio::test]
    async fn localhost_is_the_address_where_the_emulator_is() {
        let bench = bench(None);
        let emulator = emulator(&bench.root.path().join("one")).await;
        let port = emulator.address().unwrap().port();
        let _registration = emulator.register(&bench.list).unwrap();
        for (asked, used) in [
            (format!("http://localhost:{port}"), emulator.url().to_owned()),
            ("https://localhost:1/".to_owned(), "https://127.0.0.1:1/".to_owned()),
            ("http://[::1]:1".to_owned(), "http://[::1]:1".to_owned()),
        ] {
            assert_eq!(bench.emulators.url(&asked.parse().unwrap()).await.as_str(), used);
        }
    }

    #[tokio::test]
    async fn a_given_token_goes_to_the_emulator_it_names_only() {
        let outside = tempfile::tempdir().unwrap();
        let emulator = emulator(&outside.path().join("data")).await;
        let own = emulator.token("ann");
        let bench = bench(Some(&own));
        assert_eq!(token(&bench.emulators, emulator.url()).await.unwrap(), format!("Bearer {own}"));
        for other in ["http://127.0.0.1:1", "https://127.0.0.1:8787"] {
            assert!(matches!(token(&bench.emulators, other).await, Err(TokenError::NoEmulator { .. })), "{other}");
        }
        let nameless = self::bench(Some(&emulator.sign(&Token::of("ann"))));
        assert!(matches!(token(&nameless.emulators, emulator.url()).await, Err(TokenError::NoEmulator { .. })));
    }
}
