//! What a node sees of the others of its region: whether they are connected, when they were last heard, what they lead, and
//! which of this node's signs of life they have acknowledged.
//!
//! Written by the tasks of the mesh, read by whoever decides about leaders and leases. A short lock for each node; what is
//! large is shared, not copied.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::model::agreement::MemberId;
use crate::model::health::{ClockOffsets, Suspicion};
use crate::model::hlc::WallTime;
use crate::model::ids::{Incarnation, NodeId, PartitionId};
use crate::model::limits;
use crate::model::raft::Term;
use crate::model::tick::Tick;
use crate::ports::link::{CloseCode, Connection};
use crate::wire::codec::DecodeError;
use crate::wire::mesh::{Acknowledgement, MeshIntroduction, SignNumber, SignOfLife};

/// A sign of life of this node that another one has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// When this node began to send it, by its own clock: not later than anything that the other node has promised.
    pub sent_at: Tick,
    /// What it said.
    pub sign: Arc<SignOfLife>,
    /// What the other node has promised.
    pub acknowledgement: Acknowledgement,
}

impl Acknowledged {
    /// Whether the promise is about this node as the leader of a partition in a term.
    #[must_use]
    pub fn covers(&self, partition: PartitionId, term: Term) -> bool {
        self.sign.leads.get(&partition) == Some(&term) && !self.acknowledgement.except.contains(&partition)
    }
}

/// What is seen of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Which.
    pub node: NodeId,
    /// Why there is no connection that this node has dialled; none while there is one.
    pub down: Option<Arc<str>>,
    /// The round-trip time on that connection.
    pub round_trip: Option<Duration>,
    /// Whether there is a connection that the other node has dialled.
    pub is_accepted: bool,
    /// The incarnation of its data folder, as it said last; none until it was met.
    pub incarnation: Option<Incarnation>,
    /// When its last sign of life came.
    pub heard_at: Option<Tick>,
    /// How improbable its silence is: one like this or longer has the probability 10^-phi. None until it was heard.
    pub phi: Option<f64>,
    /// Its last sign of life.
    pub said: Option<Arc<SignOfLife>>,
    /// How far its clock is ahead of this node's, in milliseconds, by its last signs of life.
    pub clock_ahead_ms: Option<i64>,
    /// The newest sign of life of this node that it has acknowledged.
    pub acknowledged: Option<Arc<Acknowledged>>,
}

/// A connection that this node has dialled.
struct Dialled {
    life: u64,
    connection: Arc<dyn Connection>,
}

/// A connection that another node has dialled.
struct Accepted {
    number: u64,
    connection: Arc<dyn Connection>,
}

struct Inner {
    down: Option<Arc<str>>,
    dialled: Option<Dialled>,
    dialled_count: u64,
    accepted: Option<Accepted>,
    accepted_count: u64,
    incarnation: Option<Incarnation>,
    heard_at: Option<Tick>,
    suspicion: Suspicion,
    said: Option<Arc<SignOfLife>>,
    clock: ClockOffsets,
    /// The number of the last sign that was sent on the present connection.
    sent: SignNumber,
    /// Signs sent on the present connection, oldest first, at most [`limits::SIGNS_UNACKNOWLEDGED_MAX`].
    unacknowledged: VecDeque<(Tick, Arc<SignOfLife>)>,
    acknowledged: Option<Arc<Acknowledged>>,
}

impl Inner {
    fn new() -> Self {
        Self {
            down: Some(Arc::from("it was not reached yet")),
            dialled: None,
            dialled_count: 0,
            accepted: None,
            accepted_count: 0,
            incarnation: None,
            heard_at: None,
            suspicion: Suspicion::new(limits::SIGN_INTERVAL_MS),
            said: None,
            clock: ClockOffsets::default(),
            sent: SignNumber::default(),
            unacknowledged: VecDeque::new(),
            acknowledged: None,
        }
    }

    fn meet(&mut self, theirs: &MeshIntroduction) {
        let incarnation = Some(theirs.introduction.incarnation);
        if self.incarnation != incarnation {
            // Another disk: it has promised nothing.
            self.acknowledged = None;
        }
        self.incarnation = incarnation;
    }

