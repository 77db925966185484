//! Who may be in the mesh, and how two nodes introduce themselves. Each refusal names its reason; both sides log it.

use tokio::time::timeout;

use crate::actors::link::handshake::{self, HandshakeError};
use crate::actors::link::peer_node::PeerNode;
use crate::actors::mesh::error::ConnectionError;
use crate::actors::mesh::{HANDSHAKE_TIMEOUT, MeshParts};
use crate::model::ids::{PartitionCount, PartitionId};
use crate::ports::link::{Connection, FrameReceiver, PeerIdentity, Stream};
use crate::wire::codec::DecodeError;
use crate::wire::mesh::{MeshIntroduction, MeshMessage};

/// Why a node may not be in the mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RefusalError {
    /// As between regions: cluster, protocol, partitions, certificate, or a node that the configuration does not have.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It shows the certificate of the node that it has reached.
    #[error(
        "{0} has reached {0}: two processes use the certificate of one node, or its address is given to another one"
    )]
    Itself(String),
}

/// How this node introduces itself.
fn introduction(parts: &MeshParts) -> MeshIntroduction {
    MeshIntroduction {
        introduction: parts.identity.introduction(),
        life: parts.life,
    }
}

/// Whether a node that introduces itself so is another one of this node's region.
fn check(
    parts: &MeshParts,
    theirs: &MeshIntroduction,
    certificate: &PeerIdentity,
) -> Result<(), RefusalError> {
    let own = &parts.identity;
    // This node is known, too: so a region whose configuration has no other node is not said to be unknown.
    let nodes: Vec<_> = parts.known().chain([own.node]).collect();
    let region = own.region;
    let known = nodes.iter().map(|node| PeerNode { region, node: *node });
    handshake::check_introduced(&own.introduction(), &theirs.introduction, certificate, known)?;
    if theirs.introduction.node == own.node {
        return Err(RefusalError::Itself(own.node.to_string()));
    }
    Ok(())
}

/// Introduces this node on a connection that it has dialled: the control stream, and who answered.
pub(super) async fn introduce(
    parts: &MeshParts,
    connection: &dyn Connection,
) -> Result<(Stream, MeshIntroduction), ConnectionError> {
    let mut control = connection.open_stream().await?;
    let hello = MeshMessage::Hello(introduction(parts));
    control.sender.send(hello.encode()).await?;
    let answer = timeout(HANDSHAKE_TIMEOUT, next(control.receiver.as_mut(), "a welcome"));
    let theirs = match answer.await.map_err(|_| ConnectionError::TimedOut)?? {
        MeshMessage::Welcome(theirs) => theirs,
        other => return Err(unexpected(&other, "a welcome")),
    };
    check(parts, &theirs, connection.peer())?;
    Ok((control, theirs))
}

/// Takes the introduction of a node that has dialled this one: the control stream, and who it is.
pub(super) async fn welcome(
    parts: &MeshParts,
    connection: &dyn Connection,
) -> Result<(Stream, MeshIntroduction), ConnectionError> {
    let hello = async {
        let mut control = connection.accept_stream().await?;
        let message = next(control.receiver.as_mut(), "a hello").await?;
        Ok::<_, ConnectionError>((control, message))
    };
    let (mut control, message) = timeout(HANDSHAKE_TIMEOUT, hello)
        .await
        .map_err(|_| ConnectionError::TimedOut)??;
    let theirs = match message {
        MeshMessage::Hello(theirs) => theirs,
        other => return Err(unexpected(&other, "a hello")),
    };
    check(parts, &theirs, connection.peer())?;
    let welcome = MeshMessage::Welcome(introduction(parts));
    control.sender.send(welcome.encode()).await?;
    Ok((control, theirs))
}

/// The next message of a stream that must not end.
pub(super) async fn next(
    receiver: &mut dyn FrameReceiver,
    expected: &'static str,
) -> Result<MeshMessage, ConnectionError> {
    match receiver.receive().await? {
        Some(frame) => Ok(MeshMessage::decode(&frame)?),
        None => Err(ConnectionError::Ended(expected)),
    }
}

/// Another message than the one that was due.
pub(super) fn unexpected(got: &MeshMessage, expected: &'static str) -> ConnectionError {
    ConnectionError::Unexpected {
        got: got.name(),
        expected,
    }
}

/// Refuses partitions that do not exist.
pub(super) fn exist<'a>(
    what: &'static str,
    mut partitions: impl Iterator<Item = &'a PartitionId>,
    count: PartitionCount,
) -> Result<(), DecodeError> {
    // `>=`: partitions count from 0.
    if partitions.any(|partition| partition.0 >= count.get()) {
        return Err(DecodeError::new(what, "it names a partition that does not exist"));
    }
    Ok(())
}
