//! Regions of three nodes: the loss of one loses nothing, and is noticed by few.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Acknowledged, Cluster, DEADLINE, Load, Region, check, wait_until};

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
async fn a_rolling_restart_loses_nothing_and_doubles_nothing() {
    let cluster = Cluster::builder().regions(1).nodes(3).start().await;
    let nodes = cluster.nodes_of("us-east").to_vec();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (nodes, is_stopped) = (nodes.clone(), Arc::clone(&is_stopped));
            tokio::spawn(add_with_retries(nodes, client, is_stopped))
        })
        .collect();
    for node in &nodes {
        node.stop().await;
        node.start().await;
    }
    is_stopped.store(true, Ordering::Relaxed);
    for (client, adding) in clients.into_iter().enumerate() {
        let (adds, longest) = adding.await.unwrap();
        println!("client {client}: {adds} adds, the longest took {longest:?}");
        assert!(adds > 0);
        for node in &nodes {
            assert_eq!(
                node.count(&format!("rolling-{client}")).await,
                adds,
                "{}",
                node.node()
            );
        }
    }
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_empty_disk_is_refused() {
    let cluster = Cluster::builder().regions(1).nodes(3).start().await;
    let nodes = cluster.nodes_of("us-east");
    nodes[0].put("greeting", b"hello").await;
    nodes[2].stop().await;
    let empty = tempfile::tempdir().unwrap();
    nodes[2].set_data(empty.path());
    let refused = nodes[2].try_start(&[]).await.unwrap_err();
    assert!(!refused.status.success());
    assert!(
        refused.log.contains("is not a member of its region") && refused.log.contains("emptied or replaced"),
        "{}",
        refused.log
    );
    // The others go on.
    nodes[0].put("greeting", b"hello again").await;
    assert_eq!(nodes[1].get("greeting").await.unwrap(), b"hello again");
}
