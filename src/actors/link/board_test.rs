//! What a link shows of itself when several things are true of it.

use async_trait::async_trait;

use super::*;
use crate::model::ids::PartitionCount;
use crate::ports::link::{LinkError, PeerIdentity, Stream};

/// A connection on which nothing happens.
struct Quiet(PeerIdentity);

#[async_trait]
impl Connection for Quiet {
    fn peer(&self) -> &PeerIdentity {
        &self.0
    }

    async fn open_stream(&self) -> Result<Stream, LinkError> {
        Err(LinkError::TimedOut)
    }

    async fn accept_stream(&self) -> Result<Stream, LinkError> {
        Err(LinkError::TimedOut)
    }

    fn round_trip(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn close(&self, _code: CloseCode, _reason: &str) {}

    async fn closed(&self) -> LinkError {
        LinkError::TimedOut
    }
}

fn connection() -> Arc<dyn Connection> {
    Arc::new(Quiet(PeerIdentity {
        cluster: "test".parse().unwrap(),
        region: "eu-west".parse().unwrap(),
        node: "eu-west-1".parse().unwrap(),
        certificate_expires: SystemTime::UNIX_EPOCH,
    }))
}

fn board() -> LinkBoard {
    let (peer, count) = ("eu-west".parse().unwrap(), PartitionCount::new(1).unwrap());
    LinkBoard::new(peer, count, false, 200, Tick::default())
}

#[test]
fn a_peer_lacks_what_the_log_has_forgotten_also_when_it_was_shipped() {
    let board = board();
    assert!(!board.needs_resync());
    board.set_log_lacks(true);
    // The shipper has sent it, and so lacks nothing; but it may never arrive.
    board.set_needs_resync(false);
    assert!(board.needs_resync());
    board.set_log_lacks(false);
    assert!(!board.needs_resync());
    board.set_needs_resync(true);
    assert!(board.needs_resync());
}

#[test]
fn a_quarantined_link_shows_why_also_when_a_connection_was_made_or_lost_since() {
    let board = board();
    let partitions = PartitionBoard::new(PartitionCount::new(1).unwrap());
    let shown = |millis| {
        let now = Tick::default().plus_millis(millis);
        let view = board.view("us-east".parse().unwrap(), &partitions, now, 1000);
        (view.link, view.last_error)
    };
    board.quarantine(Tick::default().plus_millis(100), "ahead".to_owned());
    board.set_outbound(Some(connection()));
    assert_eq!(shown(99), (LinkState::Quarantined, Some("ahead".to_owned())));
    board.set_outbound(None);
    board.note_error("closed".to_owned(), false);
    assert_eq!(shown(99), (LinkState::Quarantined, Some("ahead".to_owned())));
    assert_eq!(shown(100), (LinkState::Down, Some("closed".to_owned())));
    board.set_outbound(Some(connection()));
    assert_eq!(shown(100), (LinkState::Down, None));
}
