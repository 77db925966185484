//! One connection that this node has dialled: signs of life and their acknowledgements on the control stream, requests and
//! answers on another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::actors::mesh::MeshParts;
use crate::actors::mesh::error::ConnectionError;
use crate::actors::mesh::handshake::{exist, next, unexpected};
use crate::actors::mesh::lane::Lane;
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::ports::link::{Connection, FrameReceiver, FrameSender, Stream};
use crate::wire::mesh::{MeshMessage, SignOfLife};

/// A connection after the handshake.
pub(super) struct Session<'a> {
    pub(super) parts: &'a MeshParts,
    pub(super) node: NodeId,
    pub(super) lane: &'a Lane,
    pub(super) connection: Arc<dyn Connection>,
}

impl Session<'_> {
    /// Works until the connection is gone, and says why it is.
    pub(super) async fn run(&self, control: Stream, requests: Stream) -> ConnectionError {
        let Stream {
            sender: mut signs,
            receiver: mut acknowledgements,
        } = control;
        let Stream {
            sender: mut requests,
            receiver: mut answers,
        } = requests;
        tokio::select! {
            // Why the connection was closed says more than what became of a stream.
            biased;
            error = self.connection.closed() => error.into(),
            error = self.take_acknowledgements(acknowledgements.as_mut()) => error,
            error = self.take_answers(answers.as_mut()) => error,
            error = self.tell_signs(signs.as_mut()) => error,
            error = self.lane.send(requests.as_mut()) => error.into(),
        }
    }

    async fn tell_signs(&self, sender: &mut dyn FrameSender) -> ConnectionError {
        let mut signs = interval(Duration::from_millis(limits::SIGN_INTERVAL_MS));
        // Signs that were missed would all say the same.
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            signs.tick().await;
            let own = self.parts.service.own_sign(self.node);
            let sign = Arc::new(SignOfLife {
                number: self.parts.board.next_sign(&self.node),
                clock: self.parts.clock.now(),
                through: own.through,
                leads: own.leads,
                suspects: own.suspects,
            });
            let sent_at = self.parts.clock.tick();
            self.parts.board.sending(&self.node, sent_at, Arc::clone(&sign));
            if let Err(error) = sender.send(MeshMessage::SignOfLife(sign).encode()).await {
                return error.into();
            }
        }
    }

    async fn take_acknowledgements(&self, receiver: &mut dyn FrameReceiver) -> ConnectionError {
        loop {
            let taken = match next(receiver, "an acknowledgement").await {
                Ok(MeshMessage::Acknowledge(acknowledgement)) => {
                    let count = self.parts.identity.partitions;
                    let named = acknowledgement.except.iter();
                    exist("an acknowledgement", named, count)
                        .and_then(|()| self.parts.board.acknowledge(&self.node, &acknowledgement))
                }
                Ok(other) => return unexpected(&other, "an acknowledgement"),
                Err(error) => return error,
            };
            if let Err(error) = taken {
                return error.into();
            }
        }
    }

    async fn take_answers(&self, receiver: &mut dyn FrameReceiver) -> ConnectionError {
        loop {
            let taken = match next(receiver, "answers").await {
                Ok(MeshMessage::Answers(answers)) => self.lane.answered(answers),
                Ok(other) => return unexpected(&other, "answers"),
                Err(error) => return error,
            };
            if let Err(error) = taken {
                return error.into();
            }
        }
    }
}
