//! What every data request begins and ends with: its namespace, the level that is met, the wait for a write.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};

use crate::actors::region::Admission;
use crate::api::Api;
use crate::api::call::Call;
use crate::api::data::{errors, preconditions};
use crate::api::headers::{
    self, ATOLL_CONSISTENCY, ATOLL_CONTEXT, ATOLL_VERSION, DataHeaders, IDEMPOTENT_REPLAYED, Level,
};
use crate::api::path;
use crate::api::problem::Problem;
use crate::model::change::ConflictPolicy;
use crate::model::idempotency::{Decision, Fingerprint, Idempotency, IdempotencyKey};
use crate::model::ids::{Key, Namespace};
use crate::model::limits;
use crate::model::record::Version;
use crate::model::request::{Operation, Precondition, Submission, WriteAnswer, WriteRequest};

/// A namespace as one request works in it.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// How its concurrent register writes are resolved.
    pub(crate) policy: ConflictPolicy,
    /// The level that is met.
    pub(crate) level: Level,
    timeout: Duration,
    idempotency_key: Option<IdempotencyKey>,
}

/// What a request that writes was told.
#[derive(Debug)]
pub(crate) struct Written {
    /// What each of its writes did, in their order.
    pub(crate) answers: Vec<WriteAnswer>,
    /// Whether that was when the request was first sent.
    pub(crate) is_repeat: bool,
}

impl Written {
    /// The only one's answer, of a request that is no batch.
    pub(crate) fn single(&self) -> &WriteAnswer {
        self.answers.first().expect("every write is answered")
    }

    /// The version of the last change; none if there was none.
    fn version(&self) -> Option<Version> {
        self.answers.iter().rev().find_map(|answer| answer.version)
    }
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
            idempotency_key: asked.idempotency_key,
        })
    }

    /// The same for a counter, a member of a set or a field of a map: they have entity tags, but no siblings.
    ///
    /// # Errors
    /// As [`Scope::for_register`].
    pub(crate) fn for_tagged(api: &Api, call: &Call<'_>) -> Result<Self, Problem> {
        let scope = Self::for_register(api, call)?;
        headers::refuse_context(call.headers)?;
        Ok(scope)
    }

    /// The same for what has no entity tag, so that preconditions are refused. `right` says what would be right.
    ///
    /// # Errors
    /// As [`Scope::for_register`].
    pub(crate) fn open(api: &Api, call: &Call<'_>, right: &str) -> Result<Self, Problem> {
        let scope = Self::for_tagged(api, call)?;
        headers::refuse_preconditions(call.headers, right)?;
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

    /// Makes a write and waits for its outcome, as long as the request allows. `body` is that of the request.
    ///
    /// # Errors
    /// As [`Scope::submit`]; 409 and 412 when the write is refused.
    pub(crate) async fn write(
        &self,
        api: &Api,
        call: &Call<'_>,
        body: &[u8],
        write: WriteRequest,
        admission: Admission,
    ) -> Result<Written, Problem> {
        let Decision { outcome, is_repeat } = self.submit(api, call, body, vec![write], admission).await?;
        match outcome {
            Ok(answers) => Ok(Written { answers, is_repeat }),
            Err(refused) => Err(errors::refused(&refused.refusal).replayed(is_repeat)),
        }
    }

    /// Makes writes, all or none, and waits for what is decided.
    ///
    /// # Errors
    /// 413 when they do not fit into a commit, 504 when the time is over; else as the region says.
    pub(crate) async fn submit(
        &self,
        api: &Api,
        call: &Call<'_>,
        body: &[u8],
        writes: Vec<WriteRequest>,
        admission: Admission,
    ) -> Result<Decision, Problem> {
        let idempotency = self.idempotency_key.as_ref();
        let submission = Submission {
            writes,
            idempotency: idempotency.map(|key| idempotency_of(key, call, body)),
        };
        // `>`: a commit may be exactly as large as the limit.
        if submission.size_bytes() > limits::COMMIT_BYTES_MAX {
            return Err(Problem::too_large(
                "what the request writes, keys included,",
                limits::COMMIT_BYTES_MAX,
            ));
        }
        let writing = if call.is_at_home {
            api.region.write_as_home(submission, admission)
        } else {
            api.region.write(submission, admission)
        };
        match tokio::time::timeout(self.timeout, writing).await {
            Ok(outcome) => outcome.map_err(errors::problem),
            Err(_) => Err(errors::timed_out(self.timeout)),
        }
    }

    /// As [`Scope::finish`], of a write.
    pub(crate) fn finish_write(&self, response: Response<Body>, written: &Written) -> Response<Body> {
        let mut response = self.finish(response, written.version());
        if written.is_repeat {
            let headers = response.headers_mut();
            headers.insert(&IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    /// As [`Scope::finish_write`], of a write to what has the entity tag: with the tag as it is now.
    pub(crate) fn finish_tagged(&self, response: Response<Body>, written: &Written) -> Response<Body> {
        let mut response = self.finish_write(response, written);
        if let Some(tag) = &written.single().tag {
            let headers = response.headers_mut();
            headers.insert(header::ETAG, preconditions::entity_tag(tag));
        }
        response
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

/// What a request says about being sent again: its key, and everything that says what it asks for.
pub(crate) fn idempotency_of(key: &IdempotencyKey, call: &Call<'_>, body: &[u8]) -> Idempotency {
    let named = |name: &HeaderName| call.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let fingerprint = Fingerprint::of_parts(&[
        call.verb.name().as_bytes(),
        call.path.as_bytes(),
        call.query.unwrap_or_default().as_bytes(),
        named(&header::CONTENT_TYPE),
        named(&header::IF_MATCH),
        named(&header::IF_NONE_MATCH),
        named(&ATOLL_CONTEXT),
        body,
    ]);
    let key = key.clone();
    Idempotency { key, fingerprint }
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
