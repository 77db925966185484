//! (h) Linearizability inside one region, with preconditions. With logs: the region's log is the order that is verified.
//! Each write became durable between its beginning and its end and after all that was known to be visible when it began;
//! each read shows a state of the log within its window ([`super::study::windows`]); each precondition holds right before
//! its change, and one that was refused did not hold somewhere in the window; what writes show is the state right after
//! them. This goes for all types of records. Of a counter's tag, a hash, it is known only which value was shown with it:
//! a write on the condition of a tag needs that value right before it.
//!
//! Without: a search for some order of the operations on each register that one region alone writes
//! ([`super::wing_gong`]).

use atoll::model::record::RecordType;

use crate::evidence::{Action, Condition, Operation, Outcome, Shown, Violation};

use super::preconditions::{Held, ShownTags};
use super::register_histories;
use super::report::{OperationName, Report, change_name};
use super::study::expectation::Expectation;
use super::study::{ChangeNumber, Effect, Replay, RowNumber, Shows, Study, Window};

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("linearizability");
    if !study.has_logs() {
        register_histories::check(study.evidence, &mut report);
        return report.into_violations();
    }
    let shown_tags = ShownTags::of(study.evidence, &mut report);
    for (operation, effect, window) in study.operations() {
        let scene = Scene {
            study,
            shown_tags: &shown_tags,
            operation,
            window,
            replay: study.replays.get(&operation.region),
        };
        let wrong = match effect {
            _ if !operation.action.is_write() => scene.check_read(),
            Effect::Change(change) => scene
                .check_place(change)
                .or_else(|| scene.check_precondition(change))
                .or_else(|| scene.check_answer(change))
                .or_else(|| scene.check_removals(change)),
            Effect::Nothing => scene.check_demand_of_nothing().or_else(|| scene.check_nothing()),
            Effect::NotSaid => scene.check_refusal(),
            // In no log: lost, which another checker says.
            Effect::Missing => None,
        };
        if let Some(wrong) = wrong {
            report.add(format!("{} {wrong}", OperationName(operation)));
        }
    }
    report.into_violations()
}

/// Whether a register with this tag fulfils the condition.
pub(crate) fn holds(condition: &Condition, tag: Option<&str>) -> bool {
    match condition {
        Condition::None => true,
        Condition::Absent => tag.is_none(),
        Condition::Present => tag.is_some(),
        Condition::Tag(wanted) => tag == Some(wanted.trim_matches('"')),
    }
}

/// One operation and the log that it must fit into. The checks say what is wrong.
struct Scene<'a> {
    study: &'a Study<'a>,
    shown_tags: &'a ShownTags<'a>,
    operation: &'a Operation,
    window: Option<&'a Window>,
    replay: Option<&'a Replay>,
}

