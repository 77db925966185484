//! (a) No acknowledged write is lost. With logs: what was acknowledged is a change of the region that has answered,
//! was durable there before the answer, says what was asked, reaches every region, and is in the end visible,
//! superseded by a change that had seen it, or in the ledger with its bytes.
//!
//! In which ledgers: resolution is each region's own view, and which versions meet depends on the order in which they
//! come. A version that a region had applied when a concurrent one beat it is in that region's ledger. One that nobody
//! has superseded and that is not shown was beaten everywhere, so it is in all of them. One that a region got only
//! together with what supersedes it need not be in its ledger.

use std::collections::HashMap;

use atoll::model::change::Delta;
use atoll::model::ids::RegionId;
use atoll::model::record::{RecordId, Version};
use bytes::Bytes;

use crate::evidence::{Action, FinalRegion, Operation, Violation};

use super::durability_from_outside;
use super::report::{OperationName, Report, change_name};
use super::study::reference::{Frontier, final_state, leaves_something, takes_away};
use super::study::{ChangeNumber, Effect, Study, expectation};

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("durability");
    if study.has_logs() {
        check_acknowledged(study, &mut report);
        check_ledgers(study, &mut report);
    } else {
        durability_from_outside::check(study.evidence, &mut report);
    }
    report.into_violations()
}

fn check_acknowledged(study: &Study<'_>, report: &mut Report) {
    for (operation, effect, _) in study.operations() {
        match effect {
            Effect::NotSaid => {}
            Effect::Missing => report.add(format!(
                "{} was acknowledged, but its version is in no region's log",
                OperationName(operation)
            )),
            Effect::Nothing if always_changes(&operation.action) => report.add(format!(
                "{} was acknowledged without a version, but always changes something",
                OperationName(operation)
            )),
            Effect::Nothing => {}
            Effect::Change(change) => {
                check_change(study, operation, change, report);
                check_spread(study, operation, change, report);
            }
        }
    }
}

/// Whether the action makes a change whatever it finds.
fn always_changes(action: &Action) -> bool {
    match action {
        Action::Put { .. } | Action::Delete { .. } | Action::Add { .. } | Action::Reset => true,
        Action::ChangeMembers { add, .. } => !add.is_empty(),
        Action::ChangeFields { set, .. } => !set.is_empty(),
        _ => false,
    }
}

fn check_change(study: &Study<'_>, operation: &Operation, change: ChangeNumber, report: &mut Report) {
    let journal = &study.journal;
    if journal.change(change).version.region != operation.region {
        report.add(format!(
            "{} was acknowledged by another region than has made {}",
            OperationName(operation),
            change_name(journal, change)
        ));
    }
    if !is_what_was_asked(study, operation, change) {
        report.add(format!(
            "{} was acknowledged, but {} is something else: {:?}",
            OperationName(operation),
            change_name(journal, change),
            journal.change(change).delta
        ));
    }
    let commit = journal.change(change).commit;
    let partition = journal.commit(commit).partition;
    let durable_at = journal.logs.get(&operation.region).and_then(|logs| {
        let place = logs.place(commit)?;
        Some(logs.log(partition)[place - 1].at)
    });
    let (Some(ended), Some(durable_at)) = (operation.ended, durable_at) else {
        report.add(format!(
            "{} was acknowledged, but is not in the log of its region",
            OperationName(operation)
        ));
        return;
    };
    // `>`: at the same moment the disk was first.
    if durable_at > ended {
        report.add(format!(
            "{} was acknowledged before it was durable at {durable_at}",
            OperationName(operation)
        ));
    }
}

/// Whether the last change of a write, and those right before it, are what the client asked for.
fn is_what_was_asked(study: &Study<'_>, operation: &Operation, last: ChangeNumber) -> bool {
    let journal = &study.journal;
    let delta = journal.change(last).delta;
    match (&operation.action, delta) {
        (Action::Put { value, .. }, Delta::Register { content, .. }) => {
            content.as_ref().is_some_and(|content| content.payload == *value)
        }
        (Action::Delete { .. }, Delta::Register { content, .. }) => content.is_none(),
        (Action::Add { delta, .. }, Delta::CounterTotals { .. }) => {
            journal.change(last).amount == i128::from(*delta)
        }
        (Action::Reset, Delta::CounterFloors { .. })
        | (Action::DropSet, Delta::MemberRemove { .. })
        | (Action::DropMap, Delta::FieldRemove { .. }) => true,
        (Action::ChangeMembers { add, remove, .. }, _) => {
            let adds = |change: ChangeNumber, wanted: &String| matches!(journal.change(change).delta, Delta::MemberAdd { member } if member.as_str() == wanted);
            let removes =
                |member: &str| matches!(delta, Delta::MemberRemove { .. }) && is_part(study, last, member);
            ends_with(study, last, add, adds)
                && (!add.is_empty() || remove.iter().any(|member| removes(member)))
        }
        (Action::ChangeFields { set, remove }, _) => {
            let puts = |change: ChangeNumber, wanted: &(String, String)| {
                is_part(study, change, &wanted.0)
                    && expectation::field_value(journal, change)
                        .is_some_and(|value| expectation::is_same_json(&wanted.1, value))
            };
            let removes =
                |field: &str| matches!(delta, Delta::FieldRemove { .. }) && is_part(study, last, field);
            ends_with(study, last, set, puts)
                && (!set.is_empty() || remove.iter().any(|field| removes(field)))
        }
        _ => false,
    }
}

