//! What a node makes of the heartbeats of nodes that lead a part of their region each, and of what it leads itself.

use super::*;
use crate::actors::link::kit_test::{P, Q, TestNode, dot, leads, told, vector};
use crate::actors::link::shipper::ShipperMessage;
use crate::model::ids::RegionId;

fn eu() -> RegionId {
    "eu".parse().unwrap()
}

fn promise(through: u64, leads: Option<Leads>) -> Promise {
    Promise {
        through: Hlc(through),
        busy: BTreeSet::new(),
        own: Ping { life: 1, tick: 1 },
        // The node under test is at its seventh life.
        heard: Some(Ping {
            life: 7,
            tick: through,
        }),
        leads,
    }
}

/// A node says what it has of both partitions, and what it promises and leads.
fn hear(
    node: &TestNode,
    from: &str,
    of_told: &mut Told,
    has: &[Dot],
    mut promise: Promise,
) -> Result<(), DecodeError> {
    let vectors = vec![(P, vector(has)), (Q, vector(has))];
    node.inbound
        .heard(&node.peer(from), vectors, &mut promise, of_told)
}

fn through(node: &TestNode, partition: PartitionId) -> (Hlc, Option<Tick>) {
    node.context.partitions.read(partition, |view| {
        (view.coverage.through(eu()), view.coverage.as_of(eu()))
    })
}

/// What the partitions were told to fetch, and from whom.
async fn fetched(node: &mut TestNode, partition: PartitionId) -> Vec<(RegionId, VersionVector)> {
    let messages = told(&mut node.partitions[usize::from(partition.0)]).await;
    let wanted = messages.into_iter().filter_map(|message| match message {
        PartitionMessage::CatchUp { holder, vector } => Some((holder, vector)),
        _ => None,
    });
    wanted.collect()
}

#[tokio::test]
async fn a_promise_counts_for_what_its_node_leads() {
    let node = TestNode::start(1, &[("eu", 2)]).await;
    let mut told = Told::default();
    hear(
        &node,
        "eu-1",
        &mut told,
        &[],
        promise(100, Some(leads(&[(P, 3)]))),
    )
    .unwrap();
    assert_eq!(through(&node, P), (Hlc(100), Some(Tick::from_micros(100))));
    assert_eq!(
        through(&node, Q),
        (Hlc::ZERO, None),
        "neither the stamp nor the moment"
    );
    // What it leads holds until it tells otherwise.
    hear(&node, "eu-1", &mut told, &[], promise(150, None)).unwrap();
    assert_eq!(through(&node, P).0, Hlc(150));
    hear(
        &node,
        "eu-1",
        &mut told,
        &[],
        promise(200, Some(leads(&[(Q, 4)]))),
    )
    .unwrap();
    assert_eq!((through(&node, P).0, through(&node, Q).0), (Hlc(150), Hlc(200)));
}

#[tokio::test]
async fn the_only_node_of_a_region_promises_for_all_of_it() {
    let node = TestNode::start(1, &[("eu", 1)]).await;
    let mut told = Told::default();
    hear(&node, "eu-1", &mut told, &[], promise(100, Some(Leads::All))).unwrap();
    assert_eq!((through(&node, P).0, through(&node, Q).0), (Hlc(100), Hlc(100)));
}

#[tokio::test]
async fn a_promise_waits_for_what_its_own_node_had_then() {
    let node = TestNode::start(1, &[("eu", 2)]).await;
    let (mut first, mut second) = (Told::default(), Told::default());
    let led = || Some(leads(&[(P, 3)]));
    hear(&node, "eu-1", &mut first, &[dot("eu", 5)], promise(100, led())).unwrap();
    assert_eq!(through(&node, P).0, Hlc::ZERO);
    // An older leader, whose promise is true and whose vector is here.
    hear(&node, "eu-2", &mut second, &[], promise(50, led())).unwrap();
    assert_eq!(through(&node, P).0, Hlc(50));
    node.context.partitions.update(P, |view| {
        view.vector = vector(&[dot("eu", 5)]);
        view.coverage.advance(&vector(&[dot("eu", 5)]));
    });
    assert_eq!(through(&node, P).0, Hlc(100));
}

