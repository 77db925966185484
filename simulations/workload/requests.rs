//! Actions as HTTP requests, by the contract.

use atoll::model::ids::{Namespace, RegionId};
use atoll::model::record::{RecordId, RecordType};
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{HOMED, KEPT};
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
        Action::Add { delta, .. } => (Method::POST, path, json_body(&json!({"add": delta}))),
        // One part alone: the calls for it are tried too.
        Action::ChangeMembers { add, remove, .. }
            if let ([member], []) = (add.as_slice(), remove.as_slice()) =>
        {
            (Method::PUT, format!("{path}/{}", encoded(member)), Body::empty())
        }
        Action::ChangeMembers { add, remove, .. }
            if let ([], [member]) = (add.as_slice(), remove.as_slice()) =>
        {
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
        Action::ChangeMembers { add, remove, .. } => (
            Method::POST,
            path,
            json_body(&json!({"add": add, "remove": remove})),
        ),
        Action::ChangeFields { set, remove } => {
            let body = json!({"set": json_fields(set), "remove": remove});
            (Method::POST, path, json_body(&body))
        }
    };
    let mut request = Request::builder().method(method).uri(path);
    request = wished(request, wishes);
    request = match action.condition() {
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

/// The request of a batch.
pub fn batch(parts: &[(RecordId, Action)], wishes: Wishes<'_>) -> Request<Body> {
    let operations: Vec<Value> = parts
        .iter()
        .map(|(record, action)| operation(record, action))
        .collect();
    let namespace = &parts[0].0.namespace;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/data/{namespace}/batch"));
    let request = wished(request, wishes);
    let body = json_body(&json!({ "operations": operations }));
    request.body(body).expect("a namespace fits in a path")
}

fn operation(record: &RecordId, action: &Action) -> Value {
    let mut operation = match action {
        Action::Put { value, .. } => {
            json!({"op": "put", "value": String::from_utf8_lossy(value)})
        }
        Action::Delete { .. } => json!({"op": "delete"}),
        Action::Add { delta, .. } => json!({"op": "add", "add": delta}),
        Action::Reset => json!({"op": "delete"}),
        Action::ChangeMembers { add, remove, .. } => json!({"op": "update", "add": add, "remove": remove}),
        Action::ChangeFields { set, remove } => {
            json!({"op": "update", "set": json_fields(set), "remove": remove})
        }
        _ => unreachable!("batches hold writes"),
    };
    operation["type"] = record.record_type.name().into();
    operation["key"] = record.key.as_str().into();
    match action.condition() {
        Condition::None => {}
        Condition::Absent => operation["if_none_match"] = "*".into(),
        Condition::Present => operation["if_match"] = "*".into(),
        Condition::Tag(tag) => operation["if_match"] = tag.as_str().into(),
    }
    operation
}

fn json_fields(set: &[(String, String)]) -> Map<String, Value> {
    set.iter()
        .map(|(field, text)| {
            let value = serde_json::from_str(text).expect("clients draw valid JSON");
            (field.clone(), value)
        })
        .collect()
}

/// Lists the registers whose keys begin like that.
pub fn list(namespace: &str, prefix: &str) -> Request<Body> {
    Request::builder()
        .uri(format!(
            "/v1/data/{namespace}/registers?prefix={}",
            encoded(prefix)
        ))
        .body(Body::empty())
        .expect("everything in it was encoded")
}

/// Reads a register at home.
pub fn read_at_home() -> Request<Body> {
    let wishes = Wishes {
        level: Some("strong"),
        token: None,
    };
    wished(
        Request::builder().uri(format!("/v1/data/{HOMED}/registers/h0")),
        wishes,
    )
    .body(Body::empty())
    .expect("everything in it was encoded")
}

/// Reads a register as the asked node has it.
pub fn read_from_node() -> Request<Body> {
    let wishes = Wishes {
        level: Some("eventual"),
        token: None,
    };
    wished(
        Request::builder().uri(format!("/v1/data/{KEPT}/registers/r0")),
        wishes,
    )
    .body(Body::empty())
    .expect("everything in it was encoded")
}

fn wished(mut request: Builder, wishes: Wishes<'_>) -> Builder {
    for (name, value) in [
        ("Atoll-Consistency", wishes.level),
        ("Atoll-Session", wishes.token),
    ] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    request
}

/// Configures a namespace. `mode` is that of the contract.
pub fn configure(
    namespace: &Namespace,
    policy: &str,
    home: Option<RegionId>,
    mode: Option<&str>,
) -> Request<Body> {
    let home = home.map(|region| region.to_string());
    let body = json!({
        "conflict_policy": policy,
        "home_region": home,
        "mode": mode,
        "default_consistency": "local_quorum",
    });
    Request::builder()
        .method(Method::PUT)
        .uri(format!("/v1/data/{namespace}"))
        .body(json_body(&body))
        .expect("a namespace fits in a path")
}

fn json_body(value: &Value) -> Body {
    Body::from(value.to_string())
}
