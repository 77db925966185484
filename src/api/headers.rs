//! Names of the contract's headers, and what requests say with those that all data requests share.
//!
//! A level or guarantee that this version cannot give is refused by name; leaving a header unread would be a silent
//! 2xx.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::api::problem::Problem;
use crate::model::idempotency::IdempotencyKey;
use crate::model::limits;

/// The level asked for, and the level that was met.
pub(crate) static ATOLL_CONSISTENCY: HeaderName = HeaderName::from_static("atoll-consistency");
/// What the client has seen.
pub(crate) static ATOLL_SESSION: HeaderName = HeaderName::from_static("atoll-session");
/// How old an answer may be.
pub(crate) static ATOLL_MAX_STALENESS_MS: HeaderName = HeaderName::from_static("atoll-max-staleness-ms");
/// What to do when the session's changes are not here: `forward`.
pub(crate) static ATOLL_SESSION_FALLBACK: HeaderName = HeaderName::from_static("atoll-session-fallback");
/// Between regions only: the home that was asked is no longer one, and has done nothing.
pub(crate) static ATOLL_HOME_MOVED: HeaderName = HeaderName::from_static("atoll-home-moved");
/// How old what was read can be.
pub(crate) static ATOLL_STALENESS_MS: HeaderName = HeaderName::from_static("atoll-staleness-ms");
/// How long to wait for the outcome.
pub(crate) static ATOLL_TIMEOUT_MS: HeaderName = HeaderName::from_static("atoll-timeout-ms");
/// Makes a write that is sent again take effect once.
pub(crate) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks an answer that was decided when the request was first sent.
pub(crate) static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The siblings that a write replaces.
pub(crate) static ATOLL_CONTEXT: HeaderName = HeaderName::from_static("atoll-context");
/// The version that was written or shown.
pub(crate) static ATOLL_VERSION: HeaderName = HeaderName::from_static("atoll-version");
/// Which node of the region that answered leads what was asked for.
pub(crate) static ATOLL_LEADER: HeaderName = HeaderName::from_static("atoll-leader");
/// Who answered.
pub(crate) static ATOLL_REGION: HeaderName = HeaderName::from_static("atoll-region");

/// A consistency level of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// This node's applied state; writes are committed in the region.
    Eventual,
    /// Linearizable within the region.
    LocalQuorum,
    /// A majority of all regions.
    GlobalQuorum,
    /// By the namespace's home region.
    Strong,
}

impl Level {
    /// All levels, weakest first.
    pub(crate) const ALL: [Self; 4] = [
        Self::Eventual,
        Self::LocalQuorum,
        Self::GlobalQuorum,
        Self::Strong,
    ];

    /// The name in headers and configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::LocalQuorum => "local_quorum",
            Self::GlobalQuorum => "global_quorum",
            Self::Strong => "strong",
        }
    }

    /// The level of a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// `Atoll-Consistency` of the answer.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// The valid names, for errors.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// What the shared headers of a data request say.
#[derive(Debug, Clone)]
pub(crate) struct DataHeaders {
    /// The level asked for; none leaves it to the namespace.
    pub(crate) level: Option<Level>,
    /// How long to wait for the outcome of a write; none leaves it to the settings.
    pub(crate) timeout: Option<Duration>,
    /// Under which key the outcome of a write is remembered.
    pub(crate) idempotency_key: Option<IdempotencyKey>,
}

impl DataHeaders {
    /// Reads the shared headers.
    ///
    /// # Errors
    /// 400 for what is not valid, 503 for guarantees that this version cannot give.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        let timeout = timeout(headers)?;
        let level = match headers.get(&ATOLL_CONSISTENCY) {
            None => None,
            Some(value) => Some(level(value)?),
        };
        Ok(Self {
            level,
            timeout,
            idempotency_key: idempotency_key(headers)?,
        })
    }
}

