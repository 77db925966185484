//! Sending a partition to a member that is too far behind for entries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::network::CommittedTold;
use super::ports::{GroupNetwork, NoAnswer};
use crate::model::agreement::MemberId;
use crate::model::ids::PartitionId;
use crate::ports::blocking::BlockingWork;
use crate::ports::entropy::Entropy;
use crate::ports::store::Store;
use crate::storage::partition::SnapshotSource;
use crate::wire::group::{GroupAnswer, GroupRequest};
use crate::wire::raft::StoredVote;
use crate::wire::snapshot::SnapshotId;

/// How long the other side may take with one chunk.
const CHUNK_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to put the whole into its place.
const INSTALL_PATIENCE: Duration = Duration::from_secs(60);

/// What sending needs.
#[derive(Clone)]
pub(super) struct Sending {
    pub(super) partition: PartitionId,
    pub(super) store: Arc<dyn Store>,
    pub(super) blocking: BlockingWork,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) network: Arc<dyn GroupNetwork>,
    pub(super) told: Arc<CommittedTold>,
}

impl Sending {
    /// Sends the partition as it is now; the vote of the other side when it has put it into its place.
    pub(super) async fn send(&self, member: MemberId, vote: StoredVote) -> Result<StoredVote, NoAnswer> {
        let id = SnapshotId(self.entropy.next_u64());
        let (store, partition) = (Arc::clone(&self.store), self.partition);
        let open = move || SnapshotSource::open(store.as_ref(), partition, id);
        let mut source = self
            .blocking
            .run(open)
            .await
            .map_err(no_answer)?
            .map_err(no_answer)?;
        let applied = source.applied().clone();
        self.told.note(applied.last.map(|id| id.index.0));
        let mut chunk = Bytes::new();
        loop {
            let request = GroupRequest::Snapshot { id, chunk };
            let number = match self.ask(member, request, CHUNK_PATIENCE).await? {
                GroupAnswer::SnapshotDue(Some(number)) => number,
                GroupAnswer::SnapshotDue(None) => break,
                _ => return Err(unexpected(member)),
            };
            let read = move || {
                let chunk = source.chunk(number);
                (source, chunk)
            };
            let sent;
            (source, sent) = self.blocking.run(read).await.map_err(no_answer)?;
            chunk = sent.map_err(no_answer)?.bytes;
        }
        let request = GroupRequest::Install { id, vote, applied };
        match self.ask(member, request, INSTALL_PATIENCE).await? {
            GroupAnswer::Installed(vote) => Ok(vote),
            _ => Err(unexpected(member)),
        }
    }

    async fn ask(
        &self,
        member: MemberId,
        request: GroupRequest,
        patience: Duration,
    ) -> Result<GroupAnswer, NoAnswer> {
        self.network.ask(member, self.partition, request, patience).await
    }
}

fn no_answer(error: impl std::error::Error) -> NoAnswer {
    NoAnswer(error.to_string())
}

fn unexpected(member: MemberId) -> NoAnswer {
    NoAnswer(format!("{member} has answered something else than was asked"))
}
