//! `atoll verify`: reads a whole data folder while its node is stopped, and checks that everything in it agrees: rows
//! decode and are canonical, digests equal a full scan, the listing index matches the rows, logs have no holes, remembered
//! outcomes are as many as counted and expire.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::model::digest::{Digest, RowExchange, RowHasher};
use crate::model::hlc::WallTime;
use crate::model::ids::{LogIndex, PartitionId};
use crate::model::record::{RecordId, RecordType};
use crate::model::rows::Row;
use crate::model::workspace::{Summary, register_summary};
use crate::ports::store::{Family, Store, StoreError};
use crate::storage::partition::{LoadError, load};
use crate::storage::{Identity, IdentityError, RocksConfig, RocksStore, read};
use crate::wire::codec::DecodeError;
use crate::wire::idempotency::{decode_remembered, decode_tally};
use crate::wire::keys::idempotency::{OutcomeKey, OutcomeTimeKey, tally};
use crate::wire::keys::log::LogKey;
use crate::wire::keys::names::NameKey;
use crate::wire::keys::row::RowKey;
use crate::wire::values;

/// Findings are not collected without end.
const FINDINGS_MAX: usize = 100;

/// What was read, and what does not agree.
#[derive(Debug)]
pub struct VerifyReport {
    /// Whose folder it is.
    pub identity: Identity,
    /// Rows read.
    pub rows: u64,
    /// Records that the listing index should and does hold.
    pub records: u64,
    /// Log entries read.
    pub log_entries: u64,
    /// What is wrong; empty if nothing is.
    pub findings: Vec<String>,
}

/// Why a folder could not be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no folder.
    #[error("there is no data folder at {0}; name the folder that `serve --data` was given")]
    Missing(PathBuf),
    /// The folder was never used by a node.
    #[error("{0} is not a data folder of a node: it has no identity")]
    NoIdentity(PathBuf),
    /// It cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A partition cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Verifies the folder of a stopped node. `progress` is told each partition that is done.
///
/// # Errors
/// [`VerifyError`] when it cannot be read; what is merely wrong is in the report.
pub fn verify(folder: &Path, mut progress: impl FnMut(PartitionId)) -> Result<VerifyReport, VerifyError> {
    if !folder.join("db").is_dir() {
        return Err(VerifyError::Missing(folder.to_owned()));
    }
    let (store, opened) = RocksStore::open(folder, RocksConfig::default())?;
    let identity = read(&store, folder)?.ok_or_else(|| VerifyError::NoIdentity(folder.to_owned()))?;
    let partitions = identity.partitions;
    let mut report = VerifyReport {
        identity,
        rows: 0,
        records: 0,
        log_entries: 0,
        findings: Vec::new(),
    };
    if let Some(tail) = opened.truncated_tail {
        let file = tail.file.display();
        report.find(format!(
            "{file} had an incomplete end of {} bytes, which was dropped",
            tail.bytes
        ));
    }
    for partition in partitions.ids() {
        verify_partition(&store, partition, &mut report)?;
        progress(partition);
    }
    verify_names_count(&store, &mut report)?;
    Ok(report)
}

impl VerifyReport {
    fn find(&mut self, finding: String) {
        // `<`: one place is kept for saying that there are more.
        match self.findings.len() {
            len if len < FINDINGS_MAX => self.findings.push(finding),
            FINDINGS_MAX => self.findings.push("and more, which are not listed".to_owned()),
            _ => {}
        }
    }
}

