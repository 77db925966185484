//! (c) Counters: in the end every region shows the sum of the additions that were acknowledged and that no reset had
//! seen, each once. An addition whose outcome is unknown counts once or not at all.
//!
//! With logs it is known which of those were made, and what each reset had seen, so that the sum is exact: what clients
//! have asked for is summed up, not the totals that the store kept. Without, each addition counts for certain, for certain
//! not, or may count, and the value must be one of the possible sums.

use std::collections::{BTreeSet, HashMap};

use atoll::model::change::Delta;
use atoll::model::ids::RegionId;
use atoll::model::record::{RecordId, RecordType};

use crate::evidence::{Action, Evidence, Moment, Operation, Outcome, Settled, Shown, Violation};

use super::outside::{by_record, is_before, may_have_seen};
use super::report::{OperationName, RecordName, Report, change_name};
use super::study::reference::Frontier;
use super::study::{ChangeNumber, Effect, RecordNumber, Study};

/// So many possible sums are looked at one by one; beyond that only the lowest and the highest are.
const SUMS_MAX: usize = 4096;

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("counters");
    if study.has_logs() {
        check_unknown(study, &mut report);
        check_sums(study, &mut report);
    } else {
        check_from_outside(study.evidence, &mut report);
    }
    report.into_violations()
}

fn is_addition(study: &Study<'_>, change: ChangeNumber) -> bool {
    matches!(study.journal.change(change).delta, Delta::CounterTotals { .. })
}

/// Additions that no acknowledged operation has made must each be one of unknown outcome.
fn check_unknown(study: &Study<'_>, report: &mut Report) {
    let mut unknown: HashMap<(&RecordId, RegionId, i128), Vec<Moment>> = HashMap::new();
    let mut is_acknowledged = vec![false; study.journal.changes.len()];
    for (operation, effect, _) in study.operations() {
        match (&operation.action, &operation.outcome, effect) {
            (Action::Add { delta, .. }, Outcome::Unknown { .. }, _) => {
                let name = (&operation.record, operation.region, i128::from(*delta));
                unknown.entry(name).or_default().push(operation.started);
            }
            (Action::Add { .. }, _, Effect::Change(change)) => {
                if is_acknowledged[change.0] {
                    report.add(format!(
                        "{} was acknowledged with {}, which another addition was acknowledged with",
                        OperationName(operation),
                        change_name(&study.journal, change)
                    ));
                }
                is_acknowledged[change.0] = true;
            }
            _ => {}
        }
    }
    for moments in unknown.values_mut() {
        // From the end, so that the earliest is taken first.
        moments.sort_unstable_by(|one, other| other.cmp(one));
    }
    let changes = (0..study.journal.changes.len()).map(ChangeNumber);
    for change in changes.filter(|change| is_addition(study, *change) && !is_acknowledged[change.0]) {
        let facts = study.journal.change(change);
        let record = study.journal.record_of(change).id;
        let name = (record, facts.version.region, facts.amount);
        let logs = study.journal.logs.get(&facts.version.region);
        let partition = study.journal.commit(facts.commit).partition;
        let logged_at = logs.and_then(|logs| Some(logs.log(partition)[logs.place(facts.commit)? - 1].at));
        let asked_for = unknown.get_mut(&name).and_then(|moments| {
            let is_earlier = *moments.last()? <= logged_at?;
            if is_earlier { moments.pop() } else { None }
        });
        if asked_for.is_none() {
            report.add(format!(
                "{} adds {}, which nobody asked for, or not so often",
                change_name(&study.journal, change),
                facts.amount
            ));
        }
    }
}

fn check_sums(study: &Study<'_>, report: &mut Report) {
    let journal = &study.journal;
    let mut asked: HashMap<ChangeNumber, i64> = HashMap::new();
    for (operation, effect, _) in study.operations() {
        if let (Action::Add { delta, .. }, Effect::Change(change)) = (&operation.action, effect) {
            asked.insert(change, *delta);
        }
    }
    for number in (0..journal.records.len()).map(RecordNumber) {
        let record = journal.record(number);
        if record.id.record_type != RecordType::Counter {
            continue;
        }
        let Some(row) = record.rows.first() else { continue };
        let resets = Frontier::of(journal, *row, |delta| {
            matches!(delta, Delta::CounterFloors { .. })
        });
        let changes = journal.row(*row).changes.iter().copied();
        let sum: i128 = changes
            .filter(|change| is_addition(study, *change) && !resets.covers(journal, *change))
            .map(|change| {
                let amount = asked.get(&change).map(|amount| i128::from(*amount));
                amount.unwrap_or(journal.change(change).amount)
            })
            .sum();
        for (region, last) in study.settled_regions() {
            let Some(Shown::Total(total)) = last.reads.get(record.id) else {
                continue;
            };
            if i128::from(*total) != sum {
                report.add(format!(
                    "in the end {region} shows {total} for {}; the additions that no reset had seen come to {sum}",
                    RecordName(record.id)
                ));
            }
        }
    }
}

