//! Which partition a record belongs to. Fixed for ever: the golden tests pin it.

use crate::model::ids::{Key, Namespace, PartitionCount, PartitionId};

/// Keeps these hashes apart from every other use of BLAKE3.
const CONTEXT: &str = "atoll 2026 partition placement v1";

/// The part of a key that is hashed: what stands between the first `{` and the next `}`, if that is not empty
/// (the Redis Cluster rule), else the whole key.
#[must_use]
pub fn hashed_part(key: &str) -> &str {
    let Some(open) = key.find('{') else { return key };
    let rest = &key[open + 1..];
    match rest.find('}') {
        // `> 0`: an empty tag would put all such keys into one partition by accident.
        Some(close) if close > 0 => &rest[..close],
        _ => key,
    }
}

/// Whether two keys are in one group, which a batch may write: they are in one partition however many there are.
#[must_use]
pub fn are_together(one: &Key, other: &Key) -> bool {
    hashed_part(one.as_str()) == hashed_part(other.as_str())
}

/// Where the store's own records are, whatever their keys: the partition of which every node of a region has a copy, since all of
/// them need to know how namespaces are configured.
pub const SYSTEM_PARTITION: PartitionId = PartitionId(0);

/// The partition of a record; its type plays no part, so all types of one key are together.
#[must_use]
pub fn partition_of(namespace: &Namespace, key: &Key, count: PartitionCount) -> PartitionId {
    if namespace.is_system() {
        return SYSTEM_PARTITION;
    }
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    let name = namespace.as_str().as_bytes();
    hasher.update(&[u8::try_from(name.len()).expect("namespaces have at most 63 bytes")]);
    hasher.update(name);
    hasher.update(hashed_part(key.as_str()).as_bytes());
    let hash = hasher.finalize();
    let [low, high, ..] = *hash.as_bytes();
    // The count is a power of two and at most 2^10, so two bytes and a mask are an even split.
    PartitionId(u16::from_le_bytes([low, high]) & (count.get() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(namespace: &str, key: &str) -> u16 {
        let count = PartitionCount::new(64).unwrap();
        partition_of(&namespace.parse().unwrap(), &Key::new(key).unwrap(), count).0
    }

    #[test]
    fn tags_follow_the_redis_cluster_rule() {
        for (key, part) in [
            ("plain", "plain"),
            ("{user1}:cart", "user1"),
            ("a{user1}b{other}", "user1"),
            ("{}empty", "{}empty"),
            ("{open", "{open"),
            ("}{", "}{"),
            ("a{{b}}", "{b"),
        ] {
            assert_eq!(hashed_part(key), part, "{key}");
        }
        assert_eq!(place("shop", "{user1}:cart"), place("shop", "{user1}:orders"));
    }

    #[test]
    fn golden_places_never_change() {
        let places = [
            place("shop", "a"),
            place("shop", "b"),
            place("shop", "{user1}:cart"),
            place("other", "a"),
        ];
        assert_eq!(places, GOLDEN);
    }

    const GOLDEN: [u16; 4] = [33, 4, 0, 28];

    #[test]
    fn the_records_of_the_store_itself_are_where_every_node_has_them() {
        let count = PartitionCount::new(64).unwrap();
        for name in ["a", "shop", "{user1}:cart"] {
            let place = partition_of(&Namespace::system(), &Key::new(name).unwrap(), count);
            assert_eq!(place, crate::model::agreement::REGION_GROUP);
        }
    }

    #[test]
    fn keys_spread_evenly() {
        let mut counts = [0_u32; 64];
        for n in 0..64_000 {
            counts[usize::from(place("shop", &format!("key-{n}")))] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}
