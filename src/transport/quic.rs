//! A node's QUIC endpoint: one UDP socket for all links in both directions.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, VarInt};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::model::limits;
use crate::ports::link::{CloseCode, Connection, DialTarget, LinkError, Network, PeerIdentity};

use super::accept::Acceptor;
use super::certificates::{CertificateError, NodeCertificates};
use super::config::{Transports, bound_incoming};
use super::connection::QuicConnection;
use super::dial::Dialer;
use super::refusals::Refusals;
use super::tls::{TlsConfigs, tls_configs};
use super::{QuicConfig, Refusal};

/// How long shutdown waits for peers to be told; a peer that is gone must not hold it up.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why an endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A certificate or key is missing, expired or wrong.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// Another process has the port.
    #[error(
        "UDP {address} is in use by another process: stop it (`ss -lunp` shows it), or set another `quic` address for this node in regions.toml"
    )]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not one of this machine, the port needs privileges, or the like.
    #[error("cannot listen on UDP {address}: check this node's address in regions.toml")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The timeouts contradict each other.
    #[error(
        "a keep-alive interval of {keep_alive_interval:?} does not go with an idle timeout of {idle_timeout:?}: it must be over zero and under half of it"
    )]
    Timeouts {
        /// As configured.
        keep_alive_interval: Duration,
        /// As configured.
        idle_timeout: Duration,
    },
    /// The TLS library did not accept the certificates although they passed all checks.
    #[error("the TLS library does not accept this node's certificates")]
    Tls(#[from] rustls::Error),
    /// The TLS library lacks the cipher that QUIC begins with.
    #[error("the TLS library cannot do QUIC")]
    Ciphers(#[from] NoInitialCipherSuite),
    /// Called outside of a tokio runtime.
    #[error("an endpoint needs a running tokio runtime")]
    NoRuntime,
}

/// Implements [`Network`] over QUIC. Dropping it closes all connections, as `shutdown` does, without waiting.
pub struct QuicNetwork {
    dialer: Dialer,
    identity: PeerIdentity,
    local_address: SocketAddr,
    accepted: Mutex<mpsc::Receiver<Arc<QuicConnection>>>,
    refusals: Arc<Refusals>,
    stopped: CancellationToken,
}

impl QuicNetwork {
    /// Loads the certificates, opens the socket and starts to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a certificate is not usable, the address is taken or the timeouts contradict each other.
    pub fn bind(config: &QuicConfig) -> Result<Self, BindError> {
        let runtime = quinn::default_runtime().ok_or(BindError::NoRuntime)?;
        let certificates = NodeCertificates::load(&config.certificates, config.now())?;
        let (client, server) = quic_configs(tls_configs(&certificates, &config.time)?, config.transports()?)?;

        let listen_error = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse {
                address: config.listen,
            },
            _ => BindError::Listen {
                address: config.listen,
                source,
            },
        };
        let socket = UdpSocket::bind(config.listen).map_err(listen_error)?;
        let local_address = socket.local_addr().map_err(listen_error)?;
        let endpoint =
            Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime).map_err(listen_error)?;

        let cluster = certificates.identity.cluster;
        let (accepted_sender, accepted) = mpsc::channel(limits::ACCEPTED_CONNECTIONS_QUEUED_MAX);
        let refusals = Arc::new(Refusals::default());
        let stopped = CancellationToken::new();
        let acceptor = Acceptor {
            cluster,
            timeout: config.dial_timeout,
            accepted: accepted_sender,
            refusals: Arc::clone(&refusals),
        };
        tokio::spawn(acceptor.run(endpoint.clone(), stopped.clone()));
        Ok(Self {
            dialer: Dialer {
                endpoint,
                client,
                cluster,
                timeout: config.dial_timeout,
            },
            identity: certificates.identity,
            local_address,
            accepted: Mutex::new(accepted),
            refusals,
            stopped,
        })
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Who this node's certificate says it is, and when that expires.
    #[must_use]
    pub fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// The latest incoming handshakes that failed, one for each host and reason, oldest first.
    #[must_use]
    pub fn last_refusals(&self) -> Vec<Refusal> {
        self.refusals.latest()
    }

    /// As `dial`, with access to QUIC itself.
    #[cfg(test)]
    pub(super) async fn dial_quic(&self, target: &DialTarget) -> Result<Arc<QuicConnection>, LinkError> {
        self.dialer.dial(target).await
    }

    /// Dials from now on with certificates that `bind` would not have taken.
    #[cfg(test)]
    pub(super) fn show_other_certificate(&mut self, certificates: &NodeCertificates, config: &QuicConfig) {
        let tls = tls_configs(certificates, &config.time).expect("the test's certificates are consistent");
        let transports = config.transports().expect("used before");
        (self.dialer.client, _) = quic_configs(tls, transports).expect("used before");
    }

    fn close(&self) {
        self.stopped.cancel();
        self.dialer
            .endpoint
            .close(VarInt::from_u32(CloseCode::Done.number()), b"the node shuts down");
    }
}

impl Drop for QuicNetwork {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Network for QuicNetwork {
    async fn dial(&self, target: &DialTarget) -> Result<Arc<dyn Connection>, LinkError> {
        let connection = self.dialer.dial(target).await?;
        Ok(connection)
    }

    async fn accept(&self) -> Option<Arc<dyn Connection>> {
        let mut accepted = self.accepted.lock().await;
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => None,
            connection = accepted.recv() => connection.map(|connection| connection as Arc<dyn Connection>),
        }
    }

    async fn shutdown(&self) {
        self.close();
        // Whoever is not told in time finds out by its idle timeout.
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.dialer.endpoint.wait_idle()).await;
    }
}

fn quic_configs(
    tls: TlsConfigs,
    transports: Transports,
) -> Result<(ClientConfig, ServerConfig), NoInitialCipherSuite> {
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls.client)?));
    client.transport_config(transports.dialling);
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls.server)?));
    server.transport_config(transports.accepting);
    bound_incoming(&mut server);
    Ok((client, server))
}
