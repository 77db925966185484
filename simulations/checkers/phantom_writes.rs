//! (a) Nothing is there that nobody has asked for: what was refused was not done, nothing was done twice, and every value
//! that is logged or shown was written by an operation that may have happened and had begun by then.
//!
//! Additions to counters are looked at by the checker of counters.

use std::collections::{BTreeMap, HashMap, HashSet};

use atoll::model::change::Delta;
use atoll::model::ids::RegionId;
use atoll::model::record::RecordId;

use crate::evidence::{Action, Evidence, Moment, Operation, Promise, Shown, Violation};

use super::outside::{by_record, is_before};
use super::report::{OperationName, RecordName, Report, change_name, text};
use super::study::expectation::{content, field_value, is_same_json};
use super::study::{ChangeNumber, Study};

/// All that is wrong.
pub(crate) fn check(study: &Study<'_>) -> Vec<Violation> {
    let mut report = Report::new("phantom_writes");
    let records = by_record(study.evidence);
    check_logs(study, &mut report);
    check_shown(study.evidence, &records, &mut report);
    report.into_violations()
}

/// What was done: enough of a change to find who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Deed<'a> {
    Put(&'a [u8]),
    Delete,
    Reset,
    AddMember(&'a str),
    RemoveMember(&'a str),
    SetField(&'a str, &'a [u8]),
    RemoveField(&'a str),
    /// Takes all parts away.
    Drop,
}

impl<'a> Deed<'a> {
    fn of_change(study: &Study<'a>, change: ChangeNumber) -> Option<Self> {
        let journal = &study.journal;
        let part = journal
            .row(journal.change(change).row)
            .sub_key
            .unwrap_or_default();
        match journal.change(change).delta {
            Delta::Register { .. } => {
                Some(content(journal, change).map_or(Self::Delete, |value| Self::Put(value)))
            }
            Delta::CounterTotals { .. } => None,
            Delta::CounterFloors { .. } => Some(Self::Reset),
            Delta::MemberAdd { .. } => Some(Self::AddMember(part)),
            Delta::MemberRemove { .. } => Some(Self::RemoveMember(part)),
            Delta::FieldPut { .. } => field_value(journal, change).map(|value| Self::SetField(part, value)),
            Delta::FieldRemove { .. } => Some(Self::RemoveField(part)),
        }
    }

    /// All that an operation asks for, but for the parts that dropping a whole record takes away.
    fn of_operation(operation: &'a Operation) -> Vec<Self> {
        match &operation.action {
            Action::Put { value, .. } => vec![Self::Put(value)],
            Action::Delete { .. } => vec![Self::Delete],
            Action::Reset => vec![Self::Reset],
            // Also what is added at the same time may be removed: that comes first.
            Action::ChangeMembers { add, remove, .. } => {
                let adds = add.iter().map(|member| Self::AddMember(member));
                adds.chain(remove.iter().map(|member| Self::RemoveMember(member)))
                    .collect()
            }
            Action::ChangeFields { set, remove } => {
                let sets = set
                    .iter()
                    .map(|(field, value)| Self::SetField(field, value.as_bytes()));
                sets.chain(remove.iter().map(|field| Self::RemoveField(field)))
                    .collect()
            }
            Action::DropSet | Action::DropMap => vec![Self::Drop],
            _ => Vec::new(),
        }
    }

    fn is_removal(self) -> bool {
        matches!(self, Self::RemoveMember(_) | Self::RemoveField(_))
    }
}

/// What is asked of a record in a region. Where a home answers, it can be in any: which one it was then, nobody knows of
/// what was not answered.
type Place<'a> = (&'a RecordId, Option<RegionId>);

/// Records that homes write.
fn homed(evidence: &Evidence) -> HashSet<&RecordId> {
    let operations = evidence.operations.iter();
    operations
        .filter(|operation| operation.promise == Promise::Home)
        .map(|operation| &operation.record)
        .collect()
}

/// When something was asked for, earliest first.
type Asked<'a> = HashMap<(Place<'a>, Deed<'a>), Vec<Moment>>;

fn asked<'a>(evidence: &'a Evidence, homed: &HashSet<&RecordId>) -> Asked<'a> {
    let mut asked = Asked::new();
    let may_have = evidence.operations.iter();
    for operation in may_have.filter(|operation| operation.may_have_happened()) {
        let region = (!homed.contains(&operation.record)).then_some(operation.region);
        for deed in Deed::of_operation(operation) {
            let moments = asked.entry(((&operation.record, region), deed));
            moments.or_default().push(operation.started);
        }
    }
    for moments in asked.values_mut() {
        moments.sort_unstable();
    }
    asked
}

