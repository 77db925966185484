//! The OpenAPI document: generated from the handlers' annotations, with what all requests of a surface share added here.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Required};
use utoipa::{Modify, OpenApi};

use crate::api::problem::{Code, PROBLEM_MEDIA_TYPE, ProblemSchema};
use crate::api::{cluster, data, dispatch, health};
use crate::model::limits;

/// The document of the whole surface.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Atoll",
        description = "An active-active, multi-region store. Every region accepts every write; all converge. \
            HEAD is answered wherever GET is, with the same headers. Errors are problem details (RFC 9457) with a stable `code`.",
    ),
    paths(
        data::namespaces::list,
        data::namespaces::get,
        data::namespaces::put,
        data::batch::post,
        data::registers::list,
        data::registers::get,
        data::registers::head,
        data::registers::put,
        data::registers::delete,
        data::counters::list,
        data::counters::get,
        data::counters::add,
        data::counters::reset,
        data::sets::list,
        data::sets::members,
        data::sets::update,
        data::sets::get_member,
        data::sets::put_member,
        data::sets::delete_member,
        data::maps::list,
        data::maps::fields,
        data::maps::update,
        data::maps::get_field,
        data::maps::put_field,
        data::maps::delete_field,
        cluster::status::get,
        cluster::digest::get,
        cluster::configuration::get,
        cluster::configuration::reload,
        cluster::nodes::list,
        cluster::nodes::add,
        cluster::nodes::drain,
        cluster::nodes::remove,
        cluster::links::pause,
        cluster::links::resume,
        cluster::conflicts::get,
        health::probes::live,
        health::probes::ready,
        health::probes::region,
        health::metrics::get,
        dispatch::openapi,
    ),
    components(schemas(ProblemSchema, data::batch_body::BatchOperationSchema)),
    tags(
        (name = "data", description = "Registers, counters, sets, maps and their namespaces"),
        (name = "cluster", description = "The cluster as this node sees it, for operators"),
        (name = "health", description = "Probes, metrics and this document"),
    ),
    modifiers(&Shared),
)]
struct Document;

/// Adds what requests share: headers, errors, names of operations.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in [
                ("get", &mut item.get),
                ("head", &mut item.head),
                ("put", &mut item.put),
                ("post", &mut item.post),
                ("delete", &mut item.delete),
            ] {
                if let Some(operation) = operation {
                    complete(path, method, operation);
                }
            }
        }
    }
}

fn complete(path: &str, method: &str, operation: &mut Operation) {
    operation.operation_id = Some(operation_id(path, method));
    let writes = !matches!(method, "get" | "head");
    let is_data = path.starts_with("/v1/data");
    let has_entity_tag = has_entity_tag(path);
    if is_data {
        let parameters = operation.parameters.get_or_insert_with(Vec::new);
        parameters.extend(data_parameters());
        if writes {
            parameters.push(idempotency_parameter());
        }
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response {
                if writes {
                    let repeat = "`true` where a repeat was given the first outcome of its idempotency key";
                    add_header(response, "Idempotent-Replayed", repeat);
                }
                add_header(response, "Atoll-Consistency", "The level that was met");
                // How namespaces are configured is not part of a session.
                if path.matches('/').count() > 3 {
                    let token = "A token that covers what this answer shows or has written";
                    add_header(response, "Atoll-Session", token);
                    let leader = "The node that leads the record's partition in the region that answered: asking it saves a way. Absent \
                                  from listings and in regions of one node";
                    add_header(response, "Atoll-Leader", leader);
                    if !writes {
                        let age = "How old what it shows can be; absent while some region was not heard of since the start";
                        add_header(response, "Atoll-Staleness-Ms", age);
                    }
                }
                debug_assert!(status.starts_with(['2', '3']), "errors are added below");
            }
        }
    }
    for (code, description) in errors(path, writes, is_data, has_entity_tag) {
        let problem = problem(code, description);
        operation
            .responses
            .responses
            .entry(code.status().as_str().to_owned())
            .and_modify(|existing| also(existing, description))
            .or_insert(RefOr::T(problem));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            add_header(response, "Atoll-Region", "The region that answered");
        }
    }
}

/// A name for generated clients: `get_v1_data_namespace_registers_key`.
fn operation_id(path: &str, method: &str) -> String {
    let words = path.split(['/', '.', '{', '}']).filter(|word| !word.is_empty());
    let mut id = method.to_owned();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}

/// Whether something has an entity tag, and so preconditions.
fn has_entity_tag(path: &str) -> bool {
    let ends = ["/registers/{key}", "/counters/{key}", "/{member}", "/{field}"];
    path.starts_with("/v1/data") && ends.iter().any(|end| path.ends_with(end))
}

