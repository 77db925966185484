//! Tests of counters over the router.

use serde_json::json;

use crate::api::test_client::TestServer;

const KEY: &str = "/v1/data/shop/counters/k";

#[tokio::test]
async fn counters_add_read_and_reset() {
    let server = TestServer::new();
    let read = async || server.call(&format!("GET {KEY}")).await.expect(200).json();
    assert_eq!(read().await, json!({"value": 0}));
    let added = server
        .body(&format!("POST {KEY}"), r#"{"add": 7}"#)
        .await
        .expect(200);
    assert_eq!(added.json(), json!({"value": 7}));
    assert!(added.header("atoll-version").ends_with("-us-east"));
    let added = server
        .body(&format!("POST {KEY}"), r#"{"add": -10}"#)
        .await
        .expect(200);
    assert_eq!(added.json(), json!({"value": -3}));
    assert_eq!(read().await, json!({"value": -3}));
    let listed = server
        .call("GET /v1/data/shop/counters?prefix=k")
        .await
        .expect(200);
    assert_eq!(
        listed.json(),
        json!({"keys": [{"key": "k", "size": 0}], "next": null})
    );
    server.call(&format!("DELETE {KEY}")).await.expect(204);
    assert_eq!(read().await, json!({"value": 0}));
    server
        .call("DELETE /v1/data/shop/counters/never")
        .await
        .expect(204);
}

#[tokio::test]
async fn values_beyond_64_bits_are_numbers() {
    let server = TestServer::new();
    let read = server.call("GET /v1/data/shop/counters/huge").await.expect(200);
    assert_eq!(read.body, r#"{"value":73786976294838206460}"#);
}

#[tokio::test]
async fn anything_but_a_whole_number_is_refused_with_its_place() {
    let server = TestServer::new();
    for body in [
        "",
        "{}",
        "null",
        "[1",
        "[1]",
        "7",
        r#"{"add": 1.5}"#,
        r#"{"add": 1.0}"#,
        r#"{"add": 1e2}"#,
        r#"{"add": "1"}"#,
        r#"{"add": null}"#,
        r#"{"add": 9223372036854775808}"#,
        r#"{"add": 1, "by": 2}"#,
        r#"{"add": 1, "add": 2}"#,
        r#"{"add": 1} x"#,
        "{\"add\":\n 1",
        "\u{feff}{\"add\": 1}",
    ] {
        let answer = server.body(&format!("POST {KEY}"), body).await;
        let problem = answer.problem(400, "invalid_request");
        assert!(
            problem["line"].is_u64() && problem["column"].is_u64(),
            "{problem}"
        );
    }
    let answer = server.body(&format!("POST {KEY}"), vec![0xff, 0xfe]).await;
    answer.problem(400, "invalid_request");
    let read = server.call(&format!("GET {KEY}")).await.expect(200);
    assert_eq!(read.json(), json!({"value": 0}));
}

#[tokio::test]
async fn the_content_type_of_json_is_not_looked_at() {
    let server = TestServer::new();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    server
        .send(
            &format!("POST {KEY}"),
            &headers,
            r#" {"add": -9223372036854775808} "#,
        )
        .await
        .expect(200);
}

#[tokio::test]
async fn an_overflow_is_a_conflict_and_changes_nothing() {
    let server = TestServer::new();
    let most = format!(r#"{{"add": {}}}"#, i64::MAX);
    for _ in 0..2 {
        server
            .body(&format!("POST {KEY}"), most.clone())
            .await
            .expect(200);
    }
    let answer = server.body(&format!("POST {KEY}"), most).await;
    answer.problem(409, "conflict");
    let read = server.call(&format!("GET {KEY}")).await.expect(200);
    assert_eq!(read.body, format!(r#"{{"value":{}}}"#, u64::MAX - 1));
}

#[tokio::test]
async fn preconditions_of_counters_hold_or_show_the_current_tag() {
    let server = TestServer::new();
    let send = async |method: &str, name: &str, value: &str| {
        let body = if method == "POST" { r#"{"add": 2}"# } else { "" };
        server
            .send(&format!("{method} {KEY}"), &[(name, value)], body)
            .await
    };
    for method in ["POST", "DELETE"] {
        for value in ["*", "\"x\""] {
            let answer = send(method, "If-Match", value).await;
            assert!(answer.problem(412, "precondition_failed")["current_etag"].is_null());
        }
    }
    let added = send("POST", "If-None-Match", "*").await.expect(200);
    let tag = added.header("etag");
    assert_eq!(tag.len(), 34, "{tag}");
    for (method, name, value) in [
        ("POST", "If-None-Match", "*"),
        ("POST", "If-None-Match", tag),
        ("POST", "If-Match", "\"x\""),
        ("DELETE", "If-None-Match", "*"),
        ("DELETE", "If-Match", "\"x\""),
    ] {
        let answer = send(method, name, value).await;
        let problem = answer.problem(412, "precondition_failed");
        assert_eq!(problem["current_etag"], tag, "{method} {name}: {value}");
        assert_eq!(answer.header("etag"), tag);
    }
    let again = send("POST", "If-Match", tag).await.expect(200);
    assert_eq!(again.json(), json!({"value": 4}));
    let reset = send("DELETE", "If-Match", again.header("etag")).await.expect(204);
    let read = server.call(&format!("GET {KEY}")).await.expect(200);
    assert_eq!(read.json(), json!({"value": 0}));
    assert_eq!(read.header("etag"), reset.header("etag"));
    send("POST", "If-None-Match", "*")
        .await
        .problem(412, "precondition_failed");
}

#[tokio::test]
async fn reads_of_counters_answer_304_and_412_and_no_tag_before_the_first_change() {
    let server = TestServer::new();
    let read = async |name: &str, value: &str| server.send(&format!("GET {KEY}"), &[(name, value)], "").await;
    let untouched = read("If-None-Match", "*").await.expect(200);
    assert_eq!(untouched.json(), json!({"value": 0}));
    assert_eq!(untouched.header("etag"), "");
    read("If-Match", "*").await.problem(412, "precondition_failed");
    let added = server
        .body(&format!("POST {KEY}"), r#"{"add": 1}"#)
        .await
        .expect(200);
    let tag = added.header("etag");
    assert_eq!(read("If-Match", tag).await.expect(200).header("etag"), tag);
    let answer = read("If-None-Match", tag).await.expect(304);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("etag"), tag);
    let answer = read("If-Match", "\"x\"").await;
    assert_eq!(answer.problem(412, "precondition_failed")["current_etag"], tag);
}
