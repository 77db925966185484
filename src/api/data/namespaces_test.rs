//! Tests of namespaces over the router.

use serde_json::json;

use crate::api::test_client::TestServer;

#[tokio::test]
async fn a_namespace_that_was_never_configured_has_defaults() {
    let server = TestServer::new();
    let defaults =
        json!({"conflict_policy": "lww", "home_region": null, "default_consistency": "local_quorum"});
    assert_eq!(
        server.call("GET /v1/data/shop").await.expect(200).json(),
        defaults
    );
    assert_eq!(
        server.body("PUT /v1/data/shop", "{}").await.expect(200).json(),
        defaults
    );
}

#[tokio::test]
async fn configurations_are_kept_and_what_is_left_out_takes_its_default() {
    let server = TestServer::new();
    let full =
        json!({"conflict_policy": "siblings", "home_region": "us-east", "default_consistency": "eventual"});
    let answer = server
        .body("PUT /v1/data/shop", full.to_string())
        .await
        .expect(200);
    assert_eq!(answer.json(), full);
    assert_eq!(server.call("GET /v1/data/shop").await.expect(200).json(), full);
    let read = server.call("GET /v1/data/shop/counters/k").await.expect(200);
    assert_eq!(read.header("atoll-consistency"), "eventual");
    let answer = server
        .body("PUT /v1/data/shop", r#"{"home_region":null}"#)
        .await
        .expect(200);
    assert_eq!(answer.json()["conflict_policy"], "lww");
}

#[tokio::test]
async fn wrong_configurations_are_refused() {
    let server = TestServer::new();
    for (body, expected) in [
        ("", "the body"),
        ("[]x", "the body"),
        (r#"{"policy": "lww"}"#, "unknown field `policy`"),
        (r#"{"conflict_policy": "newest"}"#, "\"newest\""),
        (
            r#"{"conflict_policy": "custom:mine"}"#,
            "no handler named \"mine\" is registered",
        ),
        (r#"{"conflict_policy": "custom"}"#, "\"custom\""),
        (r#"{"conflict_policy": null}"#, "line 1"),
        (r#"{"home_region": "US"}"#, "home_region"),
        (
            r#"{"default_consistency": "quorum"}"#,
            "eventual, local_quorum, global_quorum, strong",
        ),
    ] {
        let answer = server.body("PUT /v1/data/shop", body).await;
        answer.problem_saying(400, "invalid_request", expected);
    }
    for name in ["a", "Shop", "a_b", "-ab", &"n".repeat(64)] {
        let answer = server.body(&format!("PUT /v1/data/{name}"), "{}").await;
        answer.problem_saying(400, "invalid_request", "namespace");
    }
}

#[tokio::test]
async fn a_default_level_that_cannot_be_met_is_refused_unless_the_request_names_another() {
    let server = TestServer::new();
    for (level, status, code) in [
        ("global_quorum", 504, "timeout"),
        ("strong", 400, "invalid_request"),
    ] {
        let body = json!({"default_consistency": level}).to_string();
        server.body("PUT /v1/data/shop", body).await.expect(200);
        let headers = [("Atoll-Timeout-Ms", "20")];
        let answer = server.send("PUT /v1/data/shop/registers/k", &headers, "x").await;
        answer.problem(status, code);
        let headers = [("Atoll-Consistency", "local_quorum")];
        let answer = server.send("PUT /v1/data/shop/registers/k", &headers, "x").await;
        answer.expect(204);
        // The configuration itself can still be read and mended.
        server.call("GET /v1/data/shop").await.expect(200);
    }
    server.body("PUT /v1/data/shop", "{}").await.expect(200);
    server.call("GET /v1/data/shop/registers/k").await.expect(200);
}

#[tokio::test]
async fn namespaces_are_listed_without_the_systems_own() {
    let server = TestServer::new();
    server.body("PUT /v1/data/shop", "{}").await.expect(200);
    server
        .body("PUT /v1/data/blog/registers/k", "x")
        .await
        .expect(204);
    let listed = server.call("GET /v1/data").await.expect(200).json();
    assert_eq!(listed, json!({"namespaces": ["blog", "shop"]}));
}

#[tokio::test]
async fn a_namespace_written_at_home_needs_a_home() {
    let server = TestServer::new();
    let answer = server.body("PUT /v1/data/shop", r#"{"mode": "all"}"#).await;
    answer.problem_saying(400, "invalid_request", "home_writes");
    let body = r#"{"mode": "home_writes", "home_region": "us-east"}"#;
    let answer = server.body("PUT /v1/data/shop", body).await.expect(200);
    assert_eq!(answer.json()["mode"], "home_writes");
}
