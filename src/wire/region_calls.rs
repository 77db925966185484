//! Writes that a node passes on to the one of its region that leads their partition, and what becomes of them. They travel as
//! bodies of the mesh's requests and answers. Each starts with a format number of its own; the order of the variants is on the
//! wire: append only.
//!
//! What is decoded here goes to a partition as if a client had asked it: everything that the HTTP surface promises about a
//! submission is checked again, but that JSON texts are JSON and that all keys are of one partition.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::change::{ConflictPolicy, Content};
use crate::model::idempotency::{Decision, Fingerprint, Idempotency, IdempotencyKey};
use crate::model::ids::{Key, Namespace, NodeId, SubKey};
use crate::model::limits;
use crate::model::request::{Operation, Precondition, Submission, WriteRequest};
use crate::model::vector::Dot;
use crate::wire::codec::{self, DecodeError};
use crate::wire::idempotency::StoredOutcome;

const SUBMISSION_FORMAT: u8 = 1;
const VERDICT_FORMAT: u8 = 1;
/// No verdict is larger: 1000 answers with versions and tags of regions whose names have full length, or the tag of a register
/// with all siblings that it can have. Most have less than a hundred bytes.
pub const VERDICT_BYTES_MAX: usize = 128 * 1024;

const SUBMISSION: &str = "a submission";
const VERDICT: &str = "a verdict";

/// Why a write that was passed on was not decided: what the asker's client is told, or whom to ask instead. What the
/// records themselves refuse is a [`Decision`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PassedError {
    /// The request makes no sense in this cluster.
    #[error("{0}")]
    Invalid(String),
    /// Something named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts the state of what it names.
    #[error("{0}")]
    Conflict(String),
    /// Too much is under way; nothing was done.
    #[error("{0}")]
    Overloaded(String),
    /// A guarantee cannot be met now.
    #[error("{reason}")]
    Unavailable {
        /// Which and why.
        reason: String,
        /// Whether the write may nevertheless have been made.
        outcome_unknown: bool,
    },
    /// The node that was asked has failed.
    #[error("{0}")]
    Internal(String),
    /// The node that was asked does not lead the partition; nothing was done.
    #[error("this node does not lead the partition; {}", led_by(.leader.as_ref()))]
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// The region is not the home of the namespace; nothing was done.
    #[error("{0}")]
    NotHome(String),
}

/// What became of a write that was passed on.
pub type PassedVerdict = Result<Decision, PassedError>;

#[derive(Serialize, Deserialize)]
struct SentSubmission {
    /// Of all writes.
    namespace: Namespace,
    writes: Vec<SentWrite>,
    /// Key and fingerprint.
    idempotency: Option<(String, [u8; 32])>,
}

#[derive(Serialize, Deserialize)]
struct SentWrite {
    key: Key,
    policy: ConflictPolicy,
    precondition: SentPrecondition,
    operation: SentOperation,
}

#[derive(Serialize, Deserialize)]
enum SentPrecondition {
    None,
    Exists,
    Matches(Vec<String>),
    Absent,
    DiffersFrom(Vec<String>),
}

#[derive(Serialize, Deserialize)]
enum SentOperation {
    PutRegister(Content, Option<Vec<Dot>>),
    DeleteRegister,
    AddCounter(i64),
    ResetCounter,
    /// Added, removed.
    UpdateSet(Vec<SubKey>, Vec<SubKey>),
    /// Set, removed.
    UpdateMap(Vec<(SubKey, Bytes)>, Vec<SubKey>),
}

#[derive(Serialize, Deserialize)]
enum SentVerdict {
    Decided { outcome: StoredOutcome, is_repeat: bool },
    NotDecided(PassedError),
}