fn verify_partition(
    store: &dyn Store,
    partition: PartitionId,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let hasher = RowHasher::default();
    let loaded = load(store, partition, &hasher, WallTime::default())?;
    let mut scan = RowScan {
        store,
        hasher: &hasher,
        digest: Digest::default(),
        open: None,
        report,
    };
    let range = RowKey::partition_range(partition);
    let mut failed = None;
    store.scan(
        Family::Rows,
        &range.from,
        &range.to,
        &mut |key, value| match scan.row(key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    scan.close_record()?;
    let computed = scan.digest;
    if computed != loaded.digest {
        let leaves = computed.differing_leaves(&loaded.digest).count();
        report.find(format!(
            "partition {partition}: the digest of its rows is {}, {} is recorded ({leaves} leaves differ)",
            computed.root(),
            loaded.digest.root()
        ));
    }
    verify_outcomes(store, partition, report)?;
    verify_log(
        store,
        partition,
        loaded.state.first_index,
        loaded.state.applied_index,
        report,
    )
}

/// The record whose rows are being read, and its summary so far.
struct OpenRecord {
    id: RecordId,
    summary: Option<Summary>,
}

struct RowScan<'a> {
    store: &'a dyn Store,
    hasher: &'a RowHasher,
    digest: Digest,
    open: Option<OpenRecord>,
    report: &'a mut VerifyReport,
}

impl RowScan<'_> {
    fn row(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), StoreError> {
        self.report.rows += 1;
        self.digest.exchange(
            self.hasher,
            &RowExchange {
                key,
                before: None,
                after: Some(bytes),
            },
        );
        let (key, row) = match decode_row(key, bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.report.find(format!("a row cannot be read: {error}"));
                return Ok(());
            }
        };
        if values::encode_row(&row) != bytes {
            self.report
                .find(format!("the row of {:?} is not in canonical form", key.row));
        }
        if self.open.as_ref().is_none_or(|open| open.id != key.row.record) {
            self.close_record()?;
            self.open = Some(OpenRecord {
                id: key.row.record,
                summary: None,
            });
        }
        if let Some(open) = &mut self.open {
            open.summary = match (&row, open.summary.take()) {
                (Row::Register(row), _) => register_summary(row),
                (Row::Counter(_), _) => Some(Summary::Counter),
                (_, Some(Summary::Parts { count })) => Some(Summary::Parts { count: count + 1 }),
                (_, _) => Some(Summary::Parts { count: 1 }),
            };
        }
        Ok(())
    }

    /// Compares what the rows of a record sum up to with the listing index.
    fn close_record(&mut self) -> Result<(), StoreError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        self.report.records += u64::from(open.summary.is_some());
        let stored = self.store.get(Family::Names, &NameKey::encode(&open.id))?;
        let stored = stored.map(|bytes| values::decode_summary(&bytes)).transpose();
        if stored.as_ref().ok() != Some(&open.summary) {
            let name = format!(
                "{} {}/{}",
                open.id.record_type.name(),
                open.id.namespace,
                open.id.key
            );
            self.report.find(format!(
                "the listing index is wrong about {name}: {stored:?}, its rows say {:?}",
                open.summary
            ));
        }
        Ok(())
    }
}

fn decode_row(key: &[u8], bytes: &[u8]) -> Result<(RowKey, Row), DecodeError> {
    let key = RowKey::decode(key)?;
    let record_type: RecordType = key.row.record.record_type;
    let row = values::decode_row(record_type, bytes)?;
    Ok((key, row))
}

/// Each remembered outcome has its place in the order of time, or it would never be forgotten; and all are counted.
fn verify_outcomes(
    store: &dyn Store,
    partition: PartitionId,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let (mut records, mut missing, mut unreadable) = (0_u64, 0_u64, 0_u64);
    let range = OutcomeKey::range(partition);
    let mut failed = None;
    store.scan(Family::Idempotency, &range.from, &range.to, &mut |key, value| {
        records += 1;
        let (Ok(key), Ok(outcome)) = (OutcomeKey::decode(key), decode_remembered(value)) else {
            unreadable += 1;
            return ControlFlow::Continue(());
        };
        let time_key = OutcomeTimeKey {
            partition,
            at: outcome.at,
            scope: key.scope,
        };
        match store.get(Family::Idempotency, &time_key.encode()) {
            Ok(found) => missing += u64::from(found.is_none()),
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let tally = store.get(Family::Idempotency, &tally(partition))?;
    let counted = tally.map_or(Ok(0), |bytes| decode_tally(&bytes).map(|tally| tally.records));
    if unreadable > 0 || missing > 0 || counted.as_ref().ok() != Some(&records) {
        report.find(format!(
            "partition {partition}: of {records} remembered outcomes {unreadable} cannot be read and {missing} never expire; \
             counted are {counted:?}"
        ));
    }
    Ok(())
}

fn verify_log(
    store: &dyn Store,
    partition: PartitionId,
    first_index: LogIndex,
    applied_index: LogIndex,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let range = LogKey::range(partition, LogIndex(0), LogIndex(u64::MAX));
    let mut expected = first_index;
    store.scan(Family::Log, &range.from, &range.to, &mut |key, value| {
        report.log_entries += 1;
        match LogKey::decode(key) {
            Ok(key) if key.index == expected => {}
            Ok(key) => report.find(format!(
                "partition {partition}: log entry {} where {expected} was due",
                key.index
            )),
            Err(error) => report.find(format!("partition {partition}: {error}")),
        }
        if let Err(error) = values::decode_commit(value) {
            report.find(format!(
                "partition {partition}: log entry {expected} cannot be read: {error}"
            ));
        }
        expected = expected.next();
        ControlFlow::Continue(())
    })?;
    if expected != applied_index.next() {
        report.find(format!(
            "partition {partition}: the log ends before entry {expected}, {applied_index} is recorded"
        ));
    }
    Ok(())
}

fn verify_names_count(store: &dyn Store, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let mut names = 0;
    store.scan(Family::Names, &[], &[u8::MAX], &mut |_, _| {
        names += 1;
        ControlFlow::Continue(())
    })?;
    if names != report.records {
        report.find(format!(
            "the listing index has {names} entries, the rows make {}",
            report.records
        ));
    }
    Ok(())
}