    fn view(&self, node: NodeId, now: Tick) -> NodeView {
        NodeView {
            node,
            down: self.down.clone(),
            round_trip: self
                .dialled
                .as_ref()
                .map(|dialled| dialled.connection.round_trip()),
            is_accepted: self.accepted.is_some(),
            incarnation: self.incarnation,
            heard_at: self.heard_at,
            phi: self.suspicion.phi(now),
            said: self.said.clone(),
            clock_ahead_ms: self.clock.offset_ms(),
            acknowledged: self.acknowledged.clone(),
        }
    }
}

/// What this node sees of all others of its region.
pub struct MeshBoard {
    nodes: BTreeMap<NodeId, Mutex<Inner>>,
    changes: watch::Sender<u64>,
}

impl std::fmt::Debug for MeshBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.nodes.keys()).finish()
    }
}

impl MeshBoard {
    /// A board for these nodes, of which nothing is known yet.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let nodes = nodes.into_iter().map(|node| (node, Mutex::new(Inner::new())));
        Self {
            nodes: nodes.collect(),
            changes: watch::Sender::new(0),
        }
    }

    /// The other nodes of the region, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.keys().copied()
    }

    /// What is seen of a node; none if the region has no such node.
    #[must_use]
    pub fn view(&self, node: &NodeId, now: Tick) -> Option<NodeView> {
        let inner = self.lock(node)?;
        Some(inner.view(*node, now))
    }

    /// What is seen of all nodes, in the order of their names.
    #[must_use]
    pub fn views(&self, now: Tick) -> Vec<NodeView> {
        let views = self.nodes.keys().filter_map(|node| self.view(node, now));
        views.collect()
    }

    /// The newest sign of life of this node that another one has acknowledged, for leases: cheaper than a view.
    #[must_use]
    pub fn acknowledged_by(&self, member: &MemberId) -> Option<Arc<Acknowledged>> {
        let inner = self.lock(&member.node)?;
        let is_member = inner.incarnation == Some(member.incarnation);
        inner.acknowledged.clone().filter(|_| is_member)
    }

    /// In which life a node's data folder is, as it said last; none until it was met.
    #[must_use]
    pub fn incarnation(&self, node: &NodeId) -> Option<Incarnation> {
        self.lock(node)?.incarnation
    }

    /// Tells of each change of what is seen, but for phi, which changes with time. Changes between two looks are one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// This process itself did not run for so long until `now`: the silence of others was none.
    pub fn forgive(&self, pause_ms: u64, now: Tick) {
        for node in self.nodes.keys() {
            self.update(node, |inner| inner.suspicion.forgive(pause_ms, now));
        }
    }

    /// A connection was dialled. Its signs of life are numbered anew, and those of the one before are not acknowledged
    /// any more; what was acknowledged keeps its worth, since it is bound to time and not to a connection.
    pub(super) fn dialled(&self, theirs: &MeshIntroduction, connection: Arc<dyn Connection>) {
        self.update(&theirs.introduction.node, |inner| {
            inner.down = None;
            inner.dialled_count += 1;
            inner.meet(theirs);
            inner.sent = SignNumber::default();
            inner.unacknowledged.clear();
            inner.dialled = Some(Dialled {
                life: theirs.life,
                connection,
            });
        });
    }

    /// The connection to a node that this one has dialled.
    pub(super) fn connection(&self, node: &NodeId) -> Option<Arc<dyn Connection>> {
        let inner = self.lock(node)?;
        let dialled = inner.dialled.as_ref()?;
        Some(Arc::clone(&dialled.connection))
    }

    /// The number of the connection to a node that this one has dialled, since it was started; none while there is none.
    #[must_use]
    pub fn dialled_number(&self, node: &NodeId) -> Option<u64> {
        let inner = self.lock(node)?;
        inner.dialled.as_ref().map(|_| inner.dialled_count)
    }

    /// There is no connection that this node has dialled.
    pub(super) fn not_dialled(&self, node: &NodeId, why: &str) {
        self.update(node, |inner| {
            inner.down = Some(Arc::from(why));
            inner.dialled = None;
        });
    }

    /// Another node has dialled a connection; its number, to take it off again.
    ///
    /// One that it has dialled before is closed: it needs one only, and has given that one up or does not know yet that it
    /// is gone. So is the one that this node has dialled, if it leads to an earlier life of the other: a process that was
    /// killed has closed nothing, and the transport would notice only after seconds of silence.
    pub(super) fn accepted(&self, theirs: &MeshIntroduction, connection: Arc<dyn Connection>) -> u64 {
        let (mut replaced, mut outlived, mut number) = (None, None, 0);
        self.update(&theirs.introduction.node, |inner| {
            number = inner.accepted_count;
            inner.accepted_count += 1;
            inner.meet(theirs);
            replaced = inner.accepted.replace(Accepted { number, connection });
            outlived = inner.dialled.take_if(|dialled| dialled.life != theirs.life);
        });
        if let Some(before) = replaced {
            let reason = "a newer connection has taken its place";
            before.connection.close(CloseCode::Done, reason);
        }
        if let Some(before) = outlived {
            let reason = "the node was started again";
            before.connection.close(CloseCode::Done, reason);
        }
        number
    }

    /// A connection that another node has dialled is gone.
    pub(super) fn not_accepted(&self, node: &NodeId, number: u64) {
        self.update(node, |inner| {
            // Unless a newer one is there.
            if inner
                .accepted
                .as_ref()
                .is_some_and(|accepted| accepted.number == number)
            {
                inner.accepted = None;
            }
        });
    }

    /// The number of the next sign of life on the present connection.
    pub(super) fn next_sign(&self, node: &NodeId) -> SignNumber {
        let sent = self.lock(node).map(|inner| inner.sent);
        sent.unwrap_or_default().next()
    }

    /// A sign of life is about to be sent: before it is, so that whatever holds it up makes its acknowledgement worth less,
    /// never more.
    pub(super) fn sending(&self, node: &NodeId, sent_at: Tick, sign: Arc<SignOfLife>) {
        if let Some(mut inner) = self.lock(node) {
            inner.sent = sign.number;
            if inner.unacknowledged.len() == limits::SIGNS_UNACKNOWLEDGED_MAX {
                inner.unacknowledged.pop_front();
            }
            inner.unacknowledged.push_back((sent_at, sign));
        }
    }

    /// A sign of life was acknowledged.
    ///
    /// # Errors
    /// When it was never sent on this connection.
    pub(super) fn acknowledge(
        &self,
        node: &NodeId,
        acknowledgement: &Acknowledgement,
    ) -> Result<(), DecodeError> {
        let number = acknowledgement.number;
        let mut is_sent = true;
        self.update(node, |inner| {
            // `<=`: the last one may well be acknowledged. Zero names none.
            is_sent = number > SignNumber::default() && number <= inner.sent;
            if !is_sent {
                return;
            }
            // Those before it were not acknowledged, or are worth less: they go.
            while let Some((sent_at, sign)) = inner
                .unacknowledged
                .pop_front_if(|(_, sign)| sign.number <= number)
            {
                if sign.number == number {
                    inner.acknowledged = Some(Arc::new(Acknowledged {
                        sent_at,
                        sign,
                        acknowledgement: acknowledgement.clone(),
                    }));
                }
            }
        });
        if !is_sent {
            let detail = format!("sign of life {} was not sent", number.0);
            return Err(DecodeError::new("an acknowledgement", detail));
        }
        Ok(())
    }

    /// A sign of life has come.
    pub(super) fn heard(&self, node: &NodeId, now: Tick, wall_now: WallTime, sign: Arc<SignOfLife>) {
        self.update(node, |inner| {
            let accepted = inner.accepted.as_ref();
            let round_trip = accepted.map(|accepted| accepted.connection.round_trip());
            let round_trip_ms = round_trip.unwrap_or_default().as_millis();
            let round_trip_ms = u64::try_from(round_trip_ms).unwrap_or(u64::MAX);
            inner.clock.heard(sign.clock, wall_now, round_trip_ms);
            inner.heard_at = Some(now);
            inner.suspicion.heard(now);
            inner.said = Some(sign);
        });
    }

    fn lock(&self, node: &NodeId) -> Option<MutexGuard<'_, Inner>> {
        let inner = self.nodes.get(node)?;
        Some(inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn update(&self, node: &NodeId, change: impl FnOnce(&mut Inner)) {
        if let Some(mut inner) = self.lock(node) {
            change(&mut inner);
            drop(inner);
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

#[cfg(test)]
#[path = "board_test.rs"]
mod tests;
