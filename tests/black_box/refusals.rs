//! Peers that must not be let in: each is refused with the reason, and both sides say it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use atoll::transport::certificates::{CertificateFolder, Overwrite, Validity};

use crate::harness::{Cluster, DEADLINE, Region, atoll, check, wait_until};

/// Replaces what a region has for certificates by those that a folder has for its node.
fn take_certificates(region: &Region, from: &Path) {
    let node = region.node();
    for file in ["ca.pem".to_owned(), format!("{node}.pem"), format!("{node}.key")] {
        std::fs::copy(from.join(&file), region.certificates().join(&file)).unwrap();
    }
}

/// Asserts that the others go on while one is refused.
async fn others_work(cluster: &Cluster) {
    cluster.us().put("among-others", "v").await;
    cluster.converged_among(&[0, 2]).await;
    assert_eq!(cluster.eu().get("among-others").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    eu.stop().await;
    let other = cluster.folder().join("other-certs");
    let dir = other.to_str().unwrap();
    atoll(&["certs", "init", "--cluster", &cluster.name, "--dir", dir]).expect(0);
    atoll(&[
        "certs",
        "issue",
        "--region",
        "eu-west",
        "--node",
        "eu-west-1",
        "--dir",
        dir,
    ])
    .expect(0);
    take_certificates(eu, &other);
    eu.start().await;
    us.waits_for_error("eu-west", "authority").await;
    eu.waits_for_error("us-east", "authority").await;
    us.waits_for_link("eu-west", "down").await;
    us.waits_for_log("authority").await;
    eu.waits_for_log("authority").await;
    others_work(&cluster).await;
    // With the right ones it is let in again, with nothing else to do.
    eu.stop().await;
    take_certificates(eu, &cluster.folder().join("certs"));
    eu.start().await;
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partition_count_is_refused() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    eu.stop().await;
    std::fs::remove_dir_all(eu.data()).unwrap();
    eu.edit_config(|text| text.replace("partitions = 16", "partitions = 32"));
    eu.start().await;
    for (region, peer) in [(us, "eu-west"), (eu, "us-east")] {
        region.waits_for_error(peer, "32 partitions").await;
        region.waits_for_log("32 partitions").await;
    }
    others_work(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_name_is_refused() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    eu.stop().await;
    std::fs::remove_dir_all(eu.data()).unwrap();
    // With certificates of the old name this is a mistake of this node alone, and it does not start.
    eu.edit_config(|text| text.replace(&cluster.name, "elsewhere"));
    eu.spawn(&[]);
    let status = eu.wait_for_end().await;
    assert_eq!(status.code(), Some(1));
    let log = eu.log();
    assert!(log.contains("elsewhere") && log.contains(&cluster.name), "{log}");
    // With those of a cluster of its own it starts, and is no member of this one.
    let other = cluster.folder().join("other-certs");
    let dir = other.to_str().unwrap();
    atoll(&["certs", "init", "--cluster", "elsewhere", "--dir", dir]).expect(0);
    atoll(&[
        "certs",
        "issue",
        "--region",
        "eu-west",
        "--node",
        "eu-west-1",
        "--dir",
        dir,
    ])
    .expect(0);
    take_certificates(eu, &other);
    eu.spawn(&[]);
    for (region, peer) in [(us, "eu-west"), (eu, "us-east")] {
        let authority = "not issued by the cluster's authority";
        wait_until("the refusal is logged", async || {
            check(region.log().contains(authority), region.log())
        })
        .await;
        if region.id == us.id {
            region.waits_for_error(peer, authority).await;
        }
    }
    cluster.us().put("among-others", "v").await;
    cluster.converged_among(&[0, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_the_configuration_does_not_have_is_refused() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.stop().await;
    us.edit_config(|text| {
        let from = text.find("[[region]]\nid = \"eu-west\"").unwrap();
        let to = text.find("[[region]]\nid = \"ap-south\"").unwrap();
        format!("{}{}", &text[..from], &text[to..])
    });
    us.start().await;
    let shown = eu.waits_for_error("us-east", "eu-west, which").await;
    assert!(
        shown["last_error"].as_str().unwrap().contains("regions.toml"),
        "{shown}"
    );
    eu.waits_for_log("which this node's regions.toml does not have")
        .await;
    us.waits_for_log("which this node's regions.toml does not have")
        .await;
}

/// Gives a region a certificate that is a day long and ends then.
fn issue_until(cluster: &Cluster, region: &Region, expiry: SystemTime) {
    let authority = CertificateFolder::new(cluster.folder().join("certs"))
        .load_authority()
        .unwrap();
    let node = region.node().parse().unwrap();
    let begin = expiry - Duration::from_secs(24 * 60 * 60);
    let validity = Validity::days(begin, 1).unwrap();
    let pair = authority
        .issue(region.id.parse().unwrap(), node, validity)
        .unwrap();
    CertificateFolder::new(region.certificates())
        .write_node(node, &pair, Overwrite::Replace)
        .unwrap();
}

/// Starts a region and waits for its link as long as its certificate is valid; stops it again if that was not enough.
async fn is_linked_before(peer: &Region, region: &Region, expiry: SystemTime) -> bool {
    match region.try_start(&[]).await {
        Ok(()) => {}
        Err(failed) if failed.log.contains("expired at") => return false,
        Err(failed) => panic!("{} did not start ({}): {}", region.id, failed.status, failed.log),
    }
    while SystemTime::now() < expiry {
        if peer.peer(region.id).await["link"] == "up" {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    region.stop().await;
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused_and_a_node_does_not_start_with_one() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    eu.stop().await;
    // Seconds enough for the node to start and to be linked, where that takes longer: twice as many.
    let mut left = Duration::from_secs(4);
    let expiry = loop {
        let expiry = SystemTime::now() + left;
        issue_until(&cluster, eu, expiry);
        if is_linked_before(us, eu, expiry).await {
            break expiry;
        }
        left *= 2;
        assert!(left < DEADLINE, "no link before the certificate expired");
    };
    // A connection lives on; the next handshake, made after the expiry, fails on both sides.
    while SystemTime::now() <= expiry + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    us.kill();
    us.start().await;
    us.waits_for_error("eu-west", "expired").await;
    eu.waits_for_error("us-east", "expired").await;
    us.waits_for_log("expired").await;
    eu.waits_for_log("expired").await;
    // What was connected before stays so: the refused region still hears of it through the third one.
    cluster.us().put("among-others", "v").await;
    cluster.converged_among(&[0, 2]).await;

    eu.stop().await;
    let failed = eu.try_start(&[]).await.unwrap_err();
    assert_eq!(failed.status.code(), Some(1));
    for words in ["eu-west-1.pem", "expired at", "atoll certs issue"] {
        assert!(failed.log.contains(words), "no {words:?} in {}", failed.log);
    }
    // What it says helps.
    let dir = cluster.folder().join("certs");
    let dir = dir.to_str().unwrap();
    atoll(&[
        "certs",
        "issue",
        "--region",
        "eu-west",
        "--node",
        "eu-west-1",
        "--dir",
        dir,
        "--force",
    ])
    .expect(0);
    take_certificates(eu, &cluster.folder().join("certs"));
    eu.start().await;
    cluster.converged().await;
}
