//! What this region still owes one peer: per partition the peer's watermark, how far was sent, and what is on its way.
//!
//! Invariant 8: a watermark moves only on what the peer says it has applied durably, and never back while a connection
//! lasts; a new connection starts from what the peer says then, which is less if it has lost data. What is on its way is bounded by changes and bytes, for all partitions together and for each, so that
//! one that does not move cannot stop the others. The log itself is the queue (LESSONS 9). Partitions that a peer
//! names and that do not exist are ignored: no peer may cause a panic.

use std::collections::VecDeque;

use crate::model::ids::{PartitionId, RegionId, ReplicaId, Seq};
use crate::model::limits;
use crate::model::tick::Tick;
use crate::model::vector::{Dot, VersionVector};

#[derive(Debug)]
struct InFlight {
    last: Dot,
    changes: u64,
    size_bytes: usize,
}

/// Why nothing is sent to a peer for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The peer refused for now; it is tried again then.
    Until(Tick),
    /// The peer cannot apply an entry: only this partition stops, until the link is made anew (LESSONS 12).
    Stopped(String),
    /// The log no longer has what the peer needs next. Lifted when the peer gets it from elsewhere.
    Resync,
    /// The peer says that it does not lead the partition. Lifted when it tells again that it does.
    NotLeader,
}

#[derive(Debug, Default, Clone, Copy)]
struct Load {
    changes: u64,
    bytes: usize,
}

impl Load {
    fn add(&mut self, flight: &InFlight) {
        self.changes += flight.changes;
        self.bytes += flight.size_bytes;
    }

    fn remove(&mut self, flight: &InFlight) {
        self.changes -= flight.changes;
        self.bytes -= flight.size_bytes;
    }

    /// Whether it is under one `share`-th of the limits. `<`: one batch more may go over by its own size.
    fn is_under(&self, share: usize) -> bool {
        self.changes < limits::UNACKED_CHANGES_MAX / share as u64
            && self.bytes < limits::UNACKED_BYTES_MAX / share
    }
}

/// One partition's share of an outbox.
#[derive(Debug, Default)]
struct Share {
    watermark: VersionVector,
    /// The last change sent of each own replica, where that is beyond the watermark.
    sent: VersionVector,
    in_flight: VecDeque<InFlight>,
    load: Load,
    hold: Option<Hold>,
    /// Not this node's or not this peer's business: another node of either region leads the partition, or none.
    is_elsewhere: bool,
}

impl Share {
    fn may_wait(&self) -> bool {
        !self.is_elsewhere && !matches!(self.hold, Some(Hold::Stopped(_) | Hold::Resync | Hold::NotLeader))
    }
}

/// Everything on its way to one peer.
#[derive(Debug)]
pub struct Outbox {
    shares: Vec<Share>,
    load: Load,
}

