//! `Idempotency-Key` over a fake region: repeats are told the first outcome, and other requests that they are others.

use serde_json::json;

use crate::api::test_client::{Headers, TestServer};

const KEY: Headers<'static> = &[("Idempotency-Key", "order-4711")];

#[tokio::test]
async fn a_repeat_changes_nothing_and_is_told_the_first_outcome() {
    let server = TestServer::new();
    let add = "POST /v1/data/shop/counters/k";
    let first = server.send(add, KEY, r#"{"add":3}"#).await.expect(200);
    assert_eq!(first.header("idempotent-replayed"), "");
    server.body(add, r#"{"add":10}"#).await.expect(200);
    let again = server.send(add, KEY, r#"{"add":3}"#).await.expect(200);
    assert_eq!(again.json()["value"], 3);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("atoll-version"), first.header("atoll-version"));
    let read = server.call("GET /v1/data/shop/counters/k").await.expect(200);
    assert_eq!(read.json()["value"], 13);
}

#[tokio::test]
async fn every_write_may_be_repeated() {
    let server = TestServer::new();
    let batch = json!({"operations": [{"op": "add", "type": "counter", "key": "k", "add": 1}]}).to_string();
    for (number, (target, body, status)) in [
        ("PUT /v1/data/shop/registers/k", "x", 204),
        ("DELETE /v1/data/shop/registers/k", "", 204),
        ("POST /v1/data/shop/counters/k", r#"{"add":1}"#, 200),
        ("DELETE /v1/data/shop/counters/k", "", 204),
        ("POST /v1/data/shop/sets/k", r#"{"add":["a"]}"#, 200),
        ("PUT /v1/data/shop/sets/k/m", "", 204),
        ("DELETE /v1/data/shop/sets/k/m", "", 204),
        ("DELETE /v1/data/shop/sets/k/never", "", 204),
        ("POST /v1/data/shop/maps/k", r#"{"set":{"a":1}}"#, 200),
        ("PUT /v1/data/shop/maps/k/f", "1", 204),
        ("DELETE /v1/data/shop/maps/k/f", "", 204),
        ("POST /v1/data/shop/batch", batch.as_str(), 200),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{number}");
        let headers: Headers<'_> = &[("Idempotency-Key", &key)];
        let first = server.send(target, headers, body.to_owned()).await.expect(status);
        let again = server.send(target, headers, body.to_owned()).await.expect(status);
        assert_eq!(again.header("idempotent-replayed"), "true", "{target}");
        assert_eq!(first.body, again.body, "{target}");
        for header in ["etag", "atoll-version"] {
            assert_eq!(first.header(header), again.header(header), "{target}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_remembered_too() {
    let server = TestServer::new();
    let put = "PUT /v1/data/shop/registers/k";
    let headers: Headers<'_> = &[("Idempotency-Key", "one"), ("If-Match", "*")];
    server
        .send(put, headers, "x")
        .await
        .problem(412, "precondition_failed");
    server.body(put, "y").await.expect(204);
    let again = server.send(put, headers, "x").await;
    again.problem(412, "precondition_failed");
    assert_eq!(again.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn another_request_under_the_same_key_is_a_conflict() {
    let server = TestServer::new();
    let put = "PUT /v1/data/shop/registers/k";
    let send = |target: &'static str, headers: Vec<(&'static str, &'static str)>, body: &'static str| {
        let server = &server;
        async move {
            let mut all = vec![("Idempotency-Key", "one")];
            all.extend(headers);
            server.send(target, &all, body).await
        }
    };
    send(put, vec![], "x").await.expect(204);
    for (target, headers, body) in [
        (put, vec![], "y"),
        ("DELETE /v1/data/shop/registers/k", vec![], "x"),
        ("PUT /v1/data/shop/registers/k?ttl_seconds=5", vec![], "x"),
        (put, vec![("Content-Type", "text/plain")], "x"),
        (put, vec![("If-Match", "*")], "x"),
        (put, vec![("If-None-Match", "*")], "x"),
    ] {
        send(target, headers, body).await.problem(409, "conflict");
    }
    send(put, vec![("Atoll-Timeout-Ms", "900")], "x")
        .await
        .expect(204);
    // Another namespace is another scope.
    send("PUT /v1/data/other/registers/k", vec![], "y")
        .await
        .expect(204);
}

#[tokio::test]
async fn keys_that_are_not_valid_are_refused() {
    let server = TestServer::new();
    let long = "x".repeat(129);
    for bad in ["", long.as_str()] {
        let headers: Headers<'_> = &[("Idempotency-Key", bad)];
        let answer = server.send("PUT /v1/data/shop/registers/k", headers, "x").await;
        answer.problem_saying(400, "invalid_request", "1 to 128 bytes");
    }
    let twice: Headers<'_> = &[("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let answer = server.send("PUT /v1/data/shop/registers/k", twice, "x").await;
    answer.problem_saying(400, "invalid_request", "given twice");
}

#[tokio::test]
async fn what_was_not_decided_is_not_remembered() {
    let server = TestServer::new();
    let add = "POST /v1/data/shop/counters/k";
    server
        .send(add, KEY, r#"{"add":"x"}"#)
        .await
        .problem(400, "invalid_request");
    server.send(add, KEY, r#"{"add":3}"#).await.expect(200);
}
