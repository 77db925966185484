//! Who is refused, with what words on both sides, and what garbage and earlier lives of a node do.

use std::sync::atomic::Ordering;

use super::kit_test::{LONG, REGION, Region, TestNode, eventually, identity, node_id};
use super::*;
use crate::model::ids::{PartitionCount, PartitionId};
use crate::ports::link::{CloseCode, Connection, LinkError, Stream};
use crate::ports::link_conformance::within;
use crate::transport::QuicNetwork;
use crate::wire::mesh::{Acknowledgement, MeshIntroduction, MeshMessage, MeshRequest, SignNumber};
use bytes::Bytes;

/// Both sides say why `stranger` may not be in the mesh of `one`.
async fn both_say(one: &TestNode, stranger: &TestNode, words: &str) {
    let says = |view: &board::NodeView| view.down.as_ref().is_some_and(|down| down.contains(words));
    stranger.sees(one.id, says).await;
    let refusals = || one.mesh.server().refusals();
    eventually(|| {
        refusals()
            .get(&stranger.id)
            .is_some_and(|text| text.contains(words))
    })
    .await;
    let asked = stranger.ask(one.id, 0, "a").await.unwrap_err();
    assert!(asked.contains(words), "{asked}");
    assert!(!stranger.view(one.id).is_accepted);
}

