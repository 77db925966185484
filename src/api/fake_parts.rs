//! What the fake region is made of: a clock that tests set, and pages of listings.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::actors::region::{ListedKey, PageRequest};
use crate::model::hlc::WallTime;
use crate::model::ids::Key;
use crate::model::tick::Tick;
use crate::model::workspace::Summary;
use crate::ports::clock::Clock;

/// A clock that tests set.
#[derive(Debug)]
pub(crate) struct FakeClock(AtomicU64);

impl FakeClock {
    /// A clock somewhere in 2025.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(1_750_000_000_000_000))
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap();
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn tick(&self) -> Tick {
        Tick::default()
    }

    fn now(&self) -> WallTime {
        WallTime::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Some entries, and where to go on.
pub(crate) type Page<T> = (Vec<T>, Option<String>);

/// The page that is asked for, of entries in order.
pub(crate) fn cut<T>(
    all: impl Iterator<Item = T>,
    page: &PageRequest,
    name: impl Fn(&T) -> String,
) -> Page<T> {
    let mut rest: Vec<_> = all
        .filter(|item| page.after.as_ref().is_none_or(|after| name(item) > *after))
        .collect();
    let has_more = rest.len() > page.limit;
    rest.truncate(page.limit);
    let next = rest.last().filter(|_| has_more).map(&name);
    (rest, next)
}

/// An entry of a listing.
pub(crate) fn listed_key(key: &Key, summary: &Summary) -> ListedKey {
    let (size, content_type, version) = match summary {
        Summary::Register {
            size_bytes,
            content_type,
            version,
            ..
        } => (*size_bytes, Some(content_type.clone()), Some(*version)),
        Summary::Counter => (0, None, None),
        Summary::Parts { count } => (*count, None, None),
    };
    ListedKey {
        key: key.to_string(),
        size,
        content_type,
        version,
    }
}
