//! The bytes of an identity, and every way in which a folder may not be ours.

use super::*;
use crate::storage::MemoryStore;

fn expected() -> ExpectedIdentity {
    ExpectedIdentity {
        cluster: "atoll".parse().unwrap(),
        region: "us-east".parse().unwrap(),
        node: "us-east-1".parse().unwrap(),
        partitions: PartitionCount::new(64).unwrap(),
        now: at(1_800_000_000),
    }
}

fn at(seconds: u64) -> WallTime {
    WallTime::from_millis(seconds * 1000)
}

fn folder() -> &'static Path {
    Path::new("/data/a")
}

fn put(store: &MemoryStore, family: Family, key: &[u8], value: &[u8]) {
    let mut set = WriteSet::new();
    set.put(family, key, value);
    store.write(&[set], Durability::Synced).unwrap();
}

#[test]
fn the_bytes_of_an_identity_are_fixed_for_ever() {
    let store = MemoryStore::new();
    check_or_create(&store, folder(), &expected()).unwrap();
    let golden = br#"{"format_version":2,"cluster":"atoll","region":"us-east","node":"us-east-1","partitions":64,"incarnation":1800000000}"#;
    assert_eq!(
        store.get(Family::Meta, b"\x01identity").unwrap().unwrap(),
        &golden[..]
    );
    assert_eq!(
        decode(folder(), golden).unwrap(),
        read(&store, folder()).unwrap().unwrap()
    );
}

#[test]
fn an_empty_folder_becomes_ours_and_is_found_again_after_a_crash() {
    let store = MemoryStore::new();
    assert_eq!(read(&store, folder()).unwrap(), None);
    let created = check_or_create(&store, folder(), &expected()).unwrap();
    assert_eq!(created.incarnation, Incarnation(1_800_000_000));
    store.crash(0);
    assert_eq!(check_or_create(&store, folder(), &expected()).unwrap(), created);
}

#[test]
fn a_new_incarnation_is_durable_and_still_ours() {
    let store = MemoryStore::new();
    assert!(matches!(
        bump_incarnation(&store, folder(), at(5)),
        Err(IdentityError::Missing { .. })
    ));
    check_or_create(&store, folder(), &expected()).unwrap();
    assert_eq!(
        bump_incarnation(&store, folder(), at(5)).unwrap().incarnation,
        Incarnation(1_800_000_001)
    );
    store.crash(0);
    assert_eq!(
        check_or_create(&store, folder(), &expected())
            .unwrap()
            .incarnation,
        Incarnation(1_800_000_001)
    );
}

#[test]
fn a_folder_of_another_cluster_region_node_or_partition_count_is_refused_by_name() {
    let store = MemoryStore::new();
    check_or_create(&store, folder(), &expected()).unwrap();
    let others = [
        (
            "cluster other",
            ExpectedIdentity {
                cluster: "other".parse().unwrap(),
                ..expected()
            },
        ),
        (
            "region eu-west",
            ExpectedIdentity {
                region: "eu-west".parse().unwrap(),
                ..expected()
            },
        ),
        (
            "node us-east-2",
            ExpectedIdentity {
                node: "us-east-2".parse().unwrap(),
                ..expected()
            },
        ),
        (
            "says 128",
            ExpectedIdentity {
                partitions: PartitionCount::new(128).unwrap(),
                ..expected()
            },
        ),
    ];
    for (text, other) in others {
        let message = check_or_create(&store, folder(), &other).unwrap_err().to_string();
        assert!(message.contains(text) && message.contains("/data/a"), "{message}");
    }
}

#[test]
fn a_folder_of_a_newer_version_is_refused_whatever_else_it_says() {
    let store = MemoryStore::new();
    put(
        &store,
        Family::Meta,
        IDENTITY_KEY,
        br#"{"format_version":7,"cluster":{"id":12},"shape":"new"}"#,
    );
    let error = check_or_create(&store, folder(), &expected()).unwrap_err();
    assert!(
        matches!(
            error,
            IdentityError::Newer {
                found: 7,
                supported: FORMAT_VERSION,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_folder_whose_records_lie_elsewhere_is_refused() {
    let store = MemoryStore::new();
    let older = br#"{"format_version":1,"cluster":"atoll","region":"us-east","node":"us-east-1","partitions":64,"incarnation":1}"#;
    put(&store, Family::Meta, IDENTITY_KEY, older);
    let error = check_or_create(&store, folder(), &expected()).unwrap_err();
    assert!(matches!(error, IdentityError::Older { found: 1, .. }), "{error}");
    assert!(
        error.to_string().contains("start with empty data folders"),
        "{error}"
    );
}

#[test]
fn a_damaged_identity_is_refused_and_shown() {
    for damaged in [
        &b"\xff\xfe"[..],
        b"{}",
        br#"{"format_version":2,"cluster":"UPPER"}"#,
    ] {
        let store = MemoryStore::new();
        put(&store, Family::Meta, IDENTITY_KEY, damaged);
        assert!(matches!(
            read(&store, folder()),
            Err(IdentityError::Unreadable { .. })
        ));
    }
}

#[test]
fn data_without_an_identity_are_not_taken_over() {
    for family in Family::ALL {
        let store = MemoryStore::new();
        put(&store, family, b"\x00something", b"");
        let error = check_or_create(&store, folder(), &expected()).unwrap_err();
        assert!(
            matches!(error, IdentityError::Missing { .. }),
            "{family:?}: {error}"
        );
    }
}
