//! A region comes back on an empty disk: it is another replica then, and what it had sent comes back to it.

use crate::harness::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_region_on_an_empty_disk_is_a_new_incarnation_and_gets_its_data_back() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    // While ap-south is away, eu-west's log keeps what ap-south needs: all that follows.
    ap.kill();
    for number in 0..20 {
        us.put(&format!("k{number}"), "of the first life").await;
        us.add("counter", 1).await;
    }
    eu.add("counter", 100).await;
    cluster.converged_among(&[0, 1]).await;
    let first_life = us.status().await["incarnation"].as_u64().unwrap();

    us.kill();
    std::fs::remove_dir_all(us.data()).unwrap();
    // Incarnations count seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    us.start().await;
    assert!(us.status().await["incarnation"].as_u64().unwrap() > first_life);
    // Before it has anything back: its dots must not be taken for those of its first life.
    us.put("k0", "of the second life").await;
    us.add("counter", 1000).await;
    cluster.converged_among(&[0, 1]).await;
    ap.start().await;
    cluster.converged().await;
    for region in cluster.regions() {
        assert_eq!(
            region.get("k1").await.unwrap(),
            b"of the first life",
            "{}",
            region.id
        );
        assert_eq!(region.get("k0").await.unwrap(), b"of the second life");
        assert_eq!(region.count("counter").await, 1120);
    }
    cluster.stop_and_verify().await;
}
