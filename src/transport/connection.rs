//! One authenticated QUIC connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use quinn::{ConnectionError, VarInt};
use rustls::pki_types::CertificateDer;

use crate::ports::link::{CloseCode, Connection, LinkError, PeerIdentity, Stream};

use super::certificates::identity_of;
use super::reasons::{cut, link_error};
use super::stream::{QuicReceiver, QuicSender};

/// A connection and why this side closed it, shared with its streams: a stream that receives garbage closes it.
pub(super) struct Link {
    connection: quinn::Connection,
    /// Set once, by the first call of `close`.
    close_reason: OnceLock<String>,
}

impl Link {
    /// Closes the connection; the peer is told code and reason. Only the first call counts.
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        let reason = cut(reason);
        // The reason first: whoever wakes up because of the close must find it.
        if self.close_reason.set(reason.to_owned()).is_ok() {
            self.connection
                .close(VarInt::from_u32(code.number()), reason.as_bytes());
        }
    }

    /// Why the connection is gone, as the port's error.
    pub(super) fn error(&self, error: &ConnectionError) -> LinkError {
        link_error(error, self.close_reason.get().map(String::as_str))
    }
}

/// Implements [`Connection`] over QUIC.
pub(super) struct QuicConnection {
    link: Arc<Link>,
    peer: PeerIdentity,
}

impl QuicConnection {
    /// Reads who the peer is from its certificate, which TLS has verified already.
    ///
    /// # Errors
    /// The sentence to close the connection with.
    pub(super) fn new(connection: quinn::Connection) -> Result<Self, (quinn::Connection, String)> {
        match identity_of_peer(&connection) {
            Ok(peer) => Ok(Self {
                link: Arc::new(Link {
                    connection,
                    close_reason: OnceLock::new(),
                }),
                peer,
            }),
            Err(reason) => Err((connection, reason)),
        }
    }

    /// The library's connection.
    pub(super) fn quic(&self) -> &quinn::Connection {
        &self.link.connection
    }

    fn stream(&self, (send, receive): (quinn::SendStream, quinn::RecvStream)) -> Stream {
        Stream {
            sender: Box::new(QuicSender::new(send, Arc::clone(&self.link))),
            receiver: Box::new(QuicReceiver::new(receive, Arc::clone(&self.link))),
        }
    }
}

#[async_trait]
impl Connection for QuicConnection {
    fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    async fn open_stream(&self) -> Result<Stream, LinkError> {
        let opened = self.quic().open_bi().await;
        opened
            .map(|streams| self.stream(streams))
            .map_err(|error| self.link.error(&error))
    }

    async fn accept_stream(&self) -> Result<Stream, LinkError> {
        let accepted = self.quic().accept_bi().await;
        accepted
            .map(|streams| self.stream(streams))
            .map_err(|error| self.link.error(&error))
    }

    fn round_trip(&self) -> Duration {
        self.quic().rtt()
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.link.close(code, reason);
    }

    async fn closed(&self) -> LinkError {
        let error = self.quic().closed().await;
        self.link.error(&error)
    }
}

fn identity_of_peer(connection: &quinn::Connection) -> Result<PeerIdentity, String> {
    let certificates = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .unwrap_or_default();
    let first = certificates.first().ok_or("the peer showed no certificate")?;
    identity_of(first).map_err(|error| error.to_string())
}
