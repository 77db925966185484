//! Connections that peers have dialled: handshake, heartbeats, lanes of batches, streams of requests.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::actors::context::NodeContext;
use crate::actors::error_chain;
use crate::actors::link::board::LinkBoard;
use crate::actors::link::handshake::{self, HandshakeError};
use crate::actors::link::heartbeats::{Promise, Told};
use crate::actors::link::lane::LaneReceipts;
use crate::actors::link::peer_node::PeerNode;
use crate::actors::link::peer_region::{self, PeerRegion};
use crate::actors::link::serve_fetch::{self, FetchSpan};
use crate::actors::link::shipper::ShipperHandle;
use crate::actors::link::{HANDSHAKE_TIMEOUT, answering, batch};
use crate::actors::partition::{Origin, PartitionHandle, PartitionMessage, Receipts};
use crate::model::change::Commit;
use crate::model::ids::RegionId;
use crate::model::limits;
use crate::ports::link::{CloseCode, Connection, LinkError, Stream};
use crate::wire::codec::DecodeError;
use crate::wire::messages::{Batch, Message, RewindReason};
use crate::wire::values;

/// Why a connection was closed by this side.
#[derive(Debug, thiserror::Error)]
enum InboundError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("broken protocol: {0}")]
    Decode(#[from] DecodeError),
    #[error("broken protocol: {got} where {expected} was due")]
    Unexpected { got: String, expected: &'static str },
    #[error("no hello within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the link is paused by {0}")]
    Paused(RegionId),
}

impl InboundError {
    fn close_code(&self) -> CloseCode {
        match self {
            Self::Handshake(_) => CloseCode::Refused,
            Self::Paused(_) => CloseCode::Paused,
            Self::Decode(_) | Self::Unexpected { .. } | Self::TimedOut => CloseCode::ProtocolViolation,
            Self::Link(LinkError::FrameTooLarge { .. }) => CloseCode::ProtocolViolation,
            Self::Link(_) => CloseCode::Done,
        }
    }
}

/// Who has dialled.
pub(super) struct Peer {
    pub(super) region: Arc<PeerRegion>,
    /// The link to the node that has.
    pub(super) link: Arc<LinkBoard>,
}

/// What the accepting side works with.
#[derive(Clone)]
pub struct Inbound {
    /// The node.
    pub context: Arc<NodeContext>,
    /// Its partitions, in order.
    pub partitions: Arc<[PartitionHandle]>,
    /// Its shippers, which learn watermarks from heartbeats too.
    pub shippers: Arc<[ShipperHandle]>,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbound({})", self.context.identity.node)
    }
}

impl Inbound {
    /// Serves one connection until it is gone.
    pub async fn serve(self, connection: Arc<dyn Connection>) {
        let peer = connection.peer().clone();
        let own = self.context.identity.region;
        if let Err(error) = self.serve_inner(&connection).await {
            let text = error_chain(&error);
            match &error {
                InboundError::Link(LinkError::ClosedByPeer { .. } | LinkError::ClosedLocally { .. }) => {
                    tracing::debug!(%own, peer = %peer.region, error = %text, "link from peer closed");
                }
                InboundError::Paused(_) => {
                    tracing::debug!(%own, peer = %peer.region, "link from peer refused: paused");
                }
                _ => {
                    tracing::warn!(%own, peer = %peer.region, node = %peer.node, error = %text, "link from peer ended");
                    self.note_error(PeerNode::from(&peer), &text);
                }
            }
            connection.close(error.close_code(), &text);
        }
    }

    async fn serve_inner(&self, connection: &Arc<dyn Connection>) -> Result<(), InboundError> {
        let hello = timeout(HANDSHAKE_TIMEOUT, self.receive_hello(connection));
        let mut control = hello.await.map_err(|_| InboundError::TimedOut)??;
        let peer = self
            .peer(PeerNode::from(connection.peer()))
            .expect("the handshake has checked that region and node are known");
        let own = self.context.identity.region;
        let link = &peer.link;
        let session = link
            .add_inbound(Arc::clone(connection))
            .ok_or(InboundError::Paused(own))?;
        // What the peer has said on an earlier connection may be of another life of this node.
        link.set_heard_ping(None);
        let served = self.serve_session(connection, &mut control, &peer).await;
        if link.remove_inbound(session) {
            self.leaders_changed(&peer.region);
        }
        served
    }

