//! What regions send each other: one message is one frame. The table in docs/architecture.md says for each its source,
//! target, meaning and what must be durable before it is sent. The order of the variants is on the wire: append only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{
    ClusterName, Incarnation, NodeId, PartitionCount, PartitionId, RegionId, ReplicaId, Seq,
};
use crate::model::replication::leadership::Leads;
use crate::model::vector::VersionVector;
use crate::wire::codec::{self, DecodeError};

/// The protocol that this version speaks.
pub const PROTOCOL_VERSION: u16 = 4;

const FRAME_FORMAT: u8 = 1;

/// Who a node says it is, when a connection begins. The certificate must say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The oldest protocol it speaks.
    pub protocol_min: u16,
    /// The newest protocol it speaks.
    pub protocol_max: u16,
    /// Its software version, for people.
    pub software: String,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its region.
    pub region: RegionId,
    /// Its node.
    pub node: NodeId,
    /// The partitions of its cluster.
    pub partitions: PartitionCount,
    /// The region's incarnation.
    pub incarnation: Incarnation,
}

/// A partition's vector.
pub type PartitionVector = (PartitionId, VersionVector);

/// A moment in the life of a process, which only that process understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Drawn at its start: ticks of another life mean nothing.
    pub life: u64,
    /// Microseconds since its start.
    pub tick: u64,
}

/// Why a receiver wants a partition again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RewindReason {
    /// Its queue of commits that wait for others is full.
    Full,
    /// A stamp is too far in the future: the link is quarantined until that is no longer so.
    Clock,
    /// Its disk is full or its store failed.
    Storage,
    /// An entry cannot be applied: this partition's lane stops.
    Poison,
    /// Another node of its region leads the partition, or none: it is sent there once that node has told so.
    NotLeader,
}

/// Commits of some partitions, encoded as in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Commits {
    /// In log order inside each partition.
    pub parts: Vec<(PartitionId, Vec<Bytes>)>,
}

/// [`Commits`], compressed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Batch {
    /// As they are.
    Plain(Commits),
    /// Encoded, then compressed by Zstandard.
    Zstd {
        /// Length before compression; bounded by the frame limit.
        plain_bytes: u32,
        /// The compressed bytes.
        bytes: Bytes,
    },
}

/// A client's request, passed on to the region that can answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedRequest {
    /// The HTTP method.
    pub method: String,
    /// Path and query, as the client sent them.
    pub target: String,
    /// The headers that matter, by name.
    pub headers: Vec<(String, Bytes)>,
    /// The body.
    pub body: Bytes,
    /// How long the client still waits, in milliseconds.
    pub patience_ms: u64,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// First on the control stream, from the dialler.
    Hello(Introduction),
    /// The answer: the acceptor's introduction and all that it has durably applied.
    Welcome {
        /// Who answers.
        introduction: Introduction,
        /// Its vectors, of every partition that has applied something.
        vectors: Vec<PartitionVector>,
    },
    /// On the control stream, at intervals: what the sender has durably applied.
    Heartbeat {
        /// The sender's physical time.
        sent_at: WallTime,
        /// Vectors that changed since the last heartbeat on this connection.
        vectors: Vec<PartitionVector>,
        /// The clock promise: in what the sender leads, later commits of its region have greater stamps, but for `busy`.
        through: Hlc,
        /// Partitions of which nothing is promised: commits of the sender are on their way to its disk, or a later leader
        /// could still give lower stamps.
        busy: Vec<PartitionId>,
        /// The sender's own time, to be sent back.
        own: Ping,
        /// The last that the sender has heard from the receiver; none yet.
        heard: Option<Ping>,
        /// What the sender leads in its region, for which alone it can promise; none when it is what it has told last on this
        /// connection. Always told first.
        leads: Option<Leads>,
    },
    /// First on a lane.
    OpenLane {
        /// Which of them.
        lane: u8,
    },
    /// On a lane: commits of the sender's region.
    Batch(Batch),
    /// On a lane, back: durably applied up to these vectors.
    Acknowledge {
        /// By partition.
        vectors: Vec<PartitionVector>,
    },
    /// On a lane, back: send this partition again from its vector on.
    Rewind {
        /// Which.
        partition: PartitionId,
        /// What is durably applied.
        vector: VersionVector,
        /// Why.
        reason: RewindReason,
        /// For people.
        detail: String,
    },
    /// First and only on a request stream: commits that the asker misses.
    Fetch {
        /// Of this partition.
        partition: PartitionId,
        /// Of this replica, which may be any.
        replica: ReplicaId,
        /// From here.
        first_seq: Seq,
        /// To here.
        last_seq: Seq,
    },
    /// The answer, before the stream ends: as far as the log has them, then [`Message::FetchEnd`].
    Fetched(Batch),
    /// No more commits follow.
    FetchEnd {
        /// Whether the log had everything that was asked for.
        complete: bool,
    },
    /// First and only on a request stream: what have you durably applied?
    AskVectors {
        /// Of these partitions; of all, if none is named.
        partitions: Vec<PartitionId>,
    },
    /// The answer: what was durably applied when it was sent, in what the sender leads. Partitions without changes are left
    /// out.
    Vectors {
        /// By partition.
        vectors: Vec<PartitionVector>,
        /// What the sender leads of what was asked for: it answers for nothing else.
        leads: Leads,
    },
    /// First and only on a request stream: a client's request that the receiver shall answer.
    Forward(ForwardedRequest),
    /// The answer's head. Its body follows in [`Message::AnswerBody`], until the stream ends.
    AnswerHead {
        /// The HTTP status.
        status: u16,
        /// Headers, by name.
        headers: Vec<(String, Bytes)>,
    },
    /// A part of the answer's body.
    AnswerBody(Bytes),
    /// The whole body was sent.
    AnswerEnd,
}

impl Message {
    /// The frame of this message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_versioned(FRAME_FORMAT, self).into()
    }

    /// The message of a frame.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_versioned("a frame", FRAME_FORMAT, frame)
    }

    /// What it is, for logs and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Welcome { .. } => "welcome",
            Self::Heartbeat { .. } => "heartbeat",
            Self::OpenLane { .. } => "open-lane",
            Self::Batch(_) => "batch",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Rewind { .. } => "rewind",
            Self::Fetch { .. } => "fetch",
            Self::Fetched(_) => "fetched",
            Self::FetchEnd { .. } => "fetch-end",
            Self::AskVectors { .. } => "ask-vectors",
            Self::Vectors { .. } => "vectors",
            Self::Forward(_) => "forward",
            Self::AnswerHead { .. } => "answer-head",
            Self::AnswerBody(_) => "answer-body",
            Self::AnswerEnd => "answer-end",
        }
    }
}

#[cfg(test)]
#[path = "messages_test.rs"]
mod tests;
