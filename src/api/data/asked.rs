//! What a request's headers ask for beyond its data: level, session, staleness, time.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::api::Api;
use crate::api::data::errors;
use crate::api::headers::{
    self, ATOLL_MAX_STALENESS_MS, ATOLL_SESSION, ATOLL_SESSION_FALLBACK, DataHeaders, Level,
};
use crate::api::problem::Problem;
use crate::model::ids::Namespace;
use crate::model::limits;
use crate::model::session::SessionToken;
use crate::wire::session;

/// What a request asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    level: Option<Level>,
    /// What the client has seen; nothing without a token.
    pub(crate) session: SessionToken,
    /// A region that has what the session has seen may answer instead.
    pub(crate) may_answer_elsewhere: bool,
    /// How old what is read may be; none for any age.
    pub(crate) staleness_max: Option<Duration>,
    /// How long the client waits.
    pub(crate) timeout: Duration,
}

impl Asked {
    /// Reads the headers.
    ///
    /// # Errors
    /// 400, which says what would be right.
    pub(crate) fn parse(api: &Api, headers: &HeaderMap) -> Result<Self, Problem> {
        let shared = DataHeaders::parse(headers)?;
        Ok(Self {
            level: shared.level,
            session: session_of(api, headers)?,
            may_answer_elsewhere: may_answer_elsewhere(headers)?,
            staleness_max: staleness_max(headers)?,
            timeout: shared.timeout.unwrap_or(api.settings.write_timeout),
        })
    }

    /// The level of this request in a namespace.
    ///
    /// # Errors
    /// 503 where the namespace's default is one that a newer version has configured.
    pub(crate) fn level_in(&self, api: &Api, namespace: &Namespace) -> Result<Level, Problem> {
        if let Some(level) = self.level {
            return Ok(level);
        }
        let configuration = api.region.namespace(namespace).map_err(errors::problem)?;
        Level::parse(&configuration.default_consistency).ok_or_else(|| {
            Problem::unavailable(format!(
                "the configuration of namespace {namespace} (default_consistency) asks for consistency {:?}, which this version does not know: nothing was done; use one of {}",
                configuration.default_consistency,
                Level::names()
            ))
        })
    }
}

/// Whether a request demands something of the present version.
pub(crate) fn has_precondition(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH)
}

/// A token as clients carry it.
pub(crate) fn token_header(api: &Api, token: &SessionToken) -> HeaderValue {
    let (cluster, _) = api.region.cluster();
    let text = URL_SAFE_NO_PAD.encode(session::encode(token, &cluster));
    HeaderValue::try_from(text).expect("base64 is visible ASCII")
}

/// What the tokens of a request or an answer have seen; nothing without one.
///
/// # Errors
/// 400 for what is no token of this cluster.
pub(crate) fn session_of(api: &Api, headers: &HeaderMap) -> Result<SessionToken, Problem> {
    let mut merged = SessionToken::default();
    // Several may be given: somebody who has talked to two regions has seen both.
    for value in headers.get_all(&ATOLL_SESSION) {
        let text = headers::text(&ATOLL_SESSION, value)?;
        let (cluster, regions) = api.region.cluster();
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| session::TokenError::Malformed);
        let token = bytes.and_then(|bytes| session::decode(&bytes, &cluster, regions.into_iter()));
        let token = token.map_err(|error| Problem::invalid(format!("the header Atoll-Session {error}")))?;
        merged.merge(&token);
    }
    Ok(merged)
}

/// Refuses a token that would be waited for in vain.
///
/// # Errors
/// 400.
pub(crate) fn check_believable(api: &Api, session: &SessionToken) -> Result<(), Problem> {
    if api.region.is_believable(session) {
        return Ok(());
    }
    Err(Problem::invalid(
        "the header Atoll-Session has seen what lies in the future of this region's clock: leave it out, or check the clocks of the regions",
    ))
}

fn may_answer_elsewhere(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers.get(&ATOLL_SESSION_FALLBACK) {
        None => Ok(false),
        Some(value) if value.as_bytes() == b"forward" => Ok(true),
        Some(_) => Err(Problem::invalid(
            "the header Atoll-Session-Fallback is not \"forward\", the only thing it can be: leave it out to wait",
        )),
    }
}

fn staleness_max(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(value) = headers.get(&ATOLL_MAX_STALENESS_MS) else {
        return Ok(None);
    };
    let given = headers::text(&ATOLL_MAX_STALENESS_MS, value)?;
    // `parse` alone would take a sign.
    let has_digits_only = given.bytes().all(|byte| byte.is_ascii_digit());
    match given.parse::<u64>() {
        Ok(ms) if has_digits_only && (1..=limits::STALENESS_MS_MAX).contains(&ms) => {
            Ok(Some(Duration::from_millis(ms)))
        }
        _ => Err(Problem::invalid(format!(
            "the header Atoll-Max-Staleness-Ms is {given:?}: use a whole number from 1 to {}",
            limits::STALENESS_MS_MAX
        ))),
    }
}
