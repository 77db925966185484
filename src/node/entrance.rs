//! Where HTTP requests enter: to the parts of the node that run, or to wait while these are made anew.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// How long a request waits. Making the parts anew takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hands requests on.
#[derive(Debug)]
pub(super) struct Entrance {
    inside: watch::Sender<Option<Router>>,
}

impl Entrance {
    /// Open to these parts.
    pub(super) fn new(inside: Router) -> Arc<Self> {
        Arc::new(Self {
            inside: watch::Sender::new(Some(inside)),
        })
    }

    /// From now on requests wait.
    pub(super) fn close(&self) {
        self.inside.send_replace(None);
    }

    /// From now on they go to these parts, those that wait first.
    pub(super) fn open(&self, inside: Router) {
        self.inside.send_replace(Some(inside));
    }

    /// What listens.
    pub(super) fn router(self: &Arc<Self>) -> Router {
        let entrance = Arc::clone(self);
        Router::new().fallback(move |request: Request| Self::pass(Arc::clone(&entrance), request))
    }

    async fn pass(self: Arc<Self>, request: Request) -> Response {
        let inside = self.inside.borrow().clone();
        let inside = match inside {
            Some(inside) => inside,
            None => {
                let mut changes = self.inside.subscribe();
                let opened = changes.wait_for(Option::is_some);
                match tokio::time::timeout(PATIENCE, opened).await {
                    Ok(Ok(opened)) => opened.clone().expect("it was waited for"),
                    _ => return unavailable(),
                }
            }
        };
        let answered: Result<Response<Body>, Infallible> = inside.oneshot(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

fn unavailable() -> Response {
    let text = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"code":"unavailable","detail":"this node goes over to another configuration: try again in a second"}"#;
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json"),
        (header::RETRY_AFTER, "1"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
}
