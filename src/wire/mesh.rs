//! What the nodes of one region send each other: one message is one frame. The table in docs/architecture.md says for each
//! its source, target, meaning and what must be durable before it is sent. The order of the variants is on the wire: append
//! only.
//!
//! The format numbers are not those of [`messages`](crate::wire::messages), so that a frame that went astray between the two
//! is refused by its first byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::agreement::{FoundingAnswer, MemberId};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{NodeId, PartitionId};
use crate::model::raft::Term;
use crate::wire::codec::{self, DecodeError};
use crate::wire::messages::Introduction;

/// Those of links count from 1; these from 129.
const MESH_FRAME_FORMAT: u8 = 129;

/// What one request or answer takes in a frame beside its bytes, at most: three numbers of up to 9 bytes, a partition and
/// the tag of a result.
pub const ENVELOPE_BYTES_MAX: usize = 32;

/// Names a sign of life among those of its connection; counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SignNumber(pub u64);

impl SignNumber {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Names a request among those of the node that asks, as long as its process lives; counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct CallId(pub u64);

impl CallId {
    /// The id after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Who a node says it is, when a connection begins. The certificate must say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshIntroduction {
    /// As between regions, but that the incarnation is that of its data folder: name and incarnation are the member that its
    /// groups know. The incarnation of the region is not known before it is founded.
    pub introduction: Introduction,
    /// Drawn when its process started: connections to another life of it lead nowhere.
    pub life: u64,
}

impl MeshIntroduction {
    /// Who it is.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId {
            node: self.introduction.node,
            incarnation: self.introduction.incarnation,
        }
    }
}

/// That a node lives, and what it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOfLife {
    /// Acknowledged by it.
    pub number: SignNumber,
    /// The sender's physical time.
    pub clock: WallTime,
    /// The stamp that the sender would like to promise to other regions, in the partitions that it leads.
    pub through: Hlc,
    /// The partitions that the sender leads, each with the term.
    pub leads: BTreeMap<PartitionId, Term>,
    /// The nodes of the region that the sender does not hear.
    pub suspects: BTreeSet<NodeId>,
}

/// The answer to a sign of life. It counts from the moment at which the sign was sent, since that is the only one that its
/// sender knows for sure to lie before the promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Of this sign.
    pub number: SignNumber,
    /// In the partitions that the sign names, but for `except`, its sender has what it asked for: the acknowledger votes
    /// for nobody else for a while, and gives no stamp up to this one, which is on its disk.
    pub through: Hlc,
    /// Partitions of which nothing is promised: somebody else has the acknowledger's vote.
    pub except: BTreeSet<PartitionId>,
}

/// A request of one member of a partition's group to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshRequest {
    /// Answered by it.
    pub id: CallId,
    /// Whose group.
    pub partition: PartitionId,
    /// How long the sender waits, in milliseconds.
    pub patience_ms: u32,
    /// What is asked; opaque here.
    pub body: Bytes,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshAnswer {
    /// To this request.
    pub id: CallId,
    /// What is answered, opaque here; or why there is no answer, for people.
    pub result: Result<Bytes, String>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeshMessage {
    /// First on the control stream, from the dialler.
    Hello(MeshIntroduction),
    /// The answer.
    Welcome(MeshIntroduction),
    /// On the control stream, at intervals.
    SignOfLife(Arc<SignOfLife>),
    /// On the control stream, back.
    Acknowledge(Acknowledgement),
    /// On the request stream: whatever waited.
    Requests(Vec<MeshRequest>),
    /// On the request stream, back: whatever was ready, in any order.
    Answers(Vec<MeshAnswer>),
    /// On a stream of its own, its only message: do you have a founding record? To the first node of the region by name "no" is
    /// a promise.
    AskFounding,
    /// On the same stream, back.
    Founding(FoundingAnswer),
    /// On a stream of its own, its only message: a question for clients or operators
    /// ([`questions`](crate::wire::questions)); opaque here.
    Question(Bytes),
    /// On the same stream, back: how many of the bytes that follow are the answer, what is behind them being what it is about;
    /// or why there is none, for people.
    Answer(Result<u64, String>),
    /// Behind it: some of the bytes, opaque here.
    AnswerBody(Bytes),
    /// At last: that was all.
    AnswerEnd,
}

impl MeshMessage {
    /// The frame of this message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_versioned(MESH_FRAME_FORMAT, self).into()
    }

    /// The message of a frame.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "a frame of the mesh";
        let message = codec::decode_versioned(WHAT, MESH_FRAME_FORMAT, frame)?;
        match &message {
            Self::Founding(answer) if !answer.state.is_valid() => {
                Err(DecodeError::new(WHAT, "its founding record is none"))
            }
            _ => Ok(message),
        }
    }

    /// What it is, for logs and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "mesh hello",
            Self::Welcome(_) => "mesh welcome",
            Self::SignOfLife(_) => "sign of life",
            Self::Acknowledge(_) => "acknowledgement",
            Self::Requests(_) => "requests",
            Self::Answers(_) => "answers",
            Self::AskFounding => "ask-founding",
            Self::Founding(_) => "founding",
            Self::Question(_) => "question",
            Self::Answer(_) => "answer",
            Self::AnswerBody(_) => "answer-body",
            Self::AnswerEnd => "answer-end",
        }
    }
}

#[cfg(test)]
#[path = "mesh_test.rs"]
mod tests;
