//! Batches and idempotency keys against real processes: all or nothing in every region, repeats through kill -9.

use serde_json::{Value, json};

use crate::harness::{Answer, Cluster, Region, atoll, wait_for_count, wait_until};

const BATCH: &str = "/v1/data/shop/batch";

async fn send(region: &Region, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("Idempotency-Key", key)];
    let body = body.to_string().into_bytes();
    region.try_call("POST", path, &headers, body).await.unwrap()
}

fn transfer(round: u64) -> Value {
    json!({"operations": [
        {"op": "put", "type": "register", "key": "{acc}:left", "value": round.to_string()},
        {"op": "put", "type": "register", "key": "{acc}:right", "value": round.to_string()},
        {"op": "add", "type": "counter", "key": "{acc}:rounds", "add": 1},
        {"op": "update", "type": "set", "key": "{acc}:seen", "add": [round.to_string()]},
        {"op": "update", "type": "map", "key": "{acc}:last", "set": {"round": round}},
    ]})
}

/// The stamps of both registers, as one listing shows them; none before the first batch.
async fn stamps(region: &Region) -> Option<(u64, u64)> {
    let listed = region.call("GET", "/v1/data/shop/registers?prefix=%7Bacc%7D", "");
    let listed = listed.await.expect(200).json();
    let keys = listed["keys"].as_array().unwrap();
    let stamp = |entry: &Value| {
        let version = entry["version"].as_str().unwrap();
        u64::from_str_radix(version.split('-').next().unwrap(), 16).unwrap()
    };
    match keys.as_slice() {
        [] => None,
        [left, right] => Some((stamp(left), stamp(right))),
        half => panic!("{} shows half a batch: {half:?}", region.id),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_region_ever_shows_half_a_batch() {
    let cluster = Cluster::start().await;
    let (us, ap) = (cluster.us(), cluster.ap());
    let writing = async {
        for round in 0..60 {
            us.call("POST", BATCH, transfer(round).to_string())
                .await
                .expect(200);
        }
    };
    let watching = wait_for_count("more batches are in ap-south", 60, async || {
        if let Some((left, right)) = stamps(ap).await {
            assert_eq!(left + 1, right, "the versions of one batch follow each other");
        }
        u64::try_from(ap.count("{acc}:rounds").await).unwrap()
    });
    tokio::join!(writing, watching);
    cluster.converged().await;
    for region in cluster.regions() {
        assert_eq!(region.get("{acc}:left").await.unwrap(), b"59");
        assert_eq!(region.get("{acc}:right").await.unwrap(), b"59");
        assert_eq!(region.count("{acc}:rounds").await, 60);
        assert_eq!(region.members("{acc}:seen").await.len(), 60);
        assert_eq!(region.fields("{acc}:last").await, json!({"round": 59}));
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_leaves_nothing_in_any_region() {
    let cluster = Cluster::start().await;
    let eu = cluster.eu();
    eu.put("{u}:there", "x").await;
    let body = json!({"operations": [
        {"op": "delete", "type": "register", "key": "{u}:there"},
        {"op": "add", "type": "counter", "key": "{u}:n", "add": 5},
        {"op": "put", "type": "register", "key": "{u}:new", "value": "y", "if_match": "*"},
    ]});
    let refused = eu.call("POST", BATCH, body.to_string()).await;
    assert_eq!(refused.problem(412, "precondition_failed").json()["operation"], 2);
    let several = json!({"operations": [
        {"op": "add", "type": "counter", "key": "{u}:n", "add": 5},
        {"op": "add", "type": "counter", "key": "{v}:n", "add": 5},
    ]});
    eu.call("POST", BATCH, several.to_string())
        .await
        .problem(400, "invalid_request");
    cluster.converged().await;
    for region in cluster.regions() {
        assert_eq!(region.get("{u}:there").await.unwrap(), b"x");
        assert_eq!(region.count("{u}:n").await, 0);
        assert_eq!(region.get("{u}:new").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_kill_9_is_told_the_first_outcome_and_changes_nothing() {
    let cluster = Cluster::start().await;
    let us = cluster.us();
    let add = "/v1/data/shop/counters/n";
    let first = send(us, add, "one", &json!({"add": 7})).await.expect(200);
    let batch = send(us, BATCH, "two", &transfer(1)).await.expect(200);
    us.add("n", 100).await;
    let headers = [("Idempotency-Key", "three"), ("If-Match", "*")];
    let put = "/v1/data/shop/registers/absent";
    let refused = us.try_call("PUT", put, &headers, b"x".to_vec()).await.unwrap();
    refused.problem(412, "precondition_failed");
    us.put("absent", "here now").await;
    us.kill();
    us.start().await;
    let again = send(us, add, "one", &json!({"add": 7})).await.expect(200);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("atoll-version"), first.header("atoll-version"));
    let again = send(us, BATCH, "two", &transfer(1)).await.expect(200);
    assert_eq!(again.body, batch.body);
    let again = us.try_call("PUT", put, &headers, b"x".to_vec()).await.unwrap();
    assert_eq!(again.header("idempotent-replayed"), "true");
    again.problem(412, "precondition_failed");
    assert_eq!(us.count("n").await, 107);
    assert_eq!(us.count("{acc}:rounds").await, 1);
    // A region remembers what was sent to it.
    send(cluster.eu(), add, "one", &json!({"add": 7}))
        .await
        .expect(200);
    wait_until("both additions are in us-east", async || {
        match us.count("n").await {
            114 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    cluster.converged().await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adds_that_are_sent_again_until_they_are_answered_count_once_through_kills() {
    let cluster = Cluster::start().await;
    let us = cluster.us();
    let adding = async {
        for number in 0..120 {
            let (key, body) = (format!("add-{number}"), json!({"add": 1}).to_string());
            wait_until("the add is answered", async || {
                let headers = [("Idempotency-Key", key.as_str())];
                let path = "/v1/data/shop/counters/n";
                match us
                    .try_call("POST", path, &headers, body.clone().into_bytes())
                    .await
                {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    Ok(answer) => Err(answer.text()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await;
        }
    };
    let killing = async {
        for _ in 0..3 {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            us.kill();
            us.start().await;
        }
    };
    tokio::join!(adding, killing);
    cluster.converged().await;
    for region in cluster.regions() {
        assert_eq!(region.count("n").await, 120, "in {}", region.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_one_key_at_once_are_made_once_and_another_request_is_a_conflict() {
    let cluster = Cluster::start().await;
    let us = cluster.us();
    let add = "/v1/data/shop/counters/n";
    let body = json!({"add": 1});
    let requests = (0..8).map(|_| send(us, add, "same", &body));
    let mut versions: Vec<String> = Vec::new();
    for answer in futures_util::future::join_all(requests).await {
        let answer = answer.expect(200);
        assert_eq!(answer.json()["value"], 1);
        versions.push(answer.header("atoll-version").to_owned());
    }
    versions.dedup();
    assert_eq!((versions.len(), us.count("n").await), (1, 1));
    send(us, add, "same", &json!({"add": 2}))
        .await
        .problem(409, "conflict");
    assert_eq!(us.count("n").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sends_a_batch() {
    let cluster = Cluster::start().await;
    let us = cluster.us();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("batch.json");
    std::fs::write(&file, transfer(4).to_string()).unwrap();
    let (file, url) = (file.to_str().unwrap(), us.url());
    for _ in 0..2 {
        let ran = atoll(&[
            "batch",
            "shop",
            file,
            "--idempotency-key",
            "k",
            "--endpoint",
            &url,
        ]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let answer: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(answer["results"][2]["value"], 1);
    }
    assert_eq!(us.count("{acc}:rounds").await, 1);
}
