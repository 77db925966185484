//! What the rows of one region went through, worked out from its log by an interpretation of its own: change by change,
//! the adds and versions that nothing applied so far had seen.

use atoll::model::change::{ConflictPolicy, Delta, Replaces};

use super::journal::{ChangeNumber, Journal, RecordNumber, RegionLogs, RowNumber};

/// What a row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Of a register or field: its versions, highest first. Of a member: its adds.
    Live(Vec<ChangeNumber>),
    /// Of a counter.
    Total(i128),
}

impl Shows {
    /// The versions or adds; none of a counter.
    pub(crate) fn live(&self) -> &[ChangeNumber] {
        match self {
            Self::Live(live) => live,
            Self::Total(_) => &[],
        }
    }
}

/// A row after a change.
#[derive(Debug)]
pub(crate) struct Step {
    /// The place of the commit in the log of its partition, counted from 1.
    pub(crate) place: usize,
    /// The change.
    pub(crate) change: ChangeNumber,
    /// What the row held then.
    pub(crate) shows: Shows,
}

/// All rows of one region.
#[derive(Debug)]
pub(crate) struct Replay {
    /// By row: what it went through.
    rows: Vec<Vec<Step>>,
    /// By record: the steps of its rows in the order of the log, as row and position among the row's steps.
    records: Vec<Vec<(RowNumber, usize)>>,
    /// By row: of a counter, the additions that no reset has seen.
    additions: Vec<Vec<ChangeNumber>>,
    /// Versions that conflict resolution took out of sight, in the order of the logs of the partitions.
    pub(crate) losers: Vec<ChangeNumber>,
}

impl Replay {
    /// Applies everything that a region has logged, in the order in which it did.
    pub(crate) fn new(journal: &Journal<'_>, logs: &RegionLogs) -> Self {
        let mut replay = Self {
            rows: std::iter::repeat_with(Vec::new)
                .take(journal.rows.len())
                .collect(),
            records: vec![Vec::new(); journal.records.len()],
            additions: vec![Vec::new(); journal.rows.len()],
            losers: Vec::new(),
        };
        for log in logs.partitions.values() {
            for (position, entry) in log.iter().enumerate() {
                let place = position + 1;
                // What is logged a second time counts once.
                if logs.place(entry.commit) != Some(place) {
                    continue;
                }
                for change in journal.changes_of(entry.commit) {
                    replay.apply(journal, place, change);
                }
            }
        }
        replay
    }

    /// What a row held after so many commits of its partition; none if there was no row.
    pub(crate) fn at(&self, row: RowNumber, place: usize) -> Option<&Shows> {
        let steps = &self.rows[row.0];
        // `<=`: the commit at this place was applied.
        let count = steps.partition_point(|step| step.place <= place);
        steps[..count].last().map(|step| &step.shows)
    }

    /// What a row held right after a change; none if the change is not here.
    pub(crate) fn after(&self, journal: &Journal<'_>, change: ChangeNumber) -> Option<&Shows> {
        let (steps, position) = self.find(journal, change)?;
        Some(&steps[position].shows)
    }

    /// What a row held right before a change: the outer none if the change is not here, the inner one if there was no row.
    pub(crate) fn before(&self, journal: &Journal<'_>, change: ChangeNumber) -> Option<Option<&Shows>> {
        let (steps, position) = self.find(journal, change)?;
        Some(steps[..position].last().map(|step| &step.shows))
    }

    /// What a row of the same record held right before a change was made, wherever in its commit that was.
    pub(crate) fn beside(&self, row: RowNumber, place: usize, change: ChangeNumber) -> Option<&Shows> {
        let steps = &self.rows[row.0];
        let is_before = |step: &Step| (step.place, step.change) < (place, change);
        let count = steps.partition_point(is_before);
        steps[..count].last().map(|step| &step.shows)
    }

    /// What a row went through.
    pub(crate) fn steps(&self, row: RowNumber) -> &[Step] {
        &self.rows[row.0]
    }

    /// What the rows of a record went through, in the order of the log.
    pub(crate) fn steps_of(&self, record: RecordNumber) -> impl Iterator<Item = (RowNumber, &Step)> {
        self.records[record.0]
            .iter()
            .map(|(row, position)| (*row, &self.rows[row.0][*position]))
    }

