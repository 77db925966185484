//! Where in the log of its region each operation took place, as far as can be told from outside: after everything that
//! was known to be visible when it began, and before everything that became durable after it had ended.
//!
//! Known to be visible is what was acknowledged, or shown by a read, before. A read is taken to be as early as it can be
//! (its first fitting place), which leaves most room for those after it. So if this finds a place for every read, the
//! log is a linearization of them; if not, there is none.
//!
//! What a home region has answered is known to be visible at every home after it: there it is everything that the one
//! before had at that place of its log.
//!
//! Two moments may be equal in simulated time. Then nothing is said about their order, except among the operations of
//! one client, which does one at a time.

use std::collections::{BTreeMap, HashMap};

use atoll::model::ids::{PartitionId, RegionId};

use crate::evidence::{BatchId, ClientId, Evidence, Moment, Operation, Promise};

use super::effects::Effect;
use super::expectation::Expectation;
use super::journal::{Journal, LogEntry, RecordNumber};
use super::replay::Replay;

/// Where an operation took place. Places count the commits of its partition in its region's log, from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The record.
    pub(crate) record: RecordNumber,
    /// So many commits were known to be visible when it began.
    pub(crate) lower: usize,
    /// So many were durable when it ended.
    pub(crate) upper: usize,
    /// Of a read that was answered: the states within that are as it has shown; none if there is none.
    pub(crate) explained: Option<Explained>,
}

/// The first and the last place in a window at which a read fits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Explained {
    /// The first.
    pub(crate) first: usize,
    /// The last.
    pub(crate) last: usize,
    /// Whether the rows were the same all the time between the two.
    pub(crate) is_one_state: bool,
}

/// Where each operation took place, in their order; none where nothing was ever logged for its record, or where it has
/// not ended.
pub(crate) fn windows(
    evidence: &Evidence,
    journal: &Journal<'_>,
    replays: &BTreeMap<RegionId, Replay>,
    effects: &[Effect],
) -> Vec<Option<Window>> {
    let mut windows = vec![None; evidence.operations.len()];
    let mut ended: Vec<(Moment, usize)> = evidence
        .operations
        .iter()
        .enumerate()
        .filter_map(|(position, operation)| Some((operation.ended?, position)))
        .collect();
    ended.sort_unstable();
    let mut visible = Visible::default();
    // The operations of a batch were begun at once: none of them is visible when another one begins.
    let mut batches: HashMap<BatchId, usize> = HashMap::new();
    for (end, position) in ended {
        let operation = &evidence.operations[position];
        let Some(record) = journal.record_number(&operation.record) else {
            continue;
        };
        let partition = journal.record(record).partition;
        let log = journal
            .logs
            .get(&operation.region)
            .map_or(&[][..], |logs| logs.log(partition));
        let mut lower = visible.before(journal, operation, partition);
        if let Some(batch) = operation.batch {
            lower = *batches.entry(batch).or_insert(lower);
        }
        let mut window = Window {
            record,
            lower,
            upper: durable_at(log, end),
            explained: None,
        };
        let replay = replays.get(&operation.region);
        if let (Some(answer), Some(replay)) = (operation.answer(), replay)
            && !operation.action.is_write()
        {
            let expectation = Expectation::of_answer(&operation.action, answer);
            window.explained = explain(journal, replay, &expectation, &window);
        }
        let place = match effects[position] {
            Effect::Change(change) => {
                let logs = journal.logs.get(&operation.region);
                logs.and_then(|logs| logs.place(journal.change(change).commit))
            }
            _ => window.explained.map(|explained| explained.first),
        };
        // What was not durable when it was acknowledged, or lacks what was known to be visible, is a finding of its own.
        if let Some(place) = place.filter(|place| *place <= window.upper) {
            visible.note(operation, partition, end, place);
        }
        windows[position] = Some(window);
    }
    windows
}

/// How many commits of a log were durable at a moment.
pub(crate) fn durable_at(log: &[LogEntry], moment: Moment) -> usize {
    // `<=`: what became durable at that very moment may have been part of the answer.
    log.partition_point(|entry| entry.at <= moment)
}

/// Moments from which on so many commits were known to be visible; both only grow.
type Trail = Vec<(Moment, usize)>;

fn lengthen(trail: &mut Trail, end: Moment, place: usize) {
    if trail.last().is_none_or(|(_, known)| *known < place) {
        trail.push((end, place));
    }
}

fn known_before(trail: &Trail, started: Moment) -> usize {
    // `<`: at the very moment at which another operation ends, this one may have begun before.
    let count = trail.partition_point(|(moment, _)| *moment < started);
    trail[..count].last().map_or(0, |(_, place)| *place)
}

/// What homes have answered.
#[derive(Debug, Default)]
struct Homes {
    trails: HashMap<PartitionId, BTreeMap<RegionId, Trail>>,
    /// By the log of one region, and another region: up to which place the other's log has the first commits of the one.
    places: HashMap<(RegionId, PartitionId, RegionId), Vec<usize>>,
}

