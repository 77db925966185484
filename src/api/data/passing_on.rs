//! Passing a request on to another region, and its answer back.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;

use crate::actors::link::requests::{ForwardedAnswer, RequestError};
use crate::api::Api;
use crate::api::body::RequestBody;
use crate::api::call::Call;
use crate::api::headers::ATOLL_TIMEOUT_MS;
use crate::api::problem::{Code, Problem};
use crate::model::ids::RegionId;
use crate::model::limits;
use crate::wire::messages::ForwardedRequest;

/// Headers that are about one connection, or that the copy has by itself.
static NOT_PASSED_ON: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// What the way there and back may take of the client's patience.
const WAY_MS: u64 = 5;

/// How a request is passed on.
pub(crate) struct Way<'a> {
    /// To which region.
    pub(crate) region: RegionId,
    /// What that region is, for errors.
    pub(crate) why: &'a str,
    /// What to do when it cannot be reached, for errors.
    pub(crate) way_out: &'a str,
    /// How long the client waits.
    pub(crate) patience: Duration,
    /// Whether it may change something.
    pub(crate) is_write: bool,
}

/// Passes a request on.
///
/// # Errors
/// 503 where the region cannot be reached, 504 where it does not answer in time.
pub(crate) async fn pass_on(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
    way: &Way<'_>,
) -> Result<Response<Body>, Problem> {
    // It may have to be sent again, or be answered here after all.
    let region = api.region.as_ref();
    let bytes = body
        .peek(region, "the body", limits::BATCH_BODY_BYTES_MAX)
        .await?;
    send(api, call, bytes, way).await
}

/// Passes on a request whose body was read.
///
/// # Errors
/// As [`pass_on`].
pub(crate) async fn send(
    api: &Api,
    call: &Call<'_>,
    body: Bytes,
    way: &Way<'_>,
) -> Result<Response<Body>, Problem> {
    let Way {
        region,
        why,
        way_out,
        patience,
        is_write,
    } = *way;
    let request = request_of(call, body, patience);
    match api.region.forward(region, request, patience).await {
        None => Err(Problem::unavailable(format!(
            "{region}, {why}, cannot be reached from here: nothing was done; {way_out}"
        ))
        .with("committed_locally", false.into())),
        Some(Ok(answer)) => response_of(answer)
            .ok_or_else(|| Problem::unavailable(format!("{region}, {why}, gave an answer that is none"))),
        Some(Err(error)) => Err(not_answered(region, why, &error, is_write)),
    }
}

/// The request as another region or node gets it.
pub(crate) fn request_of(call: &Call<'_>, body: Bytes, patience: Duration) -> ForwardedRequest {
    let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let patience_there = patience_ms.saturating_sub(WAY_MS).max(1);
    ForwardedRequest {
        method: call.method.as_str().to_owned(),
        target: call.target.to_owned(),
        headers: headers_of(call.headers, patience_there),
        body,
        patience_ms: patience_there,
    }
}

fn not_answered(region: RegionId, why: &str, error: &RequestError, is_write: bool) -> Problem {
    let code = match error {
        RequestError::TimedOut(_) => Code::Timeout,
        _ => Code::Unavailable,
    };
    let (outcome, committed) = if is_write {
        (
            "the write may have been made there; read to find out",
            "unknown".into(),
        )
    } else {
        ("try again, or ask another region", false.into())
    };
    Problem::new(
        code,
        format!("{region}, {why}, has not answered ({error}): {outcome}"),
    )
    .with("committed_locally", committed)
    .with("version", serde_json::Value::Null)
    .with("session", serde_json::Value::Null)
}

fn headers_of(headers: &HeaderMap, patience_ms: u64) -> Vec<(String, Bytes)> {
    let kept = headers
        .iter()
        .filter(|(name, _)| !NOT_PASSED_ON.contains(name) && **name != ATOLL_TIMEOUT_MS);
    let copied =
        kept.map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    let timeout = (
        ATOLL_TIMEOUT_MS.as_str().to_owned(),
        Bytes::from(patience_ms.to_string()),
    );
    copied.chain([timeout]).collect()
}

/// The answer as the client gets it; none where it is none.
pub(crate) fn response_of(answer: ForwardedAnswer) -> Option<Response<Body>> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).ok()?;
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        if !NOT_PASSED_ON.contains(&name) {
            response
                .headers_mut()
                .append(name, HeaderValue::from_bytes(&value).ok()?);
        }
    }
    Some(response)
}