    fn peer(&self, node: PeerNode) -> Option<Peer> {
        let region = self.context.peer(&node.region)?;
        Some(Peer {
            region: Arc::clone(region),
            link: Arc::clone(region.link(&node.node)?),
        })
    }

    fn note_error(&self, peer: PeerNode, text: &str) {
        if let Some(link) = self.context.link(&peer) {
            link.note_error(text.to_owned(), false);
        } else if let Some(region) = self.context.peer(&peer.region) {
            region.note_error(text);
        }
    }

    async fn receive_hello(&self, connection: &Arc<dyn Connection>) -> Result<Stream, InboundError> {
        let mut control = connection.accept_stream().await?;
        let theirs = match receive(&mut control, "a hello").await? {
            Message::Hello(introduction) => introduction,
            other => return Err(unexpected(&other, "a hello")),
        };
        let known = peer_region::nodes(&self.context.peers);
        handshake::check(&self.context.identity, &theirs, connection.peer(), known)?;
        let own = self.context.identity.region;
        let region = self.context.peer(&theirs.region);
        if region.is_some_and(|region| region.is_paused()) {
            return Err(InboundError::Paused(own));
        }
        let introduction = handshake::introduction(&self.context.identity);
        let vectors = self.context.partitions.vectors();
        control
            .sender
            .send(
                Message::Welcome {
                    introduction,
                    vectors,
                }
                .encode(),
            )
            .await?;
        Ok(control)
    }

    async fn serve_session(
        &self,
        connection: &Arc<dyn Connection>,
        control: &mut Stream,
        peer: &Peer,
    ) -> Result<(), InboundError> {
        // Streams end with this set: when the session ends, nothing of it goes on.
        let mut streams = tokio::task::JoinSet::new();
        let mut told = Told::default();
        loop {
            tokio::select! {
                // In order, so that a simulated run can be repeated; none of them is ready all the time.
                biased;
                frame = control.receiver.receive() => {
                    let Some(frame) = frame? else { return Ok(()) };
                    match Message::decode(&frame)? {
                        Message::Heartbeat {
                            sent_at,
                            vectors,
                            through,
                            busy,
                            own,
                            heard,
                            leads,
                        } => {
                            peer.link.heard_time(sent_at, self.context.clock.now());
                            let mut promise = Promise {
                                through,
                                // Each once, however often a peer names it.
                                busy: busy.into_iter().collect(),
                                own,
                                heard,
                                leads,
                            };
                            self.heard(peer, vectors, &mut promise, &mut told)?;
                        }
                        other => return Err(unexpected(&other, "a heartbeat")),
                    }
                }
                stream = connection.accept_stream() => {
                    let (serving, stream, link) = (self.clone(), stream?, Arc::clone(&peer.link));
                    streams.spawn(async move { serving.serve_stream(link, stream).await });
                }
                Some(ended) = streams.join_next() => match ended {
                    Ok(result) => result?,
                    Err(error) => tracing::error!(%error, "serving a stream failed"),
                },
            }
        }
    }

    async fn serve_stream(&self, link: Arc<LinkBoard>, mut stream: Stream) -> Result<(), InboundError> {
        let peer = link.peer().region;
        match receive(&mut stream, "a lane or a request").await? {
            Message::OpenLane { .. } => self.serve_lane(link, stream).await,
            Message::Fetch {
                partition,
                replica,
                first_seq,
                last_seq,
            } => {
                let span = FetchSpan {
                    partition,
                    replica,
                    first_seq,
                    last_seq,
                };
                // A request that fails ends its own stream; the lanes of the connection go on.
                if let Err(error) = serve_fetch::serve(&self.context, &mut stream, &span).await {
                    let error = error_chain(&error);
                    tracing::warn!(own = %self.context.identity.region, %peer, %error, "a request for missing commits was not answered");
                }
                Ok(())
            }
            Message::AskVectors { partitions } => {
                let answer = answering::vectors(&self.context, &partitions);
                // Whoever asked may be gone: that ends the stream and nothing else.
                let _ = stream.sender.send(answer.encode()).await;
                Ok(())
            }
            Message::Forward(request) => {
                let _ = answering::answer(&self.context, peer, request, &mut stream).await;
                Ok(())
            }
            other => Err(unexpected(&other, "a lane or a request")),
        }
    }

