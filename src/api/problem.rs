//! Errors as clients see them: RFC 9457 problem details with a stable `code`.
//!
//! Must not carry what is internal: the detail of a fault of this node stays in its log.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::headers::IDEMPOTENT_REPLAYED;

/// The media type of problem details.
pub(crate) const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// The stable codes, each with its status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The request is wrong in itself.
    InvalidRequest,
    /// What is named does not exist.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The request contradicts what is stored.
    Conflict,
    /// The precondition does not hold.
    PreconditionFailed,
    /// The body or what it asks for is larger than the limit.
    TooLarge,
    /// This node failed.
    Internal,
    /// This node works on as much as it may.
    Overloaded,
    /// A guarantee cannot be met.
    Unavailable,
    /// The outcome was not known in time.
    Timeout,
}

impl Code {
    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        self.parts().1
    }

    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (
                "invalid_request",
                StatusCode::BAD_REQUEST,
                "The request is not valid",
            ),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The method does not apply here",
            ),
            Self::RequestTimeout => (
                "request_timeout",
                StatusCode::REQUEST_TIMEOUT,
                "The request took too long to arrive",
            ),
            Self::Conflict => (
                "conflict",
                StatusCode::CONFLICT,
                "The request contradicts what is stored",
            ),
            Self::PreconditionFailed => (
                "precondition_failed",
                StatusCode::PRECONDITION_FAILED,
                "The precondition does not hold",
            ),
            Self::TooLarge => (
                "too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "This node failed"),
            Self::Overloaded => (
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "This node works on as much as it may",
            ),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "A guarantee cannot be met",
            ),
            Self::Timeout => (
                "timeout",
                StatusCode::GATEWAY_TIMEOUT,
                "The outcome is not known yet",
            ),
        }
    }
}

/// An error answer. Small, since it is the error side of many results.
#[derive(Debug)]
pub(crate) struct Problem(Box<Content>);

#[derive(Debug)]
struct Content {
    code: Code,
    detail: String,
    fields: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem that says what happened, to what, and what to do.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Content {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            headers: Vec::new(),
        }))
    }

    /// 400.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// 404.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// 413, which names the limit.
    pub(crate) fn too_large(what: &str, bytes_max: usize) -> Self {
        Self::new(
            Code::TooLarge,
            format!("{what} is larger than the limit of {bytes_max} bytes"),
        )
        .with("limit_bytes", bytes_max.into())
    }

    /// 500. What happened is in the log; the client learns that it was not its fault.
    pub(crate) fn internal() -> Self {
        Self::new(
            Code::Internal,
            "this node failed to answer and its log says why; another node may be able to",
        )
    }

    /// 503 for a guarantee that cannot be given.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, detail)
    }

    /// Adds a field of its own.
    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.0.fields.push((name, value));
        self
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same, said to be of operation `position` of a batch.
    pub(crate) fn of_operation(mut self, position: usize) -> Self {
        self.0.detail = format!("operations[{position}]: {}", self.0.detail);
        self.with("operation", position.into())
    }

    /// The same, marked where it was decided when the request was first sent.
    pub(crate) fn replayed(self, is_repeat: bool) -> Self {
        if !is_repeat {
            return self;
        }
        self.with_header(IDEMPOTENT_REPLAYED.clone(), HeaderValue::from_static("true"))
    }

    /// What it says.
    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let Content {
            code,
            detail,
            fields,
            headers,
        } = *self.0;
        let (name, status, title) = code.parts();
        let mut members = Map::new();
        members.insert("type".to_owned(), format!("urn:atoll:problem:{name}").into());
        members.insert("title".to_owned(), title.into());
        members.insert("status".to_owned(), status.as_u16().into());
        members.insert("code".to_owned(), name.into());
        members.insert("detail".to_owned(), detail.into());
        for (field, value) in fields {
            members.insert(field.to_owned(), value);
        }
        let mut response = Response::new(Body::from(Value::Object(members).to_string()));
        *response.status_mut() = status;
        let answer = response.headers_mut();
        answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.extend(headers);
        response
    }
}

/// Problem details (RFC 9457). `code` is stable; `detail` is for people and may change.
#[derive(Debug, ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes the answer in the OpenAPI document")]
pub(crate) struct ProblemSchema {
    /// A name of the kind of problem: `urn:atoll:problem:` and the code.
    #[schema(example = "urn:atoll:problem:invalid_request")]
    r#type: String,
    /// The kind of problem in words.
    title: String,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// `invalid_request`, `not_found`, `method_not_allowed`, `request_timeout`, `conflict`, `precondition_failed`,
    /// `too_large`, `internal`, `overloaded`, `unavailable` or `timeout`.
    code: String,
    /// What happened, to what, and what to do.
    detail: String,
    /// With `precondition_failed`: the entity tag as the `ETag` header has it; null if it does not exist.
    current_etag: Option<String>,
    /// With a batch: which of its operations it is about, counting from 0.
    operation: Option<u64>,
    /// With `too_large`: the limit.
    limit_bytes: Option<u64>,
    /// With JSON that is not as expected: where, counting from 1.
    line: Option<u64>,
    /// See `line`.
    column: Option<u64>,
    /// With `timeout` and `unavailable` after a write: false, or "unknown" when the write may have been made.
    #[schema(value_type = Option<serde_json::Value>)]
    committed_locally: Option<Value>,
    /// With `timeout`: the version of the write, if it is known.
    version: Option<String>,
    /// With `timeout`: a session token that covers the write, if it is known.
    session: Option<String>,
}