impl Scene<'_> {
    fn check_read(&self) -> Option<String> {
        let answer = self.operation.answer()?;
        let is_explained = match (self.window, self.replay) {
            (Some(window), Some(_)) => window.explained.is_some(),
            // Nobody has ever changed the record, or this region has logged nothing.
            _ => Expectation::of_answer(&self.operation.action, answer).is_nothing(),
        };
        if is_explained {
            return None;
        }
        let window = self
            .window
            .map(|window| {
                let (lower, upper) = (window.lower, window.upper);
                format!(": {lower} commits of its partition were known to be visible, {upper} were durable")
            })
            .unwrap_or_default();
        Some(format!(
            "shows {:?} ({:?}, {:?}), which the log of its region has at no place in its time{window}",
            answer.shown, answer.version, answer.tag
        ))
    }

    fn place(&self, change: ChangeNumber) -> Option<usize> {
        let journal = &self.study.journal;
        let logs = journal.logs.get(&self.operation.region)?;
        logs.place(journal.change(change).commit)
    }

    fn check_place(&self, change: ChangeNumber) -> Option<String> {
        let journal = &self.study.journal;
        let (place, window) = (self.place(change)?, self.window?);
        let partition = journal.commit(journal.change(change).commit).partition;
        let logs = journal.logs.get(&self.operation.region)?;
        let durable_at = logs.log(partition)[place - 1].at;
        // `<`: it may be durable at the moment at which it was sent.
        if durable_at < self.operation.started {
            return Some(format!("was durable at {durable_at}, before it was sent"));
        }
        // `<=`: what was visible before it began came before it.
        (place <= window.lower).then(|| {
            format!(
                "is at place {place} of the log, and {} commits were known to be visible before it began",
                window.lower
            )
        })
    }

    fn check_precondition(&self, change: ChangeNumber) -> Option<String> {
        let before = self.replay?.before(&self.study.journal, change)?;
        let held = self.held(before);
        (self.meets(&held) == Some(false)).then(|| {
            format!(
                "was done though its precondition did not hold: right before {} there was {held}",
                change_name(&self.study.journal, change)
            )
        })
    }

    fn held(&self, shows: Option<&Shows>) -> Held {
        Held::of(&self.study.journal, self.operation.record.record_type, shows)
    }

    /// Whether the precondition holds of this; none if nobody can tell.
    fn meets(&self, held: &Held) -> Option<bool> {
        held.meets(self.operation, self.shown_tags)
    }

    /// The row that the precondition is about; none if nothing was ever logged for it.
    fn demanded_row(&self, window: &Window) -> Option<RowNumber> {
        let journal = &self.study.journal;
        match self.operation.action.only_member() {
            Some(member) => journal.part(window.record, member),
            None => journal.record(window.record).rows.first().copied(),
        }
    }

    /// What the answer to a write shows is the state right after it.
    fn check_answer(&self, change: ChangeNumber) -> Option<String> {
        let answer = self.operation.answer()?;
        let after = self.replay?.after(&self.study.journal, change)?;
        match (&answer.shown, after) {
            (Shown::Total(shown), Shows::Total(total)) if i128::from(*shown) != *total => {
                return Some(format!("shows {shown}; right after it the counter was {total}"));
            }
            _ => {}
        }
        let tag = answer.tag.as_deref().map(|tag| tag.trim_matches('"'))?;
        let expected = match self.operation.record.record_type {
            // A hash: see `ShownTags`.
            RecordType::Counter => return None,
            RecordType::Set => match self.held(Some(after)) {
                Held::Tagged(tag) => tag,
                held => return Some(format!("shows the tag {tag:?}; right after it there was {held}")),
            },
            RecordType::Register | RecordType::Map => self.study.journal.change(change).version.to_string(),
        };
        (tag != expected).then(|| format!("shows the tag {tag:?}; that of what it wrote is {expected}"))
    }

    /// What was removed was not there any more when the additions of the same request were made.
    fn check_removals(&self, last: ChangeNumber) -> Option<String> {
        let (window, replay) = (self.window?, self.replay?);
        let place = self.place(last)?;
        let additions = match &self.operation.action {
            Action::ChangeMembers { add, .. } => add.len(),
            Action::ChangeFields { set, .. } => set.len(),
            Action::DropSet | Action::DropMap => return self.check_drop(last, place, window, replay),
            _ => return None,
        };
        let first_addition = ChangeNumber((last.0 + 1).checked_sub(additions)?);
        self.removed_parts().into_iter().find_map(|part| {
            let row = self.study.journal.part(window.record, part)?;
            let held = replay.beside(row, place, first_addition)?;
            (!held.live().is_empty()).then(|| format!("left {part:?} there, which it should have removed"))
        })
    }

    /// Dropping a whole record leaves nothing of what was visible when it began.
    fn check_drop(
        &self,
        last: ChangeNumber,
        place: usize,
        window: &Window,
        replay: &Replay,
    ) -> Option<String> {
        let journal = &self.study.journal;
        let rows = journal.record(window.record).rows.iter();
        let mut left = rows.flat_map(|row| {
            let held = replay.beside(*row, place, ChangeNumber(last.0 + 1));
            held.map_or(&[][..], Shows::live)
        });
        // `<=`: it was known to be visible.
        let left = left.find(|number| self.place(**number).is_some_and(|place| place <= window.lower))?;
        Some(format!("left {} there", change_name(journal, *left)))
    }

    fn removed_parts(&self) -> Vec<&str> {
        match &self.operation.action {
            Action::ChangeMembers { remove, .. } | Action::ChangeFields { remove, .. } => {
                remove.iter().map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Where there was nothing to change, nothing was there: a demand for something should have been refused.
    fn check_demand_of_nothing(&self) -> Option<String> {
        (self.meets(&Held::Nothing) == Some(false))
            .then(|| "found nothing to change, so its precondition did not hold".to_owned())
    }

    /// Where there was nothing to change, what should have been removed was not there at some time.
    fn check_nothing(&self) -> Option<String> {
        let (window, replay) = (self.window?, self.replay?);
        let journal = &self.study.journal;
        let rows: Vec<_> = match &self.operation.action {
            Action::DropSet | Action::DropMap => journal.record(window.record).rows.clone(),
            _ => {
                let parts = self.removed_parts();
                let rows = parts.iter();
                rows.filter_map(|part| journal.part(window.record, part))
                    .collect()
            }
        };
        let row = rows.into_iter().find(|row| {
            let at_first = replay.at(*row, window.lower).map_or(&[][..], Shows::live);
            let mut later = replay
                .steps(*row)
                .iter()
                .filter(|step| is_within(step.place, window));
            !at_first.is_empty() && later.all(|step| !step.shows.live().is_empty())
        })?;
        Some(format!(
            "found nothing to remove, but {:?} was there all the time",
            journal.row(row).sub_key
        ))
    }

    /// A precondition that was refused did not hold at some time.
    fn check_refusal(&self) -> Option<String> {
        let is_refused = matches!(self.operation.outcome, Outcome::Refused { status: 412, .. });
        if !is_refused {
            return None;
        }
        let always_held = match (self.window, self.replay) {
            (Some(window), Some(replay)) => {
                let row = self.demanded_row(window);
                let at_first = row.and_then(|row| replay.at(row, window.lower));
                let mut later = row
                    .map_or(&[][..], |row| replay.steps(row))
                    .iter()
                    .filter(|step| is_within(step.place, window));
                // A group decides about one write after the other, so that any change of a commit may be the last one
                // before the refusal.
                self.meets(&self.held(at_first)) == Some(true)
                    && later.all(|step| self.meets(&self.held(Some(&step.shows))) == Some(true))
            }
            _ => self.meets(&Held::Nothing) == Some(true),
        };
        always_held.then(|| "was refused though its precondition held all the time".to_owned())
    }
}

fn is_within(place: usize, window: &Window) -> bool {
    // What is at the lower end was there from the beginning.
    window.lower < place && place <= window.upper
}
