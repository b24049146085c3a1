//! The token cache: one fetch in flight per credential and scope, whose result everyone who waits shares.

use super::configured::Configured;
use super::{AccessToken, Account, CallerId, Credential, CredentialConfig, Surroundings, TokenError};
use dashmap::DashMap;
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long one fetch may take. The slowest tool seen needs 13 s; a hanging one must not hold callers for ever.
const FETCH_LIMIT: Duration = Duration::from_mins(1);

/// How long nothing is fetched again after a failed refresh in the background, or after the credential gave the very token
/// that the service had just refused: tools keep their own caches, and running them in a loop would not help.
const PAUSE: Duration = Duration::from_secs(30);

/// How many accounts and scopes are kept before those of emulators are forgotten: any client may name any local URL.
const MAX_SLOTS: usize = 64;

/// Gives the credential for the emulator at an origin.
pub type EmulatorCredentials = Arc<dyn Fn(&str) -> Arc<dyn Credential> + Send + Sync>;

/// Gives tokens. Cheap to share; made once per daemon.
pub struct Tokens {
    configured: Arc<dyn Credential>,
    tenant: Option<String>,
    emulators: EmulatorCredentials,
    slots: DashMap<Key, Arc<Slot>>,
}

/// The credential, the tenant it is fixed to by the configuration, and what the token is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    account: Account,
    scope: String,
}

/// What is known of one cached token. Holds none itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// The credential's name in the configuration.
    pub credential: &'static str,
    /// The tenant, where the configuration says.
    pub tenant: Option<String>,
    /// What the token is for.
    pub scope: String,
    /// How it is.
    pub state: TokenState,
    /// When the token ends, UTC.
    pub expires_on: Option<SystemTime>,
    /// Who it was issued to.
    pub caller: Option<CallerId>,
    /// Why the last fetch failed, if it did.
    pub error: Option<TokenError>,
}

/// How a cached token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// There is none.
    Missing,
    /// It is being fetched and there is none yet.
    Fetching,
    /// Good to use.
    Valid,
    /// It has ended.
    Expired,
}

type Fetch = Shared<BoxFuture<'static, Result<AccessToken, TokenError>>>;

struct Slot {
    credential: Arc<dyn Credential>,
    scope: String,
    /// Never held across an await.
    state: Mutex<State>,
    /// Was the token asked for since it was fetched? An unused one is left to lapse.
    used: AtomicBool,
}

#[derive(Default)]
struct State {
    token: Option<AccessToken>,
    fetch: Option<Fetch>,
    error: Option<TokenError>,
    /// No background fetch starts before this.
    pause_until: Option<Instant>,
}

impl Tokens {
    /// Tokens of the configured credential, and of emulators.
    pub fn new(config: CredentialConfig, surroundings: Surroundings, emulators: EmulatorCredentials) -> Self {
        let tenant = config.tenant().map(ToOwned::to_owned);
        Self { configured: Arc::new(Configured::new(config, surroundings)), tenant, emulators, slots: DashMap::new() }
    }

    /// Tokens of a credential given as a value.
    pub fn with(configured: Arc<dyn Credential>, emulators: EmulatorCredentials) -> Self {
        Self { configured, tenant: None, emulators, slots: DashMap::new() }
    }

    /// A token for `scope`: the cached one, or the result of the one fetch in flight. Dropping the future does not end the
    /// fetch.
    pub async fn get(&self, account: &Account, scope: &str) -> Result<AccessToken, TokenError> {
        let fetch = match self.slot(account, scope).current() {
            Current::Token(token) => return Ok(token),
            Current::Fetch(fetch) => fetch,
        };
        fetch.await
    }

    /// A token other than `rejected`, which the service refused. However many calls had it refused, one fetch replaces it. When
    /// the credential insists on the same token, that is the answer.
    pub async fn refresh(
        &self,
        account: &Account,
        scope: &str,
        rejected: &AccessToken,
    ) -> Result<AccessToken, TokenError> {
        let fetch = match self.slot(account, scope).replace(rejected) {
            Current::Token(token) => return Ok(token),
            Current::Fetch(fetch) => fetch,
        };
        fetch.await
    }

    /// Who calls with this account: from the token's claims, else a fingerprint of the configuration.
    pub async fn caller(&self, account: &Account, scope: &str) -> Result<CallerId, TokenError> {
        if let Some(known) = self.credential(account).caller() {
            return Ok(known);
        }
        let token = self.get(account, scope).await?;
        let fingerprint = || CallerId::from_configuration(&self.credential(account).fingerprint());
        Ok(token.caller().cloned().unwrap_or_else(fingerprint))
    }

