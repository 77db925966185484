//! Counters: numbers that all regions add to, none of whose additions is lost.

use axum::body::Body;
use axum::http::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::actors::region::RegionError;
use crate::api::body::{self, RequestBody};
use crate::api::call::Call;
use crate::api::data::scope::Scope;
use crate::api::data::{errors, key_listing, preconditions};
use crate::api::problem::Problem;
use crate::api::{Api, answer, path};
use crate::model::limits;
use crate::model::record::RecordType;
use crate::model::request::{Operation, WriteEffect};
use crate::model::rows::CounterRow;

/// An addition.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CounterAddition {
    /// How much; negative subtracts.
    #[schema(example = -3)]
    add: i64,
}

/// A counter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CounterValue {
    /// The value in this region.
    #[schema(schema_with = value_schema)]
    value: i128,
}

fn value_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The value in this region; it may have more than 64 bits"))
        .build()
}

/// Adds to a counter, and answers its value after that.
#[utoipa::path(
    post,
    path = "/v1/data/{namespace}/counters/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Add only if it has one of these entity tags, or with `*` if it was ever touched"),
        ("If-None-Match" = Option<String>, Header, description = "Add only if it has none of these entity tags, or with `*` if it was never touched"),
    ),
    request_body = CounterAddition,
    responses((status = 200, description = "The value in this region", content_type = "application/json", body = CounterValue, headers(
        ("ETag" = String, description = "Its entity tag: another one after each change, also where the value comes back"),
        ("Atoll-Version" = String, description = "The version of the addition"),
    ))),
)]
pub(crate) async fn add(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    call.query(&[])?;
    let precondition = preconditions::of_write(call.headers)?;
    let body_bytes = body.admission_bytes("the body", limits::REQUEST_BODY_BYTES_MAX)?;
    let admission = api.region.admit(body_bytes).map_err(errors::problem)?;
    let bytes = body.read("the body", limits::REQUEST_BODY_BYTES_MAX).await?;
    let addition: CounterAddition = body::parse_object(&bytes)?;
    let operation = Operation::AddCounter { amount: addition.add };
    let request = scope.request(key, precondition, operation);
    let written = scope.write(api, call, &bytes, request, admission).await?;
    let WriteEffect::Counter { value } = written.single().effect else {
        return Err(errors::problem(RegionError::Internal(
            "a counter write was answered as something else".to_owned(),
        )));
    };
    Ok(scope.finish_tagged(answer::json(&CounterValue { value }), &written))
}

/// Reads a counter: 0 if it was never touched.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/counters/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Answer only if it has one of these entity tags; else 412"),
        ("If-None-Match" = Option<String>, Header, description = "Answer only if it has none of these entity tags; else 304"),
    ),
    responses(
        (status = 200, description = "The value in this region", content_type = "application/json", body = CounterValue, headers(
            ("ETag" = String, description = "Its entity tag: another one after each change, also where the value comes back; absent if it was never touched"),
        )),
        (status = 304, description = "It has one of the tags of `If-None-Match`", headers(
            ("ETag" = String, description = "Its entity tag"),
        )),
    ),
)]
pub(crate) fn get(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    call.query(&[])?;
    let conditions = preconditions::of_read(call.headers)?;
    let _admission = api.region.admit(0).map_err(errors::problem)?;
    let row = api
        .region
        .counter(&scope.namespace, &key)
        .map_err(errors::problem)?;
    let value = row.as_ref().map_or(0, CounterRow::value);
    let tag = row.as_ref().map(CounterRow::entity_tag);
    let show = || Ok(answer::json(&CounterValue { value }));
    let response = conditions.answer(tag.as_deref(), show)?;
    Ok(scope.finish(response, None))
}

/// Sets what this region has seen of a counter to 0. Additions that it has not seen stay.
#[utoipa::path(
    delete,
    path = "/v1/data/{namespace}/counters/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Reset only if it has one of these entity tags, or with `*` if it was ever touched"),
        ("If-None-Match" = Option<String>, Header, description = "Reset only if it has none of these entity tags, or with `*` if it was never touched"),
    ),
    responses((status = 204, description = "Reset", headers(
        ("ETag" = String, description = "Its entity tag: it stays a counter that was touched"),
        ("Atoll-Version" = String, description = "The version of the reset"),
    ))),
)]
pub(crate) async fn reset(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    call.query(&[])?;
    let precondition = preconditions::of_write(call.headers)?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let request = scope.request(key, precondition, Operation::ResetCounter);
    let written = scope.write(api, call, &[], request, admission).await?;
    Ok(scope.finish_tagged(answer::no_content(), &written))
}

/// Lists counters by key, in byte order.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/counters",
    tag = "data",
    params(("namespace" = String, Path, description = "The namespace"), key_listing::KeyListingQuery),
    responses((status = 200, description = "A page of keys", content_type = "application/json", body = key_listing::RecordKeys)),
)]
pub(crate) async fn list(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    key_listing::list(api, call, RecordType::Counter).await
}
