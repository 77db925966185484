//! Processes that are killed at the worst moment: what was acknowledged stays, everywhere.

use crate::harness::{Acknowledged, Cluster, Load, atoll};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_a_region_is_killed_under_load() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    let mut all = Acknowledged::default();
    for round in 0..4 {
        let label = format!("round{round}");
        let killed = Load::start(us, &label, 6);
        let other = Load::start(eu, &label, 2);
        killed.acknowledged(150 + 100 * round).await;
        // A round of writes at least.
        other.acknowledged(4).await;
        us.kill();
        let (killed, other) = (killed.finish().await, other.finish().await);
        assert!(killed.rounds() > 0 && other.rounds() > 0);
        us.start().await;
        killed.survives_in(us).await;
        all.merge(killed);
        all.merge(other);
    }
    cluster.converged().await;
    for region in cluster.regions() {
        all.is_all_in(region).await;
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_regions_killed_at_once_come_back_with_everything() {
    let cluster = Cluster::start().await;
    let mut all = Acknowledged::default();
    for round in 0..2 {
        let label = format!("round{round}");
        let loads: Vec<_> = cluster
            .regions()
            .iter()
            .map(|region| Load::start(region, &label, 2))
            .collect();
        for load in &loads {
            load.acknowledged(100).await;
        }
        for region in cluster.regions() {
            region.kill();
        }
        for load in loads {
            all.merge(load.finish().await);
        }
        // The last one first: nobody may depend on the order.
        for region in cluster.regions().iter().rev() {
            region.start().await;
        }
    }
    cluster.converged().await;
    for region in cluster.regions() {
        all.is_all_in(region).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_ends_cleanly_and_keeps_what_was_acknowledged() {
    let cluster = Cluster::start().await;
    let us = cluster.us();
    let load = Load::start(us, "term", 6);
    load.acknowledged(200).await;
    us.stop().await;
    let acknowledged = load.finish().await;
    let ran = atoll(&["verify", "--data", us.data().to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    us.start().await;
    acknowledged.survives_in(us).await;
    cluster.converged().await;
    for region in cluster.regions() {
        acknowledged.is_all_in(region).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_receiver_applies_everything_exactly_once() {
    let cluster = Cluster::start().await;
    let (us, ap) = (cluster.us(), cluster.ap());
    let load = Load::start(us, "sender", 4);
    for round in 1..=3 {
        load.acknowledged(150 * round).await;
        ap.kill();
        ap.start().await;
    }
    let acknowledged = load.finish().await;
    cluster.converged().await;
    acknowledged.is_all_in(ap).await;
    cluster.stop_and_verify().await;
}