#[tokio::test]
async fn a_node_must_say_first_what_it_leads_and_only_of_what_there_is() {
    let node = TestNode::start(1, &[("eu", 2)]).await;
    let beyond = Some(leads(&[(PartitionId(2), 1)]));
    assert!(hear(&node, "eu-1", &mut Told::default(), &[], promise(1, beyond)).is_err());
    let mut told = Told::default();
    assert!(hear(&node, "eu-1", &mut told, &[], promise(1, None)).is_err());
    assert!(hear(&node, "eu-1", &mut told, &[], promise(1, Some(Leads::nothing()))).is_ok());
}

#[tokio::test]
async fn all_shippers_to_a_region_hear_that_leadership_has_moved_and_only_then() {
    let mut node = TestNode::start(1, &[("eu", 2), ("ap", 1)]).await;
    let names = ["eu-1", "eu-2", "ap-1"];
    let changed = async |node: &mut TestNode| {
        let mut heard = Vec::new();
        for name in names {
            let shipper = node.shippers.get_mut(&name.parse().unwrap()).unwrap();
            let messages = told(shipper).await;
            let moves = messages.iter();
            heard.push(
                moves
                    .filter(|message| matches!(message, ShipperMessage::LeadersChanged))
                    .count(),
            );
        }
        heard
    };
    let (mut eu, mut ap) = (Told::default(), Told::default());
    hear(&node, "eu-1", &mut eu, &[], promise(1, Some(leads(&[(P, 1)])))).unwrap();
    assert_eq!(changed(&mut node).await, [1, 1, 0]);
    hear(&node, "eu-1", &mut eu, &[], promise(2, None)).unwrap();
    hear(&node, "eu-1", &mut eu, &[], promise(2, Some(leads(&[(P, 1)])))).unwrap();
    assert_eq!(changed(&mut node).await, [0, 0, 0]);
    // The only node of its region was taken to lead everything.
    hear(&node, "ap-1", &mut ap, &[], promise(1, Some(Leads::All))).unwrap();
    assert_eq!(changed(&mut node).await, [0, 0, 0]);
}

#[tokio::test]
async fn only_a_leader_catches_up_with_what_is_missing() {
    let mut node = TestNode::start(3, &[("eu", 1), ("ap", 1)]).await;
    node.lead(P, 1, 0);
    node.follow(Q, 1);
    let mut told = Told::default();
    // The region ap was never heard.
    let has = [dot("ap", 4)];
    hear(&node, "eu-1", &mut told, &has, promise(1, Some(Leads::All))).unwrap();
    assert_eq!(fetched(&mut node, P).await, [(eu(), vector(&has))]);
    assert_eq!(fetched(&mut node, Q).await, []);
}

#[tokio::test]
async fn the_only_node_of_its_region_hears_at_once_that_it_has_lost_something() {
    let mut node = TestNode::start(1, &[("eu", 1)]).await;
    node.has(P, &[dot("us", 3)]);
    let has = [dot("us", 7)];
    hear(
        &node,
        "eu-1",
        &mut Told::default(),
        &has,
        promise(1, Some(Leads::All)),
    )
    .unwrap();
    assert_eq!(fetched(&mut node, P).await, [(eu(), vector(&has))]);
}

#[tokio::test]
async fn a_node_among_several_has_lost_something_only_if_it_leads_and_goes_on_leading() {
    let mut node = TestNode::start(3, &[("eu", 1)]).await;
    node.follow(P, 1);
    let mut told = Told::default();
    // What its region has made in an earlier life comes back from the others.
    let mut earlier = dot("us", 9);
    earlier.replica.incarnation = crate::model::ids::Incarnation(0);
    let has = [dot("us", 7), earlier];
    let mut hear_until = async |node: &mut TestNode, from_ms: u64, to_ms: u64| {
        let mut last = Vec::new();
        for ms in (from_ms..to_ms).step_by(200) {
            node.clock.set_ms(ms);
            hear(node, "eu-1", &mut told, &has, promise(1, Some(Leads::All))).unwrap();
            last = fetched(node, P).await;
        }
        last
    };
    assert_eq!(hear_until(&mut node, 0, 10_000).await, [], "it is behind");
    node.lead(P, 2, 0);
    let limit = limits::OWN_LOSS_AFTER_MS;
    let doubtful = [(eu(), vector(&[earlier]))];
    assert_eq!(hear_until(&mut node, 10_000, 10_000 + limit).await, doubtful);
    assert_eq!(
        hear_until(&mut node, 10_000 + limit, 10_200 + limit).await,
        [(eu(), vector(&has))]
    );
}
