//! One region of a test cluster: its rows, and what requests and reads come to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use atoll::model::change::{Commit, ConflictPolicy, Content};
use atoll::model::hlc::{Hlc, WallTime};
use atoll::model::ids::{PartitionId, ReplicaId, SubKey};
use atoll::model::record::{RecordId, RecordType, RowId};
use atoll::model::request::{self, Precondition, WriteAnswer, WriteEffect, WriteRefusal, WriteRequest};
use atoll::model::rows::{RegisterRow, Row};
use atoll::model::vector::{Dot, VersionVector};
use atoll::model::workspace::{Overlay, RowSource, Summary};
use atoll::wire::values::LedgerEntry;
use bytes::Bytes;

use crate::evidence::{Action, Answer, Condition, Operation, Outcome, Shown};

/// The namespace whose registers keep siblings; all others are `lww`.
pub(super) const SIBLINGS: &str = "siblings";

/// Nothing expires in the tests.
pub(super) const NOW: WallTime = WallTime::from_millis(1_000_000);

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) rows: BTreeMap<RowId, Row>,
    pub(super) summaries: BTreeMap<RecordId, Summary>,
    pub(super) losers: Vec<LedgerEntry>,
}

impl RowSource for Tables {
    type Error = Infallible;

    fn row(&self, id: &RowId) -> Result<Option<Row>, Infallible> {
        Ok(self.rows.get(id).cloned())
    }

    fn summary(&self, id: &RecordId) -> Result<Option<Summary>, Infallible> {
        Ok(self.summaries.get(id).cloned())
    }
}

impl Tables {
    pub(super) fn write(&mut self, overlay: Overlay) {
        for (id, exchange) in overlay.rows {
            match exchange.after {
                Some(row) => self.rows.insert(id, row),
                None => self.rows.remove(&id),
            };
        }
        for (id, exchange) in overlay.summaries {
            match exchange.after {
                Some(summary) => self.summaries.insert(id, summary),
                None => self.summaries.remove(&id),
            };
        }
        self.losers
            .extend(overlay.losers.into_iter().map(LedgerEntry::from));
    }

    fn parts(&self, record: &RecordId) -> impl Iterator<Item = (&SubKey, &Row)> {
        let rows = self.rows.iter().filter(move |(id, _)| id.record == *record);
        rows.filter_map(|(id, row)| Some((id.sub_key.as_ref()?, row)))
    }

