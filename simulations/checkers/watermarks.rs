//! (f) Watermarks never pass a gap: whatever vector a region told a peer, all of it was durable in its log when it said
//! so, without gaps.

use std::collections::HashMap;

use atoll::model::ids::{PartitionId, RegionId, ReplicaId, Seq};

use crate::evidence::{Advertised, Evidence, Logged, Violation};

use super::report::Report;

/// What is durable without gaps.
type Durable = HashMap<(RegionId, PartitionId, ReplicaId), Seq>;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut report = Report::new("watermarks");
    let mut durable = Durable::new();
    let mut logged = evidence.logged.iter().peekable();
    for advertised in &evidence.advertised {
        while let Some(next) = logged.next_if(|next| next.order < advertised.order) {
            note(&mut durable, next);
        }
        check_vector(&durable, advertised, &mut report);
    }
    report.into_violations()
}

fn note(durable: &mut Durable, logged: &Logged) {
    let commit = &logged.commit;
    let name = (logged.region, logged.partition, commit.origin);
    let last = durable.entry(name).or_insert(0);
    // Behind a gap nothing counts.
    if commit.first_seq <= *last + 1 {
        *last = (*last).max(commit.last_seq());
    }
}

fn check_vector(durable: &Durable, advertised: &Advertised, report: &mut Report) {
    for dot in advertised.vector.iter() {
        let name = (advertised.region, advertised.partition, dot.replica);
        let known = durable.get(&name).copied().unwrap_or(0);
        // `>`: the last durable change itself may be told of.
        if dot.seq > known {
            report.add(format!(
                "{} told a peer at {} that it has durably applied {dot:?} of partition {}, when it had {known} changes \
                 of that replica without a gap",
                advertised.region, advertised.at, advertised.partition
            ));
        }
    }
}
