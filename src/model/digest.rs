//! The digest of a partition: proof of convergence, kept up to date with each applied row in constant time.
//!
//! Additive (Bellare and Micciancio, 1997): each leaf is the sum mod 2^128 of a keyed hash of every row (key and
//! bytes) that falls into it, so a row is exchanged by subtracting the old hash and adding the new one, and the order
//! does not matter. Invariant 5: the digest equals that of a full scan. It detects faults, not forgers: a peer who can
//! choose row bytes is inside the cluster's certificates anyway.

use std::fmt;

use crate::model::limits::DIGEST_LEAF_BITS;
use crate::model::mutation::{self, Mutation};

const ROW_CONTEXT: &str = "atoll 2026 digest of a row v1";
const LEAF_CONTEXT: &str = "atoll 2026 digest leaf of a row key v1";

/// Leaves of one partition.
pub const LEAF_COUNT: usize = 1 << DIGEST_LEAF_BITS;

/// Which leaf of a partition's digest a row falls into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId(pub u16);

/// A sum of row hashes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct DigestSum(pub u128);

impl fmt::Display for DigestSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for DigestSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes rows; holds the derived keys so that they are not derived anew for each row.
#[derive(Clone)]
pub struct RowHasher {
    row: blake3::Hasher,
    leaf: blake3::Hasher,
}

impl Default for RowHasher {
    fn default() -> Self {
        Self {
            row: blake3::Hasher::new_derive_key(ROW_CONTEXT),
            leaf: blake3::Hasher::new_derive_key(LEAF_CONTEXT),
        }
    }
}

impl fmt::Debug for RowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowHasher")
    }
}

impl RowHasher {
    /// The leaf of a row key (the encoded one).
    #[must_use]
    pub fn leaf(&self, key: &[u8]) -> LeafId {
        let hash = self.leaf.clone().update(key).finalize();
        let [low, high, ..] = *hash.as_bytes();
        LeafId(u16::from_le_bytes([low, high]) & ((1 << DIGEST_LEAF_BITS) - 1))
    }

    /// The hash of a row: of its encoded key and bytes.
    #[must_use]
    pub fn row(&self, key: &[u8], bytes: &[u8]) -> DigestSum {
        let mut hasher = self.row.clone();
        hasher.update(
            &u32::try_from(key.len())
                .expect("row keys are under 4 KiB")
                .to_le_bytes(),
        );
        hasher.update(key);
        hasher.update(bytes);
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        DigestSum(u128::from_le_bytes(half))
    }
}

/// A row that is exchanged for another, in encoded form; none means that there is no row.
#[derive(Debug, Clone, Copy)]
pub struct RowExchange<'a> {
    /// The encoded row key.
    pub key: &'a [u8],
    /// The bytes before.
    pub before: Option<&'a [u8]>,
    /// The bytes after.
    pub after: Option<&'a [u8]>,
}

/// All leaves of one partition.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest {
    leaves: Vec<DigestSum>,
    root: DigestSum,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            leaves: vec![DigestSum::default(); LEAF_COUNT],
            root: DigestSum::default(),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.root)
    }
}

impl Digest {
    /// Sets a leaf, as read from disk.
    ///
    /// # Panics
    /// When there is no such leaf.
    pub fn restore_leaf(&mut self, leaf: LeafId, sum: DigestSum) {
        let slot = &mut self.leaves[usize::from(leaf.0)];
        self.root = DigestSum(self.root.0.wrapping_sub(slot.0).wrapping_add(sum.0));
        *slot = sum;
    }

    /// Exchanges one row and returns its leaf with the leaf's new sum.
    pub fn exchange(&mut self, hasher: &RowHasher, row: &RowExchange<'_>) -> (LeafId, DigestSum) {
        let leaf = hasher.leaf(row.key);
        let before = row
            .before
            .filter(|_| !mutation::is_on(Mutation::DigestKeepsOldRow));
        let removed = before.map_or(0, |bytes| hasher.row(row.key, bytes).0);
        let added = row.after.map_or(0, |bytes| hasher.row(row.key, bytes).0);
        let slot = &mut self.leaves[usize::from(leaf.0)];
        slot.0 = slot.0.wrapping_sub(removed).wrapping_add(added);
        self.root = DigestSum(self.root.0.wrapping_sub(removed).wrapping_add(added));
        (leaf, *slot)
    }

