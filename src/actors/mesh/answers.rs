//! The answers of one request stream that are ready to be sent.
//!
//! Each keeps the places of its request until it was sent, so a node that does not read its answers is not read either.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::actors::mesh::lane::gather;
use crate::actors::mesh::service::AnswerError;
use crate::model::limits;
use crate::ports::link::{FrameSender, LinkError};
use crate::wire::mesh::{CallId, ENVELOPE_BYTES_MAX, MeshAnswer, MeshMessage};

struct Ready {
    answer: MeshAnswer,
    places: OwnedSemaphorePermit,
}

/// Answers in the order in which they became ready.
#[derive(Default)]
pub(super) struct Answers {
    ready: Mutex<VecDeque<Ready>>,
    /// There is something to send.
    wake: Notify,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, id: CallId, result: Result<Bytes, AnswerError>, places: OwnedSemaphorePermit) {
        let answer = MeshAnswer {
            id,
            result: bounded(result),
        };
        self.lock().push_back(Ready { answer, places });
        self.wake.notify_one();
    }

    /// Sends what is ready, until the stream is gone; why it is.
    pub(super) async fn send(&self, sender: &mut dyn FrameSender) -> LinkError {
        loop {
            while let Some((frame, places)) = self.take_frame() {
                if let Err(error) = sender.send(frame).await {
                    return error;
                }
                drop(places);
            }
            self.wake.notified().await;
            gather().await;
        }
    }

    /// A frame of what is ready, as far as it has room, and the places to be given back when it was sent.
    fn take_frame(&self) -> Option<(Bytes, Vec<OwnedSemaphorePermit>)> {
        let (mut answers, mut places) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        {
            let mut ready = self.lock();
            while let Some(next) = ready.front() {
                let words = |words: &String| words.len();
                bytes += next.answer.result.as_ref().map_or_else(words, Bytes::len) + ENVELOPE_BYTES_MAX;
                // `>`: a frame may have exactly the limit. An answer alone is always smaller.
                if bytes > limits::MESH_FRAME_BYTES {
                    break;
                }
                let next = ready.pop_front().expect("it was looked at");
                answers.push(next.answer);
                places.push(next.places);
            }
        }
        (!answers.is_empty()).then(|| (MeshMessage::Answers(answers).encode(), places))
    }
}

/// What fits between the nodes: an answer that is too large fails its own request only.
fn bounded(result: Result<Bytes, AnswerError>) -> Result<Bytes, String> {
    let reason = match result {
        // `<=`: an answer of exactly the limit is good.
        Ok(body) if body.len() <= limits::MESH_ANSWER_BYTES_MAX => return Ok(body),
        Ok(body) => format!(
            "its answer of {} bytes is over the limit of {}",
            body.len(),
            limits::MESH_ANSWER_BYTES_MAX
        ),
        Err(AnswerError(reason)) => reason,
    };
    Err(reason[..reason.floor_char_boundary(limits::MESH_REASON_BYTES_MAX)].to_owned())
}

/// A request that is to be answered. Dropped without an answer, as when the service fails, it says so to the asker.
pub(super) struct Due {
    answers: Arc<Answers>,
    id: CallId,
    places: Option<OwnedSemaphorePermit>,
}

impl Due {
    /// The request with this id, which holds these places.
    pub(super) fn new(answers: Arc<Answers>, id: CallId, places: OwnedSemaphorePermit) -> Self {
        Self {
            answers,
            id,
            places: Some(places),
        }
    }

    /// Answers.
    pub(super) fn answer(mut self, result: Result<Bytes, AnswerError>) {
        if let Some(places) = self.places.take() {
            self.answers.push(self.id, result, places);
        }
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget(mut self) {
        self.places = None;
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            let reason = "answering it has failed, or the node stops".to_owned();
            self.answers.push(self.id, Err(AnswerError(reason)), places);
        }
    }
}
