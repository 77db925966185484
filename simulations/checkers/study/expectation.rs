//! What an answer says of the rows of its record: whether a row that holds this may be shown like that.

use std::collections::{BTreeMap, HashSet};

use atoll::model::change::Delta;
use atoll::model::record::Version;
use bytes::Bytes;

use crate::evidence::{Action, Answer, Shown};

use super::journal::{ChangeNumber, Journal, RowFacts};
use super::replay::Shows;

/// What was shown of a record.
#[derive(Debug)]
pub(crate) struct Expectation<'a> {
    shown: &'a Shown,
    version: Option<Version>,
    tag: Option<&'a str>,
    /// The one member that was asked for.
    member: Option<&'a str>,
    /// All members that were shown.
    members: HashSet<&'a str>,
}

impl<'a> Expectation<'a> {
    /// Of an answer to a read.
    pub(crate) fn of_answer(action: &'a Action, answer: &'a Answer) -> Self {
        let member = match action {
            Action::Contains { member } => Some(member.as_str()),
            _ => None,
        };
        Self {
            version: answer.version,
            tag: answer.tag.as_deref(),
            member,
            ..Self::of_shown(&answer.shown)
        }
    }

    /// Of a reading of the whole record.
    pub(crate) fn of_shown(shown: &'a Shown) -> Self {
        let members = match shown {
            Shown::Members(members) => members.iter().map(String::as_str).collect(),
            _ => HashSet::new(),
        };
        Self {
            shown,
            version: None,
            tag: None,
            member: None,
            members,
        }
    }

    /// The members or fields that were shown to be there.
    pub(crate) fn parts(&self) -> Vec<&'a str> {
        match self.shown {
            Shown::Members(members) => members.iter().map(String::as_str).collect(),
            Shown::Fields(fields) => fields.keys().map(String::as_str).collect(),
            Shown::Member(true) => self.member.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether nothing was shown to be there: as of a record that was never touched.
    pub(crate) fn is_nothing(&self) -> bool {
        match self.shown {
            Shown::Absent | Shown::Total(0) | Shown::Member(false) | Shown::Nothing => true,
            Shown::Members(members) => members.is_empty(),
            Shown::Fields(fields) => fields.is_empty(),
            _ => false,
        }
    }

    /// Whether anything was said of this row.
    pub(crate) fn concerns(&self, row: &RowFacts<'_>) -> bool {
        self.member.is_none_or(|member| row.sub_key == Some(member))
    }

    /// Whether a row that holds this is shown like that.
    pub(crate) fn fits(&self, journal: &Journal<'_>, row: &RowFacts<'_>, shows: Option<&Shows>) -> bool {
        let live = shows.map_or(&[][..], Shows::live);
        match self.shown {
            Shown::Nothing => true,
            Shown::Absent | Shown::Value(_) | Shown::Siblings(_) => self.fits_register(journal, live),
            Shown::Total(total) => match shows {
                Some(Shows::Total(value)) => *value == i128::from(*total),
                _ => *total == 0,
            },
            Shown::Member(is_member) => {
                live.is_empty() != *is_member && self.is_tag(member_tag(journal, live).as_deref())
            }
            Shown::Members(_) => {
                let is_shown = row.sub_key.is_some_and(|member| self.members.contains(member));
                live.is_empty() != is_shown
            }
            Shown::Fields(fields) => fits_field(journal, row, live, fields),
        }
    }

    fn fits_register(&self, journal: &Journal<'_>, live: &[ChangeNumber]) -> bool {
        let visible = visible(journal, live);
        let is_value = match (self.shown, visible.as_slice()) {
            (Shown::Absent, []) => return true,
            (Shown::Value(value), [(_, content)]) => *content == value,
            (Shown::Siblings(siblings), [_, _, ..]) => {
                let mut versions: Vec<(Version, &Bytes)> = visible
                    .iter()
                    .map(|(number, content)| (journal.change(*number).version, *content))
                    .collect();
                let mut shown: Vec<(Version, &Bytes)> = siblings
                    .iter()
                    .map(|(version, value)| (*version, value))
                    .collect();
                versions.sort_unstable();
                shown.sort_unstable();
                versions == shown
            }
            _ => false,
        };
        let highest = visible.first().map(|(number, _)| journal.change(*number).version);
        let is_version = self.version.is_none() || self.version == highest;
        is_value && is_version && self.is_tag(entity_tag(journal, live).as_deref())
    }

    /// Whether the tag that was shown, if any was, is this one.
    fn is_tag(&self, expected: Option<&str>) -> bool {
        self.tag.is_none_or(|tag| Some(tag.trim_matches('"')) == expected)
    }
}

/// What a write to a register left to be shown; none of a delete.
pub(crate) fn content<'a>(journal: &Journal<'a>, number: ChangeNumber) -> Option<&'a Bytes> {
    match journal.change(number).delta {
        Delta::Register { content, .. } => content.as_ref().map(|content| &content.payload),
        _ => None,
    }
}

/// The versions of a register that readers are shown, in the order given.
pub(crate) fn visible<'a>(journal: &Journal<'a>, live: &[ChangeNumber]) -> Vec<(ChangeNumber, &'a Bytes)> {
    live.iter()
        .filter_map(|number| Some((*number, content(journal, *number)?)))
        .collect()
}

/// The entity tag of a register with these versions, without quotes; none if nothing is visible.
pub(crate) fn entity_tag(journal: &Journal<'_>, live: &[ChangeNumber]) -> Option<String> {
    let versions: Vec<String> = visible(journal, live)
        .into_iter()
        .map(|(number, _)| journal.change(number).version.to_string())
        .collect();
    (!versions.is_empty()).then(|| versions.join("+"))
}

/// The entity tag of a member that these adds keep in its set, without quotes; none if it is not there.
pub(crate) fn member_tag(journal: &Journal<'_>, live: &[ChangeNumber]) -> Option<String> {
    let mut adds: Vec<_> = live.iter().map(|number| journal.dot(*number)).collect();
    adds.sort_unstable();
    let adds: Vec<String> = adds.iter().map(ToString::to_string).collect();
    (!adds.is_empty()).then(|| adds.join("+"))
}

/// What a put of a field left to be shown.
pub(crate) fn field_value<'a>(journal: &Journal<'a>, number: ChangeNumber) -> Option<&'a Bytes> {
    match journal.change(number).delta {
        Delta::FieldPut { value, .. } => Some(value),
        _ => None,
    }
}

fn fits_field(
    journal: &Journal<'_>,
    row: &RowFacts<'_>,
    live: &[ChangeNumber],
    fields: &BTreeMap<String, String>,
) -> bool {
    let shown = row.sub_key.and_then(|field| fields.get(field));
    let held = live.first().and_then(|number| field_value(journal, *number));
    match (shown, held) {
        (None, None) => true,
        (Some(shown), Some(held)) => is_same_json(shown, held),
        _ => false,
    }
}

/// Values are kept as they were sent, but whoever has recorded an answer may have read and written it again.
pub(crate) fn is_same_json(shown: &str, held: &[u8]) -> bool {
    if shown.as_bytes() == held {
        return true;
    }
    let parsed = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    parsed(shown.as_bytes()).is_some_and(|value| Some(value) == parsed(held))
}
