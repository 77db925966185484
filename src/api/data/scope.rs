//! What every data request begins and ends with: its namespace, the level that is met, the wait for a write.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response};

use crate::actors::region::Admission;
use crate::api::Api;
use crate::api::call::Call;
use crate::api::data::errors;
use crate::api::headers::{self, ATOLL_CONSISTENCY, ATOLL_VERSION, DataHeaders, Level};
use crate::api::path;
use crate::api::problem::Problem;
use crate::model::change::ConflictPolicy;
use crate::model::ids::{Key, Namespace};
use crate::model::limits;
use crate::model::record::Version;
use crate::model::request::{Operation, Precondition, WriteAnswer, WriteRequest};

/// A namespace as one request works in it.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// How its concurrent register writes are resolved.
    pub(crate) policy: ConflictPolicy,
    level: Level,
    timeout: Duration,
}

impl Scope {
    /// Opens the namespace of a request for registers.
    ///
    /// # Errors
    /// 400 for names and headers that are not valid, 503 for guarantees that this version cannot give.
    pub(crate) fn for_register(api: &Api, call: &Call<'_>) -> Result<Self, Problem> {
        let namespace = path::namespace(call.names[0])?;
        let asked = DataHeaders::parse(call.headers)?;
        let configuration = api.region.namespace(&namespace).map_err(errors::problem)?;
        let level = match asked.level {
            Some(level) => level,
            None => default_level(&namespace, &configuration.default_consistency)?,
        };
        Ok(Self {
            namespace,
            policy: configuration.conflict_policy,
            level,
            timeout: asked.timeout.unwrap_or(api.settings.write_timeout),
        })
    }

    /// The same for anything but a single register: what applies to registers alone is refused.
    ///
    /// # Errors
    /// As [`Scope::for_register`].
    pub(crate) fn open(api: &Api, call: &Call<'_>) -> Result<Self, Problem> {
        let scope = Self::for_register(api, call)?;
        headers::refuse_register_headers(call.headers)?;
        Ok(scope)
    }

    /// A write in this namespace.
    pub(crate) fn request(&self, key: Key, precondition: Precondition, operation: Operation) -> WriteRequest {
        WriteRequest {
            namespace: self.namespace.clone(),
            key,
            policy: self.policy,
            precondition,
            operation,
        }
    }

    /// Makes a write and waits for its outcome, as long as the request allows.
    ///
    /// # Errors
    /// 413 when it does not fit into a commit, 504 when the time is over; else as the region says.
    pub(crate) async fn write(
        &self,
        api: &Api,
        request: WriteRequest,
        admission: Admission,
    ) -> Result<WriteAnswer, Problem> {
        // `>`: a commit may be exactly as large as the limit.
        if request.size_bytes() > limits::COMMIT_BYTES_MAX {
            return Err(Problem::too_large(
                "what the request writes, keys included,",
                limits::COMMIT_BYTES_MAX,
            ));
        }
        match tokio::time::timeout(self.timeout, api.region.write(request, admission)).await {
            Ok(outcome) => outcome.map_err(errors::problem),
            Err(_) => Err(errors::timed_out(self.timeout)),
        }
    }

    /// Adds to an answer which level was met, and which version it is about.
    pub(crate) fn finish(&self, mut response: Response<Body>, version: Option<Version>) -> Response<Body> {
        let headers = response.headers_mut();
        headers.insert(&ATOLL_CONSISTENCY, self.level.header());
        if let Some(version) = version {
            headers.insert(&ATOLL_VERSION, version_header(&version.to_string()));
        }
        response
    }
}

/// The version's text as a header.
pub(crate) fn version_header(version: &str) -> HeaderValue {
    HeaderValue::from_str(version).expect("versions are hexadecimal digits and region names")
}

/// The level of requests that name none.
fn default_level(namespace: &Namespace, name: &str) -> Result<Level, Problem> {
    let origin = || format!("the configuration of namespace {namespace} (default_consistency)");
    match Level::parse(name) {
        Some(level) => Ok(level),
        None => Err(Problem::unavailable(format!(
            "{} asks for consistency {name:?}, which this version does not know: nothing was done; use one of {}",
            origin(),
            Level::names()
        ))),
    }
}
