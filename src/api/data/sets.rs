//! Sets: members that come and go one by one; an add wins over a concurrent remove.

use axum::body::Body;
use axum::http::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::body::{self, RequestBody};
use crate::api::call::Call;
use crate::api::data::scope::Scope;
use crate::api::data::{errors, key_listing, parts, preconditions};
use crate::api::problem::Problem;
use crate::api::{Api, answer, path};
use crate::model::limits;
use crate::model::record::RecordType;
use crate::model::request::{Operation, Precondition};

/// What a client can do whose precondition is about a set.
const TAGGED: &str = "a set has no entity tag, but each of its members has; ask for one member at sets/{key}/{member}, or give \
    if_match or if_none_match to the operations of a batch that name one member each";

/// Operations on a set, at most 1000. A member that is both added and removed is in the set afterwards.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUpdate {
    /// Members to add.
    #[serde(default)]
    #[schema(example = json!(["a"]))]
    add: Vec<String>,
    /// Members to remove.
    #[serde(default)]
    #[schema(example = json!(["b"]))]
    remove: Vec<String>,
}

/// What an update did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SetUpdated {
    /// Members that were not there before.
    added: usize,
    /// Members that were there before and were removed.
    removed: usize,
}

/// A page of a set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Members {
    /// In byte order.
    members: Vec<String>,
    /// What to pass as `after` for the next page; null at the end.
    next: Option<String>,
}

/// A member that is in the set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member<'a> {
    /// The member.
    member: &'a str,
}

/// Adds and removes members of a set, all at once.
#[utoipa::path(
    post,
    path = "/v1/data/{namespace}/sets/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
    ),
    request_body = SetUpdate,
    responses((status = 200, description = "What came and went", content_type = "application/json", body = SetUpdated, headers(
        ("Atoll-Version" = String, description = "The version of the last change, if there was one"),
    ))),
)]
pub(crate) async fn update(
    api: &Api,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let scope = Scope::open(api, call, TAGGED)?;
    let key = path::key(call.names[1])?;
    call.query(&[])?;
    let body_bytes = body.admission_bytes("the body", limits::REQUEST_BODY_BYTES_MAX)?;
    let admission = api.region.admit(body_bytes).map_err(errors::problem)?;
    let bytes = body.read("the body", limits::REQUEST_BODY_BYTES_MAX).await?;
    let update: SetUpdate = body::parse_object(&bytes)?;
    parts::check_count(update.add.len() + update.remove.len())?;
    let operation = Operation::UpdateSet {
        add: parts::sub_keys("add", &update.add)?,
        remove: parts::sub_keys("remove", &update.remove)?,
    };
    let request = scope.request(key, Precondition::None, operation);
    let written = scope.write(api, call, &bytes, request, admission).await?;
    let (added, removed) = parts::counts(written.single())?;
    Ok(scope.finish_write(answer::json(&SetUpdated { added, removed }), &written))
}

/// Reads the members of a set, in byte order: none if it was never touched.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/sets/{key}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "Its key, percent-encoded"),
        parts::PageQuery,
    ),
    responses((status = 200, description = "A page of members", content_type = "application/json", body = Members)),
)]
pub(crate) async fn members(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::open(api, call, TAGGED)?;
    let key = path::key(call.names[1])?;
    let page = call.query(&["after", "limit"])?.page()?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let namespace = scope.namespace.clone();
    let page = api
        .scan(admission, move |region| region.members(&namespace, &key, &page))
        .await
        .map_err(errors::problem)?;
    let members = Members {
        members: page.members,
        next: page.next,
    };
    Ok(scope.finish(answer::json(&members), None))
}

