//! Data of namespaces: registers, counters, sets, maps, batches of them, and the namespaces themselves (`/v1/data`).
//!
//! Requests for records go through [`gate`], which meets what they ask for beyond a local read or write; their handlers
//! open a [`scope::Scope`]: the namespace, its policy, the time to wait.

mod asked;
pub(crate) mod batch;
pub(crate) mod batch_body;
mod batch_reach;
pub(crate) mod counters;
pub(super) mod errors;
mod gate;
mod json_fields;
mod key_listing;
pub(crate) mod maps;
pub(crate) mod namespaces;
mod parts;
mod passing_on;
mod preconditions;
pub(crate) mod registers;
mod scope;
pub(crate) mod sets;
pub(crate) mod siblings;
mod within_region;

#[cfg(test)]
mod batch_test;
#[cfg(test)]
mod counters_test;
#[cfg(test)]
mod gate_test;
#[cfg(test)]
mod idempotency_test;
#[cfg(test)]
mod maps_test;
#[cfg(test)]
mod namespaces_test;
#[cfg(test)]
mod registers_test;
#[cfg(test)]
mod sets_test;
#[cfg(test)]
mod siblings_test;
#[cfg(test)]
mod within_region_test;

use axum::body::Body;
use axum::http::Response;

use crate::api::Api;
use crate::api::body::RequestBody;
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::api::routes::{Route, Verb};
use crate::model::record::RecordType;

pub(crate) use gate::handle;

/// Runs the handler of a route. `verb` is one that the route knows.
async fn run(
    api: &Api,
    route: Route,
    verb: Verb,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    match (route, verb) {
        (Route::Namespace, Verb::Put) => namespaces::put(api, call, body).await,
        (Route::Namespace, _) => namespaces::get(api, call),
        (Route::Batch, _) => batch::post(api, call, body).await,
        (Route::Keys(RecordType::Register), _) => registers::list(api, call).await,
        (Route::Keys(RecordType::Counter), _) => counters::list(api, call).await,
        (Route::Keys(RecordType::Set), _) => sets::list(api, call).await,
        (Route::Keys(RecordType::Map), _) => maps::list(api, call).await,
        (Route::Record(RecordType::Register), Verb::Put) => registers::put(api, call, body).await,
        (Route::Record(RecordType::Register), Verb::Delete) => registers::delete(api, call).await,
        (Route::Record(RecordType::Register), _) => registers::get(api, call),
        (Route::Record(RecordType::Counter), Verb::Post) => counters::add(api, call, body).await,
        (Route::Record(RecordType::Counter), Verb::Delete) => counters::reset(api, call).await,
        (Route::Record(RecordType::Counter), _) => counters::get(api, call),
        (Route::Record(RecordType::Set), Verb::Post) => sets::update(api, call, body).await,
        (Route::Record(RecordType::Set), _) => sets::members(api, call).await,
        (Route::Member, Verb::Put) => sets::put_member(api, call).await,
        (Route::Member, Verb::Delete) => sets::delete_member(api, call).await,
        (Route::Member, _) => sets::get_member(api, call),
        (Route::Record(RecordType::Map), Verb::Post) => maps::update(api, call, body).await,
        (Route::Record(RecordType::Map), _) => maps::fields(api, call).await,
        (Route::Field, Verb::Put) => maps::put_field(api, call, body).await,
        (Route::Field, Verb::Delete) => maps::delete_field(api, call).await,
        (Route::Field, _) => maps::get_field(api, call),
        _ => namespaces::list(api, call).await,
    }
}
