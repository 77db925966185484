//! HTTP answers as outcomes, by the contract.

use std::collections::BTreeMap;

use atoll::model::ids::RegionId;
use atoll::model::record::Version;
use axum::http::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use crate::evidence::{Action, Answer, Outcome, Shown};

/// The status (424, RFC 4918) of operations that were refused because another one of their batch was.
const ANOTHER_WAS_REFUSED: u16 = 424;

/// What an answer means; the error says how it breaks the contract.
pub fn outcome(action: &Action, response: &Response<Bytes>) -> Result<Outcome, String> {
    let status = response.status().as_u16();
    let body = response.body();
    let shown = match (status, action) {
        (200, _) => shown(action, response)?,
        (204, _) if action.is_write() => Shown::Nothing,
        (300, Action::Get) => siblings(&json(body)?)?,
        (404, Action::Get) => Shown::Absent,
        (404, Action::Contains { .. }) => Shown::Member(false),
        (400..=499, _) => {
            return Ok(Outcome::Refused {
                status,
                code: code(body)?,
            });
        }
        (503, _) => {
            let problem = json(body)?;
            // A refusal that does not say so promises that nothing was done.
            return Ok(match &problem["committed_locally"] {
                Value::String(_) => Outcome::Unknown { status: Some(status) },
                _ => Outcome::Refused {
                    status,
                    code: code(body)?,
                },
            });
        }
        (504, _) => return Ok(Outcome::Unknown { status: Some(status) }),
        _ => {
            return Err(format!(
                "status {status} to {action:?}: {}",
                String::from_utf8_lossy(body)
            ));
        }
    };
    Ok(Outcome::Done(Answer {
        staleness_ms: header(response, "atoll-staleness-ms").and_then(|text| text.parse().ok()),
        version: header(response, "atoll-version").and_then(|text| text.parse().ok()),
        tag: header(response, "etag").map(str::to_owned),
        shown,
    }))
}

/// What the answer to a batch means for each of its operations.
pub fn outcomes(actions: &[&Action], response: &Response<Bytes>) -> Result<Vec<Outcome>, String> {
    let status = response.status().as_u16();
    if status != 200 {
        // As of any other write; a refusal is that of one operation, and the others go with it.
        let whole = outcome(&Action::Reset, response)?;
        let refused = json(response.body())?["operation"].as_u64();
        let positions = 0..actions.len() as u64;
        return Ok(positions
            .map(|position| match (&whole, refused) {
                (Outcome::Refused { code, .. }, Some(refused)) if refused != position => Outcome::Refused {
                    status: ANOTHER_WAS_REFUSED,
                    code: code.clone(),
                },
                _ => whole.clone(),
            })
            .collect());
    }
    let body = json(response.body())?;
    let results = body["results"].as_array().ok_or("a batch without results")?;
    if results.len() != actions.len() {
        return Err(format!(
            "{} results of {} operations",
            results.len(),
            actions.len()
        ));
    }
    let outcomes = actions.iter().zip(results);
    outcomes
        .map(|(action, result)| {
            let shown = match action {
                Action::Add { .. } => {
                    Shown::Total(result["value"].as_i64().ok_or("a counter without a value")?)
                }
                _ => Shown::Nothing,
            };
            Ok(Outcome::Done(Answer {
                staleness_ms: None,
                version: result["version"].as_str().and_then(|text| text.parse().ok()),
                tag: result["etag"].as_str().map(str::to_owned),
                shown,
            }))
        })
        .collect()
}

/// Whether a repeat was told what had been decided before.
pub fn is_repeat(response: &Response<Bytes>) -> bool {
    header(response, "idempotent-replayed") == Some("true")
}

/// Who has answered.
pub fn region(response: &Response<Bytes>) -> Option<RegionId> {
    header(response, "atoll-region")?.parse().ok()
}

/// Whether it was refused because a new home has not started yet.
pub fn is_taking_over(response: &Response<Bytes>) -> bool {
    let says = |problem: Value| {
        Some(
            problem["detail"]
                .as_str()?
                .contains("takes over as the home region"),
        )
    };
    response.status().as_u16() == 503 && json(response.body()).ok().and_then(says).unwrap_or(false)
}

/// `Atoll-Context` of a read that showed siblings.
pub fn context(response: &Response<Bytes>) -> Option<String> {
    (response.status().as_u16() == 300)
        .then(|| json(response.body()).ok())
        .flatten()
        .and_then(|body| body["context"].as_str().map(str::to_owned))
}

pub fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))
}

fn code(body: &[u8]) -> Result<String, String> {
    let problem = json(body)?;
    let code = problem["code"].as_str().ok_or("a problem without a code")?;
    Ok(code.to_owned())
}

fn shown(action: &Action, response: &Response<Bytes>) -> Result<Shown, String> {
    let body = response.body();
    Ok(match action {
        Action::Get => Shown::Value(body.clone()),
        Action::Add { .. } | Action::Count => {
            let value = json(body)?;
            Shown::Total(value["value"].as_i64().ok_or("a counter without a value")?)
        }
        Action::Contains { .. } => Shown::Member(true),
        Action::Members => {
            let value = json(body)?;
            complete(&value)?;
            let members = value["members"].as_array().ok_or("a set without members")?;
            Shown::Members(members.iter().map(text).collect::<Result<_, _>>()?)
        }
        Action::Fields => {
            let value = json(body)?;
            complete(&value)?;
            let fields = value["fields"].as_object().ok_or("a map without fields")?;
            let fields: BTreeMap<String, String> = fields
                .iter()
                .map(|(field, value)| (field.clone(), value.to_string()))
                .collect();
            Shown::Fields(fields)
        }
        _ => Shown::Nothing,
    })
}

fn complete(page: &Value) -> Result<(), String> {
    if page["next"].is_null() {
        Ok(())
    } else {
        Err("the page is not the only one".to_owned())
    }
}

fn text(value: &Value) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{value} is no text"))
}

fn siblings(body: &Value) -> Result<Shown, String> {
    let listed = body["siblings"].as_array().ok_or("no siblings")?;
    let mut siblings = Vec::new();
    for sibling in listed {
        let version: Version = text(&sibling["version"])?
            .parse()
            .map_err(|error| format!("{error}"))?;
        let bytes = STANDARD
            .decode(text(&sibling["value_base64"])?)
            .map_err(|error| error.to_string())?;
        siblings.push((version, Bytes::from(bytes)));
    }
    Ok(Shown::Siblings(siblings))
}
