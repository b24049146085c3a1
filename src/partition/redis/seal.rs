//! Seals what the shared store must not be able to read, with a key that lies outside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;

/// A key that people make up is too easy to guess when it is shorter.
const MIN_KEY_CHARACTERS: usize = 32;

/// Seals texts and opens them again. Prints nothing of its key.
pub(super) struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Sealer {
    /// From the configured key.
    pub(super) fn new(secret: &str) -> Result<Self, String> {
        if secret.chars().count() < MIN_KEY_CHARACTERS {
            return Err(format!("sealingKey must have at least {MIN_KEY_CHARACTERS} characters"));
        }
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), b"cupola shared store 1");
        let key = UnboundKey::new(&CHACHA20_POLY1305, derived.as_ref()).map_err(|_| "sealingKey cannot be used")?;
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// Random bytes.
    pub(super) fn random<const LENGTH: usize>(&self) -> Option<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        self.random.fill(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Seals a text for one place: it opens nowhere else. `None` if the system gives no random bytes.
    pub(super) fn seal(&self, place: &str, text: &[u8]) -> Option<String> {
        let nonce: [u8; NONCE_LEN] = self.random()?;
        let mut sealed = text.to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce_used, Aad::from(place), &mut sealed).ok()?;
        Some(STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens what was sealed for this place; `None` if it was sealed with another key, for another place, or changed.
    pub(super) fn open(&self, place: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(place), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_at_its_place_and_unchanged_only() {
        let [one, other] = ["1", "2"].map(|digit| Sealer::new(&digit.repeat(MIN_KEY_CHARACTERS)).unwrap());
        let sealed = one.seal("run-1", b"tenant-acme").unwrap();
        assert_eq!(one.open("run-1", &sealed).unwrap(), b"tenant-acme");
        assert_ne!(one.seal("run-1", b"tenant-acme").unwrap(), sealed);
        assert_eq!((one.open("run-2", &sealed), other.open("run-1", &sealed)), (None, None));
        let mut changed = sealed.clone().into_bytes();
        changed[20] ^= 1;
        assert_eq!(one.open("run-1", &String::from_utf8(changed).unwrap()), None);
        assert!(Sealer::new("too short").is_err());
    }
}
