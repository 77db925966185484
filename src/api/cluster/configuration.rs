//! The configuration that this node runs with, and reading it again while it serves.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::region::ConfigurationView;
use crate::api::call::Call;
use crate::api::cluster::{errors, time_text};
use crate::api::problem::Problem;
use crate::api::{Api, answer};

/// The configuration of a node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Configuration {
    /// Names what is in the file that is in force: equal on nodes that run with the same.
    version: String,
    /// Since when (RFC 3339).
    since: String,
    /// The version that is being put into force; null when none is.
    next: Option<String>,
    /// Why what was read last is not in force; null when it is.
    error: Option<String>,
}

impl From<ConfigurationView> for Configuration {
    fn from(view: ConfigurationView) -> Self {
        Self {
            version: view.version,
            since: time_text(view.since),
            next: view.next,
            error: view.error,
        }
    }
}

/// Tells which configuration this node runs with.
#[utoipa::path(
    get,
    path = "/v1/cluster/config",
    tag = "cluster",
    responses((status = 200, description = "The configuration", content_type = "application/json", body = Configuration)),
)]
pub(crate) fn get(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.query(&[])?;
    Ok(answer::json(&Configuration::from(api.region.configuration())))
}

/// Reads regions.toml again. What it says is checked at once, and put into force within seconds; requests wait meanwhile.
#[utoipa::path(
    post,
    path = "/v1/cluster/config/reload",
    tag = "cluster",
    responses(
        (status = 202, description = "It is put into force, where it is different", content_type = "application/json", body = Configuration),
    ),
)]
pub(crate) fn reload(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.query(&[])?;
    let view = api.region.reload_configuration().map_err(errors::problem)?;
    let mut response = answer::json(&Configuration::from(view));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
