//! Restarts: the data stay, and links go on where they were.

use crate::harness::{Cluster, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_everything_keeps_the_data() {
    let cluster = Cluster::start().await;
    for region in cluster.regions() {
        for number in 0..50 {
            region
                .put(&format!("{}/{number}", region.id), format!("value {number}"))
                .await;
        }
        region.add("counter", 11).await;
        region.change_set("set", &[region.id], &[]).await;
    }
    let before = cluster.converged().await;
    for way in ["stop", "kill"] {
        for region in cluster.regions() {
            match way {
                "stop" => region.stop().await,
                _ => region.kill(),
            }
        }
        for region in cluster.regions() {
            region.start().await;
            let after = region.digest().await;
            assert_eq!(after, before, "{way} {}", region.id);
        }
        for region in cluster.regions() {
            assert_eq!(region.keys("shop").await.len(), 150, "{way} {}", region.id);
            assert_eq!(region.get("eu-west/49").await.unwrap(), b"value 49");
            assert_eq!(region.count("counter").await, 33);
            assert_eq!(region.members("set").await.len(), 3);
        }
        cluster.linked().await;
    }
    // The next write gets a dot of its own.
    cluster.us().put("after", "restarts").await;
    cluster.converged().await;
    assert_eq!(cluster.ap().get("after").await.unwrap(), b"restarts");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shipping_resumes_from_the_watermark_after_a_restart_of_either_side() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.put("k", "0").await;
    cluster.converged().await;
    // eu-west has it; that us-east knows so is another matter.
    us.waits_for_idle("eu-west").await;
    eu.stop().await;
    us.waits_for_link("eu-west", "down").await;
    for number in 0..30 {
        us.put(&format!("during/{number}"), "v").await;
    }
    // At once where a region has one node; others show what they have applied.
    us.waits_for_peer("eu-west", "with 30 changes to come", |shown| {
        shown["backlog_changes"] == 30
    })
    .await;
    us.kill();
    us.start().await;
    us.put("k", "1").await;
    // What the peer has is not known before it says so; less than what it lacks is never shown.
    us.waits_for_peer("eu-west", "with 31 changes to come", |shown| {
        shown["backlog_changes"].as_u64().unwrap() >= 31
    })
    .await;
    eu.start().await;
    cluster.linked().await;
    cluster.converged().await;
    us.waits_for_idle("eu-west").await;
    assert_eq!(eu.keys("shop").await.len(), 31);
    assert_eq!(eu.get("k").await.unwrap(), b"1");
    assert!(eu.conflicts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_alone_serves_and_says_who_is_missing() {
    let cluster = Cluster::start_with("[health]\nquorum_lost_ms = 3600000\n").await;
    let us = cluster.us();
    cluster.eu().kill();
    cluster.ap().kill();
    us.put("k", "alone").await;
    assert_eq!(us.get("k").await.unwrap(), b"alone");
    for peer in ["eu-west", "ap-south"] {
        // The error of a link is noted a moment after its end.
        let shown = us.waits_for_link_that_says(peer, "down", "").await;
        assert_eq!(shown["state"], "unhealthy", "{shown}");
    }
    us.call("GET", "/health/region", "").await.expect(200);
    us.waits_for_state("healthy").await;
    // The lag is true when nothing is heard: it grows.
    wait_until("the lag shows", async || {
        let shown = us.peer("eu-west").await;
        if shown["lag_ms"].as_u64().is_some_and(|lag| lag >= 1000) {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
    cluster.eu().start().await;
    cluster.ap().start().await;
    cluster.converged().await;
    us.waits_for_idle("eu-west").await;
}
