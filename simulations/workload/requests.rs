//! Actions as HTTP requests, by the contract.

use atoll::model::ids::{Namespace, RegionId};
use atoll::model::record::{RecordId, RecordType};
use axum::body::Body;
use axum::http::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::evidence::{Action, Condition};

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn path_of(record: &RecordId) -> String {
    let family = match record.record_type {
        RecordType::Register => "registers",
        RecordType::Counter => "counters",
        RecordType::Set => "sets",
        RecordType::Map => "maps",
    };
    format!(
        "/v1/data/{}/{family}/{}",
        record.namespace,
        encoded(record.key.as_str())
    )
}

/// What a request says in its headers, beyond its action.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    /// `Atoll-Consistency`.
    pub level: Option<&'a str>,
    /// `Atoll-Session`.
    pub token: Option<&'a str>,
    /// `Atoll-Session-Fallback`.
    pub may_answer_elsewhere: bool,
}

/// The request of an action.
pub fn request(record: &RecordId, action: &Action, wishes: Wishes<'_>) -> Request<Body> {
    let path = path_of(record);
    let (method, path, body) = match action {
        Action::Put { value, .. } => (Method::PUT, path, Body::from(value.clone())),
        Action::Delete { .. } | Action::Reset | Action::DropSet | Action::DropMap => {
            (Method::DELETE, path, Body::empty())
        }
        Action::Get | Action::Count => (Method::GET, path, Body::empty()),
        Action::Members | Action::Fields => (Method::GET, format!("{path}?limit=1000"), Body::empty()),
        Action::Contains { member } => (Method::GET, format!("{path}/{}", encoded(member)), Body::empty()),
        Action::Add { delta } => (Method::POST, path, json_body(&json!({"add": delta}))),
        // One part alone: the calls for it are tried too.
        Action::ChangeMembers { add, remove } if let ([member], []) = (add.as_slice(), remove.as_slice()) => {
            (Method::PUT, format!("{path}/{}", encoded(member)), Body::empty())
        }
        Action::ChangeMembers { add, remove } if let ([], [member]) = (add.as_slice(), remove.as_slice()) => {
            (
                Method::DELETE,
                format!("{path}/{}", encoded(member)),
                Body::empty(),
            )
        }
        Action::ChangeFields { set, remove } if let ([], [field]) = (set.as_slice(), remove.as_slice()) => (
            Method::DELETE,
            format!("{path}/{}", encoded(field)),
            Body::empty(),
        ),
        Action::ChangeMembers { add, remove } => (
            Method::POST,
            path,
            json_body(&json!({"add": add, "remove": remove})),
        ),
        Action::ChangeFields { set, remove } => {
            let set: Map<String, Value> = set
                .iter()
                .map(|(field, text)| {
                    let value = serde_json::from_str(text).expect("clients draw valid JSON");
                    (field.clone(), value)
                })
                .collect();
            (
                Method::POST,
                path,
                json_body(&json!({"set": set, "remove": remove})),
            )
        }
    };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in [
        ("Atoll-Consistency", wishes.level),
        ("Atoll-Session", wishes.token),
        (
            "Atoll-Session-Fallback",
            wishes.may_answer_elsewhere.then_some("forward"),
        ),
    ] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let condition = match action {
        Action::Put { condition, .. } | Action::Delete { condition } => condition,
        _ => &Condition::None,
    };
    request = match condition {
        Condition::None => request,
        Condition::Absent => request.header("If-None-Match", "*"),
        Condition::Present => request.header("If-Match", "*"),
        Condition::Tag(tag) => request.header("If-Match", tag),
    };
    if let Action::Put {
        context: Some(context),
        ..
    } = action
    {
        request = request.header("Atoll-Context", context);
    }
    request.body(body).expect("everything in it was encoded")
}

/// Configures a namespace.
pub fn configure(namespace: &Namespace, policy: &str, home: Option<RegionId>) -> Request<Body> {
    let home = home.map(|region| region.to_string());
    let body = json!({"conflict_policy": policy, "home_region": home, "default_consistency": "local_quorum"});
    Request::builder()
        .method(Method::PUT)
        .uri(format!("/v1/data/{namespace}"))
        .body(json_body(&body))
        .expect("a namespace fits in a path")
}

fn json_body(value: &Value) -> Body {
    Body::from(value.to_string())
}
