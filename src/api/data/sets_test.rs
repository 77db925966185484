//! Tests of sets over the router.

use serde_json::{Value, json};

use crate::api::test_client::TestServer;
use crate::model::limits;

const KEY: &str = "/v1/data/shop/sets/k";

async fn post(server: &TestServer, body: Value) -> Value {
    let answer = server.body(&format!("POST {KEY}"), body.to_string()).await;
    answer.expect(200).json()
}

async fn members(server: &TestServer) -> Value {
    server.call(&format!("GET {KEY}")).await.expect(200).json()["members"].clone()
}

#[tokio::test]
async fn sets_add_remove_and_list() {
    let server = TestServer::new();
    assert_eq!(
        server.call(&format!("GET {KEY}")).await.expect(200).json(),
        json!({"members": [], "next": null})
    );
    let added = post(&server, json!({"add": ["b", "a", "b", "é"], "remove": ["x"]})).await;
    assert_eq!(added, json!({"added": 3, "removed": 0}));
    assert_eq!(members(&server).await, json!(["a", "b", "é"]));
    let changed = post(&server, json!({"add": ["a", "c"], "remove": ["b", "b"]})).await;
    assert_eq!(changed, json!({"added": 1, "removed": 1}));
    assert_eq!(members(&server).await, json!(["a", "c", "é"]));
    assert_eq!(post(&server, json!({})).await, json!({"added": 0, "removed": 0}));
    let listed = server.call("GET /v1/data/shop/sets").await.expect(200).json();
    assert_eq!(listed, json!({"keys": [{"key": "k", "size": 3}], "next": null}));
    let page = server
        .call(&format!("GET {KEY}?limit=1&after=a"))
        .await
        .expect(200);
    assert_eq!(page.json(), json!({"members": ["c"], "next": "c"}));
    server
        .call(&format!("GET {KEY}?prefix=a"))
        .await
        .problem(400, "invalid_request");
}

#[tokio::test]
async fn what_is_both_added_and_removed_is_in_the_set() {
    let server = TestServer::new();
    post(&server, json!({"add": ["a"], "remove": ["a"]})).await;
    assert_eq!(members(&server).await, json!(["a"]));
    post(&server, json!({"add": ["a"], "remove": ["a"]})).await;
    assert_eq!(members(&server).await, json!(["a"]));
}

#[tokio::test]
async fn single_members_are_put_read_and_deleted() {
    let server = TestServer::new();
    let member = format!("{KEY}/a%2Fb");
    server
        .call(&format!("GET {member}"))
        .await
        .problem_saying(404, "not_found", "\"a/b\"");
    let put = server.call(&format!("PUT {member}")).await.expect(204);
    assert!(put.header("atoll-version").ends_with("-us-east"));
    server.call(&format!("GET {member}")).await.expect(200);
    assert!(
        server
            .call(&format!("HEAD {member}"))
            .await
            .expect(200)
            .body
            .is_empty()
    );
    server.call(&format!("PUT {member}")).await.expect(204);
    assert_eq!(members(&server).await, json!(["a/b"]));
    server.call(&format!("DELETE {member}")).await.expect(204);
    let again = server.call(&format!("DELETE {member}")).await.expect(204);
    assert_eq!(again.header("atoll-version"), "", "nothing changed");
    server.call(&format!("GET {member}")).await.expect(404);
}