fn level(value: &HeaderValue) -> Result<Level, Problem> {
    let name = text(&ATOLL_CONSISTENCY, value)?;
    Level::parse(name).ok_or_else(|| {
        Problem::invalid(format!(
            "the header Atoll-Consistency is {name:?}: use one of {}",
            Level::names()
        ))
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::invalid(
            "the header Idempotency-Key is given twice: use one key for each request that is not a repeat",
        ));
    }
    let key = IdempotencyKey::new(text(&IDEMPOTENCY_KEY, value)?)
        .map_err(|error| Problem::invalid(format!("in the header Idempotency-Key: {error}")))?;
    Ok(Some(key))
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(value) = headers.get(&ATOLL_TIMEOUT_MS) else {
        return Ok(None);
    };
    let given = text(&ATOLL_TIMEOUT_MS, value)?;
    // `parse` alone would take a sign.
    let digits = given.bytes().all(|b| b.is_ascii_digit());
    match given.parse::<u64>() {
        Ok(ms) if digits && (1..=limits::REQUEST_TIMEOUT_MS_MAX).contains(&ms) => {
            Ok(Some(Duration::from_millis(ms)))
        }
        _ => Err(Problem::invalid(format!(
            "the header Atoll-Timeout-Ms is {given:?}: use a whole number from 1 to {}",
            limits::REQUEST_TIMEOUT_MS_MAX
        ))),
    }
}

/// Preconditions are refused rather than ignored on what has no entity tag. `right` says so, and what would be right.
///
/// # Errors
/// 400.
pub(crate) fn refuse_preconditions(headers: &HeaderMap, right: &str) -> Result<(), Problem> {
    for name in [&header::IF_MATCH, &header::IF_NONE_MATCH] {
        if headers.contains_key(name) {
            return Err(Problem::invalid(format!(
                "the header {} does not apply here: {right}",
                shown_name(name)
            )));
        }
    }
    Ok(())
}

/// The context of siblings is refused rather than ignored on what has none.
///
/// # Errors
/// 400.
pub(crate) fn refuse_context(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(&ATOLL_CONTEXT) {
        return Err(Problem::invalid(
            "the header Atoll-Context applies to single registers only, which alone can have siblings: leave it out",
        ));
    }
    Ok(())
}

/// A header's value as text.
///
/// # Errors
/// 400 unless it is visible ASCII.
pub(crate) fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    value.to_str().map_err(|_| {
        Problem::invalid(format!(
            "the header {} has bytes that are no visible ASCII",
            shown_name(name)
        ))
    })
}

/// The name as the contract writes it: `Atoll-Timeout-Ms`.
pub(crate) fn shown_name(name: &HeaderName) -> String {
    let capitalised = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    let words: Vec<_> = name.as_str().split('-').map(capitalised).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &'static str, value: &'static str) -> Result<DataHeaders, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        DataHeaders::parse(&headers)
    }

    #[test]
    fn names_are_shown_as_the_contract_writes_them() {
        assert_eq!(shown_name(&ATOLL_MAX_STALENESS_MS), "Atoll-Max-Staleness-Ms");
        assert_eq!(shown_name(&IDEMPOTENCY_KEY), "Idempotency-Key");
        assert_eq!(shown_name(&header::IF_NONE_MATCH), "If-None-Match");
    }

    #[test]
    fn timeouts_have_1_to_60000_ms() {
        assert_eq!(
            parse("atoll-timeout-ms", "60000").unwrap().timeout,
            Some(Duration::from_secs(60))
        );
        for bad in ["0", "60001", "", "-1", "+1", "1.5", "5s"] {
            let problem = parse("atoll-timeout-ms", bad).unwrap_err();
            assert!(problem.detail().contains("Atoll-Timeout-Ms"), "{bad}");
        }
    }

    #[test]
    fn unknown_levels_are_told_the_valid_ones() {
        assert!(parse("atoll-consistency", "eventual").unwrap().level.is_some());
        let problem = parse("atoll-consistency", "EVENTUAL").unwrap_err();
        assert!(
            problem
                .detail()
                .contains("eventual, local_quorum, global_quorum, strong")
        );
    }
}
