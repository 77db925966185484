//! What each acknowledged write did, by the version that its answer named.

use crate::evidence::{Evidence, Operation};

use super::journal::{ChangeNumber, Journal};

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It was a read, or its answer does not say: it was refused, or nobody knows.
    NotSaid,
    /// It was done, and there was nothing to change.
    Nothing,
    /// This is its last change, or its only one.
    Change(ChangeNumber),
    /// It was done, but what it did is in nobody's log.
    Missing,
}

/// What each operation did, in their order.
pub(crate) fn effects(evidence: &Evidence, journal: &Journal<'_>) -> Vec<Effect> {
    let effects = evidence.operations.iter();
    effects.map(|operation| effect(operation, journal)).collect()
}

fn effect(operation: &Operation, journal: &Journal<'_>) -> Effect {
    match operation.answer() {
        Some(answer) if operation.action.is_write() => match answer.version {
            None => Effect::Nothing,
            Some(version) => journal
                .change_of(&operation.record, version)
                .map_or(Effect::Missing, Effect::Change),
        },
        _ => Effect::NotSaid,
    }
}
