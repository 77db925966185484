//! When this node stands for election in a group without a leader: in the order of [`super::placement`], which spreads
//! leaders, each voter a step after the one before it. So two stand at once only when the first is slow, and nothing
//! needs to be random.

use crate::model::agreement::member::MemberId;
use crate::model::tick::Tick;

/// How much later the next in the order stands: three heartbeats. One node may learn an interval later than another that the
/// leader is gone, and look an interval later; an election with the first heartbeat of the new leader takes less than
/// the third.
pub const CANDIDATE_STEP_MS: u64 = 300;

/// One node's standing for election in one group.
#[derive(Debug, Default)]
pub struct Candidacy {
    /// Since when the group has no leader.
    leaderless_at: Option<Tick>,
    /// When this node last stood, or voted for another.
    voted_at: Option<Tick>,
    /// Others have entries that this node lacks, so that it cannot win while they are there.
    lacks_entries: bool,
}

/// How many rounds a candidate waits that lacks entries: as long as it stands again and again, each time in a later term, those that
/// could win are refused by it for being late.
const ROUNDS_BEHIND: usize = 3;

impl Candidacy {
    /// Somebody leads the group: the next time begins anew.
    pub fn led(&mut self) {
        *self = Self::default();
    }

    /// This node has voted for another, whose turn it is now.
    pub fn voted(&mut self, now: Tick) {
        self.voted_at = Some(now);
    }

    /// It was refused by a voter that has more entries.
    pub fn lacks_entries(&mut self) {
        self.lacks_entries = true;
    }

    /// Whether to stand now, in a group without a leader. `order` is that of its voters; those for which `is_gone` is true
    /// are not waited for. When it is true and comes to nothing, it is true again after all others had their turn.
    pub fn is_due(
        &mut self,
        now: Tick,
        own: MemberId,
        order: &[MemberId],
        is_gone: impl Fn(MemberId) -> bool,
    ) -> bool {
        let Some(place) = order.iter().position(|voter| *voter == own) else {
            // Learners do not stand.
            return false;
        };
        let since = *self.leaderless_at.get_or_insert(now);
        let steps = |count: usize| CANDIDATE_STEP_MS.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX));
        let before = order[..place].iter().filter(|voter| !is_gone(**voter)).count();
        let due_at = match self.voted_at {
            None => since.plus_millis(steps(before)),
            // Each at its own distance: those that have voted at the same moment would stand at the same moment again, for
            // ever.
            Some(at) => {
                let rounds = if self.lacks_entries { ROUNDS_BEHIND } else { 1 };
                at.plus_millis(steps(rounds * order.len() + before))
            }
        };
        // `>=`: its turn begins then.
        let is_due = now >= due_at;
        if is_due {
            self.voted_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
#[path = "candidacy_test.rs"]
mod tests;
