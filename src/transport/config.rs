//! How an endpoint is set up: what callers choose, and the QUIC parameters that follow from the limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quinn::{IdleTimeout, TransportConfig, VarInt, congestion};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use crate::model::limits;

use super::BindError;
use super::certificates::CertificateFiles;

/// A silent peer is noticed and the path kept open through NAT and firewalls; three idle regions cost nothing at this
/// rate, and five are lost before the link counts as down.
const KEEP_ALIVE_INTERVAL_DEFAULT: Duration = Duration::from_secs(1);

/// How long nothing is heard until the connection is lost.
const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Two round trips and two lost packets at 300 ms between regions, with room.
const DIAL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Bytes that one endpoint holds for connections that it has not yet begun to accept; they are begun at once, so this
/// only bounds a flood.
const INCOMING_BUFFER_BYTES: u64 = 64 * 1024;

/// What an endpoint needs to know.
#[derive(Debug, Clone)]
pub struct QuicConfig {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The node's certificate and key, and the authority's certificate.
    pub certificates: CertificateFiles,
    /// How often an idle connection sends something. Default 1 s; must be under half of `idle_timeout`.
    pub keep_alive_interval: Duration,
    /// After how much silence a connection is lost. Default 5 s.
    pub idle_timeout: Duration,
    /// How long a dial, or an incoming handshake, may take. Default 5 s.
    pub dial_timeout: Duration,
    /// The clock that certificates are checked by. Default: the system's.
    pub time: Arc<dyn TimeProvider>,
}

impl QuicConfig {
    /// The defaults, with the two things that have none.
    #[must_use]
    pub fn new(listen: SocketAddr, certificates: CertificateFiles) -> Self {
        Self {
            listen,
            certificates,
            keep_alive_interval: KEEP_ALIVE_INTERVAL_DEFAULT,
            idle_timeout: IDLE_TIMEOUT_DEFAULT,
            dial_timeout: DIAL_TIMEOUT_DEFAULT,
            time: Arc::new(DefaultTimeProvider),
        }
    }

    /// The time by the configured clock.
    pub(super) fn now(&self) -> SystemTime {
        let since_epoch = self.time.current_time().map_or(0, |time| time.as_secs());
        UNIX_EPOCH + Duration::from_secs(since_epoch)
    }

    /// The QUIC parameters of the dialling and of the accepting side.
    pub(super) fn transports(&self) -> Result<Transports, BindError> {
        let timeouts_error = || BindError::Timeouts {
            keep_alive_interval: self.keep_alive_interval,
            idle_timeout: self.idle_timeout,
        };
        // With half or more, a single lost packet could end a healthy connection.
        if self.keep_alive_interval.is_zero() || self.keep_alive_interval >= self.idle_timeout / 2 {
            return Err(timeouts_error());
        }
        let idle_timeout = IdleTimeout::try_from(self.idle_timeout).map_err(|_| timeouts_error())?;
        // The accepting side opens one stream in one direction, to confirm (see `accept`); nothing else does.
        Ok(Transports {
            dialling: self.transport(idle_timeout, 1),
            accepting: self.transport(idle_timeout, 0),
        })
    }

    fn transport(&self, idle_timeout: IdleTimeout, uni_streams: u32) -> Arc<TransportConfig> {
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS_PER_CONNECTION_MAX))
            .max_concurrent_uni_streams(VarInt::from_u32(uni_streams))
            .stream_receive_window(window(limits::STREAM_WINDOW_BYTES))
            .receive_window(window(limits::CONNECTION_WINDOW_BYTES))
            // What was written stays in memory until the peer's endpoint has it: as much as may be on its way.
            .send_window(limits::UNACKED_BYTES_MAX as u64)
            .keep_alive_interval(Some(self.keep_alive_interval))
            .max_idle_timeout(Some(idle_timeout))
            .datagram_receive_buffer_size(None)
            // Cubic is what the library tests and what shares a path fairly with TCP. Its BBR is marked experimental
            // and is version 1, which starves other flows in shallow buffers.
            .congestion_controller_factory(Arc::new(congestion::CubicConfig::default()));
        Arc::new(transport)
    }
}

/// The QUIC parameters of both roles.
pub(super) struct Transports {
    pub(super) dialling: Arc<TransportConfig>,
    pub(super) accepting: Arc<TransportConfig>,
}

/// Applies the limits on handshakes that wait to be begun.
pub(super) fn bound_incoming(server: &mut quinn::ServerConfig) {
    server
        .max_incoming(limits::HANDSHAKES_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_BYTES * limits::HANDSHAKES_MAX as u64)
        // Nodes have fixed addresses; a connection that moves would make the address in logs and status a lie.
        .migration(false);
}

fn window(bytes: usize) -> VarInt {
    VarInt::try_from(bytes as u64).expect("windows are far below 2^62")
}
