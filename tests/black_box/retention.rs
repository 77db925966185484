//! What a peer that stays away costs: the log up to its limit, and then a resync that is said plainly, never the disk.

use crate::harness::{Cluster, check, wait_until};

/// The smallest limit that the configuration takes.
const LIMIT: &str = "[replication]\nlog_retention_bytes = 67108864\n";
const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_away_for_too_long_is_marked_for_resync_and_writes_go_on() {
    let cluster = Cluster::start_with(LIMIT).await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    ap.kill();
    for number in 0..96 {
        us.put(&format!("large-{number}"), vec![number; MIB]).await;
    }
    us.waits_for_link("ap-south", "resync").await;
    wait_until("the log is under its limit", async || {
        let bytes = us.status().await["log_bytes"].as_u64().unwrap_or(u64::MAX);
        check(bytes <= 64 * MIB as u64, format!("{bytes} bytes"))
    })
    .await;
    us.put("after", "v").await;
    cluster.converged_among(&[0, 1]).await;
    assert_eq!(eu.get("large-0").await.unwrap(), vec![0; MIB]);
    // The peer comes back: what the log still has is of no use to it without what was before, and both say so.
    ap.start().await;
    us.waits_for_link("ap-south", "resync").await;
    us.waits_for_state("degraded").await;
    ap.put("from ap", "v").await;
    wait_until("what ap-south writes still arrives", async || {
        let found = us.get("from ap").await;
        check(found.is_some(), "it is not there")
    })
    .await;
}
