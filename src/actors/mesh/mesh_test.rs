//! Three nodes over QUIC: they see each other, acknowledge, ask and answer; one goes and comes back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::kit_test::{LONG, Region, eventually, node_id};
use super::*;
use crate::model::hlc::Hlc;
use crate::model::ids::{Incarnation, PartitionId};
use crate::model::limits;
use crate::model::raft::Term;
use crate::ports::link_conformance::within;

#[tokio::test]
async fn all_nodes_see_each_other_and_what_they_lead() {
    let (_region, nodes) = Region::of_three().await;
    for (number, node) in (0..).zip(&nodes) {
        let leads = [(PartitionId(number), Term(u64::from(number) + 7))];
        *node.service.leads.lock().unwrap() = leads.into();
    }
    for node in &nodes {
        for (number, other) in (0..).zip(&nodes).filter(|(_, other)| other.id != node.id) {
            let leads = [(PartitionId(number), Term(u64::from(number) + 7))].into();
            let says = |sign: &Arc<crate::wire::mesh::SignOfLife>| sign.leads == leads;
            let view = node
                .sees(other.id, |view| view.said.as_ref().is_some_and(says))
                .await;
            assert_eq!((view.down, view.is_accepted), (None, true));
            assert_eq!(view.incarnation, Some(Incarnation(7)));
            assert_eq!(view.said.unwrap().through, Hlc(7));
            assert!(
                view.clock_ahead_ms.unwrap().abs() < 10_000,
                "one machine has one clock"
            );
        }
        assert_eq!(node.board.nodes().count(), 2);
    }
}

#[tokio::test]
async fn signs_of_life_are_acknowledged_and_the_times_at_which_they_were_sent_move() {
    let (_region, [one, two, _]) = Region::of_three().await;
    let (partition, term) = (PartitionId(5), Term(9));
    *one.service.leads.lock().unwrap() = [(partition, term)].into();
    let covered = |view: &board::NodeView| {
        let acknowledged = view.acknowledged.as_ref();
        acknowledged.is_some_and(|acknowledged| acknowledged.covers(partition, term))
    };
    let first = one.sees(two.id, covered).await.acknowledged.unwrap();
    assert_eq!(first.acknowledgement.through, Hlc(7));
    let later = |view: &board::NodeView| view.acknowledged.as_ref().unwrap().sent_at > first.sent_at;
    one.sees(two.id, later).await;
    // What is not promised is not acknowledged; the sign was heard all the same.
    two.service.promises.store(false, Ordering::SeqCst);
    // Signs in flight may still be acknowledged: two signs later none is.
    let heard = |node: &kit_test::TestNode| node.view(one.id).said.unwrap().number;
    let before = heard(&two);
    eventually(|| heard(&two) > before.next()).await;
    let last = one.view(two.id).acknowledged.unwrap();
    let before = heard(&two);
    eventually(|| heard(&two) > before.next()).await;
    assert_eq!(one.view(two.id).acknowledged.unwrap(), last);
}

#[tokio::test]
async fn a_thousand_concurrent_calls_get_their_own_answers() {
    let (_region, [one, two, three]) = Region::of_three().await;
    let mut calls = JoinSet::new();
    for number in 0..1000_u16 {
        let (handle, partition) = (one.mesh.handle(), PartitionId(number % 64));
        let node = if number % 2 == 0 { two.id } else { three.id };
        calls.spawn(async move {
            let body = Bytes::from(format!("body {number}"));
            let answer = handle.call(node, partition, body, LONG).await;
            assert_eq!(answer.unwrap(), format!("{partition} body {number}"));
        });
    }
    while let Some(call) = within(calls.join_next()).await {
        call.unwrap();
    }
    for node in [two.id, three.id] {
        let load = one.mesh.handle().lane(&node).load();
        assert_eq!(load, (0, limits::MESH_PLACES_MAX));
    }
}

