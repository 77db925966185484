//! Links to other regions, for maintenance and drills.

use axum::body::Body;
use axum::http::Response;

use crate::api::call::Call;
use crate::api::cluster::errors;
use crate::api::problem::Problem;
use crate::api::{Api, answer, path};

/// Stops sending to and taking from a region. Survives a restart. Nothing is lost: both sides keep what the other
/// needs.
#[utoipa::path(
    post,
    path = "/v1/cluster/links/{region}/pause",
    tag = "cluster",
    params(("region" = String, Path, description = "The other region")),
    responses((status = 204, description = "Paused, also if it was")),
)]
pub(crate) async fn pause(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let peer = path::region(call.names[0])?;
    call.query(&[])?;
    api.region.pause_link(&peer).await.map_err(errors::problem)?;
    Ok(answer::no_content())
}

/// Sends to and takes from a region again.
#[utoipa::path(
    post,
    path = "/v1/cluster/links/{region}/resume",
    tag = "cluster",
    params(("region" = String, Path, description = "The other region")),
    responses((status = 204, description = "Resumed, also if it was not paused")),
)]
pub(crate) async fn resume(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let peer = path::region(call.names[0])?;
    call.query(&[])?;
    api.region.resume_link(&peer).await.map_err(errors::problem)?;
    Ok(answer::no_content())
}
