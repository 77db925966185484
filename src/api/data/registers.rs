//! Registers: raw bytes under a key, with entity tags, preconditions and siblings.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::actors::region::RegionError;
use crate::api::body::RequestBody;
use crate::api::call::Call;
use crate::api::data::scope::Scope;
use crate::api::data::siblings::{self, Siblings};
use crate::api::data::{errors, key_listing, preconditions};
use crate::api::headers::{self, ATOLL_CONTEXT};
use crate::api::problem::Problem;
use crate::api::{Api, answer, path};
use crate::model::change::Content;
use crate::model::hlc::WallTime;
use crate::model::limits;
use crate::model::record::RecordType;
use crate::model::request::Operation;
use crate::model::rows::RegisterRow;

/// What a register without `Content-Type` is.
pub(crate) const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// Writes a register: the body as it is, with its `Content-Type`.
///
/// Replaces all versions that the region has seen, or with `Atoll-Context` exactly those that the client has read; of the
/// others, those under `lww` go to the ledger.
#[utoipa::path(
    put,
    path = "/v1/data/{namespace}/registers/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        ("ttl_seconds" = Option<u64>, Query, description = "Hides it after so many seconds, at most ten years", minimum = 1, maximum = 315_360_000),
        ("Content-Type" = Option<String>, Header, description = "Kept; at most 256 bytes; `application/octet-stream` if absent"),
        ("If-Match" = Option<String>, Header, description = "Write only if it has one of these entity tags, or with `*` if it exists"),
        ("If-None-Match" = Option<String>, Header, description = "Write only if it has none of these entity tags, or with `*` if it does not exist"),
        ("Atoll-Context" = Option<String>, Header, description = "The `context` of the siblings that this replaces"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The value, at most 1 MiB, of any content type"),
    responses((status = 204, description = "Written", headers(
        ("ETag" = String, description = "Its entity tag, unless siblings may remain"),
        ("Atoll-Version" = String, description = "The version that was written, opaque, sortable as text"),
    ))),
)]
pub(crate) async fn put(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_register(api, call)?;
    let key = path::key(call.names[1])?;
    let ttl = time_to_live(call)?;
    let precondition = preconditions::of_write(call.headers)?;
    let context = context(call.headers)?;
    let content_type = content_type(call.headers)?;
    let body_bytes = body.admission_bytes("the value", limits::VALUE_BYTES_MAX)?;
    let admission = api.region.admit(body_bytes).map_err(errors::problem)?;
    let payload = body.read("the value", limits::VALUE_BYTES_MAX).await?;
    let content = Content {
        content_type,
        payload: payload.clone(),
        expires_at: ttl.map(|ttl| api.settings.clock.now().plus(ttl)),
    };
    // Where exactly some versions are replaced others may remain, and the tag would be of all of them.
    let is_alone = context.is_none();
    let operation = Operation::PutRegister { content, context };
    let request = scope.request(key, precondition, operation);
    let written = scope.write(api, call, &payload, request, admission).await?;
    let mut response = scope.finish_write(answer::no_content(), &written);
    if let Some(version) = written.single().version.filter(|_| is_alone) {
        let tag = preconditions::entity_tag(&version.to_string());
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Reads a register.
///
/// Where concurrent writes left several versions (policy `siblings`) all are shown, with a context to write back with.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/registers/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Answer only if it has one of these entity tags; else 412"),
        ("If-None-Match" = Option<String>, Header, description = "Answer only if it has none of these entity tags; else 304"),
    ),
    responses(
        (status = 200, description = "The value", content_type = "application/octet-stream", body = Vec<u8>, headers(
            ("Content-Type" = String, description = "As it was written"),
            ("ETag" = String, description = "Its entity tag"),
            ("Atoll-Version" = String, description = "Its version, opaque, sortable as text"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
        )),
        (status = 300, description = "Several versions are in conflict", content_type = "application/json", body = Siblings, headers(
            ("ETag" = String, description = "The entity tag of all of them"),
            ("Atoll-Version" = String, description = "The highest version"),
        )),
        (status = 304, description = "It has one of the tags of `If-None-Match`", headers(
            ("ETag" = String, description = "Its entity tag"),
            ("Atoll-Version" = String, description = "Its version"),
        )),
    ),
)]
pub(crate) fn get(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_register(api, call)?;
    let key = path::key(call.names[1])?;
    call.query(&[])?;
    let conditions = preconditions::of_read(call.headers)?;
    let _admission = api.region.admit(0).map_err(errors::problem)?;
    let row = api
        .region
        .register(&scope.namespace, &key)
        .map_err(errors::problem)?;
    let now = api.settings.clock.now();
    let shown = row
        .as_ref()
        .and_then(|row| row.entity_tag(now).map(|tag| (row, tag)));
    let Some((row, tag)) = shown else {
        return Err(Problem::not_found(format!(
            "there is no register {:?} in namespace {}",
            key.as_str(),
            scope.namespace
        )));
    };
    let response = conditions.answer(Some(&tag), || show(row, now))?;
    let version = row.visible(now).next().map(|(version, _)| version.version());
    Ok(scope.finish(response, version))
}