impl Outbox {
    /// An outbox for a peer of which nothing is known.
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        let mut shares = Vec::new();
        shares.resize_with(partitions, Share::default);
        Self {
            shares,
            load: Load::default(),
        }
    }

    fn share(&self, partition: PartitionId) -> &Share {
        &self.shares[usize::from(partition.0)]
    }

    /// A link was made: the peer says what it has. Everything unacknowledged is sent again from there. Nothing of what
    /// was known stays, but for who leads what: a peer that lost its data does not name what it lost, and is sent it again.
    pub fn restart(&mut self, watermarks: impl IntoIterator<Item = (PartitionId, VersionVector)>) {
        self.load = Load::default();
        for share in &mut self.shares {
            *share = Share {
                is_elsewhere: share.is_elsewhere,
                ..Share::default()
            };
        }
        for (partition, watermark) in watermarks {
            if let Some(share) = self.shares.get_mut(usize::from(partition.0)) {
                share.watermark = watermark;
            }
        }
    }

    /// The peer says that it has durably applied `watermark`.
    pub fn acknowledge(&mut self, partition: PartitionId, watermark: &VersionVector) {
        let Some(share) = self.shares.get_mut(usize::from(partition.0)) else {
            return;
        };
        if share.watermark.covers_all(watermark) {
            return;
        }
        share.watermark.merge(watermark);
        while share
            .in_flight
            .front()
            .is_some_and(|oldest| share.watermark.covers(&oldest.last))
        {
            if let Some(oldest) = share.in_flight.pop_front() {
                share.load.remove(&oldest);
                self.load.remove(&oldest);
            }
        }
        if share.hold == Some(Hold::Resync) {
            // Another region may have brought the peer what the log lacks: look again.
            share.hold = None;
        }
    }

    /// The peer wants a partition again, from its watermark on, after `hold` if there is one.
    pub fn rewind(&mut self, partition: PartitionId, hold: Option<Hold>) {
        let Some(share) = self.shares.get_mut(usize::from(partition.0)) else {
            return;
        };
        for dropped in share.in_flight.drain(..) {
            self.load.remove(&dropped);
        }
        share.load = Load::default();
        share.sent = VersionVector::new();
        share.hold = hold;
    }

    /// Whether a partition is shipped to the peer: this node and the peer lead it in their regions. Returns whether that is
    /// new. What was sent and not acknowledged is forgotten either way: nobody answers for it any more, and whoever leads next
    /// is sent it from its own watermark on. That has everything that its region has acknowledged, since a leader begins with
    /// what its predecessors have applied.
    pub fn route(&mut self, partition: PartitionId, is_shipped: bool) -> bool {
        let Some(share) = self.shares.get_mut(usize::from(partition.0)) else {
            return false;
        };
        if share.is_elsewhere != is_shipped {
            return false;
        }
        share.is_elsewhere = !is_shipped;
        self.rewind(partition, None);
        true
    }

    /// The peer has told once more what it leads: what it has refused for not leading it may be sent again, if it is still
    /// to be shipped to it. Returns whether there was any.
    pub fn retry_led(&mut self) -> bool {
        let mut was_refused = false;
        for share in &mut self.shares {
            if share.hold == Some(Hold::NotLeader) {
                share.hold = None;
                was_refused = true;
            }
        }
        was_refused
    }

    /// Takes note of a commit that goes out.
    pub fn sent(&mut self, partition: PartitionId, last: Dot, changes: u64, size_bytes: usize) {
        let share = &mut self.shares[usize::from(partition.0)];
        let flight = InFlight {
            last,
            changes,
            size_bytes,
        };
        share.load.add(&flight);
        self.load.add(&flight);
        share.in_flight.push_back(flight);
        share.sent.merge(&[last].into_iter().collect());
    }

    /// The seq of `replica` that is due next.
    #[must_use]
    pub fn next_seq(&self, partition: PartitionId, replica: &ReplicaId) -> Seq {
        let share = self.share(partition);
        share
            .watermark
            .get(replica)
            .max(share.sent.get(replica))
            .saturating_add(1)
    }

    /// How many changes of `own_region` in `vector` were not sent yet; those that are held back do not count.
    #[must_use]
    pub fn waiting(&self, partition: PartitionId, own_region: RegionId, vector: &VersionVector) -> u64 {
        if !self.share(partition).may_wait() {
            return 0;
        }
        let own = vector.iter().filter(|dot| dot.replica.region == own_region);
        own.map(|dot| (dot.seq + 1).saturating_sub(self.next_seq(partition, &dot.replica)))
            .sum()
    }

    /// Whether more may be sent now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.load.is_under(1)
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.load.changes == 0
    }

    /// Whether a partition may be sent at `now`; a hold that has passed is lifted.
    pub fn may_send(&mut self, partition: PartitionId, now: Tick) -> bool {
        let share = &mut self.shares[usize::from(partition.0)];
        // `<=`: at the named time it may.
        if matches!(&share.hold, Some(Hold::Until(at)) if *at <= now) {
            share.hold = None;
        }
        !share.is_elsewhere && share.hold.is_none() && share.load.is_under(limits::UNACKED_SHARES)
    }

    /// Holds a partition back.
    pub fn hold(&mut self, partition: PartitionId, hold: Hold) {
        self.shares[usize::from(partition.0)].hold = Some(hold);
    }

    /// What the peer has durably applied, as far as it has said.
    #[must_use]
    pub fn watermark(&self, partition: PartitionId) -> &VersionVector {
        &self.share(partition).watermark
    }

    /// The holds there are.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.shares.iter().filter_map(|share| share.hold.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;

    const P: PartitionId = PartitionId(1);
    const BEYOND: PartitionId = PartitionId(9);

    fn dot(seq: u64) -> Dot {
        let replica = ReplicaId {
            region: "a".parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        Dot { replica, seq }
    }

    fn vector(seq: u64) -> VersionVector {
        [dot(seq)].into_iter().collect()
    }

    fn next(outbox: &Outbox) -> Seq {
        outbox.next_seq(P, &dot(1).replica)
    }

    #[test]
    fn only_an_acknowledgement_frees_room() {
        let mut outbox = Outbox::new(2);
        outbox.sent(P, dot(2), 2, 100);
        outbox.sent(P, dot(5), 3, 100);
        assert!(!outbox.is_idle());
        outbox.acknowledge(P, &vector(4));
        assert_eq!(outbox.load.changes, 3, "the second commit is not covered yet");
        outbox.acknowledge(P, &vector(5));
        assert!(outbox.is_idle());
        assert_eq!(outbox.load.bytes, 0);
    }

    #[test]
    fn an_old_acknowledgement_does_not_move_the_watermark_back() {
        let mut outbox = Outbox::new(2);
        outbox.acknowledge(P, &vector(5));
        outbox.acknowledge(P, &vector(3));
        assert_eq!(outbox.watermark(P), &vector(5));
    }

    #[test]
    fn what_is_due_follows_what_was_sent_and_what_was_acknowledged() {
        let mut outbox = Outbox::new(2);
        assert_eq!(next(&outbox), 1);
        outbox.sent(P, dot(4), 4, 10);
        assert_eq!(next(&outbox), 5);
        assert_eq!(outbox.waiting(P, "a".parse().unwrap(), &vector(7)), 3);
        assert_eq!(
            outbox.waiting(P, "b".parse().unwrap(), &vector(7)),
            0,
            "others' changes are not this region's"
        );
        outbox.acknowledge(P, &vector(9));
        assert_eq!(next(&outbox), 10, "somebody else has brought the rest");
        outbox.rewind(P, None);
        assert_eq!(next(&outbox), 10);
    }

    #[test]
    fn a_new_link_starts_from_what_the_peer_says() {
        let mut outbox = Outbox::new(2);
        outbox.acknowledge(P, &vector(5));
        outbox.sent(P, dot(6), 1, 10);
        outbox.hold(P, Hold::Stopped("poison".into()));
        outbox.acknowledge(PartitionId(0), &vector(7));
        outbox.restart([(P, vector(4)), (BEYOND, vector(1))]);
        assert_eq!(outbox.watermark(P), &vector(4));
        assert!(
            outbox.watermark(PartitionId(0)).is_empty(),
            "the peer has lost this partition"
        );
        assert_eq!(next(&outbox), 5);
        assert!(outbox.is_idle());
        assert!(outbox.may_send(P, Tick::default()));
    }

    #[test]
    fn a_hold_passes_at_its_time_and_a_stop_does_not() {
        let mut outbox = Outbox::new(2);
        outbox.rewind(P, Some(Hold::Until(Tick::from_millis(10))));
        assert!(!outbox.may_send(P, Tick::from_millis(9)));
        assert!(outbox.may_send(P, Tick::from_millis(10)));
        outbox.rewind(P, Some(Hold::Stopped("poison".into())));
        assert!(!outbox.may_send(P, Tick::from_millis(1_000_000)));
    }

    #[test]
    fn a_resync_is_lifted_when_the_peer_gets_on_by_other_means() {
        let mut outbox = Outbox::new(2);
        outbox.hold(P, Hold::Resync);
        outbox.acknowledge(P, &VersionVector::new());
        assert!(!outbox.may_send(P, Tick::default()), "nothing has changed");
        outbox.acknowledge(P, &vector(3));
        assert!(outbox.may_send(P, Tick::default()));
    }

    #[test]
    fn only_what_both_lead_is_sent_and_what_was_on_its_way_to_an_old_leader_goes_to_the_new_one() {
        let (own, now) = ("a".parse().unwrap(), Tick::default());
        let (mut old, mut new) = (Outbox::new(2), Outbox::new(2));
        assert!(new.route(P, false));
        assert!(!new.route(P, false), "nothing new");
        assert!(!new.may_send(P, now) && new.waiting(P, own, &vector(9)) == 0);
        assert!(new.may_send(PartitionId(0), now), "of each partition");
        old.acknowledge(P, &vector(3));
        old.sent(P, dot(7), 4, 100);
        // Both hear by heartbeats what their peers have applied.
        new.acknowledge(P, &vector(4));
        assert!(old.route(P, false) && new.route(P, true));
        assert!(old.is_idle() && old.has_room() && !old.may_send(P, now));
        assert!(new.may_send(P, now));
        assert_eq!((next(&new), new.waiting(P, own, &vector(9))), (5, 5));
        // The leadership comes back.
        assert!(old.route(P, true));
        assert_eq!(next(&old), 4, "from the watermark and not from what was sent");
    }

    #[test]
    fn a_new_link_does_not_forget_who_leads() {
        let mut outbox = Outbox::new(2);
        outbox.route(P, false);
        outbox.restart([(P, vector(4))]);
        assert!(!outbox.may_send(P, Tick::default()));
        assert!(!outbox.route(BEYOND, false));
    }

    #[test]
    fn what_a_node_refuses_for_not_leading_it_waits_until_it_tells_again() {
        let (own, now) = ("a".parse().unwrap(), Tick::from_millis(1_000_000));
        let mut outbox = Outbox::new(2);
        outbox.sent(P, dot(7), 7, 100);
        outbox.rewind(P, Some(Hold::NotLeader));
        outbox.hold(PartitionId(0), Hold::Stopped("poison".into()));
        assert!(outbox.is_idle() && !outbox.may_send(P, now));
        assert_eq!(outbox.waiting(P, own, &vector(9)), 0);
        assert!(outbox.retry_led() && !outbox.retry_led());
        assert!(outbox.may_send(P, now) && next(&outbox) == 1);
        assert!(!outbox.may_send(PartitionId(0), now), "other holds stay");
    }

    #[test]
    fn what_is_on_its_way_is_bounded_and_one_partition_does_not_take_it_all() {
        let mut outbox = Outbox::new(2);
        outbox.sent(P, dot(1), 1, limits::UNACKED_BYTES_MAX / limits::UNACKED_SHARES);
        assert!(!outbox.may_send(P, Tick::default()));
        assert!(outbox.may_send(PartitionId(0), Tick::default()));
        assert!(outbox.has_room());
        outbox.sent(PartitionId(0), dot(1), 1, limits::UNACKED_BYTES_MAX);
        assert!(!outbox.has_room());
        outbox.rewind(PartitionId(0), None);
        assert!(outbox.has_room());
    }

    #[test]
    fn partitions_that_do_not_exist_are_ignored() {
        let mut outbox = Outbox::new(2);
        outbox.acknowledge(BEYOND, &vector(1));
        outbox.rewind(BEYOND, None);
        assert!(outbox.is_idle());
    }
}
