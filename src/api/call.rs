//! A request as handlers see it: everything but the body, which has one reader at a time.

use axum::http::{HeaderMap, Method};

use crate::api::forwarded::PassedOn;
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::api::routes::Verb;
use crate::model::partition_set::PartitionSet;

/// A request without its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The method.
    pub(crate) method: &'a Method,
    /// The same, as one that the route knows.
    pub(crate) verb: Verb,
    /// Path and query, raw.
    pub(crate) target: &'a str,
    /// The path, raw.
    pub(crate) path: &'a str,
    /// Another region has passed it on.
    pub(crate) passed_on: Option<PassedOn>,
    /// Another node of this region has passed it on.
    pub(crate) is_from_node: bool,
    /// Of a listing: only what is in these partitions is asked for.
    pub(crate) part: Option<PartitionSet>,
    /// It is answered as the home of its namespace.
    pub(crate) is_at_home: bool,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
    /// The query, raw.
    pub(crate) query: Option<&'a str>,
    /// The names in the path, raw, in the order of the route's template.
    pub(crate) names: [&'a str; 3],
}

impl Call<'_> {
    /// The query parameters, of which those in `known` are allowed.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn query(&self, known: &[&'static str]) -> Result<Query, Problem> {
        Query::parse(self.query, known)
    }
}
