//! What makes a write that is sent again take effect once: the client's key, what was asked under it, and the outcome that
//! is answered from then on (decision 0017).
//!
//! A region's own view: remembered with the partition's commit, never shipped, no part of the digest.

use crate::model::hlc::WallTime;
use crate::model::ids::Namespace;
use crate::model::limits;
use crate::model::request::{BatchRefusal, WriteAnswer};

/// The `Idempotency-Key` of a request: visible ASCII and spaces, 1 to 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(std::sync::Arc<str>);

/// Why a text is no idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the idempotency key has {bytes} bytes or some that are no visible ASCII: use 1 to {max} bytes, such as a UUID",
    max = limits::IDEMPOTENCY_KEY_BYTES_MAX
)]
pub struct IdempotencyKeyError {
    /// Its length.
    bytes: usize,
}

impl IdempotencyKey {
    /// Checks length and characters.
    ///
    /// # Errors
    /// [`IdempotencyKeyError`].
    pub fn new(text: &str) -> Result<Self, IdempotencyKeyError> {
        let is_visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if text.is_empty() || text.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX || !is_visible {
            return Err(IdempotencyKeyError { bytes: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A hash of everything that a request asks for, so that a key that is used for something else is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// Keeps these hashes apart from every other use of BLAKE3.
const CONTEXT: &str = "atoll 2026 idempotency fingerprint v1";

impl Fingerprint {
    /// Of the parts of a request, in a fixed order; each with its length, so that none can pass for a piece of another.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// What a request says about being sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's name for this one intent.
    pub key: IdempotencyKey,
    /// What was asked under it.
    pub fingerprint: Fingerprint,
}

/// Under what an outcome is remembered in a partition. Another namespace is another scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyScope {
    /// The namespace of the request.
    pub namespace: Namespace,
    /// The client's key.
    pub key: IdempotencyKey,
}

/// What the store decided about a request: what each of its writes did, or which one was refused.
pub type Outcome = Result<Vec<WriteAnswer>, BatchRefusal>;

/// An outcome that is answered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// What was asked.
    pub fingerprint: Fingerprint,
    /// When it was decided.
    pub at: WallTime,
    /// What was decided.
    pub outcome: Outcome,
}

impl Remembered {
    /// Whether it is forgotten at `now`, swept away or not.
    #[must_use]
    pub fn is_expired(&self, now: WallTime) -> bool {
        is_expired(self.at, now)
    }
}

/// Whether what was decided at `at` is forgotten at `now`.
#[must_use]
pub fn is_expired(at: WallTime, now: WallTime) -> bool {
    let life = limits::IDEMPOTENCY_SECONDS * 1_000_000;
    // `<=`: a life of n seconds is over when n seconds have passed.
    at.as_micros().saturating_add(life) <= now.as_micros()
}

/// How much a partition remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdempotencyTally {
    /// Outcomes.
    pub records: u64,
    /// Bytes of them, with their keys.
    pub bytes: u64,
}

impl IdempotencyTally {
    /// Whether nothing more may be remembered until something has expired.
    #[must_use]
    pub fn is_full(&self) -> bool {
        // `>=`: the next one would be one more.
        self.records >= limits::IDEMPOTENCY_RECORDS_MAX || self.bytes >= limits::IDEMPOTENCY_BYTES_MAX
    }
}

/// What becomes of a request: decided, or not even looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The store decided, now or when it was first sent.
    Decided(Decision),
    /// Its key was used for another request.
    KeyReused {
        /// The key.
        key: IdempotencyKey,
    },
    /// The partition remembers as much as it may; nothing was done.
    RemembersTooMuch(IdempotencyTally),
}

/// A decided request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// Whether that was when the request was first sent, and this is a repeat that has changed nothing.
    pub is_repeat: bool,
}

/// Under what the outcome of a request in a namespace is remembered.
#[must_use]
pub fn scope_of(namespace: &Namespace, idempotency: &Idempotency) -> IdempotencyScope {
    IdempotencyScope {
        namespace: namespace.clone(),
        key: idempotency.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_1_to_128_bytes_of_visible_ascii() {
        for good in ["a", "order 4711", &"x".repeat(128)] {
            assert_eq!(IdempotencyKey::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "é", "a\nb", &"x".repeat(129)] {
            assert!(IdempotencyKey::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        let of = |parts: &[&str]| {
            let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            Fingerprint::of_parts(&parts)
        };
        assert_eq!(of(&["PUT", "/a", "x"]), of(&["PUT", "/a", "x"]));
        assert_ne!(of(&["PUT", "/a", "x"]), of(&["PUT", "/ax", ""]));
        assert_ne!(of(&["a", ""]), of(&["", "a"]));
    }

    #[test]
    fn golden_fingerprint() {
        let Fingerprint(hash) = Fingerprint::of_parts(&[b"PUT", b"/v1/data/shop/registers/k", b"x"]);
        let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "890af6ac8b9494ce");
    }

    #[test]
    fn an_outcome_is_remembered_for_a_day() {
        let at = WallTime::from_micros(1_000_000);
        let day = limits::IDEMPOTENCY_SECONDS * 1_000_000;
        assert!(!is_expired(at, WallTime::from_micros(1_000_000 + day - 1)));
        assert!(is_expired(at, WallTime::from_micros(1_000_000 + day)));
        assert!(!is_expired(at, WallTime::default()), "a clock set back keeps it");
    }
}
