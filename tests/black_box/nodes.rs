//! Regions of three nodes: the loss of one loses nothing, and is noticed by few.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Acknowledged, Cluster, DEADLINE, Load, Region, atoll, check, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_with_any_node_of_a_region() {
    let cluster = Cluster::builder().regions(2).nodes(3).start().await;
    let nodes = cluster.nodes_of("us-east");
    let mut all = Acknowledged::default();
    for lost in 0..3 {
        let before: Vec<Load> = (0..3)
            .map(|place| Load::start(&nodes[place], &format!("before{lost}-{place}"), 2))
            .collect();
        for load in &before {
            load.acknowledged(20).await;
        }
        nodes[lost].kill();
        for step in 1..3 {
            takes_writes(&nodes[(lost + step) % 3]).await;
        }
        let left: Vec<Load> = (1..3)
            .map(|step| (lost + step) % 3)
            .map(|place| Load::start(&nodes[place], &format!("without{lost}-{place}"), 2))
            .collect();
        for load in &left {
            load.acknowledged(20).await;
        }
        for load in before.into_iter().chain(left) {
            all.merge(load.finish().await);
        }
        nodes[lost].start().await;
    }
    cluster.converged().await;
    for node in cluster.nodes() {
        all.is_all_in(node).await;
    }
}

