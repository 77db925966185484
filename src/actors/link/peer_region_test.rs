//! What several nodes of a region are together, told by their links.

use async_trait::async_trait;

use super::*;
use crate::model::hlc::WallTime;
use crate::model::ids::{Incarnation, ReplicaId};
use crate::ports::link::{CloseCode, LinkError, PeerIdentity, Stream};

const P: PartitionId = PartitionId(0);
const SILENCE_MS: u64 = 1000;

/// A connection on which nothing happens.
struct Quiet {
    peer: PeerIdentity,
    round_trip_ms: u64,
    closed_with: Mutex<Vec<(CloseCode, String)>>,
}

#[async_trait]
impl Connection for Quiet {
    fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    async fn open_stream(&self) -> Result<Stream, LinkError> {
        Err(LinkError::TimedOut)
    }

    async fn accept_stream(&self) -> Result<Stream, LinkError> {
        Err(LinkError::TimedOut)
    }

    fn round_trip(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.round_trip_ms)
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let mut closed_with = self.closed_with.lock().unwrap();
        closed_with.push((code, reason.to_owned()));
    }

    async fn closed(&self) -> LinkError {
        LinkError::TimedOut
    }
}

/// `round_trip_ms` also says when the certificate expires, so that the two can be told apart.
fn connection(link: &LinkBoard, round_trip_ms: u64) -> Arc<Quiet> {
    let peer = link.peer();
    Arc::new(Quiet {
        peer: PeerIdentity {
            cluster: "test".parse().unwrap(),
            region: peer.region,
            node: peer.node,
            certificate_expires: expiry(round_trip_ms),
        },
        round_trip_ms,
        closed_with: Mutex::default(),
    })
}

fn expiry(number: u64) -> std::time::SystemTime {
    std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number)
}

fn make_up(link: &LinkBoard, round_trip_ms: u64) {
    link.set_outbound(Some(connection(link, round_trip_ms)));
    link.add_inbound(connection(link, round_trip_ms)).unwrap();
}

fn region(name: &str, nodes: &[&str]) -> Arc<PeerRegion> {
    let region: RegionId = name.parse().unwrap();
    let target = |node: &&str| DialTarget {
        region,
        node: node.parse().unwrap(),
        address: format!("{node}:1"),
    };
    let settings = LinkSettings {
        partitions: PartitionCount::new(1).unwrap(),
        heartbeat_ms: 200,
        is_paused: false,
    };
    let nodes = nodes.iter().map(target).collect();
    Arc::new(PeerRegion::new(region, nodes, settings, at(0)))
}

fn of_two() -> Arc<PeerRegion> {
    region("eu", &["eu-1", "eu-2"])
}

fn board() -> PartitionBoard {
    PartitionBoard::new(PartitionCount::new(1).unwrap())
}

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn dot(region: &str, seq: u64) -> Dot {
    let replica = ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation::FIRST,
    };
    Dot { replica, seq }
}

fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

fn view(region: &PeerRegion, now: Tick) -> PeerView {
    region.view("us".parse().unwrap(), &board(), now, SILENCE_MS)
}

fn look(region: &PeerRegion, now: Tick) -> PeerInput {
    region.look(&board(), now, SILENCE_MS, 3000)
}

fn hear(region: &PeerRegion, node: usize, now: Tick, told: &VersionVector) {
    let link = &region.links()[node];
    region.heard(link, now, SILENCE_MS, &board(), [(P, told)].into_iter());
}

#[test]
fn a_region_is_heard_while_one_of_its_nodes_is() {
    let (region, nothing) = (of_two(), VersionVector::new());
    assert!(!region.is_heard(at(0), SILENCE_MS));
    assert_eq!(look(&region, at(0)).phi, None);
    for second in 0..20 {
        hear(&region, 0, at(second * 200), &nothing);
    }
    let last = 19 * 200;
    assert!(region.is_heard(at(last), SILENCE_MS), "one was never heard");
    assert!(look(&region, at(last)).phi.unwrap() < 1.0);
    for second in 20..40 {
        hear(&region, 1, at(second * 200), &nothing);
    }
    let last = 39 * 200;
    assert!(!region.links()[0].is_heard(at(last), SILENCE_MS));
    assert!(region.is_heard(at(last), SILENCE_MS));
    assert!(
        look(&region, at(last)).phi.unwrap() < 1.0,
        "the other one's silence does not count"
    );
    assert!(!region.is_heard(at(last + SILENCE_MS + 1), SILENCE_MS));
    assert!(look(&region, at(last + 10_000)).phi.unwrap() > 8.0);
}

