//! What this node may do as a leader: by leases, and by promises that others have stored; and whom it stands for or tells again.

use super::{RegionGroups, State, Tended};
use crate::agreement::Group;
use crate::model::agreement::leases::LEASE_MS;
use crate::model::agreement::votes::VOTE_PROMISE_MS;
use crate::model::agreement::{Epoch, GroupMembers, MemberId};
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::mutation::{self, Mutation};
use crate::model::raft::{RaftIndex, Term};
use crate::model::tick::Tick;

impl RegionGroups {
    /// Whether this node has led a group without a break until now, so that nobody else can have been elected.
    #[must_use]
    pub fn holds_lease(&self, partition: PartitionId) -> bool {
        let now = self.now();
        let state = self.lock();
        let tended = &state.groups[usize::from(partition.0)];
        let trusts_itself = mutation::is_on(Mutation::ReadWithoutLease) && tended.leading.is_some();
        trusts_itself || self.has_lease(partition, tended, now)
    }

    /// Who comes next where this node is not to lead.
    pub(in crate::actors::group) fn next_after_own(&self, partition: PartitionId) -> Option<MemberId> {
        let state = self.lock();
        let order = state.groups[usize::from(partition.0)].order(&state.plan);
        order.into_iter().find(|member| *member != self.own)
    }

    /// Whether this node leads a group that it has tried to hand over.
    pub(in crate::actors::group) fn has_yielded(&self, partition: PartitionId) -> bool {
        let state = self.lock();
        let leading = state.groups[usize::from(partition.0)].leading.as_ref();
        leading.is_some_and(|leading| leading.has_yielded && !leading.is_handing_over)
    }

    fn has_lease(&self, partition: PartitionId, tended: &Tended, now: Tick) -> bool {
        let Some(leading) = tended.leading.as_ref().filter(|leading| !leading.has_yielded) else {
            return false;
        };
        let term = Term(leading.epoch.term);
        let promised_at = |member: MemberId| {
            if member == self.own {
                return leading.own_vote_at;
            }
            let acknowledged = self.context.mesh.acknowledged_by(&member)?;
            acknowledged
                .covers(partition, term)
                .then_some(acknowledged.sent_at)
        };
        let sent_at = tended.voters.reached_by_majority(promised_at);
        // `<`: the lease does not include its end.
        sent_at.is_some_and(|at| now < at.plus_millis(LEASE_MS))
    }

    /// Whether this node is the only member of its region, as one is from which all others were removed.
    fn is_alone(&self) -> bool {
        self.lock().plan.members().keys().eq([&self.own])
    }

    /// Takes over what other nodes have stored, for promises to other regions.
    fn renew_promises(&self) {
        let mut state = self.lock();
        let own_floor = state.floor.acknowledged();
        let mut promised = Vec::new();
        for (partition, tended) in (0..).map(PartitionId).zip(&mut state.groups) {
            let Some(leading) = &mut tended.leading else {
                continue;
            };
            let term = Term(leading.epoch.term);
            if leading.own_vote_at.is_some() {
                leading.stamps.acknowledged(self.own, own_floor);
            }
            for member in tended.members.nodes.keys().filter(|member| **member != self.own) {
                if let Some(acknowledged) = self.context.mesh.acknowledged_by(member)
                    && acknowledged.covers(partition, term)
                {
                    let through = acknowledged.acknowledgement.through;
                    leading.stamps.acknowledged(*member, through);
                }
            }
            // What this leader itself will not go below is looked at when it promises.
            let through = leading.stamps.promise(Hlc(u64::MAX), &tended.voters);
            promised.push((partition, leading.epoch, through));
        }
        drop(state);
        for (partition, epoch, through) in promised {
            self.context.groups.update(partition, |view| {
                if view.leader == Some((self.own.node, Term(epoch.term))) {
                    view.promised = through;
                }
            });
        }
    }

    /// Tells partitions whose actor was started again that this node leads them.
    pub(in crate::actors::group) fn lead_again(&self) {
        let restarted = (0..).map(PartitionId).take(self.groups.len());
        for partition in restarted.filter(|partition| self.context.groups.view(*partition).has_restarted) {
            self.context
                .groups
                .update(partition, |view| view.has_restarted = false);
            let leading = self.lock().groups[usize::from(partition.0)]
                .leading
                .as_ref()
                .filter(|leading| !leading.is_handing_over)
                .map(|leading| leading.epoch);
            if let (Some(epoch), Some(group)) = (leading, self.group(partition)) {
                self.resume(&group, epoch);
            }
        }
    }

