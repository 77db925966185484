//! Batches: several writes to keys of one group, all or none, which no reader of any region sees half of.

use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::body::RequestBody;
use crate::api::call::Call;
use crate::api::data::scope::{Scope, Written};
use crate::api::data::{batch_body, errors, gate, preconditions};
use crate::api::headers::Level;
use crate::api::problem::Problem;
use crate::api::{Api, answer};
use crate::model::idempotency::Decision;
use crate::model::limits;
use crate::model::request::{Operation, Precondition, WriteAnswer, WriteEffect, WriteRequest};

/// What a batch did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// What each operation did, in their order.
    results: Vec<OperationResult>,
}

/// What one operation of a batch did: what the single call answers, and its version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationResult {
    /// The version of its last change; null if there was nothing to change.
    version: Option<String>,
    /// Its entity tag with quotes: of a register that was put, unless siblings may remain; of a counter; of a member or
    /// field, if it is the only one of the operation and is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// Counter, add: the value right after it, in this region.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    value: Option<i128>,
    /// Set: members that were not there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<usize>,
    /// Map: fields that were set.
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<usize>,
    /// Set and map: members or fields that were there before and were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<usize>,
}

impl OperationResult {
    fn of(shape: Shape, answer: &WriteAnswer) -> Self {
        let version = answer.version.map(|version| version.to_string());
        let mut result = Self {
            etag: answer.tag.as_deref().map(preconditions::quoted),
            value: None,
            added: None,
            set: None,
            removed: None,
            version,
        };
        match (&answer.effect, shape) {
            (WriteEffect::Register, Shape::Tagged) => {
                result.etag = result.version.as_deref().map(preconditions::quoted);
            }
            (WriteEffect::Counter { value }, Shape::Value) => result.value = Some(*value),
            (WriteEffect::Parts { added, removed }, Shape::Members) => {
                (result.added, result.removed) = (Some(*added), Some(*removed));
            }
            (WriteEffect::Parts { added, removed }, _) => {
                (result.set, result.removed) = (Some(*added), Some(*removed));
            }
            (WriteEffect::Register | WriteEffect::Counter { .. }, _) => {}
        }
        result
    }
}

/// Which fields the result of an operation has.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Plain,
    Tagged,
    Value,
    Members,
    Fields,
}

impl Shape {
    fn of(write: &WriteRequest) -> Self {
        match &write.operation {
            // As of the single call: where exactly some versions are replaced others may remain.
            Operation::PutRegister { context, .. } => {
                if context.is_none() {
                    Self::Tagged
                } else {
                    Self::Plain
                }
            }
            Operation::DeleteRegister | Operation::ResetCounter => Self::Plain,
            Operation::AddCounter { .. } => Self::Value,
            Operation::UpdateSet { .. } => Self::Members,
            Operation::UpdateMap { .. } => Self::Fields,
        }
    }
}

/// Makes several writes, all or none.
///
/// All keys must be in one group: they have the same `{tag}`. In every region they become visible together. A
/// precondition that does not hold refuses the whole batch.
#[utoipa::path(
    post,
    path = "/v1/data/{namespace}/batch",
    tag = "data",
    params(("namespace" = String, Path, description = "The namespace")),
    request_body(content = batch_body::BatchRequest, content_type = "application/json", description = "The operations, at most 6 MiB of JSON"),
    responses((status = 200, description = "What each operation did", content_type = "application/json", body = BatchAnswer, headers(
        ("Atoll-Version" = String, description = "The version of the last change, if there was one"),
    ))),
)]
pub(crate) async fn post(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let right = "each operation has its own; give it if_match or if_none_match in the body";
    let scope = Scope::open(api, call, right)?;
    call.query(&[])?;
    let region = api.region.as_ref();
    let admission = body.admit(region, "the body", limits::BATCH_BODY_BYTES_MAX)?;
    let bytes = body.read("the body", limits::BATCH_BODY_BYTES_MAX).await?;
    let writes = batch_body::parse(&scope, &bytes, api.settings.clock.now())?;
    let is_conditional = writes
        .iter()
        .any(|write| write.precondition != Precondition::None);
    if is_conditional && scope.level == Level::GlobalQuorum {
        return Err(gate::no_precondition());
    }
    let shapes: Vec<Shape> = writes.iter().map(Shape::of).collect();
    let Decision { outcome, is_repeat } = scope.submit(api, call, &bytes, writes, admission).await?;
    let answers = outcome.map_err(|refused| {
        errors::refused(&refused.refusal)
            .of_operation(refused.position)
            .replayed(is_repeat)
    })?;
    let results = shapes.into_iter().zip(&answers);
    let results = results
        .map(|(shape, answer)| OperationResult::of(shape, answer))
        .collect();
    let written = Written { answers, is_repeat };
    Ok(scope.finish_write(answer::json(&BatchAnswer { results }), &written))
}
