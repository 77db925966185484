//! (a, b) The end is what the logs say: in every region, rows, listing index and reads equal an interpretation of all
//! logged changes that knows nothing of merging ([`super::study::reference`]). This is what tells that regions agree on
//! the right thing, and not only with each other.

use std::collections::BTreeMap;

use atoll::model::change::{Content, Delta};
use atoll::model::ids::RegionId;
use atoll::model::record::{RecordType, RowId, Version};
use atoll::model::rows::Row;
use atoll::model::vector::Dot;
use atoll::model::workspace::Summary;
use atoll::wire::keys::names::NameKey;
use atoll::wire::keys::row::RowKey;
use atoll::wire::values::{decode_row, decode_summary};
use bytes::Bytes;

use crate::evidence::{FinalRegion, Violation};

use super::report::{RecordName, Report};
use super::study::expectation::{Expectation, content};
use super::study::journal::RowFacts;
use super::study::reference::final_state;
use super::study::{ChangeNumber, RecordNumber, RowNumber, Shows, Study};

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("final_state");
    if !study.has_logs() {
        return Vec::new();
    }
    let expected = Expected::of(study);
    for (region, last) in study.settled_regions() {
        expected.check_rows(*region, last, &mut report);
        expected.check_names(*region, last, &mut report);
        expected.check_reads(*region, last, &mut report);
    }
    report.into_violations()
}

