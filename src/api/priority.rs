//! `Atoll-Priority`: what a region that is not healthy refuses first.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::api::Api;
use crate::api::headers;
use crate::api::problem::{Code, Problem};

/// How much a request matters to its client: `normal`, or `low` for what can wait.
pub(crate) static ATOLL_PRIORITY: HeaderName = HeaderName::from_static("atoll-priority");

/// Lets a request pass unless it can wait and the region has trouble.
///
/// # Errors
/// 503 `overloaded` with `Retry-After`; 400 for a priority that does not exist. Nothing was done.
pub(crate) fn check(api: &Api, given: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = given.get(&ATOLL_PRIORITY) else {
        return Ok(());
    };
    match headers::text(&ATOLL_PRIORITY, value)? {
        "normal" => return Ok(()),
        "low" => {}
        other => {
            return Err(Problem::invalid(format!(
                "the header Atoll-Priority is {other:?}: use low or normal"
            )));
        }
    }
    match api.region.shed_low_priority() {
        None => Ok(()),
        Some(shedding) => Err(Problem::new(
            Code::Overloaded,
            format!(
                "this region is {} and refuses requests of low priority: nothing was done; try again after {} s, elsewhere, or without Atoll-Priority",
                shedding.state.name(),
                shedding.retry_after_seconds
            ),
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from(shedding.retry_after_seconds))),
    }
}
