//! The founding of a region of several nodes: how they come to have one founding record, and only one (decision 0018).
//!
//! A node has nothing, then a *record*, then a *complete* record. The first node of the region by name is its founder. It
//! makes the record when every other node has told it that it has none, and stores it before it tells of it. Whoever finds
//! itself in a record stores it, too. A record is complete when every node of the region has it on its disk; a node starts
//! its groups only then, so before that nothing was ever written, and a founding that cannot be finished has lost nothing.
//!
//! **Two records are never on the disks of nodes that go on with them.** Let R1 and R2 be records, each made by a life of the
//! founder (a name and the incarnation of a data folder), and told to others. Founders have one name: whoever answers says
//! which nodes its configuration has, and an answer that names others than the asker's counts for nothing. One life makes
//! one record, since it stores it before anybody hears of it. So the founder's disk was lost between, and R1 comes from an
//! earlier life. R2 was made when each other node had answered "no record" to the later life, and each has stored that
//! promise before it answered; a node takes a record of no other life of the founder from then on. So whoever is in R2 and
//! has kept its disk had no R1 before its promise, and takes none after. Whoever has lost its disk after its promise is
//! another member, in neither record, and is refused. Should two records meet all the same, every node that sees both
//! refuses.
//!
//! The price: when the founder's disk is lost in the moment in which some have stored R1 and others have not, the latter
//! may have promised themselves to the founder's next life, which is refused by the former. Then nobody goes on, and the error
//! says to empty all data folders; nothing was written to them, as R1 was not complete.
//!
//! **Nodes that come later** find a record that is complete and does not name them, or that of a region that was one node's own.
//! They wait until the region has them as members (see [`super::membership`]), and take over the incarnation of the region
//! then, but no record: what their groups begin with they hear from the leaders.
//!
//! Pure: the shell asks the others, stores what it is told to, durably, and answers only then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::model::agreement::founding_error::{FoundingError, Waiting};

use crate::model::agreement::founding_error::listed;
use crate::model::agreement::member::MemberId;
use crate::model::hlc::WallTime;
use crate::model::ids::{Incarnation, NodeId};
use crate::model::limits;
use crate::model::tick::Tick;

/// How a region of several nodes began: the same on all of them, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundingRecord {
    /// The incarnation of the region: with its name the actor of all dots.
    pub replica: Incarnation,
    /// The nodes, each in the life of its data folder: the first voters of every group. At least two.
    pub members: BTreeSet<MemberId>,
}

impl FoundingRecord {
    /// Who has made it: the first node by name.
    #[must_use]
    pub fn founder(&self) -> Option<MemberId> {
        self.members.first().copied()
    }

    /// Whether it names at least two nodes, and none twice.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.members.len() > 1 && self.nodes().len() == self.members.len()
    }

    /// The names of its members.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<NodeId> {
        self.members.iter().map(|member| member.node).collect()
    }

    /// The member with a name.
    fn member(&self, node: NodeId) -> Option<MemberId> {
        self.members.iter().copied().find(|member| member.node == node)
    }
}

impl fmt::Display for FoundingRecord {
    /// Replica and members: `1790000002 (n1@1790000000, n2@1790000001)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.replica.0, listed(&self.members))
    }
}

/// Which member of its region a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnMembership {
    /// This node.
    pub own: MemberId,
    /// The incarnation of the region: with its name the actor of all dots.
    pub replica: Incarnation,
    /// With whom the region was founded: the first voters of every group. Nobody, where this node came later.
    pub founders: BTreeSet<MemberId>,
}

/// What a node has on its disk. The order of the variants is persisted and on the wire: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoundingState {
    /// No record. With a life of the founder, records of no other life are taken.
    Unfounded(Option<MemberId>),
    /// A record, which some may not have yet.
    Recorded(FoundingRecord),
    /// A record that all nodes of the region have stored.
    Complete(FoundingRecord),
    /// No record, since the region was in use when this node came, or was this node's own before others came.
    Member {
        /// The incarnation of the region.
        replica: Incarnation,
        /// The node, in the life of its data folder.
        own: MemberId,
    },
}

