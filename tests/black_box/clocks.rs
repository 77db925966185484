//! A region whose clock is far ahead: its commits are refused before anything is persisted, and it heals by itself.

use std::time::{Duration, Instant};

use crate::harness::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_a_clock_that_is_ahead_are_refused_until_it_is_right_again() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    us.put("k", "before").await;
    let before = cluster.converged().await;
    ap.stop().await;
    ap.start_with(&["--clock-offset-ms", "10000"]).await;
    ap.waits_for_link("us-east", "up").await;
    ap.put("k", "from the future").await;
    ap.add("counter", 5).await;
    for region in [us, eu] {
        let shown = region.waits_for_link("ap-south", "quarantined").await;
        assert!(shown["last_error"].as_str().unwrap().contains("ahead"), "{shown}");
        let shown = ap.waits_for_link(region.id, "quarantined").await;
        assert!(
            shown["last_error"].as_str().unwrap().contains("refuses"),
            "{shown}"
        );
        assert_eq!(region.status().await["state"], "degraded");
        assert_eq!(region.digest().await, before, "nothing was persisted");
        region.waits_for_log("quarantined").await;
    }
    ap.waits_for_log("quarantined").await;
    // The others work, also through a restart, and what they write reaches the region that is ahead.
    us.put("other", "v").await;
    cluster.converged_among(&[0, 1]).await;
    us.kill();
    us.start().await;
    eu.put("other", "w").await;
    cluster.converged_among(&[0, 1]).await;
    assert_eq!(us.get("k").await.unwrap(), b"before");
    assert_eq!(us.count("counter").await, 0);
    us.waits_for_link("ap-south", "quarantined").await;

    ap.stop().await;
    let begin = Instant::now();
    ap.start().await;
    cluster.converged().await;
    // Ten seconds until its stamps are no longer in the future, and some for whoever waits for the next attempt.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    for region in cluster.regions() {
        assert_eq!(
            region.get("k").await.unwrap(),
            b"from the future",
            "{}",
            region.id
        );
        assert_eq!(region.get("other").await.unwrap(), b"w");
        assert_eq!(region.count("counter").await, 5);
    }
    us.waits_for_idle("ap-south").await;
    ap.waits_for_idle("us-east").await;
    assert_eq!(us.status().await["state"], "healthy");
    cluster.stop_and_verify().await;
}
