//! Callers whose tokens were verified: what the next request with the same token does not have to find out again.
//!
//! A caller is kept by the SHA-256 of the token, never by the token itself. It is of no use once the token has expired, or once the keys of
//! its issuer have been fetched again: the token is verified again then. The settings never change while a gateway runs.

use super::caller::Caller;
use super::keys::Keys;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Most callers that are kept. One takes a few kilobytes; those beyond are verified each time.
const MAX_KEPT: usize = 4096;

/// What is known of a token by its digest.
#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<HashMap<[u8; 32], Proof>>);

/// A token that was verified.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    /// Which of the issuers.
    pub(super) issuer: usize,
    /// The id of the key that it is signed with.
    pub(super) key: Option<String>,
    /// The keys that it was verified by.
    keys: Arc<Keys>,
    pub(super) caller: Caller,
}

/// The digest of a token.
pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl Proof {
    pub(super) const fn new(issuer: usize, key: Option<String>, keys: Arc<Keys>, caller: Caller) -> Self {
        Self { issuer, key, keys, caller }
    }

    /// Does it still prove who calls, by the keys that the issuer has now?
    pub(super) fn holds(&self, keys: &Arc<Keys>, now: SystemTime) -> bool {
        Arc::ptr_eq(&self.keys, keys) && now < self.caller.expires
    }
}

impl Proofs {
    pub(super) fn get(&self, digest: &[u8; 32]) -> Option<Proof> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Keeps a proof. When there are too many, those that have expired are forgotten, or else any one.
    pub(super) fn keep(&self, digest: [u8; 32], proof: Proof) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            let now = SystemTime::now();
            kept.retain(|_, proof| now < proof.caller.expires);
            if kept.len() >= MAX_KEPT
                && let Some(any) = kept.keys().next().copied()
            {
                kept.remove(&any);
            }
        }
        kept.insert(digest, proof);
    }

    pub(super) fn forget(&self, digest: &[u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn proof(expires: SystemTime) -> Proof {
        let caller = Caller { id: [0; 32], expires, agents: Arc::new(BTreeMap::new()) };
        Proof::new(0, None, Arc::default(), caller)
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_expired_go_first() {
        let (now, proofs) = (SystemTime::now(), Proofs::default());
        let good = now + Duration::from_hours(1);
        for number in 0..MAX_KEPT {
            proofs.keep(digest(&number.to_string()), proof(if number == 7 { now } else { good }));
        }
        proofs.keep(digest("next"), proof(good));
        assert!(proofs.get(&digest("7")).is_none() && proofs.get(&digest("6")).is_some());
        for number in 0..10 {
            proofs.keep(digest(&format!("more {number}")), proof(good));
        }
        assert_eq!(proofs.0.lock().unwrap().len(), MAX_KEPT);
        assert!(proofs.get(&digest("more 9")).is_some());
    }

    #[test]
    fn a_proof_holds_until_the_token_expires_or_the_keys_are_fetched_again() {
        let now = SystemTime::now();
        let kept = proof(now + Duration::from_secs(1));
        assert!(kept.holds(&kept.keys, now));
        assert!(!kept.holds(&kept.keys, now + Duration::from_secs(1)));
        assert!(!kept.holds(&Arc::default(), now));
    }
}
