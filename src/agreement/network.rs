//! What openraft asks of other members, as messages of ours.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot};

use super::ports::{GroupNetwork, NoAnswer, VoteKeeper};
use super::sending::Sending;
use super::types::{GroupTypes, LogId, Vote, epoch_of};
use crate::model::agreement::{MemberId, NodeRole};
use crate::model::ids::PartitionId;
use crate::model::raft::{RaftIndex, RaftNodeId};
use crate::wire::group::{Appended, GroupAnswer, GroupRequest};
use crate::wire::raft::StoredEntry;

type RpcError = RPCError<RaftNodeId, NodeRole, RaftError<RaftNodeId>>;

/// Up to where this member has told others that entries were agreed on, and who may not have heard of it.
#[derive(Debug, Default)]
pub(super) struct CommittedTold {
    last: AtomicU64,
    unheard: Mutex<BTreeSet<MemberId>>,
}

impl CommittedTold {
    /// About to be told. It never moves back.
    pub(super) fn note(&self, last: Option<u64>) {
        self.last.fetch_max(last.unwrap_or_default(), Ordering::AcqRel);
    }

    pub(super) fn last(&self) -> RaftIndex {
        RaftIndex(self.last.load(Ordering::Acquire))
    }

    /// Whether a member has answered what it was told. Openraft does not repeat what carries no entries.
    fn answered(&self, member: MemberId, has_answered: bool) {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        if has_answered {
            unheard.remove(&member);
        } else {
            unheard.insert(member);
        }
    }

    /// Who has not answered last time.
    pub(super) fn unheard(&self) -> BTreeSet<MemberId> {
        let unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        unheard.clone()
    }
}

/// Makes the ways from one group's member to the others.
pub(super) struct Ways {
    pub(super) partition: PartitionId,
    pub(super) network: Arc<dyn GroupNetwork>,
    pub(super) keeper: Arc<dyn VoteKeeper>,
    pub(super) told: Arc<CommittedTold>,
    pub(super) sending: Sending,
}

/// The way to one member.
pub(super) struct Way {
    target: RaftNodeId,
    partition: PartitionId,
    network: Arc<dyn GroupNetwork>,
    keeper: Arc<dyn VoteKeeper>,
    told: Arc<CommittedTold>,
    sending: Sending,
}

impl RaftNetworkFactory<GroupTypes> for Ways {
    type Network = Way;

    async fn new_client(&mut self, target: RaftNodeId, _: &NodeRole) -> Way {
        Way {
            target,
            partition: self.partition,
            network: Arc::clone(&self.network),
            keeper: Arc::clone(&self.keeper),
            told: Arc::clone(&self.told),
            sending: self.sending.clone(),
        }
    }
}

impl Way {
    /// Whatever goes wrong counts as unreachable: openraft waits before it tries again then.
    async fn ask(&self, request: GroupRequest, option: &RPCOption) -> Result<GroupAnswer, Unreachable> {
        let answer = self
            .network
            .ask(self.member()?, self.partition, request, option.hard_ttl());
        answer.await.map_err(|error| Unreachable::new(&error))
    }

    fn member(&self) -> Result<MemberId, Unreachable> {
        let member = self.target.member();
        member.ok_or_else(|| Unreachable::new(&NoAnswer("nobody has no address".to_owned())))
    }

    fn unexpected(&self) -> Unreachable {
        let text = format!("{} has answered something else than was asked", self.target);
        Unreachable::new(&NoAnswer(text))
    }
}

impl RaftNetwork<GroupTypes> for Way {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<GroupTypes>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftNodeId>, RpcError> {
        self.told.note(rpc.leader_commit.map(|id| id.index));
        let request = GroupRequest::Append {
            vote: rpc.vote.into(),
            previous: rpc.prev_log_id.map(Into::into),
            entries: rpc.entries.into_iter().map(StoredEntry::from).collect(),
            committed: rpc.leader_commit.map(Into::into),
        };
        let member = self.member()?;
        // Also if this is given up on the way.
        self.told.answered(member, false);
        let answer = self.ask(request, &option).await?;
        self.told.answered(member, true);
        match answer {
            GroupAnswer::Appended(appended) => Ok(match appended {
                Appended::All => AppendEntriesResponse::Success,
                Appended::Upto(id) => AppendEntriesResponse::PartialSuccess(id.map(LogId::from)),
                Appended::Conflict => AppendEntriesResponse::Conflict,
                Appended::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.into()),
            }),
            _ => Err(self.unexpected().into()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<RaftNodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<RaftNodeId>, RpcError> {
        let request = GroupRequest::Vote {
            vote: rpc.vote.into(),
            last: rpc.last_log_id.map(Into::into),
        };
        match self.ask(request, &option).await? {
            GroupAnswer::Voted {
                vote,
                is_granted,
                last,
                floor,
                ..
            } => {
                // Before the vote counts: who has won must know what its voters know.
                if is_granted && let Some(candidate) = epoch_of(&rpc.vote) {
                    self.keeper.told(self.partition, candidate, floor);
                }
                let last = last.map(LogId::from);
                if !is_granted && last > rpc.last_log_id {
                    self.keeper.lacks_entries(self.partition);
                }
                Ok(VoteResponse::new(Vote::from(vote), last, is_granted))
            }
            _ => Err(self.unexpected().into()),
        }
    }

    /// Sends the partition as it is, which is not behind what openraft asks for.
    async fn full_snapshot(
        &mut self,
        vote: Vote,
        _: Snapshot<GroupTypes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<RaftNodeId>, StreamingError<GroupTypes, Fatal<RaftNodeId>>> {
        let member = self.member()?;
        let (node, partition) = (member.node, self.partition);
        tokio::select! {
            sent = self.sending.send(member, vote.into()) => match sent {
                Ok(vote) => {
                    tracing::info!(%partition, %node, "a node was too far behind and was sent the whole partition");
                    Ok(SnapshotResponse::new(vote.into()))
                }
                Err(error) => {
                    tracing::warn!(%partition, %node, %error, "sending the whole partition failed; trying again");
                    Err(Unreachable::new(&error).into())
                }
            },
            closed = cancel => Err(closed.into()),
        }
    }
}