    /// Groups that this node leads without a lease for a while: it may have been deposed, which nobody tells a leader that has nothing
    /// to replicate. Each once a second.
    pub(in crate::actors::group) fn to_confirm(&self) -> Vec<Group> {
        let now = self.now();
        let mut state = self.lock();
        let mut doubtful = Vec::new();
        for (partition, tended) in (0..).map(PartitionId).zip(&mut state.groups) {
            let has_lease = self.has_lease(partition, tended, now);
            let Some(leading) = tended.leading.as_mut() else {
                continue;
            };
            if has_lease || leading.is_handing_over {
                leading.sure_at = now;
            } else if now.millis_since(leading.sure_at) >= VOTE_PROMISE_MS {
                leading.sure_at = now;
                doubtful.push(partition);
            }
        }
        drop(state);
        doubtful
            .into_iter()
            .filter_map(|partition| self.group(partition))
            .collect()
    }

    /// Groups that this node leads, in which a member that is there may not have heard of the last that was agreed on.
    pub(in crate::actors::group) fn to_tell_again(&self) -> Vec<Group> {
        let now = self.now();
        let (led, gone) = {
            let state = self.lock();
            let led = state.groups.iter().filter(|group| group.is_led());
            let led: Vec<GroupMembers> = led.map(|group| group.members.clone()).collect();
            (led, state.liveness.suspected(now))
        };
        let mut due = Vec::new();
        for members in led {
            let is_there = |member: &MemberId| members.nodes.contains_key(member) && !gone.contains(member);
            if let Some(group) = self.group(members.partition)
                && group.unheard().iter().any(is_there)
            {
                due.push(group);
            }
        }
        due
    }

    /// Groups that others lead, in which this node has had entries since the last look that it did not apply: with the leader, who is
    /// to say again how far they are agreed on.
    pub(in crate::actors::group) fn to_ask_again(&self) -> Vec<(PartitionId, NodeId)> {
        let all = (0..).map(PartitionId).take(self.groups.len());
        let found: Vec<(PartitionId, Option<RaftIndex>)> = all
            .map(|partition| {
                let group = self.group(partition);
                (partition, group.and_then(|group| group.applied_of_more()))
            })
            .collect();
        let mut state = self.lock();
        let mut due = Vec::new();
        for ((partition, applied), tended) in found.into_iter().zip(&mut state.groups) {
            let before = std::mem::replace(&mut tended.applied_of_more, applied);
            if applied.is_some() && applied == before && tended.leading.is_none() {
                due.push(partition);
            }
        }
        drop(state);
        let leader = |partition: PartitionId| Some((partition, self.context.groups.leader(partition)?));
        due.into_iter().filter_map(leader).collect()
    }

    /// What is to be done ten times a second: promises renewed, and the groups in which to stand for election.
    pub(in crate::actors::group) fn tend(&self) -> Vec<Group> {
        if self.is_alone() {
            // There is nobody to send a sign of life to, with which a leader binds itself.
            let _ = self.own_sign();
        }
        self.renew_promises();
        let now = self.now();
        // Nobody may vote before.
        if now.millis_since(self.started) < VOTE_PROMISE_MS {
            return Vec::new();
        }
        let mut state = self.lock();
        let State {
            plan,
            promises,
            liveness,
            groups,
            ..
        } = &mut *state;
        let gone = liveness.suspected(now);
        let mut due = Vec::new();
        for (partition, tended) in (0..).map(PartitionId).zip(groups.iter_mut()) {
            // Who only learns, or knows nothing of the group yet, stands for nothing.
            let may_stand = tended.members.nodes.contains_key(&self.own);
            if tended.leading.is_some() || !may_stand {
                continue;
            }
            if !liveness.is_leaderless(now, partition, &tended.voters) {
                tended.candidacy.led();
                continue;
            }
            let order = tended.order(plan);
            let candidate = Epoch {
                term: tended.term + 1,
                leader: self.own,
            };
            if tended
                .candidacy
                .is_due(now, self.own, &order, |member| gone.contains(&member))
                && promises.ask(now, partition, candidate)
            {
                due.push(partition);
            }
        }
        drop(state);
        let mut standing = Vec::new();
        for partition in due {
            match self.group(partition) {
                Some(group) => standing.push(group),
                None => self.voted(partition, false),
            }
        }
        standing
    }
}
