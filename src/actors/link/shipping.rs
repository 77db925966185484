//! From the log to batches: what the outbox says is due, read and packed.
//!
//! Commits are found through the index of seqs, so that other regions' entries in between cost nothing.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::actors::context::NodeContext;
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::replication::outbox::{Hold, Outbox};
use crate::model::tick::Tick;
use crate::model::vector::Dot;
use crate::ports::store::Store;
use crate::storage::partition::{ReadError, commits_from};
use crate::wire::messages::Commits;

/// A commit that is due.
struct Due {
    last: Dot,
    changes: u64,
    bytes: Bytes,
}

/// What still fits into a batch. One commit goes in any case.
#[derive(Clone, Copy)]
struct Room {
    changes: u64,
    bytes: usize,
}

/// A batch, and the partitions whose log could not be read.
pub(super) struct Collected {
    pub(super) commits: Commits,
    pub(super) failures: Vec<(PartitionId, ReadError)>,
}

/// Collects the next batch of a lane; empty when nothing is due. A partition that cannot be read is held back for
/// `retry`, the others go on.
pub(super) fn collect(
    context: &NodeContext,
    outbox: &mut Outbox,
    partitions: impl Iterator<Item = PartitionId>,
    now: Tick,
    retry: std::time::Duration,
) -> Collected {
    let mut collected = Collected {
        commits: Commits::default(),
        failures: Vec::new(),
    };
    let mut room = Room {
        changes: context.replication.batch_changes as u64,
        bytes: limits::BATCH_BYTES_MAX,
    };
    for partition in partitions {
        if room.changes == 0 || room.bytes == 0 {
            break;
        }
        if !outbox.may_send(partition, now) {
            continue;
        }
        match read_due(context, outbox, partition, room) {
            Ok(due) => {
                let mut encoded = Vec::with_capacity(due.len());
                for commit in due {
                    room.changes = room.changes.saturating_sub(commit.changes);
                    room.bytes = room.bytes.saturating_sub(commit.bytes.len());
                    outbox.sent(partition, commit.last, commit.changes, commit.bytes.len());
                    encoded.push(commit.bytes);
                }
                if !encoded.is_empty() {
                    collected.commits.parts.push((partition, encoded));
                }
            }
            Err(error) => {
                outbox.hold(partition, Hold::Until(now.plus(retry)));
                collected.failures.push((partition, error));
            }
        }
    }
    collected
}

/// Changes of this region that were not sent yet.
pub(super) fn changes_waiting(context: &NodeContext, outbox: &Outbox) -> u64 {
    let own = context.identity.region;
    let ids = context.identity.partitions.ids();
    ids.map(|partition| {
        context
            .partitions
            .read(partition, |view| outbox.waiting(partition, own, &view.vector))
    })
    .sum()
}

fn read_due(
    context: &NodeContext,
    outbox: &mut Outbox,
    partition: PartitionId,
    room: Room,
) -> Result<Vec<Due>, ReadError> {
    let own = context.identity.region;
    // What is on the board is durable.
    let durable = context.partitions.read(partition, |view| {
        view.vector
            .iter()
            .filter(|dot| dot.replica.region == own)
            .collect::<Vec<Dot>>()
    });
    let mut due = Vec::new();
    let mut left = room;
    for last in durable {
        let first_seq = outbox.next_seq(partition, &last.replica);
        // `>`: everything of this incarnation was sent.
        if first_seq > last.seq {
            continue;
        }
        let wanted = Wanted {
            first: Dot {
                replica: last.replica,
                seq: first_seq,
            },
            last_seq: last.seq,
        };
        let is_whole = read_replica(context.store.as_ref(), partition, wanted, &mut left, &mut due)?;
        if !is_whole {
            tracing::warn!(%own, %partition, replica = %last.replica, first_seq, "the log no longer has what a peer needs: it needs a resync");
            outbox.hold(partition, Hold::Resync);
            return Ok(Vec::new());
        }
    }
    Ok(due)
}

#[derive(Clone, Copy)]
struct Wanted {
    first: Dot,
    last_seq: u64,
}

/// Reads what fits of the changes wanted; false when the log does not have the next one.
fn read_replica(
    store: &dyn Store,
    partition: PartitionId,
    wanted: Wanted,
    left: &mut Room,
    due: &mut Vec<Due>,
) -> Result<bool, ReadError> {
    let (mut next, mut is_full) = (wanted.first.seq, false);
    commits_from(store, partition, wanted.first, |entry| {
        let last = entry.header.last();
        if entry.header.first_seq != next || last.seq > wanted.last_seq {
            return ControlFlow::Break(());
        }
        let is_over = entry.header.changes > left.changes || entry.commit.len() > left.bytes;
        if is_over && !due.is_empty() {
            is_full = true;
            return ControlFlow::Break(());
        }
        left.changes = left.changes.saturating_sub(entry.header.changes);
        left.bytes = left.bytes.saturating_sub(entry.commit.len());
        next = last.seq + 1;
        due.push(Due {
            last,
            changes: entry.header.changes,
            bytes: entry.commit,
        });
        ControlFlow::Continue(())
    })?;
    // It is whole when it reaches the end, or as far as there was room.
    Ok(is_full || next > wanted.last_seq)
}