#[tokio::test]
async fn a_call_that_hangs_ends_with_its_patience_and_others_go_on() {
    let (_region, [one, two, _]) = Region::of_three().await;
    let handle = one.mesh.handle();
    let (to, hang) = (two.id, Bytes::from_static(b"hang"));
    let hanging = tokio::spawn({
        let (handle, hang) = (handle.clone(), hang.clone());
        async move { handle.call(to, PartitionId(1), hang, LONG).await }
    });
    eventually(|| two.service.under_way.load(Ordering::SeqCst) == 1).await;
    assert_eq!(one.ask(to, 1, "a").await.unwrap(), "1 a", "the same partition");
    assert_eq!(one.ask(to, 2, "b").await.unwrap(), "2 b", "another one");
    let large = one.ask(to, 2, "large").await.unwrap_err();
    assert!(large.contains("over the limit"), "{large}");
    assert_eq!(one.ask(to, 2, "c").await.unwrap(), "2 c");
    // Patience enough for a loaded machine to send it, and to see that it was sent.
    let impatient = tokio::spawn({
        let handle = handle.clone();
        async move {
            handle
                .call(to, PartitionId(1), hang, Duration::from_secs(1))
                .await
        }
    });
    let error = within(impatient).await.unwrap().unwrap_err();
    assert!(matches!(error, MeshError::TimedOut { .. }), "{error}");
    hanging.abort();
    assert!(within(hanging).await.unwrap_err().is_cancelled());
    assert_eq!(handle.lane(&to).load(), (0, limits::MESH_PLACES_MAX));
}

#[tokio::test]
async fn a_node_that_stops_is_suspected_and_reached_again_when_it_is_back() {
    let (region, [one, two, three]) = Region::of_three().await;
    let to = two.id;
    // Under way when the node stops: it was sent, so it may have been done.
    let under_way = tokio::spawn({
        let handle = one.mesh.handle();
        async move {
            handle
                .call(to, PartitionId(1), Bytes::from_static(b"hang"), LONG)
                .await
        }
    });
    eventually(|| two.service.under_way.load(Ordering::SeqCst) == 1).await;
    two.stop().await;
    let lost = within(under_way).await.unwrap().unwrap_err();
    assert!(matches!(lost, MeshError::Lost { is_sent: true, .. }), "{lost}");
    one.sees(to, |view| view.down.is_some() && !view.is_accepted)
        .await;
    let refused = one.ask(to, 1, "a").await.unwrap_err();
    assert!(refused.starts_with("node n2 is not connected: "), "{refused}");
    let suspected = one.sees(to, |view| view.phi.unwrap() > 8.0).await;
    assert!(suspected.phi > three.view(one.id).phi, "others are heard");
    assert_eq!(one.ask(three.id, 1, "a").await.unwrap(), "1 a");

    let quic = region.bind("n2");
    let two = region.start(&quic, &["n1", "n3"]);
    let back = |view: &board::NodeView| view.down.is_none() && view.phi.unwrap() < 1.0;
    one.sees(to, back).await;
    assert_eq!(one.ask(to, 1, "b").await.unwrap(), "1 b");
    two.sees(one.id, |view| view.down.is_none()).await;
    assert_eq!(two.ask(one.id, 1, "c").await.unwrap(), "1 c");
}

#[tokio::test]
async fn a_node_that_the_region_does_not_have_is_not_asked() {
    let region = Region::new();
    let quic = region.bind("n1");
    let alone = region.start(&quic, &[]);
    let error = alone.ask(node_id("n2"), 0, "a").await.unwrap_err();
    assert!(error.contains("no other node n2"), "{error}");
    assert_eq!(alone.mesh.dialling.lock().unwrap().len(), 0, "it costs nothing");
    alone.stop().await;
}

#[tokio::test]
async fn requests_before_the_founding_are_answered_with_that_and_later_ones_by_the_groups() {
    let service = service::UntilFounded::default();
    let (from, body) = (node_id("n2"), Bytes::from_static(b"a"));
    let early = service
        .answer(from, PartitionId(0), body.clone())
        .await
        .unwrap_err();
    assert_eq!(early.to_string(), "the region is not founded yet");
    assert_eq!(service.own_sign(from), service::OwnSign::default());
    service.hand_over(kit_test::TestService::new());
    assert_eq!(service.answer(from, PartitionId(0), body).await.unwrap(), "0 a");
    assert_eq!(service.own_sign(from).through, Hlc(7));
}
