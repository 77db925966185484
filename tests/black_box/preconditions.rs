//! Conditional writes are linearizable in their region, and concurrent versions are kept where that is configured.

use std::sync::Arc;

use serde_json::Value;

use crate::harness::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_create_a_register_at_once_exactly_one_does() {
    let cluster = Cluster::of_one_node().await;
    for round in 0..10 {
        let mut tasks = tokio::task::JoinSet::new();
        for client in 0..16 {
            let us = Arc::clone(cluster.us());
            tasks.spawn(async move {
                let path = format!("/v1/data/shop/registers/lock{round}");
                let body = format!("client {client}").into_bytes();
                let answer = us
                    .try_call("PUT", &path, &[("if-none-match", "*")], body.clone())
                    .await
                    .unwrap();
                (answer.status, body)
            });
        }
        let answers = tasks.join_all().await;
        let winners: Vec<_> = answers.iter().filter(|(status, _)| *status == 204).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert!(
            answers.iter().all(|(status, _)| matches!(status, 204 | 412)),
            "{answers:?}"
        );
        let kept = cluster.us().get(&format!("lock{round}")).await.unwrap();
        assert_eq!(kept, winners[0].1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_by_compare_and_set_lose_none() {
    let cluster = Cluster::of_one_node().await;
    cluster.us().put("number", "0").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let us = Arc::clone(cluster.us());
        tasks.spawn(async move {
            let path = "/v1/data/shop/registers/number";
            let mut done = 0;
            while done < 10 {
                let read = us.call("GET", path, "").await.expect(200);
                let next = read.text().parse::<u64>().unwrap() + 1;
                let headers = [("if-match", read.header("etag"))];
                let answer = us
                    .try_call("PUT", path, &headers, next.to_string().into_bytes())
                    .await
                    .unwrap();
                match answer.status {
                    204 => done += 1,
                    412 => {}
                    status => panic!("{status}: {}", answer.text()),
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(cluster.us().get("number").await.unwrap(), b"60");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_keeps_siblings_shows_them_and_takes_their_merge() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    let configured = us
        .call("PUT", "/v1/data/shop", "{\"conflict_policy\": \"siblings\"}")
        .await;
    assert!(matches!(configured.status, 200 | 204), "{}", configured.text());
    cluster.converged().await;
    for peer in ["eu-west", "ap-south"] {
        us.pause(peer).await;
    }
    us.put("k", "from us").await;
    eu.put("k", "from eu").await;
    for peer in ["eu-west", "ap-south"] {
        us.resume(peer).await;
    }
    cluster.converged().await;
    let path = "/v1/data/shop/registers/k";
    let answer = ap.call("GET", path, "").await.expect(300).json();
    let found: Vec<&Value> = answer["siblings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["value_base64"])
        .collect();
    assert_eq!(found.len(), 2, "{answer}");
    let context = answer["context"].as_str().unwrap();
    let merged = ap
        .try_call("PUT", path, &[("atoll-context", context)], b"both".to_vec())
        .await
        .unwrap();
    merged.expect(204);
    cluster.converged().await;
    assert_eq!(us.get("k").await.unwrap(), b"both");
}
