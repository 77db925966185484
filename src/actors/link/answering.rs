//! Answering what other regions ask on streams of their own: vectors, and requests of their clients.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::timeout;

use crate::actors::context::NodeContext;
use crate::actors::link::leading;
use crate::actors::link::requests::ForwardedAnswer;
use crate::model::ids::{NodeId, PartitionId, RegionId};
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::ports::link::{LinkError, Stream};
use crate::wire::messages::{ForwardedRequest, Message, PartitionVector};

/// Where a request that was passed on comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The region that has passed it on to this one: it goes to no other region.
    pub region: Option<RegionId>,
    /// The node of this region that has passed it on to this one: it goes to no other node.
    pub node: Option<NodeId>,
    /// Of a listing: only what is in these partitions.
    pub part: Option<PartitionSet>,
}

/// Answers the requests of clients that other regions, and other nodes of this one, pass on: the node's HTTP surface.
#[async_trait]
pub trait AnswerForwarded: Send + Sync + 'static {
    /// Answers as to a client of its own, but that it goes no further the same way.
    ///
    /// # Errors
    /// To another node of this region: the partitions that this node does not hold. Nothing was done.
    async fn answer(
        &self,
        origin: Origin,
        request: ForwardedRequest,
    ) -> Result<ForwardedAnswer, PartitionSet>;
}

/// What this node's region has durably applied, in what this node leads.
pub(super) fn vectors(context: &NodeContext, partitions: &[PartitionId]) -> Message {
    // Each once: a peer may name what it likes, as often as a frame has room.
    let mut asked: BTreeSet<PartitionId> = partitions.iter().copied().collect();
    asked.retain(|partition| partition.0 < context.identity.partitions.get());
    if partitions.is_empty() {
        asked.extend(context.partitions.ids());
    }
    // Before the vectors are read: what was acknowledged until then is in them.
    let leads = leading::confirmed(&context.groups, asked.iter().copied());
    let led = asked.into_iter().filter(|partition| leads.contains(*partition));
    let vectors: Vec<PartitionVector> = led
        .map(|partition| {
            let vector = context.partitions.read(partition, |view| view.vector.clone());
            (partition, vector)
        })
        .filter(|(_, vector)| !vector.is_empty())
        .collect();
    Message::Vectors { vectors, leads }
}

/// Answers a client's request, as long as the client waits.
pub(super) async fn answer(
    context: &NodeContext,
    from: RegionId,
    request: ForwardedRequest,
    stream: &mut Stream,
) -> Result<(), LinkError> {
    let patience = Duration::from_millis(request.patience_ms.min(limits::REQUEST_TIMEOUT_MS_MAX));
    let Some(service) = context.answering.get().and_then(Weak::upgrade) else {
        return Ok(()); // Starting or ending: the stream ends, and the other side says that it did not work.
    };
    let origin = Origin {
        region: Some(from),
        ..Origin::default()
    };
    let Ok(Ok(answer)) = timeout(patience, service.answer(origin, request)).await else {
        return Ok(());
    };
    let head = Message::AnswerHead {
        status: answer.status,
        headers: answer.headers,
    };
    stream.sender.send(head.encode()).await?;
    let mut body: Bytes = answer.body;
    while !body.is_empty() {
        let part = body.split_to(body.len().min(limits::ANSWER_PART_BYTES));
        stream.sender.send(Message::AnswerBody(part).encode()).await?;
    }
    stream.sender.send(Message::AnswerEnd.encode()).await
}