#[tokio::test]
async fn a_node_that_the_configuration_does_not_have_is_refused() {
    let region = Region::new();
    let quic = ["n1", "n2"].map(|node| region.bind(node));
    let one = region.start(&quic[0], &[]);
    let stranger = region.start(&quic[1], &["n1"]);
    both_say(&one, &stranger, "region eu has no node n2").await;
    assert!(one.board.nodes().next().is_none());
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused() {
    let region = Region::new();
    let quic = ["n1", "n2"].map(|node| region.bind(node));
    let one = region.start(&quic[0], &["n2"]);
    let mut said = identity("n2");
    said.cluster = "other".parse().unwrap();
    let stranger = region.start_as(said, &quic[1], &["n1"]);
    both_say(&one, &stranger, "n2 belongs to cluster other").await;
    // It does not take part from this side either.
    let says = |view: &board::NodeView| view.down.as_ref().is_some_and(|down| down.contains("cluster"));
    one.sees(stranger.id, says).await;
}

#[tokio::test]
async fn a_node_with_another_partition_count_is_refused() {
    let region = Region::new();
    let quic = ["n1", "n2"].map(|node| region.bind(node));
    let one = region.start(&quic[0], &["n2"]);
    let mut said = identity("n2");
    said.partitions = PartitionCount::new(32).unwrap();
    let stranger = region.start_as(said, &quic[1], &["n1"]);
    both_say(&one, &stranger, "n2 has 32 partitions, this node 64").await;
}

#[tokio::test]
async fn a_node_that_is_not_what_its_certificate_says_is_refused() {
    let region = Region::new();
    let quic = ["n1", "n2"].map(|node| region.bind(node));
    let one = region.start(&quic[0], &["n2", "n3"]);
    let mut said = identity("n3");
    said.node = node_id("n3");
    let stranger = region.start_as(said, &quic[1], &["n1"]);
    let words = "n2 says that it is dev/eu/n3, its certificate says dev/eu/n2";
    let says = |view: &board::NodeView| view.down.as_ref().is_some_and(|down| down.contains(words));
    stranger.sees(one.id, says).await;
}

#[tokio::test]
async fn a_node_that_reaches_itself_is_refused() {
    let region = Region::new();
    let quic = ["n1"].map(|node| region.bind(node));
    let one = region.start(&quic[0], &["n1"]);
    let says = |view: &board::NodeView| {
        view.down
            .as_ref()
            .is_some_and(|down| down.contains("n1 has reached n1"))
    };
    one.sees(one.id, says).await;
}

/// A connection from n2 that n1 has welcomed, and its control stream.
async fn welcomed(region: &Region, from: &QuicNetwork) -> (Arc<dyn Connection>, Stream) {
    let target = DialTarget {
        region: REGION.parse().unwrap(),
        node: node_id("n1"),
        address: region.addresses.lock().unwrap()[&node_id("n1")].clone(),
    };
    let connection = within(from.dial(&target)).await.unwrap();
    let mut control = within(connection.open_stream()).await.unwrap();
    let hello = MeshIntroduction {
        introduction: identity("n2").introduction(),
        life: 1,
    };
    within(control.sender.send(MeshMessage::Hello(hello).encode()))
        .await
        .unwrap();
    let answer = within(control.receiver.receive()).await.unwrap().unwrap();
    assert!(matches!(
        MeshMessage::decode(&answer),
        Ok(MeshMessage::Welcome(_))
    ));
    (connection, control)
}

async fn violates(connection: &Arc<dyn Connection>, words: &str) {
    match within(connection.closed()).await {
        LinkError::ClosedByPeer { code, reason } => {
            assert_eq!(code, CloseCode::ProtocolViolation, "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn garbage_closes_its_connection_as_a_protocol_violation_and_nothing_else() {
    let region = Region::new();
    let quic = ["n1", "n2", "n3"].map(|node| region.bind(node));
    let one = region.start(&quic[0], &["n2", "n3"]);
    let three = region.start(&quic[2], &["n1"]);
    three.sees(one.id, |view| view.down.is_none()).await;

    // On a stream of requests.
    let (connection, control) = welcomed(&region, &quic[1]).await;
    let mut stream = within(connection.open_stream()).await.unwrap();
    let request = MeshRequest {
        id: crate::wire::mesh::CallId(0),
        partition: PartitionId(0),
        patience_ms: 60_000,
        body: Bytes::from_static(b"a"),
    };
    let good = MeshMessage::Requests(vec![request]).encode();
    within(stream.sender.send(good)).await.unwrap();
    assert!(within(stream.receiver.receive()).await.unwrap().is_some());
    within(stream.sender.send(Bytes::from_static(b"garbage")))
        .await
        .unwrap();
    violates(&connection, "format 103 is unknown").await;
    drop((stream, control));

    // On the control stream, and instead of a hello.
    let (connection, mut control) = welcomed(&region, &quic[1]).await;
    let wrong = Acknowledgement {
        number: SignNumber(1),
        through: crate::model::hlc::Hlc::ZERO,
        except: [].into(),
    };
    let wrong = MeshMessage::Acknowledge(wrong).encode();
    within(control.sender.send(wrong)).await.unwrap();
    violates(&connection, "acknowledgement where a sign of life was due").await;
    eventually(|| !one.view(node_id("n2")).is_accepted).await;

    assert_eq!(three.view(one.id).down, None);
    assert_eq!(three.ask(one.id, 5, "b").await.unwrap(), "5 b");
    assert!(one.view(three.id).is_accepted);
}

#[tokio::test]
async fn a_newer_connection_takes_the_place_of_the_one_before() {
    let region = Region::new();
    let quic = ["n1", "n2"].map(|node| region.bind(node));
    let one = region.start(&quic[0], &["n2"]);
    let (before, control) = welcomed(&region, &quic[1]).await;
    eventually(|| one.view(node_id("n2")).is_accepted).await;
    let (_newer, _control) = welcomed(&region, &quic[1]).await;
    match within(before.closed()).await {
        LinkError::ClosedByPeer { code, reason } => {
            assert_eq!(
                (code, reason.as_str()),
                (CloseCode::Done, "a newer connection has taken its place")
            );
        }
        other => panic!("{other:?}"),
    }
    drop(control);
    assert!(one.view(node_id("n2")).is_accepted);
}

#[tokio::test]
async fn a_connection_to_a_life_that_is_over_is_given_up_when_the_next_one_comes() {
    let region = Region::new();
    let quic = ["n1", "n2"].map(|node| region.bind(node));
    let (one, two) = (region.start(&quic[0], &["n2"]), region.start(&quic[1], &["n1"]));
    one.sees(two.id, |view| view.down.is_none()).await;
    let (handle, to) = (one.mesh.handle(), two.id);
    let under_way = async move {
        let hang = Bytes::from_static(b"hang");
        handle.call(to, PartitionId(0), hang, LONG).await
    };
    let under_way = tokio::spawn(under_way);
    eventually(|| two.service.under_way.load(Ordering::SeqCst) == 1).await;
    // As if the process had been killed and started again: it says another life.
    let _next_life = welcomed(&region, &quic[1]).await;
    let error = within(under_way).await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("the node was started again"),
        "{error}"
    );
    one.sees(two.id, |view| view.down.is_none()).await;
    assert_eq!(one.ask(two.id, 5, "a").await.unwrap(), "5 a");
}
