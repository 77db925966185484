//! The hook through which `node` counts requests.

use std::time::Duration;

use axum::http::StatusCode;

/// A request that was answered. Requests whose client went away before are not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedRequest {
    /// The template of the path, such as `/v1/data/{namespace}/registers/{key}`; `unmatched` for paths that do not
    /// exist, so that there are only so many.
    pub route: &'static str,
    /// The method; `OTHER` for what no route knows.
    pub method: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// From the request's headers to the answer's, the request's body included.
    pub duration: Duration,
}

/// Is told of every answered request, on the thread that answers: it must be quick.
pub trait RequestObserver: Send + Sync + 'static {
    /// Takes note of a request.
    fn observed(&self, request: &ObservedRequest);
}

/// Takes note of nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct IgnoreRequests;

impl RequestObserver for IgnoreRequests {
    fn observed(&self, _: &ObservedRequest) {}
}