impl Homes {
    /// So many commits of the log where an operation was answered were known to be visible by the answers of other homes.
    fn before(&mut self, journal: &Journal<'_>, operation: &Operation, partition: PartitionId) -> usize {
        let trails = self.trails.get(&partition).into_iter().flatten();
        let others = trails.filter(|(region, _)| **region != operation.region);
        let places = &mut self.places;
        let known = others.map(|(region, trail)| {
            let from = (*region, partition);
            let place = known_before(trail, operation.started);
            let places = places
                .entry((*region, partition, operation.region))
                .or_insert_with(|| places_in(journal, from, operation.region));
            place.checked_sub(1).map_or(0, |last| places[last])
        });
        known.max().unwrap_or(0)
    }
}

/// For each commit of a log: the place at which another region has it and all before it. What it lacks lies behind the end.
fn places_in(journal: &Journal<'_>, from: (RegionId, PartitionId), to: RegionId) -> Vec<usize> {
    let (region, partition) = from;
    let log = journal
        .logs
        .get(&region)
        .map_or(&[][..], |logs| logs.log(partition));
    let there = journal.logs.get(&to);
    let end = there.map_or(0, |logs| logs.log(partition).len());
    let mut highest = 0;
    log.iter()
        .map(|entry| {
            let place = there.and_then(|logs| logs.place(entry.commit));
            highest = highest.max(place.unwrap_or(end + 1));
            highest
        })
        .collect()
}

/// What was known to be visible, and since when.
#[derive(Debug, Default)]
struct Visible {
    /// By log.
    trails: HashMap<(RegionId, PartitionId), Trail>,
    /// The same for the operations of one client.
    clients: HashMap<(ClientId, RegionId, PartitionId), usize>,
    homes: Homes,
}

impl Visible {
    fn before(&mut self, journal: &Journal<'_>, operation: &Operation, partition: PartitionId) -> usize {
        if operation.promise == Promise::Node {
            return 0; // Others may have shown more; what its session knows is looked at elsewhere.
        }
        let trail = self.trails.get(&(operation.region, partition));
        let by_all = trail.map_or(0, |trail| known_before(trail, operation.started));
        let client = (operation.client, operation.region, partition);
        let by_client = self.clients.get(&client).copied().unwrap_or(0);
        let by_homes = match operation.promise {
            Promise::Home => self.homes.before(journal, operation, partition),
            Promise::Node | Promise::Region | Promise::Majority => 0,
        };
        by_all.max(by_client).max(by_homes)
    }

    fn note(&mut self, operation: &Operation, partition: PartitionId, end: Moment, place: usize) {
        lengthen(
            self.trails.entry((operation.region, partition)).or_default(),
            end,
            place,
        );
        if operation.promise == Promise::Home {
            let trails = self.homes.trails.entry(partition).or_default();
            lengthen(trails.entry(operation.region).or_default(), end, place);
        }
        let client = (operation.client, operation.region, partition);
        let known = self.clients.entry(client).or_insert(0);
        *known = (*known).max(place);
    }
}

/// The first and last place in the window at which all rows of the record are as shown.
fn explain(
    journal: &Journal<'_>,
    replay: &Replay,
    expectation: &Expectation<'_>,
    window: &Window,
) -> Option<Explained> {
    let record = journal.record(window.record);
    let is_known = |part: &&str| journal.part(window.record, part).is_some();
    if !expectation.parts().iter().all(is_known) {
        return None;
    }
    let rows = record.rows.iter();
    let mut misfits: Vec<bool> = rows
        .map(|number| {
            let row = journal.row(*number);
            expectation.concerns(row) && !expectation.fits(journal, row, replay.at(*number, window.lower))
        })
        .collect();
    let mut count = misfits.iter().filter(|misfit| **misfit).count();
    let mut steps = replay.steps_after(window.record, window.lower).peekable();
    let mut found: Option<Explained> = None;
    let mut place = window.lower;
    loop {
        let next = steps.peek().map(|(_, step)| step.place);
        let next = next.filter(|next| *next <= window.upper);
        if count == 0 {
            let last = next.map_or(window.upper.max(place), |next| next - 1);
            found = Some(match found {
                None => Explained {
                    first: place,
                    last,
                    is_one_state: true,
                },
                Some(found) => Explained {
                    last,
                    is_one_state: false,
                    ..found
                },
            });
        }
        let Some(next) = next else { return found };
        // Everything of one commit becomes visible at once.
        while let Some((number, step)) = steps.next_if(|(_, step)| step.place == next) {
            let row = journal.row(number);
            let is_misfit = expectation.concerns(row) && !expectation.fits(journal, row, Some(&step.shows));
            count = count + usize::from(is_misfit) - usize::from(misfits[row.place]);
            misfits[row.place] = is_misfit;
        }
        place = next;
    }
}
