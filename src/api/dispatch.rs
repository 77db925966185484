//! The way of a request: find the route, run its handler, turn errors and panics into problems, finish the body, tell
//! the observer. No handler runs outside of it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;

use crate::api::body::RequestBody;
use crate::api::call::Call;
use crate::api::forwarded::PassedInside;
use crate::api::headers::ATOLL_REGION;
use crate::api::problem::{Code, Problem};
use crate::api::routes::{self, Found, Route, Verb};
use crate::api::{Api, ObservedRequest, answer, cluster, data, health, priority};

/// Answers any request.
pub(crate) async fn dispatch(State(api): State<Arc<Api>>, request: Request) -> Response<Body> {
    let started = Instant::now();
    let (parts, stream) = request.into_parts();
    let mut body = RequestBody::new(stream, &parts.headers, api.settings.body_timeout);
    let found = routes::find(parts.uri.path());
    let verb = Verb::of(&parts.method);
    // A panic in a handler leaves nothing behind here: what handlers share is behind the region's own guards.
    let answering = AssertUnwindSafe(run(&api, &parts, found, verb, &mut body)).catch_unwind();
    let mut response = match answering.await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(panic) => {
            tracing::error!(
                path = parts.uri.path(),
                panic = panic_text(&*panic),
                "a request handler panicked"
            );
            Problem::internal().into_response()
        }
    };
    body.discard().await;
    if verb == Some(Verb::Head) {
        response = without_body(response);
    }
    // An answer of another region says so.
    response
        .headers_mut()
        .entry(&ATOLL_REGION)
        .or_insert_with(|| api.region_header.clone());
    api.settings.observer.observed(&ObservedRequest {
        route: found.map_or("unmatched", |found| found.route.template()),
        method: verb.map_or("OTHER", Verb::name),
        status: response.status(),
        duration: started.elapsed(),
    });
    response
}

async fn run(
    api: &Arc<Api>,
    parts: &Parts,
    found: Option<Found<'_>>,
    verb: Option<Verb>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let Some(Found { route, names }) = found else {
        return Err(Problem::not_found(format!(
            "there is nothing at {:?}: /openapi.json lists what there is; write '/' in a key as '%2F'",
            parts.uri.path()
        )));
    };
    let Some(verb) = verb.filter(|verb| route.verbs().contains(verb)) else {
        return Err(method_not_allowed(parts, route));
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let inside: Option<&PassedInside> = parts.extensions.get();
    let call = Call {
        method: &parts.method,
        verb,
        target,
        path: parts.uri.path(),
        passed_on: parts.extensions.get().copied(),
        is_from_node: inside.is_some(),
        part: inside.and_then(|inside| inside.part),
        is_at_home: false,
        headers: &parts.headers,
        query: parts.uri.query(),
        names,
    };
    match route {
        Route::Namespaces
        | Route::Namespace
        | Route::Batch
        | Route::Keys(_)
        | Route::Record(_)
        | Route::Member
        | Route::Field => {
            priority::check(api, &parts.headers)?;
            data::handle(api, route, verb, &call, body).await
        }
        Route::Status
        | Route::Digest
        | Route::Configuration
        | Route::ReloadConfiguration
        | Route::Nodes
        | Route::AddNode
        | Route::DrainNode
        | Route::RemoveNode
        | Route::PauseLink
        | Route::ResumeLink
        | Route::Conflicts => cluster::handle(api, route, &call).await,
        Route::Live | Route::Ready | Route::RegionHealth | Route::Metrics => {
            Ok(health::handle(api, route, &call))
        }
        Route::OpenApi => Ok(openapi(api)),
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "health",
    responses((status = 200, description = "The OpenAPI document", content_type = "application/json", body = serde_json::Value))
)]
fn openapi(api: &Api) -> Response<Body> {
    answer::raw(
        StatusCode::OK,
        HeaderValue::from_static("application/json"),
        api.document.clone(),
    )
}

fn method_not_allowed(parts: &Parts, route: Route) -> Problem {
    let allow = route.allow();
    let detail = format!(
        "{} does not apply to {}: use one of those in Allow",
        parts.method,
        route.template()
    );
    Problem::new(Code::MethodNotAllowed, detail).with_header(header::ALLOW, allow)
}

/// The answer to HEAD: all headers of the answer to GET, its length among them.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let has_length = parts.status != StatusCode::NO_CONTENT && parts.status != StatusCode::NOT_MODIFIED;
    if let Some(length) = body.size_hint().exact().filter(|_| has_length) {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
