//! What one node knows and has promised in all groups of its region, and the decisions around openraft: who leads, who
//! stands for election, what is promised to whom. The decisions themselves are in [`crate::model::agreement`]; here they get
//! the time, the disk and the other nodes.
//!
//! One short lock; nobody waits while it is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use crate::actors::context::NodeContext;
use crate::actors::group::board::GroupView;
use crate::actors::group::overview::{GroupJudge, Silence};
use crate::actors::mesh::MeshHandle;
use crate::actors::mesh::service::{OwnSign, Promise};
use crate::actors::partition::{Leadership, PartitionHandle, PartitionMessage};
use crate::actors::region::Region;
use crate::agreement::{Group, Standing};
use crate::model::agreement::leases::LEASE_MS;
use crate::model::agreement::votes::VOTE_PROMISE_MS;
use crate::model::agreement::{
    Candidacy, Epoch, GroupMembers, Liveness, MemberId, Members, NodeRole, Plan, REGION_GROUP,
    ReplicationFactor, StampFloor, StampPromise, VotePromises, Voters,
};
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId, Zone};
use crate::model::mutation::{self, Mutation};
use crate::model::raft::Term;
use crate::model::tick::Tick;
use crate::ports::store::{Durability, Family, WriteSet};
use crate::wire::keys::meta;
use crate::wire::mesh::SignOfLife;
use crate::wire::raft::encode_stamp;

/// How long a node and a leadership must have lasted before the group is handed to the node that should lead it.
const SETTLED_MS: u64 = 3_000;
/// Groups that are handed back at a time: each takes no writes for about half a second.
const HAND_BACK_MAX: usize = 4;

/// This node leads a group.
struct Leading {
    epoch: Epoch,
    stamps: StampPromise,
    /// When it last promised its own vote to itself.
    own_vote_at: Option<Tick>,
    since: Tick,
    /// When it last had a lease, or was looked after for having none.
    sure_at: Tick,
    /// It hands over, or has tried to. Nobody is bound to it from then on, so that it has no lease either.
    has_yielded: bool,
    /// It does so now.
    is_handing_over: bool,
    /// Nobody is to renew a promise.
    is_yielding: bool,
}

/// One group, apart from openraft.
pub(super) struct Tended {
    term: u64,
    /// As openraft has them.
    pub(super) members: GroupMembers,
    /// Who must agree to what this node promises as the leader: the voters, and those that are to take their place.
    voters: Voters,
    pub(super) change: MembershipChange,
    candidacy: Candidacy,
    leading: Option<Leading>,
    /// Floors that came with votes for this node, and for which candidacy.
    told: Vec<(Epoch, Hlc)>,
}

/// What this leader does about a group's members.
#[derive(Default)]
pub(super) struct MembershipChange {
    /// Somebody is at it.
    pub(super) is_under_way: bool,
    /// The voters that take the place of those before, from when that is intended.
    pub(super) voters: Option<BTreeSet<MemberId>>,
}

impl Tended {
    /// The members, or what is to become of them, have changed.
    pub(super) fn settle_voters(&mut self) {
        let now = &self.members.voters;
        if !now.is_joint() && self.change.voters.as_ref() == Some(now.latest()) {
            self.change.voters = None;
        }
        self.voters = match &self.change.voters {
            Some(next) => now.and(next),
            None => now.clone(),
        };
    }

    /// This node leads the group, and does not hand it over.
    pub(super) fn is_led(&self) -> bool {
        let leading = self.leading.as_ref();
        leading.is_some_and(|leading| !leading.is_handing_over)
    }

    /// Whether these voters could decide alone from now on without breaking what this leader has promised.
    pub(super) fn is_promise_kept_by(&self, voters: &BTreeSet<MemberId>) -> bool {
        let leading = self.leading.as_ref();
        leading.is_some_and(|leading| leading.stamps.is_kept_by(&Voters::new(voters.clone())))
    }

    /// The voters in the order in which they should lead.
    fn order(&self, plan: &Plan) -> Vec<MemberId> {
        let planned = plan.order(self.members.partition);
        let voters = &self.members.voters;
        let mut order = planned.to_vec();
        order.retain(|member| voters.contains(*member));
        let others = self.members.nodes.keys();
        order.extend(others.filter(|member| voters.contains(**member) && !planned.contains(member)));
        order
    }
}