fn data_parameters() -> Vec<Parameter> {
    let header = |name: &str, description: String, schema: ObjectBuilder| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema))
            .build()
    };
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let number = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let levels = ["eventual", "local_quorum", "global_quorum", "strong"];
    vec![
        header(
            "Atoll-Consistency",
            "The level asked for; if absent, the namespace's default. `strong` needs a home region"
                .to_owned(),
            text().enum_values(Some(levels)),
        ),
        header(
            "Atoll-Timeout-Ms",
            "How long to wait for the outcome, other regions, or what the session has seen".to_owned(),
            number().maximum(Some(60_000)).default(Some(5_000.into())),
        ),
        header(
            "Atoll-Priority",
            "With `low`, the request is refused first (503 `overloaded`) while the region is not healthy"
                .to_owned(),
            text().enum_values(Some(["low", "normal"])),
        ),
        header(
            "Atoll-Session",
            "What the client has seen: the `Atoll-Session` of an earlier answer. May be given several times"
                .to_owned(),
            text(),
        ),
        header(
            "Atoll-Session-Fallback",
            "With `forward`, a region that lacks what the session has seen passes the request on".to_owned(),
            text().enum_values(Some(["forward"])),
        ),
        header(
            "Atoll-Max-Staleness-Ms",
            "How old what a read shows may be; it waits until that is so, or gets 503".to_owned(),
            number().maximum(Some(86_400_000)),
        ),
    ]
}

fn idempotency_parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(limits::IDEMPOTENCY_KEY_BYTES_MAX));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A name for this one write. A repeat within 24 hours in the same region changes nothing and gets the first \
             outcome, marked with `Idempotent-Replayed: true`; another request with the same key gets 409",
        ))
        .schema(Some(schema))
        .build()
}

/// The errors of an operation. 300 to 503 that handlers document themselves are theirs.
fn errors(path: &str, writes: bool, is_data: bool, has_entity_tag: bool) -> Vec<(Code, &'static str)> {
    let is_cluster = path.starts_with("/v1/cluster");
    let mut errors = vec![(Code::Internal, "`internal`: this node failed; its log says why")];
    if is_data || is_cluster {
        errors.push((
            Code::InvalidRequest,
            "`invalid_request`: the path, query, a header or the body is not valid; the detail says what and where",
        ));
        errors.push((
            Code::Overloaded,
            "`overloaded` (with `Retry-After`): nothing was done; `unavailable`: a guarantee cannot be met, the detail says which and why",
        ));
    }
    if path.contains("/links/") {
        errors.push((Code::NotFound, "`not_found`: there is no such region"));
    }
    // A counter that was never touched is 0.
    if !writes && has_entity_tag && !path.contains("/counters/") {
        errors.push((Code::NotFound, "`not_found`: it does not exist"));
    }
    if has_entity_tag || path.ends_with("/batch") {
        errors.push((
            Code::PreconditionFailed,
            "`precondition_failed`: `current_etag` has the entity tag as it is",
        ));
    }
    if is_data && writes {
        errors.push((
            Code::Conflict,
            "`conflict`: what is stored does not allow it, or the idempotency key was used for another request",
        ));
        errors.push((Code::TooLarge, "`too_large`: `limit_bytes` has the limit"));
        errors.push((
            Code::RequestTimeout,
            "`request_timeout`: the body took too long to arrive; nothing was done",
        ));
        errors.push((
            Code::Timeout,
            "`timeout`: the outcome was not known in time; `committed_locally` tells what is known",
        ));
    }
    errors
}

fn problem(code: Code, description: &str) -> Response {
    let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let mut response = ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_MEDIA_TYPE, content)
        .build();
    match code {
        Code::Overloaded => add_header(
            &mut response,
            "Retry-After",
            "Seconds, with the code `overloaded`",
        ),
        Code::PreconditionFailed => add_header(&mut response, "ETag", "The entity tag as it is"),
        _ => {}
    }
    response
}

fn also(existing: &mut RefOr<Response>, description: &str) {
    if let RefOr::T(response) = existing {
        response.description = format!("{}; {description}", response.description);
    }
}

fn add_header(response: &mut Response, name: &str, description: &str) {
    response.headers.insert(name.to_owned(), text_header(description));
}

fn text_header(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(ObjectBuilder::new().schema_type(Type::String))
        .description(Some(description))
        .build()
}

/// Every path with its methods, in capitals.
#[cfg(test)]
pub(crate) fn operations() -> std::collections::BTreeMap<String, Vec<&'static str>> {
    document()
        .paths
        .paths
        .iter()
        .map(|(path, item)| {
            let methods = [
                ("GET", item.get.is_some()),
                ("HEAD", item.head.is_some()),
                ("PUT", item.put.is_some()),
                ("POST", item.post.is_some()),
                ("DELETE", item.delete.is_some()),
            ];
            let present = methods.into_iter().filter_map(|(name, is)| is.then_some(name));
            (path.clone(), present.collect())
        })
        .collect()
}
