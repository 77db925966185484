//! (d) Nothing that was deleted is back: no member, field, version or value that somebody who had seen it has removed or
//! replaced is held or shown in the end, nor shown by a read of a region that knew of the removal when the read began.

use std::collections::{BTreeMap, HashMap};

use atoll::model::change::Delta;
use atoll::model::ids::PartitionId;
use atoll::model::record::{RecordId, RecordType};
use atoll::model::rows::Row;
use atoll::model::vector::Dot;
use atoll::wire::keys::row::RowKey;
use atoll::wire::values::decode_row;

use crate::evidence::{Operation, Shown, Violation};

use super::report::{OperationName, RecordName, Report, change_name};
use super::resurrection_from_outside;
use super::study::reference::{Frontier, leaves_something, takes_away};
use super::study::{ChangeNumber, RowNumber, Study, Window, expectation};

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("resurrection");
    if study.has_logs() {
        let frontiers = frontiers(study);
        check_rows(study, &frontiers, &mut report);
        check_ends(study, &frontiers, &mut report);
        check_reads(study, &mut report);
    } else {
        resurrection_from_outside::check(study.evidence, &mut report);
    }
    report.into_violations()
}

/// By row: what its removals and writes have seen.
fn frontiers(study: &Study<'_>) -> Vec<Frontier> {
    let rows = 0..study.journal.rows.len();
    rows.map(|row| Frontier::of(&study.journal, RowNumber(row), takes_away))
        .collect()
}

/// What is stored in the end, dot by dot.
fn check_rows(study: &Study<'_>, frontiers: &[Frontier], report: &mut Report) {
    let journal = &study.journal;
    let mut by_dot: HashMap<(PartitionId, Dot), ChangeNumber> = HashMap::new();
    for number in (0..journal.changes.len()).map(ChangeNumber) {
        let partition = journal.commit(journal.change(number).commit).partition;
        by_dot.insert((partition, journal.dot(number)), number);
    }
    for (region, last) in study.settled_regions() {
        for (key, value) in &last.rows {
            let Ok(key) = RowKey::decode(key) else { continue };
            for dot in dots(key.row.record.record_type, value) {
                let Some(change) = by_dot.get(&(key.partition, dot)) else {
                    continue;
                };
                if frontiers[journal.change(*change).row.0].covers(journal, *change) {
                    report.add(format!(
                        "in the end {region} holds {}, which was removed or replaced by somebody who had seen it",
                        change_name(journal, *change)
                    ));
                }
            }
        }
    }
}

fn dots(record_type: RecordType, value: &[u8]) -> Vec<Dot> {
    // What does not decode is the finding of the checker that compares all rows.
    match decode_row(record_type, value) {
        Ok(Row::Register(row)) => row.versions().iter().map(|version| version.dot).collect(),
        Ok(Row::Member(row)) => row.dots().to_vec(),
        Ok(Row::Field(row)) => row.versions().iter().map(|version| version.dot).collect(),
        Ok(Row::Counter(_)) | Err(_) => Vec::new(),
    }
}

/// What readers are shown in the end.
fn check_ends(study: &Study<'_>, frontiers: &[Frontier], report: &mut Report) {
    for (region, last) in study.settled_regions() {
        for (record, shown) in &last.reads {
            let is_gone = |number: ChangeNumber| {
                frontiers[study.journal.change(number).row.0].covers(&study.journal, number)
            };
            for what in brought_back(study, record, shown, is_gone, |_| true) {
                report.add(format!(
                    "in the end {region} shows {what} of {}, which was removed or replaced by somebody who had seen it",
                    RecordName(record)
                ));
            }
        }
    }
}