pub(super) struct State {
    pub(super) plan: Arc<Plan>,
    promises: VotePromises,
    floor: StampFloor,
    pub(super) liveness: Liveness,
    pub(super) groups: Vec<Tended>,
}

impl State {
    /// The member of the region on a node.
    fn member(&self, node: NodeId) -> Option<MemberId> {
        let members = self.plan.members().keys();
        members.copied().find(|member| member.node == node)
    }
}

/// What the hub works with.
pub struct HubParts {
    /// This node.
    pub own: MemberId,
    /// With whom the region was founded, this node included; nobody where this node was added later.
    pub founders: BTreeSet<MemberId>,
    /// How many voters a partition should have.
    pub factor: ReplicationFactor,
    /// The nodes of the region by configuration, with their zones.
    pub nodes: BTreeMap<NodeId, Option<Zone>>,
    /// The node.
    pub context: Arc<NodeContext>,
    /// Its partitions, in order.
    pub partitions: Arc<[PartitionHandle]>,
    /// The floor as it was stored.
    pub floor: Hlc,
}

/// All groups of a node.
pub struct RegionGroups {
    pub(super) own: MemberId,
    pub(super) founders: BTreeSet<MemberId>,
    pub(super) factor: ReplicationFactor,
    pub(super) nodes: BTreeMap<NodeId, Option<Zone>>,
    pub(super) context: Arc<NodeContext>,
    pub(super) partitions: Arc<[PartitionHandle]>,
    /// Set once the mesh runs, which needs this first.
    pub(super) mesh: OnceLock<MeshHandle>,
    /// Where writes of other nodes are admitted. Weak: it holds the node, which holds this.
    pub(super) region: OnceLock<Weak<dyn Region>>,
    groups: Vec<RwLock<Option<Group>>>,
    started: Tick,
    state: Mutex<State>,
    me: Weak<Self>,
}

impl std::fmt::Debug for RegionGroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegionGroups({})", self.own)
    }
}

