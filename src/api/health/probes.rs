//! What load balancers, DNS answers and process supervisors probe. 503 is an answer here, not a problem.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{Api, answer};

/// Health, and why it is not full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy`, `degraded`, `unhealthy` or `recovering`; of the process: `live`.
    state: &'static str,
    /// Why not, or why only in part.
    reasons: Vec<String>,
}

/// Tells that the process answers.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "health",
    responses((status = 200, description = "The process lives", content_type = "application/json", body = Health)),
)]
pub(crate) fn live() -> Response<Body> {
    answer::json(&Health {
        state: "live",
        reasons: Vec::new(),
    })
}

/// Tells whether this node serves requests.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    responses(
        (status = 200, description = "It does", content_type = "application/json", body = Health),
        (status = 503, description = "It does not; the body says why", content_type = "application/json", body = Health),
    ),
)]
pub(crate) fn ready(api: &Api) -> Response<Body> {
    probe(api, |health| health.ready)
}

/// Tells whether this region should receive traffic.
#[utoipa::path(
    get,
    path = "/health/region",
    tag = "health",
    responses(
        (status = 200, description = "It should", content_type = "application/json", body = Health),
        (status = 503, description = "It should not; the body says why", content_type = "application/json", body = Health),
    ),
)]
pub(crate) fn region(api: &Api) -> Response<Body> {
    probe(api, |health| health.region_serves)
}

fn probe(api: &Api, passes: fn(&crate::actors::region::HealthView) -> bool) -> Response<Body> {
    let health = api.region.health();
    let status = if passes(&health) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Health {
        state: health.state.name(),
        reasons: health.reasons,
    };
    answer::json_with_status(status, &body)
}
