//! Tests of the cluster's surface over the router.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::test_client::TestServer;
use crate::model::change::{ConflictPolicy, Content};

#[tokio::test]
async fn status_has_the_fields_of_the_contract_and_more() {
    let server = TestServer::new();
    let answer = server.call("GET /v1/cluster/status").await.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.json(),
        json!({
            "cluster": "test", "region": "us-east", "incarnation": 1, "node": "us-east-1", "version": "0.1.0",
            "state": "healthy", "state_for_ms": 5, "reasons": [], "partitions": 1, "log_bytes": 7,
            "certificate_expires": "9999-12-31T23:59:59.000Z",
            "nodes": [
                {"node": "us-east-1", "state": "up", "silent_ms": 0, "partitions_led": 1, "rtt_ms": null, "last_error": null},
                {"node": "us-east-2", "state": "suspected", "silent_ms": 2500, "partitions_led": 0, "rtt_ms": 0.25,
                 "last_error": "it was lost"},
            ],
            "leaderless": [{"reason": "an election", "partitions": [0]}],
            "peers": [{
                "region": "eu-west", "state": "degraded", "link": "up", "rtt_ms": 1.5, "lag_ms": 0,
                "behind_changes": 0, "catch_up_ms": null, "backlog_changes": 3, "phi": 0.13, "certificate_expires": "1970-01-01T00:00:01.500Z",
                "last_error": null,
            }],
        })
    );
}

#[tokio::test]
async fn the_digest_is_hexadecimal_with_vectors_by_partition() {
    let server = TestServer::new();
    server
        .body("PUT /v1/data/shop/registers/k", "x")
        .await
        .expect(204);
    assert_eq!(
        server.call("GET /v1/cluster/digest").await.expect(200).json(),
        json!({
            "root": "ab".repeat(32),
            "partitions": ["0000000000000000000000000000000a"],
            "vector": [{"us-east": 1}],
        })
    );
}

#[tokio::test]
async fn links_pause_and_resume() {
    let server = TestServer::new();
    let link = async || server.call("GET /v1/cluster/status").await.json()["peers"][0]["link"].clone();
    for _ in 0..2 {
        server
            .call("POST /v1/cluster/links/eu-west/pause")
            .await
            .expect(204);
        assert_eq!(link().await, "paused");
    }
    server
        .call("POST /v1/cluster/links/eu-west/resume")
        .await
        .expect(204);
    assert_eq!(link().await, "up");
    for action in ["pause", "resume"] {
        let answer = server
            .call(&format!("POST /v1/cluster/links/mars/{action}"))
            .await;
        answer.problem_saying(404, "not_found", "mars");
        let answer = server.call(&format!("POST /v1/cluster/links/%zz/{action}")).await;
        answer.problem(400, "invalid_request");
        let answer = server.call(&format!("POST /v1/cluster/links/EU/{action}")).await;
        answer.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn nodes_are_listed_and_changed() {
    let server = TestServer::new();
    let listed = server.call("GET /v1/cluster/nodes").await.expect(200).json();
    let expected = serde_json::json!({
        "region": listed["region"],
        "replication_factor": 3,
        "partitions": 64,
        "settled": 60,
        "nodes": [
            {"node": "eu-1", "state": "drained", "incarnation": null, "reached": true, "copies": 64, "votes": 4, "leads": 0}
        ],
    });
    assert_eq!(listed, expected);
    for change in ["add", "drain", "remove?fewer_copies=true"] {
        server
            .call(&format!("POST /v1/cluster/nodes/eu-1/{change}"))
            .await
            .expect(204);
    }
    for change in ["remove", "remove?fewer_copies=false"] {
        let refused = server
            .call(&format!("POST /v1/cluster/nodes/eu-1/{change}"))
            .await;
        refused.problem_saying(409, "conflict", "too few copies");
    }
    let refused = server
        .call("POST /v1/cluster/nodes/eu-1/remove?fewer_copies=yes")
        .await;
    refused.problem_saying(400, "invalid_request", "use true or false");
    for change in ["add", "drain", "remove"] {
        let refused = server
            .call(&format!("POST /v1/cluster/nodes/mars/{change}"))
            .await;
        refused.problem_saying(404, "not_found", "mars");
        let refused = server.call(&format!("POST /v1/cluster/nodes/EU/{change}")).await;
        refused.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn the_configuration_is_shown_and_read_again() {
    let server = TestServer::new();
    let expected = serde_json::json!({
        "version": "0123456789ab",
        "since": "1970-01-01T00:00:01.500Z",
        "next": null,
        "error": "it was damaged",
    });
    let shown = server.call("GET /v1/cluster/config").await.expect(200).json();
    assert_eq!(shown, expected);
    let reloaded = server.call("POST /v1/cluster/config/reload").await;
    assert_eq!(reloaded.expect(202).json(), expected);
}

fn content(text: &'static str) -> Option<Content> {
    Some(Content {
        content_type: String::new(),
        payload: Bytes::from_static(text.as_bytes()),
        expires_at: None,
    })
}

#[tokio::test]
async fn losers_are_shown_with_their_bytes() {
    let server = TestServer::new();
    let written = server
        .body("PUT /v1/data/shop/registers/k", "mine")
        .await
        .expect(204);
    server
        .region
        .remote_put("eu-west", "k", ConflictPolicy::Lww, None);
    server
        .region
        .remote_put("eu-west", "k", ConflictPolicy::Lww, content("theirs"));
    let page = server.call("GET /v1/cluster/conflicts").await.expect(200).json();
    assert_eq!(page["next"], Value::Null);
    let conflicts = page["conflicts"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "the peer's second write has seen its first");
    let lost = &conflicts[0];
    assert_eq!(lost["namespace"], "shop");
    assert_eq!(lost["type"], "register");
    assert_eq!(lost["key"], "k");
    assert_eq!(lost["field"], Value::Null);
    assert_eq!(lost["loser"], written.header("atoll-version"));
    assert!(lost["winner"].as_str().unwrap().ends_with("-eu-west"));
    assert_eq!(lost["reason"], "concurrent_delete");
    assert_eq!(lost["value_base64"], STANDARD.encode("mine"));
    assert_eq!(lost["lost_at"], "2025-06-15T15:06:40.000Z");
}

#[tokio::test]
async fn the_ledger_has_pages_and_a_filter() {
    let server = TestServer::new();
    for key in ["a", "b", "c"] {
        server
            .body(&format!("PUT /v1/data/shop/registers/{key}"), "x")
            .await
            .expect(204);
        server
            .region
            .remote_put("eu-west", key, ConflictPolicy::Lww, content("y"));
    }
    let page = server
        .call("GET /v1/cluster/conflicts?limit=2")
        .await
        .expect(200)
        .json();
    assert_eq!(page["conflicts"].as_array().unwrap().len(), 2);
    let next = page["next"].as_str().unwrap();
    let page = server
        .call(&format!(
            "GET /v1/cluster/conflicts?namespace=shop&limit=5000&after={next}"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(page["conflicts"][0]["key"], "c");
    assert_eq!(page["next"], Value::Null);
    let page = server
        .call("GET /v1/cluster/conflicts?namespace=other")
        .await
        .expect(200)
        .json();
    assert_eq!(page, json!({"conflicts": [], "next": null}));
    for bad in ["limit=0", "limit=x", "namespace=A", "after=x", "before=1"] {
        let answer = server.call(&format!("GET /v1/cluster/conflicts?{bad}")).await;
        answer.problem(400, "invalid_request");
    }
}