impl FoundingState {
    /// The record, if there is one.
    #[must_use]
    pub fn record(&self) -> Option<&FoundingRecord> {
        match self {
            Self::Unfounded(_) | Self::Member { .. } => None,
            Self::Recorded(record) | Self::Complete(record) => Some(record),
        }
    }

    /// The incarnation of a region that is in use.
    #[must_use]
    pub fn region_in_use(&self) -> Option<Incarnation> {
        match self {
            Self::Unfounded(_) | Self::Recorded(_) => None,
            Self::Complete(record) => Some(record.replica),
            Self::Member { replica, .. } => Some(*replica),
        }
    }

    /// Whether its record, if it has one, is one.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.record().is_none_or(FoundingRecord::is_valid)
    }
}

/// What a node answers to whoever asks about the founding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundingAnswer {
    /// Who answers.
    pub member: MemberId,
    /// The nodes of the region by its configuration.
    pub nodes: BTreeSet<NodeId>,
    /// What it has on its disk.
    pub state: FoundingState,
    /// The members of the region, as far as it takes part in the groups.
    pub members: BTreeSet<MemberId>,
}

/// What a node does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask again in a while. For whom it waits, and why.
    Wait(BTreeMap<NodeId, Waiting>),
    /// Store this durably, then tell it by [`Founding::stored`]; nothing else is asked, answered or decided before.
    Store(FoundingState),
    /// This node is a member of the region.
    Done(OwnMembership),
}

/// What a question asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This answer.
    Answer(FoundingAnswer),
    /// Store this durably and tell it by [`Founding::stored`]; then the question is to be put again.
    StoreFirst(FoundingState),
}

/// The founding as one node sees it.
#[derive(Debug, Clone)]
pub struct Founding {
    own: MemberId,
    nodes: BTreeSet<NodeId>,
    state: FoundingState,
    heard: BTreeMap<NodeId, (Tick, FoundingAnswer)>,
}

impl Founding {
    /// A node that starts: who it is, the nodes of its region by its configuration, and what is on its disk.
    ///
    /// # Errors
    /// [`FoundingError`], when what is on the disk is not of this node or not of these nodes.
    ///
    /// # Panics
    /// When this node is not one of the nodes, or the only one of a region that is not in use.
    pub fn new(own: MemberId, nodes: BTreeSet<NodeId>, stored: FoundingState) -> Result<Self, FoundingError> {
        let is_in_use = stored.region_in_use().is_some();
        assert!(
            is_in_use || nodes.len() > 1,
            "the only node of a region founds nothing"
        );
        assert!(nodes.contains(&own.node), "a node is one of its region");
        let founding = Self {
            own,
            nodes,
            state: stored,
            heard: BTreeMap::new(),
        };
        founding.check_own()?;
        Ok(founding)
    }

    /// What this node has stored.
    #[must_use]
    pub fn state(&self) -> &FoundingState {
        &self.state
    }

