//! Requests that other regions pass on: answered by the same surface as those of clients.

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response};
use bytes::Bytes;
use tower::ServiceExt as _;

use crate::actors::link::answering::AnswerForwarded;
use crate::actors::link::requests::ForwardedAnswer;
use crate::model::ids::RegionId;
use crate::model::limits;
use crate::wire::messages::ForwardedRequest;

/// Marks a request that another region has passed on: it goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassedOn {
    /// By whom.
    pub(crate) from: RegionId,
}

/// Answers requests of other regions with a surface.
#[derive(Debug, Clone)]
pub struct Forwarded(Router);

impl Forwarded {
    /// With this surface.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self(router)
    }
}

#[async_trait]
impl AnswerForwarded for Forwarded {
    async fn answer(&self, from: RegionId, request: ForwardedRequest) -> ForwardedAnswer {
        let Some(request) = rebuild(from, request) else {
            return ForwardedAnswer {
                status: 400,
                headers: Vec::new(),
                body: Bytes::from_static(b"the request that was passed on is not one"),
            };
        };
        let answered = self.0.clone().oneshot(request).await;
        let response: Response<Body> = answered.unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        // Answers are made in memory and bounded where they are made.
        let body = axum::body::to_bytes(body, limits::FORWARDED_ANSWER_BYTES_MAX).await;
        ForwardedAnswer {
            status: parts.status.as_u16(),
            headers,
            body: body.unwrap_or_default(),
        }
    }
}

fn rebuild(from: RegionId, forwarded: ForwardedRequest) -> Option<Request<Body>> {
    let mut request = Request::builder()
        .method(Method::from_bytes(forwarded.method.as_bytes()).ok()?)
        .uri(forwarded.target);
    for (name, value) in &forwarded.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request = request.header(name, HeaderValue::from_bytes(value).ok()?);
    }
    let mut request = request.body(Body::from(forwarded.body)).ok()?;
    request.extensions_mut().insert(PassedOn { from });
    Some(request)
}
