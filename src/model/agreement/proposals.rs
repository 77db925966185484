//! What became of a proposal that was not answered. The log decides, not the one who proposed.
//!
//! Entries name the epoch in which they were made. Where the log holds one under another epoch, its leader had lost the
//! group meanwhile and got it again, and what the entry says rests on old state: it takes no effect, on any node
//! ([`takes_effect`]). So a proposal can take effect only under a log id of its own epoch; those come before all of later
//! epochs; and what was not applied when the first entry of a later epoch is, never will be.
//!
//! One proposal is in flight for each partition, so at most one is open.

use crate::model::agreement::epoch::Epoch;

/// Numbers the proposals of one life of a process in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProposalId(pub u64);

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It was applied.
    Made,
    /// It was not, and never will be.
    NeverMade,
    /// Nobody can tell any more: it may be in a snapshot whose log begins later.
    Unknown,
}

/// What the log inside a snapshot says of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InSnapshot {
    /// The log holds it.
    Held,
    /// The log goes back far enough, and does not hold it.
    Absent,
    /// The log begins later.
    Cut,
}

/// Whether an entry takes effect: it was made in the epoch under which the log holds it.
#[must_use]
pub fn takes_effect(made_in: Epoch, logged_in: Epoch) -> bool {
    made_in == logged_in
}

/// The proposal of one partition that is still open.
#[derive(Debug, Default)]
pub struct OpenProposal {
    open: Option<(ProposalId, Epoch)>,
}

impl OpenProposal {
    /// A proposal is handed to openraft.
    ///
    /// # Panics
    /// When one is open: what the next one says would rest on an unknown state.
    pub fn proposed(&mut self, id: ProposalId, epoch: Epoch) {
        assert!(
            self.open.is_none(),
            "one proposal is in flight for each partition"
        );
        self.open = Some((id, epoch));
    }

    /// The one that is open.
    #[must_use]
    pub fn open(&self) -> Option<ProposalId> {
        self.open.map(|(id, _)| id)
    }

    /// An entry was applied that the log holds under that epoch, be it empty or a change of membership. `made` is this
    /// node's proposal in it, if it is one and took effect.
    pub fn applied(
        &mut self,
        logged_in: Epoch,
        made: Option<ProposalId>,
    ) -> Option<(ProposalId, Resolution)> {
        let (id, epoch) = self.open?;
        if made == Some(id) {
            self.close(Resolution::Made)
        // `>`: under its own epoch it may still come.
        } else if logged_in > epoch {
            self.close(Resolution::NeverMade)
        } else {
            None
        }
    }

    /// The entry with which this process begins a leadership was applied. What it has handed to openraft before, in an
    /// earlier life of the group, stands before that entry or nowhere.
    pub fn never_made(&mut self) -> Option<(ProposalId, Resolution)> {
        self.close(Resolution::NeverMade)
    }

    /// A snapshot has taken the place of entries up to one of that epoch.
    pub fn installed(&mut self, logged_in: Epoch, found: InSnapshot) -> Option<(ProposalId, Resolution)> {
        let (_, epoch) = self.open?;
        match found {
            InSnapshot::Held => self.close(Resolution::Made),
            // The snapshot may end before it.
            InSnapshot::Absent | InSnapshot::Cut if logged_in <= epoch => None,
            InSnapshot::Absent => self.close(Resolution::NeverMade),
            InSnapshot::Cut => self.close(Resolution::Unknown),
        }
    }

    fn close(&mut self, resolution: Resolution) -> Option<(ProposalId, Resolution)> {
        self.open.take().map(|(id, _)| (id, resolution))
    }
}

#[cfg(test)]
#[path = "proposals_test.rs"]
mod tests;
