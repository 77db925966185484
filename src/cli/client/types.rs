//! What the calls of [`super::data`] take and give: the JSON of the HTTP contract and names for its parts.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Answer, ClientError, RequestPath};
use crate::cli::text;
use crate::model::ids::{Key, Namespace, SubKey};

/// Where a record is, without its type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordName<'a> {
    /// The namespace.
    pub(crate) namespace: &'a Namespace,
    /// The key in it.
    pub(crate) key: &'a Key,
}

impl RecordName<'_> {
    pub(super) fn path(&self, kind: RecordKind) -> Result<RequestPath, ClientError> {
        Ok(collection(self.namespace, kind)?.segment(self.key.as_str())?)
    }

    pub(super) fn describe(&self, action: &str, kind: RecordKind) -> String {
        format!(
            "{action} {} \"{}\" of {}",
            kind.singular(),
            text::escape(self.key.as_str()),
            self.namespace
        )
    }
}

/// The types of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RecordKind {
    /// Raw bytes.
    Registers,
    /// Numbers.
    Counters,
    /// Sets of text.
    Sets,
    /// Fields of JSON.
    Maps,
}

impl RecordKind {
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Counters => "counters",
            Self::Sets => "sets",
            Self::Maps => "maps",
        }
    }

    fn singular(self) -> &'static str {
        self.plural().strip_suffix('s').expect("all plurals end in s")
    }
}

/// What goes with the bytes of a register.
#[derive(Debug, Clone, Default)]
pub(crate) struct PutOptions<'a> {
    /// Kept and given back with the bytes.
    pub(crate) content_type: Option<&'a str>,
    /// The register hides itself after that long.
    pub(crate) ttl_seconds: Option<u64>,
    /// The context of siblings that this write replaces.
    pub(crate) context: Option<&'a str>,
}

/// What a write gives back for later reads.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    /// The version written.
    pub(crate) version: Option<String>,
    /// The session token that covers it.
    pub(crate) session: Option<String>,
}

impl From<&Answer> for Receipt {
    fn from(answer: &Answer) -> Self {
        Self {
            version: answer.header("atoll-version"),
            session: answer.header("atoll-session"),
        }
    }
}

/// A register's visible value.
#[derive(Debug)]
pub(crate) struct RegisterValue {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// As given by the writer.
    pub(crate) content_type: Option<String>,
    /// Version and session token.
    pub(crate) receipt: Receipt,
}

/// What reading a register shows.
#[derive(Debug)]
pub(crate) enum RegisterAnswer {
    /// One version.
    Value(RegisterValue),
    /// Several concurrent versions, as the node's JSON.
    Siblings(Siblings),
}

/// Concurrent versions of a register.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Siblings {
    /// Written back with `--context`, it replaces exactly these versions.
    pub(crate) context: String,
    /// The versions.
    pub(crate) siblings: Vec<serde_json::Value>,
}

/// Which part of a listing is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageQuery<'a> {
    /// Only names that start so.
    pub(crate) prefix: Option<&'a str>,
    /// Only names after this one.
    pub(crate) after: Option<&'a str>,
    /// At most so many.
    pub(crate) limit: usize,
}

impl PageQuery<'_> {
    pub(super) fn apply(&self, path: RequestPath) -> RequestPath {
        path.query_optional("prefix", self.prefix)
            .query_optional("after", self.after)
            .query("limit", &self.limit.to_string())
    }
}

/// A page of keys.
#[derive(Debug, Deserialize)]
pub(crate) struct KeysPage {
    /// The entries as the node wrote them.
    pub(crate) keys: Vec<Box<RawValue>>,
    /// Where the next page starts.
    pub(crate) next: Option<String>,
}

/// A page of members.
#[derive(Debug, Deserialize)]
pub(crate) struct MembersPage {
    /// The members in byte order.
    pub(crate) members: Vec<String>,
    /// Where the next page starts.
    pub(crate) next: Option<String>,
}

/// A page of fields.
#[derive(Debug, Deserialize)]
pub(crate) struct FieldsPage {
    /// The fields with their JSON as the node wrote it.
    pub(crate) fields: BTreeMap<String, Box<RawValue>>,
    /// Where the next page starts.
    pub(crate) next: Option<String>,
}

/// How many members a change touched.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SetChanged {
    /// Members that were not there before.
    pub(crate) added: u64,
    /// Members that were there before.
    pub(crate) removed: u64,
}

/// How many fields a change touched.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct MapChanged {
    /// Fields written.
    pub(crate) set: u64,
    /// Fields that were there before.
    pub(crate) removed: u64,
}

/// Members to add and remove.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SetChange<'a> {
    /// Added.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) add: &'a [SubKey],
    /// Removed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) remove: &'a [SubKey],
}

/// Fields to write and remove.
#[derive(Debug, Default, Serialize)]
pub(crate) struct MapChange<'a> {
    /// Written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) set: BTreeMap<&'a str, &'a RawValue>,
    /// Removed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) remove: &'a [SubKey],
}

/// How a namespace treats its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceConfiguration {
    /// `lww`, `siblings` or `custom:<handler>`.
    pub(crate) conflict_policy: String,
    /// The region that commits `strong` writes.
    pub(crate) home_region: Option<String>,
    /// The level of requests that name none.
    pub(crate) default_consistency: String,
}

#[derive(Deserialize)]
pub(super) struct CounterValue {
    pub(super) value: i64,
}

#[derive(Deserialize)]
pub(super) struct Namespaces {
    pub(super) namespaces: Vec<String>,
}

/// The path of all records of one type.
pub(super) fn collection(namespace: &Namespace, kind: RecordKind) -> Result<RequestPath, ClientError> {
    Ok(RequestPath::new("/v1/data")
        .segment(namespace.as_str())?
        .segment(kind.plural())?)
}
