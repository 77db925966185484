//! A region whose clock is far ahead: its commits are refused before anything is persisted, and it heals by itself.

use crate::harness::Cluster;

/// Farther ahead than the test lasts on any machine: what is refused must not become acceptable while it is looked at.
const AHEAD_MS: &str = "600000";
/// Ten seconds before that.
const LATER_MS: &str = "590000";

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_a_clock_that_is_ahead_are_refused_until_it_is_right_again() {
    let cluster = Cluster::start().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    us.put("k", "before").await;
    let before = cluster.converged().await;
    ap.stop().await;
    ap.start_with(&["--clock-offset-ms", AHEAD_MS]).await;
    ap.waits_for_link("us-east", "up").await;
    ap.put("k", "from the future").await;
    ap.add("counter", 5).await;
    for region in [us, eu] {
        let shown = region.waits_for_link("ap-south", "quarantined").await;
        assert!(shown["last_error"].as_str().unwrap().contains("ahead"), "{shown}");
        ap.waits_for_link_that_says(region.id, "quarantined", "refuses")
            .await;
        region.waits_for_state("degraded").await;
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

    // The clock is right again, and what it has stamped is not.
    ap.stop().await;
    ap.start().await;
    ap.waits_for_link_that_says("us-east", "quarantined", "refuses")
        .await;
    assert_eq!(us.get("k").await.unwrap(), b"before");
    // The time passes, but for the last seconds: it heals by itself then.
    for region in cluster.regions() {
        region.stop().await;
        region.start_with(&["--clock-offset-ms", LATER_MS]).await;
    }
    cluster.converged().await;
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
    us.waits_for_state("healthy").await;
    cluster.stop_and_verify().await;
}
