//! Listings of keys: one shape for all types; what only registers have is left out for the others.

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::actors::region::ListedKey;
use crate::api::call::Call;
use crate::api::data::errors;
use crate::api::data::scope::Scope;
use crate::api::problem::Problem;
use crate::api::{Api, answer};
use crate::model::record::RecordType;

/// The query of a listing of keys.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query in the OpenAPI document")]
pub(crate) struct KeyListingQuery {
    /// Only keys that start with this.
    prefix: Option<String>,
    /// Only keys after this one: the `next` of the page before.
    after: Option<String>,
    /// At most so many; 1000 if absent. More than 10000 are never answered at once.
    #[param(minimum = 1)]
    limit: Option<u64>,
}

/// A page of registers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RegisterKeys {
    /// In byte order.
    keys: Vec<RegisterKey>,
    /// What to pass as `after` for the next page; null at the end.
    next: Option<String>,
}

/// A register in a listing. Of siblings the highest version counts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct RegisterKey {
    /// The key.
    key: String,
    /// The bytes of its value.
    size: u64,
    /// As it was written.
    content_type: Option<String>,
    /// Its version, opaque, sortable as text.
    version: Option<String>,
}

/// A page of counters, sets or maps.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RecordKeys {
    /// In byte order.
    keys: Vec<RecordKey>,
    /// What to pass as `after` for the next page; null at the end.
    next: Option<String>,
}

/// A counter, set or map in a listing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct RecordKey {
    /// The key.
    key: String,
    /// Members of a set, fields of a map, 0 for counters.
    size: u64,
}

/// Lists keys of one type.
///
/// # Errors
/// As all data requests.
pub(crate) async fn list(
    api: &Api,
    call: &Call<'_>,
    record_type: RecordType,
) -> Result<Response<Body>, Problem> {
    let scope = Scope::open(api, call, "listings have no entity tags; leave it out")?;
    let query = call.query(&["prefix", "after", "limit"])?;
    let prefix = query.key_text("prefix")?.unwrap_or_default().to_owned();
    let page = query.page()?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let (namespace, part) = (scope.namespace.clone(), call.part);
    let page = api
        .scan(admission, move |region| {
            region.list(&namespace, record_type, &prefix, &page, part)
        })
        .await
        .map_err(errors::problem)?;
    let next = page.next;
    let response = if record_type == RecordType::Register {
        let keys = page.keys.into_iter().map(register_key).collect();
        answer::json(&RegisterKeys { keys, next })
    } else {
        let record_key = |listed: ListedKey| RecordKey {
            key: listed.key,
            size: listed.size,
        };
        let keys = page.keys.into_iter().map(record_key).collect();
        answer::json(&RecordKeys { keys, next })
    };
    Ok(scope.finish(response, None))
}

fn register_key(listed: ListedKey) -> RegisterKey {
    RegisterKey {
        key: listed.key,
        size: listed.size,
        content_type: listed.content_type,
        version: listed.version.map(|version| version.to_string()),
    }
}

/// One page of what several nodes of the region have answered, each for other partitions; none where an answer is no page.
pub(crate) fn merge(pages: &[Bytes], record_type: RecordType, limit: usize) -> Option<Response<Body>> {
    let json = |page: &Bytes| serde_json::from_slice(page).ok();
    if record_type == RecordType::Register {
        let pages: Option<Vec<RegisterKeys>> = pages.iter().map(json).collect();
        let pages = pages?.into_iter().map(|page| (page.keys, page.next));
        let (keys, next) = merge_pages(pages, |key| &key.key, limit);
        return Some(answer::json(&RegisterKeys { keys, next }));
    }
    let json = |page: &Bytes| serde_json::from_slice(page).ok();
    let pages: Option<Vec<RecordKeys>> = pages.iter().map(json).collect();
    let pages = pages?.into_iter().map(|page| (page.keys, page.next));
    let (keys, next) = merge_pages(pages, |key| &key.key, limit);
    Some(answer::json(&RecordKeys { keys, next }))
}

/// Whoever has more has it behind its `next`: what others have behind that is for the next page.
fn merge_pages<T>(
    pages: impl Iterator<Item = (Vec<T>, Option<String>)>,
    name: impl Fn(&T) -> &String,
    limit: usize,
) -> (Vec<T>, Option<String>) {
    let (mut merged, mut end): (Vec<T>, Option<String>) = (Vec::new(), None);
    for (keys, next) in pages {
        merged.extend(keys);
        end = match (end, next) {
            (Some(end), Some(next)) => Some(end.min(next)),
            (end, next) => end.or(next),
        };
    }
    merged.sort_by(|one, other| name(one).cmp(name(other)));
    if let Some(end) = &end {
        merged.retain(|key| name(key) <= end);
    }
    if merged.len() > limit {
        merged.truncate(limit);
        end = merged.last().map(|key| name(key).clone());
    }
    (merged, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(pages: &[(&str, Option<&str>)], limit: usize) -> (String, Option<String>) {
        let pages = pages.iter().map(|(keys, next)| {
            let keys = keys.chars().map(|key| key.to_string()).collect();
            (keys, next.map(str::to_owned))
        });
        let (keys, next) = merge_pages(pages, |key| key, limit);
        (keys.concat(), next)
    }

    #[test]
    fn pages_of_several_nodes_make_one_that_leaves_nothing_out() {
        assert_eq!(
            merged(&[("ad", None), ("bc", None)], 4),
            ("abcd".to_owned(), None)
        );
        // The first may have something before d.
        let cut = ("ab".to_owned(), Some("b".to_owned()));
        assert_eq!(merged(&[("ab", Some("b")), ("cd", Some("d"))], 2), cut);
        let cut = ("abc".to_owned(), Some("c".to_owned()));
        assert_eq!(merged(&[("ac", Some("c")), ("bd", None)], 9), cut);
        let cut = ("ab".to_owned(), Some("b".to_owned()));
        assert_eq!(merged(&[("ac", None), ("b", None)], 2), cut);
        assert_eq!(merged(&[], 2), (String::new(), None));
    }
}
