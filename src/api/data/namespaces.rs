//! Namespaces: how each is configured, and which there are.
//!
//! The default level of a namespace does not apply here, so that a configuration that asks for what this version
//! cannot serve can be read and mended.

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::actors::region::{NamespaceChange, NamespaceConfiguration, Reach};
use crate::api::body::{self, RequestBody};
use crate::api::call::Call;
use crate::api::data::passing_on::{self, Way};
use crate::api::data::{asked, errors, scope};
use crate::api::headers::{self, ATOLL_CONSISTENCY, ATOLL_SESSION, DataHeaders, Level};
use crate::api::problem::{Code, Problem};
use crate::api::{Api, answer, path};
use crate::model::change::ConflictPolicy;
use crate::model::decider::{Decider, WAY_OUT};
use crate::model::ids::{Namespace, RegionId};
use crate::model::limits;
use crate::wire::namespace;

/// How a namespace is configured. What is left out takes its default.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NamespaceSettings {
    /// What becomes of concurrent writes to a register: `lww`, `siblings`, or `custom:` and a registered handler.
    #[schema(default = "lww", pattern = "^(lww|siblings|custom:.+)$")]
    conflict_policy: String,
    /// The region that serves `strong`.
    #[schema(example = "us-east")]
    home_region: Option<String>,
    /// `home_writes`: all writes are made by the home region, from wherever they were sent. Null: every region writes.
    #[schema(pattern = "^home_writes$")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    /// With PUT: moves the home although the old one is lost. What it had acknowledged at `strong` and not shipped is not
    /// seen by the new one.
    #[serde(skip_serializing)]
    force: bool,
    /// The level of requests that name none: `eventual`, `local_quorum`, `global_quorum` or `strong`.
    #[schema(default = "local_quorum")]
    default_consistency: String,
}

impl Default for NamespaceSettings {
    fn default() -> Self {
        Self::from(NamespaceConfiguration::default())
    }
}

impl From<NamespaceConfiguration> for NamespaceSettings {
    fn from(configuration: NamespaceConfiguration) -> Self {
        let conflict_policy = match configuration.conflict_policy {
            ConflictPolicy::Lww => "lww",
            ConflictPolicy::Siblings => "siblings",
            ConflictPolicy::Custom => "custom",
        };
        Self {
            conflict_policy: conflict_policy.to_owned(),
            home_region: configuration.home_region.map(|region| region.to_string()),
            mode: configuration
                .writes_at_home
                .then(|| namespace::HOME_WRITES.to_owned()),
            force: false,
            default_consistency: configuration.default_consistency,
        }
    }
}

impl TryFrom<NamespaceSettings> for NamespaceChange {
    type Error = Problem;

    fn try_from(settings: NamespaceSettings) -> Result<Self, Problem> {
        let home_region = match settings.home_region {
            None => None,
            Some(name) => Some(
                name.parse()
                    .map_err(|error| Problem::invalid(format!("in the body, home_region: {error}")))?,
            ),
        };
        if Level::parse(&settings.default_consistency).is_none() {
            return Err(Problem::invalid(format!(
                "in the body, default_consistency is {:?}: use one of {}",
                settings.default_consistency,
                Level::names()
            )));
        }
        let writes_at_home = match settings.mode.as_deref() {
            None => false,
            Some(namespace::HOME_WRITES) => true,
            Some(mode) => {
                return Err(Problem::invalid(format!(
                    "in the body, mode is {mode:?}: use \"home_writes\", or leave it out"
                )));
            }
        };
        Ok(Self {
            wanted: NamespaceConfiguration {
                conflict_policy: policy(&settings.conflict_policy)?,
                home_region,
                writes_at_home,
                takeover: None,
                default_consistency: settings.default_consistency,
            },
            is_forced: settings.force,
        })
    }
}

/// The namespaces of a region.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamespaceNames {
    /// Those that were configured or hold data, in order.
    #[schema(example = json!(["packages"]))]
    namespaces: Vec<String>,
}

/// Configures a namespace. The configuration replicates to all regions.
#[utoipa::path(
    put,
    path = "/v1/data/{namespace}",
    tag = "data",
    params(("namespace" = String, Path, description = "The namespace: `[a-z0-9][a-z0-9-]{1,62}`")),
    request_body = NamespaceSettings,
    responses((status = 200, description = "The configuration from now on", content_type = "application/json", body = NamespaceSettings)),
)]
pub(crate) async fn put(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let namespace = path::namespace(call.names[0])?;
    let asked = shared_headers(call)?;
    call.query(&[])?;
    let body_bytes = body.admission_bytes("the body", limits::REQUEST_BODY_BYTES_MAX)?;
    let admission = api.region.admit(body_bytes).map_err(errors::problem)?;
    let bytes = body.read("the body", limits::REQUEST_BODY_BYTES_MAX).await?;
    let settings: NamespaceSettings = body::parse_object(&bytes)?;
    let change: NamespaceChange = settings.try_into()?;
    let idempotency = asked.idempotency_key.as_ref();
    let idempotency = idempotency.map(|key| scope::idempotency_of(key, call, &bytes));
    let timeout = asked.timeout.unwrap_or(api.settings.write_timeout);
    let deadline = Instant::now() + timeout;
    let mut session = asked::session_of(api, call.headers)?;
    asked::check_believable(api, &session)?;
    if let Some((region, decider)) = decided_elsewhere(api, call, &namespace, &change)? {
        let way = Way {
            region,
            why: &decider.to_string(),
            way_out: WAY_OUT,
            patience: timeout,
            is_write: true,
        };
        let response = passing_on::send(api, call, bytes, &way).await?;
        return known_here(api, &namespace, response, &way, deadline).await;
    }
    let configuring = api
        .region
        .configure_namespace(&namespace, change, idempotency, admission);
    let configuration = match timeout_at(deadline, configuring).await {
        Ok(outcome) => outcome.map_err(errors::problem)?,
        Err(_) => return Err(errors::timed_out(timeout)),
    };
    let mut response = finish(&asked, answer::json(&NamespaceSettings::from(configuration)));
    session.merge(
        &api.region
            .seen(reach_of(api, &namespace))
            .map_err(errors::problem)?,
    );
    response
        .headers_mut()
        .insert(&ATOLL_SESSION, asked::token_header(api, &session));
    Ok(response)
}