fn check_logs(study: &Study<'_>, report: &mut Report) {
    let journal = &study.journal;
    let homed = homed(study.evidence);
    let asked = asked(study.evidence, &homed);
    let mut done: HashMap<(Place<'_>, Deed<'_>), usize> = HashMap::new();
    // Changes are numbered in the order in which they were first logged.
    for change in (0..journal.changes.len()).map(ChangeNumber) {
        let record = journal.record_of(change).id;
        // The store's own records are not written by the clients of the history.
        if record.namespace.is_system() {
            continue;
        }
        let Some(deed) = Deed::of_change(study, change) else {
            continue;
        };
        let region = journal.change(change).version.region;
        let place = (record, (!homed.contains(record)).then_some(region));
        let count = done.entry((place, deed)).or_insert(0);
        *count += 1;
        let at = logged_at(study, change);
        let asked_by_then = |deed: Deed<'_>| {
            let moments = asked.get(&(place, deed)).map_or(&[][..], Vec::as_slice);
            // `<=`: it may be durable at the moment at which it was sent.
            moments.partition_point(|moment| at.is_none_or(|at| *moment <= at))
        };
        let drops = if deed.is_removal() {
            asked_by_then(Deed::Drop)
        } else {
            0
        };
        if asked_by_then(deed) + drops < *count {
            report.add(format!(
                "{} does what nobody asked for in {region}, or not so often by then: {:?}",
                change_name(journal, change),
                journal.change(change).delta
            ));
        }
    }
}

fn logged_at(study: &Study<'_>, change: ChangeNumber) -> Option<Moment> {
    let journal = &study.journal;
    let facts = journal.change(change);
    let logs = journal.logs.get(&facts.version.region)?;
    let place = logs.place(facts.commit)?;
    Some(logs.log(journal.commit(facts.commit).partition)[place - 1].at)
}

fn check_shown(evidence: &Evidence, records: &BTreeMap<&RecordId, Vec<&Operation>>, report: &mut Report) {
    for (record, operations) in records {
        let scene = Scene::new(operations);
        for read in operations.iter().filter(|operation| !operation.action.is_write()) {
            let Some(answer) = read.answer() else { continue };
            let member = match &read.action {
                Action::Contains { member } => Some(member.as_str()),
                _ => None,
            };
            for what in scene.made_up(&answer.shown, member, Some(read)) {
                report.add(format!(
                    "{} shows {what}, which nobody had begun to write",
                    OperationName(read)
                ));
            }
        }
        for (region, last) in &evidence.finals {
            let Some(shown) = last.reads.get(*record) else {
                continue;
            };
            for what in scene.made_up(shown, None, None) {
                report.add(format!(
                    "in the end {region} shows {what} of {}, which nobody has written",
                    RecordName(record)
                ));
            }
        }
    }
}

/// What may have been written to one record.
struct Scene<'a> {
    values: HashMap<&'a [u8], &'a Operation>,
    /// Members that were added in the order of the beginnings, each at its first.
    added: HashMap<&'a str, &'a Operation>,
    /// Fields and their values.
    fields: HashMap<(&'a str, &'a str), &'a Operation>,
}

impl<'a> Scene<'a> {
    fn new(operations: &[&'a Operation]) -> Self {
        let mut scene = Self {
            values: HashMap::new(),
            added: HashMap::new(),
            fields: HashMap::new(),
        };
        for operation in operations
            .iter()
            .filter(|operation| operation.may_have_happened())
        {
            match &operation.action {
                Action::Put { value, .. } => {
                    scene.values.entry(value).or_insert(operation);
                }
                Action::ChangeMembers { add, .. } => {
                    for member in add {
                        scene.added.entry(member).or_insert(operation);
                    }
                }
                Action::ChangeFields { set, .. } => {
                    for (field, value) in set {
                        scene.fields.entry((field, value)).or_insert(operation);
                    }
                }
                _ => {}
            }
        }
        scene
    }

    fn made_up(&self, shown: &Shown, member: Option<&str>, read: Option<&Operation>) -> Vec<String> {
        // A read shows nothing of what began after it had ended.
        let is_in_time = |write: &Operation| read.is_none_or(|read| !is_before(read, write));
        let is_written = |value: &[u8]| self.values.get(value).is_some_and(|write| is_in_time(write));
        let is_added = |member: &str| self.added.get(member).is_some_and(|write| is_in_time(write));
        match shown {
            Shown::Value(value) if !is_written(value) => vec![text(value)],
            Shown::Siblings(siblings) => siblings
                .iter()
                .filter(|(_, value)| !is_written(value))
                .map(|(_, value)| text(value))
                .collect(),
            Shown::Members(members) => members
                .iter()
                .filter(|member| !is_added(member))
                .cloned()
                .collect(),
            Shown::Member(true) => member
                .filter(|member| !is_added(member))
                .map(str::to_owned)
                .into_iter()
                .collect(),
            Shown::Fields(fields) => fields
                .iter()
                .filter(|(field, value)| !self.is_set(field, value, is_in_time))
                .map(|(field, value)| format!("{field} = {value}"))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn is_set(&self, field: &str, value: &str, is_in_time: impl Fn(&Operation) -> bool) -> bool {
        let write = self.fields.get(&(field, value)).copied().or_else(|| {
            // Whoever has recorded the answer may have written the same value in another way.
            let mut fields = self.fields.iter();
            fields
                .find(|((name, text), _)| *name == field && is_same_json(value, text.as_bytes()))
                .map(|(_, write)| *write)
        });
        write.is_some_and(is_in_time)
    }
}
