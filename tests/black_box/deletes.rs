//! Deletes that meet outages and concurrent writes: nothing comes back, nothing that was written later goes.

use serde_json::json;

use crate::harness::{Answer, Cluster, Region};

async fn pause_all(region: &Region, cluster: &Cluster) {
    for peer in cluster.regions().iter().filter(|peer| peer.id != region.id) {
        region.pause(peer.id).await;
    }
}

async fn resume_all(region: &Region, cluster: &Cluster) {
    for peer in cluster.regions().iter().filter(|peer| peer.id != region.id) {
        region.resume(peer.id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_during_a_peers_outage_reaches_it_when_it_is_back() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    eu.put("register", "v").await;
    eu.add("counter", 9).await;
    eu.change_set("set", &["a", "b"], &[]).await;
    eu.change_map("map", json!({ "f": 1, "g": 2 }), &[]).await;
    cluster.converged().await;
    for way in ["stop", "kill"] {
        match way {
            "stop" => eu.stop().await,
            _ => eu.kill(),
        }
        us.delete("register").await;
        us.call("DELETE", "/v1/data/shop/counters/counter", "")
            .await
            .expect(204);
        us.change_set("set", &[], &["a"]).await;
        ap.change_map("map", json!({}), &["f"]).await;
        // Others restart too while the peer is away: the delete must not live in memory only.
        us.kill();
        us.start().await;
        eu.start().await;
        cluster.converged().await;
        for region in cluster.regions() {
            assert_eq!(region.get("register").await, None, "{way} {}", region.id);
            assert_eq!(region.count("counter").await, 0);
            assert_eq!(region.members("set").await, ["b"]);
            assert_eq!(region.fields("map").await, json!({ "g": 2 }));
            assert!(region.keys("shop").await.is_empty());
        }
        eu.put("register", "again").await;
        eu.add("counter", 4).await;
        eu.change_set("set", &["a"], &[]).await;
        eu.change_map("map", json!({ "f": 3 }), &[]).await;
        cluster.converged().await;
        assert_eq!(us.get("register").await.unwrap(), b"again");
        assert_eq!(us.count("counter").await, 4);
        assert_eq!(us.members("set").await, ["a", "b"]);
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_wins_over_a_concurrent_remove() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.change_set("set", &["removed", "added-again", "gone"], &[])
        .await;
    cluster.converged().await;
    pause_all(us, &cluster).await;
    us.change_set("set", &[], &["added-again", "gone"]).await;
    eu.change_set("set", &["added-again"], &["removed", "gone"]).await;
    // A remove of what it has seen takes nothing from what it has not.
    us.change_set("set", &["removed"], &[]).await;
    resume_all(us, &cluster).await;
    cluster.converged().await;
    for region in cluster.regions() {
        assert_eq!(
            region.members("set").await,
            ["added-again", "removed"],
            "{}",
            region.id
        );
    }
    us.change_set("set", &[], &["added-again", "removed"]).await;
    cluster.converged().await;
    assert!(eu.members("set").await.is_empty());
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_update_wins_over_a_concurrent_remove() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.change_map("map", json!({ "updated": 1, "removed": 1, "both": 1 }), &[])
        .await;
    cluster.converged().await;
    pause_all(us, &cluster).await;
    us.change_map("map", json!({ "both": "us" }), &["updated", "removed"])
        .await;
    eu.change_map("map", json!({ "updated": 2, "both": "eu" }), &[])
        .await;
    resume_all(us, &cluster).await;
    cluster.converged().await;
    for region in cluster.regions() {
        // `both` was written last by eu-west; the value that lost is in the ledger.
        assert_eq!(
            region.fields("map").await,
            json!({ "updated": 2, "both": "eu" }),
            "{}",
            region.id
        );
    }
    cluster.stop_and_verify().await;
}

fn is_later(one: &Answer, other: &Answer) -> bool {
    let (one, other) = (one.header("atoll-version"), other.header("atoll-version"));
    assert!(
        !one.is_empty() && !other.is_empty(),
        "a write and a delete say their version"
    );
    one > other
}

#[tokio::test(flavor = "multi_thread")]
async fn the_later_of_a_delete_and_a_concurrent_write_stays() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.put("deleted-last", "v").await;
    us.put("written-last", "v").await;
    cluster.converged().await;
    pause_all(us, &cluster).await;
    let write = us.put("deleted-last", "lost").await;
    let delete = eu.delete("deleted-last").await;
    assert!(is_later(&delete, &write));
    let delete = us.delete("written-last").await;
    let write = eu.put("written-last", "stays").await;
    assert!(is_later(&write, &delete));
    resume_all(us, &cluster).await;
    cluster.converged().await;
    for region in cluster.regions() {
        assert_eq!(region.get("deleted-last").await, None, "{}", region.id);
        assert_eq!(region.get("written-last").await.unwrap(), b"stays");
        assert_eq!(region.keys("shop").await, ["written-last"]);
        let conflicts = region.conflicts().await;
        let of = |key: &str| conflicts.iter().find(|lost| lost["key"] == key).unwrap().clone();
        assert_eq!(of("deleted-last")["value_base64"], "bG9zdA==", "{conflicts:?}");
        assert_eq!(of("deleted-last")["reason"], "concurrent_delete");
        assert_eq!(of("written-last")["reason"], "delete_overruled");
    }
    cluster.stop_and_verify().await;
}
