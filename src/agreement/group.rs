//! One partition's group as this node takes part in it: openraft without its timers, which are ours (decision 0018).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use openraft::storage::RaftLogStorage;
use openraft::{CommittedLeaderId, Config, Raft, ServerState, Snapshot, SnapshotPolicy};
use tokio::sync::watch;

use super::log::GroupLog;
use super::machine::{StateMachine, meta_of, stored_applied};
use super::network::{CommittedTold, Ways};
use super::ports::{GroupMachine, GroupNetwork, NoAnswer, NotApplied, VoteKeeper};
use super::sending::Sending;
use super::types::{EncodedGroup, GroupTypes, LogId, Vote, epoch_of};
use crate::model::agreement::{Epoch, GroupMembers, MemberId, Members, NodeRole, Voters};
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::raft::{RaftIndex, RaftNodeId};
use crate::ports::blocking::BlockingWork;
use crate::ports::entropy::Entropy;
use crate::ports::store::{Committer, Store};
use crate::wire::group::{Appended, CommittedUpto, GroupAnswer, GroupRequest, Proposal};

/// How long a member may take to append; openraft calls it the interval of heartbeats. Then entries are sent again, which
/// costs nothing where they are there already.
const APPEND_PATIENCE_MS: u64 = 600;
/// How long a candidate waits for a vote, and a voter that has heard from a leader refuses others by openraft's own rule. Ours,
/// which count, are longer ([`crate::model::agreement::votes`]); but a leader that hands over waits so long.
pub const VOTE_PATIENCE_MS: u64 = 400;
/// Entries in one message; its bytes are bounded apart.
const APPEND_ENTRIES_MAX: u64 = 256;

/// What a group stands on.
pub struct GroupParts {
    /// Which partition.
    pub partition: PartitionId,
    /// This node.
    pub own: MemberId,
    /// Who takes part, where the group has stored nothing yet: the same on all of them. Nobody, where this node is to hear of
    /// the group from its leader.
    pub founders: BTreeSet<MemberId>,
    /// Where its log is.
    pub store: Arc<dyn Store>,
    /// The one writer.
    pub committer: Arc<dyn Committer>,
    /// Where work runs that may wait for the disk.
    pub blocking: BlockingWork,
    /// Where the names of snapshots come from.
    pub entropy: Arc<dyn Entropy>,
    /// The way to the others.
    pub network: Arc<dyn GroupNetwork>,
    /// What is agreed on goes there.
    pub machine: Arc<dyn GroupMachine>,
    /// Who knows what this node has promised.
    pub keeper: Arc<dyn VoteKeeper>,
    /// Entries that stay in the log after they were applied, and as many again before it is cut.
    pub entries_kept: u64,
}

/// Why a group does not start, or has ended. It may be started anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the group of partition {partition} does not work: {why}")]
pub struct GroupFailure {
    /// Which.
    pub partition: PartitionId,
    /// Why.
    pub why: String,
}

/// Why a proposal has no outcome. What became of it the log will show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead, or not any more. It may be in the log all the same.
    #[error("this node does not lead the group of the partition any more")]
    NotLeader,
    /// The group has ended.
    #[error("{0}")]
    Ended(String),
}

/// Where a group stands, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The term of the latest vote.
    pub term: u64,
    /// Who leads, if that is known.
    pub leader: Option<Epoch>,
    /// This node is that leader.
    pub is_leader: bool,
    /// Who takes part.
    pub members: GroupMembers,
}

/// A member of a group. Cheap to clone.
#[derive(Clone)]
pub struct Group {
    partition: PartitionId,
    own: MemberId,
    pub(super) raft: Raft<GroupTypes>,
    keeper: Arc<dyn VoteKeeper>,
    machine: Arc<dyn GroupMachine>,
    told: Arc<CommittedTold>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Group({} of {})", self.own, self.partition)
    }
}

/// Not validated by openraft, which wants elections to take longer than heartbeats: it makes neither here.
fn config(entries_kept: u64) -> Config {
    Config {
        enable_tick: false,
        enable_heartbeat: false,
        enable_elect: false,
        heartbeat_interval: APPEND_PATIENCE_MS,
        election_timeout_min: VOTE_PATIENCE_MS,
        election_timeout_max: VOTE_PATIENCE_MS + 1,
        max_payload_entries: APPEND_ENTRIES_MAX,
        // A snapshot is a mark: it lets the log be cut behind it.
        snapshot_policy: SnapshotPolicy::LogsSinceLast(entries_kept),
        max_in_snapshot_log_to_keep: entries_kept,
        ..Config::default()
    }
}

