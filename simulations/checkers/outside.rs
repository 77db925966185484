//! What clients alone can know of what saw what, where nobody could look into the logs. Everything here is sound and no
//! more: an order is claimed only where it follows from what clients did and were told.
//!
//! An operation that was acknowledged is visible in its region from then on. Whoever writes there later has seen it. A
//! value is written once, so that a read that shows it shows that its region had applied the write.

use std::collections::{BTreeMap, HashMap};

use atoll::model::ids::RegionId;
use atoll::model::record::RecordId;

use crate::evidence::{Action, Evidence, Moment, Operation, Outcome, Shown};

/// Operations by record.
pub(crate) fn by_record(evidence: &Evidence) -> BTreeMap<&RecordId, Vec<&Operation>> {
    let mut records: BTreeMap<&RecordId, Vec<&Operation>> = BTreeMap::new();
    for operation in &evidence.operations {
        records.entry(&operation.record).or_default().push(operation);
    }
    records
}

/// Whether one operation had ended for certain before another began. What nobody knows the end of may be done at any
/// time after its beginning.
pub(crate) fn is_before(earlier: &Operation, later: &Operation) -> bool {
    let has_ended = !matches!(earlier.outcome, Outcome::Unknown { .. });
    has_ended && earlier.ended.is_some_and(|ended| is_over(earlier, ended, later))
}

/// Whether `ended`, the end of `earlier`, came before the beginning of `later`.
fn is_over(earlier: &Operation, ended: Moment, later: &Operation) -> bool {
    // `<=` for one client, which does one thing at a time: what it does next begins at that moment at the earliest.
    let is_same_client = earlier.client == later.client && earlier.id < later.id;
    ended < later.started || (is_same_client && ended <= later.started)
}

/// Whether the later write may have been made with knowledge of the earlier one.
pub(crate) fn may_have_seen(later: &Operation, earlier: &Operation) -> bool {
    later.id != earlier.id && later.may_have_happened() && !is_before(later, earlier)
}

/// When values were first known to be visible in regions: by value and region, the operations that have shown it.
#[derive(Debug, Default)]
pub(crate) struct Sightings<'a> {
    seen: HashMap<(&'a [u8], RegionId), Vec<&'a Operation>>,
}

impl<'a> Sightings<'a> {
    /// Of one record (its field, if it is a map: values are written once, so that fields need no telling apart).
    pub(crate) fn new(operations: &[&'a Operation]) -> Self {
        let mut sightings = Self::default();
        for operation in operations {
            let Some(answer) = operation.answer() else {
                continue;
            };
            match &operation.action {
                Action::Put { value, .. } => sightings.note(value, operation),
                Action::ChangeFields { set, .. } => {
                    for (_, value) in set {
                        sightings.note(value.as_bytes(), operation);
                    }
                }
                _ => {}
            }
            match &answer.shown {
                Shown::Value(value) => sightings.note(value, operation),
                Shown::Siblings(siblings) => {
                    for (_, value) in siblings {
                        sightings.note(value, operation);
                    }
                }
                Shown::Fields(fields) => {
                    for value in fields.values() {
                        sightings.note(value.as_bytes(), operation);
                    }
                }
                _ => {}
            }
        }
        sightings
    }

    /// Whether a write has certainly seen the write of this value: its region had shown it before the write began.
    pub(crate) fn has_surely_seen(&self, write: &Operation, value: &[u8]) -> bool {
        let seen = self.seen.get(&(value, write.region));
        seen.is_some_and(|seen| seen.iter().any(|operation| is_before(operation, write)))
    }

    fn note(&mut self, value: &'a [u8], operation: &'a Operation) {
        let seen = self.seen.entry((value, operation.region)).or_default();
        // One that ended later tells nothing new, but for the client itself.
        let is_known = |known: &&Operation| {
            known.client == operation.client
                || known.ended.is_some_and(|known| Some(known) <= operation.ended)
        };
        if !seen.iter().any(is_known) {
            seen.push(operation);
        }
    }
}

/// The members or fields that a write may have taken away.
pub(crate) fn may_remove(operation: &Operation, part: &str) -> bool {
    match &operation.action {
        Action::ChangeMembers { add, remove, .. } => {
            // What is both added and removed is there afterwards.
            remove.iter().any(|member| member == part) && !add.iter().any(|member| member == part)
        }
        Action::ChangeFields { set, remove } => {
            remove.iter().any(|field| field == part) && !set.iter().any(|(field, _)| field == part)
        }
        Action::DropSet | Action::DropMap => true,
        _ => false,
    }
}

/// Whether a write may have added a member or set a field.
pub(crate) fn may_add(operation: &Operation, part: &str) -> bool {
    match &operation.action {
        Action::ChangeMembers { add, .. } => add.iter().any(|member| member == part),
        Action::ChangeFields { set, .. } => set.iter().any(|(field, _)| field == part),
        _ => false,
    }
}
