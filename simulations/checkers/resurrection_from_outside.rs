//! The resurrection checker where nobody could look inside: what an acknowledged removal or write has certainly seen is
//! not shown in the end, nor by a read of the same region that began after that removal had ended.

use atoll::model::record::RecordType;

use crate::evidence::{Action, Evidence, Operation, Settled, Shown};

use super::outside::{Sightings, by_record, is_before, may_add, may_remove};
use super::report::{OperationName, RecordName, Report, text};

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence, report: &mut Report) {
    let is_settled = matches!(evidence.settled, Settled::After(_));
    for (record, operations) in by_record(evidence) {
        let scene = Scene {
            sightings: Sightings::new(&operations),
            operations: &operations,
            is_set: record.record_type == RecordType::Set,
        };
        for (region, last) in evidence.finals.iter().filter(|_| is_settled) {
            let Some(shown) = last.reads.get(record) else {
                continue;
            };
            for (what, by) in scene.brought_back(shown, None, None) {
                report.add(format!(
                    "in the end {region} shows {what} of {}, which was gone after {by}",
                    RecordName(record)
                ));
            }
        }
        for read in operations.iter().filter(|operation| !operation.action.is_write()) {
            let Some(answer) = read.answer() else { continue };
            let member = match &read.action {
                Action::Contains { member } => Some(member.as_str()),
                _ => None,
            };
            for (what, by) in scene.brought_back(&answer.shown, member, Some(read)) {
                report.add(format!(
                    "{} shows {what}, which was gone after {by}",
                    OperationName(read)
                ));
            }
        }
    }
}

/// One record.
struct Scene<'a> {
    sightings: Sightings<'a>,
    operations: &'a [&'a Operation],
    is_set: bool,
}

impl Scene<'_> {
    /// What was shown and should not be, with the operation that took it away. Without a read: in the end.
    fn brought_back(
        &self,
        shown: &Shown,
        member: Option<&str>,
        read: Option<&Operation>,
    ) -> Vec<(String, String)> {
        let value = |value: &[u8]| Some((text(value), self.taken_by(None, value, read)?));
        match shown {
            Shown::Value(shown) => value(shown).into_iter().collect(),
            Shown::Siblings(siblings) => siblings.iter().filter_map(|(_, shown)| value(shown)).collect(),
            Shown::Fields(fields) => fields
                .iter()
                .filter_map(|(field, value)| {
                    let by = self.taken_by(Some(field), value.as_bytes(), read)?;
                    Some((format!("{field} = {value}"), by))
                })
                .collect(),
            Shown::Members(members) => {
                let members = members.iter();
                members
                    .filter_map(|member| Some((member.clone(), self.removed_by(member, read)?)))
                    .collect()
            }
            Shown::Member(true) => member
                .and_then(|member| Some((member.to_owned(), self.removed_by(member, read)?)))
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The operation that has certainly taken a value away.
    fn taken_by(&self, field: Option<&str>, value: &[u8], read: Option<&Operation>) -> Option<String> {
        let takes = |write: &&&Operation| {
            let replaces = match (&write.action, field) {
                (Action::Delete { .. }, None) => true,
                // With a context it replaces what that names, whatever its region has seen.
                (
                    Action::Put {
                        value: own,
                        context: None,
                        ..
                    },
                    None,
                ) => own != value,
                (Action::ChangeFields { set, .. }, Some(field)) => {
                    may_remove(write, field)
                        || set
                            .iter()
                            .any(|(name, own)| name == field && own.as_bytes() != value)
                }
                (_, Some(field)) => may_remove(write, field),
                _ => false,
            };
            replaces && is_known_to(write, read) && self.sightings.has_surely_seen(write, value)
        };
        let by = self.operations.iter().find(takes)?;
        Some(OperationName(by).to_string())
    }

    /// An operation that has removed a member, if all that could have added it were removed for certain.
    fn removed_by(&self, member: &str, read: Option<&Operation>) -> Option<String> {
        if !self.is_set {
            return None;
        }
        let adds = self.operations.iter().filter(|add| {
            let is_too_late = read.is_some_and(|read| is_before(read, add));
            add.may_have_happened() && may_add(add, member) && !is_too_late
        });
        let mut last = None;
        for add in adds {
            let has_seen = |removal: &&&Operation| {
                may_remove(removal, member)
                    && is_known_to(removal, read)
                    && add.answer().is_some()
                    && add.region == removal.region
                    && is_before(add, removal)
            };
            last = Some(self.operations.iter().find(has_seen)?);
        }
        last.map(|removal| OperationName(removal).to_string())
    }
}

/// Whether a write was acknowledged, and for a read: in the same region, before it began.
fn is_known_to(write: &Operation, read: Option<&Operation>) -> bool {
    write.answer().is_some() && read.is_none_or(|read| read.region == write.region && is_before(write, read))
}
