//! The accepting side: takes incoming handshakes side by side, within a bound, and hands over those that succeed.
//!
//! In TLS 1.3 the dialling side is done before the accepting side has seen its certificate. So that a dial which
//! succeeds means a link that stands, the accepting side confirms: it opens one stream in one direction and finishes
//! it, empty, once the peer's certificate was verified and the connection has its place in the queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Endpoint, Incoming, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::model::ids::ClusterName;
use crate::model::limits;
use crate::ports::link::{CloseCode, LinkError};

use super::connection::QuicConnection;
use super::reasons::{cut, link_error};
use super::refusals::Refusals;

/// What the handshakes of one endpoint share.
#[derive(Clone)]
pub(super) struct Acceptor {
    /// The cluster that a peer's certificate must name.
    pub(super) cluster: ClusterName,
    /// How long a handshake may take.
    pub(super) timeout: Duration,
    /// Where accepted connections go.
    pub(super) accepted: mpsc::Sender<Arc<QuicConnection>>,
    /// Where failed ones are noted.
    pub(super) refusals: Arc<Refusals>,
}

impl Acceptor {
    /// Accepts until `stopped`.
    pub(super) async fn run(self, endpoint: Endpoint, stopped: CancellationToken) {
        let handshakes = Arc::new(Semaphore::new(limits::HANDSHAKES_MAX));
        loop {
            let incoming = tokio::select! {
                () = stopped.cancelled() => return,
                incoming = endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { return };
            self.admit(incoming, &handshakes);
        }
    }

    /// Starts a handshake of its own task, so that a slow one holds up nobody.
    fn admit(&self, incoming: Incoming, handshakes: &Arc<Semaphore>) {
        let Ok(permit) = Arc::clone(handshakes).try_acquire_owned() else {
            self.refusals.record(
                incoming.remote_address(),
                "too many handshakes at a time: the peer may come again",
            );
            incoming.refuse();
            return;
        };
        // Under pressure, addresses that may be forged get no place before they have proved themselves.
        let is_crowded = handshakes.available_permits() < limits::HANDSHAKES_MAX / 2;
        if is_crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            // It fails only where a retry is not possible, which was just ruled out.
            let _ = incoming.retry();
            return;
        }
        tokio::spawn(self.clone().handshake(incoming, permit));
    }

    async fn handshake(self, incoming: Incoming, _permit: OwnedSemaphorePermit) {
        let address = incoming.remote_address();
        let outcome = tokio::time::timeout(self.timeout, self.complete(incoming)).await;
        match outcome {
            Ok(Ok(()) | Err(LinkError::ClosedLocally { .. })) => {}
            Ok(Err(error)) => self.refuse(address, &error),
            Err(_) => {
                self.refusals.record(
                    address,
                    &format!("the handshake was not complete after {:?}", self.timeout),
                );
            }
        }
    }

    fn refuse(&self, address: SocketAddr, error: &LinkError) {
        match error {
            // The prefix of the error says nothing that the log line does not.
            LinkError::Handshake(reason) => self.refusals.record(address, reason),
            other => self.refusals.record(address, &other.to_string()),
        }
    }

    async fn complete(&self, incoming: Incoming) -> Result<(), LinkError> {
        let connecting = incoming.accept().map_err(|error| link_error(&error, None))?;
        let connection = connecting.await.map_err(|error| link_error(&error, None))?;
        let connection = QuicConnection::new(connection).map_err(|(connection, reason)| {
            connection.close(
                VarInt::from_u32(CloseCode::Refused.number()),
                cut(&reason).as_bytes(),
            );
            LinkError::Handshake(reason)
        })?;
        confirm_cluster(&connection, self.cluster)?;
        let Ok(place) = self.accepted.reserve().await else {
            return Err(LinkError::ClosedLocally {
                reason: "the node shuts down".to_owned(),
            });
        };
        let mut confirmation = connection
            .quic()
            .open_uni()
            .await
            .map_err(|error| link_error(&error, None))?;
        confirmation
            .finish()
            .map_err(|error| LinkError::Failed(error.to_string()))?;
        place.send(Arc::new(connection));
        Ok(())
    }
}

/// Refuses a peer of another cluster. Its certificate is of our authority, so somebody uses one for two clusters.
pub(super) fn confirm_cluster(connection: &QuicConnection, cluster: ClusterName) -> Result<(), LinkError> {
    use crate::ports::link::Connection;
    let found = connection.peer().cluster;
    if found == cluster {
        return Ok(());
    }
    let reason = format!("the peer's certificate is of cluster {found}, this node is of cluster {cluster}");
    connection.close(CloseCode::Refused, &reason);
    Err(LinkError::Handshake(reason))
}
