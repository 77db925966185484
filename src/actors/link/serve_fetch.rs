//! Answering a request for commits that another region misses: they are read from the log as they stand there, whoever has
//! made them (DESIGN rule 5).

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::actors::context::NodeContext;
use crate::actors::link::batch;
use crate::model::ids::{PartitionId, ReplicaId, Seq};
use crate::model::limits;
use crate::model::vector::Dot;
use crate::ports::link::{LinkError, Stream};
use crate::ports::store::Store;
use crate::storage::partition::{ReadError, commits_from};
use crate::wire::codec::DecodeError;
use crate::wire::messages::{Commits, Message};

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeFetchError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("broken protocol: {0}")]
    Decode(#[from] DecodeError),
    #[error("reading the log failed")]
    Read(#[from] ReadError),
}

/// What a fetch asks for.
#[derive(Clone, Copy)]
pub(super) struct FetchSpan {
    pub(super) partition: PartitionId,
    pub(super) replica: ReplicaId,
    pub(super) first_seq: Seq,
    pub(super) last_seq: Seq,
}

/// Sends what the log has of the span, in order and without a hole, and then whether that was all.
pub(super) async fn serve(
    context: &NodeContext,
    stream: &mut Stream,
    span: &FetchSpan,
) -> Result<(), ServeFetchError> {
    if span.partition.0 >= context.identity.partitions.get() {
        return Err(DecodeError::new("a fetch", "it names a partition that does not exist").into());
    }
    let mut next = span.first_seq;
    while next <= span.last_seq {
        let (store, span) = (Arc::clone(&context.store), *span);
        // Reading may wait for the disk.
        let reading = context
            .blocking
            .run(move || read_some(store.as_ref(), span, next));
        let read = reading.await;
        let commits = match read {
            Ok(commits) => commits?,
            Err(_) => break, // The runtime stops.
        };
        let Some(last) = commits.last().map(|(_, last)| *last) else {
            break;
        };
        let encoded = commits.into_iter().map(|(bytes, _)| bytes).collect();
        let packed = Commits {
            parts: vec![(span.partition, encoded)],
        };
        let packed = batch::pack(packed, context.replication.compression_level);
        stream.sender.send(Message::Fetched(packed).encode()).await?;
        next = last + 1;
    }
    let complete = next > span.last_seq;
    stream
        .sender
        .send(Message::FetchEnd { complete }.encode())
        .await?;
    Ok(())
}

/// Commits of the span from `next` on, as many as fit into a batch, each with its last seq.
fn read_some(store: &dyn Store, span: FetchSpan, next: Seq) -> Result<Vec<(Bytes, Seq)>, ReadError> {
    let first = Dot {
        replica: span.replica,
        seq: next,
    };
    let (mut found, mut bytes, mut due) = (Vec::new(), 0, next);
    commits_from(store, span.partition, first, |entry| {
        // A hole: what lies behind it is of no use to the asker.
        if entry.header.first_seq != due {
            return ControlFlow::Break(());
        }
        let last = entry.header.last().seq;
        due = last.saturating_add(1);
        bytes += entry.commit.len();
        found.push((entry.commit, last));
        // `>=`: what was asked for is complete.
        if last >= span.last_seq || bytes >= limits::BATCH_BYTES_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
