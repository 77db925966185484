//! What a partition does with its messages, apart from sending and timing: queues, groups, completions.
//!
//! Invariant 7: while a group is in flight, nothing else changes the state; when it fails, state and digest are read
//! from the store again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::actors::context::NodeContext;
use crate::actors::partition::member::{Membership, read_raft_applied};
use crate::actors::partition::message::{Drained, Receipts};
use crate::actors::region::{Admission, RegionError};
use crate::agreement::{Agreed, Group};
use crate::model::agreement::Epoch;
use crate::model::digest::{Digest, RowHasher};
use crate::model::entry::AgedOutcome;
use crate::model::idempotency::Decision;
use crate::model::ids::{PartitionId, RegionId};
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::model::partition::PartitionState;
use crate::model::raft::RaftIndex;
use crate::model::record::RecordId;
use crate::model::replication::inbox::{Inbox, Missing};
use crate::model::replication::retention::Cut;
use crate::model::request::Submission;
use crate::model::tick::Tick;
use crate::model::vector::Dot;
use crate::ports::store::{StoreError, WriteSet};
use crate::storage::partition::{LoadError, load};
use crate::wire::group::Proposal;
use crate::wire::messages::RewindReason;

type Reply = oneshot::Sender<Result<Decision, RegionError>>;

/// A write that waits for its group.
#[derive(Debug)]
pub(super) struct PendingWrite {
    pub(super) submission: Submission,
    /// See [`PartitionMessage::Write`](crate::actors::partition::PartitionMessage::Write).
    pub(super) only_in: Option<Epoch>,
    pub(super) admission: Admission,
    pub(super) reply: Reply,
}

/// A write whose group is on its way to the disk.
#[derive(Debug)]
pub(super) struct AnsweredWrite {
    pub(super) answer: Result<Decision, RegionError>,
    pub(super) reply: Reply,
    pub(super) _admission: Admission,
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) state: PartitionState,
    pub(super) system_records: Vec<RecordId>,
    pub(super) writes: Vec<AnsweredWrite>,
    pub(super) sources: BTreeSet<RegionId>,
    /// The entry that it applies, in a group.
    pub(super) agreed: Option<Agreed>,
    /// That entry begins this node's leadership.
    pub(super) passes_barrier: bool,
}

impl InFlight {
    /// Nobody here waits for it.
    pub(super) fn of_nobody(state: PartitionState, system_records: Vec<RecordId>) -> Self {
        Self {
            state,
            system_records,
            writes: Vec::new(),
            sources: BTreeSet::new(),
            agreed: None,
            passes_barrier: false,
        }
    }
}

/// What became of building a group.
pub(super) enum Built {
    /// There is nothing to do.
    Nothing,
    /// Nothing had to be written; there may be more to do.
    Answered,
    /// This must be written.
    Write(WriteSet),
    /// The others must agree on this.
    Propose(Proposal, Group),
}

/// Why a partition does not take writes.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// For good, until the node is restarted.
    Stopped(String),
    /// Until the store answers again; then the state is read anew.
    Store(String),
    /// Until a snapshot is in its place; then the state is read anew.
    Installing,
}

/// The state of the actor.
pub(super) struct PartitionCore {
    pub(super) context: Arc<NodeContext>,
    pub(super) partition: PartitionId,
    pub(super) state: PartitionState,
    pub(super) digest: Digest,
    pub(super) hasher: RowHasher,
    pub(super) inbox: Inbox,
    /// Where each region hears what became of the commits on its lane.
    pub(super) lanes: BTreeMap<RegionId, Arc<dyn Receipts>>,
    pub(super) pending: VecDeque<PendingWrite>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) cut: Option<Cut>,
    /// Outcomes to forget; those of the next look replace what was not come to.
    pub(super) expired: Vec<AgedOutcome>,
    pub(super) trouble: Option<Trouble>,
    /// In a region of several nodes.
    pub(super) member: Option<Membership>,
    /// The last entry of the group that is in the rows.
    pub(super) raft_applied: Option<RaftIndex>,
    /// Writes that were ever taken from `pending`.
    pub(super) begun: u64,
    /// Who waits until so many writes were begun, and none of them is without outcome.
    pub(super) drained: Vec<(u64, oneshot::Sender<Drained>)>,
}