    /// Forgets every token. Fetches in flight still answer those who wait, and are then forgotten too.
    pub fn clear(&self) {
        self.slots.clear();
    }

    /// What is cached, without the tokens.
    pub fn status(&self) -> Vec<TokenStatus> {
        let mut list: Vec<_> = self
            .slots
            .iter()
            .map(|entry| {
                let state = entry.value().lock();
                TokenStatus {
                    credential: entry.value().credential.name(),
                    tenant: self.tenant.clone().filter(|_| entry.key().account == Account::Configured),
                    scope: entry.key().scope.clone(),
                    state: match &state.token {
                        Some(token) if token.has_expired() => TokenState::Expired,
                        Some(_) => TokenState::Valid,
                        None if state.fetch.is_some() => TokenState::Fetching,
                        None => TokenState::Missing,
                    },
                    expires_on: state.token.as_ref().map(AccessToken::expires_on),
                    caller: state.token.as_ref().and_then(|token| token.caller().cloned()),
                    error: state.error.clone(),
                }
            })
            .collect();
        list.sort_by(|a, b| (a.credential, &a.scope).cmp(&(b.credential, &b.scope)));
        list
    }

    fn credential(&self, account: &Account) -> Arc<dyn Credential> {
        match account {
            Account::Configured => Arc::clone(&self.configured),
            Account::Emulator(origin) => (self.emulators)(origin),
        }
    }

    fn slot(&self, account: &Account, scope: &str) -> Arc<Slot> {
        let key = Key { account: account.clone(), scope: scope.to_owned() };
        if let Some(slot) = self.slots.get(&key) {
            return Arc::clone(&slot);
        }
        if self.slots.len() >= MAX_SLOTS {
            self.slots.retain(|key, _| key.account == Account::Configured);
        }
        let slot = || Slot {
            credential: self.credential(account),
            scope: scope.to_owned(),
            state: Mutex::default(),
            used: AtomicBool::new(false),
        };
        Arc::clone(&self.slots.entry(key).or_insert_with(|| Arc::new(slot())))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokens").field("credential", &self.configured.name()).finish_non_exhaustive()
    }
}

/// What a caller gets: a token at once, or a fetch to wait for.
enum Current {
    Token(AccessToken),
    Fetch(Fetch),
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(self: &Arc<Self>) -> Current {
        self.used.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        match state.token.clone().filter(|token| !token.has_expired() && self.credential.is_current()) {
            Some(token) => {
                let due = Instant::now() >= token.refresh_at();
                let paused = state.pause_until.is_some_and(|until| Instant::now() < until);
                if due && !paused && state.fetch.is_none() {
                    let _in_background = self.start(&mut state, None);
                }
                Current::Token(token)
            }
            None => Current::Fetch(self.start(&mut state, None)),
        }
    }

    fn replace(self: &Arc<Self>, rejected: &AccessToken) -> Current {
        let mut state = self.lock();
        match state.token.clone() {
            Some(token) if !token.is_same(rejected) && !token.has_expired() => Current::Token(token),
            Some(token) if state.pause_until.is_some_and(|until| Instant::now() < until) && state.fetch.is_none() => {
                Current::Token(token)
            }
            _ => Current::Fetch(self.start(&mut state, Some(rejected.clone()))),
        }
    }

    /// Joins the fetch in flight or starts one. It runs in its own task, so that a caller that gives up does not end it for the others.
    fn start(self: &Arc<Self>, state: &mut State, rejected: Option<AccessToken>) -> Fetch {
        // A finished one is still there only if its task died.
        if let Some(fetch) = state.fetch.as_ref().filter(|fetch| fetch.peek().is_none()) {
            return fetch.clone();
        }
        let slot = Arc::clone(self);
        let task = tokio::spawn(async move { slot.fetch(rejected).await });
        let name = self.credential.name();
        let fetch = async move {
            task.await.unwrap_or_else(|_| {
                Err(TokenError::Refused { credential: name, reason: "the fetch was ended".to_owned() })
            })
        }
        .boxed()
        .shared();
        state.fetch = Some(fetch.clone());
        fetch
    }

