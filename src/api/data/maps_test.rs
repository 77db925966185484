//! Tests of maps over the router.

use serde_json::{Value, json};

use crate::api::test_client::TestServer;
use crate::model::limits;

const KEY: &str = "/v1/data/shop/maps/k";

async fn fields(server: &TestServer) -> Value {
    server.call(&format!("GET {KEY}")).await.expect(200).json()
}

#[tokio::test]
async fn maps_set_remove_and_list() {
    let server = TestServer::new();
    assert_eq!(fields(&server).await, json!({"fields": {}, "next": null}));
    let post = async |body: Value| {
        let answer = server.body(&format!("POST {KEY}"), body.to_string()).await;
        answer.expect(200).json()
    };
    let set = post(json!({"set": {"f": {"x": [1, null]}, "g": "a\"b"}, "remove": ["h", "h"]})).await;
    assert_eq!(set, json!({"set": 2, "removed": 0}));
    let set = post(json!({"set": {"f": 1}, "remove": ["g"]})).await;
    assert_eq!(set, json!({"set": 1, "removed": 1}));
    assert_eq!(fields(&server).await, json!({"fields": {"f": 1}, "next": null}));
    post(json!({"set": {"f": 2, "\"\\": 3}, "remove": ["f"]})).await;
    assert_eq!(
        fields(&server).await,
        json!({"fields": {"\"\\": 3, "f": 2}, "next": null}),
        "what is both set and removed is in the map"
    );
    let page = server
        .call(&format!("GET {KEY}?limit=1"))
        .await
        .expect(200)
        .json();
    assert_eq!(page, json!({"fields": {"\"\\": 3}, "next": "\"\\"}));
    let listed = server.call("GET /v1/data/shop/maps").await.expect(200).json();
    assert_eq!(listed, json!({"keys": [{"key": "k", "size": 2}], "next": null}));
    assert_eq!(post(json!({})).await, json!({"set": 0, "removed": 0}));
}