/// The bytes of a submission.
///
/// # Panics
/// When it has no write, or writes of several namespaces.
#[must_use]
pub fn encode_submission(submission: &Submission) -> Vec<u8> {
    let first = submission.writes.first();
    let namespace = &first.expect("a submission has at least one write").namespace;
    let sent = submission.writes.iter().map(|write| {
        assert_eq!(&write.namespace, namespace, "a submission is of one namespace");
        SentWrite {
            key: write.key.clone(),
            policy: write.policy,
            precondition: SentPrecondition::of(&write.precondition),
            operation: SentOperation::of(&write.operation),
        }
    });
    let idempotency = submission.idempotency.as_ref();
    let sent = SentSubmission {
        namespace: namespace.clone(),
        writes: sent.collect(),
        idempotency: idempotency.map(|sent| (sent.key.as_str().to_owned(), sent.fingerprint.0)),
    };
    codec::encode_versioned(SUBMISSION_FORMAT, &sent)
}

/// Reads what [`encode_submission`] wrote, and checks what the HTTP surface checks of clients.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_submission(bytes: &[u8]) -> Result<Submission, DecodeError> {
    let sent: SentSubmission = codec::decode_versioned(SUBMISSION, SUBMISSION_FORMAT, bytes)?;
    // `<=` and `>` below: what is exactly as large as a limit is within it.
    if !(1..=limits::OPERATIONS_PER_REQUEST_MAX).contains(&sent.writes.len()) {
        return Err(refused(format!("it has {} writes", sent.writes.len())));
    }
    let namespace = sent.namespace;
    let writes = sent.writes.into_iter();
    let submission = Submission {
        writes: writes
            .map(|write| write.request(&namespace))
            .collect::<Result<_, _>>()?,
        idempotency: sent.idempotency.map(idempotency_of).transpose()?,
    };
    if submission.changes_max() > limits::OPERATIONS_PER_REQUEST_MAX {
        return Err(refused(format!("it has {} changes", submission.changes_max())));
    }
    if submission.size_bytes() > limits::COMMIT_BYTES_MAX {
        return Err(refused("it does not fit into a commit"));
    }
    Ok(submission)
}

/// The bytes of what became of a submission. Words beyond [`limits::MESH_REASON_BYTES_MAX`] are cut off.
#[must_use]
pub fn encode_verdict(verdict: &PassedVerdict) -> Vec<u8> {
    let sent = match verdict {
        Ok(decision) => SentVerdict::Decided {
            outcome: StoredOutcome::of(&decision.outcome),
            is_repeat: decision.is_repeat,
        },
        Err(error) => {
            let mut error = error.clone();
            if let Some(words) = error.words_mut() {
                words.truncate(words.floor_char_boundary(limits::MESH_REASON_BYTES_MAX));
            }
            SentVerdict::NotDecided(error)
        }
    };
    codec::encode_versioned(VERDICT_FORMAT, &sent)
}

/// Reads what [`encode_verdict`] wrote about a submission of so many writes.
///
/// # Errors
/// [`DecodeError`], also when it speaks of another number of writes.
pub fn decode_verdict(bytes: &[u8], writes: usize) -> Result<PassedVerdict, DecodeError> {
    let sent: SentVerdict = codec::decode_versioned(VERDICT, VERDICT_FORMAT, bytes)?;
    let error = |detail: String| Err(DecodeError::new(VERDICT, detail));
    match sent {
        SentVerdict::Decided { outcome, is_repeat } => {
            let outcome = outcome.outcome()?;
            match &outcome {
                Ok(answers) if answers.len() != writes => {
                    error(format!("it has {} answers to {writes} writes", answers.len()))
                }
                Err(refusal) if refusal.position >= writes => {
                    error(format!("it refuses write {} of {writes}", refusal.position))
                }
                _ => Ok(Ok(Decision { outcome, is_repeat })),
            }
        }
        SentVerdict::NotDecided(mut refusal) => {
            let len = refusal.words_mut().map_or(0, |words| words.len());
            if len > limits::MESH_REASON_BYTES_MAX {
                return error(format!("its reason has {len} bytes"));
            }
            Ok(Err(refusal))
        }
    }
}

impl PassedError {
    fn words_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Invalid(words)
            | Self::NotFound(words)
            | Self::Conflict(words)
            | Self::Overloaded(words)
            | Self::Unavailable { reason: words, .. }
            | Self::Internal(words)
            | Self::NotHome(words) => Some(words),
            Self::NotLeader { .. } => None,
        }
    }
}

