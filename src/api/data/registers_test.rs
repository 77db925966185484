//! Tests of registers over the router.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::test_client::{Answer, TestServer};
use crate::model::limits;

const KEY: &str = "/v1/data/shop/registers/k";
const MIB: usize = limits::VALUE_BYTES_MAX;

async fn put(server: &TestServer, headers: &[(&str, &str)], body: &'static str) -> Answer {
    server.send(&format!("PUT {KEY}"), headers, body).await
}

async fn get(server: &TestServer, headers: &[(&str, &str)]) -> Answer {
    server.send(&format!("GET {KEY}"), headers, Body::empty()).await
}

#[tokio::test]
async fn a_register_is_read_as_it_was_written() {
    let server = TestServer::new();
    let written = put(&server, &[("Content-Type", "text/plain; charset=utf-8")], "héllo")
        .await
        .expect(204);
    assert!(written.body.is_empty());
    let version = written.header("atoll-version");
    assert!(version.ends_with("-us-east"), "{version}");
    assert_eq!(written.header("etag"), format!("\"{version}\""));

    let read = get(&server, &[]).await.expect(200);
    assert_eq!(read.body, "héllo");
    assert_eq!(read.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(read.header("x-content-type-options"), "nosniff");
    assert_eq!(read.header("etag"), written.header("etag"));
    assert_eq!(read.header("atoll-version"), version);

    let head = server.call(&format!("HEAD {KEY}")).await.expect(200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), "6");
    for name in ["content-type", "etag", "atoll-version", "x-content-type-options"] {
        assert_eq!(head.header(name), read.header(name), "{name}");
    }

    let deleted = server.call(&format!("DELETE {KEY}")).await.expect(204);
    assert!(deleted.header("atoll-version") > version);
    get(&server, &[]).await.problem(404, "not_found");
    let head = server.call(&format!("HEAD {KEY}")).await.expect(404);
    assert!(head.body.is_empty());
    server.call(&format!("DELETE {KEY}")).await.expect(204);
}

#[tokio::test]
async fn keys_are_told_apart_by_their_decoded_text() {
    let server = TestServer::new();
    let long = "k".repeat(1024);
    for key in [
        "a%2Fb",
        "a",
        "%00",
        "%25",
        "%20",
        "a+b",
        "%F0%9F%8C%8A",
        "..",
        "%2e",
        &long,
    ] {
        let target = format!("/v1/data/shop/registers/{key}");
        server
            .body(&format!("PUT {target}"), key.to_owned())
            .await
            .expect(204);
    }
    let read = server.call("GET /v1/data/shop/registers/a%2fb").await.expect(200);
    assert_eq!(read.body, "a%2Fb");
    let listed = server
        .call("GET /v1/data/shop/registers")
        .await
        .expect(200)
        .json();
    let keys: Vec<_> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listed| listed["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["\0", " ", "%", ".", "..", "a", "a+b", "a/b", &long, "🌊"]);
}

#[tokio::test]
async fn content_types_are_kept_within_limits() {
    let server = TestServer::new();
    put(&server, &[], "").await.expect(204);
    let read = get(&server, &[]).await.expect(200);
    assert_eq!(read.header("content-type"), "application/octet-stream");
    assert!(read.body.is_empty());
    let longest = "x".repeat(256);
    put(&server, &[("Content-Type", &longest)], "").await.expect(204);
    assert_eq!(get(&server, &[]).await.header("content-type"), longest);
    for (name, value, expected) in [
        ("Content-Type", "x".repeat(257), "257 bytes"),
        ("Content-Type", "é".to_owned(), "Content-Type"),
        ("Content-Encoding", "gzip".to_owned(), "Content-Encoding"),
        ("Content-Range", "bytes 0-1/2".to_owned(), "Content-Range"),
    ] {
        let answer = put(&server, &[(name, &value)], "").await;
        answer.problem_saying(400, "invalid_request", expected);
    }
}

#[tokio::test]
async fn values_have_at_most_1_mib() {
    let server = TestServer::new();
    let target = format!("PUT {KEY}");
    server.body(&target, vec![7; MIB]).await.expect(204);
    assert_eq!(get(&server, &[]).await.expect(200).body.len(), MIB);
    let problem = server
        .body(&target, vec![7; MIB + 1])
        .await
        .problem(413, "too_large");
    assert_eq!(problem["limit_bytes"], MIB);
    let announced = (MIB + 1).to_string();
    server
        .send(&target, &[("Content-Length", &announced)], "small")
        .await
        .problem(413, "too_large");
    let chunks = (0..5).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; MIB / 4])));
    let stream = Body::from_stream(futures_util::stream::iter(chunks));
    server.body(&target, stream).await.problem(413, "too_large");
    assert_eq!(
        server.region.admitted(),
        [MIB, 0, MIB],
        "413 by length comes before admission"
    );
    assert_eq!(get(&server, &[]).await.expect(200).body.len(), MIB);
}

