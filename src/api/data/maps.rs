//! Maps: fields with JSON values, set and removed one by one. Values are kept as the text that was sent.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::actors::region::FieldPage;
use crate::api::body::{self, RequestBody};
use crate::api::call::Call;
use crate::api::data::json_fields::JsonFields;
use crate::api::data::scope::Scope;
use crate::api::data::{errors, key_listing, parts, preconditions};
use crate::api::problem::Problem;
use crate::api::{Api, answer, path};
use crate::model::ids::SubKey;
use crate::model::limits;
use crate::model::record::RecordType;
use crate::model::request::{Operation, Precondition};

/// What a client can do whose precondition is about a map.
const TAGGED: &str = "a map has no entity tag, but each of its fields has; ask for one field at maps/{key}/{field}, or give \
    if_match or if_none_match to the operations of a batch that name one field each";

/// Operations on a map, at most 1000. A field that is both set and removed is in the map afterwards.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapUpdate<'a> {
    /// Fields and their values: any JSON, each at most 1 MiB.
    #[serde(borrow, default)]
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    set: JsonFields<'a>,
    /// Fields to remove.
    #[serde(default)]
    #[schema(example = json!(["g"]))]
    remove: Vec<String>,
}

/// What an update did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MapUpdated {
    /// Fields that were set.
    set: usize,
    /// Fields that were there before and were removed.
    removed: usize,
}

/// A page of a map.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the answer, which is put together from texts")]
pub(crate) struct Fields {
    /// Fields and their values, in byte order.
    fields: std::collections::BTreeMap<String, serde_json::Value>,
    /// What to pass as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Sets and removes fields of a map, all at once.
#[utoipa::path(
    post,
    path = "/v1/data/{namespace}/maps/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
    ),
    request_body = MapUpdate,
    responses((status = 200, description = "What was set and what went", content_type = "application/json", body = MapUpdated, headers(
        ("Atoll-Version" = String, description = "The version of the last change, if there was one"),
    ))),
)]
pub(crate) async fn update(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let scope = Scope::open(api, call, TAGGED)?;
    let key = path::key(call.names[1])?;
    call.query(&[])?;
    let body_bytes = body.admission_bytes("the body", limits::REQUEST_BODY_BYTES_MAX)?;
    let admission = api.region.admit(body_bytes).map_err(errors::problem)?;
    let bytes = body.read("the body", limits::REQUEST_BODY_BYTES_MAX).await?;
    let operation = parse_update(&bytes)?;
    let request = scope.request(key, Precondition::None, operation);
    let written = scope.write(api, call, &bytes, request, admission).await?;
    let (set, removed) = parts::counts(written.single())?;
    Ok(scope.finish_write(answer::json(&MapUpdated { set, removed }), &written))
}

/// Reads the fields of a map, in byte order: none if it was never touched.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/maps/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        parts::PageQuery,
    ),
    responses((status = 200, description = "A page of fields; it ends early where values are large", content_type = "application/json", body = Fields)),
)]
pub(crate) async fn fields(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::open(api, call, TAGGED)?;
    let key = path::key(call.names[1])?;
    let page = call.query(&["after", "limit"])?.page()?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let namespace = scope.namespace.clone();
    let page = api
        .scan(admission, move |region| region.fields(&namespace, &key, &page))
        .await
        .map_err(errors::problem)?;
    Ok(scope.finish(json_text(page_text(&page)), None))
}

/// Reads a field of a map.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/maps/{key}/{field}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "The map's key, percent-encoded"),
        ("field" = String, Path, description = "The field, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Answer only if it has one of these entity tags; else 412"),
        ("If-None-Match" = Option<String>, Header, description = "Answer only if it has none of these entity tags; else 304"),
    ),
    responses(
        (status = 200, description = "Its value, as it was sent", content_type = "application/json", body = serde_json::Value, headers(
            ("ETag" = String, description = "Its entity tag"),
            ("Atoll-Version" = String, description = "Its version, opaque, sortable as text"),
        )),
        (status = 304, description = "It has one of the tags of `If-None-Match`", headers(
            ("ETag" = String, description = "Its entity tag"),
            ("Atoll-Version" = String, description = "Its version"),
        )),
    ),
)]
pub(crate) fn get_field(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    let field = path::sub_key("field", call.names[2])?;
    call.query(&[])?;
    let conditions = preconditions::of_read(call.headers)?;
    let _admission = api.region.admit(0).map_err(errors::problem)?;
    let row = api
        .region
        .field(&scope.namespace, &key, &field)
        .map_err(errors::problem)?
        .unwrap_or_default();
    let (Some(shown), Some(tag)) = (row.shown(), row.entity_tag()) else {
        return Err(Problem::not_found(format!(
            "the map {:?} in namespace {} has no field {:?}",
            key.as_str(),
            scope.namespace,
            field.as_str()
        )));
    };
    let response = conditions.answer(Some(&tag), || Ok(json_text(shown.value.clone())))?;
    Ok(scope.finish(response, Some(shown.version())))
}

