//! Health for probes, and metrics. Answers always, also when all else is refused: no admission, no query looked at.

pub(crate) mod metrics;
pub(crate) mod probes;

#[cfg(test)]
mod health_test;

use axum::body::Body;
use axum::http::Response;

use crate::api::call::Call;
use crate::api::routes::Route;
use crate::api::{Api, answer};

/// Runs the handler of a route.
pub(crate) fn handle(api: &Api, route: Route, call: &Call<'_>) -> Response<Body> {
    answer::uncached(match route {
        Route::Ready => probes::ready(api),
        Route::RegionHealth => probes::region(api),
        Route::Metrics => metrics::get(api, call.headers),
        _ => probes::live(),
    })
}
