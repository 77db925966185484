//! How often a run came into situations that are worth being in ("sometimes" checks): a fault or a conflict that is never
//! met proves nothing. Counts only; nothing here is wrong or right.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use atoll::model::change::{ConflictPolicy, Delta};
use atoll::model::ids::{Incarnation, RegionId, ReplicaId};
use atoll::model::record::RecordType;

use crate::evidence::{Action, Condition, Evidence, Outcome, Promise, Shown};

use super::register_histories;
use super::study::journal::{CommitFacts, LogEntry};
use super::study::{ChangeNumber, CommitNumber, Effect, Journal, Study};

/// By name of the situation: how often. Names that never occurred are there with 0.
pub(crate) fn count(evidence: &Evidence) -> BTreeMap<&'static str, u64> {
    let study = Study::new(evidence);
    let mut counts = Counts::new();
    count_outcomes(&study, &mut counts);
    count_conflicts(&study, &mut counts);
    count_orders(&study, &mut counts);
    count_homes(evidence, &mut counts);
    if !study.has_logs() {
        counts.add(SEARCH_GAVE_UP, register_histories::undecided(evidence));
    }
    counts.0
}

const UNKNOWN_DONE: &str = "write of unknown outcome was done";
const UNKNOWN_NOT_DONE: &str = "write of unknown outcome was not done";
const UNKNOWN: &str = "write of unknown outcome";
const REFUSED: &str = "write refused, nothing done";
const PRECONDITION_MET: &str = "precondition met";
const PRECONDITION_REFUSED: &str = "precondition refused";
const PRECONDITION_RACED: &str = "preconditions raced";
const OTHER_PRECONDITION_MET: &str = "precondition on a member or counter met";
const OTHER_PRECONDITION_REFUSED: &str = "precondition on a member or counter refused";
const NOTHING_TO_CHANGE: &str = "write found nothing to change";
const SIBLINGS_SHOWN: &str = "siblings shown";
const SIBLINGS_RESOLVED: &str = "siblings written back with a context";
const LWW_CONFLICT: &str = "concurrent register writes under lww";
const SIBLING_CONFLICT: &str = "concurrent register writes under siblings";
const DELETE_AGAINST_PUT: &str = "delete against concurrent put";
const ADD_AGAINST_REMOVE: &str = "member added against concurrent remove";
const FIELD_CONFLICT: &str = "concurrent values of a field";
const FIELD_AGAINST_REMOVE: &str = "field set against concurrent remove";
const RESET_AGAINST_ADD: &str = "counter reset against concurrent add";
const RESETS: &str = "concurrent counter resets";
const GROUP: &str = "commit of several changes";
const GROUP_OF_RECORDS: &str = "commit of several records";
const THIRD_REGION: &str = "dependency came later than what depends on it was made";
const OTHER_ORDER: &str = "commits logged in another order than elsewhere";
const INCARNATION: &str = "commit of a second incarnation";
const LEDGER: &str = "ledger entry";
const NEW_HOME: &str = "strong operation answered by a new home";
const SEARCH_GAVE_UP: &str = "linearizability undecided";

/// All names.
const NAMES: [&str; 28] = [
    UNKNOWN_DONE,
    UNKNOWN_NOT_DONE,
    UNKNOWN,
    REFUSED,
    PRECONDITION_MET,
    PRECONDITION_REFUSED,
    PRECONDITION_RACED,
    OTHER_PRECONDITION_MET,
    OTHER_PRECONDITION_REFUSED,
    NOTHING_TO_CHANGE,
    SIBLINGS_SHOWN,
    SIBLINGS_RESOLVED,
    LWW_CONFLICT,
    SIBLING_CONFLICT,
    DELETE_AGAINST_PUT,
    ADD_AGAINST_REMOVE,
    FIELD_CONFLICT,
    FIELD_AGAINST_REMOVE,
    RESET_AGAINST_ADD,
    RESETS,
    GROUP,
    GROUP_OF_RECORDS,
    THIRD_REGION,
    OTHER_ORDER,
    INCARNATION,
    LEDGER,
    NEW_HOME,
    SEARCH_GAVE_UP,
];

struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    fn new() -> Self {
        Self(NAMES.into_iter().map(|name| (name, 0)).collect())
    }

    fn add(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_insert(0) += count;
    }
}

fn count_outcomes(study: &Study<'_>, counts: &mut Counts) {
    let written: HashSet<&[u8]> = (0..study.journal.changes.len())
        .filter_map(|change| super::study::expectation::content(&study.journal, ChangeNumber(change)))
        .map(AsRef::as_ref)
        .collect();
    for (operation, effect, window) in study.operations() {
        let is_conditional = *operation.action.condition() != Condition::None;
        let is_other = operation.record.record_type != RecordType::Register;
        match &operation.outcome {
            Outcome::Unknown { .. } if operation.action.is_write() => {
                counts.add(UNKNOWN, 1);
                if let Action::Put { value, .. } = &operation.action {
                    let is_done = written.contains(value.as_ref());
                    counts.add(if is_done { UNKNOWN_DONE } else { UNKNOWN_NOT_DONE }, 1);
                }
            }
            Outcome::Refused { status: 412, .. } if is_conditional => {
                counts.add(PRECONDITION_REFUSED, 1);
                counts.add(OTHER_PRECONDITION_REFUSED, u64::from(is_other));
                // The register changed while the write was under way: another moment, another answer.
                counts.add(PRECONDITION_RACED, u64::from(has_changed(study, window)));
            }
            Outcome::Refused { .. } if operation.action.is_write() => counts.add(REFUSED, 1),
            Outcome::Done(answer) => {
                counts.add(PRECONDITION_MET, u64::from(is_conditional));
                counts.add(OTHER_PRECONDITION_MET, u64::from(is_conditional && is_other));
                counts.add(NOTHING_TO_CHANGE, u64::from(effect == Effect::Nothing));
                counts.add(
                    SIBLINGS_SHOWN,
                    u64::from(matches!(answer.shown, Shown::Siblings(_))),
                );
                let is_resolution = matches!(operation.action, Action::Put { context: Some(_), .. });
                counts.add(SIBLINGS_RESOLVED, u64::from(is_resolution));
            }
            _ => {}
        }
    }
    let finals = study.evidence.finals.values();
    counts.add(LEDGER, finals.map(|last| last.losers.len() as u64).sum());
}

fn count_homes(evidence: &Evidence, counts: &mut Counts) {
    let answered = evidence.operations.iter();
    let mut homes = answered
        .filter(|operation| operation.promise == Promise::Home && operation.answer().is_some())
        .map(|operation| operation.region);
    if let Some(first) = homes.next() {
        counts.add(NEW_HOME, homes.filter(|home| *home != first).count() as u64);
    }
}

fn has_changed(study: &Study<'_>, window: Option<&super::study::Window>) -> bool {
    let Some(window) = window else { return false };
    study.replays.values().any(|replay| {
        let mut later = replay.steps_after(window.record, window.lower);
        later.next().is_some_and(|(_, step)| step.place <= window.upper)
    })
}

/// Concurrent changes of one row. Each change is held against those that it met in the region that made it or got it.
fn count_conflicts(study: &Study<'_>, counts: &mut Counts) {
    let journal = &study.journal;
    for row in &journal.rows {
        for (position, later) in row.changes.iter().enumerate() {
            // The last few: enough to meet every kind, and a hot row stays cheap.
            for earlier in row.changes[..position].iter().rev().take(NEIGHBOURS_MAX) {
                if journal.are_concurrent(*earlier, *later) {
                    let deltas = (journal.change(*earlier).delta, journal.change(*later).delta);
                    if let Some(name) = conflict(deltas.0, deltas.1).or_else(|| conflict(deltas.1, deltas.0))
                    {
                        counts.add(name, 1);
                    }
                }
            }
        }
    }
}

