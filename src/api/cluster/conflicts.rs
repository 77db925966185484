//! The ledger of losers: versions that conflict resolution did not keep visible, with their bytes.

use axum::body::Body;
use axum::http::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::actors::region::ConflictView;
use crate::api::call::Call;
use crate::api::cluster::{errors, wall_time_text};
use crate::api::problem::Problem;
use crate::api::{Api, answer};
use crate::model::ids::Namespace;
use crate::model::limits;

/// The query of the ledger.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query in the OpenAPI document")]
pub(crate) struct ConflictsQuery {
    /// Only those of this namespace; `_system`: of the store's own records, such as the configurations of namespaces, each
    /// under the name of its namespace as the key.
    namespace: Option<String>,
    /// Only what comes after this: the `next` of the page before.
    after: Option<String>,
    /// At most so many; 100 if absent. More than 1000 are never answered at once.
    #[param(minimum = 1)]
    limit: Option<u64>,
}

/// A page of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Conflicts {
    /// Oldest first.
    conflicts: Vec<Conflict>,
    /// What to pass as `after` for the next page (opaque); null at the end.
    next: Option<String>,
}

/// A version that lost.
#[derive(Debug, Serialize, ToSchema)]
struct Conflict {
    /// Of the record.
    namespace: String,
    /// `register` or `map`.
    r#type: &'static str,
    /// Of the record.
    key: String,
    /// The field of a map; null for registers.
    field: Option<String>,
    /// The version that is visible instead.
    winner: String,
    /// The version that lost.
    loser: String,
    /// When this region decided (RFC 3339).
    #[schema(format = DateTime)]
    lost_at: String,
    /// `concurrent_write`, `concurrent_delete`, `delete_overruled`, `concurrent_field`, or `overruled`: by a write that had
    /// seen it and does not replace it, such as a forced change of a namespace.
    reason: &'static str,
    /// The bytes that lost; null if a delete lost.
    value_base64: Option<String>,
}

impl From<ConflictView> for Conflict {
    fn from(view: ConflictView) -> Self {
        Self {
            namespace: view.record.namespace.to_string(),
            r#type: view.record.record_type.name(),
            key: view.record.key.to_string(),
            field: view.field.map(|field| field.to_string()),
            winner: view.winner.to_string(),
            loser: view.loser.to_string(),
            lost_at: wall_time_text(view.lost_at),
            reason: view.reason.name(),
            value_base64: view.value.map(|value| STANDARD.encode(value)),
        }
    }
}

/// Reads the ledger of this region, oldest first.
#[utoipa::path(
    get,
    path = "/v1/cluster/conflicts",
    tag = "cluster",
    params(ConflictsQuery),
    responses((status = 200, description = "A page of the ledger", content_type = "application/json", body = Conflicts)),
)]
pub(crate) async fn get(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let query = call.query(&["namespace", "after", "limit"])?;
    let given = |name| query.text(name).filter(|text| !text.is_empty());
    let namespace = match given("namespace") {
        None => None,
        // Clients cannot write there, but what was lost there is theirs.
        Some(name) if name == Namespace::system().as_str() => Some(Namespace::system()),
        Some(name) => Some(
            name.parse::<Namespace>()
                .map_err(|error| Problem::invalid(format!("in the query: {error}")))?,
        ),
    };
    let after = given("after").map(str::to_owned);
    let limit = query.limit(limits::CONFLICTS_DEFAULT, limits::CONFLICTS_MAX)?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let reading = api
        .region
        .conflicts(namespace.as_ref(), after.as_deref(), limit, admission);
    let page = reading.await.map_err(errors::problem)?;
    Ok(answer::json(&Conflicts {
        conflicts: page.conflicts.into_iter().map(Conflict::from).collect(),
        next: page.next,
    }))
}