fn is_part(study: &Study<'_>, change: ChangeNumber, part: &str) -> bool {
    let journal = &study.journal;
    journal.row(journal.change(change).row).sub_key == Some(part)
}

/// Whether the changes of one commit up to `last` end with these additions, in their order, to the same record.
fn ends_with<T>(
    study: &Study<'_>,
    last: ChangeNumber,
    additions: &[T],
    is: impl Fn(ChangeNumber, &T) -> bool,
) -> bool {
    let journal = &study.journal;
    let Some(before) = (journal.position(last) + 1).checked_sub(additions.len()) else {
        return false;
    };
    let first = last.0 - journal.position(last) + before;
    let record = journal.record_of(last).id;
    additions.iter().enumerate().all(|(offset, addition)| {
        let change = ChangeNumber(first + offset);
        journal.record_of(change).id == record && is(change, addition)
    })
}

/// Whether everybody has it in the end.
fn check_spread(study: &Study<'_>, operation: &Operation, change: ChangeNumber, report: &mut Report) {
    let journal = &study.journal;
    let commit = journal.change(change).commit;
    let partition = journal.commit(commit).partition;
    for (region, last) in study.settled_regions() {
        let logs = journal.logs.get(region);
        let is_logged = logs.is_some_and(|logs| logs.place(commit).is_some());
        let vector = last.vectors.get(&partition);
        let is_here = if last.vectors.is_empty() {
            is_logged
        } else {
            vector.is_some_and(|vector| vector.covers(&journal.dot(change)))
        };
        if !is_here {
            report.add(format!(
                "{} was acknowledged and never reached {region}: its vector is {vector:?}, and it lacks {}",
                OperationName(operation),
                change_name(journal, change)
            ));
        }
    }
}

/// Where a loser is looked for: its record, field and version.
type LoserName<'a> = (&'a RecordId, Option<&'a str>, Version);

fn check_ledgers(study: &Study<'_>, report: &mut Report) {
    let beaten = beaten_everywhere(study);
    for (region, last) in study.settled_regions() {
        let mut ledger: HashMap<LoserName<'_>, Option<&Bytes>> = HashMap::new();
        for entry in &last.losers {
            let field = entry.field.as_ref().map(|field| field.as_str());
            ledger.insert((&entry.record, field, entry.loser), entry.value.as_ref());
        }
        let here = study.replays.get(region);
        let beaten_here = here.map_or(&[][..], |replay| &replay.losers);
        let losers = beaten.iter().copied();
        for loser in losers.chain(beaten_here.iter().copied()) {
            let journal = &study.journal;
            let row = journal.row(journal.change(loser).row);
            let name = (
                journal.record_of(loser).id,
                row.sub_key,
                journal.change(loser).version,
            );
            match ledger.get(&name) {
                None => report.add(format!(
                    "{} lost against a concurrent change and is not in the ledger of {region}",
                    change_name(journal, loser)
                )),
                Some(value) if *value != bytes_of(study, loser) => report.add(format!(
                    "{} is in the ledger of {region} with other bytes: {value:?}",
                    change_name(journal, loser)
                )),
                Some(_) => {}
            }
        }
        check_made_up(study, *region, last, report);
    }
}

/// Changes that nobody has superseded and that are not shown.
fn beaten_everywhere(study: &Study<'_>) -> Vec<ChangeNumber> {
    let journal = &study.journal;
    let mut beaten = Vec::new();
    for (position, facts) in journal.rows.iter().enumerate() {
        let row = super::study::RowNumber(position);
        let can_lose = |change: &ChangeNumber| {
            matches!(
                journal.change(*change).delta,
                Delta::Register { .. } | Delta::FieldPut { .. }
            )
        };
        if !facts.changes.iter().any(can_lose) {
            continue;
        }
        let frontier = Frontier::of(journal, row, takes_away);
        let state = final_state(journal, row);
        // Of a register everything live is shown, siblings all of them; of a field the highest.
        let shown = if facts.sub_key.is_some() {
            &state.live()[..state.live().len().min(1)]
        } else {
            state.live()
        };
        let is_beaten = |change: &ChangeNumber| {
            leaves_something(journal.change(*change).delta)
                && !frontier.covers(journal, *change)
                && !shown.contains(change)
        };
        beaten.extend(facts.changes.iter().copied().filter(is_beaten));
    }
    beaten
}

fn bytes_of<'a>(study: &Study<'a>, change: ChangeNumber) -> Option<&'a Bytes> {
    let journal = &study.journal;
    expectation::content(journal, change).or_else(|| expectation::field_value(journal, change))
}

/// Whether everything in a ledger was written by somebody.
fn check_made_up(study: &Study<'_>, region: RegionId, last: &FinalRegion, report: &mut Report) {
    for entry in &last.losers {
        let change = study.journal.change_of(&entry.record, entry.loser);
        let is_real = change.is_some_and(|change| {
            let row = study.journal.row(study.journal.change(change).row);
            row.sub_key == entry.field.as_ref().map(|field| field.as_str())
                && bytes_of(study, change) == entry.value.as_ref()
        });
        if !is_real {
            report.add(format!(
                "the ledger of {region} has what nobody has written: {entry:?}"
            ));
        }
    }
}
