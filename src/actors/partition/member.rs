//! A partition as a member of its group (decision 0018): what it has proposed, and what was agreed on and is to be applied.
//!
//! One proposal is open at a time. While it is, nothing else is built; entries that others have proposed are applied all the
//! same, since they come after what the open one rests on only when it never takes effect.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::actors::partition::core::{Built, InFlight, PartitionCore, Trouble};
use crate::actors::partition::message::Arrived;
use crate::actors::region::RegionError;
use crate::agreement::{Agreed, Group, NotApplied};
use crate::model::agreement::{Epoch, MemberId, OpenProposal, ProposalId, Resolution, takes_effect};
use crate::model::hlc::Hlc;
use crate::model::mutation::{self, Mutation};
use crate::model::raft::RaftIndex;
use crate::ports::store::{Durability, Family, WriteSet};
use crate::storage::partition::{GroupBuilder, SealedGroup, SnapshotReceiver, StoredRows};
use crate::wire::entry::{decode_entry, encode_entry};
use crate::wire::group::Proposal;
use crate::wire::keys::raft;
use crate::wire::messages::RewindReason;
use crate::wire::raft::{StoredEntry, StoredPayload, encode_applied};

/// This node leads the partition's group.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Since when.
    pub epoch: Epoch,
    /// Stamps must be greater: earlier leaders may have promised so much.
    pub floor: Hlc,
    /// The group.
    pub group: Group,
}

/// What becomes of entries that were agreed on.
pub type WhenApplied = oneshot::Sender<Result<(), NotApplied>>;

/// A proposal that is in the log, or on its way there.
#[derive(Debug)]
struct Proposed {
    sealed: WriteSet,
    in_flight: InFlight,
}

/// What a partition knows of its group.
#[derive(Debug)]
pub(super) struct Membership {
    own: MemberId,
    leadership: Option<Leadership>,
    /// The number of the entry with which this leadership begins.
    barrier: Option<u64>,
    /// That entry was applied: everything before it was, too.
    is_serving: bool,
    proposals: u64,
    open: OpenProposal,
    proposed: Option<Proposed>,
    agreed: VecDeque<Agreed>,
    when_applied: Option<WhenApplied>,
    /// The snapshot that waits until nothing else is on its way to the disk, or is being put into its place.
    snapshot: Option<Arrived>,
    when_installed: Option<WhenApplied>,
}

/// What an entry does here.
struct Effect {
    set: WriteSet,
    in_flight: InFlight,
}

fn epoch_of(entry: &StoredEntry) -> Option<Epoch> {
    let leader = entry.id.leader.member()?;
    let term = entry.id.term.0;
    Some(Epoch { term, leader })
}

/// The proposal that an entry carries, if it takes effect.
fn proposal_of(entry: &StoredEntry) -> Result<Option<Proposal>, String> {
    let StoredPayload::Group(bytes) = &entry.payload else {
        return Ok(None);
    };
    let proposal = Proposal::decode(bytes).map_err(|error| crate::actors::error_chain(&error))?;
    let logged_in = epoch_of(entry);
    Ok(Some(proposal).filter(|proposal| logged_in.is_some_and(|epoch| takes_effect(proposal.epoch, epoch))))
}

impl Membership {
    /// Proposals are numbered from somewhere: an actor before this one may have some in the log.
    pub(super) fn new(own: MemberId, proposals: u64) -> Self {
        Self {
            own,
            leadership: None,
            barrier: None,
            is_serving: false,
            proposals,
            open: OpenProposal::default(),
            proposed: None,
            agreed: VecDeque::new(),
            when_applied: None,
            snapshot: None,
            when_installed: None,
        }
    }

    /// Whether a group may be built.
    pub(super) fn may_propose(&self) -> bool {
        self.is_serving && self.proposed.is_none() && self.open.open().is_none() && self.agreed.is_empty()
    }

    /// Whether something that this node has proposed has no outcome yet.
    pub(super) fn is_open(&self) -> bool {
        self.proposed.is_some()
    }

    pub(super) fn is_serving(&self) -> bool {
        self.is_serving
    }

    /// It leads, and may still be at the entry with which it begins.
    pub(super) fn is_leading(&self) -> bool {
        self.leadership.is_some()
    }

    fn next_number(&mut self) -> u64 {
        self.proposals += 1;
        self.proposals
    }
}

impl PartitionCore {
    fn member(&mut self) -> &mut Membership {
        self.member
            .as_mut()
            .expect("only members of a group are told of it")
    }

