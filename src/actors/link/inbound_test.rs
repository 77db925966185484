//! What a node that leads a part of its region takes in and answers for.

use super::*;
use crate::actors::link::kit_test::{
    P, Q, TestNode, commit, dot, leads, memory_stream, next_message, told, vector,
};
use crate::model::ids::PartitionId;
use crate::model::replication::leadership::Leads;
use crate::wire::messages::Commits;

/// The end of a new stream at a peer; it is served as long as the test lasts.
fn open(node: &TestNode) -> Stream {
    let (near, far) = memory_stream();
    let (inbound, link) = (node.inbound.clone(), node.peer("eu-1").link);
    tokio::spawn(async move { inbound.serve_stream(link, far).await });
    near
}

async fn send(stream: &mut Stream, message: Message) {
    stream.sender.send(message.encode()).await.unwrap();
}

/// One commit of each partition on a lane; the rewinds that come back.
async fn offer(node: &TestNode) -> Vec<(PartitionId, RewindReason, String)> {
    let mut lane = open(node);
    send(&mut lane, Message::OpenLane { lane: 0 }).await;
    let encoded = Bytes::from(values::encode_commit(&commit(dot("eu", 1))));
    let parts = [P, Q].map(|partition| (partition, vec![encoded.clone()]));
    let parts = parts.to_vec();
    send(&mut lane, Message::Batch(Batch::Plain(Commits { parts }))).await;
    let mut rewinds = Vec::new();
    while let Some(message) = next_message(&mut lane).await {
        match message {
            Message::Rewind {
                partition,
                reason,
                detail,
                ..
            } => rewinds.push((partition, reason, detail)),
            other => panic!("{other:?}"),
        }
    }
    rewinds
}

async fn offered(node: &mut TestNode) -> Vec<usize> {
    let mut counts = Vec::new();
    for partition in &mut node.partitions {
        let messages = told(partition).await;
        let offers = messages.iter();
        counts.push(
            offers
                .filter(|message| matches!(message, PartitionMessage::Offer { .. }))
                .count(),
        );
    }
    counts
}

#[tokio::test]
async fn commits_of_a_partition_that_is_led_elsewhere_are_refused() {
    let mut node = TestNode::start(3, &[("eu", 1)]).await;
    node.lead(P, 1, 0);
    node.follow(Q, 1);
    let rewinds = offer(&node).await;
    assert_eq!(
        rewinds,
        [(Q, RewindReason::NotLeader, "us-2 leads it".to_owned())]
    );
    assert_eq!(offered(&mut node).await, [1, 0]);
}

#[tokio::test]
async fn the_only_node_of_its_region_takes_everything() {
    let mut node = TestNode::start(1, &[("eu", 1)]).await;
    assert_eq!(offer(&node).await, []);
    assert_eq!(offered(&mut node).await, [1, 1]);
}

async fn ask(node: &TestNode, partitions: Vec<PartitionId>) -> Message {
    let mut stream = open(node);
    send(&mut stream, Message::AskVectors { partitions }).await;
    next_message(&mut stream).await.unwrap()
}

#[tokio::test]
async fn a_node_answers_for_its_region_in_what_it_leads() {
    let node = TestNode::start(3, &[("eu", 1)]).await;
    node.lead(P, 4, 0);
    node.follow(Q, 1);
    for partition in [P, Q] {
        node.has(partition, &[dot("us", 5)]);
    }
    let answer = Message::Vectors {
        vectors: vec![(P, vector(&[dot("us", 5)]))],
        leads: leads(&[(P, 4)]),
    };
    assert_eq!(ask(&node, Vec::new()).await, answer);
    assert_eq!(ask(&node, vec![P, Q, P, PartitionId(9)]).await, answer);
    let nothing = Message::Vectors {
        vectors: Vec::new(),
        leads: Leads::nothing(),
    };
    assert_eq!(ask(&node, vec![Q]).await, nothing);
}

#[tokio::test]
async fn the_only_node_of_its_region_answers_for_all_of_it() {
    let node = TestNode::start(1, &[("eu", 1)]).await;
    node.has(Q, &[dot("us", 5)]);
    let answer = Message::Vectors {
        vectors: vec![(Q, vector(&[dot("us", 5)]))],
        leads: Leads::All,
    };
    assert_eq!(ask(&node, Vec::new()).await, answer);
}

#[tokio::test]
async fn what_a_node_has_told_goes_with_its_last_connection() {
    let node = TestNode::start(1, &[("eu", 2)]).await;
    let peer = node.peer("eu-1");
    let connections = [(), ()].map(|()| {
        let (connection, _) = crate::actors::link::kit_test::MemoryConnection::to(peer.link.peer());
        peer.link.add_inbound(connection).unwrap()
    });
    peer.link.set_leads(Arc::new(leads(&[(P, 50)])));
    assert!(!peer.link.remove_inbound(connections[0]));
    assert!(peer.link.leads().contains(P), "another one stands");
    assert!(peer.link.remove_inbound(connections[1]));
    assert!(!peer.link.leads().contains(P));
}
