//! The HTTP surface (contract v1): turns requests into calls of [`Region`] and what comes back into answers.
//!
//! One folder per surface: `data`, `cluster`, `health`; each maps its errors to HTTP in one file. What all share is
//! beside them: `routes` (the table of what there is), `dispatch` (the way of a request), `path`, `query`,
//! `headers` and `body` (parsing at the edge), `problem` (errors as RFC 9457), `openapi` (the document).
//!
//! Decides nothing about data and listens nowhere: `node` serves the router. A guarantee that cannot be given is an
//! error, never a silent 2xx.

mod answer;
mod body;
mod call;
mod cluster;
mod data;
mod dispatch;
#[cfg(test)]
mod fake_guarantees;
#[cfg(test)]
mod fake_parts;
#[cfg(test)]
mod fake_region;
mod forwarded;
mod headers;
mod health;
mod observer;
mod openapi;
#[cfg(test)]
mod openapi_test;
pub(crate) mod path;
mod priority;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod routes;
#[cfg(test)]
mod socket_test;
#[cfg(test)]
mod surface_test;
#[cfg(test)]
mod test_client;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use bytes::Bytes;

use crate::actors::region::{Admission, Region, RegionError};
use crate::model::limits;
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::Clock;

// The parsers of the data API that the fuzzer calls.
pub(crate) use data::maps::parse_update;
pub(crate) use data::siblings::{parse_context, text_of};

pub use forwarded::Forwarded;
pub use observer::{IgnoreRequests, ObservedRequest, RequestObserver};
pub use openapi::document;

/// What the surface needs besides the region.
#[derive(Clone)]
pub struct ApiSettings {
    /// Tells what has expired and when something will.
    pub clock: Arc<dyn Clock>,
    /// How long a write waits for its outcome when the request names no time.
    pub write_timeout: Duration,
    /// How long the body of a request may take to arrive.
    pub body_timeout: Duration,
    /// Where reading many rows runs.
    pub blocking: BlockingWork,
    /// Is told of every answered request.
    pub observer: Arc<dyn RequestObserver>,
}

impl std::fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiSettings")
            .field("write_timeout", &self.write_timeout)
            .field("body_timeout", &self.body_timeout)
            .finish_non_exhaustive()
    }
}

impl ApiSettings {
    /// The settings by the contract: writes wait 5 s, requests are not observed.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            write_timeout: Duration::from_millis(limits::REQUEST_TIMEOUT_MS_DEFAULT),
            body_timeout: Duration::from_millis(limits::BODY_READ_MS_MAX),
            blocking: BlockingWork::Threads,
            observer: Arc::new(IgnoreRequests),
        }
    }
}

/// What handlers work with.
struct Api {
    region: Arc<dyn Region>,
    settings: ApiSettings,
    /// `Atoll-Region` of every answer.
    region_header: HeaderValue,
    /// The OpenAPI document, written out once.
    document: Bytes,
}

impl Api {
    /// Reads many rows outside the runtime's worker threads, under the admission that lets it be read; the admission
    /// lasts as long as the reading, also when the client goes away.
    ///
    /// # Errors
    /// The reader's.
    async fn scan<T, F>(&self, admission: Admission, read: F) -> Result<T, RegionError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Region) -> Result<T, RegionError> + Send + 'static,
    {
        let region = Arc::clone(&self.region);
        let reading = self.settings.blocking.run(move || {
            let result = read(region.as_ref());
            drop(admission);
            result
        });
        reading
            .await
            .unwrap_or_else(|error| Err(RegionError::Internal(format!("reading: {error}"))))
    }
}

/// The whole surface over one region. It answers every path by itself, so nothing can be merged into it.
pub fn router(region: Arc<dyn Region>, settings: ApiSettings) -> Router {
    let region_header = HeaderValue::from_str(region.region().as_str())
        .expect("a region's name has only letters, digits and hyphens");
    let document = openapi::document()
        .to_json()
        .expect("the document is plain data with text keys");
    let api = Api {
        region,
        settings,
        region_header,
        document: Bytes::from(document),
    };
    // Everything is the fallback: paths are matched in raw form, since `%2F` in a key is no separator and malformed
    // percent-encoding must be told apart from an unknown path.
    Router::new()
        .fallback(dispatch::dispatch)
        .with_state(Arc::new(api))
}