impl Group {
    /// Starts this node's member from what is stored. Where nothing is, the founders are written first.
    ///
    /// # Errors
    /// [`GroupFailure`].
    pub async fn start(parts: GroupParts) -> Result<Self, GroupFailure> {
        let partition = parts.partition;
        let failed = |why: &dyn std::error::Error| GroupFailure {
            partition,
            why: why.to_string(),
        };
        let mut log = GroupLog::new(
            partition,
            Arc::clone(&parts.store),
            Arc::clone(&parts.committer),
            parts.blocking,
        )
        .with_keeper(parts.own, Arc::clone(&parts.keeper));
        let applied = stored_applied(parts.store.as_ref(), partition).map_err(|error| failed(&error))?;
        if applied.last.is_none() && !parts.founders.is_empty() {
            log.found(&parts.founders).await.map_err(|error| failed(&error))?;
        }
        let state = log.get_log_state().await.map_err(|error| failed(&error))?;
        // Openraft would not notice.
        if state.last_purged_log_id.map(|id| id.index) > applied.last.map(|id| id.index.0) {
            let why = "its log begins after what was applied: entries in between are lost; remove the node and add it again";
            return Err(GroupFailure {
                partition,
                why: why.to_owned(),
            });
        }
        let vote = log.read_vote().await.map_err(|error| failed(&error))?;
        if let Some(epoch) = vote.as_ref().and_then(epoch_of) {
            parts.keeper.saw(partition, epoch);
        }
        let told = Arc::new(CommittedTold::default());
        let sending = Sending {
            partition,
            told: Arc::clone(&told),
            store: Arc::clone(&parts.store),
            blocking: parts.blocking,
            entropy: parts.entropy,
            network: Arc::clone(&parts.network),
        };
        let ways = Ways {
            partition,
            network: parts.network,
            keeper: Arc::clone(&parts.keeper),
            told: Arc::clone(&told),
            sending,
        };
        let machine = StateMachine::new(partition, parts.store, Arc::clone(&parts.machine));
        let raft = Raft::new(
            RaftNodeId::from(parts.own),
            Arc::new(config(parts.entries_kept)),
            ways,
            log,
            machine,
        )
        .await
        .map_err(|error| failed(&error))?;
        Ok(Self {
            partition,
            own: parts.own,
            raft,
            keeper: parts.keeper,
            machine: parts.machine,
            told,
        })
    }