/// Waits until a node takes writes in all partitions: clients of [`Load`] end with the first write of unknown outcome.
async fn takes_writes(node: &Region) {
    for key in 0..64 {
        let path = format!("/v1/data/shop/registers/probe-{key}");
        let timeout = [("atoll-timeout-ms", "2000")];
        wait_until(&format!("{} takes writes", node.node()), async || {
            match node.try_call("PUT", &path, &timeout, b"probe".to_vec()).await {
                Ok(answer) => check(answer.status < 300, answer.text()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }
}

/// Adds 1 until it is stopped, each time until some node takes it. How many adds there were, and the longest that one took.
async fn add_with_retries(
    nodes: Vec<Arc<Region>>,
    client: usize,
    is_stopped: Arc<AtomicBool>,
) -> (i64, Duration) {
    let (mut adds, mut longest) = (0, Duration::ZERO);
    let mut turn = client;
    while !is_stopped.load(Ordering::Relaxed) {
        let (begun, key) = (Instant::now(), format!("client-{client}-{adds}"));
        loop {
            turn += 1;
            let node = &nodes[turn % nodes.len()];
            let headers = [
                ("idempotency-key", key.as_str()),
                ("content-type", "application/json"),
            ];
            let path = format!("/v1/data/shop/counters/rolling-{client}");
            match node
                .try_call("POST", &path, &headers, b"{\"add\": 1}".to_vec())
                .await
            {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) => assert!(begun.elapsed() < DEADLINE, "{}", answer.text()),
                Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        adds += 1;
        longest = longest.max(begun.elapsed());
    }
    (adds, longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_all_nodes_of_all_regions_loses_nothing_and_doubles_nothing() {
    let cluster = Cluster::builder().nodes(3).start().await;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = ["us-east", "eu-west", "ap-south"]
        .into_iter()
        .flat_map(|region| [region; 2])
        .enumerate()
        .map(|(client, region)| {
            let (nodes, is_stopped) = (cluster.nodes_of(region).to_vec(), Arc::clone(&is_stopped));
            tokio::spawn(add_with_retries(nodes, client, is_stopped))
        })
        .collect();
    for node in cluster.nodes() {
        node.stop().await;
        node.start().await;
    }
    is_stopped.store(true, Ordering::Relaxed);
    let mut counts = Vec::new();
    for (client, adding) in clients.into_iter().enumerate() {
        let (adds, longest) = adding.await.unwrap();
        println!("client {client}: {adds} adds, the longest took {longest:?}");
        assert!(adds > 0);
        counts.push(adds);
    }
    cluster.converged().await;
    for node in cluster.nodes() {
        for (client, adds) in counts.iter().enumerate() {
            let found = node.count(&format!("rolling-{client}")).await;
            assert_eq!(found, *adds, "{}", node.node());
        }
    }
}

/// Runs a command on a node until it succeeds: the nodes that it needs may just have started.
async fn changed(node: &Region, arguments: &[&str]) {
    let url = node.url();
    let all: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--endpoint", url.as_str()])
        .collect();
    wait_until(&format!("atoll {}", arguments.join(" ")), async || {
        let ran = tokio::task::block_in_place(|| atoll(&all));
        check(ran.code == Some(0), format!("{}{}", ran.out, ran.err))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_empty_disk_takes_part_when_it_was_removed_and_added() {
    let cluster = Cluster::builder().regions(1).nodes(3).start().await;
    let nodes = cluster.nodes_of("us-east");
    nodes[0].put("greeting", b"hello").await;
    nodes[2].stop().await;
    let empty = tempfile::tempdir().unwrap();
    nodes[2].set_data(empty.path());
    let changing = async {
        wait_until("it says what it waits for", async || {
            let log = nodes[2].log();
            check(
                log.contains("its region is in use without this node: `atoll node add us-east-3`"),
                log,
            )
        })
        .await;
        // The others go on.
        nodes[0].put("greeting", b"hello again").await;
        let url = nodes[0].url();
        atoll(&["node", "add", "us-east-3", "--endpoint", &url])
            .expect(1)
            .says(&["whose disk is gone", "`atoll node remove us-east-3` first"]);
        changed(&nodes[1], &["node", "remove", "us-east-3"]).await;
        changed(&nodes[0], &["node", "add", "us-east-3"]).await;
    };
    tokio::join!(nodes[2].start(), changing);
    assert_eq!(nodes[2].get("greeting").await.unwrap(), b"hello again");
    nodes[0].kill();
    takes_writes(&nodes[2]).await;
    nodes[0].start().await;
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_grows_from_one_node_to_three_and_shrinks_while_it_serves() {
    let cluster = Cluster::builder().regions(2).nodes(3).prepare().await;
    let (us, eu) = (cluster.nodes_of("us-east"), cluster.nodes_of("eu-west"));
    // As long as the region has one node, nobody's regions.toml has the others.
    let all = std::fs::read_to_string(us[0].config()).unwrap();
    let second = all.find("[[region.node]]\nid = \"us-east-2\"").unwrap();
    let end = all.find("[[region]]\nid = \"eu-west\"").unwrap();
    let alone = format!("{}{}", &all[..second], &all[end..]);
    let first: Vec<_> = eu.iter().chain([&us[0]]).collect();
    for node in &first {
        node.edit_config(|_| alone.clone());
    }
    futures_util::future::join_all(first.iter().map(|node| node.start())).await;
    us[0].put("before", b"1").await;

    let is_stopped = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|client| {
            let (nodes, is_stopped) = (vec![Arc::clone(&us[0])], Arc::clone(&is_stopped));
            tokio::spawn(add_with_retries(nodes, client, is_stopped))
        })
        .collect();
    let url = us[0].url();
    us[0].edit_config(|_| alone.replace("us-east", "us-west"));
    atoll(&["config", "reload", "--endpoint", &url]).expect(1).says(&[
        "the configuration stays as it is",
        "region us-east is only in one of both files",
    ]);
    for node in first {
        node.edit_config(|_| all.clone());
        let url = node.url();
        let reloaded = tokio::task::block_in_place(|| atoll(&["config", "reload", "--endpoint", &url]));
        assert!(reloaded.expect(0).out.contains("in force since"));
    }
    for (number, node) in [(2, &us[1]), (3, &us[2])] {
        let name = format!("us-east-{number}");
        let adding = ["node", "add", &name];
        tokio::join!(node.start(), changed(&us[0], &adding));
    }
    let listed = tokio::task::block_in_place(|| atoll(&["node", "list", "--endpoint", &url])).expect(0);
    assert_eq!(listed.out.matches("active").count(), 3, "{}", listed.out);
    assert!(
        listed.out.contains("all partitions are as wanted"),
        "{}",
        listed.out
    );
    is_stopped.store(true, Ordering::Relaxed);
    for (client, adding) in clients.into_iter().enumerate() {
        let (adds, longest) = adding.await.unwrap();
        println!("client {client}: {adds} adds, the longest took {longest:?}");
        assert!(adds > 0);
        assert_eq!(us[2].count(&format!("rolling-{client}")).await, adds);
    }
    // Three nodes hold what one did: any of them may go, and other regions hear from those that are left.
    us[0].kill();
    takes_writes(&us[1]).await;
    us[1].put("without the first", b"2").await;
    wait_until("eu-west has it", async || {
        let found = eu[1].get("without the first").await;
        check(found.as_deref() == Some(b"2"), "not there")
    })
    .await;
    changed(&us[2], &["node", "remove", "us-east-1"]).await;
    let url = us[2].url();
    us[2].edit_config(|_| alone.clone());
    atoll(&["config", "reload", "--endpoint", &url])
        .expect(1)
        .says(&["us-east-3 is not in region us-east any more"]);
    assert_eq!(us[2].get("before").await.unwrap(), b"1");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_name_the_leader_which_status_shows_with_what_it_leads() {
    let cluster = Cluster::builder().regions(1).nodes(3).start().await;
    let nodes = cluster.nodes_of("us-east");
    takes_writes(&nodes[0]).await;
    let mut leaders = std::collections::BTreeSet::new();
    for key in 0..64 {
        let path = format!("/v1/data/shop/registers/probe-{key}");
        // Leaders may move while nodes that have started late get back what they should lead.
        let leader = wait_until("all nodes name one leader", async || {
            let mut named = Vec::new();
            for node in nodes {
                let answer = node.call("GET", &path, "").await.expect(200);
                named.push(answer.header("atoll-leader").to_owned());
            }
            let is_one = named.iter().all(|name| *name == named[0] && !name.is_empty());
            check(is_one, format!("{named:?}")).map(|()| named.remove(0))
        })
        .await;
        leaders.insert(leader);
    }
    let names: Vec<String> = nodes.iter().map(|node| node.node()).collect();
    assert!(
        leaders.iter().all(|leader| names.contains(leader)),
        "{leaders:?} of {names:?}"
    );
    assert!(
        leaders.len() > 1,
        "16 partitions are led by more than {leaders:?}"
    );
    for node in nodes {
        let status = node.status().await;
        let shown = status["nodes"].as_array().unwrap();
        assert_eq!(shown.len(), 3, "{status}");
        let led: u64 = shown
            .iter()
            .filter_map(|node| node["partitions_led"].as_u64())
            .sum();
        let leaderless = &status["leaderless"];
        assert!(led == 16 || leaderless != &json!([]), "{status}");
    }
    let metrics = nodes[0].call("GET", "/metrics", "").await.expect(200).text();
    for name in [
        "atoll_partitions_led{",
        "atoll_elections_won_total{",
        "atoll_nodes_reachable{",
    ] {
        assert!(metrics.contains(name), "{name} is missing in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_missing_is_named_and_without_a_majority_traffic_is_sent_elsewhere() {
    let cluster = Cluster::builder().regions(1).nodes(3).start().await;
    let nodes = cluster.nodes_of("us-east");
    takes_writes(&nodes[0]).await;
    let state_of = |status: &Value, name: &str| {
        let nodes = status["nodes"].as_array().unwrap();
        let found = nodes.iter().find(|node| node["node"] == name);
        found.unwrap()["state"].as_str().unwrap().to_owned()
    };
    nodes[2].kill();
    let gone = nodes[2].node();
    wait_until(
        "the others lead everything without the one that is gone",
        async || {
            let status = nodes[0].status().await;
            let is_suspected = state_of(&status, &gone) == "suspected";
            check(is_suspected && status["leaderless"] == json!([]), &status)
        },
    )
    .await;
    nodes[1].kill();
    let status = nodes[0].waits_for_state("unhealthy").await;
    let reasons = status["reasons"].to_string();
    assert!(
        reasons.contains(&nodes[1].node()) && reasons.contains(&gone),
        "{reasons}"
    );
    let leaderless = status["leaderless"].as_array().unwrap();
    assert_eq!(leaderless.len(), 1, "{status}");
    assert_eq!(leaderless[0]["partitions"].as_array().unwrap().len(), 16);
    nodes[0].call("GET", "/health/region", "").await.expect(503);
    nodes[1].start().await;
    nodes[0].waits_for_state("healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_reaches_all_nodes_of_the_region_and_those_that_start_later() {
    let cluster = Cluster::builder().regions(2).nodes(3).start().await;
    let (us, eu) = (cluster.nodes_of("us-east"), cluster.nodes_of("eu-west"));
    takes_writes(&us[0]).await;
    us[2].stop().await;
    us[0].pause("eu-west").await;
    for node in &us[..2] {
        node.waits_for_link("eu-west", "paused").await;
    }
    // The one who was asked is gone when the one comes that knows nothing.
    us[0].stop().await;
    us[2].start().await;
    us[2].waits_for_link("eu-west", "paused").await;
    us[0].start().await;
    for node in us {
        node.waits_for_link("eu-west", "paused").await;
    }
    for node in eu {
        node.waits_for_link("us-east", "paused").await;
    }
    takes_writes(&us[1]).await;
    us[1].put("made-in-us", "x").await;
    assert_eq!(eu[0].get("made-in-us").await, None);
    // Asked of another node than the pause was, which was away then.
    us[2].resume("eu-west").await;
    cluster.linked().await;
    cluster.converged().await;
    assert_eq!(eu[0].get("made-in-us").await.unwrap(), b"x");
}
