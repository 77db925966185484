//! To whom commits go as leadership moves here and there, and what heartbeats tell of it.

use std::sync::Arc;
use std::time::Duration;

use ractor::Actor as _;

use super::*;
use crate::actors::link::batch;
use crate::actors::link::dial::Dialled;
use crate::actors::link::kit_test::{
    MemoryConnection, Nowhere, P, Q, TestNode, dot, leads, memory_stream, next_message, told, vector,
};
use crate::actors::link::peer_region::PeerRegion;
use crate::actors::link::shipper::{ShipperActor, ShipperArguments};
use crate::actors::partition::PartitionMessage;
use crate::model::hlc::Hlc;
use crate::model::ids::{LogIndex, PartitionId, Seq};
use crate::model::replication::leadership::Leads;
use crate::model::vector::Dot;
use crate::ports::link::Stream;
use crate::wire::messages::{Message, PartitionVector, RewindReason};
use crate::wire::values;

/// A shipper, and the node at the other end of its connection.
struct Shipping {
    actor: ActorRef<ShipperMessage>,
    region: Arc<PeerRegion>,
    name: &'static str,
    control: Stream,
    lane: Stream,
}

impl Shipping {
    /// A shipper whose node has welcomed this one with what it has.
    async fn start(node: &TestNode, name: &'static str, vectors: Vec<PartitionVector>) -> Self {
        let peer = node.peer(name);
        let arguments = ShipperArguments {
            context: Arc::clone(&node.context),
            network: Arc::new(Nowhere),
            peer: Arc::clone(&peer.region),
            board: Arc::clone(&peer.link),
            partitions: Arc::clone(&node.inbound.partitions),
        };
        let (actor, _) = ShipperActor::spawn(None, ShipperActor, arguments).await.unwrap();
        let (connection, _) = MemoryConnection::to(peer.link.peer());
        let ((control, far_control), (lane, far_lane)) = (memory_stream(), memory_stream());
        let dialled = Dialled {
            connection,
            control,
            lanes: vec![lane],
            vectors,
        };
        // The first connection that it makes.
        actor.cast(ShipperMessage::Dialled(1, Ok(dialled))).unwrap();
        Self {
            actor,
            region: peer.region,
            name,
            control: far_control,
            lane: far_lane,
        }
    }

    fn tell(&self, message: ShipperMessage) {
        self.actor.cast(message).unwrap();
    }

    /// Its node has told what it leads.
    fn leads(&self, terms: &[(PartitionId, u64)]) {
        let link = self.region.link(&self.name.parse().unwrap()).unwrap();
        link.set_leads(Arc::new(leads(terms)));
    }

    /// The seqs that come on the lane.
    async fn shipped(&mut self) -> Vec<(PartitionId, Seq)> {
        let mut seqs = Vec::new();
        while let Some(message) = next_message(&mut self.lane).await {
            let Message::Batch(packed) = message else {
                panic!("{message:?}")
            };
            for (partition, encoded) in batch::unpack(packed).unwrap().parts {
                let commits = encoded.iter().map(|bytes| values::decode_commit(bytes).unwrap());
                seqs.extend(commits.map(|commit| (partition, commit.first_seq)));
            }
        }
        seqs
    }

    /// The leads, the promise and the partitions without one of the next heartbeat.
    async fn heartbeat(&mut self) -> Option<(Option<Leads>, Hlc, Vec<PartitionId>)> {
        match next_message(&mut self.control).await? {
            Message::Heartbeat {
                leads, through, busy, ..
            } => Some((leads, through, busy)),
            other => panic!("{other:?}"),
        }
    }

    async fn answer(&mut self, message: Message) {
        self.lane.sender.send(message.encode()).await.unwrap();
    }
}

fn own(seqs: std::ops::RangeInclusive<Seq>) -> impl Iterator<Item = Dot> {
    seqs.map(|seq| dot("us", seq))
}

fn of_p(seqs: std::ops::RangeInclusive<Seq>) -> Vec<(PartitionId, Seq)> {
    seqs.map(|seq| (P, seq)).collect()
}

#[tokio::test]
async fn commits_go_from_the_leader_here_to_the_leader_there() {
    let node = TestNode::start(3, &[("eu", 2)]).await;
    let mut first = Shipping::start(&node, "eu-1", Vec::new()).await;
    let mut second = Shipping::start(&node, "eu-2", Vec::new()).await;
    let moved = |first: &Shipping, second: &Shipping| {
        first.tell(ShipperMessage::LeadersChanged);
        second.tell(ShipperMessage::LeadersChanged);
    };
    first.leads(&[(P, 1), (Q, 1)]);
    moved(&first, &second);
    node.write(P, own(1..=2));
    assert_eq!(first.shipped().await, [], "it is for the leader here");
    node.lead(P, 1, 0);
    node.write(P, own(3..=3));
    node.write(Q, own(1..=1));
    assert_eq!(first.shipped().await, of_p(1..=3), "whoever had made them");
    assert_eq!(second.shipped().await, []);
    // The first one has applied two of them in its region, and acknowledged nothing when it was deposed.
    second.tell(ShipperMessage::PeerAdvanced(vec![(P, vector(&[dot("us", 2)]))]));
    second.leads(&[(P, 2)]);
    moved(&first, &second);
    assert_eq!(second.shipped().await, of_p(3..=3), "from what its region has");
    node.write(P, own(4..=4));
    assert_eq!(
        (first.shipped().await, second.shipped().await),
        (vec![], of_p(4..=4))
    );
    node.follow(P, 2);
    node.write(P, own(5..=5));
    assert_eq!((first.shipped().await, second.shipped().await), (vec![], vec![]));
}

