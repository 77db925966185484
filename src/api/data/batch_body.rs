//! The body of a batch: operations on keys of one group, each the fields of a single call as JSON.
//!
//! All of it is checked before anything is begun. What is wrong is told with the operation's place.

use std::time::Duration;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::body;
use crate::api::data::json_fields::JsonFields;
use crate::api::data::scope::Scope;
use crate::api::data::{maps, parts, preconditions, registers, siblings};
use crate::api::problem::Problem;
use crate::model::change::Content;
use crate::model::hlc::WallTime;
use crate::model::ids::Key;
use crate::model::limits;
use crate::model::placement::{are_together, hashed_part};
use crate::model::request::{Operation, Precondition, WriteRequest};

/// Writes that are made all or not at all: at most 1000 changes, 4 MiB, keys of one group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest<'a> {
    /// In the order in which they are made; each sees what those before it have done.
    #[serde(borrow)]
    #[schema(value_type = Vec<BatchOperationSchema>)]
    operations: Vec<&'a RawValue>,
}

/// One operation of a batch. `type` and `op` say which.
#[derive(Debug, ToSchema)]
#[schema(as = BatchOperation)]
#[expect(
    dead_code,
    reason = "describes the body, which is taken apart by `type` and `op`"
)]
pub(crate) struct BatchOperationSchema {
    /// `register`, `counter`, `set` or `map`.
    #[schema(example = "counter")]
    r#type: String,
    /// Of registers `put` or `delete`, of counters `add` or `delete`, of sets and maps `update`.
    #[schema(example = "add")]
    op: String,
    /// The key. All keys of a batch have the same `{tag}`.
    #[schema(example = "{user42}:visits")]
    key: String,
    /// Register, put: the value as text.
    value: Option<String>,
    /// Register, put: the value in base64, in place of `value`.
    value_base64: Option<String>,
    /// Register, put: `text/plain; charset=utf-8` if absent, with `value_base64` `application/octet-stream`.
    content_type: Option<String>,
    /// Register, put: hides it after so many seconds, at most ten years.
    ttl_seconds: Option<u64>,
    /// Register, put: the `context` of the siblings that it replaces.
    context: Option<String>,
    /// As the header `If-Match`, of a register, of a counter, or of the one member or field that the operation names.
    if_match: Option<String>,
    /// As the header `If-None-Match`, of the same.
    #[schema(example = "*")]
    if_none_match: Option<String>,
    /// Counter, add: how much. Set, update: members to add.
    #[schema(example = 1)]
    add: Option<serde_json::Value>,
    /// Map, update: fields and their values.
    set: Option<std::collections::BTreeMap<String, serde_json::Value>>,
    /// Set and map, update: members or fields to remove.
    remove: Option<Vec<String>>,
}

/// What says how the rest is to be read.
#[derive(Deserialize)]
struct Head {
    op: String,
    r#type: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterPut {
    #[serde(rename = "op")]
    _op: String,
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "key")]
    _key: String,
    value: Option<String>,
    value_base64: Option<String>,
    content_type: Option<String>,
    ttl_seconds: Option<u64>,
    context: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterDelete {
    #[serde(rename = "op")]
    _op: String,
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "key")]
    _key: String,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CounterAdd {
    #[serde(rename = "op")]
    _op: String,
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "key")]
    _key: String,
    add: i64,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CounterDelete {
    #[serde(rename = "op")]
    _op: String,
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "key")]
    _key: String,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetUpdate {
    #[serde(rename = "op")]
    _op: String,
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "key")]
    _key: String,
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapUpdate<'a> {
    #[serde(rename = "op")]
    _op: String,
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "key")]
    _key: String,
    #[serde(borrow, default)]
    set: JsonFields<'a>,
    #[serde(default)]
    remove: Vec<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

/// The writes of a batch, checked as far as they can be without looking at data.
///
/// # Errors
/// 400 that names the operation, and what would be right; 413 for values over their limit.
pub(crate) fn parse(scope: &Scope, body: &Bytes, now: WallTime) -> Result<Vec<WriteRequest>, Problem> {
    let batch: BatchRequest<'_> = body::parse_object(body)?;
    if batch.operations.is_empty() {
        return Err(Problem::invalid(
            "in the body, operations is empty: a batch has at least one operation",
        ));
    }
    check_count(batch.operations.len(), "operations")?;
    let (mut writes, mut changes): (Vec<WriteRequest>, usize) = (Vec::new(), 0);
    for (position, text) in batch.operations.iter().enumerate() {
        let write = operation(scope, body, text, now).map_err(|problem| problem.of_operation(position))?;
        if let Some(first) = writes.first() {
            check_group(&first.key, &write.key).map_err(|problem| problem.of_operation(position))?;
        }
        changes += write.operation.changes_max();
        writes.push(write);
    }
    check_count(changes, "members, fields and other changes")?;
    Ok(writes)
}

fn check_count(count: usize, what: &str) -> Result<(), Problem> {
    // `>`: exactly the limit is allowed.
    if count > limits::OPERATIONS_PER_REQUEST_MAX {
        return Err(Problem::invalid(format!(
            "the batch has {count} {what}, more than the limit of {}: what must be atomic must be smaller",
            limits::OPERATIONS_PER_REQUEST_MAX
        )));
    }
    Ok(())
}