    /// The sum of one leaf.
    #[must_use]
    pub fn leaf(&self, leaf: LeafId) -> DigestSum {
        self.leaves[usize::from(leaf.0)]
    }

    /// The sum of all rows of the partition.
    #[must_use]
    pub fn root(&self) -> DigestSum {
        self.root
    }

    /// The leaves that differ from another digest's.
    pub fn differing_leaves<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = LeafId> + 'a {
        let pairs = self.leaves.iter().zip(&other.leaves).enumerate();
        pairs
            .filter(|(_, (own, theirs))| own != theirs)
            .map(|(position, _)| LeafId(u16::try_from(position).expect("there are 2^10 leaves")))
    }
}

/// One root for all partitions of a node, over their roots in order.
#[must_use]
pub fn combined_root(partition_roots: &[DigestSum]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("atoll 2026 digest of all partitions v1");
    for root in partition_roots {
        hasher.update(&root.0.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn recomputed(hasher: &RowHasher, rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Digest {
        let mut digest = Digest::default();
        for (key, bytes) in rows {
            digest.exchange(
                hasher,
                &RowExchange {
                    key,
                    before: None,
                    after: Some(bytes),
                },
            );
        }
        digest
    }

    proptest! {
        #[test]
        fn incremental_equals_recomputed(
            steps in prop::collection::vec((0_u8..20, prop::option::of(prop::collection::vec(any::<u8>(), 0..4))), 0..200)
        ) {
            let hasher = RowHasher::default();
            let (mut digest, mut rows) = (Digest::default(), BTreeMap::new());
            for (key, after) in steps {
                let key = vec![key];
                let before: Option<Vec<u8>> = match &after {
                    Some(bytes) => rows.insert(key.clone(), bytes.clone()),
                    None => rows.remove(&key),
                };
                digest.exchange(
                    &hasher,
                    &RowExchange { key: &key, before: before.as_deref(), after: after.as_deref() },
                );
            }
            prop_assert_eq!(&digest, &recomputed(&hasher, &rows));
        }
    }

    #[test]
    fn a_moved_byte_between_key_and_value_is_seen() {
        let hasher = RowHasher::default();
        assert_ne!(hasher.row(b"ab", b"c"), hasher.row(b"a", b"bc"));
    }

    #[test]
    fn golden_hashes_never_change() {
        let hasher = RowHasher::default();
        assert_eq!(
            hasher.row(b"key", b"bytes").to_string(),
            "7e28d14f2aa99d856f5dad79424d227e"
        );
        assert_eq!(hasher.leaf(b"key"), LeafId(494));
        let mut digest = Digest::default();
        for (key, bytes) in [(b"key", b"bytes"), (b"kez", b"other")] {
            let row = RowExchange {
                key,
                before: None,
                after: Some(bytes),
            };
            digest.exchange(&hasher, &row);
        }
        assert_eq!(digest.root().to_string(), "de48029402c6d788d6e25d719767940e");
        let combined = combined_root(&[digest.root(), DigestSum(1)]);
        assert_eq!(
            blake3::Hash::from_bytes(combined).to_hex().as_str(),
            "ddf8d3f44cdb7ecfe169e7c94a6f7fd01ee818a9b27e6a3ac77a1555d954571d"
        );
    }

    #[test]
    fn restored_leaves_give_the_same_digest_and_differences_are_found() {
        let hasher = RowHasher::default();
        let mut digest = Digest::default();
        let (leaf, sum) = digest.exchange(
            &hasher,
            &RowExchange {
                key: b"k",
                before: None,
                after: Some(b"v"),
            },
        );
        let mut restored = Digest::default();
        assert_eq!(restored.differing_leaves(&digest).collect::<Vec<_>>(), [leaf]);
        restored.restore_leaf(leaf, sum);
        assert_eq!(restored, digest);
    }
}
