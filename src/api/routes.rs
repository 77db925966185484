//! The table of what the surface has: from a raw path to a route, and which methods each route knows.
//!
//! Paths are matched before percent-decoding: literals as they are, names as any segment, also an empty one, so that
//! the handler can say what is wrong with it. Invariant 15: every pair of route and method stands in the OpenAPI document
//! (a test compares them).

use axum::http::{HeaderValue, Method};

use crate::model::record::RecordType;

/// The methods that some route knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// Reads.
    Get,
    /// Reads without the body.
    Head,
    /// Replaces.
    Put,
    /// Operates on.
    Post,
    /// Deletes.
    Delete,
}

impl Verb {
    /// The verb of a method; none for methods that no route knows.
    pub(crate) fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET => Some(Self::Get),
            Method::HEAD => Some(Self::Head),
            Method::PUT => Some(Self::Put),
            Method::POST => Some(Self::Post),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    /// The method's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A route of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// All namespaces.
    Namespaces,
    /// The configuration of a namespace.
    Namespace,
    /// Several writes at once.
    Batch,
    /// The keys of one type.
    Keys(RecordType),
    /// A register, counter, set or map.
    Record(RecordType),
    /// A member of a set.
    Member,
    /// A field of a map.
    Field,
    /// The state of the node and its links.
    Status,
    /// The digest of the region.
    Digest,
    /// The configuration of the node.
    Configuration,
    /// Reads it again.
    ReloadConfiguration,
    /// The nodes of the region.
    Nodes,
    /// Lets a node take part in the region.
    AddNode,
    /// Lets a node lead nothing.
    DrainNode,
    /// Takes a node out of the region.
    RemoveNode,
    /// Stops a link.
    PauseLink,
    /// Starts a link.
    ResumeLink,
    /// The ledger of losers.
    Conflicts,
    /// Whether the process lives.
    Live,
    /// Whether the node serves.
    Ready,
    /// Whether the region should receive traffic.
    RegionHealth,
    /// Metrics for Prometheus.
    Metrics,
    /// The OpenAPI document.
    OpenApi,
}

impl Route {
    /// All routes.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 29] = [
        Self::Namespaces,
        Self::Namespace,
        Self::Batch,
        Self::Keys(RecordType::Register),
        Self::Keys(RecordType::Counter),
        Self::Keys(RecordType::Set),
        Self::Keys(RecordType::Map),
        Self::Record(RecordType::Register),
        Self::Record(RecordType::Counter),
        Self::Record(RecordType::Set),
        Self::Record(RecordType::Map),
        Self::Member,
        Self::Field,
        Self::Status,
        Self::Digest,
        Self::Configuration,
        Self::ReloadConfiguration,
        Self::Nodes,
        Self::AddNode,
        Self::DrainNode,
        Self::RemoveNode,
        Self::PauseLink,
        Self::ResumeLink,
        Self::Conflicts,
        Self::Live,
        Self::Ready,
        Self::RegionHealth,
        Self::Metrics,
        Self::OpenApi,
    ];

    /// The template of its path.
    pub(crate) fn template(self) -> &'static str {
        use RecordType::{Counter, Map, Register, Set};
        match self {
            Self::Namespaces => "/v1/data",
            Self::Namespace => "/v1/data/{namespace}",
            Self::Batch => "/v1/data/{namespace}/batch",
            Self::Keys(Register) => "/v1/data/{namespace}/registers",
            Self::Keys(Counter) => "/v1/data/{namespace}/counters",
            Self::Keys(Set) => "/v1/data/{namespace}/sets",
            Self::Keys(Map) => "/v1/data/{namespace}/maps",
            Self::Record(Register) => "/v1/data/{namespace}/registers/{key}",
            Self::Record(Counter) => "/v1/data/{namespace}/counters/{key}",
            Self::Record(Set) => "/v1/data/{namespace}/sets/{key}",
            Self::Record(Map) => "/v1/data/{namespace}/maps/{key}",
            Self::Member => "/v1/data/{namespace}/sets/{key}/{member}",
            Self::Field => "/v1/data/{namespace}/maps/{key}/{field}",
            Self::Status => "/v1/cluster/status",
            Self::Digest => "/v1/cluster/digest",
            Self::Configuration => "/v1/cluster/config",
            Self::ReloadConfiguration => "/v1/cluster/config/reload",
            Self::Nodes => "/v1/cluster/nodes",
            Self::AddNode => "/v1/cluster/nodes/{node}/add",
            Self::DrainNode => "/v1/cluster/nodes/{node}/drain",
            Self::RemoveNode => "/v1/cluster/nodes/{node}/remove",
            Self::PauseLink => "/v1/cluster/links/{region}/pause",
            Self::ResumeLink => "/v1/cluster/links/{region}/resume",
            Self::Conflicts => "/v1/cluster/conflicts",
            Self::Live => "/health/live",
            Self::Ready => "/health/ready",
            Self::RegionHealth => "/health/region",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
        }
    }

    /// The methods it knows. HEAD goes wherever GET goes.
    pub(crate) fn verbs(self) -> &'static [Verb] {
        use Verb::{Delete, Get, Head, Post, Put};
        match self {
            Self::Namespace => &[Get, Head, Put],
            Self::Record(RecordType::Register) | Self::Member | Self::Field => &[Get, Head, Put, Delete],
            Self::Record(RecordType::Counter) => &[Get, Head, Post, Delete],
            Self::Record(RecordType::Set | RecordType::Map) => &[Get, Head, Post],
            Self::Batch
            | Self::PauseLink
            | Self::ResumeLink
            | Self::ReloadConfiguration
            | Self::AddNode
            | Self::DrainNode
            | Self::RemoveNode => &[Post],
            _ => &[Get, Head],
        }
    }

    /// The methods as the `Allow` header lists them.
    pub(crate) fn allow(self) -> HeaderValue {
        let names: Vec<_> = self.verbs().iter().map(|verb| verb.name()).collect();
        HeaderValue::from_str(&names.join(", ")).expect("method names are letters")
    }
}