/// Sets a field of a map to a JSON value.
#[utoipa::path(
    put,
    path = "/v1/data/{namespace}/maps/{key}/{field}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "The map's key, percent-encoded"),
        ("field" = String, Path, description = "The field, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Set only if it has one of these entity tags, or with `*` if it is in the map"),
        ("If-None-Match" = Option<String>, Header, description = "Set only if it has none of these entity tags, or with `*` if it is not in the map"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "Any JSON, at most 1 MiB"),
    responses((status = 204, description = "Set", headers(
        ("ETag" = String, description = "Its entity tag"),
        ("Atoll-Version" = String, description = "The version of the change"),
    ))),
)]
pub(crate) async fn put_field(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    let field = path::sub_key("field", call.names[2])?;
    call.query(&[])?;
    let precondition = preconditions::of_write(call.headers)?;
    let body_bytes = body.admission_bytes("the value", limits::VALUE_BYTES_MAX)?;
    let admission = api.region.admit(body_bytes).map_err(errors::problem)?;
    let bytes = body.read("the value", limits::VALUE_BYTES_MAX).await?;
    let value: &RawValue = body::parse_json(&bytes)?;
    let operation = Operation::UpdateMap {
        set: vec![(field, bytes.slice_ref(value.get().as_bytes()))],
        remove: Vec::new(),
    };
    let request = scope.request(key, precondition, operation);
    let written = scope.write(api, call, &bytes, request, admission).await?;
    Ok(scope.finish_tagged(answer::no_content(), &written))
}

/// Removes a field from a map, also if it is not there.
#[utoipa::path(
    delete,
    path = "/v1/data/{namespace}/maps/{key}/{field}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "The map's key, percent-encoded"),
        ("field" = String, Path, description = "The field, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Remove only if it has one of these entity tags, or with `*` if it is in the map"),
        ("If-None-Match" = Option<String>, Header, description = "Remove only if it has none of these entity tags"),
    ),
    responses((status = 204, description = "It is not in the map", headers(
        ("Atoll-Version" = String, description = "The version of the change, if there was one"),
    ))),
)]
pub(crate) async fn delete_field(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    let field = path::sub_key("field", call.names[2])?;
    call.query(&[])?;
    let precondition = preconditions::of_write(call.headers)?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let operation = Operation::UpdateMap {
        set: Vec::new(),
        remove: vec![field],
    };
    let request = scope.request(key, precondition, operation);
    let written = scope.write(api, call, &[], request, admission).await?;
    Ok(scope.finish_tagged(answer::no_content(), &written))
}

/// Lists maps by key, in byte order.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/maps",
    tag = "data",
    params(("namespace" = String, Path, description = "The namespace"), key_listing::KeyListingQuery),
    responses((status = 200, description = "A page of keys", content_type = "application/json", body = key_listing::RecordKeys)),
)]
pub(crate) async fn list(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    key_listing::list(api, call, RecordType::Map).await
}

/// What the body of an update asks for.
///
/// # Errors
/// 400 for what is not valid, 413 for values over the limit.
pub(crate) fn parse_update(bytes: &Bytes) -> Result<Operation, Problem> {
    let update: MapUpdate<'_> = body::parse_object(bytes)?;
    parts::check_count(update.set.fields().len() + update.remove.len())?;
    operation_of(bytes, &update.set, &update.remove)
}

/// The operation that sets and removes fields, of a body that holds their values.
///
/// # Errors
/// 400 for names of fields that are not valid, 413 for values over their limit.
pub(crate) fn operation_of(
    bytes: &Bytes,
    set: &JsonFields<'_>,
    remove: &[String],
) -> Result<Operation, Problem> {
    let fields = set.fields();
    let mut set = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let field =
            SubKey::new(name).map_err(|error| Problem::invalid(format!("in the body, set: {error}")))?;
        let text = value.get().as_bytes();
        // `>`: exactly the limit is allowed.
        if text.len() > limits::VALUE_BYTES_MAX {
            return Err(Problem::too_large(
                &format!("the value of field {name:?}"),
                limits::VALUE_BYTES_MAX,
            ));
        }
        set.push((field, bytes.slice_ref(text)));
    }
    let remove = parts::sub_keys("remove", remove)?;
    Ok(Operation::UpdateMap { set, remove })
}

/// The page as JSON, with the values as they were sent.
fn page_text(page: &FieldPage) -> Vec<u8> {
    let size: usize = page
        .fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum();
    let mut text = Vec::with_capacity(size + 64);
    text.extend_from_slice(b"{\"fields\":{");
    for (position, (name, value)) in page.fields.iter().enumerate() {
        if position > 0 {
            text.push(b',');
        }
        write_json(&mut text, name);
        text.push(b':');
        text.extend_from_slice(value);
    }
    text.extend_from_slice(b"},\"next\":");
    write_json(&mut text, &page.next);
    text.push(b'}');
    text
}

fn write_json<T: Serialize>(text: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(text, value).expect("texts always serialise into memory");
}

fn json_text(text: impl Into<Body>) -> Response<Body> {
    answer::raw(StatusCode::OK, HeaderValue::from_static("application/json"), text)
}
