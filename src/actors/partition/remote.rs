//! What a partition does with commits of other replicas before they are in a group: checks, holding, refusals.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actors::partition::core::{PartitionCore, Trouble};
use crate::actors::partition::message::Origin;
use crate::model::change::Commit;
use crate::model::hlc::WallTime;
use crate::model::ids::RegionId;
use crate::model::mutation::{self, Mutation};
use crate::model::replication::inbox::{Missing, Offered};
use crate::model::tick::Tick;
use crate::model::vector::{Dot, VersionVector};
use crate::wire::messages::RewindReason;

impl PartitionCore {
    /// Takes commits in, in log order. The first one that cannot be taken ends it: those behind it would not fit.
    pub(super) fn handle_offer(&mut self, origin: &Origin, commits: Vec<Commit>, now: WallTime, tick: Tick) {
        if let Some(receipts) = &origin.receipts {
            self.lanes.insert(origin.region, Arc::clone(receipts));
        }
        // Links look before they offer; leadership may be lost between.
        if !self.is_in_charge() {
            let detail = format!("this node does not lead partition {}", self.partition);
            self.put_off(origin, RewindReason::NotLeader, &detail);
            return;
        }
        let mut has_duplicate = false;
        let arrived: VersionVector = commits
            .iter()
            .filter(|_| mutation::is_on(Mutation::AcknowledgeOnArrival))
            .map(|commit| Dot {
                replica: commit.origin,
                seq: commit.last_seq(),
            })
            .collect();
        for commit in commits {
            if let Err((reason, detail)) = self.check_remote(&commit, now) {
                self.put_off(origin, reason, &detail);
                return;
            }
            match self.inbox.offer(&self.state.vector, commit, origin.region, tick) {
                Ok(Offered::Duplicate) => has_duplicate = true,
                Ok(Offered::Held) => {}
                Ok(Offered::Full) => {
                    let detail = format!("{} commits wait for others", self.inbox.len());
                    self.put_off(origin, RewindReason::Full, &detail);
                    return;
                }
                Err(refusal) => {
                    self.put_off(origin, RewindReason::Poison, &refusal.to_string());
                    return;
                }
            }
        }
        if has_duplicate && let Some(receipts) = &origin.receipts {
            receipts.applied(self.partition, self.state.vector.clone());
        }
        if !arrived.is_empty()
            && let Some(receipts) = &origin.receipts
        {
            receipts.applied(self.partition, arrived);
        }
        self.show_held();
    }

    /// What a peer could have got wrong, checked before anything is kept.
    pub(super) fn check_remote(&self, commit: &Commit, now: WallTime) -> Result<(), (RewindReason, String)> {
        match &self.trouble {
            Some(Trouble::Stopped(why)) => return Err((RewindReason::Poison, why.clone())),
            Some(Trouble::Store(why)) => return Err((RewindReason::Storage, why.clone())),
            Some(Trouble::Installing) => {
                let why = "the whole partition comes from another node of this region".to_owned();
                return Err((RewindReason::Storage, why));
            }
            None => {}
        }
        let trusts_any = mutation::is_on(Mutation::TrustAnyClock);
        if let Err(drift) = self.context.hybrid_clock.check(now, commit.last_hlc())
            && !trusts_any
        {
            return Err((RewindReason::Clock, drift.to_string()));
        }
        let (own, count) = (self.context.identity.replica, self.context.identity.partitions);
        self.state
            .check_remote(own, count, commit)
            .map_err(|refusal| (RewindReason::Poison, refusal.to_string()))
    }

    /// A peer has these changes. Returns what to fetch; changes of this very replica that are not here mean that this
    /// node's disk has lost what was acknowledged.
    pub(super) fn handle_catch_up(&mut self, holder: RegionId, vector: &VersionVector) -> Vec<Missing> {
        let own = self.context.identity.replica;
        let mut missing = Vec::new();
        if self.trouble.is_some() || !self.is_in_charge() {
            return missing;
        }
        for dot in vector.iter() {
            let applied = self.state.vector.get(&dot.replica);
            // `<=`: nothing is missing.
            if dot.seq <= applied {
                continue;
            }
            // `>=`: earlier incarnations are other replicas, whose changes come back from the peers.
            if dot.replica.region == own.region && dot.replica.incarnation >= own.incarnation {
                // What was agreed on others of the region may have applied, and passed on, while it waits for this disk.
                if self.is_behind_agreement() {
                    continue;
                }
                let text = self.lost_data_text(dot.seq);
                self.stop(format!("{text} (as {holder} has them)"));
                continue;
            }
            missing.push(Missing {
                replica: dot.replica,
                first_seq: applied + 1,
                last_seq: dot.seq,
                holder,
            });
        }
        missing
    }

    pub(super) fn lost_data_text(&self, seq: u64) -> String {
        let own = self.context.identity.replica;
        format!(
            "partition {} of this node has changes of {own} up to {} only, other regions up to {seq}: its disk has \
             lost acknowledged writes; restart with --new-incarnation: what other regions' logs still have comes back",
            self.partition,
            self.state.vector.get(&own)
        )
    }

    /// Tells who sent a commit that it was not taken.
    pub(super) fn put_off(&self, origin: &Origin, reason: RewindReason, detail: &str) {
        match &origin.receipts {
            Some(receipts) => {
                let vector = self.state.vector.clone();
                receipts.rewind(self.partition, vector, reason, detail.to_owned());
            }
            None => {
                let (region, partition) = (self.context.identity.region, self.partition);
                tracing::warn!(%region, %partition, ?reason, %detail, "a fetched commit was not taken");
            }
        }
    }

    /// What was taken from the inbox for a group is gone: its senders must send it again.
    pub(super) fn put_off_sources(&self, sources: &BTreeSet<RegionId>, reason: RewindReason, detail: &str) {
        for receipts in sources.iter().filter_map(|source| self.lanes.get(source)) {
            let vector = self.state.vector.clone();
            receipts.rewind(self.partition, vector, reason, detail.to_owned());
        }
    }
}
