//! Clock promises to other regions that hold through changes of leaders: no later commit of a partition has a stamp up to
//! the promised one, whatever the clocks of later leaders say.
//!
//! It is Paxos on one number. A leader promises a stamp when a majority of the group has stored it ([`StampFloor`],
//! [`StampPromise`]). Voters tell their floors with their votes, and a new leader gives only stamps above the greatest that it
//! was told. Since two majorities have a voter in common, that is above every promise, provided that
//!
//! - a voter acknowledges no stamp for a leader after it has voted for a later one: acknowledgements travel with those of
//!   heartbeats, which except such groups ([`super::votes`]), and count only in groups that the heartbeat has named
//!   ([`super::leases`]);
//! - the floor that goes with a vote is read after the vote was asked for, from when on it counts as given;
//! - a leader that leads on after a restart, without votes, knows what it knew: the floors that it was told are stored
//!   before its committed vote is, and it is always one of those that have stored what it promises;
//! - no membership comes into force on its own before a majority of it has stored what was promised.
//!
//! A node has one floor for all its groups, so that an idle region stores one small row for each step. Floors do not bind
//! a leader while it leads: its own clock makes its stamps grow.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::agreement::member::MemberId;
use crate::model::agreement::voters::Voters;
use crate::model::hlc::{Hlc, WallTime};

/// How far ahead of what was asked a floor is stored. Longer steps are stored less often; after a change of leaders stamps
/// may be as far ahead of time, and other regions refuse those that are more than `max_clock_drift_ms` ahead (500).
pub const FLOOR_AHEAD_MS: u64 = 300;
/// How far behind the floor a leader may be when the next step is stored. With heartbeats each 100 ms that is at every
/// second one, when there is still one to go: promises do not wait for the disk.
const FLOOR_RESERVE_MS: u64 = 150;

/// The stamps that this node will not give in any leadership that begins later.
#[derive(Debug)]
pub struct StampFloor {
    /// What is durable.
    stored: Hlc,
    /// What is on its way to the disk.
    storing: Option<Hlc>,
    /// The greatest of all that is or was on its way.
    floor: Hlc,
    /// How far ahead of this node's clock a leader may pull the floor.
    max_drift: Duration,
}

impl StampFloor {
    /// The floor as it was stored, [`Hlc::ZERO`] where none was. `max_drift` is `max_clock_drift_ms`: stamps further ahead
    /// would be refused by other regions, so a leader with such a clock shall promise little, and not pull all groups of its
    /// region ahead.
    #[must_use]
    pub fn new(stored: Hlc, max_drift: Duration) -> Self {
        Self {
            stored,
            storing: None,
            floor: stored,
            max_drift,
        }
    }

    /// A leader, maybe this node itself, wants to promise that stamp. Returns what must be stored now, if anything;
    /// [`Self::settle`] says what came of it. What is stored never gets smaller.
    #[must_use]
    pub fn ask(&mut self, now: WallTime, wanted: Hlc) -> Option<Hlc> {
        let ahead = |millis| Hlc::from_wall(wanted.wall().plus(Duration::from_millis(millis)));
        let step = ahead(FLOOR_AHEAD_MS).min(Hlc::from_wall(now.plus(self.max_drift)));
        // `<=`: with just the reserve left there is time until the next heartbeat.
        if self.storing.is_some() || ahead(FLOOR_RESERVE_MS) <= self.stored {
            return None;
        }
        self.store(step)
    }

    /// This node has won an election; these floors came with the votes. Returns what must be stored before, or together
    /// with, the committed vote, since with that the node leads on after a restart without asking anybody.
    #[must_use]
    pub fn adopt(&mut self, told: impl IntoIterator<Item = Hlc>) -> Option<Hlc> {
        self.store(told.into_iter().max().unwrap_or(Hlc::ZERO))
    }

    fn store(&mut self, step: Hlc) -> Option<Hlc> {
        if step <= self.stored {
            return None;
        }
        self.floor = self.floor.max(step);
        self.storing = Some(self.floor);
        self.storing
    }

    /// What came of the last that was to be stored: with `Some` so much is durable; with `None` it failed, or nobody
    /// knows. The floor stays in any case.
    pub fn settle(&mut self, stored: Option<Hlc>) {
        self.stored = self.stored.max(stored.unwrap_or(Hlc::ZERO));
        if stored.is_none() || self.storing <= Some(self.stored) {
            self.storing = None;
        }
    }

    /// What an acknowledgement says: everything up to this stamp is stored.
    #[must_use]
    pub fn acknowledged(&self) -> Hlc {
        self.stored
    }

    /// What goes with a vote, and what this node's own stamps exceed when it leads: also what is not yet durable, since it
    /// may be acknowledged after the vote.
    #[must_use]
    pub fn floor(&self) -> Hlc {
        self.floor
    }
}

/// What a leader has promised and may promise in one group and one leadership.
#[derive(Debug)]
pub struct StampPromise {
    own: MemberId,
    /// This node's floor when the leadership began: earlier leaders may have promised so much.
    floor: Hlc,
    /// What was promised in this leadership.
    promised: Hlc,
    acknowledged: BTreeMap<MemberId, Hlc>,
}

impl StampPromise {
    /// A leadership begins, by votes whose floors were [adopted](StampFloor::adopt) or after a restart. `floor` is this
    /// node's [`StampFloor::floor`].
    #[must_use]
    pub fn new(own: MemberId, floor: Hlc) -> Self {
        Self {
            own,
            floor,
            promised: Hlc::ZERO,
            acknowledged: BTreeMap::new(),
        }
    }

    /// Every stamp of this leadership must be greater than this one.
    #[must_use]
    pub fn floor(&self) -> Hlc {
        self.floor
    }

    /// A voter, or this node itself, has stored everything up to that stamp, by an acknowledgement that
    /// [counts](super::leases::LeaderLeases::acknowledged) in this group.
    pub fn acknowledged(&mut self, from: MemberId, stamp: Hlc) {
        let known = self.acknowledged.entry(from).or_default();
        *known = (*known).max(stamp);
    }

    /// The greatest stamp, up to the wanted one, that may be promised to other regions; never smaller than before. The wanted one
    /// is what this leader itself will not go below again: that is the caller's to know.
    pub fn promise(&mut self, wanted: Hlc, voters: &Voters) -> Hlc {
        self.promised = self.promised.max(wanted.min(self.reached(voters)));
        self.promised
    }

    /// Whether these voters may decide alone from now on: a majority has stored all that this leader and those before it
    /// may have promised. To be asked before a change of membership is finished.
    #[must_use]
    pub fn is_kept_by(&self, voters: &Voters) -> bool {
        self.reached(voters) >= self.to_keep()
    }

    /// The greatest stamp that this leader and those before it may have promised.
    #[must_use]
    pub fn to_keep(&self) -> Hlc {
        self.promised.max(self.floor)
    }

    fn reached(&self, voters: &Voters) -> Hlc {
        let acknowledged = |member| self.acknowledged.get(&member).copied().unwrap_or(Hlc::ZERO);
        voters
            .reached_by_majority(acknowledged)
            .min(acknowledged(self.own))
    }
}

#[cfg(test)]
#[path = "promise_test.rs"]
mod tests;