#[tokio::test]
async fn nothing_is_shipped_while_nobody_leads_there_and_all_of_it_then() {
    let node = TestNode::start(1, &[("eu", 2)]).await;
    let mut link = Shipping::start(&node, "eu-1", vec![(P, vector(&[dot("us", 1)]))]).await;
    node.write(P, own(1..=3));
    assert_eq!(link.shipped().await, []);
    link.leads(&[(P, 1)]);
    link.tell(ShipperMessage::LeadersChanged);
    assert_eq!(link.shipped().await, of_p(2..=3));
}

#[tokio::test]
async fn the_only_node_of_a_region_is_shipped_everything_before_it_has_told_anything() {
    let node = TestNode::start(1, &[("eu", 1)]).await;
    let mut link = Shipping::start(&node, "eu-1", Vec::new()).await;
    node.write(P, own(1..=2));
    assert_eq!(link.shipped().await, of_p(1..=2));
    assert_eq!(
        link.heartbeat().await,
        Some((Some(Leads::All), Hlc::ZERO, vec![]))
    );
}

#[tokio::test]
async fn a_peer_that_has_got_elsewhere_what_the_log_lacks_needs_no_resync_any_more() {
    let node = TestNode::start(1, &[("eu", 1)]).await;
    node.write(P, own(1..=2));
    node.cut_log(P, LogIndex(3), vector(&[dot("us", 2)]));
    let mut link = Shipping::start(&node, "eu-1", Vec::new()).await;
    assert_eq!(link.shipped().await, []);
    assert!(link.region.needs_resync());
    link.tell(ShipperMessage::PeerAdvanced(vec![(P, vector(&[dot("us", 2)]))]));
    assert_eq!(link.shipped().await, []);
    assert!(!link.region.needs_resync());
}

#[tokio::test]
async fn a_node_that_refuses_what_it_does_not_lead_is_sent_it_when_it_tells_again() {
    let node = TestNode::start(1, &[("eu", 2)]).await;
    let mut link = Shipping::start(&node, "eu-1", Vec::new()).await;
    link.leads(&[(P, 1)]);
    link.tell(ShipperMessage::LeadersChanged);
    node.write(P, own(1..=1));
    assert_eq!(link.shipped().await, of_p(1..=1));
    let refusal = || Message::Rewind {
        partition: P,
        vector: vector(&[]),
        reason: RewindReason::NotLeader,
        detail: String::new(),
    };
    link.answer(refusal()).await;
    node.write(P, own(2..=2));
    assert_eq!(link.shipped().await, []);
    // Its heartbeat was on the way when it refused, or it leads again.
    link.tell(ShipperMessage::PeerAdvanced(Vec::new()));
    assert_eq!(link.shipped().await, of_p(1..=2));
    link.answer(refusal()).await;
    assert_eq!(link.shipped().await, []);
    link.leads(&[]);
    link.tell(ShipperMessage::PeerAdvanced(Vec::new()));
    assert_eq!(link.shipped().await, []);
}

#[tokio::test]
async fn heartbeats_tell_what_is_led_when_it_is_new_and_promise_what_the_others_have_stored() {
    let node = TestNode::start(3, &[("eu", 1)]).await;
    let mut link = Shipping::start(&node, "eu-1", Vec::new()).await;
    let nothing = Some(Leads::nothing());
    assert_eq!(link.heartbeat().await, Some((nothing, Hlc::ZERO, vec![])));
    node.context.partitions.note_own_stamp(Hlc(9));
    node.lead(P, 1, 5);
    node.lead(Q, 2, 3);
    link.tell(ShipperMessage::Heartbeat);
    let led = Some(leads(&[(P, 1), (Q, 2)]));
    assert_eq!(link.heartbeat().await, Some((led, Hlc(5), vec![Q])));
    node.lead(Q, 2, 12);
    link.tell(ShipperMessage::Heartbeat);
    assert_eq!(link.heartbeat().await, Some((None, Hlc(9), vec![P])));
    node.context.partitions.begin_preparing(Q);
    node.lead(P, 3, 12);
    link.tell(ShipperMessage::Heartbeat);
    let led = Some(leads(&[(P, 3), (Q, 2)]));
    assert_eq!(link.heartbeat().await, Some((led, Hlc(9), vec![Q])));
}

#[tokio::test]
async fn a_node_that_can_promise_nothing_new_does_not_try_all_the_time() {
    let node = TestNode::start(3, &[("eu", 1)]).await;
    let mut link = Shipping::start(&node, "eu-1", Vec::new()).await;
    assert!(link.heartbeat().await.is_some(), "the first");
    node.lead(P, 1, 5);
    node.context.partitions.note_own_stamp(Hlc(9));
    node.context.partitions.announce(P);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        link.heartbeat().await.map(|(_, through, _)| through),
        Some(Hlc(5))
    );
    assert_eq!(link.heartbeat().await, None);
}

#[tokio::test]
async fn a_welcome_shows_a_loss_only_to_the_only_node_of_its_region() {
    for (nodes, heard) in [(1, 1), (3, 0)] {
        let mut node = TestNode::start(nodes, &[("eu", 1)]).await;
        if nodes > 1 {
            node.lead(P, 1, 0);
        }
        let _link = Shipping::start(&node, "eu-1", vec![(P, vector(&[dot("us", 4)]))]).await;
        let messages = told(&mut node.partitions[0]).await;
        let caught = messages.iter();
        let caught = caught.filter(|message| matches!(message, PartitionMessage::CatchUp { .. }));
        assert_eq!(caught.count(), heard, "{nodes} nodes");
    }
}
