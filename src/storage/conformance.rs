//! What every [`Store`] must do: one suite that RocksDB's and the in-memory store both pass.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::ports::store::{Durability, Family, Store, StoreView, WriteSet};

/// A store under test that can be closed (or killed) and opened again.
pub(crate) trait Lab {
    /// The store.
    fn store(&self) -> &dyn Store;
    /// Kills it and opens it again.
    fn reopen(&mut self);
}

type Check = fn(&mut dyn Lab);

const CHECKS: &[(&str, Check)] = &[
    ("what was put is got, per family", what_was_put_is_got_per_family),
    ("keys and values are any bytes", keys_and_values_are_any_bytes),
    ("values of 4 MiB fit", values_of_4_mib_fit),
    (
        "mutations of a set take effect in order",
        mutations_of_a_set_take_effect_in_order,
    ),
    (
        "sets of a write take effect in order",
        sets_of_a_write_take_effect_in_order,
    ),
    ("a range ends before its end", a_range_ends_before_its_end),
    (
        "an inverted or empty range is nothing",
        an_inverted_or_empty_range_is_nothing,
    ),
    (
        "a scan is in byte order and stops when told",
        a_scan_is_in_byte_order_and_stops_when_told,
    ),
    (
        "the last of a range is what a scan ends with",
        the_last_of_a_range_is_what_a_scan_ends_with,
    ),
    ("a scan sees one moment", a_scan_sees_one_moment),
    ("a visitor may use the store", a_visitor_may_use_the_store),
    ("a view shows one moment", a_view_shows_one_moment),
    (
        "pages of a view make up its range",
        pages_of_a_view_make_up_its_range,
    ),
    ("views are apart from each other", views_are_apart_from_each_other),
    (
        "a write is seen whole or not at all",
        a_write_is_seen_whole_or_not_at_all,
    ),
    ("reads see writes that returned", reads_see_writes_that_returned),
    ("synced writes survive", synced_writes_survive),
    (
        "a synced write makes deferred ones before it durable",
        a_synced_write_carries_deferred_ones,
    ),
    ("writes of nothing are fine", writes_of_nothing_are_fine),
];

/// Runs the suite, each check on a store of its own.
pub(crate) fn check(new_lab: &dyn Fn() -> Box<dyn Lab>) {
    for (name, check) in CHECKS {
        println!("  {name}");
        check(new_lab().as_mut());
    }
}

fn set(build: impl FnOnce(&mut WriteSet)) -> WriteSet {
    let mut set = WriteSet::new();
    build(&mut set);
    set
}

fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
    store
        .write(
            &[set(|set| set.put(Family::Rows, key, value))],
            Durability::Synced,
        )
        .unwrap();
}

fn get(store: &dyn Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(Family::Rows, key).unwrap().map(|value| value.to_vec())
}

fn keys(store: &dyn Store, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    store.scan(Family::Rows, from, to, &mut visit).unwrap();
    keys
}

fn what_was_put_is_got_per_family(lab: &mut dyn Lab) {
    let store = lab.store();
    for family in Family::ALL {
        let put = set(|set| set.put(family, b"key", family.name().as_bytes()));
        store.write(&[put], Durability::Deferred).unwrap();
    }
    for family in Family::ALL {
        assert_eq!(
            store.get(family, b"key").unwrap().unwrap(),
            family.name().as_bytes()
        );
        assert_eq!(store.get(family, b"ke").unwrap(), None);
    }
    store
        .write(
            &[set(|set| set.delete(Family::Rows, b"key"))],
            Durability::Deferred,
        )
        .unwrap();
    assert_eq!(get(store, b"key"), None);
    assert!(store.get(Family::Log, b"key").unwrap().is_some());
}

fn keys_and_values_are_any_bytes(lab: &mut dyn Lab) {
    let store = lab.store();
    let all: Vec<u8> = (0..=u8::MAX).collect();
    for key in [&b""[..], b"\0", b"\0\0", b"\xff", &all] {
        put(store, key, key);
        assert_eq!(get(store, key).as_deref(), Some(key));
    }
    assert_eq!(keys(store, b"", b"\xff\xff").len(), 5);
}

