//! Whom a node asks for what is missing, if it asks at all.

use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::actors::link::kit_test::{
    MemoryConnection, P, TestNode, commit, dot, next_message, settle, told, vector,
};
use crate::ports::link::Stream;
use crate::ports::link_conformance::within;
use crate::wire::messages::{Batch, Commits};

fn missing() -> Missing {
    let last = dot("eu", 1);
    Missing {
        replica: last.replica,
        first_seq: 1,
        last_seq: 1,
        holder: "eu".parse().unwrap(),
    }
}

/// Connects to a node; what is asked of it is for the test to answer.
fn connect(node: &TestNode, name: &str) -> UnboundedReceiver<Stream> {
    let link = node.peer(name).link;
    let (connection, streams) = MemoryConnection::to(link.peer());
    link.set_outbound(Some(connection));
    streams
}

/// Answers one request, with the commit or without.
async fn answer(streams: &mut UnboundedReceiver<Stream>, has_it: bool) {
    let mut stream = within(streams.recv()).await.unwrap();
    assert!(matches!(
        next_message(&mut stream).await,
        Some(Message::Fetch { .. })
    ));
    if has_it {
        let encoded = values::encode_commit(&commit(dot("eu", 1))).into();
        let parts = vec![(P, vec![encoded])];
        let fetched = Message::Fetched(Batch::Plain(Commits { parts }));
        stream.sender.send(fetched.encode()).await.unwrap();
    }
    let end = Message::FetchEnd { complete: has_it };
    stream.sender.send(end.encode()).await.unwrap();
}

fn start(node: &TestNode) -> tokio::task::JoinHandle<bool> {
    let (context, partition) = (Arc::clone(&node.context), node.inbound.partitions[0].clone());
    tokio::spawn(async move { fetch(&context, &partition, &missing()).await })
}

async fn offers(node: &mut TestNode) -> usize {
    told(&mut node.partitions[0]).await.len()
}

#[tokio::test]
async fn any_node_of_a_region_may_have_what_is_missing_and_who_is_known_to_is_asked_first() {
    let mut node = TestNode::start(1, &[("eu", 3)]).await;
    let mut streams = ["eu-1", "eu-2", "eu-3"].map(|name| connect(&node, name));
    let known = node.peer("eu-3").link;
    known.set_watermark(P, &vector(&[dot("eu", 1)]));
    let fetching = start(&node);
    // It was cut there since.
    answer(&mut streams[2], false).await;
    answer(&mut streams[0], false).await;
    answer(&mut streams[1], true).await;
    assert!(fetching.await.unwrap());
    assert_eq!(offers(&mut node).await, 1);
}

#[tokio::test]
async fn a_node_that_does_not_lead_asks_nobody() {
    let node = TestNode::start(3, &[("eu", 1)]).await;
    node.follow(P, 1);
    let mut streams = connect(&node, "eu-1");
    assert!(start(&node).await.unwrap(), "nothing is found to be lacking");
    assert!(streams.try_recv().is_err());
}

#[tokio::test]
async fn what_comes_after_the_leadership_was_lost_is_not_taken() {
    let mut node = TestNode::start(3, &[("eu", 1)]).await;
    node.lead(P, 1, 0);
    let mut streams = connect(&node, "eu-1");
    let fetching = start(&node);
    settle().await;
    node.follow(P, 2);
    answer(&mut streams, true).await;
    fetching.await.unwrap();
    assert_eq!(offers(&mut node).await, 0);
}
