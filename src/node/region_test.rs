//! A region of three nodes over QUIC, each with its own store: what one node is given all of them have, through losses of nodes.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use axum::http::StatusCode;
use tokio::time::Instant;

use super::region_kit_test::{PATIENCE, World};
use crate::model::ids::Key;
use crate::model::limits;
use crate::model::placement::partition_of;
use crate::model::raft::RaftIndex;
use crate::ports::store::{Family, Store as _};
use crate::wire::keys::raft::RaftEntryKey;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_is_given_all_nodes_answer() {
    let world = World::start().await;
    for round in 0..4 {
        for number in 0..3 {
            let path = format!("/v1/data/shop/registers/key-{round}");
            let body = format!("{round} by {number}");
            let (status, answer) = world.call(number, "PUT", &path, &body).await;
            assert!(status.is_success(), "{status} {answer}");
            // Whoever is asked next, at once.
            let (status, answer) = world.call((number + 1) % 3, "GET", &path, "").await;
            assert_eq!((status, answer), (StatusCode::OK, body));
        }
    }
    world.converge().await;
    world.stop().await;
}

/// Every node leads what it should by placement, also after it was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_go_back_to_the_node_that_should_lead_them() {
    let mut world = World::start().await;
    let settled = world.settled().await;
    assert_eq!(settled.iter().collect::<BTreeSet<_>>().len(), 3);
    world.add(0, "a", "first").await;
    let running = world.running[1].take().unwrap();
    running.assembly.stop(Instant::now() + PATIENCE).await;
    // In order: nobody waits for a second of silence, and nothing is lost.
    world.add(0, "a", "second").await;
    world.restart(1).await;
    assert_eq!(world.settled().await, settled);
    assert_eq!(world.counter(1, "a").await, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_any_node_loses_nothing_that_was_answered() {
    let mut world = World::start().await;
    let mut added = 0;
    for lost in 0..3 {
        for step in 0..8 {
            world.add(step % 3, "a", &format!("before-{lost}-{step}")).await;
            world.add(step % 3, "b", &format!("b-before-{lost}-{step}")).await;
            added += 1;
        }
        world.kill(lost).await;
        for step in 0..8 {
            let number = (lost + 1 + step % 2) % 3;
            world.add(number, "a", &format!("without-{lost}-{step}")).await;
            world.add(number, "b", &format!("b-without-{lost}-{step}")).await;
            added += 1;
        }
        let other = (lost + 1) % 3;
        assert_eq!(world.counter(other, "a").await, added);
        world.restart(lost).await;
        assert_eq!(world.counter(lost, "a").await, added);
        assert_eq!(world.counter(lost, "b").await, added);
    }
    world.converge().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_for_too_long_is_sent_the_whole_partition() {
    let mut world = World::start().await;
    world.add(2, "a", "before").await;
    world.kill(2).await;
    let key = Key::new("a").unwrap();
    let partition = partition_of(&"shop".parse().unwrap(), &key, world.config.partitions);
    let range = RaftEntryKey::range(partition, RaftIndex(0), RaftIndex::END);
    let kept = || {
        let mut kept = 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            kept += 1;
            ControlFlow::Continue(())
        };
        let scanned = world.disks[0].scan(Family::Raft, &range.from, &range.to, count);
        scanned.unwrap();
        kept
    };
    // The log is cut beside the writes: when it has been, what the lost node lacks is no longer there.
    let (mut adds, begun) = (0, Instant::now());
    while adds < 2 * limits::RAFT_ENTRIES_KEPT || kept() >= adds {
        world
            .add(
                usize::try_from(adds % 2).unwrap(),
                "a",
                &format!("without-{adds}"),
            )
            .await;
        adds += 1;
        assert!(
            begun.elapsed() < 4 * PATIENCE,
            "{} entries are kept of {adds}",
            kept()
        );
    }
    world.restart(2).await;
    assert_eq!(world.counter(2, "a").await, adds + 1);
    world.converge().await;
    // It goes on as any other member.
    world.kill(0).await;
    world.add(2, "a", "after").await;
    assert_eq!(world.counter(1, "a").await, adds + 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_writes_are_refused_at_once_and_eventual_reads_are_served() {
    let mut world = World::start().await;
    world.add(0, "a", "first").await;
    world.converge().await;
    world.kill(1).await;
    world.kill(2).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = world
            .call(0, "PUT", "/v1/data/shop/registers/refused", "anything")
            .await;
        if status == StatusCode::SERVICE_UNAVAILABLE && body.contains("too few nodes") {
            break;
        }
        assert!(
            !status.is_success() && Instant::now() < deadline,
            "{status} {body}"
        );
    }
    let (status, body) = world
        .call_at("eventual", 0, "GET", "/v1/data/shop/counters/a", "")
        .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    world.restart(1).await;
    world.add(0, "a", "second").await;
    assert_eq!(world.counter(1, "a").await, 2);
    world.restart(2).await;
    world.converge().await;
    world.stop().await;
}
