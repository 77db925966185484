//! What clients did and what they were told.

use std::collections::BTreeMap;

use atoll::model::ids::RegionId;
use atoll::model::record::{RecordId, Version};
use bytes::Bytes;

use super::Moment;

/// A client: it does one operation at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u16);

/// An operation: its position in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u32);

/// A batch: its operations are done together or not at all. They have the same beginning and the same end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u32);

/// Operations of one session promise the four session guarantees to each other. Without tokens a session is a client
/// in one region; with tokens it goes along with the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// What a write demands of the present version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match: *`.
    Present,
    /// `If-Match` with an entity tag that an earlier read showed.
    Tag(String),
}

/// The consistency that was asked for, where it promises something that others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// `eventual` in a region of several nodes: what the node that was asked has, which may be behind.
    Node,
    /// What one region can promise alone.
    Region,
    /// `global_quorum`: what a majority of regions has acknowledged is read by a majority.
    Majority,
    /// `strong`, or a write of a namespace that is written at home: answered by the home, which has everything that any
    /// home before it has answered.
    Home,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "the contract has no call that drops a set or map yet; the checkers can judge one"
)]
pub enum Action {
    /// Writes a register. Values are unique in a history.
    Put {
        /// The value.
        value: Bytes,
        /// What it demands.
        condition: Condition,
        /// The dots that it replaces, as a read of siblings gave them (`Atoll-Context`); `None`: what the region has.
        context: Option<String>,
    },
    /// Deletes a register.
    Delete {
        /// What it demands.
        condition: Condition,
    },
    /// Reads a register.
    Get,
    /// Adds to a counter.
    Add {
        /// How much.
        delta: i64,
        /// What it demands.
        condition: Condition,
    },
    /// Resets what the region has seen of a counter.
    Reset,
    /// Reads a counter.
    Count,
    /// Adds and removes members of a set, in one request.
    ChangeMembers {
        /// Added.
        add: Vec<String>,
        /// Removed.
        remove: Vec<String>,
        /// What it demands of the one member that it names; nothing where it names several.
        condition: Condition,
    },
    /// Asks for one member.
    Contains {
        /// Which.
        member: String,
    },
    /// Lists all members.
    Members,
    /// Deletes a whole set that the region has seen.
    DropSet,
    /// Sets and removes fields of a map, in one request. Values are unique in a history.
    ChangeFields {
        /// Set: field and JSON text.
        set: Vec<(String, String)>,
        /// Removed.
        remove: Vec<String>,
    },
    /// Lists all fields.
    Fields,
    /// Deletes a whole map that the region has seen.
    DropMap,
}

impl Action {
    /// What it demands.
    pub fn condition(&self) -> &Condition {
        match self {
            Self::Put { condition, .. }
            | Self::Delete { condition }
            | Self::Add { condition, .. }
            | Self::ChangeMembers { condition, .. } => condition,
            _ => &Condition::None,
        }
    }

    /// The one member that it names; none if it names several, or is for something else.
    pub fn only_member(&self) -> Option<&str> {
        match self {
            Self::Contains { member } => Some(member),
            Self::ChangeMembers { add, remove, .. } => match (add.as_slice(), remove.as_slice()) {
                ([member], []) | ([], [member]) => Some(member),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it can change anything.
    pub fn is_write(&self) -> bool {
        !matches!(
            self,
            Self::Get | Self::Count | Self::Contains { .. } | Self::Members | Self::Fields
        )
    }
}

/// What an answer showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing: a write.
    Nothing,
    /// There is no such register.
    Absent,
    /// A register's one version.
    Value(Bytes),
    /// A register's concurrent versions.
    Siblings(Vec<(Version, Bytes)>),
    /// A counter's value; of an add, the value after it.
    Total(i64),
    /// Whether a member is in the set.
    Member(bool),
    /// All members, in order.
    Members(Vec<String>),
    /// All fields, as JSON texts.
    Fields(BTreeMap<String, String>),
}

/// A 2xx (or 404 to a read).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `Atoll-Staleness-Ms`.
    pub staleness_ms: Option<u64>,
    /// `Atoll-Version`: of what was written or shown.
    pub version: Option<Version>,
    /// `ETag`, with its quotes.
    pub tag: Option<String>,
    /// What it showed.
    pub shown: Shown,
}

/// How an operation ended for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done(Answer),
    /// The answer promises that nothing was changed (4xx, and a 503 whose outcome is known).
    Refused {
        /// The status.
        status: u16,
        /// The problem's code.
        code: String,
    },
    /// It may or may not have been done, then or later: no answer, or an answer that says so.
    Unknown {
        /// The status, if there was an answer.
        status: Option<u16>,
    },
}

/// One operation of a client on one record. Where a client repeats a request under its idempotency key until it is told
/// what was decided, that is one operation, from the first time it is sent to the last answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its position.
    pub id: OperationId,
    /// Who.
    pub client: ClientId,
    /// In which session.
    pub session: SessionId,
    /// Of which batch it is a part, if it is.
    pub batch: Option<BatchId>,
    /// Where it was answered: where it was sent, or at the home of its namespace, as the answer says; if none came, at the
    /// last home that its client had met.
    pub region: RegionId,
    /// What its level promises.
    pub promise: Promise,
    /// On what.
    pub record: RecordId,
    /// What was asked.
    pub action: Action,
    /// When it was sent.
    pub started: Moment,
    /// When its answer came; `None` if none came.
    pub ended: Option<Moment>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Operation {
    /// Its answer, if it was done.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Done(answer) => Some(answer),
            Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// Whether it may have taken effect.
    pub fn may_have_happened(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused { .. })
    }
}
