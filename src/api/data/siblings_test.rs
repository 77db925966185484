//! Tests of registers with several versions over the router.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::actors::region::Region as _;
use crate::api::test_client::{Answer, TestServer};
use crate::model::change::{ConflictPolicy, Content};
use crate::model::ids::Key;
use crate::model::limits;

const KEY: &str = "/v1/data/shop/registers/k";

fn content(text: &'static str) -> Option<Content> {
    Some(Content {
        content_type: "text/plain".to_owned(),
        payload: Bytes::from_static(text.as_bytes()),
        expires_at: None,
    })
}

async fn put(server: &TestServer, headers: &[(&str, &str)], body: &'static str) -> Answer {
    server.send(&format!("PUT {KEY}"), headers, body).await
}

async fn get(server: &TestServer, headers: &[(&str, &str)]) -> Answer {
    server.send(&format!("GET {KEY}"), headers, Body::empty()).await
}

#[tokio::test]
async fn siblings_are_all_shown_and_replaced_with_their_context() {
    let server = TestServer::new();
    let configured = server
        .body("PUT /v1/data/shop", r#"{"conflict_policy":"siblings"}"#)
        .await;
    configured.expect(200);
    put(&server, &[("Content-Type", "text/a")], "mine")
        .await
        .expect(204);
    server
        .region
        .remote_put("eu-west", "k", ConflictPolicy::Siblings, content("theirs"));
    let read = get(&server, &[]).await.expect(300);
    let shown = read.json();
    let siblings = shown["siblings"].as_array().unwrap();
    assert_eq!(siblings.len(), 2);
    assert_eq!(siblings[0]["region"], "eu-west");
    assert_eq!(siblings[0]["content_type"], "text/plain");
    assert_eq!(siblings[0]["value_base64"], STANDARD.encode("theirs"));
    assert_eq!(siblings[0]["version"], read.header("atoll-version"));
    assert_eq!(siblings[1]["region"], "us-east");
    assert_eq!(siblings[1]["content_type"], "text/a");
    let tag = format!(
        "\"{}+{}\"",
        siblings[0]["version"].as_str().unwrap(),
        siblings[1]["version"].as_str().unwrap()
    );
    assert_eq!(read.header("etag"), tag);
    get(&server, &[("If-None-Match", &tag)]).await.expect(304);
    let head = server.call(&format!("HEAD {KEY}")).await.expect(300);
    assert_eq!(head.header("content-length"), read.body.len().to_string());

    // A version that the client has not read stays beside what it writes back.
    let context = shown["context"].as_str().unwrap().to_owned();
    server
        .region
        .remote_put("ap-south", "k", ConflictPolicy::Siblings, content("later"));
    let written = put(&server, &[("Atoll-Context", &context)], "merged")
        .await
        .expect(204);
    assert_eq!(
        written.header("etag"),
        "",
        "the tag covers versions that are not known here"
    );
    let shown = get(&server, &[]).await.expect(300).json();
    let values: Vec<_> = shown["siblings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sibling| sibling["value_base64"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(values, [STANDARD.encode("merged"), STANDARD.encode("later")]);
    let context = shown["context"].as_str().unwrap().to_owned();
    put(&server, &[("Atoll-Context", &context)], "all")
        .await
        .expect(204);
    assert_eq!(get(&server, &[]).await.expect(200).body, "all");
}

#[tokio::test]
async fn a_write_without_context_replaces_all_that_was_seen() {
    let server = TestServer::new();
    server
        .region
        .remote_put("eu-west", "k", ConflictPolicy::Siblings, content("a"));
    server
        .region
        .remote_put("ap-south", "k", ConflictPolicy::Siblings, content("b"));
    server
        .body("PUT /v1/data/shop", r#"{"conflict_policy":"siblings"}"#)
        .await
        .expect(200);
    get(&server, &[]).await.expect(300);
    let written = put(&server, &[], "c").await.expect(204);
    let read = get(&server, &[]).await.expect(200);
    assert_eq!(read.header("etag"), written.header("etag"));
}

#[tokio::test]
async fn the_context_covers_a_hidden_delete() {
    let server = TestServer::new();
    server
        .body("PUT /v1/data/shop", r#"{"conflict_policy":"siblings"}"#)
        .await
        .expect(200);
    for (region, value) in [
        ("eu-west", content("a")),
        ("ap-south", content("b")),
        ("sa-east", None),
    ] {
        server
            .region
            .remote_put(region, "k", ConflictPolicy::Siblings, value);
    }
    let shown = get(&server, &[]).await.expect(300).json();
    assert_eq!(shown["siblings"].as_array().unwrap().len(), 2);
    let context = shown["context"].as_str().unwrap().to_owned();
    put(&server, &[("Atoll-Context", &context)], "c")
        .await
        .expect(204);
    let ns = "shop".parse().unwrap();
    let key = Key::new("k").unwrap();
    let row = server.region.register(&ns, &key).unwrap().unwrap();
    assert_eq!(row.versions().len(), 1);
}

#[tokio::test]
async fn a_context_that_was_not_given_out_is_refused() {
    let server = TestServer::new();
    for bad in ["", "x", "AAAA", "*", "a b"] {
        let answer = put(&server, &[("Atoll-Context", bad)], "x").await;
        answer.problem_saying(400, "invalid_request", "Atoll-Context");
    }
    let answer = server
        .send(
            &format!("DELETE {KEY}"),
            &[("Atoll-Context", "AQA")],
            Body::empty(),
        )
        .await;
    answer.problem_saying(400, "invalid_request", "PUT only");
}

#[tokio::test]
async fn too_many_siblings_are_a_conflict() {
    let server = TestServer::new();
    server
        .body("PUT /v1/data/shop", r#"{"conflict_policy":"siblings"}"#)
        .await
        .expect(200);
    server
        .region
        .remote_put("eu-west", "k", ConflictPolicy::Siblings, content("a"));
    server
        .region
        .remote_put("ap-south", "k", ConflictPolicy::Siblings, content("b"));
    let stale = get(&server, &[]).await.json()["context"]
        .as_str()
        .unwrap()
        .to_owned();
    put(&server, &[], "c").await.expect(204);
    for _ in 1..limits::SIBLINGS_MAX {
        put(&server, &[("Atoll-Context", &stale)], "d").await.expect(204);
    }
    let answer = put(&server, &[("Atoll-Context", &stale)], "e").await;
    answer.problem_saying(409, "conflict", "64 siblings");
}
