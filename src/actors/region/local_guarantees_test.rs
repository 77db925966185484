//! Asking a region of several nodes what it has applied.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::*;
use crate::actors::link::kit_test::{MemoryConnection, P, Q, TestNode, dot, leads, next_message, vector};
use crate::model::replication::leadership::Leads;
use crate::ports::link::Stream;
use crate::ports::link_conformance::within;
use crate::wire::messages::Message;

type Asking = JoinHandle<BTreeMap<PartitionId, VersionVector>>;

async fn start(nodes: usize, is_connected: &[bool]) -> (Asking, Vec<UnboundedReceiver<Stream>>) {
    let node = TestNode::start(1, &[("eu", nodes)]).await;
    let region = Arc::clone(&node.context.peers[0]);
    let mut streams = Vec::new();
    for (link, is_connected) in region.links().iter().zip(is_connected) {
        let (connection, accepted) = MemoryConnection::to(link.peer());
        if *is_connected {
            link.set_outbound(Some(connection));
        }
        streams.push(accepted);
    }
    let asking = tokio::spawn(async move { ask_region(&region, Vec::new(), vec![P, Q]).await });
    (asking, streams)
}

/// A node is asked, and answers for what it leads that it has so many changes.
async fn answer(streams: &mut UnboundedReceiver<Stream>, leads: Leads, seq: u64) {
    let mut stream = within(streams.recv()).await.unwrap();
    assert!(matches!(
        next_message(&mut stream).await,
        Some(Message::AskVectors { .. })
    ));
    let has = vector(&[dot("eu", seq)]);
    let vectors = [P, Q].into_iter().filter(|partition| leads.contains(*partition));
    let vectors = vectors.map(|partition| (partition, has.clone())).collect();
    let answer = Message::Vectors { vectors, leads };
    stream.sender.send(answer.encode()).await.unwrap();
}

fn answers(of_p: u64, of_q: u64) -> BTreeMap<PartitionId, VersionVector> {
    [(P, vector(&[dot("eu", of_p)])), (Q, vector(&[dot("eu", of_q)]))].into()
}

#[tokio::test]
async fn the_only_node_of_a_region_is_asked_once() {
    let (asking, mut streams) = start(1, &[true]).await;
    answer(&mut streams[0], Leads::All, 7).await;
    assert_eq!(asking.await.unwrap(), answers(7, 7));
}

#[tokio::test]
async fn a_region_has_answered_when_every_leader_has_and_one_that_hangs_does_not_matter() {
    let (asking, mut streams) = start(3, &[true, true, true]).await;
    answer(&mut streams[1], leads(&[(P, 1)]), 5).await;
    // The second one is asked again while the leader of the other partition is looked for.
    answer(&mut streams[1], leads(&[(P, 1)]), 6).await;
    assert!(!asking.is_finished());
    answer(&mut streams[2], leads(&[(Q, 1)]), 3).await;
    assert_eq!(asking.await.unwrap(), answers(6, 3));
    assert!(streams[0].try_recv().is_ok(), "it was asked and never answered");
}

#[tokio::test]
async fn a_node_that_becomes_leader_while_the_client_waits_answers_then() {
    let (asking, mut streams) = start(2, &[true, false]).await;
    answer(&mut streams[0], leads(&[(P, 1)]), 5).await;
    answer(&mut streams[0], leads(&[(P, 1), (Q, 2)]), 5).await;
    assert_eq!(asking.await.unwrap(), answers(5, 5));
}