impl std::fmt::Debug for PartitionCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionCore")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl PartitionCore {
    /// Loads the partition and puts it on the board.
    pub(super) fn load(context: Arc<NodeContext>, partition: PartitionId) -> Result<Self, LoadError> {
        let hasher = RowHasher::default();
        let loaded = load(context.store.as_ref(), partition, &hasher, context.clock.now())?;
        if loaded.replayed_entries > 0 {
            tracing::info!(
                region = %context.identity.region, %partition, entries = loaded.replayed_entries,
                "replayed log entries that were not in the rows yet"
            );
        }
        if !mutation::is_on(Mutation::ForgetLastStamp) {
            context.hybrid_clock.restore(loaded.state.last_hlc);
        }
        context.partitions.update(partition, |view| {
            view.update(&loaded.state, loaded.digest.root());
            // Of an actor that has failed before this one.
            view.write_trouble = None;
            view.held_commits = 0;
        });
        context.health.commit_ended(partition, context.clock.tick());
        note_own_stamp(&context, &loaded.state);
        let raft_applied = read_raft_applied(context.store.as_ref(), partition)
            .map_err(|source| LoadError::Read { partition, source })?;
        context.partitions.update(partition, |view| {
            view.raft_applied = raft_applied.unwrap_or_default();
        });
        let member = context
            .membership
            .as_ref()
            .map(|membership| Membership::new(membership.own, context.entropy.next_u64() / 2));
        let inbox = Inbox::for_peers(context.peers.len());
        Ok(Self {
            context,
            partition,
            state: loaded.state,
            digest: loaded.digest,
            hasher,
            inbox,
            lanes: BTreeMap::new(),
            pending: VecDeque::new(),
            in_flight: None,
            cut: None,
            expired: Vec::new(),
            trouble: None,
            member,
            raft_applied,
            begun: 0,
            drained: Vec::new(),
        })
    }

    // --- getters

    pub(super) fn context(&self) -> &Arc<NodeContext> {
        &self.context
    }

    pub(super) fn partition(&self) -> PartitionId {
        self.partition
    }

    pub(super) fn is_waiting_for_others(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(super) fn is_member(&self) -> bool {
        self.member.is_some()
    }

    pub(super) fn stopped_because(&self) -> Option<String> {
        match &self.trouble {
            Some(Trouble::Stopped(why)) => Some(why.clone()),
            _ => None,
        }
    }

    /// Nothing that this node has begun is without outcome.
    fn is_settled(&self) -> bool {
        self.in_flight.is_none() && !self.member.as_ref().is_some_and(Membership::is_open)
    }

    pub(super) fn needs_recovery(&self) -> bool {
        matches!(self.trouble, Some(Trouble::Store(_)))
    }

    /// What to ask other regions for. Nothing while a group is in flight, which may bring it, or while nothing could be
    /// taken in.
    pub(super) fn missing(&self, now: Tick) -> Vec<Missing> {
        if !self.is_settled() || self.trouble.is_some() {
            return Vec::new();
        }
        self.inbox
            .missing(&self.state.vector, now, limits::GAP_PATIENCE_MS)
    }

    /// How many changes were applied or are about to be, of all replicas: shows whether a fetch has brought anything.
    pub(super) fn changes_taken(&self) -> u64 {
        let state = self
            .in_flight
            .as_ref()
            .map_or(&self.state, |in_flight| &in_flight.state);
        state
            .vector
            .iter()
            .map(|dot| dot.seq)
            .fold(0, u64::saturating_add)
    }

    // --- handlers

    pub(super) fn handle_write(&mut self, write: PendingWrite) {
        self.pending.push_back(write);
    }

    pub(super) fn handle_cut(&mut self, cut: Cut) {
        if self.is_in_charge() {
            self.cut = Some(cut);
        }
    }

    pub(super) fn handle_expired(&mut self, expired: Vec<AgedOutcome>) {
        if self.is_in_charge() {
            self.expired = expired;
        }
    }

    /// Whether this node decides what becomes of the partition.
    pub(super) fn is_in_charge(&self) -> bool {
        self.member.as_ref().is_none_or(Membership::is_serving)
    }

    pub(super) fn handle_drain(&mut self, done: oneshot::Sender<Drained>) {
        self.drained.push((self.begun + self.pending.len() as u64, done));
        self.tell_drained();
    }

    /// The write of the group in flight has ended.
    pub(super) fn handle_written(&mut self, result: Result<(), StoreError>) {
        let Some(in_flight) = self.in_flight.take() else {
            return;
        };
        match result {
            Ok(()) => self.complete(in_flight),
            Err(error) => self.fail(in_flight, &error),
        }
        self.tell_drained();
    }

    pub(super) fn complete(&mut self, in_flight: InFlight) {
        self.state = in_flight.state;
        // Before the board and the answers: whoever hears that a namespace is configured, or has waited until its
        // configuration is here, may use it at once.
        self.context
            .namespaces
            .refresh(self.context.store.as_ref(), &in_flight.system_records);
        if let Some(agreed) = &in_flight.agreed {
            self.note_agreed(agreed, in_flight.passes_barrier);
        }
        let root = self.digest.root();
        let held = self.inbox.len();
        self.context.partitions.update(self.partition, |view| {
            view.update(&self.state, root);
            view.held_commits = held;
            // Local writes bring nothing that was lacking.
            if !in_flight.sources.is_empty() {
                view.lacking = None;
            }
        });
        note_own_stamp(&self.context, &self.state);
        for write in in_flight.writes {
            // An error means that nobody waits any more.
            let _ = write.reply.send(write.answer);
        }
        for receipts in in_flight
            .sources
            .iter()
            .filter_map(|source| self.lanes.get(source))
        {
            receipts.applied(self.partition, self.state.vector.clone());
        }
        self.context.partitions.announce(self.partition);
    }

    fn fail(&mut self, in_flight: InFlight, error: &StoreError) {
        let nothing_written = in_flight.agreed.is_none()
            && matches!(
                error,
                StoreError::DiskFull { .. } | StoreError::Overloaded { .. } | StoreError::Recovering { .. }
            );
        let answer = RegionError::Unavailable {
            reason: error.to_string(),
            outcome_unknown: !nothing_written,
        };
        for write in in_flight.writes {
            let _ = write.reply.send(Err(answer.clone()));
        }
        if nothing_written {
            self.reload();
        } else {
            tracing::error!(region = %self.context.identity.region, partition = %self.partition, %error, "a write failed");
            self.wait_for_store(error.to_string());
        }
        self.put_off_sources(&in_flight.sources, RewindReason::Storage, &error.to_string());
        if let Some(agreed) = in_flight.agreed {
            self.apply_again(agreed, in_flight.passes_barrier);
        }
    }

    /// Takes nothing in until the store has recovered. A partition that has stopped for good stays so.
    pub(super) fn wait_for_store(&mut self, why: String) {
        if matches!(self.trouble, Some(Trouble::Stopped(_))) {
            return;
        }
        self.context
            .partitions
            .update(self.partition, |view| view.write_trouble = Some(why.clone()));
        self.trouble = Some(Trouble::Store(why));
    }

    /// Reads state and digest from the store.
    pub(super) fn reload(&mut self) {
        let now = self.context.clock.now();
        let (context, store) = (&self.context, self.context.store.as_ref());
        let loaded = load(store, self.partition, &self.hasher, now).and_then(|loaded| {
            let refreshed = context.namespaces.refresh_partition(store, self.partition);
            let partition = self.partition;
            refreshed.map_err(|source| LoadError::Read { partition, source })?;
            let applied = self.stored_raft_applied();
            let applied = applied.map_err(|source| LoadError::Read { partition, source })?;
            Ok((loaded, applied))
        });
        match loaded {
            Ok((loaded, applied)) => {
                self.state = loaded.state;
                self.raft_applied = applied;
                self.digest = loaded.digest;
                if matches!(self.trouble, Some(Trouble::Store(_) | Trouble::Installing)) {
                    self.trouble = None;
                }
                self.context.hybrid_clock.restore(self.state.last_hlc);
                let root = self.digest.root();
                self.context.partitions.update(self.partition, |view| {
                    view.update(&self.state, root);
                    view.write_trouble = None;
                    view.raft_applied = applied.unwrap_or_default();
                    // It may be here now. What still lacks something after this says so again.
                    view.lacking = None;
                });
                note_own_stamp(&self.context, &self.state);
                // A write whose outcome was unknown may have turned out to be there.
                self.context.partitions.announce(self.partition);
            }
            Err(error) => {
                let error = crate::actors::error_chain(&error);
                tracing::error!(region = %self.context.identity.region, partition = %self.partition, %error, "reading the state again failed");
                self.wait_for_store(error);
            }
        }
    }

    /// Stops the partition for good, loudly; others go on (LESSONS 12).
    pub(super) fn stop(&mut self, why: String) {
        if matches!(self.trouble, Some(Trouble::Stopped(_))) {
            return;
        }
        tracing::error!(region = %self.context.identity.region, partition = %self.partition, %why, "partition stopped");
        self.context
            .partitions
            .update(self.partition, |view| view.stopped = Some(why.clone()));
        self.inbox.clear();
        self.trouble = Some(Trouble::Stopped(why));
    }

    /// What no other region's log has, for `status`; until something is applied again. What has come by another way while
    /// the fetch went on is not lacking any more.
    pub(super) fn show_lacking(&self, lacking: Option<Missing>) {
        let state = self
            .in_flight
            .as_ref()
            .map_or(&self.state, |in_flight| &in_flight.state);
        // What the group lacks is for its leader to say.
        let leads = self.context.groups.leads(self.partition);
        let lacking = lacking.filter(|_| leads).filter(|missing| {
            let dot = Dot {
                replica: missing.replica,
                seq: missing.last_seq,
            };
            !state.vector.covers(&dot) || mutation::is_on(Mutation::KeepLacking)
        });
        let lacking = lacking.map(|missing| {
            let Missing {
                replica,
                first_seq,
                last_seq,
                ..
            } = missing;
            format!("changes {first_seq} to {last_seq} of {replica}")
        });
        self.context
            .partitions
            .update(self.partition, |view| view.lacking = lacking);
    }

    /// Why nobody can tell whether all that was begun is in the rows, though nothing is on its way there.
    fn trouble_of_drain(&self) -> Option<String> {
        match &self.trouble {
            Some(Trouble::Store(why)) => Some(why.clone()),
            Some(Trouble::Installing) => {
                Some("the whole partition comes from another node of this region".to_owned())
            }
            // Of a partition without a group the rows are all there is.
            Some(Trouble::Stopped(why)) => self.is_member().then(|| why.clone()),
            None => None,
        }
    }

    pub(super) fn show_held(&self) {
        let held = self.inbox.len();
        self.context
            .partitions
            .update(self.partition, |view| view.held_commits = held);
    }

    pub(super) fn tell_drained(&mut self) {
        if !self.is_settled() {
            return;
        }
        let trouble = self.trouble_of_drain();
        // What was agreed on and is not in the rows yet was begun here, maybe, and seen elsewhere.
        if trouble.is_none() && self.is_behind_agreement() {
            return;
        }
        // What came after somebody began to wait is not waited for: under load there is always more.
        let begun = self.begun;
        for (_, done) in self.drained.extract_if(.., |(wanted, _)| *wanted <= begun) {
            let _ = done.send(trouble.clone().map_or(Ok(()), Err));
        }
    }
}

/// What is promised to other regions begins at the last own stamp that is durable.
fn note_own_stamp(context: &NodeContext, state: &PartitionState) {
    if let Some(stamp) = state.stamps.get(&context.identity.region) {
        context.partitions.note_own_stamp(*stamp);
    }
}
