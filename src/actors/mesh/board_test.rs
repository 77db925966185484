//! What counts as acknowledged and since when, and what silence looks like.

use std::time::Duration;

use super::*;
use crate::actors::mesh::kit_test::identity;
use crate::model::hlc::Hlc;
use crate::ports::link::{LinkError, PeerIdentity, Stream};

fn node() -> NodeId {
    "n2".parse().unwrap()
}

fn member() -> MemberId {
    identity("n2").member()
}

/// A connection that only remembers why it was closed.
struct Silent {
    peer: PeerIdentity,
    closed: Mutex<Option<String>>,
}

#[async_trait::async_trait]
impl Connection for Silent {
    fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    async fn open_stream(&self) -> Result<Stream, LinkError> {
        std::future::pending().await
    }

    async fn accept_stream(&self) -> Result<Stream, LinkError> {
        std::future::pending().await
    }

    fn round_trip(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn close(&self, _: CloseCode, reason: &str) {
        self.closed.lock().unwrap().get_or_insert(reason.to_owned());
    }

    async fn closed(&self) -> LinkError {
        std::future::pending().await
    }
}

fn silent() -> Arc<Silent> {
    let identity = identity("n2");
    Arc::new(Silent {
        peer: PeerIdentity {
            cluster: identity.cluster,
            region: identity.region,
            node: identity.node,
            certificate_expires: std::time::SystemTime::UNIX_EPOCH,
        },
        closed: Mutex::default(),
    })
}

/// How n2 introduces itself in one of its lives.
fn introduced(life: u64) -> MeshIntroduction {
    MeshIntroduction {
        introduction: identity("n2").introduction(),
        life,
    }
}

fn board() -> MeshBoard {
    let board = MeshBoard::new([node()]);
    board.dialled(&introduced(1), silent());
    board
}

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn sign(number: u64, leads: &[(u16, u64)]) -> Arc<SignOfLife> {
    let leads = leads
        .iter()
        .map(|(partition, term)| (PartitionId(*partition), Term(*term)));
    Arc::new(SignOfLife {
        number: SignNumber(number),
        clock: WallTime::from_millis(1000),
        through: Hlc::ZERO,
        leads: leads.collect(),
        suspects: std::collections::BTreeSet::new(),
    })
}

fn acknowledgement(number: u64) -> Acknowledgement {
    Acknowledgement {
        number: SignNumber(number),
        through: Hlc::ZERO,
        except: [PartitionId(5)].into(),
    }
}

/// When the newest acknowledged sign was sent.
fn acknowledged_at(board: &MeshBoard) -> Option<Tick> {
    board
        .acknowledged_by(&member())
        .map(|acknowledged| acknowledged.sent_at)
}

#[test]
fn an_acknowledgement_counts_from_when_its_sign_was_sent() {
    let board = board();
    for number in 1..=3 {
        assert_eq!(board.next_sign(&node()), SignNumber(number));
        board.sending(&node(), at(number * 100), sign(number, &[(3, 1), (5, 1)]));
    }
    assert_eq!(acknowledged_at(&board), None);
    board.acknowledge(&node(), &acknowledgement(2)).unwrap();
    assert_eq!(acknowledged_at(&board), Some(at(200)));
    // An older one says nothing new, and takes nothing back.
    board.acknowledge(&node(), &acknowledgement(1)).unwrap();
    assert_eq!(acknowledged_at(&board), Some(at(200)));
    board.acknowledge(&node(), &acknowledgement(3)).unwrap();
    assert_eq!(acknowledged_at(&board), Some(at(300)));
}

#[test]
fn a_promise_covers_what_the_sign_named_and_was_not_excepted() {
    let board = board();
    board.sending(&node(), at(1), sign(1, &[(3, 9), (5, 9)]));
    board.acknowledge(&node(), &acknowledgement(1)).unwrap();
    let acknowledged = board.acknowledged_by(&member()).unwrap();
    let covers = |partition, term| acknowledged.covers(PartitionId(partition), Term(term));
    assert!(covers(3, 9));
    assert!(!covers(3, 10), "another term");
    assert!(!covers(4, 9), "not named");
    assert!(!covers(5, 9), "excepted");
    let mut other_disk = member();
    other_disk.incarnation.0 += 1;
    assert!(board.acknowledged_by(&other_disk).is_none());
    let mut introduction = introduced(2);
    introduction.introduction.incarnation = other_disk.incarnation;
    board.dialled(&introduction, silent());
    assert!(
        board.acknowledged_by(&other_disk).is_none(),
        "it was the one before"
    );
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_refused() {
    let board = board();
    board.sending(&node(), at(1), sign(1, &[]));
    assert!(board.acknowledge(&node(), &acknowledgement(2)).is_err());
    assert!(board.acknowledge(&node(), &acknowledgement(0)).is_err());
    assert_eq!(acknowledged_at(&board), None);
    board.acknowledge(&node(), &acknowledgement(1)).unwrap();
    // A new connection counts from 1 again; what was acknowledged on the old one still holds.
    board.dialled(&introduced(1), silent());
    assert!(board.acknowledge(&node(), &acknowledgement(1)).is_err());
    assert_eq!(acknowledged_at(&board), Some(at(1)));
}

#[test]
fn only_so_many_signs_wait_for_their_acknowledgement() {
    let board = board();
    let count = limits::SIGNS_UNACKNOWLEDGED_MAX as u64 + 1;
    for number in 1..=count {
        board.sending(&node(), at(number), sign(number, &[]));
    }
    board.acknowledge(&node(), &acknowledgement(1)).unwrap();
    assert_eq!(acknowledged_at(&board), None, "it is too old to be of use");
    board.acknowledge(&node(), &acknowledgement(2)).unwrap();
    assert_eq!(acknowledged_at(&board), Some(at(2)));
}

#[test]
fn a_node_is_suspected_by_its_silence_and_no_longer_when_it_is_heard() {
    let board = board();
    let phi = |now: u64| board.view(&node(), at(now)).unwrap().phi;
    assert_eq!(phi(100_000), None, "never heard");
    for number in 1..=50 {
        board.heard(
            &node(),
            at(number * 100),
            WallTime::from_millis(900),
            sign(number, &[(1, 1)]),
        );
    }
    assert!(phi(5000).unwrap() < 0.5 && phi(6000).unwrap() > 8.0);
    board.forgive(1000, at(6000));
    assert!(phi(6000).unwrap() < 0.5, "this process did not run");
    board.heard(&node(), at(7000), WallTime::from_millis(900), sign(51, &[]));
    let view = board.view(&node(), at(7000)).unwrap();
    assert!(view.phi.unwrap() < 0.5);
    assert_eq!((view.heard_at, view.said), (Some(at(7000)), Some(sign(51, &[]))));
    assert_eq!(view.clock_ahead_ms, Some(100));
}

#[test]
fn every_change_is_told_and_unknown_nodes_are_none() {
    let board = board();
    let mut changes = board.subscribe();
    changes.mark_unchanged();
    board.not_dialled(&node(), "it is away");
    assert!(changes.has_changed().unwrap());
    let view = board.view(&node(), at(0)).unwrap();
    assert_eq!(
        (view.down.as_deref(), view.incarnation),
        (Some("it is away"), Some(Incarnation(7)))
    );
    assert_eq!(board.view(&"n9".parse().unwrap(), at(0)), None);
    assert_eq!(board.views(at(0)), [view]);
}

#[test]
fn a_connection_gives_way_to_a_newer_one_and_to_a_newer_life_of_the_other_node() {
    let board = MeshBoard::new([node()]);
    let [dialled, first, second, third] = [(); 4].map(|()| silent());
    let reason = |connection: &Silent| connection.closed.lock().unwrap().clone();
    let is_accepted = || board.view(&node(), at(0)).unwrap().is_accepted;
    board.dialled(&introduced(1), Arc::<Silent>::clone(&dialled));
    let first_number = board.accepted(&introduced(1), Arc::<Silent>::clone(&first));
    board.accepted(&introduced(1), Arc::<Silent>::clone(&second));
    assert_eq!(reason(&first).unwrap(), "a newer connection has taken its place");
    assert_eq!((reason(&dialled), reason(&second)), (None, None));
    board.not_accepted(&node(), first_number);
    assert!(is_accepted(), "the newer one is still there");
    let number = board.accepted(&introduced(2), Arc::<Silent>::clone(&third));
    assert_eq!(reason(&dialled).unwrap(), "the node was started again");
    board.not_accepted(&node(), number);
    assert!(!is_accepted() && reason(&third).is_none());
}