fn values_of_4_mib_fit(lab: &mut dyn Lab) {
    let store = lab.store();
    let value: Vec<u8> = (0..4 * 1024 * 1024u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    put(store, b"large", &value);
    assert!(get(store, b"large") == Some(value.clone()));
    lab.reopen();
    assert!(get(lab.store(), b"large") == Some(value));
}

fn mutations_of_a_set_take_effect_in_order(lab: &mut dyn Lab) {
    let store = lab.store();
    put(store, b"b", b"before");
    let mixed = set(|set| {
        set.put(Family::Rows, b"a", b"1");
        set.put(Family::Rows, b"c", b"1");
        set.delete_range(Family::Rows, b"a", b"d");
        set.put(Family::Rows, b"c", b"2");
        set.put(Family::Rows, b"d", b"1");
        set.delete(Family::Rows, b"d");
        set.delete(Family::Rows, b"never there");
        set.put(Family::Rows, b"e", b"1");
        set.put(Family::Rows, b"e", b"2");
    });
    store.write(&[mixed], Durability::Synced).unwrap();
    assert_eq!(keys(store, b"", b"z"), [b"c", b"e"]);
    assert_eq!(
        (get(store, b"c"), get(store, b"e")),
        (Some(b"2".to_vec()), Some(b"2".to_vec()))
    );
}

fn sets_of_a_write_take_effect_in_order(lab: &mut dyn Lab) {
    let store = lab.store();
    let sets = [
        set(|set| set.put(Family::Rows, b"k", b"1")),
        set(|set| set.delete_range(Family::Rows, b"k", b"l")),
        set(|set| set.put(Family::Rows, b"k", b"3")),
    ];
    store.write(&sets, Durability::Synced).unwrap();
    assert_eq!(get(store, b"k"), Some(b"3".to_vec()));
}

fn a_range_ends_before_its_end(lab: &mut dyn Lab) {
    let store = lab.store();
    for key in [b"a", b"b", b"c", b"d"] {
        put(store, key, b"");
    }
    assert_eq!(keys(store, b"b", b"d"), [b"b", b"c"]);
    assert_eq!(keys(store, b"bb", b"d\0"), [b"c", b"d"]);
    store
        .write(
            &[set(|set| set.delete_range(Family::Rows, b"b", b"d"))],
            Durability::Synced,
        )
        .unwrap();
    assert_eq!(keys(store, b"", b"z"), [b"a", b"d"]);
    assert_eq!(get(store, b"b"), None);
}

fn an_inverted_or_empty_range_is_nothing(lab: &mut dyn Lab) {
    put(lab.store(), b"m", b"");
    let ranges = set(|set| {
        set.delete_range(Family::Rows, b"z", b"a");
        set.delete_range(Family::Rows, b"m", b"m");
    });
    lab.store().write(&[ranges], Durability::Synced).unwrap();
    assert!(keys(lab.store(), b"z", b"a").is_empty());
    assert!(keys(lab.store(), b"m", b"m").is_empty());
    lab.reopen();
    assert_eq!(keys(lab.store(), b"a", b"z"), [b"m"]);
}

fn a_scan_is_in_byte_order_and_stops_when_told(lab: &mut dyn Lab) {
    let store = lab.store();
    for key in [&b"b"[..], b"a\xff", b"a", b"a\0", b"\x80", b"B"] {
        put(store, key, key);
    }
    let all = keys(store, b"", b"\xff");
    assert_eq!(all, [&b"B"[..], b"a", b"a\0", b"a\xff", b"b", b"\x80"]);
    let mut visited = 0;
    let mut visit = |key: &[u8], value: &[u8]| {
        assert_eq!(key, value);
        visited += 1;
        if visited == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    store.scan(Family::Rows, b"", b"\xff", &mut visit).unwrap();
    assert_eq!(visited, 2);
}

fn the_last_of_a_range_is_what_a_scan_ends_with(lab: &mut dyn Lab) {
    for key in [&b"a"[..], b"b", b"b\0", b"c", b"d"] {
        put(lab.store(), key, key);
    }
    let check = |store: &dyn Store| {
        let ends = [&b""[..], b"a", b"b", b"b\0", b"b\0\0", b"c", b"cc", b"d", b"z"];
        for from in ends {
            for to in ends {
                let last = store.last(Family::Rows, from, to).unwrap();
                let key = last.map(|(key, value)| {
                    assert_eq!(key, value);
                    key.to_vec()
                });
                assert_eq!(key.as_ref(), keys(store, from, to).last(), "{from:?} to {to:?}");
            }
        }
        assert_eq!(store.last(Family::Log, b"", b"z").unwrap(), None);
    };
    check(lab.store());
    // Ranges that were removed, at either end and in the middle.
    for (from, to) in [(b"d", b"z"), (b"a", b"b"), (b"b", b"c")] {
        let removed = set(|set| set.delete_range(Family::Rows, from, to));
        lab.store().write(&[removed], Durability::Synced).unwrap();
        check(lab.store());
    }
    lab.reopen();
    check(lab.store());
}

fn a_scan_sees_one_moment(lab: &mut dyn Lab) {
    let store = lab.store();
    for key in 0..100u8 {
        put(store, &[key], b"old");
    }
    let mut seen = 0;
    let mut visit = |_: &[u8], value: &[u8]| {
        if seen == 0 {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    put(store, &[50], b"new");
                    put(store, &[60, 1], b"new");
                    let removed = set(|set| set.delete_range(Family::Rows, &[70], &[80]));
                    store.write(&[removed], Durability::Synced).unwrap();
                });
            });
        }
        assert_eq!(value, b"old");
        seen += 1;
        ControlFlow::Continue(())
    };
    store.scan(Family::Rows, &[0], &[100], &mut visit).unwrap();
    assert_eq!(seen, 100);
    assert_eq!(keys(store, &[0], &[100]).len(), 91);
}

