//! Listings of keys: one shape for all types; what only registers have is left out for the others.

use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::actors::region::ListedKey;
use crate::api::call::Call;
use crate::api::data::errors;
use crate::api::data::scope::Scope;
use crate::api::problem::Problem;
use crate::api::{Api, answer};
use crate::model::record::RecordType;

/// The query of a listing of keys.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query in the OpenAPI document")]
pub(crate) struct KeyListingQuery {
    /// Only keys that start with this.
    prefix: Option<String>,
    /// Only keys after this one: the `next` of the page before.
    after: Option<String>,
    /// At most so many; 1000 if absent. More than 10000 are never answered at once.
    #[param(minimum = 1)]
    limit: Option<u64>,
}

/// A page of registers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisterKeys {
    /// In byte order.
    keys: Vec<RegisterKey>,
    /// What to pass as `after` for the next page; null at the end.
    next: Option<String>,
}

/// A register in a listing. Of siblings the highest version counts.
#[derive(Debug, Serialize, ToSchema)]
struct RegisterKey {
    /// The key.
    key: String,
    /// The bytes of its value.
    size: u64,
    /// As it was written.
    content_type: Option<String>,
    /// Its version, opaque, sortable as text.
    version: Option<String>,
}

/// A page of counters, sets or maps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordKeys {
    /// In byte order.
    keys: Vec<RecordKey>,
    /// What to pass as `after` for the next page; null at the end.
    next: Option<String>,
}

/// A counter, set or map in a listing.
#[derive(Debug, Serialize, ToSchema)]
struct RecordKey {
    /// The key.
    key: String,
    /// Members of a set, fields of a map, 0 for counters.
    size: u64,
}

/// Lists keys of one type.
///
/// # Errors
/// As all data requests.
pub(crate) async fn list(
    api: &Api,
    call: &Call<'_>,
    record_type: RecordType,
) -> Result<Response<Body>, Problem> {
    let scope = Scope::open(api, call, "listings have no entity tags; leave it out")?;
    let query = call.query(&["prefix", "after", "limit"])?;
    let prefix = query.key_text("prefix")?.unwrap_or_default().to_owned();
    let page = query.page()?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let namespace = scope.namespace.clone();
    let page = api
        .scan(admission, move |region| {
            region.list(&namespace, record_type, &prefix, &page)
        })
        .await
        .map_err(errors::problem)?;
    let next = page.next;
    let response = if record_type == RecordType::Register {
        let keys = page.keys.into_iter().map(register_key).collect();
        answer::json(&RegisterKeys { keys, next })
    } else {
        let record_key = |listed: ListedKey| RecordKey {
            key: listed.key,
            size: listed.size,
        };
        let keys = page.keys.into_iter().map(record_key).collect();
        answer::json(&RecordKeys { keys, next })
    };
    Ok(scope.finish(response, None))
}

fn register_key(listed: ListedKey) -> RegisterKey {
    RegisterKey {
        key: listed.key,
        size: listed.size,
        content_type: listed.content_type,
        version: listed.version.map(|version| version.to_string()),
    }
}
