//! Regions with distance between them: `atoll wan` delays, loses, overtakes and cuts, and all that was acknowledged
//! arrives everywhere.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Acknowledged, Cluster, Load, Region, Wan, atoll, check, wait_until};

/// A `[[link]]` with these fields between every two regions.
fn all_links(fields: &str) -> String {
    [
        ("us-east", "eu-west"),
        ("us-east", "ap-south"),
        ("eu-west", "ap-south"),
    ]
    .map(|(first, second)| format!("[[link]]\nbetween = [\"{first}\", \"{second}\"]\n{fields}\n"))
    .concat()
}

/// Load on every region, from so many clients each.
fn load_all(cluster: &Cluster, clients: usize) -> Vec<Load> {
    let regions = cluster.regions().iter();
    regions
        .map(|region| Load::start(region, "wan", clients))
        .collect()
}

/// Ends the load, waits until all regions are equal, and asserts that they have what was acknowledged.
async fn all_arrives(cluster: &Cluster, loads: Vec<Load>) {
    let mut acknowledged = Acknowledged::default();
    for load in loads {
        acknowledged.merge(load.finish().await);
    }
    assert!(acknowledged.refused.is_empty(), "{:?}", acknowledged.refused);
    cluster.converged().await;
    for region in cluster.regions() {
        acknowledged.is_all_in(region).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_180_ms_that_lose_one_percent_converge() {
    let links = all_links("round_trip_ms = 180\njitter_ms = 20\nloss_percent = 1");
    let (cluster, wan) = Cluster::start_over_wan(&links).await;
    let loads = load_all(&cluster, 3);
    for load in &loads {
        load.acknowledged(400).await;
    }
    let measured = |shown: &Value| shown["rtt_ms"].is_f64();
    let shown = cluster
        .us()
        .waits_for_peer("ap-south", "with a distance", measured);
    let shown = shown.await;
    assert!(shown["rtt_ms"].as_f64().unwrap() >= 180.0, "{shown}");
    all_arrives(&cluster, loads).await;
    for from in cluster.regions() {
        for to in cluster.regions().iter().filter(|to| to.id != from.id) {
            // Heartbeats go on, so there is loss in the end, however little the load was.
            wait_until("packets pass and are lost", async || {
                let counts = wan.counts(from, to).await;
                let is_lossy = counts["dropped"]["loss"].as_u64() > Some(0);
                check(is_lossy && counts["packets"].as_u64() > Some(100), counts)
            })
            .await;
            from.waits_for_idle(to.id).await;
        }
    }
    cluster.stop_and_verify().await;
}

/// Cuts a region off while all regions are written to, for that long and until everybody has noticed, and heals.
async fn a_partition_heals(length: Duration) {
    let links = all_links("round_trip_ms = 60\njitter_ms = 5\nloss_percent = 0.1");
    let (cluster, wan) = Cluster::start_over_wan(&links).await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    let loads = load_all(&cluster, 1);
    for load in &loads {
        load.acknowledged(40).await;
    }
    for peer in [us, eu] {
        wan.cut(ap, peer).await;
        wan.cut(peer, ap).await;
    }
    let end = Instant::now() + length;
    let mut at_least = 40;
    // All regions go on for as long as it lasts.
    while Instant::now() < end {
        at_least += 40;
        for load in &loads {
            load.acknowledged(at_least).await;
        }
    }
    for peer in [us, eu] {
        peer.waits_for_link("ap-south", "down").await;
        ap.waits_for_link(peer.id, "down").await;
    }
    us.waits_for_link("eu-west", "up").await;
    for peer in [us, eu] {
        let counts = wan.counts(ap, peer).await;
        assert!(counts["dropped"]["cut"].as_u64() > Some(0), "{counts}");
        wan.heal(ap, peer).await;
        wan.heal(peer, ap).await;
    }
    cluster.linked().await;
    for load in &loads {
        load.acknowledged(at_least + 40).await;
    }
    all_arrives(&cluster, loads).await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_under_load_heals() {
    a_partition_heals(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes over a minute; docs/testing.md says when to run it"]
async fn a_partition_of_one_minute_under_load_heals() {
    a_partition_heals(Duration::from_secs(60)).await;
}

/// Asserts that the direction lets nothing pass while the way back does, and that both sides show it.
async fn is_cut_in_one_direction(wan: &Wan, from: &Region, to: &Region) {
    for (region, peer) in [(from, to), (to, from)] {
        // Down is a link without one of its two connections; without a round trip it has not the one that it has dialled,
        // and can make no other.
        region
            .waits_for_peer(peer.id, "as down", |shown| {
                shown["link"] == "down" && shown["rtt_ms"].is_null()
            })
            .await;
    }
    let (forth, back) = (wan.counts(from, to).await, wan.counts(to, from).await);
    assert!(forth["dropped"]["cut"].as_u64() > Some(0), "{forth}");
    assert_eq!(back["dropped"]["cut"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_hears_the_others_and_is_not_heard_goes_on_and_converges_afterwards() {
    let (cluster, wan) = Cluster::start_over_wan(&all_links("round_trip_ms = 40")).await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    let loads = load_all(&cluster, 1);
    for peer in [us, eu] {
        wan.cut(ap, peer).await;
    }
    for peer in [us, eu] {
        is_cut_in_one_direction(&wan, ap, peer).await;
    }
    us.waits_for_link("eu-west", "up").await;
    ap.put("from/ap", "written while cut off").await;
    us.put("from/us", "written while ap was cut off").await;
    for load in &loads {
        load.acknowledged(200).await;
    }
    assert_eq!(us.get("from/ap").await, None);
    assert_eq!(ap.get("from/us").await, None);
    for peer in [us, eu] {
        wan.heal(ap, peer).await;
    }
    cluster.linked().await;
    all_arrives(&cluster, loads).await;
    assert_eq!(us.get("from/ap").await.unwrap(), b"written while cut off");
    assert_eq!(ap.get("from/us").await.unwrap(), b"written while ap was cut off");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_between_which_one_direction_is_cut_converge_through_the_third() {
    let (cluster, wan) = Cluster::start_over_wan(&all_links("round_trip_ms = 40")).await;
    let (us, eu) = (cluster.us(), cluster.eu());
    let loads = load_all(&cluster, 1);
    wan.cut(us, eu).await;
    is_cut_in_one_direction(&wan, us, eu).await;
    for load in &loads {
        load.acknowledged(200).await;
    }
    // Still cut.
    all_arrives(&cluster, loads).await;
    us.waits_for_link("eu-west", "down").await;
    wan.heal(us, eu).await;
    cluster.linked().await;
    us.put("after", "healed").await;
    cluster.converged().await;
    cluster.stop_and_verify().await;
}

/// Bytes that do not get smaller by compression.
fn noise(seed: u64, size_bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut step = || {
        // The constants of Knuth's MMIX; the high byte of each state looks random enough for a compressor.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size_bytes).map(|_| step()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thin_links_that_overtake_converge_no_faster_than_their_bandwidth() {
    let links = all_links("round_trip_ms = 40\nreorder_percent = 5\nbandwidth_mbit = 4");
    let (cluster, wan) = Cluster::start_over_wan(&links).await;
    let (us, eu) = (cluster.us(), cluster.eu());
    let begun = Instant::now();
    let loads = load_all(&cluster, 1);
    for number in 0..24 {
        us.put(&format!("noise/{number}"), noise(number, 64 * 1024)).await;
    }
    for load in &loads {
        load.acknowledged(100).await;
    }
    all_arrives(&cluster, loads).await;
    // 1.5 MiB at 4 Mbit/s; what the load writes takes more.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(3100), "{took:?}");
    assert_eq!(eu.get("noise/23").await.unwrap(), noise(23, 64 * 1024));
    // Part of it may have come through the third region, when heartbeats came late behind all that data.
    let (first, second) = (wan.counts(us, eu).await, wan.counts(cluster.ap(), eu).await);
    let bytes = [&first, &second].map(|counts| counts["bytes"].as_u64().unwrap());
    assert!(bytes.iter().sum::<u64>() > 24 * 64 * 1024, "{first} {second}");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_and_changes_the_links_of_a_running_relay() {
    let cluster = Cluster::prepare(&all_links("round_trip_ms = 60")).await;
    let wan = Wan::start(&cluster).await;
    let wan_command = |arguments: &[&str]| {
        let all = [&["wan"], arguments, &["--control", wan.control()]].concat();
        atoll(&all)
    };
    let shown = wan_command(&["show"]).expect(0).out;
    assert_eq!(shown.lines().count(), 8, "{shown}");
    assert!(shown.contains("60 ms") && shown.contains("open"), "{shown}");

    let shown = wan_command(&["set", "us-east", "eu-west", "--rtt", "180", "--loss", "1.5"])
        .expect(0)
        .out;
    assert_eq!(
        (shown.matches("180 ms").count(), shown.matches("1.5 %").count()),
        (2, 2)
    );
    let shown = wan_command(&["cut", "us-east", "eu-west", "--one-way", "--json"])
        .expect(0)
        .out;
    let changed: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(changed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&changed[0]["cut"], &changed[0]["round_trip_ms"]),
        (&true.into(), &180.0.into())
    );
    let shown = wan_command(&["heal", "us-east", "eu-west"]).expect(0).out;
    assert_eq!(shown.matches("open").count(), 2, "{shown}");

    wan_command(&["cut", "us-east", "mars"])
        .expect(1)
        .says(&["from \"us-east\" to \"mars\"", "not_found"]);
    wan_command(&["set", "us-east", "eu-west", "--loss", "101"])
        .expect(1)
        .says(&["loss_percent", "0 to 100"]);
    wan_command(&["set", "us-east", "eu-west"])
        .expect(2)
        .says(&["--rtt"]);
    atoll(&["wan", "show", "--control", "127.0.0.1:1"])
        .expect(1)
        .says(&["no relay answers at http://127.0.0.1:1", "atoll wan", "--control"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_dials_only_other_regions_elsewhere() {
    let cluster = Cluster::prepare("").await;
    let us = cluster.us();
    for (peer, words) in [
        ("mars=127.0.0.1:1", "no region mars"),
        ("us-east=127.0.0.1:1", "does not dial itself"),
        ("eu-west", "REGION=HOST:PORT"),
    ] {
        let failed = us.try_start(&["--peer", peer]).await.unwrap_err();
        assert!(failed.log.contains(words), "{}", failed.log);
    }
}
