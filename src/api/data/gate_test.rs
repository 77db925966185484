//! What is asked beyond a local read or write: how it is answered when it can be met, and when it cannot.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::api::test_client::TestServer;
use crate::model::hlc::Hlc;
use crate::model::session::SessionToken;
use crate::wire::session;

fn token(cluster: &str, region: &str, stamp: u64) -> String {
    let token = SessionToken::from_iter([(region.parse().unwrap(), Hlc(stamp))]);
    URL_SAFE_NO_PAD.encode(session::encode(&token, &cluster.parse().unwrap()))
}

const PUT: &str = "PUT /v1/data/shop/registers/k";
const GET: &str = "GET /v1/data/shop/registers/k";

#[tokio::test]
async fn answers_carry_a_token_that_the_next_request_may_bring() {
    let server = TestServer::new();
    let written = server.body(PUT, "x").await.expect(204);
    let given = written.header("atoll-session").to_owned();
    assert!(!given.is_empty());
    let read = server
        .send(GET, &[("Atoll-Session", &given)], "")
        .await
        .expect(200);
    assert_eq!(read.header("atoll-session"), given);
    // Also where there is nothing: the client has seen that.
    let missing = server.send("GET /v1/data/shop/registers/other", &[], "").await;
    assert_ne!(missing.expect(404).header("atoll-session"), "");
}

#[tokio::test]
async fn tokens_that_are_none_or_of_others_are_refused_with_what_to_do() {
    let server = TestServer::new();
    for (token, expected) in [
        ("x".to_owned(), "not a session token"),
        (token("other", "us-east", 1), "another cluster"),
        (
            token("test", "moon", 1),
            "a region that this cluster does not have",
        ),
        (token("test", "us-east", u64::MAX), "the future"),
    ] {
        for target in [PUT, GET, "GET /v1/data/shop/registers"] {
            let answer = server.send(target, &[("Atoll-Session", &token)], "x").await;
            answer.problem_saying(400, "invalid_request", expected);
        }
    }
}

#[tokio::test]
async fn a_session_whose_changes_do_not_come_ends_in_504_and_nothing_is_done() {
    let server = TestServer::new();
    let (ahead, behind) = (token("test", "eu-west", 1001), token("test", "eu-west", 1000));
    let headers = [("Atoll-Session", ahead.as_str()), ("Atoll-Timeout-Ms", "30")];
    let answer = server.send(PUT, &headers, "x").await;
    answer.problem_saying(504, "timeout", "eu-west");
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["committed_locally"],
        false
    );
    server.call(GET).await.expect(404);
    // Nobody has signed it: what it says of this region's own changes is not believed either.
    let forged = token("test", "us-east", 1_000_000);
    let headers_forged = [
        ("Atoll-Session", forged.as_str()),
        ("Atoll-Session-Fallback", "forward"),
        ("Atoll-Timeout-Ms", "300"),
    ];
    let answer = server.send(PUT, &headers_forged, "x").await;
    answer.problem_saying(504, "timeout", "us-east");
    server
        .send(GET, &[("Atoll-Session", &behind)], "")
        .await
        .expect(404);
    // Asked to, it turns to a region that can answer; there is no link to it here.
    let headers = [
        ("Atoll-Session", ahead.as_str()),
        ("Atoll-Session-Fallback", "forward"),
    ];
    let answer = server.send(GET, &headers, "").await;
    answer.problem_saying(503, "unavailable", "cannot be reached");
    let headers = [("Atoll-Session-Fallback", "wait")];
    server
        .send(GET, &headers, "")
        .await
        .problem(400, "invalid_request");
}

#[tokio::test]
async fn reads_say_how_old_they_can_be_and_refuse_what_is_too_old() {
    let server = TestServer::new();
    server.body(PUT, "x").await.expect(204);
    let read = server.call(GET).await.expect(200);
    assert!(read.header("atoll-staleness-ms").parse::<u64>().unwrap() >= 40);
    server
        .send(GET, &[("Atoll-Max-Staleness-Ms", "41")], "")
        .await
        .expect(200);
    let headers = [("Atoll-Max-Staleness-Ms", "40"), ("Atoll-Timeout-Ms", "20")];
    let answer = server.send(GET, &headers, "").await;
    answer.problem_saying(503, "unavailable", "up to 40 ms");
    server.region.faults().staleness_allowance = Some(Duration::from_millis(40));
    let hurried = [("Atoll-Timeout-Ms", "20")];
    let answer = server.send(GET, &hurried, "").await;
    answer.problem_saying(503, "unavailable", "which this region allows");
    let longer = [("Atoll-Max-Staleness-Ms", "41"), ("Atoll-Timeout-Ms", "20")];
    server.send(GET, &longer, "").await.expect(200);
    server.region.faults().staleness_allowance = Some(Duration::from_millis(80));
    server.send(GET, &hurried, "").await.expect(200);
    for given in ["0", "-1", "x", "86400001"] {
        let answer = server.send(GET, &[("Atoll-Max-Staleness-Ms", given)], "").await;
        answer.problem_saying(400, "invalid_request", "Atoll-Max-Staleness-Ms");
    }
}

#[tokio::test]
async fn a_write_that_no_majority_confirms_in_time_says_that_it_is_durable_here() {
    let server = TestServer::new();
    let headers = [("Atoll-Consistency", "global_quorum"), ("Atoll-Timeout-Ms", "30")];
    let problem = server.send(PUT, &headers, "x").await.problem(504, "timeout");
    assert_eq!(problem["committed_locally"], true);
    assert!(problem["version"].as_str().unwrap().ends_with("-us-east"));
    let session = problem["session"].as_str().unwrap().to_owned();
    server
        .send(GET, &[("Atoll-Session", &session)], "")
        .await
        .expect(200);
    let problem = server.send(GET, &headers, "").await.problem(504, "timeout");
    assert_eq!(problem["committed_locally"], false);
}