    /// Whether this node leads in an epoch.
    pub(super) fn leads_in(&self, epoch: Epoch) -> bool {
        let leadership = self.member.as_ref().and_then(|member| member.leadership.as_ref());
        leadership.is_some_and(|leadership| leadership.epoch == epoch)
    }

    /// What a write is refused with where this node does not lead.
    pub(super) fn not_leader(&self) -> RegionError {
        let leader = self.context.groups.leader(self.partition);
        RegionError::NotLeader {
            leader: leader.filter(|leader| *leader != self.context.identity.node),
        }
    }

    /// This node leads from now on, or does not any more. Returns what a leader begins with.
    pub(super) fn handle_led(&mut self, leadership: Option<Leadership>) -> Built {
        // Commits that wait for others are the next leader's business, as are cuts and what has expired. Who has sent them must
        // hear of it: nobody will acknowledge them.
        self.inbox.clear();
        let all = self.lanes.keys().copied().collect();
        self.put_off_sources(&all, RewindReason::NotLeader, "the partition is led anew");
        self.cut = None;
        self.expired.clear();
        self.show_lacking(None);
        if let Some(leadership) = &leadership {
            self.context.hybrid_clock.restore(leadership.floor);
        }
        let life = self.context.life;
        let member = self.member();
        member.is_serving = false;
        member.barrier = None;
        member.leadership = leadership;
        let Some(leadership) = member.leadership.clone() else {
            return Built::Nothing;
        };
        let number = member.next_number();
        if mutation::is_on(Mutation::SkipBarrier) {
            self.serve();
        } else {
            member.barrier = Some(number);
        }
        Built::Propose(
            Proposal {
                epoch: leadership.epoch,
                life,
                number,
                entry: None,
            },
            leadership.group,
        )
    }

    /// A group that was prepared goes to the others first.
    pub(super) fn propose(
        &mut self,
        entry: &crate::model::entry::Entry,
        sealed: WriteSet,
        in_flight: InFlight,
    ) -> Built {
        let life = self.context.life;
        let member = self.member();
        let leadership = member.leadership.clone().expect("only leaders build groups");
        let number = member.next_number();
        member.open.proposed(ProposalId(number), leadership.epoch);
        member.proposed = Some(Proposed { sealed, in_flight });
        let proposal = Proposal {
            epoch: leadership.epoch,
            life,
            number,
            entry: Some(encode_entry(entry).into()),
        };
        Built::Propose(proposal, leadership.group)
    }

    /// Entries were agreed on.
    pub(super) fn handle_agreed(&mut self, entries: Vec<Agreed>, done: WhenApplied) {
        let member = self.member();
        member.agreed = entries.into();
        member.when_applied = Some(done);
    }

    /// The next entry that was agreed on, as a write; nothing when there is none, or the store must recover first.
    pub(super) fn apply_next(&mut self) -> Built {
        if self.in_flight.is_some() {
            return Built::Nothing;
        }
        if let Some(why) = self.stopped_because() {
            self.fail_agreed(&why);
            return Built::Nothing;
        }
        if self.trouble.is_some() {
            return Built::Nothing;
        }
        let applied = self.raft_applied;
        loop {
            let Some(member) = &mut self.member else {
                return Built::Nothing;
            };
            let Some(agreed) = member.agreed.pop_front() else {
                if let Some(done) = member.when_applied.take() {
                    let _ = done.send(Ok(()));
                }
                self.tell_drained();
                return Built::Nothing;
            };
            // A write of unknown outcome may have turned out to be there.
            let index = agreed.entry.id.index;
            if applied.is_some_and(|applied| index <= applied) {
                if self.is_barrier(&agreed) {
                    self.serve();
                }
                continue;
            }
            let due = applied.map_or(RaftIndex(0), |applied| RaftIndex(applied.0 + 1));
            if index != due {
                let why = format!("entry {due} is missing, entry {index} is there");
                self.stop(format!("what was agreed on cannot be applied: {why}"));
                self.fail_agreed(&why);
                return Built::Nothing;
            }
            return match self.effect_of(agreed) {
                Ok(Some(effect)) => {
                    self.in_flight = Some(effect.in_flight);
                    Built::Write(effect.set)
                }
                Ok(None) => Built::Nothing,
                Err(why) => {
                    self.stop(format!("an entry that was agreed on cannot be applied: {why}"));
                    self.fail_agreed(&why);
                    Built::Nothing
                }
            };
        }
    }

