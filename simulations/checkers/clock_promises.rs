//! (l) Clock promises hold: what a region commits in a partition after one of its nodes has promised a stamp there has greater
//! stamps, whoever leads by then and whatever its clock shows. Sessions and staleness in other regions rest on it.

use std::collections::{BTreeMap, BTreeSet};

use atoll::model::ids::{PartitionId, RegionId};

use crate::evidence::{ClockPromise, Evidence, Violation};

use super::report::Report;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut report = Report::new("clock_promises");
    let partitions: BTreeSet<PartitionId> = evidence.logged.iter().map(|logged| logged.partition).collect();
    let mut highest: BTreeMap<(RegionId, PartitionId), &ClockPromise> = BTreeMap::new();
    let mut promises = evidence.promised.iter().peekable();
    let own = evidence.logged.iter();
    for logged in own.filter(|logged| logged.commit.origin.region == logged.region) {
        while let Some(promise) = promises.next_if(|promise| promise.order < logged.order) {
            let is_promised = |partition: &PartitionId| {
                promise.leads.contains(*partition) && !promise.except.contains(partition)
            };
            for partition in partitions.iter().copied().filter(is_promised) {
                let known = highest.entry((promise.region, partition)).or_insert(promise);
                if known.through < promise.through {
                    *known = promise;
                }
            }
        }
        // `<=`: the promised stamp itself is not given again.
        if let Some(promise) = highest.get(&(logged.region, logged.partition))
            && logged.commit.hlc <= promise.through
        {
            report.add(format!(
                "{} has committed {} in partition {} at {}, after it had promised at {} that nothing up to {} would come there",
                logged.region, logged.commit.hlc, logged.partition, logged.at, promise.at, promise.through
            ));
        }
    }
    report.into_violations()
}
