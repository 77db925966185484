//! All regions write to the same keys at the same time and end with the same data, nothing lost silently.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::harness::{Acknowledged, Cluster, Load};

#[tokio::test(flavor = "multi_thread")]
async fn three_regions_converge_after_concurrent_writes_to_the_same_keys() {
    let cluster = Cluster::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for region in cluster.regions() {
        let region = std::sync::Arc::clone(region);
        tasks.spawn(async move {
            let mut sum = 0;
            for round in 0..30_i64 {
                let key = format!("register/{}", round % 5);
                region.put(&key, format!("{} {round}", region.id)).await;
                sum += round - 10;
                region.add("counter", round - 10).await;
                let own = format!("{}-{round}", region.id);
                region.change_set("set", &[&own, "shared"], &["shared"]).await;
                region
                    .change_map("map", json!({ region.id: round, "last": own }), &[])
                    .await;
            }
            sum
        });
    }
    let sums: i64 = tasks.join_all().await.into_iter().sum();
    cluster.converged().await;

    let members = cluster.us().members("set").await;
    assert_eq!(members.iter().filter(|member| *member != "shared").count(), 90);
    for region in cluster.regions() {
        assert_eq!(region.count("counter").await, sums, "{}", region.id);
        assert_eq!(region.members("set").await, members);
        assert_eq!(region.fields("map").await, cluster.us().fields("map").await);
        for round in 0..5 {
            let key = format!("register/{round}");
            assert_eq!(region.get(&key).await, cluster.us().get(&key).await, "{key}");
        }
        for peer in ["us-east", "eu-west", "ap-south"]
            .iter()
            .filter(|peer| **peer != region.id)
        {
            assert_eq!(region.fields("map").await[peer], 29);
            let shown = region.waits_for_idle(peer).await;
            assert_eq!(shown["state"], "healthy", "{shown}");
        }
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_concurrent_write_is_in_the_ledger_with_its_bytes() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    us.put("k", "before").await;
    cluster.converged().await;
    us.pause("eu-west").await;
    us.pause("ap-south").await;
    let earlier = us.put("k", b"\x00 from us \xff".to_vec()).await;
    let later = eu.put("k", "from eu").await;
    assert!(earlier.header("atoll-version") < later.header("atoll-version"));
    us.resume("eu-west").await;
    us.resume("ap-south").await;
    cluster.converged().await;

    for region in [us, eu, ap] {
        assert_eq!(region.get("k").await.unwrap(), b"from eu", "{}", region.id);
        let conflicts = region.conflicts().await;
        let lost: Vec<_> = conflicts
            .iter()
            .map(|lost| (&lost["loser"], &lost["winner"]))
            .collect();
        let versions = (
            json!(earlier.header("atoll-version")),
            json!(later.header("atoll-version")),
        );
        assert_eq!(lost, [(&versions.0, &versions.1)], "{}: {conflicts:?}", region.id);
        assert_eq!(
            conflicts[0]["value_base64"],
            STANDARD.encode(b"\x00 from us \xff")
        );
        assert_eq!(conflicts[0]["key"], "k");
        assert_eq!(conflicts[0]["reason"], "concurrent_write");
    }
    // A write that has seen the winner is no conflict.
    ap.put("k", "after").await;
    cluster.converged().await;
    assert_eq!(us.get("k").await.unwrap(), b"after");
    assert_eq!(us.conflicts().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_on_all_regions_at_once_loses_nothing() {
    let cluster = Cluster::start().await;
    let loads: Vec<_> = cluster
        .regions()
        .iter()
        .map(|region| Load::start(region, "all", 3))
        .collect();
    for load in &loads {
        load.acknowledged(400).await;
    }
    let mut acknowledged = Acknowledged::default();
    for load in loads {
        acknowledged.merge(load.finish().await);
    }
    assert!(acknowledged.refused.is_empty());
    cluster.converged().await;
    for region in cluster.regions() {
        acknowledged.is_all_in(region).await;
    }
    cluster.stop_and_verify().await;
}