/// The partition of a namespace's configuration.
fn reach_of(api: &Api, namespace: &Namespace) -> Reach {
    let record = namespace::record_of(namespace);
    api.region.reach(&record.namespace, &record.key)
}

/// The other region that makes a change. None when it is made here; and when another region has passed it on to this one,
/// where it goes no further.
fn decided_elsewhere(
    api: &Api,
    call: &Call<'_>,
    namespace: &Namespace,
    change: &NamespaceChange,
) -> Result<Option<(RegionId, Decider)>, Problem> {
    if change.is_forced || call.passed_on.is_some() {
        return Ok(None);
    }
    let current = api.region.namespace(namespace).map_err(errors::problem)?;
    let decider = Decider::of(
        current.home_region,
        change.wanted.home_region,
        api.region.cluster().1,
    );
    let elsewhere = decider.region().filter(|region| *region != api.region.region());
    Ok(elsewhere.map(|region| (region, decider)))
}

/// Waits until what another region has made of a configuration is in force here too, so that the client can use it at
/// once where it has asked.
async fn known_here(
    api: &Api,
    namespace: &Namespace,
    response: Response<Body>,
    way: &Way<'_>,
    deadline: Instant,
) -> Result<Response<Body>, Problem> {
    if !response.status().is_success() {
        return Ok(response);
    }
    let token = asked::session_of(api, response.headers())?;
    let waiting = api.region.wait_for_session(reach_of(api, namespace), &token);
    if timeout_at(deadline, waiting).await.is_ok() {
        return Ok(response);
    }
    let detail = format!(
        "{} has changed the configuration of {namespace}, and this region has not heard of it within {} ms: it will, when it can be reached",
        way.region,
        way.patience.as_millis()
    );
    let session = response
        .headers()
        .get(&ATOLL_SESSION)
        .and_then(|value| value.to_str().ok());
    Err(Problem::new(Code::Timeout, detail)
        .with("committed_locally", true.into())
        .with("version", serde_json::Value::Null)
        .with("session", session.map_or(serde_json::Value::Null, Into::into)))
}

/// Reads the configuration of a namespace. One that was never configured has the defaults.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}",
    tag = "data",
    params(("namespace" = String, Path, description = "The namespace")),
    responses((status = 200, description = "Its configuration", content_type = "application/json", body = NamespaceSettings)),
)]
pub(crate) fn get(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let namespace = path::namespace(call.names[0])?;
    let asked = shared_headers(call)?;
    call.query(&[])?;
    let _admission = api.region.admit(0).map_err(errors::problem)?;
    let configuration = api.region.namespace(&namespace).map_err(errors::problem)?;
    Ok(finish(
        &asked,
        answer::json(&NamespaceSettings::from(configuration)),
    ))
}

/// Lists the namespaces that were configured or hold data.
#[utoipa::path(
    get,
    path = "/v1/data",
    tag = "data",
    responses((status = 200, description = "The namespaces, in order", content_type = "application/json", body = NamespaceNames)),
)]
pub(crate) async fn list(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let asked = shared_headers(call)?;
    call.query(&[])?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let namespaces = api.region.namespaces(admission).await.map_err(errors::problem)?;
    let names = namespaces
        .iter()
        .filter(|namespace| !namespace.is_system())
        .map(ToString::to_string)
        .collect();
    Ok(finish(
        &asked,
        answer::json(&NamespaceNames { namespaces: names }),
    ))
}

fn shared_headers(call: &Call<'_>) -> Result<DataHeaders, Problem> {
    let asked = DataHeaders::parse(call.headers)?;
    headers::refuse_preconditions(call.headers, "namespaces have no entity tags; leave it out")?;
    headers::refuse_context(call.headers)?;
    Ok(asked)
}

fn finish(asked: &DataHeaders, mut response: Response<Body>) -> Response<Body> {
    let level = asked
        .level
        .map_or(HeaderValue::from_static(Level::LocalQuorum.name()), |level| {
            level.header()
        });
    response.headers_mut().insert(&ATOLL_CONSISTENCY, level);
    response
}

fn policy(name: &str) -> Result<ConflictPolicy, Problem> {
    match name {
        "lww" => Ok(ConflictPolicy::Lww),
        "siblings" => Ok(ConflictPolicy::Siblings),
        _ => Err(Problem::invalid(match name.strip_prefix("custom:") {
            Some(handler) => format!(
                "in the body, conflict_policy: no handler named {handler:?} is registered; use lww or siblings"
            ),
            None => format!(
                "in the body, conflict_policy is {name:?}: use lww, siblings, or custom: and the name of a registered handler"
            ),
        })),
    }
}