    pub(super) fn register(&self, record: &RecordId) -> RegisterRow {
        match self.rows.get(&record.clone().row()) {
            Some(Row::Register(row)) => row.clone(),
            _ => RegisterRow::default(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Region {
    pub(super) replica: ReplicaId,
    pub(super) tables: Tables,
    pub(super) vectors: BTreeMap<PartitionId, VersionVector>,
    pub(super) logs: BTreeMap<PartitionId, Vec<Arc<Commit>>>,
    pub(super) last_hlc: Hlc,
}

impl Region {
    /// The request that an operation comes to; `contexts` are what the positions in its context name.
    pub(super) fn request(&self, operation: &Operation, contexts: &[Vec<Dot>]) -> WriteRequest {
        let record = &operation.record;
        let present = || {
            let parts = self.tables.parts(record);
            parts.map(|(part, _)| part.clone()).collect()
        };
        let precondition = condition_of(operation.action.condition());
        let operation = match &operation.action {
            Action::Put { value, context, .. } => request::Operation::PutRegister {
                content: Content {
                    content_type: "text/plain".to_owned(),
                    payload: value.clone(),
                    expires_at: None,
                },
                context: context
                    .as_ref()
                    .map(|position| contexts[position.parse::<usize>().unwrap()].clone()),
            },
            Action::Delete { .. } => request::Operation::DeleteRegister,
            Action::Add { delta, .. } => request::Operation::AddCounter { amount: *delta },
            Action::Reset => request::Operation::ResetCounter,
            Action::ChangeMembers { add, remove, .. } => request::Operation::UpdateSet {
                add: sub_keys(add),
                remove: sub_keys(remove),
            },
            Action::ChangeFields { set, remove } => request::Operation::UpdateMap {
                set: set
                    .iter()
                    .map(|(field, value)| (SubKey::new(field).unwrap(), Bytes::from(value.clone())))
                    .collect(),
                remove: sub_keys(remove),
            },
            Action::DropSet => request::Operation::UpdateSet {
                add: Vec::new(),
                remove: present(),
            },
            Action::DropMap => request::Operation::UpdateMap {
                set: Vec::new(),
                remove: present(),
            },
            other => panic!("{other:?} is no write"),
        };
        let is_lww = record.namespace.as_str() != SIBLINGS;
        WriteRequest {
            namespace: record.namespace.clone(),
            key: record.key.clone(),
            policy: if is_lww {
                ConflictPolicy::Lww
            } else {
                ConflictPolicy::Siblings
            },
            precondition,
            operation,
        }
    }

    /// What a read is answered now.
    pub(super) fn read(&self, operation: &Operation) -> Answer {
        let tables = &self.tables;
        let mut answer = Answer {
            staleness_ms: None,
            version: None,
            tag: None,
            shown: self.shown(&operation.record),
        };
        match &operation.action {
            Action::Get => {
                let row = tables.register(&operation.record);
                answer.version = row.visible(NOW).next().map(|(version, _)| version.version());
                answer.tag = row.entity_tag(NOW).as_deref().map(quoted);
            }
            Action::Contains { member } => {
                let mut parts = tables.parts(&operation.record);
                let found = parts.find(|(part, _)| part.as_str() == member);
                answer.shown = Shown::Member(found.is_some());
                answer.tag = found.and_then(|(_, row)| quoted_tag(row));
            }
            Action::Count => {
                answer.tag = tables
                    .rows
                    .get(&operation.record.clone().row())
                    .and_then(quoted_tag);
            }
            _ => {}
        }
        answer
    }

    /// What reading a whole record shows.
    pub(super) fn shown(&self, record: &RecordId) -> Shown {
        let tables = &self.tables;
        let parts = || tables.parts(record);
        match record.record_type {
            RecordType::Register => {
                let row = tables.register(record);
                let visible: Vec<_> = row
                    .visible(NOW)
                    .map(|(version, content)| (version.version(), content.payload.clone()))
                    .collect();
                match visible.as_slice() {
                    [] => Shown::Absent,
                    [(_, value)] => Shown::Value(value.clone()),
                    _ => Shown::Siblings(visible),
                }
            }
            RecordType::Counter => match tables.rows.get(&record.clone().row()) {
                Some(Row::Counter(row)) => Shown::Total(i64::try_from(row.value()).unwrap()),
                _ => Shown::Total(0),
            },
            RecordType::Set => Shown::Members(parts().map(|(part, _)| part.as_str().to_owned()).collect()),
            RecordType::Map => Shown::Fields(
                parts()
                    .filter_map(|(part, row)| match row {
                        Row::Field(row) => {
                            let value = row.shown()?.value.to_vec();
                            Some((part.as_str().to_owned(), String::from_utf8(value).unwrap()))
                        }
                        _ => None,
                    })
                    .collect(),
            ),
        }
    }
}

fn quoted_tag(row: &Row) -> Option<String> {
    row.entity_tag(NOW).as_deref().map(quoted)
}

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

fn sub_keys(texts: &[String]) -> Vec<SubKey> {
    texts.iter().map(|text| SubKey::new(text).unwrap()).collect()
}

fn condition_of(condition: &Condition) -> Precondition {
    match condition {
        Condition::None => Precondition::None,
        Condition::Absent => Precondition::Absent,
        Condition::Present => Precondition::Exists,
        Condition::Tag(tag) => Precondition::Matches(vec![tag.trim_matches('"').to_owned()]),
    }
}

/// What a client is told.
pub(super) fn outcome(result: Result<WriteAnswer, WriteRefusal>, is_put: bool) -> Outcome {
    match result {
        Ok(written) => Outcome::Done(Answer {
            staleness_ms: None,
            version: written.version,
            // A put says no tag of its own: it is its version.
            tag: match written.version.filter(|_| is_put) {
                Some(version) => Some(quoted(&version.to_string())),
                None => written.tag.as_deref().map(quoted),
            },
            shown: match written.effect {
                WriteEffect::Counter { value } => Shown::Total(i64::try_from(value).unwrap()),
                _ => Shown::Nothing,
            },
        }),
        Err(refusal) => Outcome::Refused {
            status: if matches!(refusal, WriteRefusal::PreconditionFailed { .. }) {
                412
            } else {
                409
            },
            code: refusal.to_string(),
        },
    }
}
