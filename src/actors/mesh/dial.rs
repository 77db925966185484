//! The connection to one other node of the region: dialled, kept, and dialled again when it is gone.

use std::sync::Arc;

use tokio::time::sleep;

use crate::actors::error_chain;
use crate::actors::mesh::MeshParts;
use crate::actors::mesh::backoff;
use crate::actors::mesh::error::ConnectionError;
use crate::actors::mesh::handshake;
use crate::actors::mesh::lane::Lane;
use crate::actors::mesh::session::Session;
use crate::ports::link::{CloseCode, Connection, DialTarget, LinkError, Stream};
use crate::wire::mesh::MeshIntroduction;

/// A connection that has lasted so long clears the record of failures.
const STEADY_MS: u64 = 10_000;

/// Dials one node.
pub(super) struct Dialler {
    parts: Arc<MeshParts>,
    target: DialTarget,
    lane: Arc<Lane>,
    /// Failures in a row.
    failures: u32,
    /// Why the last attempt to dial failed, as it was logged: the same is not said again and again.
    logged_failure: Option<String>,
}

/// A connection after the handshake.
struct Dialled {
    connection: Arc<dyn Connection>,
    control: Stream,
    requests: Stream,
    theirs: MeshIntroduction,
}

/// Takes a connection off the board and ends its calls, however its session ends; also when the task is aborted.
struct Taken<'a> {
    dialler: &'a Dialler,
    connection: Arc<dyn Connection>,
    code: CloseCode,
    reason: String,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.connection.close(self.code, &self.reason);
        self.dialler.down(&self.reason);
    }
}

impl Dialler {
    pub(super) fn new(parts: Arc<MeshParts>, target: DialTarget, lane: Arc<Lane>) -> Self {
        Self {
            parts,
            target,
            lane,
            failures: 0,
            logged_failure: None,
        }
    }

    /// Dials and keeps the connection until it is aborted.
    pub(super) async fn run(mut self) {
        loop {
            match self.dial().await {
                Ok(dialled) => self.keep(dialled).await,
                Err(error) => self.note_failure(&error),
            }
            let pause = backoff::pause(self.failures, self.parts.entropy.next_u64());
            self.failures = self.failures.saturating_add(1);
            sleep(pause).await;
        }
    }

    fn note_failure(&mut self, error: &ConnectionError) {
        let text = error_chain(error);
        self.down(&text);
        // By its words, not by its number: a node that was merely away at first may then say why it refuses.
        if self.logged_failure.as_ref() != Some(&text) {
            tracing::warn!(own = %self.parts.identity.node, node = %self.target.node, error = %text, "no connection to a node of this region; trying again");
            self.logged_failure = Some(text);
        }
    }

    fn down(&self, why: &str) {
        self.parts.board.not_dialled(&self.target.node, why);
        self.lane.close(why);
    }

    async fn dial(&self) -> Result<Dialled, ConnectionError> {
        let connection = self.parts.network.dial(&self.target).await?;
        match self.prepare(&connection).await {
            Ok(dialled) => Ok(dialled),
            Err(error) => {
                let error = error.with_last_words(connection.as_ref()).await;
                connection.close(error.close_code(), &error_chain(&error));
                Err(error)
            }
        }
    }

    async fn prepare(&self, connection: &Arc<dyn Connection>) -> Result<Dialled, ConnectionError> {
        let (control, theirs) = handshake::introduce(&self.parts, connection.as_ref()).await?;
        let requests = connection.open_stream().await?;
        Ok(Dialled {
            connection: Arc::clone(connection),
            control,
            requests,
            theirs,
        })
    }

    async fn keep(&mut self, dialled: Dialled) {
        let (own, node) = (self.parts.identity.node, self.target.node);
        tracing::info!(%own, %node, "connected to a node of this region");
        self.logged_failure = None;
        let since = self.parts.clock.tick();
        let mut taken = Taken {
            dialler: self,
            connection: Arc::clone(&dialled.connection),
            code: CloseCode::Done,
            reason: "the node stops".to_owned(),
        };
        let board = &self.parts.board;
        board.dialled(&dialled.theirs, Arc::clone(&dialled.connection));
        self.lane.open();
        let session = Session {
            parts: &self.parts,
            node,
            lane: &self.lane,
            connection: dialled.connection,
        };
        let error = session.run(dialled.control, dialled.requests).await;
        let error = error.with_last_words(taken.connection.as_ref()).await;
        (taken.code, taken.reason) = (error.close_code(), error_chain(&error));
        if !matches!(error, ConnectionError::Link(LinkError::ClosedLocally { .. })) {
            tracing::warn!(%own, %node, error = %taken.reason, "the connection to a node of this region is gone");
        }
        drop(taken);
        // One that breaks at once, time and again, is not dialled as if it had never failed.
        if self.parts.clock.tick().millis_since(since) >= STEADY_MS {
            self.failures = 0;
        }
    }
}
