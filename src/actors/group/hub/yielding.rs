//! Handing groups over: to whom, and how this node stands to them meanwhile.

use super::{RegionGroups, Tended};
use crate::actors::group::board::GroupView;
use crate::actors::partition::{Leadership, PartitionMessage};
use crate::agreement::Group;
use crate::model::agreement::{Epoch, MemberId};
use crate::model::ids::PartitionId;
use crate::model::raft::Term;
use crate::model::tick::Tick;

/// How long a node and a leadership must have lasted before the group is handed to the node that should lead it.
const SETTLED_MS: u64 = 3_000;
/// Groups that are handed back at a time: each takes no writes for about half a second.
const HAND_BACK_MAX: usize = 4;

impl RegionGroups {
    /// Groups that somebody else should lead who is here again, and who; a few of them.
    pub(in crate::actors::group) fn to_hand_back(&self) -> Vec<(Group, MemberId)> {
        let now = self.now();
        let is_settled = |since: Tick| now.millis_since(since) >= SETTLED_MS;
        if !is_settled(self.started) {
            return Vec::new();
        }
        let state = self.lock();
        let gone = state.liveness.suspected(now);
        let is_busy = |tended: &Tended| {
            tended
                .leading
                .as_ref()
                .is_some_and(|leading| leading.is_handing_over)
        };
        if state.groups.iter().any(is_busy) {
            return Vec::new();
        }
        let led = (0..).map(PartitionId).zip(&state.groups);
        let led = led.filter(|(_, tended)| {
            let leading = tended.leading.as_ref();
            leading.is_some_and(|leading| !leading.has_yielded && is_settled(leading.since))
        });
        let next = |tended: &Tended| {
            let order = state.plan.order(tended.members.partition);
            let mut present = order.iter().copied().filter(|member| !gone.contains(member));
            // Where this node does not belong, anybody else is better than it.
            let first = if order.contains(&self.own) {
                order.first().copied().filter(|first| !gone.contains(first))
            } else {
                present.next()
            };
            first.filter(|first| *first != self.own && tended.members.voters.contains(*first))
        };
        let wanted: Vec<(PartitionId, MemberId)> = led
            .filter(|(_, tended)| !tended.change.is_under_way)
            .filter_map(|(partition, tended)| Some((partition, next(tended)?)))
            .collect();
        drop(state);
        wanted
            .into_iter()
            .filter_map(|(partition, first)| Some((self.group(partition)?, first)))
            .filter(|(group, first)| group.is_abreast(*first))
            .take(HAND_BACK_MAX)
            .collect()
    }

    /// The groups that this node leads, each with who should lead it next: for a node that stops.
    pub(in crate::actors::group) fn to_leave(&self) -> Vec<(Group, MemberId)> {
        let now = self.now();
        let state = self.lock();
        let gone = state.liveness.suspected(now);
        let led = (0..).map(PartitionId).zip(&state.groups);
        let led: Vec<(PartitionId, Vec<MemberId>)> = led
            .filter(|(_, tended)| tended.leading.is_some())
            .map(|(partition, tended)| (partition, tended.order(&state.plan)))
            .collect();
        drop(state);
        led.into_iter()
            .filter_map(|(partition, order)| {
                let group = self.group(partition)?;
                let mut order = order.into_iter();
                let next = order
                    .find(|next| *next != self.own && !gone.contains(next) && group.is_abreast(*next))?;
                Some((group, next))
            })
            .collect()
    }

    /// From here on this leader takes nothing new. Its epoch, if it leads.
    pub(in crate::actors::group) fn begin_to_yield(&self, partition: PartitionId) -> Option<Epoch> {
        let epoch = {
            let mut state = self.lock();
            let leading = state.groups[usize::from(partition.0)].leading.as_mut()?;
            if std::mem::replace(&mut leading.is_handing_over, true) {
                return None;
            }
            leading.has_yielded = true;
            leading.epoch
        };
        self.context
            .groups
            .update(partition, |view| *view = GroupView::default());
        self.partitions[usize::from(partition.0)].send(PartitionMessage::Led(None));
        Some(epoch)
    }

    /// From here on nobody is bound to it.
    pub(in crate::actors::group) fn set_free(&self, partition: PartitionId, epoch: Epoch) {
        let now = self.now();
        let mut state = self.lock();
        let tended = &mut state.groups[usize::from(partition.0)];
        if let Some(leading) = tended.leading.as_mut().filter(|leading| leading.epoch == epoch) {
            leading.is_yielding = true;
            leading.own_vote_at = None;
        }
        // Whoever should lead stands at once; the others leave it the time.
        tended.candidacy.led();
        tended.candidacy.voted(now);
        state.promises.release(partition, epoch);
    }

    /// Nobody else was elected: this leader goes on.
    pub(in crate::actors::group) fn resume(&self, group: &Group, epoch: Epoch) {
        let partition = group.partition();
        let floor = {
            let mut state = self.lock();
            let floor = state.floor.floor();
            let tended = &mut state.groups[usize::from(partition.0)];
            let Some(leading) = tended.leading.as_mut().filter(|leading| leading.epoch == epoch) else {
                return;
            };
            (leading.is_handing_over, leading.is_yielding) = (false, false);
            floor
        };
        self.context.groups.update(partition, |view| {
            view.leader = Some((self.own.node, Term(epoch.term)));
        });
        let leadership = Leadership {
            epoch,
            floor,
            group: group.clone(),
        };
        self.partitions[usize::from(partition.0)].send(PartitionMessage::Led(Some(leadership)));
    }

    /// In which epoch this node leads a group, if it does and takes writes: it has applied all that was agreed on before it began
    /// to.
    pub(in crate::actors::group) fn leads_now_in(&self, partition: PartitionId) -> Option<Epoch> {
        let epoch = {
            let state = self.lock();
            let leading = state.groups.get(usize::from(partition.0))?.leading.as_ref()?;
            leading.epoch
        };
        let view = self.context.groups.view(partition);
        let is_serving = view.is_serving && view.leader == Some((self.own.node, Term(epoch.term)));
        is_serving.then_some(epoch)
    }

    /// Whether this node still leads a group in an epoch.
    pub(in crate::actors::group) fn leads_in(&self, partition: PartitionId, epoch: Epoch) -> bool {
        let state = self.lock();
        let leading = state.groups[usize::from(partition.0)].leading.as_ref();
        leading.is_some_and(|leading| leading.epoch == epoch)
    }
}