impl SentWrite {
    fn request(self, namespace: &Namespace) -> Result<WriteRequest, DecodeError> {
        let request = WriteRequest {
            namespace: namespace.clone(),
            key: self.key,
            policy: self.policy,
            precondition: self.precondition.precondition(),
            operation: self.operation.operation()?,
        };
        if request.precondition != Precondition::None && request.row().is_none() {
            return Err(refused("it has a precondition on several members or fields"));
        }
        Ok(request)
    }
}

impl SentPrecondition {
    fn of(precondition: &Precondition) -> Self {
        match precondition {
            Precondition::None => Self::None,
            Precondition::Exists => Self::Exists,
            Precondition::Matches(tags) => Self::Matches(tags.clone()),
            Precondition::Absent => Self::Absent,
            Precondition::DiffersFrom(tags) => Self::DiffersFrom(tags.clone()),
        }
    }

    fn precondition(self) -> Precondition {
        match self {
            Self::None => Precondition::None,
            Self::Exists => Precondition::Exists,
            Self::Matches(tags) => Precondition::Matches(tags),
            Self::Absent => Precondition::Absent,
            Self::DiffersFrom(tags) => Precondition::DiffersFrom(tags),
        }
    }
}

impl SentOperation {
    fn of(operation: &Operation) -> Self {
        match operation.clone() {
            Operation::PutRegister { content, context } => Self::PutRegister(content, context),
            Operation::DeleteRegister => Self::DeleteRegister,
            Operation::AddCounter { amount } => Self::AddCounter(amount),
            Operation::ResetCounter => Self::ResetCounter,
            Operation::UpdateSet { add, remove } => Self::UpdateSet(add, remove),
            Operation::UpdateMap { set, remove } => Self::UpdateMap(set, remove),
        }
    }

    fn operation(self) -> Result<Operation, DecodeError> {
        Ok(match self {
            Self::PutRegister(content, context) => {
                check_content(&content)?;
                // An empty one overrules everything, as the change of a namespace by force does.
                let dots = context.as_ref().map_or(0, Vec::len);
                if dots > limits::CONTEXT_DOTS_MAX {
                    return Err(refused("its context names more versions than there are"));
                }
                Operation::PutRegister { content, context }
            }
            Self::DeleteRegister => Operation::DeleteRegister,
            Self::AddCounter(amount) => Operation::AddCounter { amount },
            Self::ResetCounter => Operation::ResetCounter,
            Self::UpdateSet(add, remove) => Operation::UpdateSet { add, remove },
            Self::UpdateMap(set, remove) => {
                check_values(set.iter().map(|(_, value)| value))?;
                Operation::UpdateMap { set, remove }
            }
        })
    }
}

fn check_content(content: &Content) -> Result<(), DecodeError> {
    let content_type = &content.content_type;
    let is_header = content_type
        .bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if !is_header || !(1..=limits::CONTENT_TYPE_BYTES_MAX).contains(&content_type.len()) {
        return Err(refused("its content type is none"));
    }
    check_values([&content.payload])
}

fn check_values<'a>(values: impl IntoIterator<Item = &'a Bytes>) -> Result<(), DecodeError> {
    let longest = values.into_iter().map(Bytes::len).max().unwrap_or(0);
    if longest > limits::VALUE_BYTES_MAX {
        return Err(refused(format!("it has a value of {longest} bytes")));
    }
    Ok(())
}

fn idempotency_of((key, fingerprint): (String, [u8; 32])) -> Result<Idempotency, DecodeError> {
    Ok(Idempotency {
        key: IdempotencyKey::new(&key).map_err(|error| refused(error.to_string()))?,
        fingerprint: Fingerprint(fingerprint),
    })
}

fn refused(detail: impl Into<String>) -> DecodeError {
    DecodeError::new(SUBMISSION, detail)
}

fn led_by(leader: Option<&NodeId>) -> String {
    leader.map_or_else(
        || "it knows no leader".to_owned(),
        |leader| format!("{leader} does"),
    )
}

#[cfg(test)]
#[path = "region_calls_test.rs"]
mod tests;