    /// Which partition's.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Where the group stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing_of(&self.raft.server_metrics().borrow())
    }

    fn standing_of(&self, metrics: &RaftServerMetrics<RaftNodeId, NodeRole>) -> Standing {
        let committed = Some(&metrics.vote).filter(|vote| vote.committed);
        let leader = committed.and_then(epoch_of);
        let members = |set: &BTreeSet<RaftNodeId>| set.iter().filter_map(RaftNodeId::member).collect();
        let joint = metrics.membership_config.membership().get_joint_config();
        let voters = match joint.as_slice() {
            [current] => Voters::new(members(current)),
            [current, next, ..] => Voters::joint(members(current), members(next)),
            // Before the first entry is known: this node alone can decide nothing by it, since it leads nothing.
            [] => Voters::new([self.own].into()),
        };
        let nodes = metrics.membership_config.membership().nodes();
        let nodes: Members = nodes
            .filter_map(|(node, role)| Some((node.member()?, *role)))
            .collect();
        Standing {
            term: metrics.vote.leader_id.term,
            leader,
            is_leader: metrics.state == ServerState::Leader
                && leader.is_some_and(|leader| leader.leader == self.own),
            members: GroupMembers {
                partition: self.partition,
                voters,
                nodes,
            },
        }
    }

    /// Tells of each change of the standing, and of the end.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            group: self.clone(),
            metrics: self.raft.server_metrics(),
        }
    }

    /// Proposes; returns when it is applied here.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn propose(&self, proposal: &Proposal) -> Result<(), ProposeError> {
        let written = self.raft.client_write(EncodedGroup(proposal.encode())).await;
        match written {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(ProposeError::NotLeader),
            Err(error) => Err(ProposeError::Ended(error.to_string())),
        }
    }

    /// Asks a majority whether this node still leads: the entry that must be applied for a read that began before.
    ///
    /// # Errors
    /// [`NoAnswer`] when it does not, or no majority has answered.
    pub async fn read_index(&self) -> Result<RaftIndex, NoAnswer> {
        let read = self.raft.get_read_log_id().await;
        let (read, _) = read.map_err(|error| NoAnswer(error.to_string()))?;
        Ok(RaftIndex(read.map_or(0, |id| id.index)))
    }

    /// The last entry of which this member has told others that it was agreed on: they may have applied it before this one has,
    /// and have shown it.
    #[must_use]
    pub fn told_committed(&self) -> RaftIndex {
        self.told.last()
    }

    /// Whether another member has all entries but the last few, as far as this leader knows.
    #[must_use]
    pub fn is_abreast(&self, member: MemberId) -> bool {
        let metrics = self.raft.data_metrics().borrow().clone();
        let replication = metrics.replication.unwrap_or_default();
        let has = replication
            .get(&RaftNodeId::from(member))
            .and_then(|id| id.as_ref().map(|id| id.index));
        // `>=`: so many are sent in one message.
        has.is_some_and(|has| has + APPEND_ENTRIES_MAX >= metrics.last_log.map_or(0, |id| id.index))
    }

    /// The members that may not have heard of the last that was agreed on: openraft does not repeat that, and tells it with the next
    /// entry, which may never come.
    #[must_use]
    pub fn unheard(&self) -> BTreeSet<MemberId> {
        self.told.unheard()
    }

    /// Whether a member has taken what it was told by [`GroupNetwork::tell`]: how far was agreed on.
    pub fn was_told(&self, member: MemberId, upto: RaftIndex, has_taken: bool) {
        self.told.answered(member, Some(upto.0), has_taken);
    }

    /// The leader tells this member how far was agreed on. Whether it has taken that: it has the entry, and nobody else leads later.
    pub async fn hear(&self, committed: CommittedUpto) -> bool {
        let upto = Some(committed.upto);
        let request = GroupRequest::Append {
            vote: committed.vote,
            previous: upto,
            entries: Vec::new(),
            committed: upto,
        };
        matches!(
            self.answer(request).await,
            Ok(GroupAnswer::Appended(Appended::All))
        )
    }

    /// How far this member has applied its entries, if it has more. How far they are agreed on is not stored: a member that
    /// starts again knows of what it has applied only, and is told of no more before the leader has something new.
    #[must_use]
    pub fn applied_of_more(&self) -> Option<RaftIndex> {
        let metrics = self.raft.data_metrics().borrow().clone();
        let applied = metrics.last_applied.map_or(0, |id| id.index);
        let last = metrics.last_log.map_or(0, |id| id.index);
        (last > applied).then_some(RaftIndex(applied))
    }

    /// Tells all members again how far entries are agreed on, where this one leads.
    pub async fn tell_again(&self) {
        // An error means that the group has ended.
        let _ = self.raft.trigger().heartbeat().await;
    }

    /// Stands for election. Must have been allowed by [`VoteKeeper::may_vote`]; when this fails, [`VoteKeeper::voted`] must hear of
    /// it, since no vote is stored.
    ///
    /// # Errors
    /// [`GroupFailure`] when the group has ended, or when this member leads: openraft lets no leader stand.
    pub async fn stand(&self) -> Result<(), GroupFailure> {
        let failed = |why: String| GroupFailure {
            partition: self.partition,
            why,
        };
        let stood = self.raft.trigger().elect().await;
        stood.map_err(|error| failed(error.to_string()))?;
        // Asked behind it in the same queue.
        let vote = self.raft.with_raft_state(|state| *state.vote_ref()).await;
        let vote = vote.map_err(|error| failed(error.to_string()))?;
        match epoch_of(&vote) {
            Some(epoch) if epoch.leader == self.own && !vote.committed => Ok(()),
            _ => Err(failed(format!("it does not stand: its vote is {vote}"))),
        }
    }

    /// Gives the lead up, by a vote in the next term for another member, which has not asked for it: whoever can is elected then, be
    /// it this one again. For a leader that nobody is bound to any more, whom openraft does not let stand. Whether it did.
    pub async fn step_down(&self, next: MemberId) -> bool {
        let term = self.standing().term;
        let vote = Vote::new(term + 1, RaftNodeId::from(next));
        // Not the other's log: greater than any of this one's, so that only the vote counts.
        let last = LogId::new(CommittedLeaderId::new(term, RaftNodeId::from(self.own)), u64::MAX);
        let voted = self.vote(VoteRequest::new(vote, Some(last))).await;
        matches!(voted, Ok(GroupAnswer::Voted { is_granted: true, .. }))
    }

    /// Answers a message of openraft's on another member.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn answer(&self, request: GroupRequest) -> Result<GroupAnswer, NoAnswer> {
        match request {
            GroupRequest::Append {
                vote,
                previous,
                entries,
                committed,
            } => {
                let vote = Vote::from(vote);
                if let Some(epoch) = epoch_of(&vote) {
                    self.keeper.saw(self.partition, epoch);
                }
                let answer = self.raft.append_entries(AppendEntriesRequest {
                    vote,
                    prev_log_id: previous.map(LogId::from),
                    entries: entries.into_iter().map(Into::into).collect(),
                    leader_commit: committed.map(LogId::from),
                });
                let appended = match answer.await.map_err(|error| NoAnswer(error.to_string()))? {
                    AppendEntriesResponse::Success => Appended::All,
                    AppendEntriesResponse::PartialSuccess(id) => Appended::Upto(id.map(Into::into)),
                    AppendEntriesResponse::Conflict => Appended::Conflict,
                    AppendEntriesResponse::HigherVote(vote) => Appended::HigherVote(vote.into()),
                };
                Ok(GroupAnswer::Appended(appended))
            }
            GroupRequest::Vote { vote, last } => {
                let rpc = VoteRequest::new(Vote::from(vote), last.map(LogId::from));
                let group = self.clone();
                // To its end even if nobody waits for the answer: a vote that is allowed must be settled.
                let voted = tokio::spawn(async move { group.vote(rpc).await });
                voted
                    .await
                    .unwrap_or_else(|_| Err(NoAnswer("the node stops".to_owned())))
            }
            GroupRequest::Snapshot { id, chunk } => {
                let due = self.machine.stage(id, chunk).await;
                due.map(GroupAnswer::SnapshotDue)
                    .map_err(|NotApplied(why)| NoAnswer(why))
            }
            GroupRequest::Install { id, vote, applied } => {
                let upto = applied.last.as_ref().map(|last| last.index);
                let installed = self.machine.install(id, upto).await;
                installed.map_err(|NotApplied(why)| NoAnswer(why))?;
                let snapshot = Snapshot {
                    meta: meta_of(&applied),
                    snapshot: Box::default(),
                };
                let installed = self.raft.install_full_snapshot(Vote::from(vote), snapshot).await;
                let installed = installed.map_err(|error| NoAnswer(error.to_string()))?;
                Ok(GroupAnswer::Installed(installed.vote.into()))
            }
            GroupRequest::ReadIndex
            | GroupRequest::Write(_)
            | GroupRequest::WriteAsHome(_)
            | GroupRequest::SettleHome
            | GroupRequest::TellAgain
            | GroupRequest::Yield { .. }
            | GroupRequest::ChangeNode { .. }
            | GroupRequest::Members
            | GroupRequest::Pauses(_)
            | GroupRequest::Committed(_) => Err(NoAnswer("this is not for openraft".to_owned())),
        }
    }

    async fn vote(&self, rpc: VoteRequest<RaftNodeId>) -> Result<GroupAnswer, NoAnswer> {
        let candidate = epoch_of(&rpc.vote).ok_or_else(|| NoAnswer("a vote for nobody".to_owned()))?;
        if !self.keeper.may_vote(self.partition, candidate) {
            // With what this node has voted for, so that the candidate does not go on below it.
            return Ok(GroupAnswer::Voted {
                vote: self.raft.server_metrics().borrow().vote.into(),
                is_granted: false,
                last: None,
                voter: self.own,
                floor: Hlc::ZERO,
            });
        }
        let answer = self.raft.vote(rpc).await;
        self.keeper.voted(
            self.partition,
            answer.as_ref().is_ok_and(|answer| answer.vote_granted),
        );
        let answer = answer.map_err(|error| NoAnswer(error.to_string()))?;
        Ok(GroupAnswer::Voted {
            vote: answer.vote.into(),
            is_granted: answer.vote_granted,
            last: answer.last_log_id.map(Into::into),
            voter: self.own,
            // Read after the vote was asked for: from then on it counts as given.
            floor: self.keeper.floor(),
        })
    }

    /// Ends this node's part in the group.
    pub async fn stop(&self) {
        // An error means that it has ended before.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.raft.shutdown()).await;
    }
}

/// Tells of each change of a group's standing.
pub struct Watch {
    group: Group,
    metrics: watch::Receiver<RaftServerMetrics<RaftNodeId, NodeRole>>,
}

impl Watch {
    /// The standing now.
    #[must_use]
    pub fn now(&mut self) -> Standing {
        let metrics = self.metrics.borrow_and_update();
        self.group.standing_of(&metrics)
    }

    /// Waits for a change.
    ///
    /// # Errors
    /// [`GroupFailure`] when the group has ended: nothing more will come.
    pub async fn changed(&mut self) -> Result<Standing, GroupFailure> {
        if self.metrics.changed().await.is_ok() {
            return Ok(self.now());
        }
        let state = self.group.raft.metrics().borrow().running_state.clone();
        Err(GroupFailure {
            partition: self.group.partition,
            why: state.map_or_else(|error| error.to_string(), |()| "it was stopped".to_owned()),
        })
    }
}