impl RegionGroups {
    /// The groups of a node that starts. None of them runs yet.
    #[must_use]
    pub fn new(parts: HubParts) -> Arc<Self> {
        let now = parts.context.clock.tick();
        let members: Members = parts
            .founders
            .iter()
            .map(|member| (*member, NodeRole::Active))
            .collect();
        let count = parts.partitions.len();
        // Until openraft says more: this node alone, which is not among them.
        let voters = Voters::new([parts.own].into());
        let tended = |partition| Tended {
            term: 0,
            members: GroupMembers {
                partition: PartitionId(partition),
                voters: voters.clone(),
                nodes: Members::new(),
            },
            voters: voters.clone(),
            change: MembershipChange::default(),
            candidacy: Candidacy::default(),
            leading: None,
            told: Vec::new(),
        };
        let max_drift = parts.context.hybrid_clock.max_drift();
        let partitions = parts.context.identity.partitions;
        let peers: Vec<MemberId> = members.keys().copied().collect();
        let state = State {
            plan: Arc::new(Plan::new(partitions, parts.factor, members, &zones(&parts.nodes))),
            promises: VotePromises::new(now),
            floor: StampFloor::new(parts.floor, max_drift),
            liveness: Liveness::new(parts.own, peers, now),
            groups: partitions.ids().map(|partition| tended(partition.0)).collect(),
        };
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            own: parts.own,
            founders: parts.founders,
            factor: parts.factor,
            nodes: parts.nodes,
            context: parts.context,
            partitions: parts.partitions,
            mesh: OnceLock::new(),
            region: OnceLock::new(),
            groups: (0..count).map(|_| RwLock::new(None)).collect(),
            started: now,
            state: Mutex::new(state),
        })
    }

    /// How other nodes are reached, and where their writes are admitted. Before the groups are started; only the first call
    /// counts.
    pub fn connect(&self, mesh: MeshHandle, region: Weak<dyn Region>) {
        let _ = self.mesh.set(mesh);
        let _ = self.region.set(region);
        self.context.groups.set_judge(Box::new(Weak::clone(&self.me)));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Tick {
        self.context.clock.tick()
    }

    /// This node's member of a group, while it runs.
    #[must_use]
    pub fn group(&self, partition: PartitionId) -> Option<Group> {
        let group = self.groups.get(usize::from(partition.0))?;
        group.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_group(&self, partition: PartitionId, group: Option<Group>) {
        let mut place = self.groups[usize::from(partition.0)]
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = group;
    }

    // --- what openraft says

    /// A group stands so now.
    pub(super) fn stands(&self, group: &Group, standing: &Standing) {
        let (partition, now) = (group.partition(), self.now());
        let mut state = self.lock();
        let floor = state.floor.floor();
        let tended = &mut state.groups[usize::from(partition.0)];
        tended.term = standing.term;
        tended.members = standing.members.clone();
        let epoch = standing.leader.filter(|_| standing.is_leader);
        let before = tended.leading.as_ref().map(|leading| leading.epoch);
        if epoch != before {
            // What another leadership has intended, its log says.
            tended.change.voters = None;
        }
        tended.settle_voters();
        if partition == REGION_GROUP {
            self.plan_anew(&mut state, now);
        }
        let tended = &mut state.groups[usize::from(partition.0)];
        if epoch == before {
            drop(state);
            if let Some(leader) = standing.leader.filter(|_| epoch.is_none()) {
                self.show_leader(partition, leader.leader.node, Term(leader.term));
            }
            return;
        }
        tended.leading = epoch.map(|epoch| Leading {
            epoch,
            stamps: StampPromise::new(self.own, floor),
            own_vote_at: None,
            since: now,
            sure_at: now,
            has_yielded: false,
            is_handing_over: false,
            is_yielding: false,
        });
        tended.candidacy.led();
        drop(state);
        let region = self.context.identity.region;
        match epoch {
            Some(epoch) => {
                tracing::debug!(%region, %partition, term = epoch.term, "this node leads the partition");
                self.context.groups.counts().note_election_won();
                self.context.groups.update(partition, |view| {
                    *view = GroupView {
                        leader: Some((self.own.node, Term(epoch.term))),
                        ..GroupView::default()
                    };
                });
            }
            None => {
                tracing::debug!(%region, %partition, term = standing.term, "this node does not lead the partition any more");
                let leader = standing.leader.filter(|leader| leader.leader != self.own);
                self.context.groups.update(partition, |view| {
                    *view = GroupView {
                        leader: leader.map(|leader| (leader.leader.node, Term(leader.term))),
                        ..GroupView::default()
                    };
                });
            }
        }
        let leadership = epoch.map(|epoch| Leadership {
            epoch,
            floor,
            group: group.clone(),
        });
        self.partitions[usize::from(partition.0)].send(PartitionMessage::Led(leadership));
    }

    /// Plans for the nodes that the region has now.
    fn plan_anew(&self, state: &mut State, now: Tick) {
        let members = &state.groups[usize::from(REGION_GROUP.0)].members.nodes;
        // Nothing is known before the group's first entry is.
        if members.is_empty() || members == state.plan.members() {
            return;
        }
        let members = members.clone();
        state.liveness.set_peers(members.keys().copied(), now);
        let region = self.context.identity.region;
        let listed: Vec<String> = members
            .iter()
            .map(|(member, role)| format!("{member} ({role})"))
            .collect();
        tracing::info!(%region, "the region has the nodes {}", listed.join(", "));
        let partitions = self.context.identity.partitions;
        state.plan = Arc::new(Plan::new(partitions, self.factor, members, &zones(&self.nodes)));
    }

    /// A group does not run any more on this node.
    pub(super) fn ended(&self, partition: PartitionId) {
        self.set_group(partition, None);
        let led = self.lock().groups[usize::from(partition.0)].leading.take();
        self.context
            .groups
            .update(partition, |view| *view = GroupView::default());
        if led.is_some() {
            self.partitions[usize::from(partition.0)].send(PartitionMessage::Led(None));
        }
    }

    /// Another node says that it leads, or openraft does.
    fn show_leader(&self, partition: PartitionId, leader: NodeId, term: Term) {
        if leader == self.own.node {
            return;
        }
        self.context.groups.update(partition, |view| {
            // `<=`: not a leader of an earlier term, which has not noticed.
            if !view.is_serving && view.leader.is_none_or(|(_, known)| known <= term) {
                view.leader = Some((leader, term));
            }
        });
    }

    // --- signs of life

    /// What the next sign of life to any node says.
    pub(super) fn own_sign(&self) -> OwnSign {
        let (now, wall) = (self.now(), self.context.clock.now());
        let through = self.context.partitions.own_through();
        let mut state = self.lock();
        let suspects = state.liveness.suspected(now);
        let leads: BTreeMap<PartitionId, u64> = (0..)
            .map(PartitionId)
            .zip(&state.groups)
            .filter_map(|(partition, tended)| {
                let leading = tended.leading.as_ref().filter(|leading| !leading.is_yielding);
                Some((partition, leading?.epoch.term))
            })
            .collect();
        // A leader is bound by its own word, too, unless it relies on nobody's any more.
        let mut bound = leads.clone();
        bound.retain(|partition, _| {
            let leading = state.groups[usize::from(partition.0)].leading.as_ref();
            leading.is_some_and(|leading| !leading.has_yielded)
        });
        let excepted = state.promises.acknowledge(now, self.own, &bound);
        for partition in bound.keys().filter(|partition| !excepted.contains(partition)) {
            if let Some(leading) = &mut state.groups[usize::from(partition.0)].leading {
                leading.own_vote_at = Some(now);
            }
        }
        let store = state.floor.ask(wall, through);
        drop(state);
        self.store_floor(store);
        OwnSign {
            through,
            leads: leads
                .into_iter()
                .map(|(partition, term)| (partition, Term(term)))
                .collect(),
            suspects: suspects.iter().map(|member| member.node).collect(),
        }
    }

    /// A sign of life has come: what is promised to its sender.
    pub(super) fn heard(&self, from: NodeId, sign: &SignOfLife) -> Option<Promise> {
        let (now, wall) = (self.now(), self.context.clock.now());
        let leads: BTreeMap<PartitionId, u64> = sign
            .leads
            .iter()
            .map(|(partition, term)| (*partition, term.0))
            .collect();
        let mut state = self.lock();
        let sender = state.member(from)?;
        if self.context.mesh.incarnation(&from) != Some(sender.incarnation) {
            return None;
        }
        let suspects: Vec<MemberId> = sign
            .suspects
            .iter()
            .filter_map(|node| state.member(*node))
            .collect();
        state.liveness.heard(
            now,
            sender,
            leads.keys().copied().collect(),
            suspects.into_iter().collect(),
        );
        let is_mutual = state.liveness.is_mutual(now, sender);
        let (mut except, mut store) = (Vec::new(), None);
        let mut through = Hlc::ZERO;
        if is_mutual {
            except = state.promises.acknowledge(now, sender, &leads);
            store = state.floor.ask(wall, sign.through);
            through = state.floor.acknowledged();
        }
        drop(state);
        self.store_floor(store);
        // Also where this node promises nothing, since it has voted in a later term: as long as nobody was elected in that, this is
        // the one to ask.
        for (partition, term) in &sign.leads {
            self.show_leader(*partition, from, *term);
        }
        is_mutual.then(|| Promise {
            through,
            except: except.into_iter().collect(),
        })
    }

    fn store_floor(&self, floor: Option<Hlc>) {
        let Some(floor) = floor else { return };
        let mut set = WriteSet::new();
        set.put(Family::Meta, &meta::stamp_floor(), &encode_stamp(floor));
        let me = Weak::clone(&self.me);
        let told = Box::new(move |result: Result<(), _>| {
            // Dropped with the node: nobody needs to know then.
            if let Some(me) = me.upgrade() {
                me.lock().floor.settle(result.is_ok().then_some(floor));
            }
        });
        self.context.committer.submit(set, Durability::Synced, told);
    }

    // --- votes

    pub(super) fn saw(&self, partition: PartitionId, epoch: Epoch) {
        self.lock().promises.saw(partition, epoch);
    }

    pub(super) fn may_vote(&self, partition: PartitionId, candidate: Epoch) -> bool {
        let now = self.now();
        self.lock().promises.ask(now, partition, candidate)
    }

    pub(super) fn voted(&self, partition: PartitionId, is_granted: bool) {
        let now = self.now();
        let mut state = self.lock();
        state.promises.settle(partition, is_granted);
        // Only who can win is given the time for it: a candidate that lacks entries would keep those that have them waiting.
        if is_granted {
            state.groups[usize::from(partition.0)].candidacy.voted(now);
        }
    }

    pub(super) fn lacks_entries(&self, partition: PartitionId) {
        self.lock().groups[usize::from(partition.0)]
            .candidacy
            .lacks_entries();
    }

    pub(super) fn floor(&self) -> Hlc {
        self.lock().floor.floor()
    }

    pub(super) fn told(&self, partition: PartitionId, candidate: Epoch, floor: Hlc) {
        if mutation::is_on(Mutation::ForgetToldFloor) {
            return;
        }
        let mut state = self.lock();
        let told = &mut state.groups[usize::from(partition.0)].told;
        told.retain(|(epoch, _)| *epoch >= candidate);
        told.push((candidate, floor));
    }

    pub(super) fn adopt(&self, partition: PartitionId, epoch: Epoch) -> Option<Hlc> {
        let mut state = self.lock();
        let told = std::mem::take(&mut state.groups[usize::from(partition.0)].told);
        let floors = told.into_iter().filter(|(candidate, _)| *candidate == epoch);
        state.floor.adopt(floors.map(|(_, floor)| floor))
    }

    pub(super) fn adopted(&self, floor: Hlc, is_durable: bool) {
        self.lock().floor.settle(is_durable.then_some(floor));
    }

    // --- what leaders may do

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
    pub(super) fn next_after_own(&self, partition: PartitionId) -> Option<MemberId> {
        let state = self.lock();
        let order = state.groups[usize::from(partition.0)].order(&state.plan);
        order.into_iter().find(|member| *member != self.own)
    }

    /// Whether this node leads a group that it has tried to hand over.
    pub(super) fn has_yielded(&self, partition: PartitionId) -> bool {
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
    pub(super) fn lead_again(&self) {
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
    pub(super) fn to_confirm(&self) -> Vec<Group> {
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
    pub(super) fn to_tell_again(&self) -> Vec<Group> {
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

    /// What is to be done ten times a second: promises renewed, and the groups in which to stand for election.
    pub(super) fn tend(&self) -> Vec<Group> {
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

    // --- handing over

    /// Groups that somebody else should lead who is here again, and who; a few of them.
    pub(super) fn to_hand_back(&self) -> Vec<(Group, MemberId)> {
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
    pub(super) fn to_leave(&self) -> Vec<(Group, MemberId)> {
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
    pub(super) fn begin_to_yield(&self, partition: PartitionId) -> Option<Epoch> {
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
    pub(super) fn set_free(&self, partition: PartitionId, epoch: Epoch) {
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
    pub(super) fn resume(&self, group: &Group, epoch: Epoch) {
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

    /// Whether this node still leads a group in an epoch.
    pub(super) fn leads_in(&self, partition: PartitionId, epoch: Epoch) -> bool {
        let state = self.lock();
        let leading = state.groups[usize::from(partition.0)].leading.as_ref();
        leading.is_some_and(|leading| leading.epoch == epoch)
    }

    /// The epoch in which this node would stand for election now.
    pub(super) fn candidacy(&self, partition: PartitionId) -> Epoch {
        Epoch {
            term: self.lock().groups[usize::from(partition.0)].term + 1,
            leader: self.own,
        }
    }

    /// Whether this node hears so many others that they could agree without the rest; if not, whom it does not hear.
    pub(super) fn lost_majority(&self, partition: PartitionId) -> Option<Vec<NodeId>> {
        let now = self.now();
        let state = self.lock();
        let gone = state.liveness.suspected(now);
        let voters = &state.groups[usize::from(partition.0)].voters;
        let is_heard = voters.reached_by_majority(|member| !gone.contains(&member));
        (!is_heard).then(|| gone.iter().map(|member| member.node).collect())
    }

    /// Whom this node does not hear, and which groups cannot agree on anything without them.
    fn silence(&self) -> Silence {
        let now = self.now();
        let state = self.lock();
        let gone = state.liveness.suspected(now);
        let groups = (0..).map(PartitionId).zip(&state.groups);
        let lacking = groups.filter(|(_, tended)| {
            let voters = &tended.voters;
            !voters.reached_by_majority(|member| !gone.contains(&member))
        });
        Silence {
            without_majority: lacking.map(|(partition, _)| partition).collect(),
            suspected: gone.iter().map(|member| member.node).collect(),
        }
    }
}

/// Weak: the board is the context's, which the hub holds.
impl GroupJudge for Weak<RegionGroups> {
    fn holds_lease(&self, partition: PartitionId) -> bool {
        self.upgrade().is_some_and(|hub| hub.holds_lease(partition))
    }

    fn silence(&self) -> Silence {
        self.upgrade().map(|hub| hub.silence()).unwrap_or_default()
    }
}

fn zones(nodes: &BTreeMap<NodeId, Option<Zone>>) -> BTreeMap<NodeId, Zone> {
    let zones = nodes.iter().filter_map(|(node, zone)| Some((*node, (*zone)?)));
    zones.collect()
}