/// Tells whether a member is in a set.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/sets/{key}/{member}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "The set's key, percent-encoded"),
        ("member" = String, Path, description = "The member, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Answer only if it has one of these entity tags; else 412"),
        ("If-None-Match" = Option<String>, Header, description = "Answer only if it has none of these entity tags; else 304"),
    ),
    responses(
        (status = 200, description = "It is", content_type = "application/json", body = Member, headers(
            ("ETag" = String, description = "Its entity tag: another one each time it is added"),
        )),
        (status = 304, description = "It has one of the tags of `If-None-Match`", headers(
            ("ETag" = String, description = "Its entity tag"),
        )),
    ),
)]
pub(crate) fn get_member(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    let member = path::sub_key("member", call.names[2])?;
    call.query(&[])?;
    let conditions = preconditions::of_read(call.headers)?;
    let _admission = api.region.admit(0).map_err(errors::problem)?;
    let row = api
        .region
        .member(&scope.namespace, &key, &member)
        .map_err(errors::problem)?;
    let Some(tag) = row.and_then(|row| row.entity_tag()) else {
        return Err(Problem::not_found(format!(
            "the set {:?} in namespace {} has no member {:?}",
            key.as_str(),
            scope.namespace,
            member.as_str()
        )));
    };
    let member = Member {
        member: member.as_str(),
    };
    let response = conditions.answer(Some(&tag), || Ok(answer::json(&member)))?;
    Ok(scope.finish(response, None))
}

/// Adds a member to a set, also if it is there.
#[utoipa::path(
    put,
    path = "/v1/data/{namespace}/sets/{key}/{member}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "The set's key, percent-encoded"),
        ("member" = String, Path, description = "The member, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Add only if it has one of these entity tags, or with `*` if it is in the set"),
        ("If-None-Match" = Option<String>, Header, description = "Add only if it has none of these entity tags, or with `*` if it is not in the set"),
    ),
    responses((status = 204, description = "It is in the set", headers(
        ("ETag" = String, description = "Its entity tag"),
        ("Atoll-Version" = String, description = "The version of the change"),
    ))),
)]
pub(crate) async fn put_member(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    change_member(api, call, true).await
}

/// Removes a member from a set, also if it is not there.
#[utoipa::path(
    delete,
    path = "/v1/data/{namespace}/sets/{key}/{member}",
    tag = "data",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("key" = String, Path, description = "The set's key, percent-encoded"),
        ("member" = String, Path, description = "The member, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Remove only if it has one of these entity tags, or with `*` if it is in the set"),
        ("If-None-Match" = Option<String>, Header, description = "Remove only if it has none of these entity tags"),
    ),
    responses((status = 204, description = "It is not in the set", headers(
        ("Atoll-Version" = String, description = "The version of the change, if there was one"),
    ))),
)]
pub(crate) async fn delete_member(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    change_member(api, call, false).await
}

async fn change_member(api: &Api, call: &Call<'_>, adds: bool) -> Result<Response<Body>, Problem> {
    let scope = Scope::for_tagged(api, call)?;
    let key = path::key(call.names[1])?;
    let member = path::sub_key("member", call.names[2])?;
    call.query(&[])?;
    let precondition = preconditions::of_write(call.headers)?;
    let admission = api.region.admit(0).map_err(errors::problem)?;
    let (add, remove) = if adds {
        (vec![member], Vec::new())
    } else {
        (Vec::new(), vec![member])
    };
    let operation = Operation::UpdateSet { add, remove };
    let request = scope.request(key, precondition, operation);
    let written = scope.write(api, call, &[], request, admission).await?;
    Ok(scope.finish_tagged(answer::no_content(), &written))
}

/// Lists sets by key, in byte order.
#[utoipa::path(
    get,
    path = "/v1/data/{namespace}/sets",
    tag = "data",
    params(("namespace" = String, Path, description = "The namespace"), key_listing::KeyListingQuery),
    responses((status = 200, description = "A page of keys", content_type = "application/json", body = key_listing::RecordKeys)),
)]
pub(crate) async fn list(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    key_listing::list(api, call, RecordType::Set).await
}
