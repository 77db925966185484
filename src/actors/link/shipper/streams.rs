//! The streams of one connection: frames out of a channel, receipts in as messages.

use bytes::Bytes;
use ractor::ActorRef;
use tokio::sync::mpsc;

use crate::actors::link::shipper::ShipperMessage;
use crate::ports::link::{LinkError, Stream};
use crate::wire::messages::Message;

/// Frames that wait for a lane's stream; the outbox bounds their bytes.
const LANE_FRAMES_MAX: usize = 64;

/// Runs the streams of one connection.
pub(super) struct Streams {
    pub(super) me: ActorRef<ShipperMessage>,
    pub(super) number: u64,
}

impl Streams {
    /// Runs both directions of a stream until it is gone; frames to send go into the channel.
    pub(super) fn run(&self, stream: Stream) -> mpsc::Sender<Bytes> {
        let (frames, mut waiting) = mpsc::channel::<Bytes>(LANE_FRAMES_MAX);
        let Stream {
            mut sender,
            mut receiver,
        } = stream;
        let (me, number) = (self.me.clone(), self.number);
        tokio::spawn(async move {
            while let Some(frame) = waiting.recv().await {
                if let Err(error) = sender.send(frame).await {
                    let _ = me.cast(ShipperMessage::Closed(number, error));
                    return;
                }
            }
        });
        let me = self.me.clone();
        tokio::spawn(async move {
            let error = loop {
                match receiver.receive().await {
                    Ok(Some(frame)) => match Message::decode(&frame) {
                        Ok(message) => {
                            if let Some(message) = receipt(number, message) {
                                let _ = me.cast(message);
                            }
                        }
                        Err(error) => break LinkError::Failed(error.to_string()),
                    },
                    Ok(None) => return,
                    Err(error) => break error,
                }
            };
            let _ = me.cast(ShipperMessage::Closed(number, error));
        });
        frames
    }
}

fn receipt(number: u64, message: Message) -> Option<ShipperMessage> {
    match message {
        Message::Acknowledge { vectors } => Some(ShipperMessage::Acknowledged(number, vectors)),
        Message::Rewind {
            partition,
            vector,
            reason,
            detail,
        } => Some(ShipperMessage::Rewound {
            connection: number,
            partition,
            vector,
            reason,
            detail,
        }),
        other => {
            tracing::warn!(
                message = other.name(),
                "a peer sent what is not a receipt; it is ignored"
            );
            None
        }
    }
}
