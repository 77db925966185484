//! Conditional writes are linearizable in their region, and concurrent versions are kept where that is configured.

use std::sync::Arc;

use serde_json::Value;

use crate::harness::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_create_a_register_at_once_exactly_one_does() {
    let cluster = Cluster::of_one_region().await;
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
    let cluster = Cluster::of_one_region().await;
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
async fn of_many_that_create_a_member_at_once_exactly_one_does() {
    let cluster = Cluster::of_one_region().await;
    for round in 0..10 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let us = Arc::clone(cluster.us());
            tasks.spawn(async move {
                let path = format!("/v1/data/shop/sets/seats/row{round}");
                let headers = [("if-none-match", "*")];
                us.try_call("PUT", &path, &headers, Vec::new()).await.unwrap()
            });
        }
        let answers = tasks.join_all().await.into_iter();
        let (won, lost): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 204);
        assert_eq!((won.len(), lost.len()), (1, 15));
        for answer in lost {
            assert_eq!(answer.header("etag"), won[0].header("etag"));
            answer.problem(412, "precondition_failed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compare_and_add_on_a_counter_loses_no_update() {
    let cluster = Cluster::of_one_region().await;
    let path = "/v1/data/shop/counters/number";
    cluster.us().call("POST", path, "{\"add\": 1}").await.expect(200);
    let mut tasks = tokio::task::JoinSet::new();
    // Each doubles what it has read: an addition to a value that is gone would make another number.
    for _ in 0..4 {
        let us = Arc::clone(cluster.us());
        tasks.spawn(async move {
            let mut done = 0;
            while done < 5 {
                let read = us.call("GET", path, "").await.expect(200);
                let value = read.json()["value"].as_i64().unwrap();
                let headers = [("if-match", read.header("etag"))];
                let body = format!("{{\"add\": {value}}}").into_bytes();
                let answer = us.try_call("POST", path, &headers, body).await.unwrap();
                match answer.status {
                    200 => {
                        assert_eq!(answer.json()["value"], 2 * value);
                        done += 1;
                    }
                    412 => {}
                    status => panic!("{status}: {}", answer.text()),
                }
            }
        });
    }
    tasks.join_all().await;
    let read = cluster.us().call("GET", path, "").await.expect(200);
    assert_eq!(read.json()["value"], 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_the_same_in_all_regions_and_preconditions_hold_at_the_home_of_all() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    let home = us
        .call("PUT", "/v1/data/shop", "{\"home_region\": \"us-east\"}")
        .await;
    assert!(matches!(home.status, 200 | 204), "{}", home.text());
    cluster.converged().await;
    let strong = [("atoll-consistency", "strong"), ("if-none-match", "*")];
    for (method, path, body) in [
        ("PUT", "/v1/data/shop/sets/seats/a1", ""),
        ("PUT", "/v1/data/shop/maps/seats/a1", "\"ada\""),
        ("POST", "/v1/data/shop/counters/seats", "{\"add\": 1}"),
    ] {
        let first = eu.try_call(method, path, &strong, body.into()).await.unwrap();
        assert!(matches!(first.status, 200 | 204), "{}", first.text());
        let second = ap.try_call(method, path, &strong, body.into()).await.unwrap();
        assert_eq!(second.header("etag"), first.header("etag"));
        second.problem(412, "precondition_failed");
        cluster.converged().await;
        for region in [us, eu, ap] {
            let read = region.call("GET", path, "").await.expect(200);
            assert_eq!(read.header("etag"), first.header("etag"), "{path}");
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_configure_a_namespace_at_once_none_overwrites_what_it_has_not_seen() {
    let cluster = Cluster::of_one_region().await;
    for round in 0..5 {
        let path = format!("/v1/data/shop{round}");
        let mut tasks = tokio::task::JoinSet::new();
        for level in ["eventual", "local_quorum", "global_quorum"].repeat(4) {
            let (us, path) = (Arc::clone(cluster.us()), path.clone());
            tasks.spawn(async move {
                let body = format!("{{\"default_consistency\": \"{level}\"}}");
                (us.call("PUT", &path, body.as_str()).await.status, level)
            });
        }
        let answers = tasks.join_all().await;
        let made: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
        assert!(
            answers.iter().all(|(status, _)| matches!(status, 200 | 409)),
            "{answers:?}"
        );
        let found = cluster.us().call("GET", &path, "").await.json();
        let found = found["default_consistency"].as_str().unwrap().to_owned();
        assert!(
            made.iter().any(|(_, level)| *level == found),
            "{found}: {answers:?}"
        );
    }
}
