//! (e) Causal delivery: in each region's log a commit follows everything that it depends on, the changes of one replica
//! come in their order, each once and without gaps, every region logs what the origin has logged and not before it did,
//! and the stamp of a commit is greater than those of all that its origin had logged.

use std::collections::{BTreeMap, HashMap};

use atoll::model::change::Commit;
use atoll::model::hlc::Hlc;
use atoll::model::ids::{LogIndex, PartitionId, RegionId, ReplicaId, Seq};
use atoll::model::vector::VersionVector;

use crate::evidence::{Evidence, Logged, Violation};

use super::report::Report;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut report = Report::new("causal_delivery");
    let mut logs: BTreeMap<(RegionId, PartitionId), Log> = BTreeMap::new();
    let mut originals: HashMap<(PartitionId, ReplicaId, Seq), &Logged> = HashMap::new();
    for logged in &evidence.logged {
        let commit = &logged.commit;
        let name = (logged.partition, commit.origin, commit.first_seq);
        let original = *originals.entry(name).or_insert(logged);
        check_original(logged, original, &mut report);
        let is_original = std::ptr::eq(original, logged);
        let log = logs.entry((logged.region, logged.partition)).or_default();
        log.append(logged, is_original, &mut report);
    }
    report.into_violations()
}

/// Whether it is what its origin has logged, and the origin was first.
fn check_original(logged: &Logged, original: &Logged, report: &mut Report) {
    if std::ptr::eq(original, logged) {
        if logged.region != logged.commit.origin.region {
            report.add(format!(
                "{} was durable there before it was at its origin",
                LoggedName(logged)
            ));
        }
        return;
    }
    let is_same =
        std::sync::Arc::ptr_eq(&logged.commit, &original.commit) || logged.commit == original.commit;
    if !is_same {
        report.add(format!(
            "{} differs from what its origin has logged: {:?} there, {:?} here",
            LoggedName(logged),
            original.commit,
            logged.commit
        ));
    }
}

/// The log of one partition in one region, as far as it was read.
#[derive(Default)]
struct Log {
    index: LogIndex,
    vector: VersionVector,
    last_hlc: Hlc,
}

impl Log {
    fn append(&mut self, logged: &Logged, is_original: bool, report: &mut Report) {
        let commit: &Commit = &logged.commit;
        if logged.index != self.index.next() {
            report.add(format!("{} follows index {}", LoggedName(logged), self.index));
        }
        self.index = logged.index;
        self.check_order(logged, report);
        self.check_dependencies(logged, is_original, report);
        // `<=`: stamps of an origin are greater than all that it has logged.
        if is_original && commit.hlc <= self.last_hlc {
            report.add(format!(
                "{} has the stamp {}, and {} was logged there before",
                LoggedName(logged),
                commit.hlc,
                self.last_hlc
            ));
        }
        self.last_hlc = self.last_hlc.max(commit.last_hlc());
        if commit.last_seq() > self.vector.get(&commit.origin) {
            self.vector.advance(commit.origin, commit.last_seq());
        }
    }

    fn check_order(&self, logged: &Logged, report: &mut Report) {
        let commit: &Commit = &logged.commit;
        let applied = self.vector.get(&commit.origin);
        let name = LoggedName(logged);
        if commit.first_seq > applied + 1 {
            report.add(format!("{name} leaves a gap after seq {applied}"));
        } else if commit.last_seq() <= applied {
            report.add(format!("{name} was logged before: seq {applied} was reached"));
        } else if commit.first_seq <= applied {
            report.add(format!("{name} overlaps what was logged up to seq {applied}"));
        }
    }

    fn check_dependencies(&self, logged: &Logged, is_original: bool, report: &mut Report) {
        let commit: &Commit = &logged.commit;
        let name = LoggedName(logged);
        if commit.deps.get(&commit.origin) > 0 {
            report.add(format!("{name} depends on its own replica: {:?}", commit.deps));
        }
        for dot in commit.deps.iter().filter(|dot| !self.vector.covers(dot)) {
            report.add(format!(
                "{name} was logged before {dot:?}, on which it depends; logged were {:?}",
                self.vector
            ));
        }
        // At its origin it depends on all that is there: less would make what it has seen concurrent with it.
        let is_at_origin = is_original && logged.region == commit.origin.region;
        if is_at_origin && !commit.deps.covers_all(&self.vector.without(&commit.origin)) {
            report.add(format!(
                "{name} depends on {:?}, but its origin had logged {:?}",
                commit.deps, self.vector
            ));
        }
    }
}

struct LoggedName<'a>(&'a Logged);

impl std::fmt::Display for LoggedName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Logged {
            at,
            region,
            partition,
            index,
            commit,
            ..
        } = self.0;
        let (origin, first, last) = (commit.origin, commit.first_seq, commit.last_seq());
        write!(
            f,
            "commit {origin}:{first}-{last} (partition {partition}, in {region} at index {index}, {at})"
        )
    }
}