/// A route and the raw segments that stand for its names, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// The route.
    pub(crate) route: Route,
    /// Still percent-encoded; what the route does not name is empty.
    pub(crate) names: [&'a str; 3],
}

/// Segments of the longest path.
const SEGMENTS_MAX: usize = 6;

/// Finds the route of a raw path; none if there is no such path.
pub(crate) fn find(path: &str) -> Option<Found<'_>> {
    let mut segments = [""; SEGMENTS_MAX];
    let mut count = 0;
    for segment in path.strip_prefix('/')?.split('/') {
        *segments.get_mut(count)? = segment;
        count += 1;
    }
    let found = |route, names| Some(Found { route, names });
    match segments[..count] {
        ["v1", "data", ref rest @ ..] => find_data(rest),
        ["v1", "cluster", "status"] => found(Route::Status, [""; 3]),
        ["v1", "cluster", "digest"] => found(Route::Digest, [""; 3]),
        ["v1", "cluster", "conflicts"] => found(Route::Conflicts, [""; 3]),
        ["v1", "cluster", "config"] => found(Route::Configuration, [""; 3]),
        ["v1", "cluster", "config", "reload"] => found(Route::ReloadConfiguration, [""; 3]),
        ["v1", "cluster", "nodes"] => found(Route::Nodes, [""; 3]),
        ["v1", "cluster", "nodes", node, "add"] => found(Route::AddNode, [node, "", ""]),
        ["v1", "cluster", "nodes", node, "drain"] => found(Route::DrainNode, [node, "", ""]),
        ["v1", "cluster", "nodes", node, "remove"] => found(Route::RemoveNode, [node, "", ""]),
        ["v1", "cluster", "links", region, "pause"] => found(Route::PauseLink, [region, "", ""]),
        ["v1", "cluster", "links", region, "resume"] => found(Route::ResumeLink, [region, "", ""]),
        ["health", "live"] => found(Route::Live, [""; 3]),
        ["health", "ready"] => found(Route::Ready, [""; 3]),
        ["health", "region"] => found(Route::RegionHealth, [""; 3]),
        ["metrics"] => found(Route::Metrics, [""; 3]),
        ["openapi.json"] => found(Route::OpenApi, [""; 3]),
        _ => None,
    }
}

fn find_data<'a>(segments: &[&'a str]) -> Option<Found<'a>> {
    let (route, names) = match *segments {
        [] => (Route::Namespaces, [""; 3]),
        [namespace] => (Route::Namespace, [namespace, "", ""]),
        [namespace, "batch"] => (Route::Batch, [namespace, "", ""]),
        [namespace, kind] => (Route::Keys(record_type(kind)?), [namespace, "", ""]),
        [namespace, kind, key] => (Route::Record(record_type(kind)?), [namespace, key, ""]),
        [namespace, "sets", key, member] => (Route::Member, [namespace, key, member]),
        [namespace, "maps", key, field] => (Route::Field, [namespace, key, field]),
        _ => return None,
    };
    Some(Found { route, names })
}

fn record_type(segment: &str) -> Option<RecordType> {
    match segment {
        "registers" => Some(RecordType::Register),
        "counters" => Some(RecordType::Counter),
        "sets" => Some(RecordType::Set),
        "maps" => Some(RecordType::Map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_leads_to_its_route() {
        for route in Route::ALL {
            let found = find(route.template()).unwrap();
            assert_eq!(found.route, route);
            let named: Vec<_> = found.names.into_iter().filter(|name| !name.is_empty()).collect();
            let templated: Vec<_> = route
                .template()
                .split('/')
                .filter(|segment| segment.starts_with('{'))
                .collect();
            assert_eq!(named, templated);
        }
    }

    #[test]
    fn paths_that_nearly_exist_do_not() {
        for path in [
            "",
            "/",
            "*",
            "/v1",
            "/v1/",
            "//v1/data",
            "/v2/data",
            "/V1/data",
            "/v1/data/ns/",
            "/v1/data/ns/registers/key/",
            "/v1/data/ns/registers/a/b",
            "/v1/data/ns/counters/a/b",
            "/v1/data/ns/register/a",
            "/v1/data/ns/%72egisters/a",
            "/v1/data/ns/sets/key/member/",
            "/v1/data/ns/sets/key/member/more/and/more",
            "/v1/cluster",
            "/v1/cluster/status/",
            "/v1/cluster/links/eu/pause/now",
            "/v1/cluster/links/eu",
            "/health",
            "/health/",
            "/metrics/",
            "/openapi.json/",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }

    #[test]
    fn names_stay_raw_and_may_be_empty() {
        assert_eq!(find("/v1/data/").unwrap().names, ["", "", ""]);
        assert_eq!(find("/v1/data/").unwrap().route, Route::Namespace);
        assert_eq!(find("/v1/data/ns/registers/").unwrap().names, ["ns", "", ""]);
        assert_eq!(
            find("/v1/data/ns/sets/a%2Fb/%zz").unwrap().names,
            ["ns", "a%2Fb", "%zz"]
        );
        assert_eq!(find("/v1/data//sets/k/").unwrap().names, ["", "k", ""]);
    }
}