    fn fail_agreed(&mut self, why: &str) {
        let Some(member) = &mut self.member else { return };
        member.agreed.clear();
        if let Some(done) = member.when_applied.take() {
            let _ = done.send(Err(NotApplied(why.to_owned())));
        }
    }

    /// What an entry does; none when the store must recover first: it is looked at again then.
    fn effect_of(&mut self, agreed: Agreed) -> Result<Option<Effect>, String> {
        let logged_in = epoch_of(&agreed.entry);
        let proposal = proposal_of(&agreed.entry)?;
        let own = self.own_number(proposal.as_ref());
        let member = self.member();
        let passes_barrier = own.is_some() && own == member.barrier;
        let mut resolution = logged_in.and_then(|epoch| member.open.applied(epoch, own.map(ProposalId)));
        // Whatever this process has proposed before in this leadership is in the log before its beginning, or nowhere.
        if passes_barrier && resolution.is_none() {
            resolution = member.open.never_made();
        }
        let made = match resolution {
            Some((_, Resolution::Made)) => member.proposed.take(),
            Some((_, Resolution::NeverMade)) => {
                self.retract();
                if self.trouble.is_some() {
                    self.member().agreed.push_front(agreed);
                    return Ok(None);
                }
                None
            }
            Some((_, Resolution::Unknown)) | None => None,
        };
        let mut effect = match (made, proposal.and_then(|proposal| proposal.entry)) {
            (Some(proposed), _) => Effect {
                set: proposed.sealed,
                in_flight: proposed.in_flight,
            },
            (None, Some(entry)) => self.apply_entry(&entry)?,
            (None, None) => Effect {
                set: WriteSet::new(),
                in_flight: InFlight::of_nobody(self.state.clone(), Vec::new()),
            },
        };
        let (key, applied) = (raft::applied(self.partition), encode_applied(&agreed.applied));
        effect.set.put(Family::Raft, &key, &applied);
        effect.in_flight.passes_barrier = passes_barrier;
        effect.in_flight.agreed = Some(agreed);
        Ok(Some(effect))
    }

    /// The number of a proposal, if this process has made it.
    fn own_number(&self, proposal: Option<&Proposal>) -> Option<u64> {
        let (life, own) = (self.context.life, self.member.as_ref()?.own);
        let proposal = proposal.filter(|proposal| proposal.life == life && proposal.epoch.leader == own);
        proposal.map(|proposal| proposal.number)
    }

    /// Whether this leadership begins with an entry.
    fn is_barrier(&self, agreed: &Agreed) -> bool {
        let proposal = proposal_of(&agreed.entry).ok().flatten();
        let barrier = self.member.as_ref().and_then(|member| member.barrier);
        barrier.is_some() && self.own_number(proposal.as_ref()) == barrier
    }

    /// Does what another node has prepared.
    fn apply_entry(&mut self, bytes: &[u8]) -> Result<Effect, String> {
        let chain = |error: &dyn std::error::Error| crate::actors::error_chain(error);
        let entry = decode_entry(bytes).map_err(|error| chain(&error))?;
        let store = std::sync::Arc::clone(&self.context.store);
        let rows = StoredRows {
            store: store.as_ref(),
            partition: self.partition,
        };
        for commit in &entry.commits {
            self.context.hybrid_clock.restore(commit.last_hlc());
        }
        let mut group = GroupBuilder::new(self.state.clone(), &rows);
        group.apply(&entry).map_err(|error| chain(&error))?;
        let sealed: SealedGroup = group.seal(&mut self.digest, &self.hasher, entry.at);
        Ok(Effect {
            set: sealed.set,
            in_flight: InFlight::of_nobody(sealed.state, sealed.system_records),
        })
    }

    /// How rows are written. What a group has agreed on is on the disks of a majority, in its log, and is applied again after
    /// a crash: the rows need not wait for the disk. Cuts of that log come behind them in the same write-ahead log, so that they
    /// are not there without them.
    pub(super) fn durability(&self) -> Durability {
        if self.member.is_some() {
            Durability::Deferred
        } else {
            Durability::Synced
        }
    }

    /// What this node has proposed will never be made: its writes may be sent to the next leader.
    fn retract(&mut self) {
        let Some(proposed) = self.member().proposed.take() else {
            return;
        };
        let error = self.not_leader();
        for write in proposed.in_flight.writes {
            let _ = write.reply.send(Err(error.clone()));
        }
        let sources = &proposed.in_flight.sources;
        self.put_off_sources(
            sources,
            RewindReason::NotLeader,
            "another node leads the partition",
        );
        // The digest was brought to where it would have been.
        self.reload();
    }