    /// The other nodes, which are to be asked.
    pub fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().copied().filter(|node| *node != self.own.node)
    }

    fn founder(&self) -> NodeId {
        *self.nodes.first().expect("there are at least two")
    }

    /// Another node asks. The answer counts for that life of it alone.
    ///
    /// To the founder "no record" is a promise: it must be on the disk before it is given.
    #[must_use]
    pub fn asked(&mut self, by: MemberId) -> Reply {
        if let FoundingState::Unfounded(promised) = &self.state
            && by.node == self.founder()
            // `<`: an earlier life of the founder is over, whatever it asks. What it hears then names another life.
            && promised.is_none_or(|promised| promised < by)
        {
            return Reply::StoreFirst(FoundingState::Unfounded(Some(by)));
        }
        Reply::Answer(FoundingAnswer {
            member: self.own,
            nodes: self.nodes.clone(),
            state: self.state.clone(),
            members: BTreeSet::new(),
        })
    }

    /// Another node has answered; `asked_at` is when it was asked, since that is certainly not later than the answer.
    /// What nodes outside of the region say is not heard.
    pub fn answered(&mut self, asked_at: Tick, answer: FoundingAnswer) {
        let node = answer.member.node;
        if node != self.own.node && self.nodes.contains(&node) {
            self.heard.insert(node, (asked_at, answer));
        }
    }

    /// What was to be stored is on the disk.
    pub fn stored(&mut self, state: FoundingState) {
        // A promise to another life of the founder: what was heard before may be from the time of the earlier one.
        if matches!(state, FoundingState::Unfounded(_)) {
            self.heard.clear();
        }
        self.state = state;
    }

    /// What to do now. `wall_now` makes the incarnation of a region that is founded.
    ///
    /// # Errors
    /// [`FoundingError`]: this node must not go on.
    pub fn step(&self, now: Tick, wall_now: WallTime) -> Result<Step, FoundingError> {
        match &self.state {
            FoundingState::Unfounded(promised) => self.step_unfounded(*promised, now, wall_now),
            FoundingState::Recorded(record) => self.step_recorded(record),
            FoundingState::Complete(record) => Ok(Step::Done(OwnMembership {
                own: self.own,
                replica: record.replica,
                founders: record.members.clone(),
            })),
            FoundingState::Member { replica, .. } => Ok(Step::Done(OwnMembership {
                own: self.own,
                replica: *replica,
                founders: BTreeSet::new(),
            })),
        }
    }

    fn step_unfounded(
        &self,
        promised: Option<MemberId>,
        now: Tick,
        wall_now: WallTime,
    ) -> Result<Step, FoundingError> {
        if let Some(step) = self.step_to_a_region_in_use(now) {
            return Ok(step);
        }
        let mut found: Option<&FoundingRecord> = None;
        for (node, (_, answer)) in &self.heard {
            let Some(record) = answer.state.record() else {
                continue;
            };
            let founder = record.founder();
            let overtaken = promised.filter(|promised| founder != Some(*promised));
            // Of a founder whose disk was lost. What it has told itself nobody else may ever have heard.
            if overtaken.is_some() && founder.is_some_and(|founder| founder.node == *node) {
                continue;
            }
            self.check(record)?;
            if let Some(promised) = overtaken {
                return Err(FoundingError::Overtaken {
                    source_node: *node,
                    members: record.members.clone(),
                    promised,
                });
            }
            match found {
                Some(first) if first != record => {
                    return Err(FoundingError::Conflict {
                        first: first.clone(),
                        second: record.clone(),
                        source_node: *node,
                    });
                }
                _ => found = Some(record),
            }
        }
        if let Some(record) = found {
            return Ok(Step::Store(FoundingState::Recorded(record.clone())));
        }
        let waiting: BTreeMap<NodeId, Waiting> = self
            .others()
            .filter_map(|node| Some((node, self.keeps_from_founding(node, now)?)))
            .collect();
        if waiting.is_empty() && self.founder() == self.own.node {
            return Ok(Step::Store(FoundingState::Recorded(self.found(wall_now))));
        }
        Ok(Step::Wait(waiting))
    }

    /// Where others use the region already, and were not founded with this node.
    fn step_to_a_region_in_use(&self, now: Tick) -> Option<Step> {
        let in_use = |answer: &FoundingAnswer| {
            let record = answer.state.record();
            let is_founder = record.is_some_and(|record| record.members.contains(&self.own));
            answer.state.region_in_use().filter(|_| !is_founder)
        };
        let using: BTreeMap<NodeId, (Tick, &FoundingAnswer, Incarnation)> = self
            .heard
            .iter()
            .filter_map(|(node, (at, answer))| Some((*node, (*at, answer, in_use(answer)?))))
            .collect();
        if using.is_empty() {
            return None;
        }
        let has_own =
            |(_, answer, _): &&(Tick, &FoundingAnswer, Incarnation)| answer.members.contains(&self.own);
        if let Some((_, _, replica)) = using.values().find(has_own) {
            return Some(Step::Store(FoundingState::Member {
                replica: *replica,
                own: self.own,
            }));
        }
        let waiting = using.into_iter().map(|(node, (asked_at, ..))| {
            // `>`: an answer of exactly that age still counts.
            let is_old = now.millis_since(asked_at) > limits::FOUNDING_ANSWER_MS_MAX;
            let why = if is_old {
                Waiting::NoAnswer
            } else {
                Waiting::ToAdd(self.own.node)
            };
            (node, why)
        });
        Some(Step::Wait(waiting.collect()))
    }

    /// Why the founder cannot count on a node; of other nodes, why they wait for it.
    fn keeps_from_founding(&self, node: NodeId, now: Tick) -> Option<Waiting> {
        let Some((asked_at, answer)) = self.heard.get(&node) else {
            return Some(Waiting::NoAnswer);
        };
        // `>`: an answer of exactly that age still counts. All nodes are up when a region is founded, as its operator wants
        // it; safety does not rest on that.
        if now.millis_since(*asked_at) > limits::FOUNDING_ANSWER_MS_MAX {
            return Some(Waiting::NoAnswer);
        }
        if answer.nodes != self.nodes {
            return Some(Waiting::OtherNodes(answer.nodes.clone()));
        }
        if node == self.founder() {
            return Some(Waiting::ToFound);
        }
        if self.founder() != self.own.node {
            return None;
        }
        match &answer.state {
            FoundingState::Unfounded(Some(promised)) if *promised == self.own => None,
            FoundingState::Unfounded(Some(promised)) => Some(Waiting::OtherFounder(*promised)),
            _ => Some(Waiting::NoAnswer),
        }
    }

    /// The record of this founder.
    fn found(&self, wall_now: WallTime) -> FoundingRecord {
        let others = self.heard.values().map(|(_, answer)| answer.member);
        let members: BTreeSet<MemberId> = others.chain([self.own]).collect();
        let latest = members.iter().map(|member| member.incarnation).max();
        let record = FoundingRecord {
            // After the beginning of every data folder in it, so that no clock that was set back repeats an incarnation of
            // the region that these nodes have known.
            replica: Incarnation::begin(wall_now, latest),
            members,
        };
        assert!(
            record.nodes() == self.nodes,
            "all nodes of the region have answered"
        );
        record
    }

    fn step_recorded(&self, record: &FoundingRecord) -> Result<Step, FoundingError> {
        let mut waiting = BTreeMap::new();
        let mut is_complete = false;
        for node in self.others() {
            let Some((_, answer)) = self.heard.get(&node) else {
                waiting.insert(node, Waiting::NoAnswer);
                continue;
            };
            let expected = record.member(node);
            if Some(answer.member) < expected {
                // Of a disk that was lost before the region was founded.
                waiting.insert(node, Waiting::NoAnswer);
                continue;
            }
            if let Some(theirs) = answer.state.record()
                && theirs != record
            {
                return Err(FoundingError::Conflict {
                    first: record.clone(),
                    second: theirs.clone(),
                    source_node: node,
                });
            }
            is_complete |= matches!(answer.state, FoundingState::Complete(_));
            if Some(answer.member) != expected {
                waiting.insert(node, Waiting::OtherMember(answer.member));
            } else if answer.state.record().is_none() {
                let other_nodes = Waiting::OtherNodes(answer.nodes.clone());
                let is_equal = answer.nodes == self.nodes;
                waiting.insert(node, if is_equal { Waiting::ToStore } else { other_nodes });
            }
        }
        if is_complete || waiting.is_empty() {
            return Ok(Step::Store(FoundingState::Complete(record.clone())));
        }
        Ok(Step::Wait(waiting))
    }

    fn check_own(&self) -> Result<(), FoundingError> {
        let was = match &self.state {
            FoundingState::Unfounded(_) => return Ok(()),
            FoundingState::Recorded(record) => return self.check(record),
            FoundingState::Complete(record) => record.member(self.own.node),
            FoundingState::Member { own, .. } => Some(*own),
        };
        match was {
            Some(was) if was != self.own => Err(FoundingError::OtherLife { own: self.own, was }),
            _ => Ok(()),
        }
    }

    /// Whether a record is of these nodes and has this one as it is.
    fn check(&self, record: &FoundingRecord) -> Result<(), FoundingError> {
        let founded = record.nodes();
        if founded != self.nodes {
            return Err(FoundingError::OtherNodes {
                founded,
                configured: self.nodes.clone(),
            });
        }
        if record.member(self.own.node) == Some(self.own) {
            return Ok(());
        }
        let (own, members) = (self.own, record.members.clone());
        Err(FoundingError::CannotFinish { own, members })
    }
}

#[cfg(test)]
#[path = "founding_test.rs"]
mod tests;
