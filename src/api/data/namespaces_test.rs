//! Tests of namespaces over the router.

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::json;
use tower::ServiceExt as _;

use crate::actors::link::requests::ForwardedAnswer;
use crate::api::forwarded::PassedOn;
use crate::api::test_client::TestServer;
use crate::model::hlc::Hlc;
use crate::model::session::SessionToken;
use crate::wire::session;

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
    let mut forced = full.clone();
    forced["force"] = true.into();
    let answer = server
        .body("PUT /v1/data/shop", forced.to_string())
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
    let body = r#"{"mode": "home_writes", "home_region": "us-east", "force": true}"#;
    let answer = server.body("PUT /v1/data/shop", body).await.expect(200);
    assert_eq!(answer.json()["mode"], "home_writes");
}

/// What the peer answers when it has made a change with this stamp.
fn made_by_peer(stamp: u64) -> ForwardedAnswer {
    let token = SessionToken::from_iter([("eu-west".parse().unwrap(), Hlc(stamp))]);
    let token = URL_SAFE_NO_PAD.encode(session::encode(&token, &"test".parse().unwrap()));
    let header = |name: &str, value: String| (name.to_owned(), Bytes::from(value));
    ForwardedAnswer {
        status: 200,
        headers: vec![
            header("content-type", "application/json".to_owned()),
            header("atoll-session", token),
        ],
        body: Bytes::from_static(b"{}"),
    }
}

const FIRST_HOME: &str = r#"{"home_region":"us-east"}"#;

#[tokio::test]
async fn a_first_home_is_set_by_the_first_region_by_name_and_known_here_before_the_answer() {
    let server = TestServer::new();
    server.region.faults().peer_answers = Some(made_by_peer(1000));
    server.body("PUT /v1/data/shop", FIRST_HOME).await.expect(200);
    let (region, request) = server.region.passed_on().remove(0);
    assert_eq!(region.as_str(), "eu-west");
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("PUT", "/v1/data/shop")
    );
    assert_eq!(request.body, FIRST_HOME);
    // What it has made and what does not come is not called done.
    server.region.faults().peer_answers = Some(made_by_peer(1001));
    let headers = [("Atoll-Timeout-Ms", "30")];
    let answer = server.send("PUT /v1/data/shop", &headers, FIRST_HOME).await;
    let problem = answer.problem(504, "timeout");
    assert_eq!(problem["committed_locally"], true);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("eu-west has changed")
    );
    assert!(problem["session"].is_string());
}

#[tokio::test]
async fn a_first_home_whose_decider_cannot_be_reached_is_not_set_but_by_force() {
    let server = TestServer::new();
    let answer = server.body("PUT /v1/data/shop", FIRST_HOME).await;
    answer.problem_saying(
        503,
        "unavailable",
        "eu-west, the first region of this cluster by name",
    );
    answer.problem_saying(503, "unavailable", "\"force\": true");
    assert_eq!(answer.problem(503, "unavailable")["committed_locally"], false);
    let unset = server.call("GET /v1/data/shop").await.json();
    assert_eq!(unset["home_region"], json!(null));
    // Without a home nobody else is asked.
    server
        .body("PUT /v1/data/shop", r#"{"conflict_policy": "siblings"}"#)
        .await
        .expect(200);
    let forced = r#"{"home_region":"us-east","force":true}"#;
    server.body("PUT /v1/data/shop", forced).await.expect(200);
    // Now it is the home that decides: this region.
    server
        .body("PUT /v1/data/shop", r#"{"home_region":"eu-west"}"#)
        .await
        .expect(200);
    let answer = server.body("PUT /v1/data/shop", FIRST_HOME).await;
    answer.problem_saying(503, "unavailable", "eu-west, the home region of the namespace");
    answer.problem_saying(503, "unavailable", "\"force\": true");
}

#[tokio::test]
async fn a_configuration_that_was_passed_on_is_not_passed_on_again() {
    let server = TestServer::new();
    server.region.faults().peer_answers = Some(made_by_peer(1000));
    let mut request = Request::put("/v1/data/shop")
        .body(Body::from(FIRST_HOME))
        .unwrap();
    let from = "eu-west".parse().unwrap();
    request.extensions_mut().insert(PassedOn { from });
    let answer = server.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(server.region.passed_on().len(), 0);
}

#[tokio::test]
async fn an_answer_to_a_configuration_has_a_token_that_covers_it_and_what_the_client_had_seen() {
    let server = TestServer::new();
    let seen = made_by_peer(7).headers[1].1.clone();
    let headers = [("Atoll-Session", std::str::from_utf8(&seen).unwrap())];
    let answer = server.send("PUT /v1/data/shop", &headers, "{}").await.expect(200);
    let bytes = URL_SAFE_NO_PAD.decode(answer.header("atoll-session")).unwrap();
    let regions = ["us-east", "eu-west"].map(|name| name.parse().unwrap());
    let token = session::decode(&bytes, &"test".parse().unwrap(), regions.into_iter()).unwrap();
    assert_eq!(token.stamp(regions[1]), Hlc(7));
    let answer = server
        .send("PUT /v1/data/shop", &[("Atoll-Session", "x")], "{}")
        .await;
    answer.problem_saying(400, "invalid_request", "not a session token");
}
