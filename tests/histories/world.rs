//! Where the clients of the simulation find what surrounds them, here: real time, HTTP over sockets, no recorder of
//! everything. Has the shape of `simulations/world`, so that the same clients run in both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atoll::model::ids::RegionId;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;

use crate::harness::Region;

/// Bytes of a body: requests of the clients are small.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The time since the first look at it.
pub mod time {
    use std::sync::LazyLock;
    use std::time::Instant;

    use crate::evidence::Moment;

    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// The time now.
    pub fn now() -> Moment {
        Moment::after(BEGINNING.elapsed())
    }
}

/// What happens, as far as clients know.
pub mod recorder {
    use std::sync::{Arc, Mutex, PoisonError};

    /// Remembers what is wrong; clones share it.
    #[derive(Clone, Default)]
    pub struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Recorder {
        /// Something happened.
        pub fn event(&self, _text: impl AsRef<str>) {}

        /// A situation was reached.
        pub fn reached(&self, _situation: &'static str) {}

        /// Something is wrong.
        pub fn violated(&self, checker: &'static str, detail: &str) {
            let mut violations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            violations.push(format!("{checker}: {detail}"));
        }

        /// Everything that was wrong.
        pub fn violations(&self) -> Vec<String> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Called {
    /// It was answered.
    Answered(Response<Bytes>),
    /// Nobody listens there: it was not taken.
    NotTaken,
    /// No answer came in time, or the connection broke.
    Lost,
}

/// The regions' HTTP endpoints; clones share it.
#[derive(Clone)]
pub struct Gateway {
    urls: Arc<BTreeMap<RegionId, String>>,
    client: reqwest::Client,
}

impl Gateway {
    /// The endpoints of some regions.
    pub fn new(regions: &[Arc<Region>]) -> Self {
        // No kept connections: one to a killed process would make a refusal look like a lost answer.
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .unwrap();
        let urls = regions
            .iter()
            .map(|region| (region.id.parse().unwrap(), region.url()))
            .collect();
        Self {
            urls: Arc::new(urls),
            client,
        }
    }

    /// Sends a request, and waits for the answer as long as `patience` lasts. The network brings its own delay.
    pub async fn call(
        &self,
        region: RegionId,
        request: Request<Body>,
        _delay: Duration,
        patience: Duration,
    ) -> Called {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap();
        let asked = self
            .client
            .request(parts.method, format!("{}{}", self.urls[&region], parts.uri))
            .headers(parts.headers)
            .timeout(patience)
            .body(body)
            .send();
        let answered = match asked.await {
            Ok(answered) => answered,
            Err(error) if error.is_connect() && !error.is_timeout() => {
                // As people do who find nobody there.
                tokio::time::sleep(Duration::from_millis(20)).await;
                return Called::NotTaken;
            }
            Err(_) => return Called::Lost,
        };
        let (status, headers) = (answered.status(), answered.headers().clone());
        let Ok(body) = answered.bytes().await else {
            return Called::Lost;
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Called::Answered(response)
    }
}
