//! Asking other regions for commits that are missing here (DESIGN rule 5): first their origin, then whoever is known to
//! have them, then everybody else.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::actors::context::NodeContext;
use crate::actors::error_chain;
use crate::actors::link::batch;
use crate::actors::partition::{Origin, PartitionHandle, PartitionMessage};
use crate::model::ids::{PartitionId, RegionId};
use crate::model::limits;
use crate::model::replication::inbox::Missing;
use crate::model::vector::Dot;
use crate::ports::link::{Connection, LinkError};
use crate::wire::codec::DecodeError;
use crate::wire::messages::Message;
use crate::wire::values;

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the peer answered with {0}")]
    Unexpected(&'static str),
    #[error("the peer does not have all of it")]
    Incomplete,
    #[error("it took longer than {} ms", limits::FETCH_TIMEOUT_MS)]
    TimedOut,
}

/// Fetches what is missing from the first node of another region that has it, and offers it to the partition; false when
/// nobody had it. Any node may have it, whoever leads there. Nothing is asked for that this node does not lead: it comes from
/// the leader.
pub async fn fetch(context: &NodeContext, partition: &PartitionHandle, missing: &Missing) -> bool {
    for (region, connection) in candidates(context, partition.partition(), missing) {
        if !context.groups.leads(partition.partition()) {
            return true;
        }
        let limit = Duration::from_millis(limits::FETCH_TIMEOUT_MS);
        let attempt = timeout(
            limit,
            fetch_from(context, &connection, region, partition, missing),
        );
        match attempt.await.unwrap_or(Err(FetchError::TimedOut)) {
            Ok(commits) => {
                tracing::debug!(
                    own = %context.identity.region, partition = %partition.partition(), replica = %missing.replica,
                    from = missing.first_seq, commits, relayed_by = %region, "fetched missing commits"
                );
                return true;
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::debug!(own = %context.identity.region, %region, %error, "missing commits could not be fetched");
            }
        }
    }
    false
}

/// Region by region; in each, first who is known to have it.
fn candidates(
    context: &NodeContext,
    partition: PartitionId,
    missing: &Missing,
) -> impl Iterator<Item = (RegionId, Arc<dyn Connection>)> {
    let wanted = Dot {
        replica: missing.replica,
        seq: missing.last_seq,
    };
    let regions = regions_to_ask(context, missing).into_iter();
    regions.flat_map(move |region| {
        let peer = context.peer(&region);
        let connections =
            peer.map(|peer| peer.connections(context.clock.tick(), context.silence_ms(), partition, &wanted));
        let connections = connections.unwrap_or_default().into_iter();
        connections.map(move |connection| (region, connection))
    })
}

fn regions_to_ask(context: &NodeContext, missing: &Missing) -> Vec<RegionId> {
    let mut regions = vec![missing.replica.region, missing.holder];
    regions.extend(context.peers.iter().map(|peer| peer.region()));
    let mut seen = std::collections::BTreeSet::new();
    regions.retain(|region| *region != context.identity.region && seen.insert(*region));
    regions
}

async fn fetch_from(
    context: &NodeContext,
    connection: &Arc<dyn Connection>,
    region: RegionId,
    partition: &PartitionHandle,
    missing: &Missing,
) -> Result<usize, FetchError> {
    let mut stream = connection.open_stream().await?;
    let last_seq = missing
        .last_seq
        .min(missing.first_seq.saturating_add(limits::FETCH_CHANGES_MAX - 1));
    let request = Message::Fetch {
        partition: partition.partition(),
        replica: missing.replica,
        first_seq: missing.first_seq,
        last_seq,
    };
    stream.sender.send(request.encode()).await?;
    let (mut fetched, mut bytes) = (0, 0);
    while let Some(frame) = stream.receiver.receive().await? {
        match Message::decode(&frame)? {
            Message::Fetched(packed) => {
                // It may have lost the leadership meanwhile.
                if !context.groups.leads(partition.partition()) {
                    return Ok(fetched);
                }
                fetched += offer(region, partition, packed)?;
                bytes += frame.len();
                // What the partition may hold back is on its way to it; the rest is asked for later.
                if bytes >= limits::HELD_BYTES_MAX / 2 {
                    return Ok(fetched);
                }
            }
            Message::FetchEnd { complete: true } => return Ok(fetched),
            Message::FetchEnd { complete: false } => return Err(FetchError::Incomplete),
            other => return Err(FetchError::Unexpected(other.name())),
        }
    }
    Err(FetchError::Unexpected("the end of the stream"))
}

fn offer(
    region: RegionId,
    partition: &PartitionHandle,
    packed: crate::wire::messages::Batch,
) -> Result<usize, FetchError> {
    let mut commits = Vec::new();
    for (part, encoded) in batch::unpack(packed)?.parts {
        if part != partition.partition() {
            return Err(FetchError::Unexpected("commits of another partition"));
        }
        for bytes in encoded {
            commits.push(values::decode_commit(&bytes)?);
        }
    }
    let count = commits.len();
    // What is still missing afterwards is asked for again, so nobody waits for receipts.
    let origin = Origin {
        region,
        receipts: None,
    };
    partition.send(PartitionMessage::Offer {
        origin,
        commits,
        permit: None,
    });
    Ok(count)
}

#[cfg(test)]
#[path = "fetch_test.rs"]
mod tests;
