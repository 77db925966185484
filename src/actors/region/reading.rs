//! Reads from applied state: point reads, parts of sets and maps, listings, the conflict ledger.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::actors::error_chain;
use crate::actors::region::{
    ConflictPage, ConflictView, FieldPage, ListedKey, ListingPage, MemberPage, PageRequest, RegionError,
};
use crate::model::hlc::WallTime;
use crate::model::ids::{Key, Namespace, PartitionCount, PartitionId, SubKey};
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::model::placement::partition_of;
use crate::model::record::{RecordId, RecordType, RowId};
use crate::model::rows::{CounterRow, FieldRow, MemberRow, RegisterRow, Row};
use crate::model::workspace::{RowSource, Summary};
use crate::ports::store::{Family, Store, StoreError};
use crate::storage::partition::{ReadError, StoredRows};
use crate::wire::codec::DecodeError;
use crate::wire::keys::ledger::LedgerKey;
use crate::wire::keys::names::{Listing, NameKey};
use crate::wire::keys::row::RowKey;
use crate::wire::values;

impl From<ReadError> for RegionError {
    fn from(error: ReadError) -> Self {
        Self::Internal(error_chain(&error))
    }
}

impl From<StoreError> for RegionError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error_chain(&error))
    }
}

impl From<DecodeError> for RegionError {
    fn from(error: DecodeError) -> Self {
        ReadError::from(error).into()
    }
}

/// Reads records of one partition.
pub(super) struct Reader<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) partition: PartitionId,
}