/// What was shown though every change that could have brought it (of those that `is_here` picks) is gone.
fn brought_back(
    study: &Study<'_>,
    record: &RecordId,
    shown: &Shown,
    is_gone: impl Fn(ChangeNumber) -> bool,
    is_here: impl Fn(ChangeNumber) -> bool,
) -> Vec<String> {
    let journal = &study.journal;
    let Some(number) = journal.record_number(record) else {
        return Vec::new();
    };
    // Changes of a row that have written this; of a member, all its adds.
    let all_gone = |row: RowNumber, wrote: &dyn Fn(ChangeNumber) -> bool| {
        let mut changes = journal
            .row(row)
            .changes
            .iter()
            .copied()
            .filter(|change| is_here(*change) && wrote(*change))
            .peekable();
        changes.peek().is_some() && changes.all(&is_gone)
    };
    let part_gone = |part: &str, wrote: &dyn Fn(ChangeNumber) -> bool| {
        journal.part(number, part).is_some_and(|row| all_gone(row, wrote))
    };
    let is_add = |change: ChangeNumber| leaves_something(journal.change(change).delta);
    let value_gone = |value: &[u8]| {
        let rows = &journal.record(number).rows;
        let wrote = |change: ChangeNumber| {
            expectation::content(journal, change).is_some_and(|content| content == value)
        };
        rows.iter().any(|row| all_gone(*row, &wrote))
    };
    match shown {
        Shown::Value(value) if value_gone(value) => vec![super::report::text(value)],
        Shown::Siblings(siblings) => siblings
            .iter()
            .filter(|(_, value)| value_gone(value))
            .map(|(_, value)| super::report::text(value))
            .collect(),
        Shown::Members(members) => members
            .iter()
            .filter(|member| part_gone(member, &is_add))
            .cloned()
            .collect(),
        Shown::Fields(fields) => fields
            .iter()
            .filter(|(field, value)| {
                let wrote = |change: ChangeNumber| {
                    expectation::field_value(journal, change)
                        .is_some_and(|held| expectation::is_same_json(value, held))
                };
                part_gone(field, &wrote)
            })
            .map(|(field, value)| format!("{field} = {value}"))
            .collect(),
        _ => Vec::new(),
    }
}

/// Reads that do not fit the log of their region: those that show what was gone for certain when they began.
fn check_reads(study: &Study<'_>, report: &mut Report) {
    for (operation, _, window) in study.operations() {
        let (Some(answer), Some(window)) = (operation.answer(), window) else {
            continue;
        };
        // A read that fits the log somewhere in its window shows nothing that is gone.
        if operation.action.is_write() || window.explained.is_some() {
            continue;
        }
        let shown = match (&operation.action, &answer.shown) {
            (crate::evidence::Action::Contains { member }, Shown::Member(true)) => {
                Shown::Members(vec![member.clone()])
            }
            (_, shown) => shown.clone(),
        };
        for what in brought_back_to(study, operation, window, &shown) {
            report.add(format!(
                "{} shows {what}, which its region had removed or replaced before it began",
                OperationName(operation)
            ));
        }
    }
}

fn brought_back_to(study: &Study<'_>, read: &Operation, window: &Window, shown: &Shown) -> Vec<String> {
    let journal = &study.journal;
    let Some(logs) = journal.logs.get(&read.region) else {
        return Vec::new();
    };
    let place = |change: ChangeNumber| logs.place(journal.change(change).commit);
    let mut known: BTreeMap<RowNumber, Vec<ChangeNumber>> = BTreeMap::new();
    for row in &journal.record(window.record).rows {
        let changes = journal.row(*row).changes.iter().copied();
        let is_known = |change: &ChangeNumber| {
            place(*change).is_some_and(|place| place <= window.lower)
                && !matches!(journal.change(*change).delta, Delta::CounterTotals { .. })
        };
        known.insert(*row, changes.filter(is_known).collect());
    }
    let is_gone = |change: ChangeNumber| {
        let row = journal.change(change).row;
        let mut known = known.get(&row).into_iter().flatten();
        known.any(|later| super::study::replay::replaces(journal, *later, change))
    };
    let is_here = |change: ChangeNumber| place(change).is_some_and(|place| place <= window.upper);
    brought_back(study, &read.record, shown, is_gone, is_here)
}
