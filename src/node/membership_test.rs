//! The nodes of a region that serves come and go: nothing that was answered is lost, and all nodes have it in the end.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::{Instant, sleep, timeout};

use super::region_kit_test::{PATIENCE, World, region_of};
use crate::storage::MemoryStore;

impl World {
    /// Starts a node that takes part only when it was added, and adds it at another one.
    async fn start_and_add(&mut self, number: usize, at: usize) {
        let started = {
            let world = &*self;
            let adding = async {
                // It has to be met before.
                world
                    .change(at, &format!("n{}/add", number + 1), StatusCode::NO_CONTENT)
                    .await;
            };
            timeout(2 * PATIENCE, async { tokio::join!(world.node(number), adding).0 }).await
        };
        self.running[number] = Some(started.expect("it was added"));
    }

    /// Changes a node until the answer is the expected one; what it said.
    async fn change(&self, at: usize, what: &str, expected: StatusCode) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = format!("/v1/cluster/nodes/{what}");
            let (status, body) = self.call(at, "POST", &path, "").await;
            if status == expected {
                return body;
            }
            assert!(Instant::now() < deadline, "{what}: {status} {body}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn nodes(&self, at: usize) -> serde_json::Value {
        let (status, body) = self.call(at, "GET", "/v1/cluster/nodes", "").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until a node sees all partitions as they should be, and the nodes as expected: name, state, votes.
    async fn until(&self, at: usize, expected: &[(&str, &str, u64)]) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.nodes(at).await;
            let nodes = found["nodes"].as_array().unwrap();
            let seen: Vec<_> = nodes
                .iter()
                .map(|node| {
                    let text = |name: &str| node[name].as_str().unwrap().to_owned();
                    (text("node"), text("state"), node["votes"].as_u64().unwrap())
                })
                .collect();
            let is_same = seen.len() == expected.len()
                && expected
                    .iter()
                    .zip(&seen)
                    .all(|(a, b)| (a.0, a.1, a.2) == (&*b.0, &*b.1, b.2));
            if is_same && found["settled"] == found["partitions"] {
                return found;
            }
            assert!(Instant::now() < deadline, "{found:#}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn put(&self, number: usize, key: &str, value: &str) {
        let deadline = Instant::now() + PATIENCE;
        let path = format!("/v1/data/shop/registers/{key}");
        loop {
            let (status, body) = self.call(number, "PUT", &path, value).await;
            if status.is_success() {
                return;
            }
            assert!(Instant::now() < deadline, "{key}: {status} {body}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn has(&self, number: usize, key: &str, value: &str) {
        let path = format!("/v1/data/shop/registers/{key}");
        for level in ["local_quorum", "eventual"] {
            let read = self.call_at(level, number, "GET", &path, "").await;
            assert_eq!(read, (StatusCode::OK, value.to_owned()), "{level} at {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_of_one_node_becomes_one_of_three_and_of_one_again() {
    let mut world = World::new(1);
    world.running[0] = Some(world.node(0).await);
    for key in 0..20 {
        world.put(0, &format!("alone-{key}"), "1").await;
    }
    world.add(0, "a", "alone").await;
    let refused = world.change(0, "n2/add", StatusCode::CONFLICT).await;
    assert!(
        refused.contains("give it more nodes in regions.toml"),
        "{refused}"
    );
    world.kill(0).await;

    world.config = region_of(3);
    world.restart(0).await;
    // One node agrees with itself.
    world.add(0, "a", "opened").await;
    world
        .until(
            0,
            &[
                ("n1", "active", 8),
                ("n2", "not_added", 0),
                ("n3", "not_added", 0),
            ],
        )
        .await;
    let refused = world.change(0, "n2/add", StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(refused.contains("n2 was not reached: start it"), "{refused}");
    world.start_and_add(1, 0).await;
    world.start_and_add(2, 1).await;
    let three = [("n1", "active", 8), ("n2", "active", 8), ("n3", "active", 8)];
    world.until(2, &three).await;
    for key in 0..20 {
        world.has(2, &format!("alone-{key}"), "1").await;
    }
    world.converge().await;
    // They are three now: one may go.
    world.kill(0).await;
    world.add(1, "a", "without the first").await;
    assert_eq!(world.counter(2, "a").await, 3);
    world.restart(0).await;
    world.until(0, &three).await;

    let refused = world.change(2, "n1/remove", StatusCode::CONFLICT).await;
    assert!(refused.contains("2 nodes for 3 copies"), "{refused}");
    world
        .change(2, "n1/remove?fewer_copies=true", StatusCode::NO_CONTENT)
        .await;
    world
        .until(
            2,
            &[("n1", "not_added", 0), ("n2", "active", 8), ("n3", "active", 8)],
        )
        .await;
    world.kill(0).await;
    world
        .change(1, "n2/remove?fewer_copies=true", StatusCode::NO_CONTENT)
        .await;
    world
        .until(
            2,
            &[
                ("n1", "not_added", 0),
                ("n2", "not_added", 0),
                ("n3", "active", 8),
            ],
        )
        .await;
    let refused = world
        .change(2, "n3/remove?fewer_copies=true", StatusCode::CONFLICT)
        .await;
    assert!(refused.contains("the only node"), "{refused}");
    // Who was away then hears of it when it is back, and does not answer from what it has.
    world.restart(0).await;
    for number in [0, 1] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = "/v1/data/shop/registers/alone-1";
            let (status, body) = world.call_at("eventual", number, "GET", path, "").await;
            if status == StatusCode::SERVICE_UNAVAILABLE && body.contains("was removed from its region") {
                break;
            }
            assert!(Instant::now() < deadline, "{number}: {status} {body}");
            sleep(Duration::from_millis(100)).await;
        }
        world.kill(number).await;
    }
    world.add(2, "a", "alone again").await;
    world.kill(2).await;
    world.restart(2).await;
    assert_eq!(world.counter(2, "a").await, 4);
    world.has(2, "alone-7", "1").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_was_lost_is_removed_and_added_again() {
    let mut world = World::start().await;
    world.put(0, "before", "1").await;
    world.kill(2).await;
    world.disks[2] = Arc::new(MemoryStore::new());
    world.put(0, "meanwhile", "2").await;
    // It comes back empty: it does not vote in the name of the one that was lost.
    let emptied = async {
        let world = &world;
        let changing = async {
            let refused = world.change(0, "n3/add", StatusCode::CONFLICT).await;
            assert!(refused.contains("`atoll node remove n3` first"), "{refused}");
            world.change(1, "n3/remove", StatusCode::NO_CONTENT).await;
            world
                .until(
                    0,
                    &[("n1", "active", 8), ("n2", "active", 8), ("n3", "not_added", 0)],
                )
                .await;
            world.change(0, "n3/add", StatusCode::NO_CONTENT).await;
        };
        timeout(2 * PATIENCE, async { tokio::join!(world.node(2), changing).0 }).await
    };
    let emptied = emptied.await.expect("it was added");
    world.running[2] = Some(emptied);
    world
        .until(
            2,
            &[("n1", "active", 8), ("n2", "active", 8), ("n3", "active", 8)],
        )
        .await;
    world.kill(0).await;
    for key in ["before", "meanwhile"] {
        let (status, body) = world
            .call(2, "GET", &format!("/v1/data/shop/registers/{key}"), "")
            .await;
        assert_eq!(status, StatusCode::OK, "{key}: {body}");
    }
    world.put(2, "after", "3").await;
    world.restart(0).await;
    world.converge().await;
    world.has(0, "after", "3").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_replaced_by_another_and_one_is_drained() {
    let mut world = World::start().await;
    world.put(0, "before", "1").await;
    for number in 0..3 {
        world.kill(number).await;
    }
    world.config = region_of(4);
    let (first, second, third) = tokio::join!(world.node(0), world.node(1), world.node(2));
    world.running = [Some(first), Some(second), Some(third), None];
    world.start_and_add(3, 1).await;
    // Three of four vote in each partition, and all have everything.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = world.nodes(3).await;
        let votes: u64 = found["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["votes"].as_u64().unwrap())
            .sum();
        if found["settled"] == 8 && votes == 24 {
            break;
        }
        assert!(Instant::now() < deadline, "{found:#}");
        sleep(Duration::from_millis(50)).await;
    }
    world.has(3, "before", "1").await;
    world.change(3, "n2/drain", StatusCode::NO_CONTENT).await;
    let drained = [
        ("n1", "active", 8),
        ("n2", "drained", 0),
        ("n3", "active", 8),
        ("n4", "active", 8),
    ];
    world.until(1, &drained).await;
    // It still answers everything, from its copies.
    world.put(1, "drained", "2").await;
    world.has(1, "drained", "2").await;
    world.change(1, "n2/remove", StatusCode::NO_CONTENT).await;
    let removed = [
        ("n1", "active", 8),
        ("n2", "not_added", 0),
        ("n3", "active", 8),
        ("n4", "active", 8),
    ];
    world.until(3, &removed).await;
    world.kill(1).await;
    world.kill(0).await;
    world.put(3, "after", "3").await;
    world.has(2, "after", "3").await;
    world.stop().await;
}