    async fn fetch(self: Arc<Self>, rejected: Option<AccessToken>) -> Result<AccessToken, TokenError> {
        let began = Instant::now();
        let fetch = self.credential.fetch(&self.scope, rejected.is_some());
        let result = tokio::time::timeout(FETCH_LIMIT, fetch)
            .await
            .unwrap_or_else(|_| Err(TokenError::TimedOut { credential: self.credential.name(), after: FETCH_LIMIT }));
        let milliseconds = began.elapsed().as_millis();
        let mut state = self.lock();
        state.fetch = None;
        state.pause_until = None;
        match &result {
            Ok(token) => {
                tracing::debug!(credential = self.credential.name(), milliseconds, "fetched a token");
                if rejected.is_some_and(|rejected| rejected.is_same(token)) {
                    state.pause_until = Some(Instant::now() + PAUSE);
                }
                state.token = Some(token.clone());
                state.error = None;
                self.used.store(false, Ordering::Relaxed);
                tokio::spawn(refresh_in_time(Arc::downgrade(&self), token.clone()));
            }
            Err(error) => {
                tracing::debug!(credential = self.credential.name(), milliseconds, %error, "no token");
                state.error = Some(error.clone());
                state.pause_until = Some(Instant::now() + PAUSE);
            }
        }
        result
    }
}

