//! What sets and maps have in common: operations on many members or fields in one request.

use std::collections::HashSet;

use utoipa::IntoParams;

use crate::actors::region::RegionError;
use crate::api::data::errors;
use crate::api::problem::Problem;
use crate::model::ids::SubKey;
use crate::model::limits;
use crate::model::request::{WriteAnswer, WriteEffect};

/// The query of a listing of members or fields.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query in the OpenAPI document")]
pub(crate) struct PageQuery {
    /// Only what comes after this: the `next` of the page before.
    after: Option<String>,
    /// At most so many; 1000 if absent. More than 10000 are never answered at once.
    #[param(minimum = 1)]
    limit: Option<u64>,
}

/// Refuses a request with more operations than a commit takes.
///
/// # Errors
/// 400 that names the limit.
pub(crate) fn check_count(count: usize) -> Result<(), Problem> {
    // `>`: exactly the limit is allowed.
    if count > limits::OPERATIONS_PER_REQUEST_MAX {
        return Err(Problem::invalid(format!(
            "the request has {count} operations, more than the limit of {}: split it",
            limits::OPERATIONS_PER_REQUEST_MAX
        )));
    }
    Ok(())
}

/// Members or fields of one list of a request, each once, in the order given.
///
/// # Errors
/// 400 for lengths that are not valid, with the place in the list.
pub(crate) fn sub_keys(list: &str, texts: &[String]) -> Result<Vec<SubKey>, Problem> {
    let mut seen = HashSet::with_capacity(texts.len());
    let mut parts = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate() {
        if seen.insert(text.as_str()) {
            let part = SubKey::new(text)
                .map_err(|error| Problem::invalid(format!("in the body, {list}[{position}]: {error}")))?;
            parts.push(part);
        }
    }
    Ok(parts)
}

/// What came and what went.
///
/// # Errors
/// 500 when the region answers with something else.
pub(crate) fn counts(written: &WriteAnswer) -> Result<(usize, usize), Problem> {
    match written.effect {
        WriteEffect::Parts { added, removed } => Ok((added, removed)),
        WriteEffect::Register | WriteEffect::Counter { .. } => Err(errors::problem(RegionError::Internal(
            "a write to a set or map was answered as something else".to_owned(),
        ))),
    }
}
