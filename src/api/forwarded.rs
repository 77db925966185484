//! Requests that other regions, and other nodes of this one, pass on: answered by the same surface as those of clients.

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response};
use bytes::Bytes;
use tower::ServiceExt as _;

use crate::actors::link::answering::{AnswerForwarded, Origin};
use crate::actors::link::requests::ForwardedAnswer;
use crate::model::ids::RegionId;
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::wire::messages::ForwardedRequest;

/// Marks a request that another region has passed on: it goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassedOn {
    /// By whom.
    pub(crate) from: RegionId,
}

/// Marks a request that another node of this region has passed on: it goes to no other node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassedInside {
    /// Of a listing: only what is in these partitions.
    pub(crate) part: Option<PartitionSet>,
}

/// Marks an answer that is none: these partitions are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotHeld(pub(crate) PartitionSet);

/// Answers requests of other regions and nodes with a surface.
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
    async fn answer(
        &self,
        origin: Origin,
        request: ForwardedRequest,
    ) -> Result<ForwardedAnswer, PartitionSet> {
        let Some(request) = rebuild(origin, request) else {
            return Ok(ForwardedAnswer {
                status: 400,
                headers: Vec::new(),
                body: Bytes::from_static(b"the request that was passed on is not one"),
            });
        };
        let answered = self.0.clone().oneshot(request).await;
        let response: Response<Body> = answered.unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        if let Some(NotHeld(partitions)) = parts.extensions.get() {
            return Err(*partitions);
        }
        let headers = parts.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        // Answers are made in memory and bounded where they are made.
        let body = axum::body::to_bytes(body, limits::FORWARDED_ANSWER_BYTES_MAX).await;
        Ok(ForwardedAnswer {
            status: parts.status.as_u16(),
            headers,
            body: body.unwrap_or_default(),
        })
    }
}

fn rebuild(origin: Origin, forwarded: ForwardedRequest) -> Option<Request<Body>> {
    let mut request = Request::builder()
        .method(Method::from_bytes(forwarded.method.as_bytes()).ok()?)
        .uri(forwarded.target);
    for (name, value) in &forwarded.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request = request.header(name, HeaderValue::from_bytes(value).ok()?);
    }
    let mut request = request.body(Body::from(forwarded.body)).ok()?;
    if let Some(from) = origin.region {
        request.extensions_mut().insert(PassedOn { from });
    }
    if origin.node.is_some() {
        let inside = PassedInside { part: origin.part };
        request.extensions_mut().insert(inside);
    }
    Some(request)
}