/// Reads a register's headers: those of GET, without the body.
#[utoipa::path(
    head,
    path = "/v1/data/{namespace}/registers/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Answer only if it has one of these entity tags; else 412"),
        ("If-None-Match" = Option<String>, Header, description = "Answer only if it has none of these entity tags; else 304"),
    ),
    responses(
        (status = 200, description = "It exists", headers(
            ("Content-Type" = String, description = "As it was written"),
            ("Content-Length" = u64, description = "The length of the value"),
            ("ETag" = String, description = "Its entity tag"),
            ("Atoll-Version" = String, description = "Its version"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
        )),
        (status = 300, description = "Several versions are in conflict", headers(
            ("ETag" = String, description = "The entity tag of all of them"),
            ("Atoll-Version" = String, description = "The highest version"),
        )),
        (status = 304, description = "It has one of the tags of `If-None-Match`", headers(
            ("ETag" = String, description = "Its entity tag"),
            ("Atoll-Version" = String, description = "Its version"),
        )),
    ),
)]
#[expect(dead_code, reason = "HEAD is GET without the body; this documents it")]
fn head() {}

/// Deletes a register, also if it is absent.
#[utoipa::path(
    delete,
    path = "/v1/data/{namespace}/registers/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Delete only if it has one of these entity tags, or with `*` if it exists"),
        ("If-None-Match" = Option<String>, Header, description = "Delete only if it has none of these entity tags"),
    ),
    responses((status = 204, description = "Deleted, or was absent", headers(
        ("Atoll-Version" = String, description = "The version of the delete"),
    ))),
)]
pub(crate) async fn delete(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_register(api, call)?;
    let key = path::key(call.names[1])?;
    call.query(&[])?;
    if call.headers.contains_key(&ATOLL_CONTEXT) {
        return Err(Problem::invalid(
            "the header Atoll-Context applies to PUT only: delete with If-Match and the entity tag of the siblings instead",
        ));
    }
    let precondition = preconditions::of_write(call.headers)?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let request = scope.request(key, precondition, Operation::DeleteRegister);
    let written = scope.write(api, call, &[], request, admission).await?;
    Ok(scope.finish_write(answer::no_content(), &written))
}

/// Lists registers by key, in byte order.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/registers",
    tag = "data",
    params(("namespace" = String, Path, description = "The namespace"), key_listing::KeyListingQuery),
    responses((status = 200, description = "A page of keys", content_type = "application/json", body = key_listing::RegisterKeys)),
)]
pub(crate) async fn list(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    key_listing::list(api, call, RecordType::Register).await
}

fn time_to_live(call: &Call<'_>) -> Result<Option<Duration>, Problem> {
    let query = call.query(&["ttl_seconds"])?;
    let seconds = query.number("ttl_seconds")?;
    if seconds.is_some_and(|seconds| seconds > limits::TTL_SECONDS_MAX) {
        return Err(Problem::invalid(format!(
            "the query parameter \"ttl_seconds\" is larger than {} (ten years): leave it out to keep the register for ever",
            limits::TTL_SECONDS_MAX
        )));
    }
    Ok(seconds.map(Duration::from_secs))
}

fn context(headers: &HeaderMap) -> Result<Option<Vec<crate::model::vector::Dot>>, Problem> {
    let Some(value) = headers.get(&ATOLL_CONTEXT) else {
        return Ok(None);
    };
    let text = headers::text(&ATOLL_CONTEXT, value)?;
    let dots = siblings::parse_context(text).ok_or_else(|| {
        Problem::invalid(
            "the header Atoll-Context is not a context: pass the \"context\" of the siblings as the answer 300 gave it",
        )
    })?;
    Ok(Some(dots))
}

/// The content type to keep. What says that the body is not the value itself is refused: it would not be kept.
fn content_type(headers: &HeaderMap) -> Result<String, Problem> {
    for name in [header::CONTENT_ENCODING, header::CONTENT_RANGE] {
        let value = headers.get(&name).map_or(&b"identity"[..], HeaderValue::as_bytes);
        if !value.eq_ignore_ascii_case(b"identity") {
            return Err(Problem::invalid(format!(
                "the header {} is not supported: registers are written whole and kept as sent; leave the header out",
                headers::shown_name(&name)
            )));
        }
    }
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .filter(|value| !value.is_empty())
    else {
        return Ok(CONTENT_TYPE_DEFAULT.to_owned());
    };
    if value.len() > limits::CONTENT_TYPE_BYTES_MAX {
        return Err(Problem::invalid(format!(
            "the header Content-Type is {} bytes long: at most {} are kept",
            value.len(),
            limits::CONTENT_TYPE_BYTES_MAX
        )));
    }
    Ok(headers::text(&header::CONTENT_TYPE, value)?.to_owned())
}

/// The value, or all siblings.
fn show(row: &RegisterRow, now: WallTime) -> Result<Response<Body>, Problem> {
    let visible: Vec<_> = row.visible(now).collect();
    let Some((_, content)) = visible.first() else {
        // The entity tag was made of the same versions at the same time.
        return Err(errors::problem(RegionError::Internal(
            "a register has a tag and nothing to show".to_owned(),
        )));
    };
    if visible.len() > 1 {
        let siblings = Siblings::of(row, &visible);
        return Ok(answer::json_with_status(StatusCode::MULTIPLE_CHOICES, &siblings));
    }
    // What other regions accepted as a content type may be more than this node's HTTP library sends.
    let content_type = HeaderValue::from_str(&content.content_type)
        .unwrap_or(HeaderValue::from_static(CONTENT_TYPE_DEFAULT));
    let mut response = answer::raw(StatusCode::OK, content_type, content.payload.clone());
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}
