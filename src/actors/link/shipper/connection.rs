//! The connection that a shipper dials: making it, losing it, pausing it.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use crate::actors::error_chain;
use crate::actors::link::dial::{DialError, Dialled, dial};
use crate::actors::link::shipper::actor::{Session, Shipper};
use crate::actors::link::shipper::streams::Streams;
use crate::actors::link::shipper::{RETRY, ShipperMessage};
use crate::actors::partition::PartitionMessage;
use crate::model::vector::VersionVector;
use crate::ports::link::{CloseCode, LinkError};
use crate::wire::messages::PartitionVector;

/// First and longest pause between attempts to dial.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A connection that has lasted so long clears the record of failures.
const STEADY_MS: u64 = 10_000;

impl Shipper {
    pub(super) fn dial(&mut self, myself: &ActorRef<ShipperMessage>) {
        if self.session.is_some() || self.is_dialling || self.is_stopping || self.board.is_paused() {
            return;
        }
        self.is_dialling = true;
        self.session_number += 1;
        let (me, number) = (myself.clone(), self.session_number);
        let (context, network, board) = (
            Arc::clone(&self.context),
            Arc::clone(&self.network),
            Arc::clone(&self.board),
        );
        tokio::spawn(async move {
            let result = dial(&context, network.as_ref(), board.target()).await;
            if let Err(failed) = me.cast(ShipperMessage::Dialled(number, result)) {
                drop(failed); // The shipper has stopped; dropping the message closes the connection.
            }
        });
    }

    pub(super) fn handle_dialled(
        &mut self,
        myself: &ActorRef<ShipperMessage>,
        number: u64,
        result: Result<Dialled, DialError>,
    ) {
        if number != self.session_number {
            if let Ok(dialled) = result {
                dialled
                    .connection
                    .close(CloseCode::Done, "another attempt has taken its place");
            }
            return;
        }
        self.is_dialling = false;
        match result {
            Ok(dialled) if self.board.is_paused() || self.is_stopping => {
                dialled.connection.close(CloseCode::Paused, &self.paused_text());
            }
            Ok(dialled) => self.connect(myself, number, dialled),
            Err(error) => {
                let text = error_chain(&error);
                // By its words, not by its number: a peer that was merely away at first may then say why it refuses.
                if self.logged_failure.as_ref() != Some(&text) {
                    self.logged_failure = Some(text.clone());
                    tracing::warn!(own = %self.context.identity.region, peer = %self.peer.region(), node = %self.board.peer().node, error = %text, "no link to peer; trying again");
                }
                self.board.note_error(text, error.is_paused_by_peer());
                let pause = if error.is_paused_by_peer() {
                    RETRY
                } else {
                    self.backoff()
                };
                self.failures = self.failures.saturating_add(1);
                drop(myself.send_after(pause, || ShipperMessage::Dial));
            }
        }
    }

    /// Exponential with jitter: half of it is random, so that peers do not knock in step.
    fn backoff(&self) -> Duration {
        let longest = BACKOFF_MIN
            .saturating_mul(1_u32 << self.failures.min(10))
            .min(BACKOFF_MAX);
        let half = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX) / 2;
        Duration::from_millis(half + self.context.entropy.next_u64() % (half + 1))
    }

    fn connect(&mut self, myself: &ActorRef<ShipperMessage>, number: u64, dialled: Dialled) {
        let Dialled {
            connection,
            control,
            lanes,
            vectors,
        } = dialled;
        tracing::info!(own = %self.context.identity.region, peer = %self.peer.region(), node = %self.board.peer().node, "link to peer is up");
        self.logged_failure = None;
        let streams = Streams {
            me: myself.clone(),
            number,
        };
        let control_sender = streams.run(control);
        let lanes = lanes.into_iter().map(|lane| streams.run(lane)).collect();
        let (me, watched) = (myself.clone(), Arc::clone(&connection));
        tokio::spawn(async move {
            let error = watched.closed().await;
            let _ = me.cast(ShipperMessage::Closed(number, error));
        });
        let told = vec![VersionVector::new(); usize::from(self.context.identity.partitions.get())];
        self.board.set_outbound(Some(Arc::clone(&connection)));
        self.session = Some(Session {
            connection,
            control: control_sender,
            lanes,
            told,
            told_leads: None,
            since: self.context.clock.tick(),
        });
        self.check_own(&vectors);
        let count = self.context.identity.partitions.get();
        // What the peer has is known before its first heartbeat, so that a node that has just started knows what it lacks.
        self.peer.heard(
            &self.board,
            self.context.clock.tick(),
            self.context.silence_ms(),
            &self.context.partitions,
            vectors
                .iter()
                .filter(|(partition, _)| partition.0 < count)
                .map(|(partition, vector)| (*partition, vector)),
        );
        self.outbox.restart(vectors);
        for partition in self.context.identity.partitions.ids() {
            self.board
                .set_watermark(partition, self.outbox.watermark(partition));
        }
        self.heartbeat();
        self.route(myself);
        self.pump(myself);
    }

    /// What the peer has of this region's own changes and this node has not was lost here: the partition must know
    /// before it gives the same seqs out again. A node among several is more likely to be behind; what it hears by heartbeat
    /// tells.
    fn check_own(&self, vectors: &[PartitionVector]) {
        if !self.context.groups.is_alone() {
            return;
        }
        let own = self.context.identity.region;
        for (partition, vector) in vectors {
            let Some(handle) = self.partitions.get(usize::from(partition.0)) else {
                continue;
            };
            let applied = self
                .context
                .partitions
                .read(*partition, |view| view.vector.clone());
            let lacking: VersionVector = vector
                .iter()
                .filter(|dot| dot.replica.region == own && !applied.covers(dot))
                .collect();
            if !lacking.is_empty() {
                handle.send(PartitionMessage::CatchUp {
                    holder: self.peer.region(),
                    vector: lacking,
                });
            }
        }
    }

    pub(super) fn handle_closed(&mut self, myself: &ActorRef<ShipperMessage>, error: &LinkError) {
        let Some(session) = self.session.take() else {
            return;
        };
        // A link that breaks at once, time and again, is not dialled as if it had never failed.
        self.failures = match self.context.clock.tick().millis_since(session.since) {
            0..STEADY_MS => self.failures.saturating_add(1),
            _ => 0,
        };
        self.board.set_outbound(None);
        let is_paused = matches!(
            error,
            LinkError::ClosedByPeer {
                code: CloseCode::Paused,
                ..
            }
        );
        if !matches!(error, LinkError::ClosedLocally { .. }) {
            tracing::warn!(own = %self.context.identity.region, peer = %self.peer.region(), node = %self.board.peer().node, %error, "link to peer is down");
            self.board.note_error(error.to_string(), is_paused);
        }
        let pause = if is_paused { RETRY } else { self.backoff() };
        drop(myself.send_after(pause, || ShipperMessage::Dial));
    }

    pub(super) fn handle_pause_changed(&mut self, myself: &ActorRef<ShipperMessage>) {
        if self.board.is_paused() {
            let text = self.paused_text();
            self.disconnect(CloseCode::Paused, &text);
        } else {
            self.failures = 0;
            self.dial(myself);
        }
    }

    fn paused_text(&self) -> String {
        format!("the link is paused by {}", self.context.identity.region)
    }

    pub(super) fn disconnect(&mut self, code: CloseCode, reason: &str) {
        if let Some(session) = self.session.take() {
            session.connection.close(code, reason);
        }
        self.board.set_outbound(None);
        // What the old connection still says is not for the next one.
        self.session_number += 1;
        self.is_dialling = false;
    }
}
