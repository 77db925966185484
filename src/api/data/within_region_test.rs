//! Requests for what this node does not hold: whom they go to, what of them is met there, and what is said when nobody answers.

use bytes::Bytes;

use crate::actors::link::answering::{AnswerForwarded as _, Origin};
use crate::actors::link::requests::ForwardedAnswer;
use crate::actors::region::{AskError, Asked};
use crate::api::Forwarded;
use crate::api::test_client::TestServer;
use crate::model::ids::PartitionId;
use crate::model::partition_set::PartitionSet;
use crate::wire::messages::ForwardedRequest;

const PUT: &str = "PUT /v1/data/shop/registers/k";
const GET: &str = "GET /v1/data/shop/registers/k";
const LIST: &str = "GET /v1/data/shop/registers?limit=2";

fn set(partitions: &[u16]) -> PartitionSet {
    partitions
        .iter()
        .map(|partition| PartitionId(*partition))
        .collect()
}

/// A node that does not hold these.
fn server(not_held: &[u16]) -> TestServer {
    let server = TestServer::new();
    server.region.faults().not_held = set(not_held);
    server.region.faults().leader = Some("us-east-2".parse().unwrap());
    server
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Asked<ForwardedAnswer> {
    let headers = headers.iter();
    Ok(Ok(ForwardedAnswer {
        status,
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }))
}

fn lost(may_have_been_done: bool) -> Asked<ForwardedAnswer> {
    Err(AskError {
        why: "it was lost".to_owned(),
        may_have_been_done,
        is_late: false,
    })
}

fn asked(server: &TestServer) -> Vec<String> {
    let asked = server.region.asked_nodes();
    asked.iter().map(|(node, _)| node.to_string()).collect()
}

#[tokio::test]
async fn a_request_goes_on_whole_and_its_answer_comes_back() {
    let server = server(&[0]);
    let told = answer(412, &[("etag", "\"7\""), ("atoll-leader", "us-east-2")], "{}");
    server.region.faults().nodes_answer.push_back(told);
    let headers = [
        ("If-Match", "\"6\""),
        ("Idempotency-Key", "once"),
        ("Atoll-Consistency", "local_quorum"),
    ];
    let answered = server.send(PUT, &headers, "body").await.expect(412);
    assert_eq!(
        (answered.header("etag"), answered.header("atoll-leader")),
        ("\"7\"", "us-east-2")
    );
    let asked = server.region.asked_nodes();
    let (node, inside) = &asked[0];
    assert_eq!((node.as_str(), asked.len()), ("us-east-2", 1));
    assert_eq!((inside.led, inside.part), (Some(PartitionId(0)), None));
    let request = &inside.request;
    assert_eq!(
        (request.method.as_str(), &*request.target),
        ("PUT", "/v1/data/shop/registers/k")
    );
    assert_eq!(&*request.body, b"body");
    for (name, value) in headers {
        let sent = request
            .headers
            .iter()
            .find(|(sent, _)| sent.eq_ignore_ascii_case(name));
        assert_eq!(sent.unwrap().1, value);
    }
}

#[tokio::test]
async fn what_this_node_holds_it_answers_itself() {
    let server = server(&[1]);
    server.body(PUT, "x").await.expect(204);
    server.call(GET).await.expect(200);
    assert!(asked(&server).is_empty());
}

#[tokio::test]
async fn at_eventual_any_holder_does_and_else_only_the_leader() {
    let server = server(&[0]);
    let answers = [lost(true), Ok(Err(set(&[0]))), answer(200, &[], "x")];
    server.region.faults().nodes_answer.extend(answers.clone());
    let eventual = [("Atoll-Consistency", "eventual")];
    server.send(GET, &eventual, "").await.expect(200);
    assert_eq!(asked(&server), ["us-east-2", "us-east-3", "us-east-2"]);
    server.region.asked_nodes().clear();
    server.region.faults().nodes_answer.extend(answers);
    server.call(GET).await.expect(200);
    assert_eq!(asked(&server), ["us-east-2", "us-east-2", "us-east-2"]);
}

#[tokio::test]
async fn a_write_is_sent_again_only_if_it_was_not_done() {
    let server = server(&[0]);
    let answers = [lost(false), Ok(Err(set(&[0]))), lost(true)];
    server.region.faults().nodes_answer.extend(answers);
    let answered = server.body(PUT, "x").await;
    answered.problem_saying(503, "unavailable", "may have been made there");
    let problem: serde_json::Value = serde_json::from_slice(&answered.body).unwrap();
    assert_eq!(problem["committed_locally"], "unknown");
    assert_eq!(asked(&server).len(), 3);
}

#[tokio::test]
async fn without_a_majority_it_is_refused_at_once_and_without_an_answer_in_time() {
    let server = server(&[0]);
    server.region.faults().leader = None;
    let answered = server.body(PUT, "x").await;
    answered.problem_saying(503, "unavailable", "too few nodes are heard");
    server.region.faults().leader = Some("us-east-2".parse().unwrap());
    server
        .region
        .faults()
        .nodes_answer
        .extend(std::iter::repeat_n(lost(false), 100));
    let hurried = [("Atoll-Timeout-Ms", "60")];
    let answered = server.send(PUT, &hurried, "x").await;
    answered.problem_saying(504, "timeout", "partition 0, which this node does not hold");
}

#[tokio::test]
async fn a_listing_is_put_together_from_parts() {
    let server = server(&[1]);
    for key in ["a", "c", "d"] {
        server
            .body(&format!("PUT /v1/data/shop/registers/{key}"), "x")
            .await
            .expect(204);
    }
    let page = r#"{"keys": [{"key": "b", "size": 1, "content_type": null, "version": "v"}], "next": null}"#;
    let answers = [
        lost(true),
        Ok(Err(set(&[1]))),
        answer(200, &[("atoll-staleness-ms", "7000")], page),
    ];
    server.region.faults().nodes_answer.extend(answers);
    let listed = server.call(LIST).await.expect(200);
    let json = listed.json();
    let keys = json["keys"].as_array().unwrap().iter();
    let keys: Vec<_> = keys.map(|key| key["key"].as_str().unwrap()).collect();
    assert_eq!((keys, json["next"].as_str()), (vec!["a", "b"], Some("b")));
    assert_eq!(listed.header("atoll-staleness-ms"), "7000");
    assert!(!listed.header("atoll-session").is_empty());
    assert_eq!(asked(&server), ["us-east-2", "us-east-3", "us-east-2"]);
    assert!(
        server
            .region
            .asked_nodes()
            .iter()
            .all(|(_, inside)| inside.part == Some(set(&[1])))
    );
    // What one of them refuses is refused.
    server
        .region
        .faults()
        .nodes_answer
        .push_back(answer(504, &[], "{}"));
    server.call(LIST).await.expect(504);
}

#[tokio::test]
async fn who_is_asked_by_another_node_asks_nobody_else() {
    let server = server(&[1]);
    server.body(PUT, "x").await.expect(204);
    let surface = Forwarded::new(server.router.clone());
    let origin = Origin {
        node: Some("us-east-3".parse().unwrap()),
        ..Origin::default()
    };
    let request = |target: &str| ForwardedRequest {
        method: "GET".to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        patience_ms: 1000,
    };
    let register = request("/v1/data/shop/registers/k");
    let answered = surface.answer(origin, register.clone()).await.unwrap();
    assert_eq!((answered.status, &*answered.body), (200, &b"x"[..]));
    let listing = |part: &[u16]| Origin {
        part: Some(set(part)),
        ..origin
    };
    let list = request("/v1/data/shop/registers");
    assert_eq!(
        surface.answer(listing(&[0]), list.clone()).await.unwrap().status,
        200
    );
    assert_eq!(surface.answer(listing(&[0, 1]), list).await, Err(set(&[1])));
    server.region.faults().not_held = set(&[0]);
    assert_eq!(surface.answer(origin, register).await, Err(set(&[0])));
    assert!(asked(&server).is_empty());
}
