//! Links that an operator pauses: regions diverge, say so, and converge when the link is resumed.

use serde_json::json;

use crate::harness::{Cluster, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_region_diverges_and_converges_when_resumed() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    eu.put("shared", "before").await;
    eu.change_set("set", &["old"], &[]).await;
    cluster.converged().await;
    for peer in [eu, ap] {
        us.pause(peer.id).await;
        us.waits_for_link(peer.id, "paused").await;
        peer.waits_for_link("us-east", "paused").await;
    }

    let by_us = us.put("shared", "us").await;
    us.put("only-us", "1").await;
    us.add("counter", 5).await;
    let by_eu = eu.put("shared", "eu").await;
    eu.add("counter", 7).await;
    eu.change_set("set", &["new"], &["old"]).await;
    ap.change_map("map", json!({ "field": [1, "two"] }), &[]).await;
    let apart = cluster.converged_among(&[1, 2]).await;
    assert_ne!(us.digest().await["root"], apart["root"]);
    assert_eq!(us.get("shared").await.unwrap(), b"us");
    assert_eq!(us.members("set").await, ["old"]);
    assert_eq!(eu.get("only-us").await, None);
    assert_eq!(ap.count("counter").await, 7);
    assert_eq!(us.peer("eu-west").await["backlog_changes"], 3);

    us.resume("eu-west").await;
    us.resume("ap-south").await;
    cluster.linked().await;
    cluster.converged().await;
    // Stamps of a new leader of several nodes may be some 0.3 s ahead: the last to write need not be the later one.
    let is_ours = by_us.header("atoll-version") > by_eu.header("atoll-version");
    let later = if is_ours { b"us" } else { b"eu" };
    for region in cluster.regions() {
        assert_eq!(region.get("shared").await.unwrap(), later, "{}", region.id);
        assert_eq!(region.get("only-us").await.unwrap(), b"1");
        assert_eq!(region.count("counter").await, 12);
        assert_eq!(region.members("set").await, ["new"]);
        assert_eq!(region.fields("map").await, json!({ "field": [1, "two"] }));
        assert_eq!(region.conflicts().await.len(), 1);
        for peer in cluster.regions().iter().filter(|peer| peer.id != region.id) {
            region.waits_for_idle(peer.id).await;
        }
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_survives_restarts_of_both_sides() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.pause("eu-west").await;
    us.pause("ap-south").await;
    us.put("k", "v").await;
    us.kill();
    us.start().await;
    eu.stop().await;
    eu.start().await;
    us.waits_for_link("eu-west", "paused").await;
    us.waits_for_link("ap-south", "paused").await;
    eu.waits_for_link("us-east", "paused").await;
    eu.waits_for_link("ap-south", "up").await;
    assert_eq!(eu.get("k").await, None);
    us.resume("eu-west").await;
    us.resume("ap-south").await;
    cluster.converged().await;
    assert_eq!(eu.get("k").await.unwrap(), b"v");
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_and_resuming_in_haste_leaves_a_link_that_works() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    for round in 0..20 {
        us.pause("eu-west").await;
        us.add("rounds", 1).await;
        us.resume("eu-west").await;
        if round % 3 == 0 {
            eu.pause("us-east").await;
            eu.resume("us-east").await;
        }
    }
    cluster.linked().await;
    cluster.converged().await;
    eu.put("after", "v").await;
    cluster.converged().await;
    assert_eq!(eu.count("rounds").await, 20);
    us.waits_for_idle("eu-west").await;
    eu.waits_for_idle("us-east").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_takes_a_detour_around_a_paused_link() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    us.pause("ap-south").await;
    ap.waits_for_link("us-east", "paused").await;
    us.put("k", "from us").await;
    cluster.converged_among(&[0, 1]).await;
    // Two heartbeats of eu-west later ap-south knows that eu-west has it, and leaves it there.
    eu.waits_for_idle("us-east").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(ap.get("k").await, None);
    us.resume("ap-south").await;
    cluster.converged().await;
    assert_eq!(ap.get("k").await.unwrap(), b"from us");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_region_cannot_be_paused() {
    let cluster = Cluster::start().await;
    let answer = cluster
        .us()
        .call("POST", "/v1/cluster/links/mars/pause", "")
        .await;
    assert!(answer.problem(404, "not_found").text().contains("mars"));
    let answer = cluster
        .us()
        .call("POST", "/v1/cluster/links/us-east/pause", "")
        .await;
    assert!(
        answer.status >= 400,
        "a region has no link to itself: {}",
        answer.text()
    );
    wait_until("nothing is paused", async || {
        let status = cluster.us().status().await;
        let peers = status["peers"].as_array().unwrap();
        if peers.iter().all(|peer| peer["link"] == "up") {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
}
