//! Keys of the listing index: (namespace, type, key). The partition plays no part, so a listing is one scan.

use crate::model::ids::{Key, Namespace};
use crate::model::record::{RecordId, RecordType};
use crate::wire::codec::DecodeError;
use crate::wire::keys::row::KeyRange;
use crate::wire::keys::{KeyReader, end_of_prefix, push_namespace};

/// The key of a listing entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameKey(pub RecordId);

/// Which entries to list.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// Of this namespace.
    pub namespace: &'a Namespace,
    /// Of this type.
    pub record_type: RecordType,
    /// Whose keys start so.
    pub prefix: &'a str,
    /// Whose keys come after this one.
    pub after: Option<&'a str>,
}

fn type_prefix(namespace: &Namespace, record_type: RecordType) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(80);
    push_namespace(&mut bytes, namespace);
    bytes.push(record_type.tag());
    bytes
}

impl NameKey {
    /// The bytes.
    #[must_use]
    pub fn encode(record: &RecordId) -> Vec<u8> {
        let mut bytes = type_prefix(&record.namespace, record.record_type);
        bytes.extend_from_slice(record.key.as_str().as_bytes());
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("a listing key", bytes);
        let namespace = reader.namespace()?;
        let record_type = reader.record_type()?;
        let rest = reader.rest.len();
        let key = Key::new(reader.text(rest)?).map_err(|error| reader.error(&error.to_string()))?;
        Ok(Self(RecordId::new(namespace, record_type, key)))
    }

    /// The entries of a listing.
    #[must_use]
    pub fn range(listing: &Listing<'_>) -> KeyRange {
        let base = type_prefix(listing.namespace, listing.record_type);
        let mut prefix = base.clone();
        prefix.extend_from_slice(listing.prefix.as_bytes());
        let mut range = KeyRange::of_prefix(prefix);
        if let Some(after) = listing.after {
            let mut from = base;
            from.extend_from_slice(after.as_bytes());
            from.push(0);
            // The later of the two starts: `after` may lie before the prefix.
            range.from = range.from.max(from);
            // It may lie after it too: then the range is empty, and still not back to front, which stores refuse.
            range.to = range.to.max(range.from.clone());
        }
        range
    }

    /// All entries of a namespace.
    #[must_use]
    pub fn namespace_range(namespace: &Namespace) -> KeyRange {
        let mut prefix = Vec::with_capacity(64);
        push_namespace(&mut prefix, namespace);
        let to = end_of_prefix(&prefix);
        KeyRange { from: prefix, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(namespace: &str, key: &str) -> RecordId {
        RecordId::new(
            namespace.parse().unwrap(),
            RecordType::Register,
            Key::new(key).unwrap(),
        )
    }

    #[test]
    fn keys_round_trip_with_golden_bytes() {
        let record = record("shop", "k/1");
        let bytes = NameKey::encode(&record);
        assert_eq!(bytes, b"\x04shop\x01k/1");
        assert_eq!(NameKey::decode(&bytes), Ok(NameKey(record)));
        let system = RecordId::new(Namespace::system(), RecordType::Register, Key::new("k").unwrap());
        assert_eq!(NameKey::decode(&NameKey::encode(&system)), Ok(NameKey(system)));
        assert!(NameKey::decode(b"\x04shop\x01").is_err());
        assert!(NameKey::decode(b"\x04shop\x09k").is_err());
    }

    #[test]
    fn a_listing_that_goes_on_after_its_end_is_empty_and_not_back_to_front() {
        let namespace = "shop".parse().unwrap();
        let range = NameKey::range(&Listing {
            namespace: &namespace,
            record_type: RecordType::Set,
            prefix: "b",
            after: Some("c"),
        });
        assert_eq!(range.from, range.to);
    }

    #[test]
    fn a_namespace_range_holds_its_entries_and_no_others() {
        let range = NameKey::namespace_range(&"shop".parse().unwrap());
        let inside = |namespace: &str| {
            let bytes = NameKey::encode(&record(namespace, "\u{10ffff}"));
            range.from <= bytes && bytes < range.to
        };
        assert!(inside("shop"));
        assert!(!inside("sho") && !inside("shops") && !inside("shoq"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_decode_to_what_encodes_so_or_are_refused(bytes in super::super::fuzz_test::key_like()) {
            if let Ok(NameKey(record)) = NameKey::decode(&bytes) {
                proptest::prop_assert_eq!(NameKey::encode(&record), bytes);
            }
        }
    }

    #[test]
    fn a_listing_holds_what_it_names() {
        let namespace = "shop".parse().unwrap();
        let inside = |prefix: &str, after: Option<&str>, key: &str| {
            let listing = Listing {
                namespace: &namespace,
                record_type: RecordType::Register,
                prefix,
                after,
            };
            let range = NameKey::range(&listing);
            let bytes = NameKey::encode(&record("shop", key));
            range.from <= bytes && bytes < range.to
        };
        assert!(inside("", None, "a"));
        assert!(inside("a", None, "ab"));
        assert!(!inside("a", None, "b"));
        assert!(!inside("", Some("a"), "a"));
        assert!(inside("", Some("a"), "a\0"));
        assert!(inside("b", Some("a"), "b"));
        assert!(!inside("b", Some("bb"), "ba"));
        assert!(!inside("b", Some("c"), "bz"));
    }
}