#[tokio::test]
async fn preconditions_at_global_quorum_are_refused_with_an_explanation() {
    let server = TestServer::new();
    for condition in ["If-Match", "If-None-Match"] {
        let headers = [("Atoll-Consistency", "global_quorum"), (condition, "*")];
        for (target, body) in [
            (PUT, "x"),
            ("PUT /v1/data/shop/sets/k/m", ""),
            ("DELETE /v1/data/shop/maps/k/f", ""),
            ("POST /v1/data/shop/counters/k", r#"{"add":1}"#),
        ] {
            let answer = server.send(target, &headers, body).await;
            answer.problem_saying(400, "invalid_request", "use strong");
        }
    }
    let body = r#"{"operations":[{"op":"add","type":"counter","key":"k","add":1,"if_match":"*"}]}"#;
    let headers = [("Atoll-Consistency", "global_quorum")];
    let answer = server.send("POST /v1/data/shop/batch", &headers, body).await;
    answer.problem_saying(400, "invalid_request", "use strong");
}

#[tokio::test]
async fn strong_needs_a_home_and_is_met_there() {
    let server = TestServer::new();
    let strong = [("Atoll-Consistency", "strong")];
    for target in [PUT, GET] {
        let answer = server.send(target, &strong, "x").await;
        answer.problem_saying(400, "invalid_request", "no home region");
    }
    let at = |home: &str| json!({"home_region": home, "force": true}).to_string();
    server.body("PUT /v1/data/shop", at("us-east")).await.expect(200);
    let answer = server.send(PUT, &strong, "x").await.expect(204);
    assert_eq!(answer.header("atoll-consistency"), "strong");
    let create = [strong[0], ("If-None-Match", "*")];
    let member = "PUT /v1/data/shop/sets/k/m";
    server.send(member, &create, "").await.expect(204);
    server
        .send(member, &create, "")
        .await
        .problem(412, "precondition_failed");
    // At a home that cannot be reached, nothing is done instead.
    server.body("PUT /v1/data/shop", at("eu-west")).await.expect(200);
    let answer = server.send(PUT, &strong, "y").await;
    answer.problem_saying(503, "unavailable", "eu-west");
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["committed_locally"],
        false
    );
    assert_eq!(server.call(GET).await.expect(200).body, "x");
}

#[tokio::test]
async fn what_turns_out_not_to_be_the_home_is_done_again_until_it_is() {
    let server = TestServer::new();
    let at = json!({"home_region": "us-east", "force": true}).to_string();
    server.body("PUT /v1/data/shop", at).await.expect(200);
    server.region.faults().has_others = true;
    let strong = [("Atoll-Consistency", "strong")];
    server.region.faults().homes_lost = 2;
    server.send(PUT, &strong, "x").await.expect(204);
    server.region.faults().homes_lost = 2;
    assert_eq!(server.send(GET, &strong, "").await.expect(200).body, "x");
    // What is read was not what the home has, and is not shown.
    let hurried = [strong[0], ("Atoll-Timeout-Ms", "100")];
    for (target, body) in [(PUT, "y"), (GET, "")] {
        server.region.faults().homes_lost = 1000;
        let answer = server.send(target, &hurried, body).await.expect(503);
        assert_eq!(answer.header("atoll-home-moved"), "true");
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["committed_locally"], false);
    }
    server.region.faults().homes_lost = 0;
    assert_eq!(server.send(GET, &strong, "").await.expect(200).body, "x");
}

#[tokio::test]
async fn writes_of_a_namespace_written_at_home_are_never_made_elsewhere() {
    let server = TestServer::new();
    let body = json!({"home_region": "eu-west", "mode": "home_writes", "force": true}).to_string();
    server.body("PUT /v1/data/shop", body).await.expect(200);
    for target in [
        PUT,
        "DELETE /v1/data/shop/registers/k",
        "PUT /v1/data/shop/sets/k/m",
    ] {
        server
            .send(target, &[("Atoll-Consistency", "eventual")], "")
            .await
            .problem_saying(503, "unavailable", "eu-west");
    }
    server.call(GET).await.expect(404);
}

#[tokio::test]
async fn answers_of_regions_of_several_nodes_name_the_leader_of_what_was_asked_for() {
    let server = TestServer::new();
    assert_eq!(server.body(PUT, "x").await.expect(204).header("atoll-leader"), "");
    server.region.faults().leader = Some("us-east-2".parse().unwrap());
    let written = server.body(PUT, "x").await.expect(204);
    assert_eq!(written.header("atoll-leader"), "us-east-2");
    assert_eq!(
        server.call(GET).await.expect(200).header("atoll-leader"),
        "us-east-2"
    );
    let missing = server.call("GET /v1/data/shop/registers/other").await.expect(404);
    assert_eq!(missing.header("atoll-leader"), "us-east-2");
    let late = server
        .send(
            GET,
            &[("Atoll-Consistency", "global_quorum"), ("Atoll-Timeout-Ms", "10")],
            "",
        )
        .await;
    assert_eq!(late.expect(504).header("atoll-leader"), "us-east-2");
    // Listings are of all partitions.
    let listing = server.call("GET /v1/data/shop/registers").await.expect(200);
    assert_eq!(listing.header("atoll-leader"), "");
}
