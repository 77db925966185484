//! The requests of this node to one other: those that wait to be sent, and those that wait for their answer.
//!
//! Whatever waits when the stream is free goes in one frame, up to a limit, with what those ask who are about to run; there is no
//! timer, so a lone request goes at once. A request is in the table from the call until it is answered, dropped, out of patience or without a connection, and
//! nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::actors::mesh::handle::MeshError;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::limits;
use crate::ports::link::{FrameSender, LinkError};
use crate::wire::codec::DecodeError;
use crate::wire::mesh::{CallId, ENVELOPE_BYTES_MAX, MeshAnswer, MeshMessage, MeshRequest};

/// How many places a request of so many bytes takes.
pub(super) fn places(body_bytes: usize) -> u32 {
    let places = 1 + body_bytes / limits::MESH_PLACE_BYTES;
    // More than all are never to be had.
    u32::try_from(places.min(limits::MESH_PLACES_MAX)).expect("clamped to a small limit")
}

/// Lets those have their turn who can go on already: what they have to say goes into the same frame. Where nobody can, it is over at
/// once; under load it halves the frames, and with them packets, wake-ups and acknowledgements.
pub(super) async fn gather() {
    tokio::task::yield_now().await;
}

/// What a call ends with.
type Outcome = Result<Bytes, MeshError>;

/// A request that was not answered yet.
struct Call {
    answer: oneshot::Sender<Outcome>,
    /// What is still to be sent; taken when it goes into a frame.
    unsent: Option<Unsent>,
    /// Given back when the call leaves the table.
    _places: OwnedSemaphorePermit,
}

struct Unsent {
    partition: PartitionId,
    patience_ms: u32,
    body: Bytes,
}

struct Inner {
    /// Why there is no connection; none while there is one.
    down: Option<Arc<str>>,
    calls: BTreeMap<CallId, Call>,
    next_id: CallId,
    /// Calls from this one on were not sent yet; those before it were, or are gone.
    next_unsent: CallId,
}

/// The requests to one node.
pub(super) struct Lane {
    node: NodeId,
    inner: Mutex<Inner>,
    places: Arc<Semaphore>,
    /// There is something to send.
    wake: Notify,
}

/// Takes a call out of the table when nobody waits for it any more.
struct Waiting<'a> {
    lane: &'a Lane,
    id: CallId,
}

impl Waiting<'_> {
    /// Takes the call out; whether it may have been sent, none if it has ended before.
    fn give_up(&self) -> Option<bool> {
        let call = self.lane.lock().calls.remove(&self.id)?;
        Some(call.unsent.is_none())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let _ = self.give_up();
    }
}