    /// As [`Replay::steps_of`], what came after so many commits.
    pub(crate) fn steps_after(
        &self,
        record: RecordNumber,
        place: usize,
    ) -> impl Iterator<Item = (RowNumber, &Step)> {
        let steps = &self.records[record.0];
        let step = |(row, position): &(RowNumber, usize)| &self.rows[row.0][*position];
        let from = steps.partition_point(|entry| step(entry).place <= place);
        steps[from..].iter().map(move |entry| (entry.0, step(entry)))
    }

    fn find(&self, journal: &Journal<'_>, change: ChangeNumber) -> Option<(&[Step], usize)> {
        let steps = &self.rows[journal.change(change).row.0];
        // A row meets the changes of one replica in their order, but those of several in any: looked for from the end,
        // where it mostly is.
        let position = steps.iter().rposition(|step| step.change == change)?;
        Some((steps, position))
    }

    fn apply(&mut self, journal: &Journal<'_>, place: usize, change: ChangeNumber) {
        let row = journal.change(change).row;
        let before = self.rows[row.0].last().map(|step| &step.shows);
        let shows = match journal.change(change).delta {
            Delta::CounterTotals { .. } | Delta::CounterFloors { .. } => {
                Shows::Total(self.total_after(journal, row, change))
            }
            delta => {
                let live = before.map_or(&[][..], Shows::live);
                let (live, losers) = live_after(journal, live, change, delta);
                self.losers.extend(losers);
                Shows::Live(live)
            }
        };
        let steps = &mut self.rows[row.0];
        steps.push(Step { place, change, shows });
        let record = journal.row(row).record;
        self.records[record.0].push((row, steps.len() - 1));
    }

    /// The sum of the additions here that no reset here had seen.
    fn total_after(&mut self, journal: &Journal<'_>, row: RowNumber, change: ChangeNumber) -> i128 {
        let additions = &mut self.additions[row.0];
        // Whoever resets has seen what it resets, so that an addition always comes before its reset.
        if let Delta::CounterFloors { .. } = journal.change(change).delta {
            additions.retain(|earlier| !journal.has_seen(change, *earlier));
            return additions
                .iter()
                .map(|number| journal.change(*number).amount)
                .sum();
        }
        additions.push(change);
        let before = match self.rows[row.0].last().map(|step| &step.shows) {
            Some(Shows::Total(total)) => *total,
            _ => 0,
        };
        before + journal.change(change).amount
    }
}

/// Whether a change of a register takes the place of an earlier version.
pub(crate) fn replaces(journal: &Journal<'_>, change: ChangeNumber, earlier: ChangeNumber) -> bool {
    let is_named = match journal.change(change).delta {
        Delta::Register {
            replaces: Replaces::Exactly(dots),
            ..
        } => dots.contains(&journal.dot(earlier)),
        _ => true,
    };
    is_named && journal.has_seen(change, earlier)
}

/// Whether a version is kept only while it ranks highest.
pub(crate) fn is_lww(journal: &Journal<'_>, change: ChangeNumber) -> bool {
    matches!(
        journal.change(change).delta,
        Delta::Register {
            policy: ConflictPolicy::Lww,
            ..
        }
    )
}

fn live_after(
    journal: &Journal<'_>,
    before: &[ChangeNumber],
    change: ChangeNumber,
    delta: &Delta,
) -> (Vec<ChangeNumber>, Vec<ChangeNumber>) {
    let stays = |earlier: &ChangeNumber| !replaces(journal, change, *earlier);
    let mut live: Vec<ChangeNumber> = before.iter().copied().filter(stays).collect();
    let is_removal = matches!(delta, Delta::MemberRemove { .. } | Delta::FieldRemove { .. });
    if is_removal {
        return (live, Vec::new());
    }
    let shown_before = live.first().copied();
    live.push(change);
    live.sort_by_cached_key(|number| std::cmp::Reverse(journal.rank(*number)));
    let winner = live[0];
    match delta {
        Delta::Register { .. } => {
            let loses = |number: &ChangeNumber| *number != winner && is_lww(journal, *number);
            let losers = live.iter().copied().filter(loses).collect();
            live.retain(|number| !loses(number));
            (live, losers)
        }
        // One of two values is hidden now: the one shown before, or the new one.
        Delta::FieldPut { .. } => {
            let hidden = if winner == change {
                shown_before
            } else {
                Some(change)
            };
            (live, hidden.into_iter().collect())
        }
        _ => (live, Vec::new()),
    }
}