impl Reader<'_> {
    fn row(&self, row: &RowId) -> Result<Option<Row>, RegionError> {
        Ok(StoredRows {
            store: self.store,
            partition: self.partition,
        }
        .row(row)?)
    }

    pub(super) fn register(
        &self,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<RegisterRow>, RegionError> {
        match self.row(&record(namespace, RecordType::Register, key).row())? {
            Some(Row::Register(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    pub(super) fn counter(
        &self,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<CounterRow>, RegionError> {
        match self.row(&record(namespace, RecordType::Counter, key).row())? {
            Some(Row::Counter(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    pub(super) fn member(
        &self,
        namespace: &Namespace,
        key: &Key,
        member: &SubKey,
    ) -> Result<Option<MemberRow>, RegionError> {
        match self.row(&record(namespace, RecordType::Set, key).sub_row(member.clone()))? {
            Some(Row::Member(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    pub(super) fn field(
        &self,
        namespace: &Namespace,
        key: &Key,
        field: &SubKey,
    ) -> Result<Option<FieldRow>, RegionError> {
        match self.row(&record(namespace, RecordType::Map, key).sub_row(field.clone()))? {
            Some(Row::Field(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    pub(super) fn members(
        &self,
        namespace: &Namespace,
        key: &Key,
        page: &PageRequest,
    ) -> Result<MemberPage, RegionError> {
        let record = record(namespace, RecordType::Set, key);
        let (mut members, mut is_cut) = (Vec::new(), false);
        self.scan_parts(&record, page, |part, _| {
            if members.len() == page.limit {
                is_cut = true;
                return Ok(ControlFlow::Break(()));
            }
            members.push(part);
            Ok(ControlFlow::Continue(()))
        })?;
        let next = if is_cut { members.last().cloned() } else { None };
        Ok(MemberPage { members, next })
    }

    pub(super) fn fields(
        &self,
        namespace: &Namespace,
        key: &Key,
        page: &PageRequest,
    ) -> Result<FieldPage, RegionError> {
        let record = record(namespace, RecordType::Map, key);
        let (mut fields, mut bytes, mut is_cut) = (Vec::new(), 0, false);
        self.scan_parts(&record, page, |part, value| {
            // `>=`: one value more may go over the limit of bytes by its own size.
            if fields.len() == page.limit || bytes >= limits::LISTING_BYTES_MAX {
                is_cut = true;
                return Ok(ControlFlow::Break(()));
            }
            if let Row::Field(row) = values::decode_row(RecordType::Map, value)?
                && let Some(shown) = row.shown()
            {
                bytes += shown.value.len();
                fields.push((part, shown.value.clone()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let next = if is_cut {
            fields.last().map(|(field, _)| field.clone())
        } else {
            None
        };
        Ok(FieldPage { fields, next })
    }

    fn scan_parts(
        &self,
        record: &RecordId,
        page: &PageRequest,
        mut take: impl FnMut(String, &[u8]) -> Result<ControlFlow<()>, DecodeError>,
    ) -> Result<(), RegionError> {
        let range = RowKey::parts_range(self.partition, record, page.after.as_deref());
        scan(self.store, Family::Rows, &range.from, &range.to, |key, value| {
            take(RowKey::part_of(self.partition, record, key)?, value)
        })
    }
}

fn record(namespace: &Namespace, record_type: RecordType, key: &Key) -> RecordId {
    RecordId::new(namespace.clone(), record_type, key.clone())
}

/// As [`Store::scan`], for visitors that decode.
fn scan(
    store: &dyn Store,
    family: Family,
    from: &[u8],
    to: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, DecodeError>,
) -> Result<(), RegionError> {
    let mut failure = None;
    store.scan(family, from, to, &mut |key, value| {
        visit(key, value).unwrap_or_else(|error| {
            failure = Some(error);
            ControlFlow::Break(())
        })
    })?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Some of the partitions: of what is not stored by partition, the rest is left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    pub(super) part: PartitionSet,
    pub(super) count: PartitionCount,
}

impl Within {
    fn has(&self, record: &RecordId) -> bool {
        let partition = partition_of(&record.namespace, &record.key, self.count);
        self.part.contains(partition)
    }
}

/// Keys of records of one type, without what has expired.
pub(super) fn list(
    store: &dyn Store,
    listing: &Listing<'_>,
    limit: usize,
    now: WallTime,
    within: Option<Within>,
) -> Result<ListingPage, RegionError> {
    let range = NameKey::range(listing);
    let (mut keys, mut is_cut): (Vec<ListedKey>, bool) = (Vec::new(), false);
    scan(store, Family::Names, &range.from, &range.to, |key, value| {
        let record = NameKey::decode(key)?.0;
        if within.is_some_and(|within| !within.has(&record)) {
            return Ok(ControlFlow::Continue(()));
        }
        let name = record.key.as_str().to_owned();
        let listed = match values::decode_summary(value)? {
            // `<=`: as in `Content::is_expired`.
            Summary::Register {
                expires_at: Some(at), ..
            } if at <= now => return Ok(ControlFlow::Continue(())),
            Summary::Register {
                size_bytes,
                content_type,
                version,
                ..
            } => {
                let (content_type, version) = (Some(content_type), Some(version));
                ListedKey {
                    key: name,
                    size: size_bytes,
                    content_type,
                    version,
                }
            }
            Summary::Counter => ListedKey {
                key: name,
                size: 0,
                content_type: None,
                version: None,
            },
            Summary::Parts { count } => ListedKey {
                key: name,
                size: count,
                content_type: None,
                version: None,
            },
        };
        if keys.len() == limit {
            is_cut = true;
            return Ok(ControlFlow::Break(()));
        }
        keys.push(listed);
        Ok(ControlFlow::Continue(()))
    })?;
    let next = if is_cut {
        keys.last().map(|listed| listed.key.clone())
    } else {
        None
    };
    Ok(ListingPage { keys, next })
}

/// Namespaces that hold data, in the order of their stored names; each costs one seek, and what is looked at in it to find a
/// record of the partitions that are asked for.
pub(super) fn namespaces(store: &dyn Store, within: Option<Within>) -> Result<Vec<Namespace>, RegionError> {
    let (mut found, mut from) = (Vec::new(), Vec::new());
    let end = [u8::MAX];
    loop {
        let mut next = None;
        scan(store, Family::Names, &from, &end, |key, _| {
            next = Some(NameKey::decode(key)?.0.namespace);
            Ok(ControlFlow::Break(()))
        })?;
        let Some(namespace) = next else { return Ok(found) };
        from = NameKey::namespace_range(&namespace).to;
        if !namespace.is_system() && (within.is_none() || has_data(store, &namespace, within)?) {
            found.push(namespace);
        }
    }
}

/// Whether a namespace has any record.
pub(super) fn has_data(
    store: &dyn Store,
    namespace: &Namespace,
    within: Option<Within>,
) -> Result<bool, RegionError> {
    let range = NameKey::namespace_range(namespace);
    let mut found = false;
    scan(store, Family::Names, &range.from, &range.to, |key, _| {
        if let Some(within) = within
            && !within.has(&NameKey::decode(key)?.0)
        {
            return Ok(ControlFlow::Continue(()));
        }
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Entries of the ledger as they are stored, in the order of their keys, which is that of time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) entries: Vec<(Bytes, Bytes)>,
    /// There are more.
    pub(super) is_cut: bool,
}

/// Entries of the ledger from a key on, oldest first.
pub(super) fn ledger(
    store: &dyn Store,
    namespace: Option<&Namespace>,
    from: &[u8],
    limit: usize,
    within: Option<Within>,
) -> Result<Ledger, RegionError> {
    let (mut ledger, mut bytes) = (Ledger::default(), 0);
    scan(store, Family::Losers, from, &[u8::MAX; 32], |key, value| {
        let partition = LedgerKey::decode(key)?.partition;
        if within.is_some_and(|within| !within.part.contains(partition)) {
            return Ok(ControlFlow::Continue(()));
        }
        let entry = values::decode_ledger_entry(value)?;
        if namespace.is_some_and(|wanted| *wanted != entry.record.namespace) {
            return Ok(ControlFlow::Continue(()));
        }
        // `>=`: one entry more may go over the limit of bytes by its own size.
        if ledger.entries.len() == limit || bytes >= limits::LISTING_BYTES_MAX {
            ledger.is_cut = true;
            return Ok(ControlFlow::Break(()));
        }
        bytes += key.len() + value.len();
        let entry = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        ledger.entries.push(entry);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ledger)
}

impl Ledger {
    /// One page of what several nodes have, each of other partitions.
    pub(super) fn merge(pages: impl Iterator<Item = Self>, limit: usize) -> Self {
        let mut merged = Self::default();
        let mut end: Option<Bytes> = None;
        for page in pages {
            if page.is_cut {
                // Whoever has more has it after the last that was shown: what others have behind that is for the next page.
                let last = page.entries.last().map(|(key, _)| key.clone());
                end = match (end, last) {
                    (Some(end), Some(last)) => Some(end.min(last)),
                    (end, last) => end.or(last),
                };
                merged.is_cut = true;
            }
            merged.entries.extend(page.entries);
        }
        merged.entries.sort();
        if let Some(end) = end {
            merged.entries.retain(|(key, _)| *key <= end);
        }
        if merged.entries.len() > limit {
            merged.entries.truncate(limit);
            merged.is_cut = true;
        }
        merged
    }

    /// As clients see it. The cursor is the key of the last entry, in hexadecimal.
    pub(super) fn into_page(self) -> Result<ConflictPage, RegionError> {
        let last = self.entries.last().map(|(key, _)| key.clone());
        let mut conflicts = Vec::with_capacity(self.entries.len());
        for (key, value) in self.entries {
            let entry = values::decode_ledger_entry(&value)?;
            conflicts.push(ConflictView {
                record: entry.record,
                field: entry.field,
                winner: entry.winner,
                loser: entry.loser,
                lost_at: LedgerKey::decode(&key)?.lost_at,
                reason: entry.reason,
                value: entry.value,
            });
        }
        let hexadecimal = |key: Bytes| key.iter().map(|byte| format!("{byte:02x}")).collect();
        let next = last.filter(|_| self.is_cut).map(hexadecimal);
        Ok(ConflictPage { conflicts, next })
    }
}

/// The first key after the one that a cursor names.
pub(crate) fn start_after(cursor: &str) -> Result<Vec<u8>, RegionError> {
    let invalid = || {
        RegionError::Invalid("after: not a cursor of this call; pass `next` of the page before".to_owned())
    };
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    // Not `from_str_radix`, which takes a sign and a single digit: a cursor that has lost a character would go on elsewhere.
    let (pairs, rest) = cursor.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect();
    let mut key = bytes.filter(|_| rest.is_empty()).ok_or_else(invalid)?;
    LedgerKey::decode(&key).map_err(|_| invalid())?;
    key.push(0);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_right_after_the_key_that_it_names() {
        let key = LedgerKey {
            lost_at: WallTime::from_micros(258),
            partition: crate::model::ids::PartitionId(9),
            number: 10,
        };
        let cursor = "00000000000001020009000000000000000a";
        assert_eq!(start_after(cursor).unwrap(), [key.encode(), vec![0]].concat());
    }

    fn page(keys: &[&'static str], is_cut: bool) -> Ledger {
        let entry = |key: &&'static str| (Bytes::from_static(key.as_bytes()), Bytes::new());
        Ledger {
            entries: keys.iter().map(entry).collect(),
            is_cut,
        }
    }

    #[test]
    fn pages_of_several_nodes_make_one_that_leaves_nothing_out() {
        let merged = |pages: Vec<Ledger>, limit| Ledger::merge(pages.into_iter(), limit);
        let both = merged(vec![page(&["a", "d"], false), page(&["b", "c"], false)], 4);
        assert_eq!(both, page(&["a", "b", "c", "d"], false));
        // The first may have something before d.
        let cut = merged(vec![page(&["a", "b"], true), page(&["c", "d"], true)], 2);
        assert_eq!(cut, page(&["a", "b"], true));
        let cut = merged(vec![page(&["a", "c"], true), page(&["b", "d"], false)], 9);
        assert_eq!(cut, page(&["a", "b", "c"], true));
        assert_eq!(
            merged(vec![page(&["a", "c"], false), page(&["b"], false)], 2),
            page(&["a", "b"], true)
        );
        assert_eq!(merged(Vec::new(), 2), page(&[], false));
    }

    #[test]
    fn a_text_that_no_listing_has_given_out_is_no_cursor() {
        for bad in [
            "",
            "00",
            // One digit short, with signs, in capitals, with a character of two bytes, one key too long.
            "0000000000000102000900000000000000a",
            "0000000000000102000900000000000000+a",
            "00000000000001020009000000000000000A",
            "0000000000000102000900000000000000é",
            "00000000000001020009000000000000000a00",
        ] {
            assert!(start_after(bad).is_err(), "{bad}");
        }
    }
}
