//! Histories of registers that only one region writes, for [`super::wing_gong`]. Of all others the writes of other
//! regions arrive at moments that nobody outside knows. So do siblings, so that a register that shows any, or is written
//! with a context, is left out.

use std::collections::{BTreeSet, HashMap};

use atoll::model::ids::RegionId;
use atoll::model::record::RecordType;
use bytes::Bytes;

use crate::evidence::{Action, ClientId, Condition, Evidence, Operation, Outcome, Promise, Shown};

use super::outside::by_record;
use super::report::{OperationName, RecordName, Report};
use super::wing_gong::{Attempt, Demand, Step, Value, Verdict, search};

/// Steps of the search after which it gives up on a register: a second at most, and a hundred times what a history
/// without many unknown outcomes takes.
const STEPS_MAX: usize = 50_000;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence, report: &mut Report) {
    for history in histories(evidence) {
        if let Verdict::Not { placed, stuck } = history.search() {
            report.add(format!(
                "no order of the {} operations on {} in {} explains what they show; after {placed} of them no place \
                 is found for {}",
                history.attempts.len(),
                RecordName(&history.operations[stuck].record),
                history.region,
                OperationName(history.operations[stuck])
            ));
        }
    }
}

/// How many registers could not be judged: the search gave up.
pub(crate) fn undecided(evidence: &Evidence) -> u64 {
    let histories = histories(evidence);
    let gave_up = histories
        .iter()
        .filter(|history| history.search() == Verdict::GaveUp);
    gave_up.count() as u64
}

/// What one region did to one register that only it writes.
struct History<'a> {
    region: RegionId,
    attempts: Vec<Attempt>,
    /// By attempt.
    operations: Vec<&'a Operation>,
}

impl History<'_> {
    fn search(&self) -> Verdict {
        search(&self.attempts, STEPS_MAX)
    }
}

fn histories(evidence: &Evidence) -> Vec<History<'_>> {
    let records = by_record(evidence);
    let registers = records
        .into_iter()
        .filter(|(record, _)| record.record_type == RecordType::Register);
    registers
        .filter_map(|(_, operations)| history(operations))
        .collect()
}

fn history(mut operations: Vec<&Operation>) -> Option<History<'_>> {
    let has_siblings = |operation: &&&Operation| {
        let shows = operation
            .answer()
            .is_some_and(|answer| matches!(answer.shown, Shown::Siblings(_)));
        shows || matches!(operation.action, Action::Put { context: Some(_), .. })
    };
    if operations.iter().any(|operation| has_siblings(&operation)) {
        return None;
    }
    let writes = operations
        .iter()
        .filter(|operation| operation.action.is_write() && operation.may_have_happened());
    let regions: BTreeSet<RegionId> = writes.map(|write| write.region).collect();
    let region = regions.first().copied()?;
    // What homes answer is one register, wherever the home is.
    let is_homed = operations
        .iter()
        .all(|operation| operation.promise == Promise::Home);
    if !is_homed && regions.len() > 1 {
        return None;
    }
    operations.retain(|operation| is_homed || operation.region == region);
    operations.sort_by_key(|operation| (operation.started, operation.id));
    let values = Values::of(&operations);
    let mut history = History {
        region,
        attempts: Vec::new(),
        operations: Vec::new(),
    };
    let mut last_of_client: HashMap<ClientId, usize> = HashMap::new();
    for operation in operations {
        let Some(step) = values.step(operation) else {
            continue;
        };
        let is_certain = !matches!(operation.outcome, Outcome::Unknown { .. });
        let position = history.attempts.len();
        history.attempts.push(Attempt {
            started: operation.started,
            ended: operation.ended.filter(|_| is_certain),
            is_certain,
            after: last_of_client.get(&operation.client).copied(),
            rank: values.rank(operation),
            step,
        });
        history.operations.push(operation);
        if is_certain {
            last_of_client.insert(operation.client, position);
        }
    }
    Some(history)
}

/// The values of one register, and what entity tags and versions they were seen with.
struct Values<'a> {
    numbers: HashMap<&'a Bytes, Value>,
    tags: HashMap<&'a str, Value>,
    ranks: HashMap<Value, u128>,
}

impl<'a> Values<'a> {
    fn of(operations: &[&'a Operation]) -> Self {
        let mut values = Self {
            numbers: HashMap::new(),
            tags: HashMap::new(),
            ranks: HashMap::new(),
        };
        for operation in operations {
            let shown = operation.answer().map(|answer| &answer.shown);
            let value = match (&operation.action, shown) {
                (Action::Put { value, .. }, _) | (_, Some(Shown::Value(value))) => value,
                _ => continue,
            };
            let next = Value::try_from(values.numbers.len()).unwrap_or(Value::MAX);
            let number = *values.numbers.entry(value).or_insert(next);
            let Some(answer) = operation.answer() else {
                continue;
            };
            if let Some(tag) = &answer.tag {
                values.tags.insert(tag.trim_matches('"'), number);
            }
            if let Some(version) = answer.version {
                values.ranks.insert(number, u128::from(version.hlc.0) + 1);
            }
        }
        values
    }

    /// What the operation does or finds; none if it tells nothing.
    fn step(&self, operation: &Operation) -> Option<Step> {
        let demand = self.demand(operation.action.condition());
        match (&operation.action, &operation.outcome) {
            (Action::Get, Outcome::Done(answer)) => match &answer.shown {
                Shown::Absent => Some(Step::Read(None)),
                Shown::Value(value) => Some(Step::Read(self.numbers.get(value).copied())),
                _ => None,
            },
            (Action::Put { .. } | Action::Delete { .. }, Outcome::Refused { status: 412, .. }) => {
                // A tag of which nobody knows the value says nothing.
                demand.map(Step::Refusal)
            }
            (_, Outcome::Refused { .. }) => None,
            (Action::Put { value, .. }, _) => Some(Step::Write {
                value: self.numbers.get(value).copied(),
                demand: demand.unwrap_or(Demand::Present),
            }),
            (Action::Delete { .. }, _) => Some(Step::Write {
                value: None,
                demand: demand.unwrap_or(Demand::Present),
            }),
            _ => None,
        }
    }

    fn demand(&self, condition: &Condition) -> Option<Demand> {
        match condition {
            Condition::None => Some(Demand::Any),
            Condition::Absent => Some(Demand::Absent),
            Condition::Present => Some(Demand::Present),
            Condition::Tag(tag) => {
                let value = self.tags.get(tag.trim_matches('"'));
                value.map(|value| Demand::Exactly(*value))
            }
        }
    }

    /// Stamps of one region only grow, in the order of its writes.
    fn rank(&self, operation: &Operation) -> Option<u128> {
        let answered = operation.answer().and_then(|answer| answer.version);
        match &operation.action {
            Action::Put { value, .. } => self
                .numbers
                .get(value)
                .and_then(|value| self.ranks.get(value).copied()),
            Action::Delete { .. } => answered.map(|version| u128::from(version.hlc.0) + 1),
            _ => None,
        }
    }
}