#[test]
fn this_region_is_behind_by_what_any_node_has_told() {
    let region = of_two();
    hear(&region, 0, at(100), &vector(&[dot("eu", 7)]));
    // A node that lags within its region knows of less: nothing is taken back.
    hear(&region, 1, at(200), &vector(&[dot("eu", 3)]));
    let input = look(&region, at(200));
    assert_eq!((input.behind_changes, input.has_caught_up), (7, false));
    assert_eq!(input.lag_ms, 200);
}

#[test]
fn a_region_that_one_node_tells_of_is_caught_up_with_though_another_is_silent() {
    let (region, nothing) = (of_two(), VersionVector::new());
    hear(&region, 0, at(100), &nothing);
    hear(&region, 1, at(100), &nothing);
    hear(&region, 1, at(9000), &nothing);
    let input = look(&region, at(9000));
    assert_eq!((input.lag_ms, input.has_caught_up), (0, true));
}

#[test]
fn watermarks_are_what_any_node_has_applied() {
    let region = of_two();
    assert!(region.watermark(P).is_empty());
    region.links()[0].set_watermark(P, &vector(&[dot("us", 5), dot("ap", 1)]));
    region.links()[1].set_watermark(P, &vector(&[dot("us", 3), dot("ap", 2)]));
    assert_eq!(region.watermark(P), vector(&[dot("us", 5), dot("ap", 2)]));
    // The node begins anew with less; the region has what it had.
    region.links()[0].set_watermark(P, &VersionVector::new());
    assert_eq!(region.watermark(P), vector(&[dot("us", 3), dot("ap", 2)]));
    let partitions = board();
    partitions.update(P, |view| view.vector = vector(&[dot("us", 9), dot("ap", 9)]));
    let shown = region.view("us".parse().unwrap(), &partitions, at(0), SILENCE_MS);
    assert_eq!(shown.backlog_changes, 6, "of this region's own changes");
}

#[test]
fn majorities_are_of_regions_and_not_of_nodes() {
    let peers = [of_two(), region("ap", &["ap-1", "ap-2", "ap-3"])];
    assert_eq!(majority(&peers), 2);
    assert_eq!(majority(&peers[..1]), 2);
    assert_eq!(majority(&[]), 1);
    assert_eq!(nodes(&peers).count(), 5);
    let own = dot("us", 4);
    assert_eq!(count_with(&peers, P, &own), 0);
    for link in peers[0].links() {
        link.set_watermark(P, &vector(&[own]));
    }
    assert_eq!(
        count_with(&peers, P, &own),
        1,
        "two nodes hold the copy of one region"
    );
    peers[1].links()[2].set_watermark(P, &vector(&[dot("us", 3)]));
    assert_eq!(count_with(&peers, P, &own), 1);
    peers[1].links()[2].set_watermark(P, &vector(&[own]));
    assert_eq!(count_with(&peers, P, &own), 2);
}

#[test]
fn a_pause_is_of_all_links_and_closes_what_the_nodes_have_dialled() {
    let region = of_two();
    let dialled: Vec<Arc<Quiet>> = region
        .links()
        .iter()
        .map(|link| {
            let connection = connection(link, 1);
            link.add_inbound(Arc::<Quiet>::clone(&connection)).unwrap();
            connection
        })
        .collect();
    region.set_paused(true, "us".parse().unwrap());
    for (link, connection) in region.links().iter().zip(&dialled) {
        assert!(link.is_paused());
        assert_eq!(link.add_inbound(Arc::<Quiet>::clone(connection)), None);
        let closed_with = connection.closed_with.lock().unwrap().clone();
        assert_eq!(
            closed_with,
            [(CloseCode::Paused, "the link is paused by us".to_owned())]
        );
    }
    assert_eq!(view(&region, at(0)).link, LinkState::Paused);
    region.set_paused(false, "us".parse().unwrap());
    assert!(!region.is_paused() && !region.links()[1].is_paused());
    assert_eq!(view(&region, at(0)).link, LinkState::Down);
}

#[test]
fn one_link_that_is_up_makes_the_region_up_and_one_that_is_worse_is_shown() {
    let region = of_two();
    let shown = |now| view(&region, at(now)).link;
    assert_eq!(shown(0), LinkState::Down);
    let second = &region.links()[1];
    second.set_outbound(Some(connection(second, 1)));
    assert_eq!(shown(0), LinkState::Down, "in one direction only");
    make_up(second, 1);
    assert_eq!(shown(0), LinkState::Up);
    region.links()[0].set_needs_resync(true);
    assert_eq!(shown(0), LinkState::Resync);
    region.links()[0].quarantine(at(100), "ahead".to_owned());
    assert_eq!(
        (shown(99), shown(100)),
        (LinkState::Quarantined, LinkState::Resync)
    );
    region.links()[0].set_needs_resync(false);
    region.links()[0].note_error("paused there".to_owned(), true);
    assert!(region.is_paused_at_either_end() && look(&region, at(100)).is_paused);
    assert_eq!(shown(100), LinkState::Paused);
    region.links()[0].note_error("gone".to_owned(), false);
    assert_eq!(shown(100), LinkState::Up);
}

