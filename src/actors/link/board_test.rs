//! What a link shows of itself when several things are true of it.

use async_trait::async_trait;

use super::*;
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

    fn round_trip(&self) -> Duration {
        Duration::ZERO
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

#[test]
fn a_quarantined_link_shows_why_also_when_a_connection_was_made_or_lost_since() {
    let target = DialTarget {
        region: "eu-west".parse().unwrap(),
        node: "eu-west-1".parse().unwrap(),
        address: "localhost:1".to_owned(),
    };
    let board = LinkBoard::new(
        target,
        PartitionCount::new(1).unwrap(),
        Arc::default(),
        200,
        Leads::nothing(),
    );
    let shown = |millis| {
        let view = board.view(Tick::from_millis(millis));
        (view.quarantined_until.is_some(), view.last_error)
    };
    let (ahead, closed) = (Some("ahead".to_owned()), Some("closed".to_owned()));
    board.quarantine(Tick::from_millis(100), "ahead".to_owned());
    board.set_outbound(Some(connection()));
    assert_eq!(shown(99), (true, ahead.clone()));
    board.set_outbound(None);
    board.note_error("closed".to_owned(), false);
    assert_eq!(shown(99), (true, ahead));
    assert_eq!(shown(100), (false, closed));
    board.set_outbound(Some(connection()));
    assert_eq!(shown(100), (false, None));
}
