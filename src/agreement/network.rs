//! What openraft asks of other members, as messages of ours.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::wire::group::{Appended, CommittedUpto, GroupAnswer, GroupRequest};
use crate::wire::raft::StoredEntry;

type RpcError = RPCError<RaftNodeId, NodeRole, RaftError<RaftNodeId>>;

/// What one member was told, by the number of entries that were agreed on.
#[derive(Debug, Default)]
struct Told {
    told: u64,
    heard: u64,
    /// The last time it has not taken it: openraft must ask it itself, to learn why.
    has_refused: bool,
}

/// Up to where this member has told others that entries were agreed on, and who may not have heard of it.
#[derive(Debug, Default)]
pub(super) struct CommittedTold {
    last: AtomicU64,
    members: Mutex<BTreeMap<MemberId, Told>>,
}

/// How many entries were agreed on.
fn count(committed: Option<u64>) -> u64 {
    committed.map_or(0, |index| index.saturating_add(1))
}

impl CommittedTold {
    /// About to be told. It never moves back.
    pub(super) fn note(&self, last: Option<u64>) {
        self.last.fetch_max(last.unwrap_or_default(), Ordering::AcqRel);
    }

    pub(super) fn last(&self) -> RaftIndex {
        RaftIndex(self.last.load(Ordering::Acquire))
    }

    fn change<T>(&self, member: MemberId, change: impl FnOnce(&mut Told) -> T) -> T {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        change(members.entry(member).or_default())
    }

    /// A member is about to be told. Openraft does not repeat what carries no entries.
    fn telling(&self, member: MemberId, committed: Option<u64>) {
        self.change(member, |told| told.told = told.told.max(count(committed)));
    }

    /// A member has answered what it was told, or was not reached or has refused it. An answer may come late: it counts for as
    /// much as it was about.
    pub(super) fn answered(&self, member: MemberId, committed: Option<u64>, has_taken: bool) {
        self.change(member, |told| {
            told.has_refused = !has_taken;
            if has_taken {
                told.heard = told.heard.max(count(committed));
            }
        });
    }

    fn has_refused(&self, member: MemberId) -> bool {
        self.change(member, |told| told.has_refused)
    }

    /// Who has not answered the last that it was told.
    pub(super) fn unheard(&self) -> BTreeSet<MemberId> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let unheard = members
            .iter()
            .filter(|(_, told)| told.heard < told.told || told.has_refused);
        unheard.map(|(member, _)| *member).collect()
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
    /// Up to where the member has the log of this leader, as far as it has answered on this way.
    matching: Option<LogId>,
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
            matching: None,
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

    /// Tells the member what was agreed on apart from openraft, if openraft learns nothing by asking it: it has all that the
    /// message rests on, and has taken what it was told before. There is one such message for each entry and member, and telling a
    /// node of many groups at once costs a fraction.
    fn tell(&self, member: MemberId, rpc: &AppendEntriesRequest<GroupTypes>) -> bool {
        let Some(upto) = rpc.leader_commit.filter(|upto| Some(*upto) <= self.matching) else {
            return false;
        };
        if !rpc.entries.is_empty() || rpc.prev_log_id > self.matching || self.told.has_refused(member) {
            return false;
        }
        self.told.telling(member, Some(upto.index));
        let committed = CommittedUpto {
            partition: self.partition,
            vote: rpc.vote.into(),
            upto: upto.into(),
        };
        self.network.tell(member, committed);
        true
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
        let committed = rpc.leader_commit.map(|id| id.index);
        self.told.note(committed);
        let member = self.member()?;
        if self.tell(member, &rpc) {
            return Ok(AppendEntriesResponse::Success);
        }
        let last = rpc.entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id);
        let request = GroupRequest::Append {
            vote: rpc.vote.into(),
            previous: rpc.prev_log_id.map(Into::into),
            entries: rpc.entries.into_iter().map(StoredEntry::from).collect(),
            committed: rpc.leader_commit.map(Into::into),
        };
        // Also if this is given up on the way.
        self.told.telling(member, committed);
        let answer = self.ask(request, &option).await?;
        self.told.answered(member, committed, true);
        match answer {
            GroupAnswer::Appended(appended) => Ok(match appended {
                Appended::All => {
                    self.matching = self.matching.max(last);
                    AppendEntriesResponse::Success
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;

    fn member(name: &str) -> MemberId {
        MemberId {
            node: name.parse().unwrap(),
            incarnation: Incarnation(1),
        }
    }

    #[test]
    fn who_has_not_answered_the_last_that_it_was_told_is_unheard() {
        let told = CommittedTold::default();
        let (a, b) = (member("a"), member("b"));
        told.telling(a, Some(0));
        told.telling(b, Some(0));
        assert_eq!(told.unheard(), [a, b].into());
        told.answered(a, Some(0), true);
        assert_eq!(told.unheard(), [b].into());
        told.telling(a, Some(4));
        // Late, and about less.
        told.answered(a, Some(2), true);
        assert_eq!(told.unheard(), [a, b].into());
        told.answered(a, Some(4), true);
        told.answered(b, Some(4), true);
        assert!(told.unheard().is_empty());
        // Nothing was agreed on yet: there is nothing to hear.
        told.telling(a, None);
        assert!(told.unheard().is_empty());
    }

    #[test]
    fn who_has_refused_what_it_was_told_is_asked_until_it_has_taken_something() {
        let told = CommittedTold::default();
        let a = member("a");
        told.telling(a, Some(4));
        told.answered(a, Some(4), true);
        assert!(!told.has_refused(a));
        told.telling(a, Some(5));
        told.answered(a, Some(5), false);
        assert!(told.has_refused(a));
        assert_eq!(told.unheard(), [a].into());
        told.answered(a, Some(5), true);
        assert!(!told.has_refused(a) && told.unheard().is_empty());
    }
}
