//! The state of a region: what probes, status and metrics show of it, and what it refuses.

use std::sync::Arc;

use crate::harness::{Cluster, Region, check, wait_until};

/// What ends by itself lasts longer than any test, so that it can be looked at on a machine however slow; a slow disk, and
/// peers that were stopped for the test, are no signs of their own.
const PATIENT: &str = "[health]
recovering_silence_ms = 600000
recovering_stalled_ms = 600000
commit_slow_ms = 60000
quorum_lost_ms = 3600000
";

/// Writes with a priority; gives the answer's status, and when to try again.
async fn put_with_priority(region: &Arc<Region>, priority: &str) -> (u16, String) {
    let headers = [("Atoll-Priority", priority)];
    let answer = region
        .try_call("PUT", "/v1/data/shop/registers/k", &headers, b"v".to_vec())
        .await
        .unwrap();
    (answer.status, answer.header("retry-after").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_starts_alone_serves_and_asks_for_traffic_only_after_a_while() {
    let cluster = Cluster::start_with(PATIENT).await;
    let us = cluster.us();
    us.put("k", "before").await;
    cluster.converged().await;
    for region in cluster.regions() {
        region.stop().await;
    }
    // First one that waits for longer than this test, then one that waits for a moment.
    us.start().await;
    let probe = us.call("GET", "/health/region", "").await.expect(503).json();
    assert_eq!(probe["state"], "recovering");
    assert!(
        probe["reasons"][0].as_str().unwrap().contains("waiting"),
        "{probe}"
    );
    us.call("GET", "/health/ready", "").await.expect(200);
    us.put("k", "v").await;
    assert_eq!(put_with_priority(us, "low").await, (503, "3".to_owned()));
    us.stop().await;
    us.edit_config(|text| text.replace("recovering_silence_ms = 600000", "recovering_silence_ms = 1000"));
    let before = us.log().len();
    us.start().await;
    us.waits_for_state("healthy").await;
    us.call("GET", "/health/region", "").await.expect(200);
    assert_eq!(put_with_priority(us, "low").await.0, 204);
    let changed = "the region's state has changed";
    wait_until("the change is logged", async || {
        let log = us.log().split_off(before);
        check(log.contains(changed), &log)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_region_of_a_new_cluster_takes_traffic_at_once() {
    let cluster = Cluster::prepare(PATIENT).await;
    cluster.us().start().await;
    cluster.us().call("GET", "/health/region", "").await.expect(200);
    assert_eq!(cluster.us().status().await["state"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_comes_back_to_its_peers_is_healthy_when_it_has_caught_up() {
    let cluster = Cluster::start_with(PATIENT).await;
    let (us, eu) = (cluster.us(), cluster.eu());
    // A region that has nothing yet takes traffic at once; this one has something.
    us.put("first", "v").await;
    cluster.converged().await;
    eu.waits_for_state("healthy").await;
    eu.stop().await;
    for number in 0..200 {
        us.put(&format!("k{number}"), "v").await;
    }
    eu.start().await;
    eu.waits_for_state("healthy").await;
    assert_eq!(
        eu.keys("shop").await.len(),
        201,
        "healthy means that it has caught up"
    );
    let behind = eu.peer("us-east").await;
    assert_eq!(behind["behind_changes"], 0, "{behind}");
    assert!(behind["catch_up_ms"].is_null(), "{behind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_degraded_region_refuses_what_can_wait_and_serves_the_rest() {
    // Once degraded it stays so for as long as the test lasts. Each node decides for itself, and one is asked here.
    let tables = format!("{PATIENT}calm_ms = 600000\n");
    let cluster = Cluster::builder().nodes(1).tables(&tables).start().await;
    let (us, ap) = (cluster.us(), cluster.ap());
    us.put("k", "before").await;
    cluster.converged().await;
    ap.stop().await;
    // Farther ahead than the test lasts: what ap-south writes must not become acceptable meanwhile.
    ap.start_with(&["--clock-offset-ms", "600000"]).await;
    ap.put("k", "from the future").await;
    us.waits_for_state("degraded").await;
    assert_eq!(put_with_priority(us, "low").await, (503, "600".to_owned()));
    assert_eq!(put_with_priority(us, "normal").await.0, 204);
    us.call("GET", "/health/region", "").await.expect(200);
    // The region whose clock is wrong knows that it is its own.
    wait_until("ap-south names its clock", async || {
        let status = ap.status().await;
        check(
            status["reasons"].to_string().contains("this node's clock"),
            &status,
        )
    })
    .await;
    let metrics = us.call("GET", "/metrics", "").await.expect(200).text();
    for expected in [
        "state=\"degraded\"} 1",
        "state=\"healthy\"} 0",
        "atoll_requests_shed_total",
        "atoll_link_lag_distribution_seconds_bucket",
        "atoll_link_phi",
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in {metrics}");
    }
}
