//! Who leads each partition of this region, as this node knows it. Written by whoever runs the groups, read by links,
//! requests and `status`.
//!
//! The only node of a region leads everything, always; nobody writes to its board.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::actors::group::overview::{GroupCounts, GroupJudge, Silence};
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionCount, PartitionId};
use crate::model::partition_set::PartitionSet;
use crate::model::raft::Term;

/// One partition's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupView {
    /// Who leads it and in which term, as far as this node has heard.
    pub leader: Option<(NodeId, Term)>,
    /// This node leads it, and has applied everything up to an entry of its own: it takes writes.
    pub is_serving: bool,
    /// No later leader gives a stamp up to this one, in what this node leads.
    pub promised: Hlc,
    /// The partition's actor was started again, and has not heard yet that this node leads, if it does.
    pub has_restarted: bool,
}

/// What this node may promise to other regions in the partitions that it leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Promised {
    /// Every stamp that is given from now on is greater,
    pub through: Hlc,
    /// but for these partitions.
    pub except: BTreeSet<PartitionId>,
}

/// All groups of a node.
pub struct GroupBoard {
    own: NodeId,
    /// None in a region of one node.
    groups: Option<Mutex<Vec<GroupView>>>,
    /// By partition, in a region of several nodes: how often it was begun or ceased to be held here. Even while it is.
    holding: Vec<AtomicU64>,
    changed: Notify,
    /// The region does not have this node any more.
    is_expelled: AtomicBool,
    /// Whoever runs the groups; without, what is written here counts.
    judge: OnceLock<Box<dyn GroupJudge>>,
    counts: GroupCounts,
}

impl std::fmt::Debug for GroupBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GroupBoard({})", self.own)
    }
}

impl GroupBoard {
    /// Of the only node of its region.
    #[must_use]
    pub fn alone(own: NodeId) -> Self {
        Self {
            own,
            groups: None,
            holding: Vec::new(),
            changed: Notify::new(),
            is_expelled: AtomicBool::new(false),
            judge: OnceLock::new(),
            counts: GroupCounts::default(),
        }
    }

    /// Of one node among several, which knows nothing yet.
    #[must_use]
    pub fn new(own: NodeId, count: PartitionCount) -> Self {
        let groups = count.ids().map(|_| GroupView::default()).collect();
        Self {
            own,
            groups: Some(Mutex::new(groups)),
            holding: count.ids().map(|_| AtomicU64::new(0)).collect(),
            changed: Notify::new(),
            is_expelled: AtomicBool::new(false),
            judge: OnceLock::new(),
            counts: GroupCounts::default(),
        }
    }

