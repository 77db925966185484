//! The last entries of one group's log, in memory: what openraft has just had written it reads again at once, on the leader
//! once for each follower and everywhere to apply it, and a scan of the store costs more than all else that it does with an entry.
//!
//! Invariant: what is here is written in the store, with the same bytes. So entries come here when their write has ended well,
//! and leave before they are cut off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::EntryPayload;

use super::types::{EncodedGroup, Entry};
use crate::model::limits;

#[derive(Default)]
struct Kept {
    /// Without gaps.
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// The last few entries. Clones share them.
#[derive(Clone, Default)]
pub(super) struct RecentEntries(Arc<Mutex<Kept>>);

/// As far as it counts: what else is in an entry is small.
fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(EncodedGroup(bytes)) => bytes.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

impl Kept {
    fn push(&mut self, entry: Entry) {
        let last = self.entries.back();
        if last.is_some_and(|last| last.log_id.index + 1 != entry.log_id.index) {
            self.clear();
        }
        self.bytes += payload_bytes(&entry);
        self.entries.push_back(entry);
        // `>`: as many as the limits say may stay. A single entry over the limit leaves nothing: it is read from the store.
        while self.entries.len() > limits::RAFT_RECENT_ENTRIES_MAX
            || self.bytes > limits::RAFT_RECENT_BYTES_MAX
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= payload_bytes(&entry);
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl RecentEntries {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Whatever a panic leaves here has been written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They are written.
    pub(super) fn written(&self, entries: Vec<Entry>) {
        let mut kept = self.lock();
        for entry in entries {
            kept.push(entry);
        }
    }

    /// Those from `since` on are about to be removed.
    pub(super) fn truncate(&self, since: u64) {
        let mut kept = self.lock();
        while kept.entries.back().is_some_and(|last| last.log_id.index >= since) {
            if let Some(entry) = kept.entries.pop_back() {
                kept.bytes -= payload_bytes(&entry);
            }
        }
    }

    /// Those up to `upto` are about to be removed.
    pub(super) fn purge(&self, upto: u64) {
        let mut kept = self.lock();
        while kept
            .entries
            .front()
            .is_some_and(|first| first.log_id.index <= upto)
        {
            kept.pop_front();
        }
    }

    /// The entries from `first` up to, not including, `end`: all, or the first few that have up to `bytes_max` bytes together, but
    /// one at least. None where one of the range is not here.
    pub(super) fn read(&self, first: u64, end: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let kept = self.lock();
        let kept_first = kept.entries.front()?.log_id.index;
        let from = usize::try_from(first.checked_sub(kept_first)?).ok()?;
        let to = usize::try_from(end.checked_sub(kept_first)?).ok()?;
        // `<`: an empty range says nothing of what is here. `<=`: up to behind the last one.
        if from >= to || to > kept.entries.len() {
            return None;
        }
        let mut bytes = 0;
        let mut entries = Vec::with_capacity(to - from);
        for entry in kept.entries.range(from..to) {
            bytes += payload_bytes(entry);
            // `>`: what fits exactly still does.
            if !entries.is_empty() && bytes > bytes_max {
                break;
            }
            entries.push(entry.clone());
        }
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::agreement::log_test_kit::{entries, entry, entry_of};

    fn indexes(entries: Option<Vec<Entry>>) -> Option<Vec<u64>> {
        entries.map(|entries| entries.iter().map(|entry| entry.log_id.index).collect())
    }

    #[test]
    fn what_was_written_is_read_and_a_range_that_is_not_all_here_is_not() {
        let recent = RecentEntries::default();
        assert_eq!(recent.read(0, 1, usize::MAX), None);
        recent.written(entries(1, 5..9));
        assert_eq!(recent.read(5, 9, usize::MAX), Some(entries(1, 5..9)));
        assert_eq!(recent.read(6, 8, usize::MAX), Some(entries(1, 6..8)));
        assert_eq!(recent.read(4, 8, usize::MAX), None);
        assert_eq!(recent.read(6, 10, usize::MAX), None);
        assert_eq!(recent.read(6, 6, usize::MAX), None);
        assert_eq!(recent.read(0, u64::MAX, usize::MAX), None);
    }

    #[test]
    fn what_is_cut_off_at_either_end_is_gone_and_what_takes_its_place_is_read() {
        let recent = RecentEntries::default();
        recent.written(entries(1, 0..8));
        recent.purge(2);
        recent.truncate(6);
        assert_eq!(recent.read(2, 4, usize::MAX), None);
        assert_eq!(recent.read(3, 7, usize::MAX), None);
        assert_eq!(recent.read(3, 6, usize::MAX), Some(entries(1, 3..6)));
        recent.written(entries(2, 6..8));
        assert_eq!(
            recent.read(5, 8, usize::MAX),
            Some([entries(1, 5..6), entries(2, 6..8)].concat())
        );
        recent.truncate(0);
        recent.written(entries(3, 0..1));
        assert_eq!(recent.read(0, 1, usize::MAX), Some(entries(3, 0..1)));
    }

    #[test]
    fn entries_behind_a_gap_take_the_place_of_all_before_it() {
        let recent = RecentEntries::default();
        recent.written(entries(1, 0..4));
        // As after a snapshot.
        recent.written(entries(1, 9..11));
        assert_eq!(recent.read(0, 4, usize::MAX), None);
        assert_eq!(recent.read(9, 11, usize::MAX), Some(entries(1, 9..11)));
    }

    #[test]
    fn entries_and_bytes_are_bounded() {
        let recent = RecentEntries::default();
        let max = limits::RAFT_RECENT_ENTRIES_MAX as u64;
        recent.written(entries(1, 0..max + 1));
        assert_eq!(recent.read(0, 1, usize::MAX), None);
        assert_eq!(indexes(recent.read(1, 2, usize::MAX)), Some(vec![1]));
        let half = Bytes::from(vec![0; limits::RAFT_RECENT_BYTES_MAX / 2]);
        recent.written(vec![
            entry_of(1, max + 1, half.clone()),
            entry_of(1, max + 2, half),
        ]);
        assert_eq!(
            indexes(recent.read(max + 1, max + 3, usize::MAX)),
            Some(vec![max + 1, max + 2])
        );
        assert_eq!(indexes(recent.read(max + 1, max + 3, 1)), Some(vec![max + 1]));
        recent.written(vec![entry(1, max + 3)]);
        assert_eq!(recent.read(max + 1, max + 2, usize::MAX), None);
        assert_eq!(
            indexes(recent.read(max + 2, max + 4, usize::MAX)),
            Some(vec![max + 2, max + 3])
        );
        let large = Bytes::from(vec![0; limits::RAFT_RECENT_BYTES_MAX + 1]);
        recent.written(vec![entry_of(1, max + 4, large)]);
        assert_eq!(recent.read(max + 3, max + 5, usize::MAX), None);
        assert_eq!(recent.lock().bytes, 0);
    }
}
