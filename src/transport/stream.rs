//! Frames on a QUIC stream: the length as u32, little-endian, then that many bytes.
//!
//! Both directions survive cancellation: a `receive` that is dropped loses nothing, and a `send` that is dropped
//! half-way is completed by the next one (or the stream ends inside a frame, which the peer reports). The receiver
//! never trusts a length: memory grows with the bytes that arrive, not with those that are announced.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, WriteError};

use crate::model::limits;
use crate::ports::link::{CloseCode, FrameReceiver, FrameSender, LinkError};

use super::connection::Link;

/// Bytes of the length in front of each frame.
pub(super) const HEADER_BYTES: usize = 4;

/// Bytes taken from the stream at a time; what arrived with one packet is less.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Sends frames on a stream. Dropping it finishes the stream.
pub(super) struct QuicSender {
    stream: SendStream,
    link: Arc<Link>,
    /// Header and payload of the frame being sent; empty between frames.
    unsent: [Bytes; 2],
}

impl QuicSender {
    pub(super) fn new(stream: SendStream, link: Arc<Link>) -> Self {
        Self {
            stream,
            link,
            unsent: [Bytes::new(), Bytes::new()],
        }
    }

    /// Hands the current frame to QUIC, which keeps references, not copies.
    async fn flush(&mut self) -> Result<(), LinkError> {
        while self.unsent.iter().any(|part| !part.is_empty()) {
            // Parts are advanced in place, so that a dropped call leaves exactly what is still to be sent.
            self.stream
                .write_chunks(&mut self.unsent)
                .await
                .map_err(|error| match error {
                    WriteError::ConnectionLost(error) => self.link.error(&error),
                    WriteError::Stopped(_) => {
                        LinkError::Failed("the peer stopped reading this stream".to_owned())
                    }
                    WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                        LinkError::Failed("the stream is closed".to_owned())
                    }
                })?;
        }
        Ok(())
    }
}

#[async_trait]
impl FrameSender for QuicSender {
    async fn send(&mut self, frame: Bytes) -> Result<(), LinkError> {
        if frame.len() > limits::FRAME_BYTES_MAX {
            return Err(LinkError::FrameTooLarge {
                len: frame.len() as u64,
                max: limits::FRAME_BYTES_MAX,
            });
        }
        self.flush().await?;
        let length = u32::try_from(frame.len()).expect("the frame limit fits u32");
        self.unsent = [Bytes::copy_from_slice(&length.to_le_bytes()), frame];
        self.flush().await
    }
}

/// Receives frames from a stream. Dropping it tells the peer to stop sending.
pub(super) struct QuicReceiver {
    stream: RecvStream,
    link: Arc<Link>,
    /// Taken from the stream, not yet part of a frame.
    arrived: Bytes,
    /// Bytes of the current frame, its header included.
    frame: BytesMut,
}

impl QuicReceiver {
    pub(super) fn new(stream: RecvStream, link: Arc<Link>) -> Self {
        Self {
            stream,
            link,
            arrived: Bytes::new(),
            frame: BytesMut::new(),
        }
    }

    /// Moves what arrived into the current frame; the frame, once it is complete.
    fn assemble(&mut self) -> Result<Option<Bytes>, LinkError> {
        self.take_arrived(HEADER_BYTES);
        let Some(header) = self.frame.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*header);
        let payload_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if payload_bytes > limits::FRAME_BYTES_MAX {
            let error = LinkError::FrameTooLarge {
                len: u64::from(length),
                max: limits::FRAME_BYTES_MAX,
            };
            self.link.close(CloseCode::ProtocolViolation, &error.to_string());
            return Err(error);
        }
        self.take_arrived(HEADER_BYTES + payload_bytes);
        if self.frame.len() < HEADER_BYTES + payload_bytes {
            return Ok(None);
        }
        let mut frame = std::mem::take(&mut self.frame).freeze();
        frame.advance(HEADER_BYTES);
        Ok(Some(frame))
    }

    /// Moves bytes until the current frame has `frame_bytes`, or none are left. They are copied, because a slice
    /// would keep the whole receive buffer of the endpoint alive for as long as somebody holds the frame.
    fn take_arrived(&mut self, frame_bytes: usize) {
        let count = frame_bytes
            .saturating_sub(self.frame.len())
            .min(self.arrived.len());
        self.frame.extend_from_slice(&self.arrived[..count]);
        self.arrived.advance(count);
    }

    fn error(&self, error: &ReadError) -> LinkError {
        match error {
            ReadError::ConnectionLost(error) => self.link.error(error),
            ReadError::Reset(_) => LinkError::Failed("the peer abandoned this stream".to_owned()),
            ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
                LinkError::Failed("the stream is closed".to_owned())
            }
        }
    }
}

#[async_trait]
impl FrameReceiver for QuicReceiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            if let Some(frame) = self.assemble()? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunk(READ_BYTES_MAX, true).await {
                Ok(Some(chunk)) => self.arrived = chunk.bytes,
                Ok(None) if self.frame.is_empty() => return Ok(None),
                Ok(None) => {
                    let reason = format!(
                        "the stream ended inside a frame, after {} bytes",
                        self.frame.len()
                    );
                    return Err(LinkError::Failed(reason));
                }
                Err(error) => return Err(self.error(&error)),
            }
        }
    }
}
