//! Making the connection that this region dials: handshake on the control stream, then the lanes.

use std::sync::Arc;

use tokio::time::timeout;

use crate::actors::context::NodeContext;
use crate::actors::link::HANDSHAKE_TIMEOUT;
use crate::actors::link::handshake::{self, HandshakeError};
use crate::actors::link::peer_region;
use crate::ports::link::{CloseCode, Connection, DialTarget, LinkError, Network, Stream};
use crate::wire::codec::DecodeError;
use crate::wire::messages::{Message, PartitionVector};

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The transport failed, or the peer refused.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The peer is not acceptable.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The peer answered with something else than a welcome.
    #[error("the peer answered the hello with {0}")]
    Unexpected(String),
    /// The peer's answer is damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The peer took too long.
    #[error("the peer did not answer the hello within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
}

impl DialError {
    /// Whether the peer has paused the link.
    #[must_use]
    pub fn is_paused_by_peer(&self) -> bool {
        matches!(
            self,
            Self::Link(LinkError::ClosedByPeer {
                code: CloseCode::Paused,
                ..
            })
        )
    }
}

/// A connection that is ready for use.
pub struct Dialled {
    /// It.
    pub connection: Arc<dyn Connection>,
    /// For heartbeats.
    pub control: Stream,
    /// For batches, in order of their numbers.
    pub lanes: Vec<Stream>,
    /// What the peer has durably applied.
    pub vectors: Vec<PartitionVector>,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialled({})", self.connection.peer().node)
    }
}

/// Dials a node and shakes hands.
///
/// # Errors
/// [`DialError`]; the peer was told why where it has a part in it.
pub async fn dial(
    context: &NodeContext,
    network: &dyn Network,
    target: &DialTarget,
) -> Result<Dialled, DialError> {
    let connection = network.dial(target).await?;
    match shake_hands(context, &connection).await {
        Ok((control, vectors)) => {
            let lanes = open_lanes(&connection, context.replication.lanes).await?;
            Ok(Dialled {
                connection,
                control,
                lanes,
                vectors,
            })
        }
        Err(error) => {
            // A peer that has closed the connection has told why: that is the reason, not the broken stream.
            if let DialError::Link(_) | DialError::TimedOut = error {
                let closed = timeout(std::time::Duration::from_millis(100), connection.closed()).await;
                connection.close(CloseCode::Done, "the handshake failed");
                return Err(closed.map_or(error, DialError::Link));
            }
            connection.close(CloseCode::Refused, &error.to_string());
            Err(error)
        }
    }
}

async fn shake_hands(
    context: &NodeContext,
    connection: &Arc<dyn Connection>,
) -> Result<(Stream, Vec<PartitionVector>), DialError> {
    let mut control = connection.open_stream().await?;
    let hello = Message::Hello(handshake::introduction(&context.identity));
    control.sender.send(hello.encode()).await?;
    let answer = timeout(HANDSHAKE_TIMEOUT, control.receiver.receive())
        .await
        .map_err(|_| DialError::TimedOut)??;
    let Some(frame) = answer else {
        return Err(DialError::Unexpected("the end of the stream".to_owned()));
    };
    match Message::decode(&frame)? {
        Message::Welcome {
            introduction,
            vectors,
        } => {
            let known = peer_region::nodes(&context.peers);
            handshake::check(&context.identity, &introduction, connection.peer(), known)?;
            Ok((control, vectors))
        }
        other => Err(DialError::Unexpected(other.name().to_owned())),
    }
}

async fn open_lanes(connection: &Arc<dyn Connection>, count: u8) -> Result<Vec<Stream>, LinkError> {
    let mut lanes = Vec::with_capacity(usize::from(count));
    for lane in 0..count {
        let mut stream = connection.open_stream().await?;
        stream.sender.send(Message::OpenLane { lane }.encode()).await?;
        lanes.push(stream);
    }
    Ok(lanes)
}