#[tokio::test]
async fn registers_with_a_life_disappear_after_it() {
    let server = TestServer::new();
    let target = format!("PUT {KEY}?ttl_seconds=10");
    server.body(&target, "x").await.expect(204);
    server.clock.advance(Duration::from_millis(9_999));
    get(&server, &[]).await.expect(200);
    server.clock.advance(Duration::from_millis(1));
    get(&server, &[]).await.expect(404);
    server
        .send(&target, &[("If-None-Match", "*")], "y")
        .await
        .expect(204);
    server
        .body(&format!("PUT {KEY}?ttl_seconds=315360000"), "x")
        .await
        .expect(204);
    for bad in ["0", "315360001", "-1", "1.5", "", "x"] {
        let target = format!("PUT {KEY}?ttl_seconds={bad}");
        let answer = server.body(&target, "x").await;
        answer.problem_saying(400, "invalid_request", "ttl_seconds");
    }
}

#[tokio::test]
async fn preconditions_of_writes_hold_or_show_the_current_tag() {
    let server = TestServer::new();
    for headers in [[("If-Match", "*")], [("If-Match", "\"x\"")]] {
        let answer = put(&server, &headers, "0").await;
        assert_eq!(
            answer.problem(412, "precondition_failed")["current_etag"],
            Value::Null
        );
        assert_eq!(answer.header("etag"), "");
    }
    let first = put(&server, &[("If-None-Match", "*")], "1").await.expect(204);
    let tag = first.header("etag");
    let weak = format!("W/{tag}");
    let listed = format!("\"x\", {tag}");
    for (name, value) in [
        ("If-None-Match", "*"),
        ("If-None-Match", tag),
        ("If-None-Match", &weak),
        ("If-None-Match", &listed),
        ("If-Match", &weak),
        ("If-Match", "\"x\""),
    ] {
        for method in ["PUT", "DELETE"] {
            let answer = server
                .send(&format!("{method} {KEY}"), &[(name, value)], "no")
                .await;
            let problem = answer.problem(412, "precondition_failed");
            assert_eq!(problem["current_etag"], tag, "{method} {name}: {value}");
            assert_eq!(answer.header("etag"), tag);
        }
    }
    put(&server, &[("If-Match", "*")], "2").await.expect(204);
    let read = get(&server, &[]).await.expect(200);
    assert_eq!(read.body, "2");
    let listed = format!("\"x\", {}", read.header("etag"));
    put(&server, &[("If-Match", &listed)], "3").await.expect(204);
    put(&server, &[("If-None-Match", "\"x\", W/\"y\"")], "4")
        .await
        .expect(204);
    let tag = get(&server, &[]).await.header("etag").to_owned();
    server
        .send(&format!("DELETE {KEY}"), &[("If-Match", &tag)], Body::empty())
        .await
        .expect(204);
}

#[tokio::test]
async fn malformed_preconditions_are_refused() {
    let server = TestServer::new();
    for headers in [
        &[("If-Match", "x")][..],
        &[("If-None-Match", "\"x")],
        &[("If-Match", "*, \"x\"")],
        &[("If-Match", "")],
        &[("If-Match", "*"), ("If-None-Match", "\"x\"")],
    ] {
        for method in ["PUT", "DELETE"] {
            let answer = server.send(&format!("{method} {KEY}"), headers, "").await;
            answer.problem_saying(400, "invalid_request", "Match");
        }
    }
    assert!(server.region.admitted().is_empty());
}