/// Replaces `token` shortly before it ends, if it was used. Ends when the token is no longer the slot's.
async fn refresh_in_time(slot: Weak<Slot>, token: AccessToken) {
    tokio::time::sleep_until(token.refresh_at()).await;
    let Some(slot) = slot.upgrade() else { return };
    let mut state = slot.lock();
    let is_current = state.token.as_ref().is_some_and(|current| current.is_same(&token));
    if is_current && slot.used.load(Ordering::Relaxed) {
        let _in_background = slot.start(&mut state, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fixed;
    use super::*;
    use std::collections::VecDeque;
    use tokio::sync::Semaphore;

    /// Counts its fetches, hands out numbered tokens, and waits for a permit before each answer.
    struct Counting {
        /// The fetches: was each to skip cached tokens?
        fetches: Mutex<Vec<bool>>,
        gate: Semaphore,
        /// What to answer; numbered tokens once empty.
        answers: Mutex<VecDeque<Result<&'static str, TokenError>>>,
    }

    impl Counting {
        fn new(permits: usize) -> Arc<Self> {
            let gate = Semaphore::new(permits);
            Arc::new(Self { fetches: Mutex::default(), gate, answers: Mutex::default() })
        }

        fn answering(answers: impl IntoIterator<Item = Result<&'static str, TokenError>>) -> Arc<Self> {
            let counting = Self::new(1000);
            counting.answers.lock().unwrap().extend(answers);
            counting
        }

        fn count(&self) -> usize {
            self.fetches.lock().unwrap().len()
        }
    }

    impl Credential for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn fingerprint(&self) -> String {
            "counting".to_owned()
        }

        fn fetch<'a>(&'a self, _scope: &'a str, skip_cached: bool) -> BoxFuture<'a, Result<AccessToken, TokenError>> {
            Box::pin(async move {
                let number = {
                    let mut fetches = self.fetches.lock().unwrap();
                    fetches.push(skip_cached);
                    fetches.len()
                };
                self.gate.acquire().await.unwrap().forget();
                let answer = self.answers.lock().unwrap().pop_front();
                let secret = answer.transpose()?.map_or_else(|| format!("token-{number}"), ToOwned::to_owned);
                Ok(AccessToken::new(&secret, SystemTime::now() + Duration::from_hours(1)).unwrap())
            })
        }
    }

    fn tokens(credential: &Arc<Counting>) -> Arc<Tokens> {
        let emulators: EmulatorCredentials = Arc::new(|_| Arc::new(Fixed(|| "emulated".to_owned())));
        Arc::new(Tokens::with(Arc::clone(credential) as Arc<dyn Credential>, emulators))
    }

    fn emulator() -> Account {
        Account::Emulator("http://127.0.0.1:8787".into())
    }

    fn text(token: &AccessToken) -> String {
        token.authorization().to_str().unwrap().to_owned()
    }

    async fn get(tokens: &Tokens) -> Result<AccessToken, TokenError> {
        tokens.get(&Account::Configured, "scope").await
    }

    fn refused() -> TokenError {
        TokenError::Refused { credential: "counting", reason: "not signed in".to_owned() }
    }

    #[tokio::test]
    async fn many_first_calls_share_one_fetch() {
        let credential = Counting::new(0);
        let tokens = tokens(&credential);
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let tokens = Arc::clone(&tokens);
                tokio::spawn(async move { text(&get(&tokens).await.unwrap()) })
            })
            .collect();
        credential.gate.add_permits(1);
        for call in calls {
            assert_eq!(call.await.unwrap(), "Bearer token-1");
        }
        assert_eq!(credential.count(), 1);
    }

    #[tokio::test]
    async fn scopes_and_accounts_do_not_wait_for_each_other() {
        let credential = Counting::new(0);
        let tokens = tokens(&credential);
        let stuck = tokio::spawn({
            let tokens = Arc::clone(&tokens);
            async move { get(&tokens).await }
        });
        assert_eq!(text(&tokens.get(&emulator(), "scope").await.unwrap()), "Bearer emulated");
        let other = tokio::spawn({
            let tokens = Arc::clone(&tokens);
            async move { tokens.get(&Account::Configured, "other").await }
        });
        credential.gate.add_permits(2);
        assert!(stuck.await.unwrap().is_ok() && other.await.unwrap().is_ok());
        assert_eq!(credential.count(), 2);
    }

    #[tokio::test]
    async fn a_failed_fetch_is_one_error_for_all_and_is_tried_again_next_time() {
        let credential = Counting::answering([Err(refused())]);
        let tokens = tokens(&credential);
        let (first, second) = tokio::join!(get(&tokens), get(&tokens));
        assert_eq!((first.unwrap_err(), second.unwrap_err()), (refused(), refused()));
        assert_eq!(tokens.status()[0].error, Some(refused()));
        assert!(get(&tokens).await.is_ok());
        assert_eq!(credential.count(), 2);
        assert_eq!(tokens.status()[0].error, None);
    }

    #[tokio::test]
    async fn giving_up_does_not_end_the_fetch_for_others() {
        let credential = Counting::new(0);
        let tokens = tokens(&credential);
        let patient = get(&tokens);
        {
            let impatient = get(&tokens);
            futures_util::pin_mut!(impatient);
            assert!(futures_util::poll!(impatient).is_pending());
        }
        credential.gate.add_permits(1);
        assert_eq!(text(&patient.await.unwrap()), "Bearer token-1");
        assert_eq!(credential.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_used_token_is_replaced_in_the_background_before_it_ends() {
        let credential = Counting::new(1000);
        let tokens = tokens(&credential);
        get(&tokens).await.unwrap();
        get(&tokens).await.unwrap();
        tokio::time::sleep(Duration::from_mins(54)).await;
        assert_eq!(credential.count(), 1);
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(credential.count(), 2, "due after 55 of 60 minutes");
        assert_eq!(text(&get(&tokens).await.unwrap()), "Bearer token-2");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_token_is_left_to_lapse() {
        let credential = Counting::new(1000);
        let tokens = tokens(&credential);
        get(&tokens).await.unwrap();
        tokio::time::sleep(Duration::from_hours(10)).await;
        assert_eq!(credential.count(), 1);
        assert_eq!(tokens.status()[0].state, TokenState::Expired);
        assert_eq!(text(&get(&tokens).await.unwrap()), "Bearer token-2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_refresh_leaves_the_token_in_use_and_is_not_repeated_at_once() {
        let credential = Counting::answering([Ok("good"), Err(refused())]);
        let tokens = tokens(&credential);
        get(&tokens).await.unwrap();
        get(&tokens).await.unwrap();
        tokio::time::sleep(Duration::from_secs(55 * 60 + 1)).await;
        for _ in 0..10 {
            assert_eq!(text(&get(&tokens).await.unwrap()), "Bearer good");
            tokio::task::yield_now().await;
        }
        assert_eq!(credential.count(), 2);
        tokio::time::sleep(PAUSE).await;
        get(&tokens).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(text(&get(&tokens).await.unwrap()), "Bearer token-3");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_credential_ends_in_an_error() {
        let credential = Counting::new(0);
        let tokens = tokens(&credential);
        let error = get(&tokens).await.unwrap_err();
        assert_eq!(error, TokenError::TimedOut { credential: "counting", after: FETCH_LIMIT });
    }

    #[tokio::test]
    async fn many_refusals_of_one_token_cost_one_fetch() {
        let credential = Counting::new(1000);
        let tokens = tokens(&credential);
        let rejected = get(&tokens).await.unwrap();
        let refreshes = (0..50).map(|_| tokens.refresh(&Account::Configured, "scope", &rejected));
        for token in futures_util::future::join_all(refreshes).await {
            assert_eq!(text(&token.unwrap()), "Bearer token-2");
        }
        // Refused late, after the others had it replaced.
        let late = tokens.refresh(&Account::Configured, "scope", &rejected).await.unwrap();
        assert_eq!(text(&late), "Bearer token-2");
        assert_eq!(*credential.fetches.lock().unwrap(), [false, true], "the second passes over inner caches");
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_that_insists_is_not_asked_in_a_loop() {
        let credential = Counting::answering(std::iter::repeat_n(Ok("same"), 5));
        let tokens = tokens(&credential);
        let token = get(&tokens).await.unwrap();
        for _ in 0..10 {
            let again = tokens.refresh(&Account::Configured, "scope", &token).await.unwrap();
            assert!(again.is_same(&token));
        }
        assert_eq!(credential.count(), 2);
        tokio::time::sleep(PAUSE).await;
        tokens.refresh(&Account::Configured, "scope", &token).await.unwrap();
        assert_eq!(credential.count(), 3);
    }

    #[tokio::test]
    async fn clearing_forgets_tokens_and_fetches_in_flight() {
        let credential = Counting::new(0);
        let tokens = tokens(&credential);
        let waiting = tokio::spawn({
            let tokens = Arc::clone(&tokens);
            async move { get(&tokens).await }
        });
        while credential.count() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(tokens.status()[0].state, TokenState::Fetching);
        tokens.clear();
        assert!(tokens.status().is_empty());
        credential.gate.add_permits(2);
        assert_eq!(text(&waiting.await.unwrap().unwrap()), "Bearer token-1");
        assert_eq!(text(&get(&tokens).await.unwrap()), "Bearer token-2");
    }

    #[tokio::test]
    async fn the_caller_of_a_token_without_claims_is_the_configuration() {
        let tokens = tokens(&Counting::new(1000));
        let caller = tokens.caller(&Account::Configured, "scope").await.unwrap();
        assert!(caller.as_str().starts_with("configuration/"), "{caller}");
        assert_ne!(caller, tokens.caller(&emulator(), "scope").await.unwrap());
    }

    /// Hands out numbered tokens, each good only while its emulator is there.
    #[derive(Default)]
    struct Fleeting {
        fetches: std::sync::atomic::AtomicUsize,
        is_gone: AtomicBool,
    }

    impl Credential for Fleeting {
        fn name(&self) -> &'static str {
            "fleeting"
        }

        fn fingerprint(&self) -> String {
            "fleeting".to_owned()
        }

        fn fetch<'a>(&'a self, _scope: &'a str, _skip_cached: bool) -> BoxFuture<'a, Result<AccessToken, TokenError>> {
            let number = self.fetches.fetch_add(1, Ordering::Relaxed);
            let token = AccessToken::new(&format!("token-{number}"), SystemTime::now() + Duration::from_hours(1));
            Box::pin(std::future::ready(Ok(token.unwrap())))
        }

        fn is_current(&self) -> bool {
            !self.is_gone.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn a_kept_token_is_not_sent_once_what_it_is_for_is_gone() {
        let fleeting = Arc::new(Fleeting::default());
        let given = Arc::clone(&fleeting);
        let emulators: EmulatorCredentials = Arc::new(move |_| Arc::clone(&given) as Arc<dyn Credential>);
        let tokens = Tokens::with(Counting::new(0), emulators);
        assert_eq!(text(&tokens.get(&emulator(), "scope").await.unwrap()), "Bearer token-0");
        assert_eq!(text(&tokens.get(&emulator(), "scope").await.unwrap()), "Bearer token-0");
        fleeting.is_gone.store(true, Ordering::Relaxed);
        assert_eq!(text(&tokens.get(&emulator(), "scope").await.unwrap()), "Bearer token-1");
    }

    #[tokio::test]
    async fn however_many_urls_are_named_few_are_kept() {
        let tokens = tokens(&Counting::new(1000));
        get(&tokens).await.unwrap();
        for port in 0..10 * MAX_SLOTS {
            let account = Account::Emulator(format!("http://127.0.0.1:{port}").into());
            tokens.get(&account, "scope").await.unwrap();
        }
        assert!(tokens.status().len() <= MAX_SLOTS);
        assert!(tokens.status().iter().any(|status| status.credential == "counting"));
    }

    #[tokio::test]
    async fn nothing_that_holds_a_token_shows_it() {
        let credential = Counting::answering([Ok("hush-hush")]);
        let tokens = tokens(&credential);
        let token = get(&tokens).await.unwrap();
        let shown = format!("{tokens:?} {token:?} {:?} {:?}", tokens.status(), token.authorization());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
