//! Requests to the router in tests, and what to expect of answers.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::api::fake_parts::FakeClock;
use crate::api::fake_region::FakeRegion;
use crate::api::{ApiSettings, ObservedRequest, RequestObserver, router};

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<Vec<ObservedRequest>>);

impl RequestObserver for Observed {
    fn observed(&self, request: &ObservedRequest) {
        self.0.lock().unwrap().push(*request);
    }
}

/// The surface over a fake region.
pub(crate) struct TestServer {
    pub(crate) region: Arc<FakeRegion>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) router: Router,
    observed: Arc<Observed>,
}

/// Headers of a request.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

impl TestServer {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(FakeClock::new());
        let region = Arc::new(FakeRegion::new(Arc::clone(&clock)));
        let observed = Arc::new(Observed::default());
        let mut settings = ApiSettings::new(Arc::clone(&clock) as _);
        settings.observer = Arc::clone(&observed) as _;
        let router = router(Arc::clone(&region) as _, settings);
        Self {
            region,
            clock,
            router,
            observed,
        }
    }

    /// Sends a request; `target` is the method and the path.
    pub(crate) async fn send(&self, target: &str, headers: Headers<'_>, body: impl Into<Body>) -> Answer {
        let (method, path) = target.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let answer = Answer {
            target: target.to_owned(),
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        assert_eq!(answer.header("atoll-region"), "us-east");
        answer
    }

    /// Sends a request without headers or body.
    pub(crate) async fn call(&self, target: &str) -> Answer {
        self.send(target, &[], Body::empty()).await
    }

    /// Sends a request with a body.
    pub(crate) async fn body(&self, target: &str, body: impl Into<Body>) -> Answer {
        self.send(target, &[], body).await
    }

    /// What the observer was told.
    pub(crate) fn observed(&self) -> Vec<ObservedRequest> {
        self.observed.0.lock().unwrap().clone()
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    target: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Expects a status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Expects a problem, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["type"], format!("urn:atoll:problem:{code}"), "{self:?}");
        assert!(problem["title"].is_string(), "{self:?}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{self:?}");
        problem
    }

    /// Expects a problem whose detail says something.
    #[track_caller]
    pub(crate) fn problem_saying(&self, status: u16, code: &str, text: &str) {
        let problem = self.problem(status, code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(text), "{}: {detail}", self.target);
    }
}
