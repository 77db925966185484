//! The cluster as this node sees it, for operators: state, digest, links, the ledger of losers (`/v1/cluster`).

pub(crate) mod configuration;
pub(crate) mod conflicts;
pub(crate) mod digest;
mod errors;
pub(crate) mod links;
pub(crate) mod nodes;
pub(crate) mod status;

#[cfg(test)]
mod cluster_test;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::Response;

use crate::api::Api;
use crate::api::answer;
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::api::routes::Route;
use crate::model::hlc::WallTime;

/// Runs the handler of a route.
pub(crate) async fn handle(api: &Api, route: Route, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let response = match route {
        Route::Configuration => configuration::get(api, call)?,
        Route::ReloadConfiguration => configuration::reload(api, call)?,
        Route::Nodes => nodes::list(api, call)?,
        Route::AddNode => nodes::add(api, call).await?,
        Route::DrainNode => nodes::drain(api, call).await?,
        Route::RemoveNode => nodes::remove(api, call).await?,
        Route::PauseLink => links::pause(api, call).await?,
        Route::ResumeLink => links::resume(api, call).await?,
        Route::Conflicts => conflicts::get(api, call).await?,
        Route::Digest => digest::get(api, call).await?,
        _ => status::get(api, call)?,
    };
    Ok(answer::uncached(response))
}

/// The last second that RFC 3339 has a text for.
const RFC_3339_SECONDS_MAX: u64 = 253_402_300_799;

/// A time as RFC 3339 with milliseconds; what lies outside its years is shown as its first or last second.
fn time_text(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(RFC_3339_SECONDS_MAX);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

/// See [`time_text`].
fn wall_time_text(time: WallTime) -> String {
    let last = Duration::from_secs(RFC_3339_SECONDS_MAX);
    time_text(UNIX_EPOCH + Duration::from_micros(time.as_micros()).min(last))
}
