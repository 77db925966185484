//! A node's HTTP contract as typed calls: [`data`] and [`cluster`]; and that of the relay: `wan`.
//!
//! Keeps: one call is one request, nothing is repeated silently (only `load` retries, and only idempotent writes); every
//! answer is read up to a limit; whatever is not a success becomes a [`ClientError`] that names the call.

pub(crate) mod cluster;
mod data;
mod error;
mod path;
mod problem;
pub(crate) mod types;
mod wan;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::connection::RequestOptions;
use crate::cli::endpoints::BaseUrl;
use crate::cli::limits;

pub(crate) use error::ClientError;
use error::root_reason;
use path::RequestPath;
use problem::Problem;

/// Calls to one node. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    timeout: Duration,
}

/// A request before it is sent.
struct Request {
    method: Method,
    path: RequestPath,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    fn new(method: Method, path: RequestPath) -> Self {
        Self {
            method,
            path,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    fn json(method: Method, path: RequestPath, body: &impl Serialize) -> Self {
        let body =
            serde_json::to_vec(body).expect("requests are plain structs with text keys, which JSON can hold");
        let mut request = Self::new(method, path);
        request.headers.insert(
            reqwest::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        request.body = body.into();
        request
    }
}

/// A successful answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// A header as text; absent when it is missing or not ASCII.
    fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }
}

/// Names the call in errors; made only when one happens.
type What<'a> = &'a (dyn Fn() -> String + Sync);

impl Client {
    /// A client for one node. Opens no connection yet.
    pub(crate) fn new(base: BaseUrl, options: &RequestOptions) -> Result<Self, ClientError> {
        let node_timeout = Duration::from_millis(options.timeout_ms);
        Self::with_timeout(base, options, node_timeout.saturating_add(limits::TIMEOUT_GRACE))
    }

    /// As [`Client::new`], giving up after `timeout` whatever the node's deadline is.
    pub(crate) fn with_timeout(
        base: BaseUrl,
        options: &RequestOptions,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("atoll-cli/", env!("CARGO_PKG_VERSION")))
            .default_headers(default_headers(options)?)
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .timeout(timeout)
            // Nodes are addressed directly; a proxy of the surroundings would answer in their place.
            .no_proxy()
            // 300 means siblings here, and a node never redirects.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ClientError::Setup(root_reason(&error)))?;
        Ok(Self { http, base, timeout })
    }

    /// Whether anything answers HTTP there, whatever it says: tells a wrong address before work begins.
    pub(crate) async fn probe(&self) -> Result<(), ClientError> {
        let request = Request::new(Method::GET, RequestPath::new("/health/live"));
        match self
            .send(request, &|| "ask whether the node lives".to_owned())
            .await
        {
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a request; an error status becomes [`ClientError::Refused`].
    async fn send(&self, request: Request, what: What<'_>) -> Result<Answer, ClientError> {
        let url = Url::parse(&format!("{}{}", self.base, request.path))
            .map_err(|error| ClientError::Setup(format!("{}{}: {error}", self.base, request.path)))?;
        let sent = self
            .http
            .request(request.method, url)
            .headers(request.headers)
            .body(request.body)
            .send()
            .await;
        let response = sent.map_err(|error| self.transport_error(&error, what))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.read_body(response, what).await?;
        // 300: several versions of a register, the one answer that is neither success nor error.
        if status.is_success() || status == StatusCode::MULTIPLE_CHOICES {
            return Ok(Answer {
                status,
                headers,
                body,
            });
        }
        Err(ClientError::Refused {
            what: what(),
            problem: Problem::parse(status.as_u16(), &body),
            retry_after: retry_after(&headers),
        })
    }

    /// Sends a request and reads the JSON of the answer.
    async fn send_json<T: DeserializeOwned>(
        &self,
        request: Request,
        what: What<'_>,
    ) -> Result<T, ClientError> {
        let answer = self.send(request, what).await?;
        self.parse(&answer.body, what)
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8], what: What<'_>) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.contract_error(error.to_string(), what))
    }

    async fn read_body(&self, mut response: reqwest::Response, what: What<'_>) -> Result<Bytes, ClientError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport_error(&error, what))?
        {
            if body.len() + chunk.len() > limits::ANSWER_BYTES_MAX {
                let detail = format!("an answer of more than {} bytes", limits::ANSWER_BYTES_MAX);
                return Err(self.contract_error(detail, what));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn contract_error(&self, detail: String, what: What<'_>) -> ClientError {
        ClientError::Contract {
            what: what(),
            endpoint: self.base.clone(),
            detail,
        }
    }

    fn transport_error(&self, error: &reqwest::Error, what: What<'_>) -> ClientError {
        let endpoint = self.base.clone();
        // A connect timeout is both; it is the connection that failed, so nothing was sent.
        if error.is_connect() {
            let reason = if error.is_timeout() {
                format!("no connection within {} s", limits::CONNECT_TIMEOUT.as_secs())
            } else {
                root_reason(error)
            };
            ClientError::Unreachable { endpoint, reason }
        } else if error.is_timeout() {
            ClientError::TimedOut {
                what: what(),
                endpoint,
                timeout: self.timeout,
            }
        } else {
            ClientError::Lost {
                what: what(),
                endpoint,
                reason: root_reason(error),
            }
        }
    }
}

/// Turns "the node says it does not exist" into `None`.
fn absent_as_none<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn default_headers(options: &RequestOptions) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    let mut insert = |name: &'static str, text: &str| {
        let value = HeaderValue::from_str(text)
            .map_err(|_| ClientError::Setup(format!("{text:?} cannot be the value of header {name}")))?;
        headers.insert(HeaderName::from_static(name), value);
        Ok::<(), ClientError>(())
    };
    insert("atoll-timeout-ms", &options.timeout_ms.to_string())?;
    if let Some(level) = options.consistency {
        insert("atoll-consistency", level.as_str())?;
    }
    if let Some(session) = &options.session {
        insert("atoll-session", session)?;
    }
    Ok(headers)
}

/// `Retry-After` in seconds; the date form is not used by nodes and is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
