//! The durability checker where nobody could look inside: an acknowledged write is shown in the end, or is in a ledger,
//! or something that may have seen it is what is left of the record: a value that is shown, a delete, or a value in a
//! ledger. (Whatever supersedes it is superseded in its turn by such a one, which then has seen it too.)

use std::collections::{BTreeSet, HashSet};

use atoll::model::record::{RecordId, RecordType, Version};

use crate::evidence::{Action, Evidence, Operation, Settled, Shown};

use super::outside::{by_record, may_add, may_have_seen, may_remove};
use super::report::{OperationName, Report};
use super::study::expectation::is_same_json;

/// Values that some region has in its ledger.
type Ledger<'a> = HashSet<(&'a RecordId, &'a [u8])>;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence, report: &mut Report) {
    if !matches!(evidence.settled, Settled::After(_)) {
        return;
    }
    let entries = evidence.finals.values().flat_map(|last| &last.losers);
    let ledger: Ledger<'_> = entries
        .filter_map(|entry| Some((&entry.record, entry.value.as_deref()?)))
        .collect();
    for (record, operations) in by_record(evidence) {
        for (region, last) in &evidence.finals {
            let Some(shown) = last.reads.get(record) else {
                continue;
            };
            let scene = Scene {
                record,
                operations: &operations,
                shown,
                ledger: &ledger,
            };
            for operation in &operations {
                if let Some(lost) = scene.what_is_lost(operation) {
                    report.add(format!(
                        "{} was acknowledged, but in the end {region} does not show {lost}, no ledger has it, and \
                         nothing that is left can have seen it: {shown:?}",
                        OperationName(operation)
                    ));
                }
            }
        }
    }
}

/// One record in the end.
struct Scene<'a> {
    record: &'a RecordId,
    operations: &'a [&'a Operation],
    shown: &'a Shown,
    ledger: &'a Ledger<'a>,
}

impl Scene<'_> {
    fn what_is_lost(&self, write: &Operation) -> Option<String> {
        write.answer()?;
        match (&write.action, self.record.record_type) {
            (Action::Put { value, .. }, RecordType::Register) => {
                let is_kept = self.is_left(None, value) || self.is_superseded(write, None);
                (!is_kept).then(|| super::report::text(value))
            }
            (Action::ChangeMembers { add, .. }, RecordType::Set) => {
                let Shown::Members(members) = self.shown else {
                    return None;
                };
                let members: BTreeSet<&String> = members.iter().collect();
                let is_lost = |member: &&String| {
                    let removes =
                        |other: &&&Operation| may_remove(other, member) && may_have_seen(other, write);
                    !members.contains(member) && !self.operations.iter().any(|other| removes(&other))
                };
                add.iter().find(is_lost).cloned()
            }
            (Action::ChangeFields { set, .. }, RecordType::Map) => {
                let is_lost = |(field, value): &&(String, String)| {
                    !self.is_left(Some(field), value.as_bytes()) && !self.is_superseded(write, Some(field))
                };
                set.iter()
                    .find(is_lost)
                    .map(|(field, value)| format!("{field} = {value}"))
            }
            _ => None,
        }
    }

    /// Whether a value is shown, or in a ledger.
    fn is_left(&self, field: Option<&str>, value: &[u8]) -> bool {
        let is_shown = match self.shown {
            Shown::Value(shown) => shown == value,
            Shown::Siblings(siblings) => siblings.iter().any(|(_, sibling)| sibling == value),
            Shown::Fields(fields) => field
                .and_then(|field| fields.get(field))
                .is_some_and(|shown| is_same_json(shown, value)),
            _ => false,
        };
        is_shown || self.ledger.contains(&(self.record, value))
    }

    /// Whether something that may have seen the write is left of the register or field.
    fn is_superseded(&self, write: &Operation, field: Option<&str>) -> bool {
        let is_left = |other: &Operation| match (&other.action, field) {
            (Action::Delete { .. }, None) => true,
            (Action::Put { value, .. }, None) => self.is_left(None, value),
            (Action::ChangeFields { set, .. }, Some(field)) if may_add(other, field) => set
                .iter()
                .any(|(name, value)| name == field && self.is_left(Some(field), value.as_bytes())),
            (_, Some(field)) => may_remove(other, field),
            _ => false,
        };
        // The stamp of a write is greater than those of all that it has seen. A change of a map names only its last.
        let version = |operation: &Operation| -> Option<Version> {
            field.is_none().then(|| operation.answer()?.version).flatten()
        };
        let ranks_higher = |other: &Operation| match (version(other), version(write)) {
            (Some(other), Some(own)) => other > own,
            _ => true,
        };
        self.operations
            .iter()
            .any(|other| may_have_seen(other, write) && ranks_higher(other) && is_left(other))
    }
}
