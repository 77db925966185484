//! Why a connection of the mesh was not made, or has ended.

use std::time::Duration;

use tokio::time::timeout;

use crate::actors::mesh::HANDSHAKE_TIMEOUT;
use crate::actors::mesh::handshake::RefusalError;
use crate::ports::link::{CloseCode, Connection, LinkError};
use crate::wire::codec::DecodeError;

/// How long is waited for the words of a node that closes a connection, once a stream of it has failed.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(100);

/// Why a connection was not made, or has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The transport failed, or the other side has closed the connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The other node is not acceptable.
    #[error(transparent)]
    Refusal(#[from] RefusalError),
    /// What came is damaged.
    #[error("broken protocol: {0}")]
    Decode(#[from] DecodeError),
    /// What came is not what was due.
    #[error("broken protocol: {got} where {expected} was due")]
    Unexpected {
        /// What came.
        got: &'static str,
        /// What was due.
        expected: &'static str,
    },
    /// The other node has ended a stream that lasts as long as the connection.
    #[error("the stream has ended where {0} was due")]
    Ended(&'static str),
    /// The other node took too long to introduce itself.
    #[error("the other node did not introduce itself within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
}

impl ConnectionError {
    /// What the other side is told.
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::Refusal(_) => CloseCode::Refused,
            Self::Decode(_)
            | Self::Unexpected { .. }
            | Self::Ended(_)
            | Self::TimedOut
            | Self::Link(LinkError::FrameTooLarge { .. }) => CloseCode::ProtocolViolation,
            Self::Link(_) => CloseCode::Done,
        }
    }

    /// Whether the connection was given up in order: nobody need know.
    pub(super) fn is_in_order(&self) -> bool {
        let Self::Link(error) = self else {
            return false;
        };
        let done = CloseCode::Done;
        matches!(error, LinkError::ClosedLocally { .. })
            || matches!(error, LinkError::ClosedByPeer { code, .. } if *code == done)
    }

    /// The reason behind this one: a node that has closed the connection has told why, and that says more than a stream
    /// that has failed with it.
    pub(super) async fn with_last_words(self, connection: &dyn Connection) -> Self {
        let is_symptom = match &self {
            Self::Link(error) => !matches!(error, LinkError::FrameTooLarge { .. }),
            Self::Ended(_) | Self::TimedOut => true,
            Self::Refusal(_) | Self::Decode(_) | Self::Unexpected { .. } => false,
        };
        if !is_symptom {
            return self;
        }
        let closed = timeout(LAST_WORDS_TIMEOUT, connection.closed()).await;
        closed.map_or(self, Self::Link)
    }
}
