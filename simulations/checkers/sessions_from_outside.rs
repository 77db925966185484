//! The session guarantees where nobody could look inside.
//!
//! Of a register that nobody deletes the highest version that a region shows only rises. So no read of a session shows a
//! lower one than the session has written or been shown, or none at all. Every write has a higher version than all that
//! its session has written or been shown of the record, also where there are deletes. Of sets and maps: what a session has
//! added, set or been shown is there unless somebody may have removed it.

use std::collections::{BTreeMap, HashMap};

use atoll::model::record::{RecordId, Version};

use crate::evidence::{Action, Evidence, Operation, SessionId, Shown};

use super::outside::{by_record, is_before, may_remove};
use super::report::{OperationName, Report};

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence, report: &mut Report) {
    let records = by_record(evidence);
    let mut sessions: BTreeMap<(SessionId, &RecordId), Vec<&Operation>> = BTreeMap::new();
    for operation in &evidence.operations {
        let session = sessions.entry((operation.session, &operation.record));
        session.or_default().push(operation);
    }
    for ((_, record), operations) in sessions {
        let all = records.get(record).map_or(&[][..], Vec::as_slice);
        check_versions(&operations, all, report);
        check_parts(&operations, all, report);
    }
}

fn check_versions(session: &[&Operation], all: &[&Operation], report: &mut Report) {
    let is_deleted = all
        .iter()
        .any(|other| matches!(other.action, Action::Delete { .. }) && other.may_have_happened());
    // The highest version, and who told it, of what has ended; and what may not have.
    let mut known: Option<(Version, &Operation)> = None;
    let mut pending: Vec<(Version, &Operation)> = Vec::new();
    for operation in session {
        let Some(answer) = operation.answer() else {
            continue;
        };
        let is_of_register = matches!(
            operation.action,
            Action::Put { .. } | Action::Delete { .. } | Action::Get
        );
        if !is_of_register {
            return;
        }
        pending.retain(|(version, earlier)| {
            let is_over = is_before(earlier, operation);
            if is_over && known.is_none_or(|(known, _)| known < *version) {
                known = Some((*version, earlier));
            }
            !is_over
        });
        let wrong = match (known, answer.version) {
            // `<=`: a write is newer than all that its session knows.
            (Some((known, _)), Some(version)) if operation.action.is_write() => version <= known,
            _ if operation.action.is_write() || is_deleted => false,
            (Some((known, _)), Some(version)) => version < known,
            (Some(_), None) => answer.shown == Shown::Absent,
            (None, _) => false,
        };
        if let (true, Some((version, by))) = (wrong, known) {
            report.add(format!(
                "{} comes after {}, which told its session of version {version}",
                OperationName(operation),
                OperationName(by)
            ));
        }
        pending.extend(answer.version.map(|version| (version, *operation)));
    }
}

fn check_parts(session: &[&Operation], all: &[&Operation], report: &mut Report) {
    let mut known: HashMap<&str, &Operation> = HashMap::new();
    for operation in session {
        let Some(answer) = operation.answer() else {
            continue;
        };
        for part in not_shown(operation, &answer.shown, &known) {
            let by = known[part];
            let may_be_gone = all.iter().any(|other| {
                let is_too_early = by.action.is_write() && is_before(other, by);
                other.may_have_happened()
                    && may_remove(other, part)
                    && !is_too_early
                    && !is_before(operation, other)
            });
            if is_before(by, operation) && !may_be_gone {
                report.add(format!(
                    "{} does not show {part:?}, which {} told its session of",
                    OperationName(operation),
                    OperationName(by)
                ));
            }
        }
        match (&operation.action, &answer.shown) {
            (Action::ChangeMembers { add, .. }, _) => {
                known.extend(add.iter().map(|member| (member.as_str(), *operation)));
            }
            (Action::ChangeFields { set, .. }, _) => {
                known.extend(set.iter().map(|(field, _)| (field.as_str(), *operation)));
            }
            (Action::Contains { member }, Shown::Member(true)) => {
                known.insert(member, operation);
            }
            (_, Shown::Members(members)) => {
                known.extend(members.iter().map(|member| (member.as_str(), *operation)));
            }
            (_, Shown::Fields(fields)) => {
                known.extend(fields.keys().map(|field| (field.as_str(), *operation)));
            }
            _ => {}
        }
    }
}

/// Of the known parts, those that a read says are not there.
fn not_shown<'a>(
    operation: &'a Operation,
    shown: &Shown,
    known: &HashMap<&'a str, &'a Operation>,
) -> Vec<&'a str> {
    let mut parts: Vec<&str> = match (&operation.action, shown) {
        (Action::Contains { member }, Shown::Member(false)) => {
            let member = known.keys().find(|part| **part == member.as_str());
            member.copied().into_iter().collect()
        }
        (_, Shown::Members(members)) => {
            let is_hidden = |part: &&&str| !members.iter().any(|member| member == **part);
            known.keys().filter(is_hidden).copied().collect()
        }
        (_, Shown::Fields(fields)) => {
            let is_hidden = |part: &&&str| !fields.contains_key(**part);
            known.keys().filter(is_hidden).copied().collect()
        }
        _ => Vec::new(),
    };
    parts.sort_unstable();
    parts
}
