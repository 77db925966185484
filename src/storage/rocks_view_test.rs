//! How views of real files end: by age, when the database is reopened, when it is closed; and how many there may be.

use super::*;
use crate::ports::store::Store;
use crate::storage::rocks_test_kit::{open, put};

const LONG: Duration = Duration::from_secs(60);

fn keys_in(view: &dyn StoreView) -> Result<usize, StoreError> {
    Ok(view.page(Family::Rows, b"", b"\xff", 1024)?.entries.len())
}

#[test]
fn a_view_ends_when_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "a", b"1");
    let view = |life| {
        let database = store.database().unwrap();
        Views::default().open_for(folder.path(), database, life)
    };
    let (brief, lasting) = (view(Duration::from_millis(50)).unwrap(), view(LONG).unwrap());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(keys_in(brief.as_ref()), Err(StoreError::ViewEnded));
    assert_eq!(keys_in(lasting.as_ref()), Ok(1));
    drop(lasting);
}

#[test]
fn views_end_when_the_store_is_closed_and_the_folder_is_free_then() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "a", b"1");
    let view = store.view().unwrap();
    drop(store);
    assert_eq!(keys_in(view.as_ref()), Err(StoreError::ViewEnded));
    drop(open(folder.path()));
}

#[test]
fn views_end_where_the_database_must_be_unshared() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let views = Views::default();
    let database = store.database().unwrap();
    let shares = Arc::strong_count(&database);
    let view = views
        .open_for(folder.path(), Arc::clone(&database), LONG)
        .unwrap();
    assert_eq!(Arc::strong_count(&database), shares + 1);
    views.end_all();
    let started = Instant::now();
    while Arc::strong_count(&database) > shares {
        assert!(started.elapsed() < LONG, "a view keeps the database");
        std::thread::yield_now();
    }
    assert_eq!(keys_in(view.as_ref()), Err(StoreError::ViewEnded));
}

#[test]
fn there_are_not_more_views_than_may_be_and_one_that_was_dropped_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let mut views: Vec<_> = (0..limits::STORE_VIEWS_MAX)
        .map(|_| store.view().unwrap())
        .collect();
    let refused = store.view().err();
    let open = limits::STORE_VIEWS_MAX;
    assert_eq!(refused, Some(StoreError::TooManyViews { open }));
    views.pop();
    let started = Instant::now();
    // Its thread needs a moment to end.
    while store.view().is_err() {
        assert!(started.elapsed() < LONG, "a view that was dropped stays open");
        std::thread::yield_now();
    }
}
