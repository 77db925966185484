//! (g) The four session guarantees. Read your writes and monotonic reads: a read in a session takes place where everything
//! is that the session has written or been shown of the partition. Monotonic writes and writes follow reads: a write in a
//! session has seen all of that.
//!
//! What a session was shown are the changes that made what it was shown: a register's versions, the values of fields; the
//! adds of members and the changes of a counter only where it is clear which ones. Showing nothing proves nothing.
//!
//! Without logs: see [`super::sessions_from_outside`].

use std::collections::{BTreeMap, HashMap};

use atoll::model::ids::PartitionId;

use crate::evidence::{Operation, SessionId, Shown, Violation};

use super::outside::is_before;
use super::report::{OperationName, Report, change_name};
use super::sessions_from_outside;
use super::study::expectation::{Expectation, field_value, visible};
use super::study::journal::ReplicaNumber;
use super::study::{ChangeNumber, Effect, Shows, Study, Window};

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("session_guarantees");
    if !study.has_logs() {
        sessions_from_outside::check(study.evidence, &mut report);
        return report.into_violations();
    }
    let mut sessions: BTreeMap<SessionId, Session<'_>> = BTreeMap::new();
    for (operation, effect, window) in study.operations() {
        let session = sessions.entry(operation.session).or_default();
        session.catch_up(study, operation);
        let partition = window.map(|window| study.journal.record(window.record).partition);
        let (Some(window), Some(partition)) = (window, partition) else {
            continue;
        };
        let known = match effect {
            Effect::Change(change) => {
                session.check_write(study, operation, change, partition, &mut report);
                vec![change]
            }
            _ if operation.action.is_write() => Vec::new(),
            _ => {
                session.check_read(study, operation, window, partition, &mut report);
                shown_changes(study, operation, window)
            }
        };
        session.pending.push((operation, partition, known));
    }
    report.into_violations()
}

/// What a session knows.
#[derive(Default)]
struct Session<'a> {
    /// By partition and replica: the last change that was written or shown.
    known: HashMap<(PartitionId, ReplicaNumber), ChangeNumber>,
    /// What operations have added that may not have ended when the next one begins.
    pending: Vec<(&'a Operation, PartitionId, Vec<ChangeNumber>)>,
}

impl<'a> Session<'a> {
    /// Takes note of what the session's operations before this one have told.
    fn catch_up(&mut self, study: &Study<'_>, operation: &Operation) {
        let (ended, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|(earlier, ..)| is_before(earlier, operation));
        self.pending = pending;
        let ended: Vec<(&'a Operation, PartitionId, Vec<ChangeNumber>)> = ended;
        for (_, partition, changes) in ended {
            for change in changes {
                let facts = study.journal.change(change);
                let last = self.known.entry((partition, facts.replica)).or_insert(change);
                if study.journal.change(*last).seq < facts.seq {
                    *last = change;
                }
            }
        }
    }

    fn known_of(&self, partition: PartitionId) -> impl Iterator<Item = ChangeNumber> + '_ {
        let known = self.known.iter();
        known
            .filter(move |((of, _), _)| *of == partition)
            .map(|(_, change)| *change)
    }

    fn check_write(
        &self,
        study: &Study<'_>,
        operation: &Operation,
        change: ChangeNumber,
        partition: PartitionId,
        report: &mut Report,
    ) {
        let journal = &study.journal;
        let mut known = self.known_of(partition);
        if let Some(unseen) = known.find(|known| *known != change && !journal.has_seen(change, *known)) {
            report.add(format!(
                "{} has not seen {}, which its session had written or been shown before",
                OperationName(operation),
                change_name(journal, unseen)
            ));
        }
    }

    fn check_read(
        &self,
        study: &Study<'_>,
        operation: &Operation,
        window: &Window,
        partition: PartitionId,
        report: &mut Report,
    ) {
        let journal = &study.journal;
        // A read that fits nowhere is the finding of another checker.
        let (Some(explained), Some(logs)) = (window.explained, journal.logs.get(&operation.region)) else {
            return;
        };
        let is_here = |change: ChangeNumber| {
            let place = logs.place(journal.change(change).commit);
            place.is_some_and(|place| place <= explained.last)
        };
        if let Some(unseen) = self.known_of(partition).find(|known| !is_here(*known)) {
            report.add(format!(
                "{} shows a state without {}, which its session had written or been shown before",
                OperationName(operation),
                change_name(journal, unseen)
            ));
        }
    }
}

/// The changes that made what a read has shown.
fn shown_changes(study: &Study<'_>, operation: &Operation, window: &Window) -> Vec<ChangeNumber> {
    let journal = &study.journal;
    let (Some(answer), Some(explained)) = (operation.answer(), window.explained) else {
        return Vec::new();
    };
    let Some(replay) = study.replays.get(&operation.region) else {
        return Vec::new();
    };
    if let Shown::Total(_) = answer.shown {
        let steps = replay.steps_of(window.record).map(|(_, step)| step);
        // `<=`: the first place at which the read fits has applied it.
        let steps = steps.take_while(|step| explained.is_one_state && step.place <= explained.first);
        return steps.map(|step| step.change).collect();
    }
    let expectation = Expectation::of_answer(&operation.action, answer);
    let mut shown = Vec::new();
    for row in &journal.record(window.record).rows {
        let live = replay.at(*row, explained.first).map_or(&[][..], Shows::live);
        match &answer.shown {
            Shown::Value(_) | Shown::Siblings(_) => {
                shown.extend(visible(journal, live).into_iter().map(|(change, _)| change));
            }
            Shown::Fields(_) => {
                let top = live.first().copied();
                shown.extend(top.filter(|change| field_value(journal, *change).is_some()));
            }
            // One of several adds would do to show the member.
            _ if expectation.concerns(journal.row(*row)) && explained.is_one_state && live.len() == 1 => {
                shown.extend(live);
            }
            _ => {}
        }
    }
    shown
}
