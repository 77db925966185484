//! Where HTTP requests enter: to the parts of the node that run, or to wait while these are made anew.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use crate::model::limits;

/// How long a request waits. Making the parts anew takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hands requests on.
#[derive(Debug)]
pub struct Entrance {
    inside: watch::Sender<Option<Router>>,
    /// For those that wait: as many as are worked on otherwise.
    places: Semaphore,
}

impl Entrance {
    /// Open to these parts.
    #[must_use]
    pub fn new(inside: Router) -> Arc<Self> {
        Arc::new(Self {
            inside: watch::Sender::new(Some(inside)),
            places: Semaphore::new(limits::ADMITTED_REQUESTS_MAX),
        })
    }

    /// From now on requests wait.
    pub fn close(&self) {
        self.inside.send_replace(None);
    }

    /// From now on they go to these parts, those that wait first.
    pub fn open(&self, inside: Router) {
        self.inside.send_replace(Some(inside));
    }

    /// What listens.
    pub fn router(self: &Arc<Self>) -> Router {
        let entrance = Arc::clone(self);
        Router::new().fallback(move |request: Request| Self::pass(Arc::clone(&entrance), request))
    }

    async fn pass(self: Arc<Self>, request: Request) -> Response {
        let inside = self.inside.borrow().clone();
        let inside = match inside {
            Some(inside) => inside,
            None => {
                let Ok(_place) = self.places.try_acquire() else {
                    return unavailable();
                };
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

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    fn inside(answer: &'static str) -> Router {
        Router::new().route("/", get(move || async move { answer }))
    }

    async fn ask(entrance: &Arc<Entrance>) -> (StatusCode, String) {
        let answer = entrance
            .router()
            .oneshot(Request::new(Body::empty()))
            .await
            .unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn requests_wait_while_it_is_closed_and_go_to_what_is_inside_then() {
        let entrance = Entrance::new(inside("first"));
        assert_eq!(ask(&entrance).await, (StatusCode::OK, "first".to_owned()));
        entrance.close();
        let opening = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            entrance.open(inside("second"));
        };
        let (waited, ()) = tokio::join!(ask(&entrance), opening);
        assert_eq!(waited, (StatusCode::OK, "second".to_owned()));
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_told_to_come_back() {
        let entrance = Entrance::new(inside("first"));
        entrance.close();
        let _all = entrance
            .places
            .acquire_many(u32::try_from(limits::ADMITTED_REQUESTS_MAX).unwrap())
            .await
            .unwrap();
        let (status, body) = ask(&entrance).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], "unavailable");
    }
}