fn check_group(first: &Key, key: &Key) -> Result<(), Problem> {
    if are_together(first, key) {
        return Ok(());
    }
    let (group, first_group) = (hashed_part(key.as_str()), hashed_part(first.as_str()));
    Err(Problem::invalid(format!(
        "its key {:?} is in group {group:?}, that of operations[0] in group {first_group:?}: all keys of a batch must be in \
         one group; give them the same tag in braces, as in {{{first_group}}}:name",
        key.as_str()
    )))
}

fn operation(scope: &Scope, body: &Bytes, text: &RawValue, now: WallTime) -> Result<WriteRequest, Problem> {
    let head: Head = fields(text)?;
    let key = Key::new(&head.key).map_err(|error| Problem::invalid(error.to_string()))?;
    let (operation, if_match, if_none_match) = match (head.r#type.as_str(), head.op.as_str()) {
        ("register", "put") => {
            let mut put: RegisterPut = fields(text)?;
            let (if_match, if_none_match) = (put.if_match.take(), put.if_none_match.take());
            let context = put.context.as_deref().map(context).transpose()?;
            let content = content(put, now)?;
            let operation = Operation::PutRegister { content, context };
            (operation, if_match, if_none_match)
        }
        ("register", "delete") => {
            let delete: RegisterDelete = fields(text)?;
            (Operation::DeleteRegister, delete.if_match, delete.if_none_match)
        }
        ("counter", "add") => {
            let add: CounterAdd = fields(text)?;
            let operation = Operation::AddCounter { amount: add.add };
            (operation, add.if_match, add.if_none_match)
        }
        ("counter", "delete") => {
            let delete: CounterDelete = fields(text)?;
            (Operation::ResetCounter, delete.if_match, delete.if_none_match)
        }
        ("set", "update") => {
            let update: SetUpdate = fields(text)?;
            let operation = Operation::UpdateSet {
                add: parts::sub_keys("add", &update.add)?,
                remove: parts::sub_keys("remove", &update.remove)?,
            };
            (operation, update.if_match, update.if_none_match)
        }
        ("map", "update") => {
            let update: MapUpdate<'_> = fields(text)?;
            let operation = maps::operation_of(body, &update.set, &update.remove)?;
            (operation, update.if_match, update.if_none_match)
        }
        (kind, op) => return Err(unknown(kind, op)),
    };
    let precondition = preconditions::of_operation(if_match.as_deref(), if_none_match.as_deref())?;
    let request = scope.request(key, precondition, operation);
    if request.precondition != Precondition::None && request.row().is_none() {
        return Err(Problem::invalid(format!(
            "if_match and if_none_match are about one member or field of a {}, and it names {}: give each an operation of its own",
            head.r#type,
            request.operation.changes_max()
        )));
    }
    Ok(request)
}

fn unknown(kind: &str, op: &str) -> Problem {
    let known = match kind {
        "register" => "put or delete",
        "counter" => "add or delete",
        "set" | "map" => "update",
        _ => {
            return Problem::invalid(format!("type is {kind:?}: use register, counter, set or map"));
        }
    };
    Problem::invalid(format!("op is {op:?}: of a {kind} use {known}"))
}

fn fields<'a, T: Deserialize<'a>>(text: &'a RawValue) -> Result<T, Problem> {
    if text.get().starts_with('[') {
        return Err(Problem::invalid("it must be an object, not an array"));
    }
    serde_json::from_str(text.get()).map_err(|error| {
        // Its line and column count from the beginning of the operation, which nobody sees.
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        Problem::invalid(format!("it is not the JSON that is expected: {said}"))
    })
}

fn context(text: &str) -> Result<Vec<crate::model::vector::Dot>, Problem> {
    siblings::parse_context(text).ok_or_else(|| {
        Problem::invalid(
            "context is not a context: pass the \"context\" of the siblings as the answer 300 gave it",
        )
    })
}

fn content(put: RegisterPut, now: WallTime) -> Result<Content, Problem> {
    let (payload, default_type) = match (put.value, put.value_base64) {
        (Some(text), None) => (Bytes::from(text), "text/plain; charset=utf-8"),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(&text).map_err(|error| {
                Problem::invalid(format!("value_base64 is no base64 (RFC 4648): {error}"))
            })?;
            (Bytes::from(bytes), registers::CONTENT_TYPE_DEFAULT)
        }
        _ => {
            return Err(Problem::invalid(
                "give its value either as text (value) or in base64 (value_base64)",
            ));
        }
    };
    // `>`: exactly the limit is allowed.
    if payload.len() > limits::VALUE_BYTES_MAX {
        return Err(Problem::too_large("the value", limits::VALUE_BYTES_MAX));
    }
    let content_type = put.content_type.unwrap_or_else(|| default_type.to_owned());
    let is_header = HeaderValue::from_str(&content_type).is_ok() && content_type.is_ascii();
    if content_type.is_empty() || content_type.len() > limits::CONTENT_TYPE_BYTES_MAX || !is_header {
        return Err(Problem::invalid(format!(
            "content_type is no content type of 1 to {} bytes of visible ASCII",
            limits::CONTENT_TYPE_BYTES_MAX
        )));
    }
    let expires_at = match put.ttl_seconds {
        None => None,
        // `=`: a life of no time would be a delete.
        Some(seconds) if seconds == 0 || seconds > limits::TTL_SECONDS_MAX => {
            return Err(Problem::invalid(format!(
                "ttl_seconds is {seconds}: use 1 to {} (ten years), or leave it out to keep the register for ever",
                limits::TTL_SECONDS_MAX
            )));
        }
        Some(seconds) => Some(now.plus(Duration::from_secs(seconds))),
    };
    Ok(Content {
        content_type,
        payload,
        expires_at,
    })
}
