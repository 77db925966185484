//! The sockets of one direction: one that listens for the nodes of a region, and for each sender one towards the
//! target, from which the answers come back.
//!
//! What a sender sends passes the line to the target's region; what comes back passes the line of the other direction.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::flows::Flows;
use super::line::{Line, Outlet};
use crate::config::HostPort;
use crate::model::limits;

/// The largest payload of UDP fits.
const PACKET_BYTES_MAX: usize = 65_536;

/// How long a socket is left alone after it has failed to receive, so that one that always fails costs nothing.
const RECEIVE_FAILED_PAUSE: Duration = Duration::from_millis(10);

/// Listens for one direction.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) socket: Arc<UdpSocket>,
    /// Resolved anew for each sender, since the address behind a name may change.
    pub(super) target: HostPort,
    /// To the target.
    pub(super) forth: Arc<Line>,
    /// From the target.
    pub(super) back: Arc<Line>,
}

/// The path of one sender.
struct Path {
    socket: Arc<UdpSocket>,
    _answers: AbortOnDropHandle<()>,
}

impl Listener {
    /// Takes packets, for ever.
    pub(super) async fn run(self) {
        let mut flows = Flows::new();
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            let (len, sender) = match self.socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, target = %self.target, "the relay could not receive");
                    tokio::time::sleep(RECEIVE_FAILED_PAUSE).await;
                    continue;
                }
            };
            let now = Instant::now();
            let path: &Path = match flows.heard(sender, now) {
                Some(path) => path,
                None => match self.open(sender).await {
                    Ok(path) => flows.insert(sender, path, now),
                    Err(error) => {
                        tracing::debug!(%error, target = %self.target, "the relay cannot send to the target");
                        self.forth.not_sent();
                        continue;
                    }
                },
            };
            let outlet = Outlet::Target(Arc::clone(&path.socket));
            self.forth.offer(Bytes::copy_from_slice(&buffer[..len]), outlet);
        }
    }

    async fn open(&self, sender: SocketAddr) -> Result<Path, std::io::Error> {
        let target = self.resolve().await?;
        let any: SocketAddr = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(target).await?;
        let socket = Arc::new(socket);
        let answers = self.clone().take_answers(Arc::clone(&socket), sender);
        Ok(Path {
            socket,
            _answers: AbortOnDropHandle::new(tokio::spawn(answers)),
        })
    }

    async fn resolve(&self) -> Result<SocketAddr, std::io::Error> {
        if let Some(address) = self.target.as_socket_addr() {
            return Ok(address);
        }
        let looking = tokio::net::lookup_host((self.target.host(), self.target.port()));
        let patience = Duration::from_millis(limits::WAN_RESOLVE_MS_MAX);
        let mut found = tokio::time::timeout(patience, looking).await??;
        found
            .next()
            .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"))
    }

    async fn take_answers(self, socket: Arc<UdpSocket>, sender: SocketAddr) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            match socket.recv(&mut buffer).await {
                Ok(len) => {
                    let outlet = Outlet::Sender(Arc::clone(&self.socket), sender);
                    self.back.offer(Bytes::copy_from_slice(&buffer[..len]), outlet);
                }
                // Mostly that nobody listens at the target; it may come back.
                Err(error) => {
                    tracing::trace!(%error, target = %self.target, "the target is not there");
                    tokio::time::sleep(RECEIVE_FAILED_PAUSE).await;
                }
            }
        }
    }
}