    /// Whether this node has its region to itself.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.groups.is_none()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Vec<GroupView>>> {
        let groups = self.groups.as_ref()?;
        Some(groups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this node has a copy of a partition that reads may be answered from.
    #[must_use]
    pub fn holds(&self, partition: PartitionId) -> bool {
        self.holding_since(partition).is_some()
    }

    /// The same, with a number that is another one when the copy was given up in between, be it there again: what was read
    /// counts only if it is the same before and after.
    #[must_use]
    pub fn holding_since(&self, partition: PartitionId) -> Option<u64> {
        let since = match self.holding.get(usize::from(partition.0)) {
            Some(since) => since.load(Ordering::Acquire),
            None => 0,
        };
        since.is_multiple_of(2).then_some(since)
    }

    /// The copy of a partition is there from now on, or is not: before any of it goes, and after all of it has come. Nothing to do
    /// where this node has its region to itself, which holds everything.
    pub fn set_held(&self, partition: PartitionId, is_held: bool) {
        if let Some(since) = self.holding.get(usize::from(partition.0)) {
            let turn = |since: u64| (since.is_multiple_of(2) != is_held).then_some(since + 1);
            // An error means that it is as wanted.
            let _ = since.fetch_update(Ordering::AcqRel, Ordering::Acquire, turn);
        }
    }

    /// The partitions of which this node has a copy.
    #[must_use]
    pub fn held(&self, all: impl Iterator<Item = PartitionId>) -> PartitionSet {
        all.filter(|partition| self.holds(*partition)).collect()
    }

    /// Why this node must not answer anything any more: the region goes on without it, so what it has grows old.
    #[must_use]
    pub fn expelled(&self) -> Option<String> {
        self.is_expelled.load(Ordering::Acquire).then(|| {
            format!(
                "{} was removed from its region: use another node. Stop it; to add it again, empty its data folder first",
                self.own
            )
        })
    }

    /// See [`Self::expelled`].
    pub(super) fn set_expelled(&self, is_expelled: bool) {
        self.is_expelled.store(is_expelled, Ordering::Release);
    }

    /// What is known of one group.
    #[must_use]
    pub fn view(&self, partition: PartitionId) -> GroupView {
        let alone = GroupView {
            leader: Some((self.own, Term(0))),
            is_serving: true,
            ..GroupView::default()
        };
        self.lock()
            .map_or(alone, |groups| groups[usize::from(partition.0)])
    }

    /// Whether this node leads a partition and takes its writes.
    #[must_use]
    pub fn leads(&self, partition: PartitionId) -> bool {
        self.view(partition).is_serving
    }

    /// Whether nobody else can have led a partition until now: what this node has applied is then all that anybody was
    /// answered. To be asked after that was looked at.
    #[must_use]
    pub fn leads_by_lease(&self, partition: PartitionId) -> bool {
        self.is_alone()
            || (self.leads(partition) && self.judge.get().is_none_or(|judge| judge.holds_lease(partition)))
    }

    /// Who knows that. Only the first call counts.
    pub(super) fn set_judge(&self, judge: Box<dyn GroupJudge>) {
        let _ = self.judge.set(judge);
    }

    /// The nodes that are not heard; none where nobody runs groups.
    #[must_use]
    pub fn silence(&self) -> Silence {
        self.judge.get().map(|judge| judge.silence()).unwrap_or_default()
    }

    /// What has happened to the groups.
    #[must_use]
    pub fn counts(&self) -> &GroupCounts {
        &self.counts
    }

    /// Which node leads a partition, as far as this one has heard.
    #[must_use]
    pub fn leader(&self, partition: PartitionId) -> Option<NodeId> {
        self.view(partition).leader.map(|(node, _)| node)
    }

    /// The partitions of which this node takes writes, each with its term.
    #[must_use]
    pub fn led(&self) -> BTreeMap<PartitionId, Term> {
        let Some(groups) = self.lock() else {
            return BTreeMap::new();
        };
        let led = (0..).map(PartitionId).zip(groups.iter());
        led.filter(|(_, group)| group.is_serving)
            .filter_map(|(partition, group)| Some((partition, group.leader?.1)))
            .collect()
    }

    /// What may be promised to other regions where `wanted` is what this node itself will not go below again.
    #[must_use]
    pub fn promise(&self, wanted: Hlc) -> Promised {
        let Some(groups) = self.lock() else {
            return Promised {
                through: wanted,
                except: BTreeSet::new(),
            };
        };
        let led = (0..).map(PartitionId).zip(groups.iter());
        let led: Vec<(PartitionId, Hlc)> = led
            .filter(|(_, group)| group.is_serving)
            .map(|(partition, group)| (partition, group.promised.min(wanted)))
            .collect();
        let through = led.iter().map(|(_, promised)| *promised).max();
        let through = through.unwrap_or_default();
        let except = led.iter().filter(|(_, promised)| *promised < through);
        Promised {
            through,
            except: except.map(|(partition, _)| *partition).collect(),
        }
    }

    /// The actor of a partition has failed: what it knew of its leadership is gone, and told again when it `has_restarted`. Nothing
    /// to do where this node has its region to itself.
    pub fn note_failure(&self, partition: PartitionId, has_restarted: bool) {
        if !self.is_alone() {
            self.update(partition, |group| {
                group.is_serving = false;
                group.has_restarted = has_restarted;
            });
        }
    }

    /// Changes what is known of one group.
    ///
    /// # Panics
    /// In a region of one node.
    pub fn update(&self, partition: PartitionId, change: impl FnOnce(&mut GroupView)) {
        let mut groups = self.lock().expect("a region of one node has no groups");
        let group = &mut groups[usize::from(partition.0)];
        let before = *group;
        change(group);
        let is_changed = (before.leader, before.is_serving) != (group.leader, group.is_serving);
        drop(groups);
        if is_changed {
            self.changed.notify_waiters();
        }
    }

    /// Waits until a group is as wanted; the caller bounds the time.
    pub async fn wait_until<T>(&self, partition: PartitionId, found: impl Fn(&GroupView) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look: a change after it is not missed.
            changed.as_mut().enable();
            if let Some(found) = found(&self.view(partition)) {
                return found;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> GroupBoard {
        GroupBoard::new("n1".parse().unwrap(), PartitionCount::new(4).unwrap())
    }

    fn lead(board: &GroupBoard, partition: u16, promised: u64) {
        board.update(PartitionId(partition), |group| {
            *group = GroupView {
                leader: Some(("n1".parse().unwrap(), Term(2))),
                is_serving: true,
                promised: Hlc(promised),
                ..GroupView::default()
            };
        });
    }

    #[test]
    fn the_only_node_of_a_region_leads_everything_and_promises_what_it_wants() {
        let board = GroupBoard::alone("n1".parse().unwrap());
        assert!(board.leads(PartitionId(2)) && board.is_alone());
        let promised = board.promise(Hlc(7));
        assert_eq!((promised.through, promised.except.len()), (Hlc(7), 0));
    }

    #[test]
    fn a_copy_that_was_given_up_in_between_is_not_the_same() {
        let alone = GroupBoard::alone("n1".parse().unwrap());
        alone.set_held(PartitionId(1), false);
        assert!(alone.holds(PartitionId(1)));
        let board = board();
        let before = board.holding_since(PartitionId(1));
        board.set_held(PartitionId(1), true);
        assert!(before.is_some() && board.holding_since(PartitionId(1)) == before);
        board.set_held(PartitionId(1), false);
        board.set_held(PartitionId(1), false);
        assert!(!board.holds(PartitionId(1)) && board.holds(PartitionId(0)));
        assert_eq!(board.held((0..4).map(PartitionId)).len(), 3);
        board.set_held(PartitionId(1), true);
        assert!(board.holds(PartitionId(1)) && board.holding_since(PartitionId(1)) != before);
    }

    #[test]
    fn a_promise_covers_what_is_led_as_far_as_its_majority_has_stored_it() {
        let board = board();
        assert_eq!(board.promise(Hlc(9)), Promised::default());
        lead(&board, 0, 5);
        lead(&board, 2, 8);
        let except = BTreeSet::from([PartitionId(0)]);
        let through = Hlc(8);
        assert_eq!(board.promise(Hlc(9)), Promised { through, except });
        // Not more than is wanted, which both have stored.
        let wanted = Hlc(4);
        let all = Promised {
            through: wanted,
            except: BTreeSet::new(),
        };
        assert_eq!(board.promise(wanted), all);
    }
}
