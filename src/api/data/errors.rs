//! Errors of data requests as HTTP: the one place that maps them.

use std::time::Duration;

use axum::http::{HeaderValue, header};
use serde_json::Value;

use crate::actors::region::RegionError;
use crate::api::data::preconditions;
use crate::api::headers::ATOLL_HOME_MOVED;
use crate::api::problem::{Code, Problem};
use crate::model::request::WriteRefusal;

/// What a client is told of a region's error.
pub(crate) fn problem(error: RegionError) -> Problem {
    match error {
        RegionError::Refused(refusal) => refused(&refusal),
        RegionError::Invalid(detail) => Problem::invalid(detail),
        RegionError::NotFound(detail) => Problem::not_found(detail),
        RegionError::Conflict(detail) => Problem::new(Code::Conflict, detail),
        RegionError::Overloaded(detail) => Problem::new(Code::Overloaded, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
        RegionError::Unavailable {
            reason,
            outcome_unknown,
        } => {
            let committed = if outcome_unknown {
                Value::from("unknown")
            } else {
                Value::from(false)
            };
            // Disks are looked at, and stores reopened, once a second.
            Problem::unavailable(reason)
                .with("committed_locally", committed)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        }
        RegionError::NotLeader { .. } => Problem::unavailable(error.to_string())
            .with("committed_locally", Value::from(false))
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
        RegionError::NotHome(detail) => Problem::unavailable(detail)
            .with("committed_locally", Value::from(false))
            .with_header(ATOLL_HOME_MOVED.clone(), HeaderValue::from_static("true")),
        RegionError::Internal(detail) => {
            tracing::error!(detail, "a data request failed");
            Problem::internal()
        }
    }
}

/// What a client is told of a write that the record does not allow.
pub(crate) fn refused(refusal: &WriteRefusal) -> Problem {
    match refusal {
        WriteRefusal::PreconditionFailed { current } => {
            precondition_failed(current.as_deref(), refusal.to_string())
        }
        WriteRefusal::CounterOverflow(_) | WriteRefusal::TooManySiblings { .. } => {
            Problem::new(Code::Conflict, refusal.to_string())
        }
    }
}

/// 412 with the current entity tag, if there is one.
fn precondition_failed(current: Option<&str>, detail: String) -> Problem {
    let quoted = current.map(preconditions::quoted);
    let header = quoted.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok());
    let problem = Problem::new(Code::PreconditionFailed, detail)
        .with("current_etag", quoted.map_or(Value::Null, Value::from));
    match header {
        Some(tag) => problem.with_header(header::ETAG, tag),
        None => problem,
    }
}

/// 504 for a write whose outcome was not known in time. It may still be made.
pub(crate) fn timed_out(waited: Duration) -> Problem {
    let detail = format!(
        "the outcome of the write was not known after {} ms: it may still be made; send it again if it has an Idempotency-Key or doing it twice is harmless, else read to find out",
        waited.as_millis()
    );
    Problem::new(Code::Timeout, detail)
        .with("committed_locally", "unknown".into())
        .with("version", Value::Null)
        .with("session", Value::Null)
}