fn a_visitor_may_use_the_store(lab: &mut dyn Lab) {
    let store = lab.store();
    put(store, b"a", b"1");
    let mut visit = |key: &[u8], value: &[u8]| {
        assert_eq!(get(store, key).as_deref(), Some(value));
        put(store, b"b", value);
        ControlFlow::Continue(())
    };
    store.scan(Family::Rows, b"a", b"z", &mut visit).unwrap();
    assert_eq!(keys(store, b"", b"z"), [b"a", b"b"]);
}

fn page_keys(view: &dyn StoreView, from: &[u8], to: &[u8], bytes_max: usize) -> (Vec<Vec<u8>>, bool) {
    let page = view.page(Family::Rows, from, to, bytes_max).unwrap();
    let keys = page.entries.iter().map(|(key, _)| key.to_vec());
    (keys.collect(), page.is_last)
}

fn a_view_shows_one_moment(lab: &mut dyn Lab) {
    let store = lab.store();
    for key in [b"a", b"b", b"c", b"d"] {
        put(store, key, b"old");
    }
    let deferred = set(|set| set.put(Family::Names, b"n", b"old"));
    store.write(&[deferred], Durability::Deferred).unwrap();
    let view = store.view().unwrap();
    let later = set(|set| {
        set.put(Family::Rows, b"a", b"new");
        set.put(Family::Rows, b"aa", b"new");
        set.delete(Family::Rows, b"b");
        set.delete_range(Family::Rows, b"c", b"d");
        set.put(Family::Names, b"n", b"new");
        set.put(Family::Names, b"o", b"new");
    });
    store.write(&[later], Durability::Synced).unwrap();
    assert_eq!(keys(store, b"", b"z"), [&b"a"[..], b"aa", b"d"]);
    let page = view.page(Family::Rows, b"", b"z", usize::MAX).unwrap();
    assert!(page.is_last && page.entries.iter().all(|(_, value)| value == "old"));
    let seen: Vec<_> = page.entries.iter().map(|(key, _)| key.to_vec()).collect();
    assert_eq!(seen, [b"a", b"b", b"c", b"d"]);
    let asked = [b"o", b"n", b"m"].map(|key| key.to_vec()).to_vec();
    let old = Some(Bytes::from_static(b"old"));
    assert_eq!(view.get_all(Family::Names, asked).unwrap(), [None, old, None]);
}

