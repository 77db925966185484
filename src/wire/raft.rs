//! What stands under the keys of the family `raft`: entries, votes, marks. Each starts with a format number of its own.
//!
//! Types of our own, one to one with openraft's (`agreement/stored.rs` turns one into the other): what is on disk must not
//! change because a library does.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::agreement::NodeRole;
use crate::model::hlc::Hlc;
use crate::model::raft::{RaftIndex, RaftNodeId, Term};
use crate::wire::codec::{self, DecodeError};

const ENTRY_FORMAT: u8 = 1;
const VOTE_FORMAT: u8 = 1;
const LOG_ID_FORMAT: u8 = 1;
const APPLIED_FORMAT: u8 = 1;
const STAMP_FORMAT: u8 = 1;

/// Names an entry: two with the same id are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLogId {
    /// The term in which it was proposed.
    pub term: Term,
    /// Who led then.
    pub leader: RaftNodeId,
    /// Its place.
    pub index: RaftIndex,
}

impl StoredLogId {
    /// An entry after it must have a place, on which whoever reads it counts.
    fn is_in_range(&self) -> bool {
        self.index < RaftIndex::END
    }
}

/// For whom a node has voted, or whom it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVote {
    /// The term.
    pub term: Term,
    /// Who is to lead in it.
    pub leader: RaftNodeId,
    /// Whether a majority has voted so.
    pub is_committed: bool,
}

/// Who is in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMembers {
    /// Sets of voters; an agreement needs a majority of each. There are two while the group changes.
    pub voters: Vec<BTreeSet<RaftNodeId>>,
    /// All members. Those that are in no set of voters only learn. The roles are those of the region's nodes in the group whose
    /// membership that is, and the first one in all others.
    pub nodes: BTreeMap<RaftNodeId, NodeRole>,
}

/// What an entry carries. The order is that of the persisted numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredPayload {
    /// Nothing: a leader begins with it.
    Blank,
    /// What a partition commits at once, as [`crate::wire::entry`] encodes it.
    Group(Bytes),
    /// Who is in the group from here on.
    Members(StoredMembers),
}

/// An entry of a raft log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Its name.
    pub id: StoredLogId,
    /// What it carries.
    pub payload: StoredPayload,
}

/// How far a group's entries are in the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredApplied {
    /// The last one.
    pub last: Option<StoredLogId>,
    /// The entry that the members come from.
    pub members_from: Option<StoredLogId>,
    /// The members as of then.
    pub members: StoredMembers,
}

/// The bytes of an entry.
#[must_use]
pub fn encode_entry(entry: &StoredEntry) -> Vec<u8> {
    codec::encode_versioned(ENTRY_FORMAT, entry)
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_entry(bytes: &[u8]) -> Result<StoredEntry, DecodeError> {
    decode("a raft entry", ENTRY_FORMAT, bytes, |entry: &StoredEntry| {
        entry.id.is_in_range()
    })
}

/// The bytes of a vote.
#[must_use]
pub fn encode_vote(vote: &StoredVote) -> Vec<u8> {
    codec::encode_versioned(VOTE_FORMAT, vote)
}

/// Reads what [`encode_vote`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_vote(bytes: &[u8]) -> Result<StoredVote, DecodeError> {
    codec::decode_versioned("a raft vote", VOTE_FORMAT, bytes)
}

/// The bytes of a stamp that is stored alone: a node's floor.
#[must_use]
pub fn encode_stamp(stamp: Hlc) -> Vec<u8> {
    codec::encode_versioned(STAMP_FORMAT, &stamp)
}

/// Reads what [`encode_stamp`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_stamp(bytes: &[u8]) -> Result<Hlc, DecodeError> {
    codec::decode_versioned("a stamp", STAMP_FORMAT, bytes)
}

/// The bytes of the id of an entry.
#[must_use]
pub fn encode_log_id(id: &StoredLogId) -> Vec<u8> {
    codec::encode_versioned(LOG_ID_FORMAT, id)
}

/// Reads what [`encode_log_id`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_log_id(bytes: &[u8]) -> Result<StoredLogId, DecodeError> {
    decode(
        "the id of a raft entry",
        LOG_ID_FORMAT,
        bytes,
        StoredLogId::is_in_range,
    )
}

/// The bytes of how far a group is.
#[must_use]
pub fn encode_applied(applied: &StoredApplied) -> Vec<u8> {
    codec::encode_versioned(APPLIED_FORMAT, applied)
}

/// Reads what [`encode_applied`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_applied(bytes: &[u8]) -> Result<StoredApplied, DecodeError> {
    const WHAT: &str = "what a raft group has applied";
    decode(WHAT, APPLIED_FORMAT, bytes, |applied: &StoredApplied| {
        let ids = [&applied.last, &applied.members_from];
        ids.into_iter().flatten().all(StoredLogId::is_in_range)
    })
}

fn decode<T: DeserializeOwned>(
    what: &'static str,
    format: u8,
    bytes: &[u8],
    is_in_range: impl FnOnce(&T) -> bool,
) -> Result<T, DecodeError> {
    let value = codec::decode_versioned(what, format, bytes)?;
    if is_in_range(&value) {
        Ok(value)
    } else {
        Err(DecodeError::new(what, "its index is out of range"))
    }
}

#[cfg(test)]
#[path = "raft_test.rs"]
mod tests;