#[tokio::test]
async fn preconditions_of_reads_answer_304_and_412() {
    let server = TestServer::new();
    get(&server, &[("If-None-Match", "*")]).await.expect(404);
    get(&server, &[("If-Match", "*")]).await.expect(404);
    let written = put(&server, &[], "1").await.expect(204);
    let tag = written.header("etag");
    let weak = format!("\"x\", W/{tag}");
    for value in [tag, &weak, "*"] {
        for method in ["GET", "HEAD"] {
            let answer = server
                .send(
                    &format!("{method} {KEY}"),
                    &[("If-None-Match", value)],
                    Body::empty(),
                )
                .await
                .expect(304);
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), tag);
            assert_eq!(answer.header("atoll-version"), written.header("atoll-version"));
            assert_eq!(answer.header("atoll-consistency"), "local_quorum");
        }
    }
    get(&server, &[("If-None-Match", "\"x\"")]).await.expect(200);
    get(&server, &[("If-Match", tag)]).await.expect(200);
    let problem = get(&server, &[("If-Match", "\"x\"")])
        .await
        .problem(412, "precondition_failed");
    assert_eq!(problem["current_etag"], tag);
    get(&server, &[("If-Match", tag), ("If-None-Match", tag)])
        .await
        .expect(304);
    get(&server, &[("If-None-Match", "x")])
        .await
        .problem(400, "invalid_request");
}

#[tokio::test]
async fn a_write_that_is_not_answered_in_time_may_still_be_made() {
    let server = TestServer::new();
    server.region.faults().write_delay = Duration::from_secs(30);
    for (target, body) in [
        (format!("PUT {KEY}"), "x"),
        (format!("DELETE {KEY}"), ""),
        ("POST /v1/data/shop/counters/k".to_owned(), r#"{"add":1}"#),
    ] {
        let answer = server.send(&target, &[("Atoll-Timeout-Ms", "20")], body).await;
        let problem = answer.problem(504, "timeout");
        assert_eq!(problem["committed_locally"], "unknown");
        assert_eq!(problem["version"], Value::Null);
        assert_eq!(problem["session"], Value::Null);
    }
}

#[tokio::test]
async fn listings_page_in_byte_order() {
    let server = TestServer::new();
    for key in ["b", "a%2F1", "a%2F2", "c"] {
        let target = format!("PUT /v1/data/shop/registers/{key}");
        server
            .send(&target, &[("Content-Type", "text/plain")], "12")
            .await
            .expect(204);
    }
    let list = async |query: &str| {
        let target = format!("GET /v1/data/shop/registers{query}");
        server.call(&target).await.expect(200).json()
    };
    let page = list("?limit=2").await;
    assert_eq!(page["next"], "a/2");
    let first = &page["keys"][0];
    assert_eq!(first["key"], "a/1");
    assert_eq!(first["size"], 2);
    assert_eq!(first["content_type"], "text/plain");
    assert!(first["version"].as_str().unwrap().ends_with("-us-east"));
    let page = list("?limit=2&after=a%2F2").await;
    assert_eq!(page["keys"].as_array().unwrap().len(), 2);
    assert_eq!(page["next"], Value::Null);
    assert_eq!(list("?prefix=a/").await["keys"].as_array().unwrap().len(), 2);
    assert_eq!(list("?prefix=&after=").await["keys"].as_array().unwrap().len(), 4);
    assert_eq!(list("?prefix=x").await, json!({"keys": [], "next": null}));
    assert_eq!(list("?limit=99999999").await["keys"].as_array().unwrap().len(), 4);
    for bad in [
        "limit=0",
        "limit=x",
        "limit=",
        "limits=1",
        "limit=1&limit=1",
        "prefix=%zz",
    ] {
        let answer = server.call(&format!("GET /v1/data/shop/registers?{bad}")).await;
        answer.problem(400, "invalid_request");
    }
}