#[test]
fn a_quarantine_of_one_link_is_the_regions_and_the_last_cause_counts() {
    let region = of_two();
    region.links()[0].quarantine(at(3000), "ahead".to_owned());
    region.links()[1].quarantine(at(4000), "ahead".to_owned());
    assert_eq!(look(&region, at(1500)).quarantined_for_ms, Some(500));
    assert!(region.is_quarantined(at(3500)));
    assert_eq!(look(&region, at(4000)).quarantined_for_ms, None);
}

#[test]
fn a_region_needs_a_resync_also_when_what_it_lacks_was_shipped() {
    let region = of_two();
    assert!(!region.needs_resync());
    region.set_log_lacks(true);
    // The shippers have sent it, and so lack nothing; but it may never arrive.
    region.links()[0].set_needs_resync(false);
    assert!(region.needs_resync() && look(&region, at(0)).needs_resync);
    region.set_log_lacks(false);
    assert!(!region.needs_resync());
    region.links()[1].set_needs_resync(true);
    assert!(region.needs_resync());
}

#[test]
fn the_nearest_node_and_the_first_certificate_to_expire_are_shown() {
    let region = of_two();
    assert_eq!(view(&region, at(0)).rtt_ms, None);
    make_up(&region.links()[0], 40);
    make_up(&region.links()[1], 30);
    let shown = view(&region, at(0));
    assert_eq!(shown.rtt_ms, Some(30.0));
    assert_eq!(shown.certificate_expires, Some(expiry(30)));
}

#[test]
fn requests_go_to_a_node_that_is_heard_on_a_link_that_is_up() {
    let region = of_two();
    let answers = |now| {
        let connection = region.connection(at(now), SILENCE_MS);
        connection.map(|connection| connection.peer().node.to_string())
    };
    assert_eq!(answers(0), None);
    let [first, second] = region.links() else {
        panic!("two links")
    };
    second.set_outbound(Some(connection(second, 1)));
    assert_eq!(answers(0).as_deref(), Some("eu-2"), "better than none");
    make_up(first, 1);
    assert_eq!(answers(0).as_deref(), Some("eu-1"), "up in both directions");
    make_up(second, 1);
    assert_eq!(answers(0).as_deref(), Some("eu-1"), "of equals the first");
    hear(&region, 1, at(100), &VersionVector::new());
    assert_eq!(answers(100).as_deref(), Some("eu-2"), "the other one is silent");
    second.set_outbound(None);
    assert_eq!(answers(100).as_deref(), Some("eu-1"));
}

#[test]
fn errors_have_the_names_of_their_nodes_unless_all_say_the_same() {
    let region = of_two();
    let shown = || view(&region, at(0)).last_error;
    assert_eq!(shown(), None);
    region.links()[1].note_error("gone".to_owned(), false);
    assert_eq!(shown().as_deref(), Some("eu-2: gone"));
    region.links()[0].note_error("refused".to_owned(), false);
    assert_eq!(shown().as_deref(), Some("eu-1: refused; eu-2: gone"));
    region.note_error("a stranger");
    assert_eq!(shown().as_deref(), Some("a stranger"));
}

#[test]
fn a_region_has_one_voice_about_the_time_and_silent_nodes_none() {
    let region = region("eu", &["eu-1", "eu-2", "eu-3"]);
    let ahead = |now| region.clock_ahead_ms(at(now), SILENCE_MS);
    for (link, ahead_ms) in region.links().iter().zip([900, 20, 10]) {
        let now = 1_000_000;
        let (theirs, ours) = (now + ahead_ms, now);
        link.heard_time(
            WallTime::from_micros(theirs * 1000),
            WallTime::from_micros(ours * 1000),
        );
    }
    assert_eq!(ahead(0), None);
    for node in 0..3 {
        hear(&region, node, at(100), &VersionVector::new());
    }
    assert_eq!(ahead(100), Some(20));
    hear(&region, 0, at(5000), &VersionVector::new());
    assert_eq!(ahead(5000), Some(900));
}

#[test]
fn a_pause_of_this_process_is_no_silence_of_any_node() {
    let region = of_two();
    hear(&region, 0, at(0), &VersionVector::new());
    hear(&region, 1, at(0), &VersionVector::new());
    region.forgive(10_000, at(10_000));
    for link in region.links() {
        assert!(link.view(at(10_000)).phi.unwrap() < 1.0);
    }
}