    async fn serve_lane(&self, link: Arc<LinkBoard>, stream: Stream) -> Result<(), InboundError> {
        let peer = link.peer().region;
        let receipts = Arc::new(LaneReceipts::new(Arc::clone(&self.context), link));
        let Stream {
            mut sender,
            mut receiver,
        } = stream;
        let queue = Arc::new(Semaphore::new(limits::REMOTE_COMMITS_QUEUED_MAX));
        let receive = async {
            while let Some(frame) = receiver.receive().await? {
                match Message::decode(&frame)? {
                    Message::Batch(packed) => self.take_batch(peer, packed, &receipts, &queue).await?,
                    other => return Err(unexpected(&other, "a batch")),
                }
            }
            Ok(())
        };
        tokio::select! {
            biased;
            received = receive => received,
            sent = receipts.run(sender.as_mut()) => sent.map_err(InboundError::from),
        }
    }

    async fn take_batch(
        &self,
        peer: RegionId,
        packed: Batch,
        receipts: &Arc<LaneReceipts>,
        queue: &Arc<Semaphore>,
    ) -> Result<(), InboundError> {
        for (partition, encoded) in batch::unpack(packed)?.parts {
            let Some(handle) = self.partitions.get(usize::from(partition.0)) else {
                return Err(DecodeError::new("a batch", "it names a partition that does not exist").into());
            };
            // Whoever leads it takes them in, and all others get them from there. This node would keep them waiting for ever.
            if !self.context.groups.leads(partition) {
                let vector = self.context.partitions.view(partition).vector;
                let detail = match self.context.groups.leader(partition) {
                    Some(leader) => format!("{leader} leads it"),
                    None => "nobody is known to lead it".to_owned(),
                };
                receipts.rewind(partition, vector, RewindReason::NotLeader, detail);
                continue;
            }
            let (commits, failure) = decode_commits(encoded);
            let places = commits.len().clamp(1, limits::REMOTE_COMMITS_QUEUED_MAX);
            let places = u32::try_from(places).expect("clamped to a small limit");
            let permit = Arc::clone(queue).acquire_many_owned(places).await.ok();
            let lane: Arc<dyn Receipts> = Arc::<LaneReceipts>::clone(receipts);
            let origin = Origin {
                region: peer,
                receipts: Some(lane),
            };
            if !handle.send(PartitionMessage::Offer {
                origin,
                commits,
                permit,
            }) {
                let view = self.context.partitions.view(partition);
                let (reason, detail) = match view.stopped {
                    Some(why) => (RewindReason::Poison, why),
                    None => (
                        RewindReason::Storage,
                        "this partition has failed here and is started again".to_owned(),
                    ),
                };
                receipts.rewind(partition, view.vector, reason, detail);
            }
            if let Some(error) = failure {
                let vector = self.context.partitions.view(partition).vector;
                receipts.rewind(partition, vector, RewindReason::Poison, error.to_string());
            }
        }
        Ok(())
    }
}

/// The commits before the first one that cannot be read, and why that one cannot: it stops its partition only.
fn decode_commits(encoded: Vec<Bytes>) -> (Vec<Commit>, Option<DecodeError>) {
    let mut commits = Vec::with_capacity(encoded.len());
    for bytes in encoded {
        match values::decode_commit(&bytes) {
            Ok(commit) => commits.push(commit),
            Err(error) => return (commits, Some(error)),
        }
    }
    (commits, None)
}

async fn receive(stream: &mut Stream, expected: &'static str) -> Result<Message, InboundError> {
    match stream.receiver.receive().await? {
        Some(frame) => Ok(Message::decode(&frame)?),
        None => Err(InboundError::Unexpected {
            got: "the end of the stream".to_owned(),
            expected,
        }),
    }
}

fn unexpected(got: &Message, expected: &'static str) -> InboundError {
    InboundError::Unexpected {
        got: got.name().to_owned(),
        expected,
    }
}

#[cfg(test)]
#[path = "inbound_test.rs"]
mod tests;