    /// A snapshot is there.
    pub(super) fn handle_install(&mut self, snapshot: Arrived, done: WhenApplied) {
        let member = self.member();
        member.snapshot = Some(snapshot);
        member.when_installed = Some(done);
    }

    /// The snapshot that is to be put into its place now; nothing else is done meanwhile.
    pub(super) fn begin_install(&mut self) -> Option<Box<SnapshotReceiver>> {
        if self.in_flight.is_some() || self.trouble.is_some() {
            return None;
        }
        let applied = self.raft_applied;
        let member = self.member.as_mut()?;
        let snapshot = member.snapshot.take()?;
        // `<=`: entries that have come meanwhile, from another leader maybe, have brought as much. What openraft has heard to be
        // applied must not go.
        if snapshot.upto <= applied {
            if let Some(done) = member.when_installed.take() {
                let _ = done.send(Ok(()));
            }
            return None;
        }
        self.trouble = Some(Trouble::Installing);
        Some(snapshot.receiver)
    }

    /// A snapshot is in its place, or could not be put there.
    pub(super) fn handle_installed(&mut self, result: Result<(), String>) {
        // What was installed in part is finished by reading the state.
        self.reload();
        if let Err(why) = &result {
            tracing::error!(region = %self.context.identity.region, partition = %self.partition, %why, "a snapshot could not be installed");
        }
        let member = self.member();
        // The log of the snapshot may hold it, or have been cut before it: nobody here can tell.
        if member.open.never_made().is_some()
            && let Some(proposed) = member.proposed.take()
        {
            let error = RegionError::Unavailable {
                reason: "this node has lost the lead of the partition and has got it as a whole from the next leader".to_owned(),
                outcome_unknown: true,
            };
            for write in proposed.in_flight.writes {
                let _ = write.reply.send(Err(error.clone()));
            }
            let sources = &proposed.in_flight.sources;
            self.put_off_sources(
                sources,
                RewindReason::NotLeader,
                "another node leads the partition",
            );
        }
        if let Some(done) = self.member().when_installed.take() {
            let _ = done.send(result.map_err(NotApplied));
        }
    }

    /// Whether something was agreed on, or may have been, that this member has not applied.
    pub(super) fn is_behind_agreement(&self) -> bool {
        let is_behind = |member: &Membership| member.is_open() || !member.agreed.is_empty();
        self.member
            .as_ref()
            .is_some_and(|member| is_behind(member) || self.in_flight.is_some())
    }

    /// An entry is durably applied.
    pub(super) fn note_agreed(&mut self, agreed: &Agreed, passes_barrier: bool) {
        let index = agreed.entry.id.index;
        self.raft_applied = Some(index);
        let partition = self.partition;
        self.context
            .partitions
            .update(partition, |view| view.raft_applied = index);
        if passes_barrier {
            self.serve();
        }
    }

    /// This leader takes writes and answers reads from here on.
    fn serve(&mut self) {
        let partition = self.partition;
        let member = self.member();
        let Some(leadership) = &member.leadership else {
            return;
        };
        let epoch = leadership.epoch;
        member.is_serving = true;
        self.context.groups.update(partition, |group| {
            let leads = (epoch.leader.node, crate::model::raft::Term(epoch.term));
            // Unless it was deposed meanwhile.
            group.is_serving = group.leader == Some(leads);
        });
    }

    /// An entry could not be written: it is applied again when the store works.
    pub(super) fn apply_again(&mut self, agreed: Agreed, passes_barrier: bool) {
        let member = self.member();
        // The barrier is recognised by its number again.
        debug_assert!(!passes_barrier || member.barrier.is_some());
        member.agreed.push_front(agreed);
    }

    /// How far the group's entries are in the rows, as the store has it.
    pub(super) fn stored_raft_applied(
        &self,
    ) -> Result<Option<RaftIndex>, crate::storage::partition::ReadError> {
        read_raft_applied(self.context.store.as_ref(), self.partition)
    }
}

/// How far a group's entries are in the rows.
pub(super) fn read_raft_applied(
    store: &dyn crate::ports::store::Store,
    partition: crate::model::ids::PartitionId,
) -> Result<Option<RaftIndex>, crate::storage::partition::ReadError> {
    let stored = store.get(Family::Raft, &raft::applied(partition))?;
    let stored = stored.map(|bytes| crate::wire::raft::decode_applied(&bytes));
    Ok(stored
        .transpose()?
        .and_then(|applied| applied.last)
        .map(|id| id.index))
}