#[tokio::test]
async fn values_keep_their_text() {
    let server = TestServer::new();
    let text = r#"{"b": 1.0, "a": 1e400, "c": 123456789012345678901234567890, "b": "\u00e9"}"#;
    let field = format!("{KEY}/f%2F1");
    let put = server
        .body(&format!("PUT {field}"), format!(" {text}\n"))
        .await
        .expect(204);
    let read = server.call(&format!("GET {field}")).await.expect(200);
    assert_eq!(read.body, text);
    assert_eq!(read.header("content-type"), "application/json");
    assert_eq!(read.header("atoll-version"), put.header("atoll-version"));
    let body = format!(r#"{{"set": {{"g": {text} }}}}"#);
    server.body(&format!("POST {KEY}"), body).await.expect(200);
    let all = server.call(&format!("GET {KEY}")).await.expect(200);
    assert_eq!(
        all.body,
        format!(r#"{{"fields":{{"f/1":{text},"g":{text}}},"next":null}}"#)
    );
}

#[tokio::test]
async fn single_fields_are_put_read_and_deleted() {
    let server = TestServer::new();
    let field = format!("{KEY}/f");
    server
        .call(&format!("GET {field}"))
        .await
        .problem_saying(404, "not_found", "\"f\"");
    for text in ["null", "true", "0", "\"\"", "[]", "{}", "-0.5e-7"] {
        server.body(&format!("PUT {field}"), text).await.expect(204);
        assert_eq!(server.call(&format!("GET {field}")).await.expect(200).body, text);
    }
    let head = server.call(&format!("HEAD {field}")).await.expect(200);
    assert_eq!(head.header("content-length"), "7");
    server.call(&format!("DELETE {field}")).await.expect(204);
    server.call(&format!("DELETE {field}")).await.expect(204);
    server.call(&format!("GET {field}")).await.expect(404);
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_its_place() {
    let server = TestServer::new();
    for text in [
        "", "nul", "{", "'a'", "1 2", "{\"a\":}", "[1,]", "NaN", "01", "\"\n\"",
    ] {
        let answer = server.body(&format!("PUT {KEY}/f"), text).await;
        let problem = answer.problem(400, "invalid_request");
        assert!(problem["line"].is_u64(), "{problem}");
    }
    let answer = server.body(&format!("PUT {KEY}/f"), b"\"\xff\"".to_vec()).await;
    answer.problem(400, "invalid_request");
    for (body, expected) in [
        (r#"{"set": []}"#, "an object of fields"),
        (r#"{"set": {"a": 1, "a": 2}}"#, "given twice"),
        (r#"{"set": {"": 1}}"#, "0 bytes"),
        (r#"{"set": {"a": 1}, "more": 1}"#, "unknown field `more`"),
        (r#"{"remove": {"a": 1}}"#, "line 1"),
        (r#"{"remove": [""]}"#, "remove[0]"),
        (r#"{"set": {"a": }}"#, "line 1"),
    ] {
        let answer = server.body(&format!("POST {KEY}"), body).await;
        answer.problem_saying(400, "invalid_request", expected);
    }
    assert_eq!(fields(&server).await["fields"], json!({}));
}

#[tokio::test]
async fn values_and_requests_have_limits() {
    let server = TestServer::new();
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let most = limits::VALUE_BYTES_MAX;
    server.body(&format!("PUT {KEY}/f"), text(most)).await.expect(204);
    server
        .body(&format!("PUT {KEY}/f"), text(most + 1))
        .await
        .problem(413, "too_large");
    let post = async |value: String| {
        let body = format!(r#"{{"set": {{"g": {value}}}}}"#);
        server.body(&format!("POST {KEY}"), body).await
    };
    post(text(most)).await.expect(200);
    post(text(most + 1))
        .await
        .problem_saying(413, "too_large", "\"g\"");
    post(text(2 * most)).await.problem(413, "too_large");
    let many: Vec<_> = (0..1001).map(|i| format!("f{i}")).collect();
    let answer = server
        .body(&format!("POST {KEY}"), json!({"remove": many}).to_string())
        .await;
    answer.problem_saying(400, "invalid_request", "limit of 1000");
}

#[tokio::test]
async fn what_does_not_fit_a_commit_is_too_large() {
    let server = TestServer::new();
    // 1000 fields of full length under a key of full length, escaped to a body that is just short enough.
    let fields: serde_json::Map<_, _> = (0..1000)
        .map(|i| (format!("{i:0>1024}"), json!("x".repeat(900))))
        .collect();
    let body = json!({"set": fields}).to_string();
    assert!(body.len() <= limits::REQUEST_BODY_BYTES_MAX);
    let target = format!("POST /v1/data/shop/maps/{}", "k".repeat(1024));
    let answer = server.body(&target, body).await;
    // As long as the limits are as they are everything that fits a body fits a commit.
    let fits = (1024 + 900 + 18 + 1024 + 4 + 64) * 1000 <= limits::COMMIT_BYTES_MAX;
    assert_eq!(answer.status, if fits { 200 } else { 413 });
}

#[tokio::test]
async fn preconditions_of_fields_hold_or_show_the_current_tag() {
    let server = TestServer::new();
    let field = format!("{KEY}/f");
    let send = async |method: &str, name: &str, value: &str, body: &'static str| {
        server
            .send(&format!("{method} {field}"), &[(name, value)], body)
            .await
    };
    for (method, body) in [("PUT", "1"), ("DELETE", "")] {
        for value in ["*", "\"x\""] {
            let answer = send(method, "If-Match", value, body).await;
            assert!(answer.problem(412, "precondition_failed")["current_etag"].is_null());
        }
    }
    let put = send("PUT", "If-None-Match", "*", "1").await.expect(204);
    let tag = put.header("etag");
    assert_eq!(tag, format!("\"{}\"", put.header("atoll-version")));
    for (method, name, value, body) in [
        ("PUT", "If-None-Match", "*", "2"),
        ("PUT", "If-None-Match", tag, "2"),
        ("PUT", "If-Match", "\"x\"", "2"),
        ("DELETE", "If-None-Match", tag, ""),
        ("DELETE", "If-Match", "\"x\"", ""),
    ] {
        let answer = send(method, name, value, body).await;
        let problem = answer.problem(412, "precondition_failed");
        assert_eq!(problem["current_etag"], tag, "{method} {name}: {value}");
        assert_eq!(answer.header("etag"), tag);
    }
    let again = send("PUT", "If-Match", tag, "1").await.expect(204);
    assert_ne!(again.header("etag"), tag);
    let read = send("GET", "If-Match", again.header("etag"), "")
        .await
        .expect(200);
    assert_eq!(
        (&read.body[..], read.header("etag")),
        (&b"1"[..], again.header("etag"))
    );
    let removed = send("DELETE", "If-Match", again.header("etag"), "")
        .await
        .expect(204);
    assert_eq!(removed.header("etag"), "");
}

#[tokio::test]
async fn reads_of_fields_answer_304_and_412() {
    let server = TestServer::new();
    let field = format!("{KEY}/f");
    let read =
        async |name: &str, value: &str| server.send(&format!("GET {field}"), &[(name, value)], "").await;
    read("If-None-Match", "*").await.problem(404, "not_found");
    let put = server.body(&format!("PUT {field}"), "1").await.expect(204);
    let tag = put.header("etag");
    assert_eq!(read("If-None-Match", "\"x\"").await.expect(200).body, "1");
    let answer = read("If-None-Match", tag).await.expect(304);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("etag"), tag);
    assert_eq!(answer.header("atoll-version"), put.header("atoll-version"));
    let answer = read("If-Match", "\"x\"").await;
    assert_eq!(answer.problem(412, "precondition_failed")["current_etag"], tag);
}

#[tokio::test]
async fn preconditions_on_whole_maps_are_refused_with_what_would_be_right() {
    let server = TestServer::new();
    for (target, body) in [
        (format!("POST {KEY}"), r#"{"set": {"a": 1}}"#),
        (format!("GET {KEY}"), ""),
    ] {
        for name in ["If-Match", "If-None-Match"] {
            let answer = server.send(&target, &[(name, "*")], body).await;
            answer.problem_saying(400, "invalid_request", "maps/{key}/{field}");
        }
    }
    assert_eq!(fields(&server).await["fields"], json!({}));
}
