//! (k) Batches are done whole. With logs: all changes of a batch are in one commit, one after the other in the order of its
//! operations, and where its outcome is unknown all of what can be told by its values is there, or nothing of it.
//!
//! From outside: registers that are only ever written next to each other, in batches, without conditions and deletes, show
//! values of the same batch in the end, whichever has won: stamps of neighbours are neighbours. What listings show meanwhile
//! clients look at themselves (`workload/batches.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use atoll::model::record::RecordId;
use bytes::Bytes;

use crate::evidence::{Action, BatchId, Condition, Evidence, Operation, Settled, Shown, Violation};

use super::report::{OperationName, RecordName, Report, change_name, text};
use super::study::expectation::{content, field_value};
use super::study::{ChangeNumber, CommitNumber, Effect, Study};

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("batches");
    if study.has_logs() {
        check_commits(study, &mut report);
    }
    check_pairs(study.evidence, &mut report);
    report.into_violations()
}

/// An operation of a batch, and the change that shows it in the logs: its last one, or one that holds a value of it.
struct Part<'a> {
    operation: &'a Operation,
    change: Option<ChangeNumber>,
    /// Whether it would be in the logs if it was done: what removes may find nothing to remove.
    is_telling: bool,
}

fn check_commits(study: &Study<'_>, report: &mut Report) {
    let written = written(study);
    let mut batches: BTreeMap<BatchId, Vec<Part<'_>>> = BTreeMap::new();
    for (operation, effect, _) in study.operations() {
        let Some(batch) = operation.batch else { continue };
        if !operation.may_have_happened() {
            continue; // What was refused and is there all the same is another checker's finding.
        }
        let value = telling_value(operation);
        let by_value = value.and_then(|value| written.get(&(&operation.record, value)).copied());
        let change = match effect {
            Effect::Change(change) => Some(change),
            _ => by_value,
        };
        batches.entry(batch).or_default().push(Part {
            operation,
            change,
            is_telling: value.is_some(),
        });
    }
    for parts in batches.values() {
        check_batch(study, parts, report);
    }
}

/// By record and value, which is written once: the first change that wrote it.
fn written<'a>(study: &'a Study<'_>) -> HashMap<(&'a RecordId, &'a [u8]), ChangeNumber> {
    let journal = &study.journal;
    let mut written = HashMap::new();
    for change in (0..journal.changes.len()).map(ChangeNumber) {
        let value: Option<&Bytes> = content(journal, change).or_else(|| field_value(journal, change));
        if let Some(value) = value {
            let record = journal.record_of(change).id;
            written.entry((record, value.as_ref())).or_insert(change);
        }
    }
    written
}

fn telling_value(operation: &Operation) -> Option<&[u8]> {
    match &operation.action {
        Action::Put { value, .. } => Some(value),
        Action::ChangeFields { set, .. } => set.first().map(|(_, value)| value.as_bytes()),
        _ => None,
    }
}

fn check_batch(study: &Study<'_>, parts: &[Part<'_>], report: &mut Report) {
    let journal = &study.journal;
    let found: Vec<ChangeNumber> = parts.iter().filter_map(|part| part.change).collect();
    let (Some(first), Some(last)) = (found.iter().min(), found.iter().max()) else {
        return;
    };
    if let Some(lost) = parts.iter().find(|part| part.is_telling && part.change.is_none()) {
        report.add(format!(
            "{} is in no log, but another operation of its batch is: {}",
            OperationName(lost.operation),
            change_name(journal, *first)
        ));
    }
    let commits: BTreeSet<CommitNumber> = found
        .iter()
        .map(|change| journal.change(*change).commit)
        .collect();
    if commits.len() > 1 {
        report.add(format!(
            "the batch of {} was made as {} commits: {} and {}",
            OperationName(parts[0].operation),
            commits.len(),
            change_name(journal, *first),
            change_name(journal, *last)
        ));
        return;
    }
    if !found.is_sorted() {
        report.add(format!(
            "the batch of {} was not made in the order of its operations",
            OperationName(parts[0].operation)
        ));
    }
    let records: BTreeSet<&RecordId> = parts.iter().map(|part| &part.operation.record).collect();
    let stranger = (first.0..=last.0)
        .map(ChangeNumber)
        .find(|change| !records.contains(journal.record_of(*change).id));
    if let Some(stranger) = stranger {
        report.add(format!(
            "{} stands between the changes of the batch of {}",
            change_name(journal, stranger),
            OperationName(parts[0].operation)
        ));
    }
}

// --- from outside

/// Two registers that are only written together.
type Pair<'a> = (&'a RecordId, &'a RecordId);

fn check_pairs(evidence: &Evidence, report: &mut Report) {
    if !matches!(evidence.settled, Settled::After(_)) {
        return;
    }
    let values: HashMap<(&RecordId, &[u8]), BatchId> = evidence
        .operations
        .iter()
        .filter_map(|operation| {
            let Action::Put { value, .. } = &operation.action else {
                return None;
            };
            Some(((&operation.record, value.as_ref()), operation.batch?))
        })
        .collect();
    for (one, other) in pairs(evidence) {
        for (region, last) in &evidence.finals {
            let batch_of = |record: &RecordId| match last.reads.get(record) {
                Some(Shown::Value(value)) => values.get(&(record, value.as_ref())).copied(),
                _ => None,
            };
            if batch_of(one) != batch_of(other) {
                let shown = |record: &RecordId| match last.reads.get(record) {
                    Some(Shown::Value(value)) => text(value),
                    other => format!("{other:?}"),
                };
                report.add(format!(
                    "in the end {region} shows {:?} for {} and {:?} for {}, which are only written together",
                    shown(one),
                    RecordName(one),
                    shown(other),
                    RecordName(other)
                ));
            }
        }
    }
}

/// Registers of which every write stands next to one of the other, in a batch, and nothing else touches them.
fn pairs(evidence: &Evidence) -> BTreeSet<Pair<'_>> {
    let mut counts: BTreeMap<&RecordId, usize> = BTreeMap::new();
    let mut together: BTreeMap<Pair<'_>, usize> = BTreeMap::new();
    let mut others: BTreeSet<&RecordId> = BTreeSet::new();
    let writes = evidence.operations.iter().enumerate();
    for (position, operation) in writes.filter(|(_, operation)| operation.action.is_write()) {
        *counts.entry(&operation.record).or_default() += 1;
        let is_plain = matches!(
            &operation.action,
            Action::Put {
                condition: Condition::None,
                context: None,
                ..
            }
        );
        if !is_plain || operation.batch.is_none() {
            others.insert(&operation.record);
        }
        // The operations of a batch stand next to each other in the history.
        let next = evidence.operations.get(position + 1);
        if let Some(next) = next.filter(|next| operation.batch.is_some() && next.batch == operation.batch) {
            *together.entry((&operation.record, &next.record)).or_default() += 1;
        }
    }
    together
        .into_iter()
        .filter(|((one, other), count)| counts.get(one) == Some(count) && counts.get(other) == Some(count))
        .map(|(pair, _)| pair)
        .filter(|(one, other)| !others.contains(one) && !others.contains(other))
        .collect()
}
