//! What one node knows and has promised in all groups of its region, and the decisions around openraft: who leads, who
//! stands for election, what is promised to whom. The decisions themselves are in [`crate::model::agreement`]; here they get
//! the time, the disk and the other nodes.
//!
//! One short lock; nobody waits while it is held. Here is what is known, and what openraft says of it; beside it [`signs`] of
//! life, [`votes`], what [`leases`] allow, and [`yielding`] to the next leader.

mod leases;
mod signs;
mod votes;
mod yielding;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use crate::actors::context::NodeContext;
use crate::actors::group::board::GroupView;
use crate::actors::group::overview::{GroupJudge, Silence};
use crate::actors::group::telling::Tellings;
use crate::actors::mesh::MeshHandle;
use crate::actors::partition::{Leadership, PartitionHandle, PartitionMessage};
use crate::actors::region::Region;
use crate::agreement::{Group, Standing};
use crate::model::agreement::{
    Candidacy, Epoch, GroupMembers, Liveness, MemberId, Members, NodeRole, Plan, REGION_GROUP,
    ReplicationFactor, StampFloor, StampPromise, VotePromises, Voters,
};
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId, Zone};
use crate::model::mutation::{self, Mutation};
use crate::model::raft::{RaftIndex, Term};
use crate::model::tick::Tick;

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
    /// How far entries were applied, of more, when that was last looked at.
    applied_of_more: Option<RaftIndex>,
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
            Some(next) if mutation::is_on(Mutation::PromiseByNewVoters) => Voters::new(next.clone()),
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
    /// What other nodes are still to be told of the groups that this one leads.
    pub(super) tellings: Tellings,
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
            applied_of_more: None,
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
            tellings: Tellings::default(),
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

    /// This, for a task of its own; none while it is made or dropped.
    pub(super) fn shared(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
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