impl Lane {
    /// The lane to a node that was not reached yet.
    pub(super) fn new(node: NodeId) -> Self {
        let inner = Inner {
            down: Some(Arc::from("it was not reached yet")),
            calls: BTreeMap::new(),
            next_id: CallId::default(),
            next_unsent: CallId::default(),
        };
        Self {
            node,
            inner: Mutex::new(inner),
            places: Arc::new(Semaphore::new(limits::MESH_PLACES_MAX)),
            wake: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; see [`MeshHandle::call`](crate::actors::mesh::MeshHandle::call).
    pub(super) async fn call(&self, partition: PartitionId, body: Bytes, patience: Duration) -> Outcome {
        let patience_ms = patience.as_millis().min(u128::from(limits::MESH_PATIENCE_MS_MAX));
        let patience_ms = u32::try_from(patience_ms).expect("the limit fits u32");
        let unsent = Unsent {
            partition,
            patience_ms,
            body,
        };
        let (id, mut answer) = self.enter(unsent)?;
        let waiting = Waiting { lane: self, id };
        self.wake.notify_one();
        let patience = Duration::from_millis(u64::from(patience_ms));
        let ended = match timeout(patience, &mut answer).await {
            Ok(ended) => ended,
            Err(_) => match waiting.give_up() {
                Some(is_sent) => {
                    return Err(MeshError::TimedOut {
                        node: self.node,
                        patience,
                        is_sent,
                    });
                }
                // It has ended at this very moment: whoever took it out of the table ends it next.
                None => answer.await,
            },
        };
        ended.expect("a call that leaves the table is ended, unless its caller gives it up")
    }

    fn enter(&self, unsent: Unsent) -> Result<(CallId, oneshot::Receiver<Outcome>), MeshError> {
        let (len, max) = (unsent.body.len(), limits::MESH_BODY_BYTES_MAX);
        // `>`: a body of exactly the limit fits into a frame.
        if len > max {
            return Err(MeshError::BodyTooLarge { len, max });
        }
        let mut inner = self.lock();
        if let Some(reason) = &inner.down {
            return Err(MeshError::NotConnected {
                node: self.node,
                reason: Arc::clone(reason),
            });
        }
        let taken = Arc::clone(&self.places).try_acquire_many_owned(places(len));
        let taken = taken.map_err(|_| MeshError::Overloaded(self.node))?;
        let id = inner.next_id;
        inner.next_id = id.next();
        let (sender, receiver) = oneshot::channel();
        let call = Call {
            answer: sender,
            unsent: Some(unsent),
            _places: taken,
        };
        inner.calls.insert(id, call);
        Ok((id, receiver))
    }

    /// A connection is there: calls are taken from now on.
    pub(super) fn open(&self) {
        self.lock().down = None;
    }

    /// The connection is gone, or another attempt to make one has failed: calls end, and are refused from now on.
    pub(super) fn close(&self, reason: &str) {
        let reason: Arc<str> = Arc::from(reason);
        let ended = {
            let mut inner = self.lock();
            inner.down = Some(Arc::clone(&reason));
            inner.next_unsent = inner.next_id;
            std::mem::take(&mut inner.calls)
        };
        for call in ended.into_values() {
            let error = MeshError::Lost {
                node: self.node,
                reason: Arc::clone(&reason),
                is_sent: call.unsent.is_none(),
            };
            // Whoever has asked may be gone.
            let _ = call.answer.send(Err(error));
        }
    }

    /// Sends what waits, until the stream is gone; why it is.
    pub(super) async fn send(&self, sender: &mut dyn FrameSender) -> LinkError {
        loop {
            while let Some(frame) = self.take_frame() {
                if let Err(error) = sender.send(frame).await {
                    return error;
                }
            }
            self.wake.notified().await;
            gather().await;
        }
    }

    /// A frame of what waits, oldest first, as far as it has room; at least one request, whatever its size.
    fn take_frame(&self) -> Option<Bytes> {
        let mut requests = Vec::new();
        let mut bytes = 0;
        {
            let mut inner = self.lock();
            let Inner {
                calls, next_unsent, ..
            } = &mut *inner;
            for (id, call) in calls.range_mut(*next_unsent..) {
                let waiting = call.unsent.as_ref().map_or(0, |unsent| unsent.body.len());
                bytes += waiting + ENVELOPE_BYTES_MAX;
                // `>`: a frame may have exactly the limit.
                if bytes > limits::MESH_FRAME_BYTES && !requests.is_empty() {
                    break;
                }
                let unsent = call.unsent.take().expect("calls behind the mark were not sent");
                requests.push(MeshRequest {
                    id: *id,
                    partition: unsent.partition,
                    patience_ms: unsent.patience_ms,
                    body: unsent.body,
                });
            }
            *next_unsent = requests.last().map(|request| request.id.next())?;
        }
        Some(MeshMessage::Requests(requests).encode())
    }

    /// Answers have come. Those to calls that nobody waits for any more go nowhere.
    ///
    /// # Errors
    /// An answer to what was never asked.
    pub(super) fn answered(&self, answers: Vec<MeshAnswer>) -> Result<(), DecodeError> {
        for MeshAnswer { id, result } in answers {
            let call = {
                let mut inner = self.lock();
                // `>=`: what was not sent cannot have been answered.
                if id >= inner.next_unsent {
                    let detail = format!("request {} was not sent", id.0);
                    return Err(DecodeError::new("an answer", detail));
                }
                inner.calls.remove(&id)
            };
            if let Some(call) = call {
                let failed = |reason| MeshError::Failed {
                    node: self.node,
                    reason,
                };
                // Whoever has asked may be gone.
                let _ = call.answer.send(result.map_err(failed));
            }
        }
        Ok(())
    }

    /// Calls in the table, and places that are free.
    #[cfg(test)]
    pub(super) fn load(&self) -> (usize, usize) {
        (self.lock().calls.len(), self.places.available_permits())
    }
}

#[cfg(test)]
#[path = "lane_test.rs"]
mod tests;
