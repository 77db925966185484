//! Errors of cluster requests as HTTP: the one place that maps them.

use axum::http::{HeaderValue, header};

use crate::actors::region::RegionError;
use crate::api::problem::{Code, Problem};

/// What an operator is told of a region's error.
pub(crate) fn problem(error: RegionError) -> Problem {
    match error {
        RegionError::Invalid(detail) => Problem::invalid(detail),
        RegionError::NotFound(detail) => Problem::not_found(detail),
        RegionError::Conflict(detail) => Problem::new(Code::Conflict, detail),
        RegionError::Refused(refusal) => Problem::new(Code::Conflict, refusal.to_string()),
        RegionError::Overloaded(detail) => Problem::new(Code::Overloaded, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
        RegionError::NotLeader { .. } | RegionError::NotHome(_) => Problem::unavailable(error.to_string()),
        RegionError::Unavailable { reason, .. } => Problem::unavailable(reason),
        RegionError::Internal(detail) => {
            tracing::error!(detail, "a cluster request failed");
            Problem::internal()
        }
    }
}
