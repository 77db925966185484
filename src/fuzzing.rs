//! Entry points for the fuzzer in `tests/fuzz`: the parsers of outside bytes that are private to their layers.
//!
//! Tests of processes and sockets see only what is public, and these parsers are not: nothing outside their layer may
//! call them. The fuzzer must, since the global allocator that counts what they take has to be that of its own binary.
//! So they are listed here, hidden from the documentation, each as it is called in its layer. Nothing else may use this file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

use crate::actors::region::{self, Admission};
use crate::api::{self, path, query::Query};
use crate::cli::lines::LineReader;
use crate::cli::load::record::{Format, Record};
use crate::model::ids::{Key, Namespace, RegionId, SubKey};
use crate::model::request::Operation;
use crate::model::vector::Dot;
use crate::storage::{self, Identity, TruncatedTail};
use crate::transport;

/// A text of a path or query, percent-decoded.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    path::decode(text).ok().map(std::borrow::Cow::into_owned)
}

/// The template of a raw path's route, and its raw names.
#[must_use]
pub fn route(path: &str) -> Option<(&'static str, [&str; 3])> {
    api::routes::find(path).map(|found| (found.route.template(), found.names))
}

/// What a segment of a path means as each of the names that paths have.
#[derive(Debug)]
pub struct Segment {
    /// As a namespace.
    pub namespace: Option<Namespace>,
    /// As a key.
    pub key: Option<Key>,
    /// As a member or field.
    pub sub_key: Option<SubKey>,
    /// As a region.
    pub region: Option<RegionId>,
}

/// A raw segment of a path as every name that it can be.
#[must_use]
pub fn segment(raw: &str) -> Segment {
    Segment {
        namespace: path::namespace(raw).ok(),
        key: path::key(raw).ok(),
        sub_key: path::sub_key("member", raw).ok(),
        region: path::region(raw).ok(),
    }
}

/// A page of a listing as a raw query asks for it: prefix, after, limit.
#[must_use]
pub fn listing_query(raw: &str) -> Option<(String, Option<String>, usize)> {
    let query = Query::parse(Some(raw), &["prefix", "after", "limit"]).ok()?;
    let page = query.page().ok()?;
    let prefix = query.key_text("prefix").ok()?.unwrap_or_default().to_owned();
    Some((prefix, page.after, page.limit))
}

/// The body of a request that sets and removes fields of a map.
#[must_use]
pub fn map_update(body: &Bytes) -> Option<Operation> {
    api::parse_update(body).ok()
}

/// The dots of an `Atoll-Context`.
#[must_use]
pub fn context_dots(text: &str) -> Option<Vec<Dot>> {
    api::parse_context(text)
}

/// The `Atoll-Context` of dots.
#[must_use]
pub fn context_text(dots: &[Dot]) -> String {
    api::text_of(dots)
}

/// The key at which a listing of the conflict ledger goes on after a cursor.
#[must_use]
pub fn ledger_start(cursor: &str) -> Option<Vec<u8>> {
    region::start_after(cursor).ok()
}

/// The right to have a request worked on, for a region that bounds nothing.
#[must_use]
pub fn admission() -> Admission {
    let permit = || {
        let free = Arc::new(Semaphore::new(1)).try_acquire_owned();
        free.expect("a new semaphore of one has one to give")
    };
    Admission {
        _permits: (permit(), permit()),
    }
}

/// The identity of a data folder.
#[must_use]
pub fn identity(bytes: &[u8]) -> Option<Identity> {
    storage::decode_identity(Path::new("folder"), bytes).ok()
}

/// The bytes of an identity.
#[must_use]
pub fn identity_bytes(identity: &Identity) -> Vec<u8> {
    storage::encode_identity(identity)
}

/// What reading the write-ahead logs of a database folder ahead of RocksDB finds.
#[derive(Debug)]
pub struct LogReading {
    /// The newest ends inside a record.
    pub truncated: Option<TruncatedTail>,
    /// A place near the end of the newest where it is damaged.
    pub damaged_tail: Option<(PathBuf, u64)>,
    /// The first place in any where it is damaged.
    pub first_damage: Option<(PathBuf, u64)>,
}

/// Reads the logs in a database folder.
///
/// # Errors
/// When files cannot be read.
pub fn read_logs(database: &Path) -> io::Result<LogReading> {
    use storage::wal_tail::{Damage, WalTail, find_damage, inspect};
    let place = |damage: Damage| (damage.file, damage.offset);
    let (truncated, damaged_tail) = match inspect(database)? {
        WalTail::Whole => (None, None),
        WalTail::Truncated(tail) => (Some(tail), None),
        WalTail::Damaged(damage) => (None, Some(place(damage))),
    };
    Ok(LogReading {
        truncated,
        damaged_tail,
        first_damage: find_damage(database).map(place),
    })
}

/// The checksum of a record in RocksDB's write-ahead log, over its type and payload: to make logs that are whole.
#[must_use]
pub fn log_checksum(covered: &[u8]) -> u32 {
    storage::crc32c::masked_checksum(covered)
}

/// The mark of a torn log end in a data folder.
#[must_use]
pub fn torn_tail_mark(folder: &Path) -> Option<TruncatedTail> {
    storage::torn_tail::marked(folder).ok().flatten()
}

/// A record that `atoll load` has read: key, value, content type.
pub type LoadedRecord = (Key, Bytes, &'static str);

/// The lines of an input of `atoll load`: each a record, or none where it is not one.
#[must_use]
pub fn load_lines(input: &[u8]) -> Vec<Option<LoadedRecord>> {
    let mut reader = LineReader::new(input);
    let mut format = None;
    let mut records = Vec::new();
    while let Ok(Some(line)) = reader.next().now_or_never().expect("memory is always ready") {
        let Some(bytes) = line.bytes else {
            records.push(None);
            continue;
        };
        if bytes.trim_ascii().is_empty() && !bytes.contains(&b'\t') {
            continue;
        }
        let format = *format.get_or_insert_with(|| Format::detect(&bytes));
        let record = Record::parse(bytes, format).ok();
        records.push(record.map(|record| (record.key, record.value, record.content_type)));
    }
    records
}

/// The words of a peer as they are shown.
#[must_use]
pub fn peer_words(bytes: &[u8]) -> String {
    transport::reasons::peer_words(bytes)
}

/// The moment in the words of a certificate error, readable.
#[must_use]
pub fn validity_words(words: &str) -> Option<String> {
    transport::reasons::validity_words(words)
}