fn pages_of_a_view_make_up_its_range(lab: &mut dyn Lab) {
    for key in [b"a", b"b", b"c", b"d"] {
        put(lab.store(), key, b"123");
    }
    let view = lab.store().view().unwrap();
    let all = |from, to, bytes_max| page_keys(view.as_ref(), from, to, bytes_max);
    assert_eq!(
        all(b"a", b"d", 12),
        (vec![b"a".to_vec(), b"b".into(), b"c".into()], true)
    );
    assert_eq!(
        all(b"a", b"e", 12),
        (vec![b"a".to_vec(), b"b".into(), b"c".into()], false)
    );
    assert_eq!(all(b"a", b"e", 11), (vec![b"a".to_vec(), b"b".into()], false));
    assert_eq!(all(b"c\0", b"e", 0), (vec![b"d".to_vec()], true));
    assert_eq!(all(b"b", b"b", 100), (Vec::new(), true));
    assert_eq!(all(b"c", b"a", 100), (Vec::new(), true));
    assert_eq!(all(b"e", b"z", 0), (Vec::new(), true));
}

fn views_are_apart_from_each_other(lab: &mut dyn Lab) {
    let store = lab.store();
    let views = [0_u8, 1, 2].map(|round| {
        put(store, b"k", &[round]);
        store.view().unwrap()
    });
    put(store, b"k", b"last");
    for (round, view) in views.iter().enumerate() {
        let value = view.get_all(Family::Rows, vec![b"k".to_vec()]).unwrap();
        assert_eq!(value[0].as_deref(), Some(&[u8::try_from(round).unwrap()][..]));
    }
}

fn a_write_is_seen_whole_or_not_at_all(lab: &mut dyn Lab) {
    let store = lab.store();
    let members = [b"a", b"b", b"c", b"d"];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200u8 {
                let mut all = WriteSet::new();
                for key in members {
                    all.put(Family::Rows, key, &[round]);
                }
                store.write(&[all], Durability::Deferred).unwrap();
            }
        });
        for _ in 0..200 {
            let mut values = Vec::new();
            let mut visit = |_: &[u8], value: &[u8]| {
                values.push(value.to_vec());
                ControlFlow::Continue(())
            };
            store.scan(Family::Rows, b"a", b"e", &mut visit).unwrap();
            assert!(values.is_empty() || values.len() == members.len());
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{values:?}");
        }
    });
}

fn reads_see_writes_that_returned(lab: &mut dyn Lab) {
    let store = lab.store();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                for round in 0..100u8 {
                    let write = set(|set| set.put(Family::Rows, &[thread], &[round]));
                    store.write(&[write], Durability::Deferred).unwrap();
                    assert_eq!(get(store, &[thread]), Some(vec![round]));
                }
            });
        }
    });
}

fn synced_writes_survive(lab: &mut dyn Lab) {
    for round in 0..3u8 {
        put(lab.store(), &[round], b"value");
        let generation = lab.store().generation();
        assert_eq!(
            lab.store().recover().unwrap(),
            generation,
            "there was nothing to recover from"
        );
        lab.reopen();
        assert_eq!(keys(lab.store(), b"", b"\xff").len(), usize::from(round) + 1);
    }
    lab.store()
        .write(&[set(|set| set.delete(Family::Rows, &[1]))], Durability::Synced)
        .unwrap();
    lab.reopen();
    assert_eq!(keys(lab.store(), b"", b"\xff"), [[0], [2]]);
}

fn a_synced_write_carries_deferred_ones(lab: &mut dyn Lab) {
    let deferred = set(|set| set.put(Family::Meta, b"cursor", b"1"));
    lab.store().write(&[deferred], Durability::Deferred).unwrap();
    put(lab.store(), b"k", b"v");
    lab.reopen();
    assert!(lab.store().get(Family::Meta, b"cursor").unwrap().is_some());
}

fn writes_of_nothing_are_fine(lab: &mut dyn Lab) {
    lab.store().write(&[], Durability::Synced).unwrap();
    lab.store()
        .write(&[WriteSet::new()], Durability::Deferred)
        .unwrap();
    lab.reopen();
    assert!(keys(lab.store(), b"", b"\xff").is_empty());
}
