//! The link port: authenticated connections between nodes that carry ordered streams of frames.
//!
//! A frame is an opaque byte string of at most [`crate::model::limits::FRAME_BYTES_MAX`]; what it means is `wire`'s
//! business. Implemented over QUIC by `transport`, and over a simulated network in simulation.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::ids::{ClusterName, NodeId, RegionId};

/// Who a peer's certificate says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its region.
    pub region: RegionId,
    /// Its node.
    pub node: NodeId,
    /// When its certificate expires.
    pub certificate_expires: SystemTime,
}

/// Whom to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialTarget {
    /// Its region; the certificate it shows must say the same.
    pub region: RegionId,
    /// Its node; the certificate it shows must say the same.
    pub node: NodeId,
    /// `host:port` of its QUIC endpoint.
    pub address: String,
}

/// Why a side closed a connection, as a number on the wire. Never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The node shuts down, or the connection is no longer needed.
    Done,
    /// The peer is not acceptable as it is: other cluster, partition count, unknown region, protocol version.
    Refused,
    /// The link was paused by an operator.
    Paused,
    /// The peer broke the protocol: garbage, an oversized frame.
    ProtocolViolation,
    /// This side failed.
    InternalError,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Paused => 2,
            Self::ProtocolViolation => 3,
            Self::InternalError => 4,
        }
    }

    /// The code of a number; unknown ones (of newer peers) count as [`CloseCode::InternalError`].
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Done,
            1 => Self::Refused,
            2 => Self::Paused,
            3 => Self::ProtocolViolation,
            _ => Self::InternalError,
        }
    }
}

/// Why a connection or stream is not, or no longer, usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The address does not resolve or nothing answers there.
    #[error("cannot reach {address}: {detail}")]
    Unreachable {
        /// The address dialled.
        address: String,
        /// What the network said.
        detail: String,
    },
    /// The handshake failed: certificate of another authority, expired, of another name.
    #[error("handshake failed: {0}")]
    Handshake(String),
    /// The peer closed the connection and said why.
    #[error("closed by peer: {reason}")]
    ClosedByPeer {
        /// Its code.
        code: CloseCode,
        /// Its words.
        reason: String,
    },
    /// This side closed the connection.
    #[error("closed by this side: {reason}")]
    ClosedLocally {
        /// Why.
        reason: String,
    },
    /// Nothing was heard for the idle timeout.
    #[error("timed out: nothing was heard from the peer")]
    TimedOut,
    /// A frame's length is over the limit.
    #[error("a frame of {len} bytes is over the limit of {max}")]
    FrameTooLarge {
        /// The length announced.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// The stream ended inside a frame, or any other failure of the transport.
    #[error("link failed: {0}")]
    Failed(String),
}

/// Sends frames, in order, on one stream.
#[async_trait]
pub trait FrameSender: Send {
    /// Queues one frame; waits while the peer's flow-control window is full.
    ///
    /// # Errors
    /// When the stream or connection is gone.
    async fn send(&mut self, frame: Bytes) -> Result<(), LinkError>;
}

/// Receives frames, in order, from one stream.
#[async_trait]
pub trait FrameReceiver: Send {
    /// The next frame, or `None` when the peer finished the stream.
    ///
    /// # Errors
    /// [`LinkError::FrameTooLarge`], or when the stream or connection is gone.
    async fn receive(&mut self) -> Result<Option<Bytes>, LinkError>;
}

/// Both directions of one stream.
pub struct Stream {
    /// To the peer.
    pub sender: Box<dyn FrameSender>,
    /// From the peer.
    pub receiver: Box<dyn FrameReceiver>,
}

/// An authenticated connection to one node.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Who is at the other end, by its certificate.
    fn peer(&self) -> &PeerIdentity;

    /// Opens a stream to the peer. The peer sees it once the first frame was sent.
    ///
    /// # Errors
    /// When the connection is gone.
    async fn open_stream(&self) -> Result<Stream, LinkError>;

    /// The next stream that the peer opens.
    ///
    /// # Errors
    /// When the connection is gone.
    async fn accept_stream(&self) -> Result<Stream, LinkError>;

    /// The transport's current estimate of the round-trip time.
    fn round_trip(&self) -> Duration;

    /// Closes at once; the peer is told `code` and `reason` (cut at 200 bytes).
    fn close(&self, code: CloseCode, reason: &str);

    /// Waits until the connection is gone and says why.
    async fn closed(&self) -> LinkError;
}

/// Dials and accepts connections.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Connects to a node.
    ///
    /// # Errors
    /// [`LinkError::Unreachable`], [`LinkError::Handshake`], [`LinkError::TimedOut`].
    async fn dial(&self, target: &DialTarget) -> Result<Arc<dyn Connection>, LinkError>;

    /// The next incoming connection whose handshake succeeded; failed ones are logged by the transport with the
    /// reason and the peer's address. `None` once closed.
    async fn accept(&self) -> Option<Arc<dyn Connection>>;

    /// Stops accepting and closes all connections.
    async fn shutdown(&self);
}
