//! Breaking evidence on purpose, and looking for what the checkers say to it.

use std::sync::Arc;

use atoll::model::change::Commit;

use crate::evidence::{Evidence, FinalRegion, Logged, Operation, Violation};

use super::super::check_all;
use super::region;

/// Asserts that nothing is found, from inside and outside.
pub(crate) fn assert_accepted(evidence: Evidence) {
    assert_eq!(check_all(&evidence), []);
    assert_eq!(check_all(&super::from_outside(evidence)), []);
}

/// Asserts that a checker finds something that says so.
pub(crate) fn assert_found(evidence: &Evidence, checker: &str, part: &str) {
    let violations = check_all(evidence);
    let is_it = |violation: &&Violation| violation.checker == checker && violation.detail.contains(part);
    assert!(
        violations.iter().any(|violation| is_it(&violation)),
        "{checker} did not find {part:?} in {violations:#?}"
    );
}

/// Asserts that a checker finds nothing: for what is another one's finding, and for what must be excused.
pub(crate) fn assert_silent(evidence: &Evidence, checker: &str) {
    let violations = check_all(evidence);
    let found: Vec<&Violation> = violations
        .iter()
        .filter(|violation| violation.checker == checker)
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Whether a commit has the change that an operation was acknowledged with.
fn is_of(commit: &Commit, operation: &Operation) -> bool {
    let version = operation.answer().and_then(|answer| answer.version).unwrap();
    (0..commit.changes.len()).any(|position| commit.stamped(position).version() == version)
}

/// Positions of the log entries of what an operation did, in all regions, or in one.
pub(crate) fn entries(evidence: &Evidence, id: usize, name: Option<&str>) -> Vec<usize> {
    let operation = &evidence.operations[id];
    let is_it = |logged: &Logged| {
        name.is_none_or(|name| logged.region == region(name)) && is_of(&logged.commit, operation)
    };
    let logged = evidence.logged.iter().enumerate();
    logged
        .filter(|(_, logged)| is_it(logged))
        .map(|(position, _)| position)
        .collect()
}

/// The log entry in a region of what an operation did.
pub(crate) fn entry<'a>(evidence: &'a mut Evidence, id: usize, name: &str) -> &'a mut Logged {
    let position = entries(evidence, id, Some(name))[0];
    &mut evidence.logged[position]
}

/// Takes the log entries of an operation away, in all regions, or in one.
pub(crate) fn drop_entries(evidence: &mut Evidence, id: usize, name: Option<&str>) {
    for position in entries(evidence, id, name).into_iter().rev() {
        evidence.logged.remove(position);
    }
}

/// Changes a commit in all logs.
pub(crate) fn edit_commits(evidence: &mut Evidence, id: usize, edit: impl Fn(&mut Commit)) {
    for position in entries(evidence, id, None) {
        edit(Arc::make_mut(&mut evidence.logged[position].commit));
    }
}

/// A region in the end.
pub(crate) fn last<'a>(evidence: &'a mut Evidence, name: &str) -> &'a mut FinalRegion {
    evidence.finals.get_mut(&region(name)).unwrap()
}
