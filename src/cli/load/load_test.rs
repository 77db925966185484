//! Loading into a fake node: order, retries, bad lines and limits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::put;

use super::engine::{self, Plan, Shared};
use super::tally::{StopReason, Summary};
use crate::cli::client::Client;
use crate::cli::connection::ConnectionArgs;
use crate::cli::endpoints::BaseUrl;
use crate::cli::fake_node::{self, unreachable_url};

/// What the fake node holds, and how it misbehaves.
#[derive(Default)]
struct Node {
    registers: Mutex<BTreeMap<String, (Vec<u8>, String)>>,
    requests: AtomicU64,
    /// Every n-th request gets 503.
    overloaded_every: u64,
}

async fn put_register(
    State(node): State<Arc<Node>>,
    Path((namespace, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert_eq!(namespace, "packages");
    let request = node.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if node.overloaded_every > 0 && request.is_multiple_of(node.overloaded_every) {
        let problem = r#"{"code":"overloaded","detail":"8192 requests are admitted already"}"#;
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")], problem).into_response();
    }
    if key.starts_with("refused") {
        let problem = r#"{"code":"forbidden","detail":"not for you"}"#;
        return (StatusCode::FORBIDDEN, problem).into_response();
    }
    let content_type = headers["content-type"].to_str().unwrap().to_owned();
    node.registers
        .lock()
        .unwrap()
        .insert(key, (body.to_vec(), content_type));
    StatusCode::NO_CONTENT.into_response()
}

async fn start(node: &Arc<Node>) -> BaseUrl {
    let router = Router::new()
        .route("/v1/data/{namespace}/registers/{key}", put(put_register))
        .with_state(Arc::clone(node));
    fake_node::start(router).await
}

fn plan() -> Plan {
    Plan {
        namespace: "packages".parse().unwrap(),
        format: None,
        content_type: None,
        ttl_seconds: None,
        connections: 8,
        retries_max: 10,
        errors_max: 100,
    }
}

async fn load(url: BaseUrl, plan: Plan, input: &str) -> Summary {
    let client = Client::new(url.clone(), &ConnectionArgs::for_test(url).options).unwrap();
    engine::load(input.as_bytes(), &[client], &Shared::new(plan, None)).await
}

#[tokio::test]
async fn every_record_arrives_although_the_node_is_overloaded_at_times() {
    let node = Arc::new(Node {
        overloaded_every: 3,
        ..Node::default()
    });
    let input: String = (0..500).map(|n| format!("key/{n}\tvalue {n}\n")).collect();
    let summary = load(start(&node).await, plan(), &input).await;
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(summary.loaded, 500);
    assert!(summary.retries >= 200, "{summary:?}");
    assert_eq!(
        summary.loaded + summary.retries,
        node.requests.load(Ordering::Relaxed)
    );
    let registers = node.registers.lock().unwrap();
    assert_eq!(registers.len(), 500);
    assert_eq!(registers["key/7"].0, b"value 7");
}

#[tokio::test]
async fn the_last_line_of_a_key_stays() {
    let node = Arc::new(Node {
        overloaded_every: 2,
        ..Node::default()
    });
    let input: String = (0..200).map(|n| format!("key-{}\t{n}\n", n % 5)).collect();
    assert!(load(start(&node).await, plan(), &input).await.is_complete());
    let registers = node.registers.lock().unwrap();
    let values: Vec<_> = registers
        .values()
        .map(|(value, _)| std::str::from_utf8(value).unwrap())
        .collect();
    assert_eq!(values, ["195", "196", "197", "198", "199"]);
}

#[tokio::test]
async fn bad_lines_and_refused_records_are_counted_and_the_rest_is_loaded() {
    let node = Arc::new(Node::default());
    let input = "{\"key\":\"a b\",\"value\":{\"n\":1}}\n\nnot json\n{\"key\":\"refused\",\"value\":1}\n{\"key\":\"z\",\"value\":\"t\"}";
    let summary = load(start(&node).await, plan(), input).await;
    assert_eq!(
        (summary.loaded, summary.malformed, summary.failed, summary.retries),
        (2, 1, 1, 0)
    );
    assert_eq!(summary.stopped, None);
    let registers = node.registers.lock().unwrap();
    assert_eq!(
        registers["a b"],
        (br#"{"n":1}"#.to_vec(), "application/json".to_owned())
    );
    assert_eq!(
        registers["z"],
        (b"t".to_vec(), "text/plain; charset=utf-8".to_owned())
    );
}

#[tokio::test]
async fn too_many_errors_stop_the_load() {
    let node = Arc::new(Node::default());
    let input = "bad line\n".repeat(50) + "k\tv\n";
    let summary = load(
        start(&node).await,
        Plan {
            errors_max: 0,
            ..plan()
        },
        &input,
    )
    .await;
    assert_eq!(summary.stopped, Some(StopReason::TooManyErrors));
    assert_eq!((summary.malformed, summary.loaded), (1, 0));
}

#[tokio::test]
async fn a_load_ends_when_its_node_stays_unreachable_after_all_retries() {
    let summary = load(
        unreachable_url(),
        Plan {
            retries_max: 2,
            ..plan()
        },
        "k\tv\n",
    )
    .await;
    assert_eq!((summary.loaded, summary.failed), (0, 1));
    assert_eq!(summary.retries, 2);
    assert_eq!(summary.stopped, Some(StopReason::NodeUnreachable));
}

#[tokio::test]
async fn a_stopped_load_counts_what_it_did_not_confirm() {
    // Tried again for longer than the test lasts.
    let patient = Plan {
        retries_max: u32::MAX,
        ..plan()
    };
    let shared = Shared::new(patient, None);
    let url = unreachable_url();
    let client = Client::new(url.clone(), &ConnectionArgs::for_test(url).options).unwrap();
    let (input, stopper) = (b"a\t1\nb\t2\n", Arc::clone(&shared));
    tokio::spawn(async move {
        while stopper.tally.input_bytes() < input.len() as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stopper.stop.request(StopReason::Interrupted);
    });
    // The input never ends, like a terminal's.
    let (mut writer, reader) = tokio::io::duplex(1024);
    tokio::io::AsyncWriteExt::write_all(&mut writer, input)
        .await
        .unwrap();
    let summary = engine::load(tokio::io::BufReader::new(reader), &[client], &shared).await;
    assert_eq!(summary.stopped, Some(StopReason::Interrupted));
    assert_eq!((summary.loaded, summary.failed, summary.unconfirmed), (0, 0, 2));
}
