//! (b) After everything was healed and left alone, the regions agreed in bounded time, and on everything: rows and listing
//! index byte by byte, vectors, digests, and what reads show.

use std::collections::BTreeMap;
use std::fmt::Debug;

use atoll::model::ids::{PartitionId, RegionId};
use atoll::model::vector::VersionVector;
use atoll::wire::keys::names::NameKey;
use atoll::wire::keys::row::RowKey;
use bytes::Bytes;

use crate::evidence::{Evidence, FinalRegion, Settled, Violation};

use super::report::Report;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut report = Report::new("convergence");
    match &evidence.settled {
        // Nobody waited: the regions may well differ.
        Settled::NotAsked => return Vec::new(),
        Settled::Never { bound, detail } => report.add(format!(
            "the regions did not settle within {} s: {detail}",
            bound.as_secs_f64()
        )),
        Settled::After(_) => {}
    }
    let mut regions = evidence.finals.iter();
    if let Some((first, ours)) = regions.next() {
        for (second, theirs) in regions {
            let pair = Pair {
                first: *first,
                second: *second,
            };
            pair.compare_bytes("rows", &ours.rows, &theirs.rows, row_name, &mut report);
            pair.compare_bytes(
                "listing index",
                &ours.names,
                &theirs.names,
                listing_name,
                &mut report,
            );
            pair.compare("vectors", &vectors(ours), &vectors(theirs), &mut report);
            pair.compare(
                "digest roots",
                &ours.digest_root,
                &theirs.digest_root,
                &mut report,
            );
            pair.compare("digests", &ours.digests, &theirs.digests, &mut report);
            for (record, shown) in &ours.reads {
                let what = format!("reads of {record:?}");
                pair.compare(&what, &Some(shown), &theirs.reads.get(record), &mut report);
            }
        }
    }
    report.into_violations()
}

/// The vectors of partitions that have applied anything: of others a region may keep an empty one, or none.
fn vectors(last: &FinalRegion) -> BTreeMap<PartitionId, &VersionVector> {
    let vectors = last.vectors.iter().filter(|(_, vector)| !vector.is_empty());
    vectors.map(|(partition, vector)| (*partition, vector)).collect()
}

struct Pair {
    first: RegionId,
    second: RegionId,
}

impl Pair {
    fn compare<T: PartialEq + Debug>(&self, what: &str, ours: &T, theirs: &T, report: &mut Report) {
        if ours != theirs {
            let Self { first, second } = self;
            report.add(format!(
                "the {what} differ: {first} has {ours:?}, {second} has {theirs:?}"
            ));
        }
    }

    fn compare_bytes(
        &self,
        what: &str,
        ours: &BTreeMap<Bytes, Bytes>,
        theirs: &BTreeMap<Bytes, Bytes>,
        name: impl Fn(&[u8]) -> String,
        report: &mut Report,
    ) {
        if ours == theirs {
            return;
        }
        let Self { first, second } = self;
        for (key, value) in ours {
            match theirs.get(key) {
                Some(other) if other == value => {}
                Some(_) => report.add(format!(
                    "the {what} differ: {first} and {second} have different bytes for {}",
                    name(key)
                )),
                None => report.add(format!(
                    "the {what} differ: {first} has {}, {second} has not",
                    name(key)
                )),
            }
        }
        for key in theirs.keys().filter(|key| !ours.contains_key(*key)) {
            report.add(format!(
                "the {what} differ: {second} has {}, {first} has not",
                name(key)
            ));
        }
    }
}

fn row_name(key: &[u8]) -> String {
    RowKey::decode(key).map_or_else(|_| format!("{key:?}"), |key| format!("{key:?}"))
}

fn listing_name(key: &[u8]) -> String {
    NameKey::decode(key).map_or_else(|_| format!("{key:?}"), |key| format!("{key:?}"))
}