/// A row as far as it can be compared: what it holds, without how.
#[derive(Debug, PartialEq, Eq)]
enum Holds<'a> {
    /// Versions of a register, highest first.
    Versions(Vec<(Dot, Version, Option<&'a Content>)>),
    /// Adds of a member.
    Adds(Vec<Dot>),
    /// Values of a field, highest first.
    Values(Vec<(Dot, Version, &'a Bytes)>),
    /// Of a counter.
    Total(i128),
}

/// What must be there.
struct Expected<'a> {
    study: &'a Study<'a>,
    /// By row.
    states: Vec<Shows>,
}

impl<'a> Expected<'a> {
    fn of(study: &'a Study<'a>) -> Self {
        let rows = (0..study.journal.rows.len()).map(RowNumber);
        Self {
            study,
            states: rows.map(|row| final_state(&study.journal, row)).collect(),
        }
    }

    fn check_rows(&self, region: RegionId, last: &FinalRegion, report: &mut Report) {
        let mut unseen: BTreeMap<RowId, RowNumber> = BTreeMap::new();
        for number in (0..self.states.len()).map(RowNumber) {
            if self.is_stored(number) {
                unseen.insert(self.row_id(number), number);
            }
        }
        for (key, value) in &last.rows {
            let decoded = RowKey::decode(key)
                .and_then(|key| Ok((decode_row(key.row.record.record_type, value)?, key.row)));
            let (row, id) = match decoded {
                Ok(decoded) => decoded,
                Err(error) => {
                    report.add(format!(
                        "in the end {region} holds a row that does not decode: {error}"
                    ));
                    continue;
                }
            };
            let Some(number) = unseen.remove(&id) else {
                report.add(format!(
                    "in the end {region} holds a row that no change has left: {id:?}: {row:?}"
                ));
                continue;
            };
            let (held, wanted) = (holds(&row), self.holds(number));
            if held != wanted {
                report.add(format!(
                    "in the end {region} holds for {id:?}: {held:?}; its changes come to {wanted:?}"
                ));
            }
        }
        for (id, number) in unseen {
            report.add(format!(
                "in the end {region} has no row for {id:?}; its changes come to {:?}",
                self.holds(number)
            ));
        }
    }

    fn check_names(&self, region: RegionId, last: &FinalRegion, report: &mut Report) {
        let journal = &self.study.journal;
        let mut listed = 0;
        for number in (0..journal.records.len()).map(RecordNumber) {
            let id = journal.record(number).id;
            let Some(wanted) = self.summary(number) else {
                continue;
            };
            listed += 1;
            let key = NameKey::encode(id);
            let held = last.names.get(key.as_slice()).map(|bytes| decode_summary(bytes));
            if held != Some(Ok(wanted.clone())) {
                report.add(format!(
                    "in the end {region} lists {} as {held:?}; its rows come to {wanted:?}",
                    RecordName(id)
                ));
            }
        }
        if last.names.len() != listed {
            report.add(format!(
                "in the end {region} lists {} records; there are {listed}",
                last.names.len()
            ));
        }
    }

    fn check_reads(&self, region: RegionId, last: &FinalRegion, report: &mut Report) {
        let journal = &self.study.journal;
        for (id, shown) in &last.reads {
            let expectation = Expectation::of_shown(shown);
            let Some(number) = journal.record_number(id) else {
                if !expectation.is_nothing() {
                    report.add(format!(
                        "in the end {region} shows {shown:?} for {}, which nobody has changed",
                        RecordName(id)
                    ));
                }
                continue;
            };
            let strangers = expectation
                .parts()
                .into_iter()
                .filter(|part| journal.part(number, part).is_none());
            for part in strangers {
                report.add(format!(
                    "in the end {region} shows {part:?} in {}, which nobody has added",
                    RecordName(id)
                ));
            }
            for row in &journal.record(number).rows {
                let facts = journal.row(*row);
                if !expectation.fits(journal, facts, Some(&self.states[row.0])) {
                    report.add(format!(
                        "in the end {region} shows {shown:?} for {}{}; its changes come to {:?}",
                        RecordName(id),
                        part_name(facts),
                        self.holds(*row)
                    ));
                }
            }
        }
    }

    /// Whether there is a row. Those of registers and counters stay once there was one.
    fn is_stored(&self, number: RowNumber) -> bool {
        self.study.journal.row(number).sub_key.is_none() || !self.states[number.0].live().is_empty()
    }

    fn row_id(&self, number: RowNumber) -> RowId {
        let journal = &self.study.journal;
        let row = journal.row(number);
        RowId {
            record: journal.record(row.record).id.clone(),
            // The text comes from a change whose sub-key was valid.
            sub_key: row
                .sub_key
                .and_then(|text| atoll::model::ids::SubKey::new(text).ok()),
        }
    }

    fn holds(&self, number: RowNumber) -> Holds<'a> {
        let journal = &self.study.journal;
        let live = match &self.states[number.0] {
            Shows::Total(total) => return Holds::Total(*total),
            Shows::Live(live) => live,
        };
        let name = |change: &ChangeNumber| (journal.dot(*change), journal.change(*change).version);
        let record = journal.record(journal.row(number).record).id;
        match record.record_type {
            RecordType::Set => {
                let mut dots: Vec<Dot> = live.iter().map(|change| journal.dot(*change)).collect();
                dots.sort_unstable();
                Holds::Adds(dots)
            }
            RecordType::Map => Holds::Values(
                live.iter()
                    .filter_map(|change| match journal.change(*change).delta {
                        Delta::FieldPut { value, .. } => Some((name(change).0, name(change).1, value)),
                        _ => None,
                    })
                    .collect(),
            ),
            RecordType::Register | RecordType::Counter => Holds::Versions(
                live.iter()
                    .filter_map(|change| match journal.change(*change).delta {
                        Delta::Register { content, .. } => {
                            Some((name(change).0, name(change).1, content.as_ref()))
                        }
                        _ => None,
                    })
                    .collect(),
            ),
        }
    }

    /// What the listing index must hold; none if the record is not listed.
    fn summary(&self, number: RecordNumber) -> Option<Summary> {
        let journal = &self.study.journal;
        let record = journal.record(number);
        match record.id.record_type {
            RecordType::Counter => Some(Summary::Counter),
            RecordType::Set | RecordType::Map => {
                let rows = record.rows.iter();
                let count = rows.filter(|row| self.is_stored(**row)).count() as u64;
                (count > 0).then_some(Summary::Parts { count })
            }
            RecordType::Register => {
                let live = self.states[record.rows.first()?.0].live();
                let shown = live
                    .iter()
                    .copied()
                    .find(|change| content(journal, *change).is_some())?;
                let Delta::Register {
                    content: Some(content),
                    ..
                } = journal.change(shown).delta
                else {
                    return None;
                };
                Some(Summary::Register {
                    size_bytes: content.payload.len() as u64,
                    content_type: content.content_type.clone(),
                    version: journal.change(shown).version,
                    expires_at: content.expires_at,
                })
            }
        }
    }
}

fn holds(row: &Row) -> Holds<'_> {
    match row {
        Row::Register(row) => Holds::Versions(
            row.versions()
                .iter()
                .rev()
                .map(|version| (version.dot, version.version(), version.content.as_ref()))
                .collect(),
        ),
        Row::Counter(row) => Holds::Total(row.value()),
        Row::Member(row) => Holds::Adds(row.dots().to_vec()),
        Row::Field(row) => Holds::Values(
            row.versions()
                .iter()
                .rev()
                .map(|version| (version.dot, version.version(), &version.value))
                .collect(),
        ),
    }
}

fn part_name(row: &RowFacts<'_>) -> String {
    row.sub_key.map(|part| format!(" {part:?}")).unwrap_or_default()
}
