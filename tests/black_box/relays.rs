//! Regions that cannot reach each other get everything through a third.

use std::sync::Arc;

use crate::harness::{Cluster, Region, free_port, wait_until};

/// Makes a region dial another one where nobody is.
fn hide(from: &Region, peer: &Region) {
    let nobody = free_port();
    from.edit_config(|text| {
        text.replace(
            &format!("quic = \"127.0.0.1:{}\"", peer.port),
            &format!("quic = \"127.0.0.1:{nobody}\""),
        )
    });
}

async fn has(region: &Arc<Region>, key: &str, value: &str) {
    wait_until(&format!("{} has {key}", region.id), async || {
        match region.get(key).await {
            Some(found) if found == value.as_bytes() => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_without_a_link_converge_through_a_third() {
    let cluster = Cluster::prepare("").await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    hide(us, ap);
    hide(ap, us);
    for region in cluster.regions() {
        region.start().await;
    }
    us.waits_for_link("eu-west", "up").await;
    ap.waits_for_link("eu-west", "up").await;
    for round in 0..20 {
        us.put(&format!("us{round}"), "from us").await;
        us.add("counter", 1).await;
        ap.add("counter", 1).await;
        eu.add("counter", 1).await;
    }
    ap.put("ap", "from ap").await;
    cluster.converged().await;
    for region in cluster.regions() {
        assert_eq!(region.count("counter").await, 60, "{}", region.id);
        assert_eq!(region.get("us19").await.unwrap(), b"from us");
        assert_eq!(region.get("ap").await.unwrap(), b"from ap");
    }
    us.waits_for_error("ap-south", "127.0.0.1").await;
    let shown = us.waits_for_link("ap-south", "down").await;
    assert_eq!(shown["state"], "unhealthy");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_region_sent_to_one_peer_reaches_the_other() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    us.pause("ap-south").await;
    ap.waits_for_link("us-east", "paused").await;
    us.put("a", "from us").await;
    us.put("b", "from us").await;
    us.change_set("set", &["x", "y"], &[]).await;
    has(eu, "b", "from us").await;
    cluster.converged_among(&[0, 1]).await;
    us.kill();
    // Depends on what only eu-west has of us-east.
    eu.put("b", "after us").await;
    eu.change_set("set", &[], &["x"]).await;
    cluster.converged_among(&[1, 2]).await;
    assert_eq!(ap.get("a").await.unwrap(), b"from us");
    assert_eq!(ap.get("b").await.unwrap(), b"after us");
    assert_eq!(ap.members("set").await, ["y"]);
    assert!(ap.conflicts().await.is_empty(), "it has seen what it overwrote");
    us.start().await;
    us.resume("ap-south").await;
    cluster.linked().await;
    cluster.converged().await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_of_a_paused_region_is_fetched_from_who_sent_the_dependent() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    // The receiver itself has paused the link, so that it takes nothing from us-east of its own accord.
    ap.pause("us-east").await;
    us.waits_for_link("ap-south", "paused").await;
    us.put("k", "from us").await;
    has(eu, "k", "from us").await;
    eu.put("k", "after us").await;
    has(ap, "k", "after us").await;
    assert!(ap.conflicts().await.is_empty(), "it has seen what it overwrote");
    ap.resume("us-east").await;
    cluster.converged().await;
}