// --- from outside

fn check_from_outside(evidence: &Evidence, report: &mut Report) {
    let is_settled = matches!(evidence.settled, Settled::After(_));
    for (record, operations) in by_record(evidence) {
        if record.record_type != RecordType::Counter {
            continue;
        }
        if is_settled {
            let sums = Sums::in_the_end(&operations);
            for (region, last) in &evidence.finals {
                match last.reads.get(record) {
                    Some(Shown::Total(total)) if !sums.have(i128::from(*total)) => report.add(format!(
                        "in the end {region} shows {total} for {}; acknowledged are {}, and {:?} may count or not",
                        RecordName(record),
                        sums.certain,
                        sums.possible
                    )),
                    _ => {}
                }
            }
        }
        let has_resets = operations
            .iter()
            .any(|other| matches!(other.action, Action::Reset) && other.may_have_happened());
        // What a reset of unknown moment leaves to a read is too little to check.
        for read in operations.iter().filter(|_| !has_resets) {
            let Some(Shown::Total(total)) = read.answer().map(|answer| &answer.shown) else {
                continue;
            };
            let sums = Sums::at(&operations, read);
            let (lowest, highest) = sums.range();
            if !(lowest..=highest).contains(&i128::from(*total)) {
                report.add(format!(
                    "{} shows {total}, when it can have been {lowest} to {highest}",
                    OperationName(read)
                ));
            }
        }
    }
}

/// Additions that count, and those that may.
struct Sums {
    certain: i128,
    possible: Vec<i128>,
}

impl Sums {
    fn in_the_end(operations: &[&Operation]) -> Self {
        let resets: Vec<&Operation> = operations
            .iter()
            .copied()
            .filter(|other| matches!(other.action, Action::Reset))
            .collect();
        let mut sums = Self {
            certain: 0,
            possible: Vec::new(),
        };
        for add in operations.iter().filter(|add| add.may_have_happened()) {
            let Action::Add { delta, .. } = add.action else {
                continue;
            };
            let is_acknowledged = add.answer().is_some();
            let is_gone = resets.iter().any(|reset| {
                let has_seen = reset.region == add.region && is_before(add, reset);
                is_acknowledged && reset.answer().is_some() && has_seen
            });
            let may_be_gone = resets.iter().any(|reset| may_have_seen(reset, add));
            if is_acknowledged && !may_be_gone {
                sums.certain += i128::from(delta);
            } else if !is_gone {
                sums.possible.push(i128::from(delta));
            }
        }
        sums
    }

    /// What a read, or an addition that shows the value after it, can show of a counter that nobody resets.
    fn at(operations: &[&Operation], read: &Operation) -> Self {
        let mut sums = Self {
            certain: 0,
            possible: Vec::new(),
        };
        for add in operations.iter().filter(|add| add.may_have_happened()) {
            let Action::Add { delta, .. } = add.action else {
                continue;
            };
            let is_known = add.answer().is_some() && add.region == read.region && is_before(add, read);
            if is_known || add.id == read.id {
                sums.certain += i128::from(delta);
            } else if !is_before(read, add) {
                sums.possible.push(i128::from(delta));
            }
        }
        sums
    }

    fn range(&self) -> (i128, i128) {
        let below: i128 = self.possible.iter().filter(|delta| **delta < 0).sum();
        let above: i128 = self.possible.iter().filter(|delta| **delta > 0).sum();
        (self.certain + below, self.certain + above)
    }

    /// Whether the value is one of the possible sums, as far as it can be told.
    fn have(&self, value: i128) -> bool {
        let mut reached = BTreeSet::from([self.certain]);
        for delta in &self.possible {
            let further: Vec<i128> = reached.iter().map(|sum| sum + delta).collect();
            reached.extend(further);
            if reached.len() > SUMS_MAX {
                let (lowest, highest) = self.range();
                return (lowest..=highest).contains(&value);
            }
        }
        reached.contains(&value)
    }
}
