//! What is there after everything was healed and left alone.

use std::collections::BTreeMap;

use atoll::model::ids::PartitionId;
use atoll::model::record::RecordId;
use atoll::model::vector::VersionVector;
use atoll::wire::values::LedgerEntry;
use bytes::Bytes;

use super::Shown;

/// One region in the end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FinalRegion {
    /// All rows as stored, key and value. Empty where nobody could look inside.
    pub rows: BTreeMap<Bytes, Bytes>,
    /// The listing index as stored. Empty where nobody could look inside.
    pub names: BTreeMap<Bytes, Bytes>,
    /// The vectors as stored. Empty where nobody could look inside.
    pub vectors: BTreeMap<PartitionId, VersionVector>,
    /// The digest's root as the region answers it.
    pub digest_root: String,
    /// The digests of the partitions as the region answers them.
    pub digests: Vec<String>,
    /// The digests of the partitions, computed anew from all rows. Empty where nobody could look inside.
    pub scanned_digests: Vec<String>,
    /// The ledger.
    pub losers: Vec<LedgerEntry>,
    /// What reading each record of the history shows. Registers, counters, sets and maps.
    pub reads: BTreeMap<RecordId, Shown>,
}