/// How many earlier changes of its row each change is held against.
const NEIGHBOURS_MAX: usize = 16;

fn conflict(one: &Delta, other: &Delta) -> Option<&'static str> {
    match (one, other) {
        (Delta::Register { content: None, .. }, Delta::Register { content: Some(_), .. }) => {
            Some(DELETE_AGAINST_PUT)
        }
        (
            Delta::Register {
                policy,
                content: Some(_),
                ..
            },
            Delta::Register { content: Some(_), .. },
        ) => Some(match policy {
            ConflictPolicy::Lww => LWW_CONFLICT,
            ConflictPolicy::Siblings | ConflictPolicy::Custom => SIBLING_CONFLICT,
        }),
        (Delta::MemberAdd { .. }, Delta::MemberRemove { .. }) => Some(ADD_AGAINST_REMOVE),
        (Delta::FieldPut { .. }, Delta::FieldPut { .. }) => Some(FIELD_CONFLICT),
        (Delta::FieldPut { .. }, Delta::FieldRemove { .. }) => Some(FIELD_AGAINST_REMOVE),
        (Delta::CounterTotals { .. }, Delta::CounterFloors { .. }) => Some(RESET_AGAINST_ADD),
        (Delta::CounterFloors { .. }, Delta::CounterFloors { .. }) => Some(RESETS),
        _ => None,
    }
}

fn count_orders(study: &Study<'_>, counts: &mut Counts) {
    let journal = &study.journal;
    let origins: BTreeSet<ReplicaId> = journal.commits.iter().map(|facts| facts.commit.origin).collect();
    let has_earlier = |origin: ReplicaId| {
        let first = ReplicaId {
            incarnation: Incarnation(0),
            ..origin
        };
        origins.range(first..origin).next().is_some()
    };
    for facts in &journal.commits {
        counts.add(GROUP, u64::from(facts.commit.changes.len() > 1));
        let records: HashSet<_> = facts.commit.changes.iter().map(|change| &change.record).collect();
        counts.add(GROUP_OF_RECORDS, u64::from(records.len() > 1));
        counts.add(INCARNATION, u64::from(has_earlier(facts.commit.origin)));
    }
    for (region, logs) in &journal.logs {
        for log in logs.partitions.values() {
            for pair in log.windows(2) {
                let is_other = is_other_order(journal, pair[0].commit, pair[1].commit);
                counts.add(OTHER_ORDER, u64::from(is_other));
                counts.add(
                    THIRD_REGION,
                    u64::from(is_late_dependency(journal, *region, pair)),
                );
            }
        }
    }
}

fn is_other_order(journal: &Journal<'_>, before: CommitNumber, after: CommitNumber) -> bool {
    journal.logs.values().any(|other| {
        let places = other.place(before).zip(other.place(after));
        places.is_some_and(|(before, after)| after < before)
    })
}

/// Whether the first of two remote commits is of another replica than the second, was needed by it, and came only after
/// the second had been made: had that come first, it would have had to wait.
fn is_late_dependency(journal: &Journal<'_>, region: RegionId, pair: &[LogEntry]) -> bool {
    let (cause, dependent) = (journal.commit(pair[0].commit), journal.commit(pair[1].commit));
    let is_remote = |facts: &CommitFacts<'_>| facts.commit.origin.region != region;
    let is_needed = dependent.seen(cause.replica) >= cause.commit.last_seq();
    let made_at = journal
        .logs
        .get(&dependent.commit.origin.region)
        .and_then(|origin| Some(origin.log(dependent.partition)[origin.place(pair[1].commit)? - 1].at));
    is_remote(cause)
        && is_remote(dependent)
        && cause.replica != dependent.replica
        && is_needed
        && made_at.is_some_and(|made_at| pair[0].at > made_at)
}
