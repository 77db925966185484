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
