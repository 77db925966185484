//! The control of a running relay over HTTP: `GET /links` and `PUT /links/{from}/{to}`. Without authentication, so it
//! belongs on the loopback address.
//!
//! `?both=true` changes the way back, too. Errors are problem details as those of a node.

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use tokio::net::TcpListener;

use super::document::{ChangeDocument, LinkDocument};
use super::relay::Links;
use crate::actors::error_chain;
use crate::api::problem::{Code, Problem};
use crate::config::Direction;
use crate::model::limits;

/// Serves until it is aborted.
pub(super) async fn serve(listener: TcpListener, links: Arc<Links>) {
    if let Err(error) = axum::serve(listener, router(links)).await {
        tracing::error!(%error, "the control of the relay has failed");
    }
}

fn router(links: Arc<Links>) -> Router {
    Router::new()
        .route("/links", get(list))
        .route("/links/{from}/{to}", put(change))
        .fallback(async || Problem::not_found("the relay has GET /links and PUT /links/{from}/{to}"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                Code::MethodNotAllowed,
                "the relay has GET /links and PUT /links/{from}/{to}",
            )
        })
        .layer(DefaultBodyLimit::max(limits::WAN_CHANGE_BYTES_MAX))
        .with_state(links)
}

async fn list(State(links): State<Arc<Links>>) -> Json<Vec<LinkDocument>> {
    Json(links.documents(|_| true))
}

async fn change(
    State(links): State<Arc<Links>>,
    Path((from, to)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<LinkDocument>>, Problem> {
    let direction = direction(&links, &from, &to)?;
    let is_both = match query.as_deref() {
        None | Some("" | "both=false") => false,
        Some("both=true") => true,
        Some(other) => {
            return Err(Problem::invalid(format!(
                "?{other} means nothing here: use ?both=true to change the way back, too"
            )));
        }
    };
    let body = body.map_err(|_| Problem::too_large("the change", limits::WAN_CHANGE_BYTES_MAX))?;
    let document: ChangeDocument = serde_json::from_slice(&body).map_err(|error| {
        Problem::invalid(format!(
            "the body is not a change of a link, such as {{\"loss_percent\": 1}}: {error}"
        ))
    })?;
    let change = document
        .change()
        .map_err(|error| Problem::invalid(error_chain(&error)))?;
    let is_meant = |other: Direction| other == direction || (is_both && other == direction.reversed());
    links.change(direction, &change);
    if is_both {
        links.change(direction.reversed(), &change);
    }
    Ok(Json(links.documents(is_meant)))
}

fn direction(links: &Links, from: &str, to: &str) -> Result<Direction, Problem> {
    if let (Ok(from), Ok(to)) = (from.parse(), to.parse()) {
        let direction = Direction { from, to };
        if links.has(direction) {
            return Ok(direction);
        }
    }
    Err(Problem::not_found(format!(
        "there is no link from {from:?} to {to:?}: GET /links lists those there are"
    )))
}
