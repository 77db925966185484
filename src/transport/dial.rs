//! The dialling side: resolves, connects, and makes sure that it is the node that was meant.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, ConnectError, Endpoint, VarInt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::model::ids::ClusterName;
use crate::model::limits;
use crate::ports::link::{CloseCode, Connection, DialTarget, LinkError};

use super::accept::confirm_cluster;
use super::certificates::NodeName;
use super::connection::QuicConnection;
use super::reasons::link_error;

/// What all dials of one endpoint share.
pub(super) struct Dialer {
    /// Where to send from.
    pub(super) endpoint: Endpoint,
    /// With what certificate and parameters.
    pub(super) client: ClientConfig,
    /// The cluster that a peer's certificate must name.
    pub(super) cluster: ClusterName,
    /// How long all of it may take.
    pub(super) timeout: Duration,
}

impl Dialer {
    /// Connects to the target; its addresses are tried in order.
    pub(super) async fn dial(&self, target: &DialTarget) -> Result<Arc<QuicConnection>, LinkError> {
        let deadline = Instant::now() + self.timeout;
        let addresses = timeout_at(deadline, self.resolve(target))
            .await
            .map_err(|_| unreachable(target, "its name was not resolved in time"))??;
        let mut failure = unreachable(
            target,
            "the name has no address that this node's socket can reach",
        );
        for (index, address) in addresses.iter().enumerate() {
            // What is left is shared by the addresses that are left, so that a dead one does not use it all.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let error = match timeout(share, self.connect(target, *address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => unreachable(target, &self.silence(*address)),
            };
            // An answer, even a bad one, says more than silence.
            if matches!(failure, LinkError::Unreachable { .. }) {
                failure = error;
            }
        }
        Err(failure)
    }

    /// Names are resolved at each dial: in containers and clouds they move.
    async fn resolve(&self, target: &DialTarget) -> Result<Vec<SocketAddr>, LinkError> {
        let has_ipv6 = self.endpoint.local_addr().is_ok_and(|local| local.is_ipv6());
        let found = tokio::net::lookup_host(target.address.as_str())
            .await
            .map_err(|error| unreachable(target, &error.to_string()))?;
        Ok(found
            .filter(|address| has_ipv6 || address.is_ipv4())
            .take(limits::DIAL_ADDRESSES_MAX)
            .collect())
    }

    async fn connect(
        &self,
        target: &DialTarget,
        address: SocketAddr,
    ) -> Result<Arc<QuicConnection>, LinkError> {
        let name = NodeName {
            cluster: self.cluster,
            region: target.region,
            node: target.node,
        };
        let connecting = self
            .endpoint
            .connect_with(self.client.clone(), address, &name.dns_name())
            .map_err(|error| connect_error(target, &error))?;
        let failed = |error: &quinn::ConnectionError| match link_error(error, None) {
            LinkError::TimedOut => unreachable(target, &self.silence(address)),
            LinkError::Failed(reason) => unreachable(target, &reason),
            LinkError::Handshake(reason) => LinkError::Handshake(format!(
                "with {} of {} at {address}: {reason}",
                target.node, target.region
            )),
            other => other,
        };
        let connection = connecting.await.map_err(|error| failed(&error))?;
        // The peer's word that it has verified this node's certificate (see `accept`). Once is enough.
        connection.accept_uni().await.map_err(|error| failed(&error))?;
        connection.set_max_concurrent_uni_streams(VarInt::from_u32(0));
        let connection = QuicConnection::new(connection).map_err(|(connection, reason)| {
            connection.close(VarInt::from_u32(CloseCode::Refused.number()), reason.as_bytes());
            LinkError::Handshake(reason)
        })?;
        confirm_cluster(&connection, self.cluster)?;
        confirm_target(&connection, target)?;
        Ok(Arc::new(connection))
    }

    fn silence(&self, address: SocketAddr) -> String {
        format!(
            "nothing answered at {address} within {:?}: is the node running, and is UDP open to that port?",
            self.timeout
        )
    }
}

/// TLS has checked the DNS name; the URI, which everything above goes by, must say the same.
fn confirm_target(connection: &QuicConnection, target: &DialTarget) -> Result<(), LinkError> {
    let peer = connection.peer();
    if peer.region == target.region && peer.node == target.node {
        return Ok(());
    }
    let reason = format!(
        "{} of {} was meant, the certificate at {} is that of {} of {}",
        target.node, target.region, target.address, peer.node, peer.region
    );
    connection.close(CloseCode::Refused, &reason);
    Err(LinkError::Handshake(reason))
}

fn connect_error(target: &DialTarget, error: &ConnectError) -> LinkError {
    match error {
        ConnectError::EndpointStopping => LinkError::ClosedLocally {
            reason: "the node shuts down".to_owned(),
        },
        ConnectError::InvalidServerName(name) => LinkError::Handshake(format!(
            "{name} is no host name, so no certificate can carry it: rename the node"
        )),
        other => unreachable(target, &other.to_string()),
    }
}

fn unreachable(target: &DialTarget, detail: &str) -> LinkError {
    LinkError::Unreachable {
        address: target.address.clone(),
        detail: detail.to_owned(),
    }
}
