//! Answers that are not problems.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// 200 with JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Response<Body> {
    json_with_status(StatusCode::OK, value)
}

/// JSON under another status.
pub(crate) fn json_with_status<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("answers are plain data with text keys");
    raw(status, HeaderValue::from_static("application/json"), text)
}

/// 204.
pub(crate) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A body as it is.
pub(crate) fn raw(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Marks an answer that is true only now: state and health.
pub(crate) fn uncached(mut response: Response<Body>) -> Response<Body> {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