#[tokio::test]
async fn wrong_bodies_are_refused() {
    let server = TestServer::new();
    let long = "m".repeat(1025);
    for (body, expected) in [
        (json!({"add": "a"}).to_string(), "line 1"),
        (json!({"add": [1]}).to_string(), "line 1"),
        (json!({"adds": ["a"]}).to_string(), "unknown field `adds`"),
        (json!({"add": ["a", ""]}).to_string(), "add[1]"),
        (json!({"remove": [long]}).to_string(), "remove[0]"),
        (r#"{"add": ["\ud800"]}"#.to_owned(), "line 1"),
        ("[]".to_owned(), "the body"),
        (String::new(), "the body"),
    ] {
        let answer = server.body(&format!("POST {KEY}"), body).await;
        answer.problem_saying(400, "invalid_request", expected);
    }
}

#[tokio::test]
async fn requests_have_limits() {
    let server = TestServer::new();
    let names = |count: usize| (0..count).map(|i| format!("m{i}")).collect::<Vec<_>>();
    let most = limits::OPERATIONS_PER_REQUEST_MAX;
    assert_eq!(post(&server, json!({"add": names(most)})).await["added"], most);
    let answer = server
        .body(
            &format!("POST {KEY}"),
            json!({"add": names(most), "remove": ["x"]}).to_string(),
        )
        .await;
    answer.problem_saying(400, "invalid_request", "limit of 1000");
    let body = " ".repeat(limits::REQUEST_BODY_BYTES_MAX + 1);
    let answer = server.body(&format!("POST {KEY}"), body).await;
    answer.problem(413, "too_large");
}

#[tokio::test]
async fn the_largest_members_and_key_still_fit_a_commit() {
    let server = TestServer::new();
    let long = |i: usize| format!("{i:0>1024}");
    let names: Vec<_> = (0..limits::OPERATIONS_PER_REQUEST_MAX).map(long).collect();
    let target = format!("POST /v1/data/shop/sets/{}", "k".repeat(1024));
    server
        .body(&target, json!({"add": names}).to_string())
        .await
        .expect(200);
}

#[tokio::test]
async fn preconditions_of_members_hold_or_show_the_current_tag() {
    let server = TestServer::new();
    let member = format!("{KEY}/m");
    let send = async |method: &str, name: &str, value: &str| {
        server
            .send(&format!("{method} {member}"), &[(name, value)], "")
            .await
    };
    for (method, value) in [
        ("PUT", "*"),
        ("PUT", "\"x\""),
        ("DELETE", "*"),
        ("DELETE", "\"x\""),
    ] {
        let answer = send(method, "If-Match", value).await;
        assert!(answer.problem(412, "precondition_failed")["current_etag"].is_null());
        assert_eq!(answer.header("etag"), "");
    }
    let added = send("PUT", "If-None-Match", "*").await.expect(204);
    let tag = added.header("etag");
    assert!(tag.starts_with("\"us-east@"), "{tag}");
    for (method, name, value) in [
        ("PUT", "If-None-Match", "*"),
        ("PUT", "If-None-Match", tag),
        ("PUT", "If-Match", "\"x\""),
        ("DELETE", "If-None-Match", "*"),
        ("DELETE", "If-Match", "\"x\""),
    ] {
        let answer = send(method, name, value).await;
        let problem = answer.problem(412, "precondition_failed");
        assert_eq!(problem["current_etag"], tag, "{method} {name}: {value}");
        assert_eq!(answer.header("etag"), tag);
    }
    let again = send("PUT", "If-Match", tag).await.expect(204);
    assert_ne!(again.header("etag"), tag);
    send("DELETE", "If-Match", tag)
        .await
        .problem(412, "precondition_failed");
    let removed = send("DELETE", "If-Match", again.header("etag")).await.expect(204);
    assert_eq!(removed.header("etag"), "");
    assert_eq!(members(&server).await, json!([]));
}

#[tokio::test]
async fn reads_of_members_answer_304_and_412() {
    let server = TestServer::new();
    let member = format!("{KEY}/m");
    let read =
        async |name: &str, value: &str| server.send(&format!("GET {member}"), &[(name, value)], "").await;
    read("If-None-Match", "*").await.problem(404, "not_found");
    let added = server.call(&format!("PUT {member}")).await.expect(204);
    let tag = added.header("etag");
    assert_eq!(read("If-Match", tag).await.expect(200).header("etag"), tag);
    assert_eq!(
        read("If-None-Match", "\"x\"").await.expect(200).header("etag"),
        tag
    );
    for value in [tag, "*", &format!("W/{tag}")] {
        let answer = read("If-None-Match", value).await.expect(304);
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), tag);
    }
    let answer = read("If-Match", "\"x\"").await;
    assert_eq!(answer.problem(412, "precondition_failed")["current_etag"], tag);
}

#[tokio::test]
async fn preconditions_on_whole_sets_are_refused_with_what_would_be_right() {
    let server = TestServer::new();
    for (target, body, right) in [
        (format!("POST {KEY}"), r#"{"add": ["a"]}"#, "sets/{key}/{member}"),
        (format!("GET {KEY}"), "", "sets/{key}/{member}"),
        ("GET /v1/data/shop/sets".to_owned(), "", "leave it out"),
    ] {
        for name in ["If-Match", "If-None-Match"] {
            let answer = server.send(&target, &[(name, "*")], body).await;
            answer.problem_saying(400, "invalid_request", right);
            answer.problem_saying(400, "invalid_request", name);
        }
    }
    assert_eq!(members(&server).await, json!([]));
}
