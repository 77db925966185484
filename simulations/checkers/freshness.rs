//! (g) How new what a read shows must be, beyond its own region and session: at `global_quorum` it shows every write that
//! was acknowledged at `global_quorum` before it began, in whatever region; and no read is older than its
//! `Atoll-Staleness-Ms` says, against what any region had acknowledged.
//!
//! A read is taken to be as late as it can be (its last fitting place), so that what is found is wrong for sure. Without
//! logs nothing is said.

use std::collections::HashMap;
use std::time::Duration;

use crate::evidence::{Moment, Operation, Promise, Violation};

use super::report::{OperationName, Report, change_name};
use super::study::journal::RecordNumber;
use super::study::{ChangeNumber, Effect, Study, Window};

/// An acknowledged write.
struct Written<'a> {
    operation: &'a Operation,
    ended: Moment,
    change: ChangeNumber,
}

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("freshness");
    let mut written: HashMap<RecordNumber, Vec<Written<'_>>> = HashMap::new();
    for (operation, effect, window) in study.operations() {
        if let (Effect::Change(change), Some(window), Some(ended)) = (effect, window, operation.ended)
            && operation.answer().is_some()
        {
            let of_record = written.entry(window.record).or_default();
            of_record.push(Written {
                operation,
                ended,
                change,
            });
        }
    }
    for (operation, _, window) in study.operations() {
        if let Some(window) = window.filter(|_| !operation.action.is_write())
            && let Some(of_record) = written.get(&window.record)
        {
            check_read(study, operation, window, of_record, &mut report);
        }
    }
    report.into_violations()
}

fn check_read(
    study: &Study<'_>,
    read: &Operation,
    window: &Window,
    written: &[Written<'_>],
    report: &mut Report,
) {
    let journal = &study.journal;
    // A read that fits nowhere is the finding of another checker.
    let (Some(explained), Some(logs), Some(answer)) =
        (window.explained, journal.logs.get(&read.region), read.answer())
    else {
        return;
    };
    let is_shown = |change: ChangeNumber| {
        let place = logs.place(journal.change(change).commit);
        place.is_some_and(|place| place <= explained.last)
    };
    let known_by = answer
        .staleness_ms
        .and_then(|ms| read.started.elapsed().checked_sub(Duration::from_millis(ms)));
    for write in written.iter().filter(|write| !is_shown(write.change)) {
        let is_majority = |operation: &Operation| operation.promise == Promise::Majority;
        // `<`: at the very moment at which the write was acknowledged, the read may have begun before.
        if is_majority(read) && is_majority(write.operation) && write.ended < read.started {
            report.add(format!(
                "{} at global_quorum shows a state without {}, acknowledged at global_quorum before",
                OperationName(read),
                change_name(journal, write.change)
            ));
        }
        // Of its own region it says nothing, where a node may be behind the others.
        let is_bound = read.promise != Promise::Node || write.operation.region != read.region;
        if is_bound && known_by.is_some_and(|known_by| write.ended.elapsed() < known_by) {
            report.add(format!(
                "{} claims to be no older than {:?} ms and shows a state without {}, acknowledged at {}",
                OperationName(read),
                answer.staleness_ms,
                change_name(journal, write.change),
                write.ended
            ));
        }
    }
}
