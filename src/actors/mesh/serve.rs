//! Connections that other nodes of the region have dialled: signs of life are acknowledged, requests are answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::actors::error_chain;
use crate::actors::mesh::MeshParts;
use crate::actors::mesh::answers::{Answers, Due};
use crate::actors::mesh::error::ConnectionError;
use crate::actors::mesh::handshake::{self, exist, next, unexpected};
use crate::actors::mesh::lane::places;
use crate::actors::mesh::question;
use crate::model::agreement::MemberId;
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::ports::link::{Connection, FrameReceiver, Stream};
use crate::wire::mesh::{Acknowledgement, MeshMessage, MeshRequest, SignOfLife};

/// Serves the nodes of the region. Cheap to clone.
#[derive(Clone)]
pub struct MeshServer {
    parts: Arc<MeshParts>,
    /// Why each node was last refused, as it was logged: whoever is refused comes again each second. At most
    /// [`limits::NODES_PER_REGION_MAX`]; with more, some are logged again.
    refused: Arc<Mutex<BTreeMap<NodeId, String>>>,
}

impl std::fmt::Debug for MeshServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MeshServer({})", self.parts.identity.node)
    }
}

/// Takes a connection off the board, however its session ends.
struct Accepted<'a> {
    parts: &'a MeshParts,
    node: NodeId,
    number: u64,
}

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        self.parts.board.not_accepted(&self.node, self.number);
    }
}

impl MeshServer {
    pub(super) fn new(parts: Arc<MeshParts>) -> Self {
        Self {
            parts,
            refused: Arc::default(),
        }
    }

    /// Serves one connection until it is gone.
    pub async fn serve(self, connection: Arc<dyn Connection>) {
        let node = connection.peer().node;
        let error = match handshake::welcome(&self.parts, connection.as_ref()).await {
            Ok((control, theirs)) => {
                self.forget_refusal(node);
                let number = self.parts.board.accepted(&theirs, Arc::clone(&connection));
                let _accepted = Accepted {
                    parts: &self.parts,
                    node,
                    number,
                };
                self.serve_session(connection.as_ref(), control, theirs.member())
                    .await
            }
            Err(error) => error,
        };
        let error = error.with_last_words(connection.as_ref()).await;
        let text = error_chain(&error);
        connection.close(error.close_code(), &text);
        self.tell(node, &error, &text);
    }

    fn tell(&self, node: NodeId, error: &ConnectionError, text: &str) {
        let own = self.parts.identity.node;
        if error.is_in_order() {
            tracing::debug!(%own, %node, error = %text, "a connection from a node of this region was closed");
        } else if self.is_news(node, text) {
            tracing::warn!(%own, %node, error = %text, "a connection from a node of this region has ended");
        }
    }

    /// Notes why a node was refused; false when it was refused for the same before.
    fn is_news(&self, node: NodeId, text: &str) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.get(&node).is_some_and(|before| before == text) {
            return false;
        }
        // `>=`: there is room for one more then.
        if refused.len() >= limits::NODES_PER_REGION_MAX {
            refused.pop_first();
        }
        refused.insert(node, text.to_owned());
        true
    }

    fn forget_refusal(&self, node: NodeId) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.remove(&node);
    }

    /// Why each node was last refused.
    #[cfg(test)]
    pub(super) fn refusals(&self) -> BTreeMap<NodeId, String> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn serve_session(
        &self,
        connection: &dyn Connection,
        mut control: Stream,
        member: MemberId,
    ) -> ConnectionError {
        let node = member.node;
        let free = Arc::new(Semaphore::new(limits::MESH_PLACES_MAX));
        // Streams end with this set: when the session ends, nothing of it goes on.
        let mut streams = JoinSet::new();
        loop {
            let done = tokio::select! {
                // In order, so that a simulated run can be repeated; none of them is ready all the time.
                biased;
                sign = next(control.receiver.as_mut(), "a sign of life") => match sign {
                    Ok(MeshMessage::SignOfLife(sign)) => self.take_sign(node, sign, &mut control).await,
                    Ok(other) => Err(unexpected(&other, "a sign of life")),
                    Err(error) => Err(error),
                },
                stream = connection.accept_stream() => stream.map_err(ConnectionError::from).map(|stream| {
                    let (serving, free) = (self.clone(), Arc::clone(&free));
                    streams.spawn(async move { serving.serve_stream(member, stream, free).await });
                }),
                Some(ended) = streams.join_next() => ended.unwrap_or_else(|error| {
                    tracing::error!(%error, "serving a stream failed");
                    Ok(())
                }),
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn take_sign(
        &self,
        node: NodeId,
        sign: Arc<SignOfLife>,
        control: &mut Stream,
    ) -> Result<(), ConnectionError> {
        let parts = &self.parts;
        exist("a sign of life", sign.leads.keys(), parts.identity.partitions)?;
        let (now, wall_now) = (parts.clock.tick(), parts.clock.now());
        parts.board.heard(&node, now, wall_now, Arc::clone(&sign));
        if let Some(promise) = parts.service.sign_of_life(node, &sign) {
            let acknowledgement = Acknowledgement {
                number: sign.number,
                through: promise.through,
                except: promise.except,
            };
            let frame = MeshMessage::Acknowledge(acknowledgement).encode();
            control.sender.send(frame).await?;
        }
        Ok(())
    }

    /// What a stream is for is said by its first message.
    async fn serve_stream(
        &self,
        member: MemberId,
        mut stream: Stream,
        free: Arc<Semaphore>,
    ) -> Result<(), ConnectionError> {
        let Some(frame) = stream.receiver.receive().await? else {
            return Ok(());
        };
        match MeshMessage::decode(&frame)? {
            MeshMessage::Requests(first) => self.serve_requests(member.node, stream, first, free).await,
            MeshMessage::AskFounding => self.answer_founding(member, stream).await,
            MeshMessage::Question(question) => {
                question::answer(self.parts.service.as_ref(), member.node, question, stream).await;
                Ok(())
            }
            other => Err(unexpected(&other, "requests")),
        }
    }

    /// Tells what this node knows of the founding. A node that has nobody to answer, since it stops or was refused, ends the
    /// stream.
    async fn answer_founding(&self, asker: MemberId, mut stream: Stream) -> Result<(), ConnectionError> {
        if let Some(mut answer) = self.parts.founding.ask(asker).await {
            answer.members = self.parts.service.members();
            let frame = MeshMessage::Founding(answer).encode();
            // An asker that has given up in between is no reason to give up the connection.
            let _ = stream.sender.send(frame).await;
        }
        Ok(())
    }

    async fn serve_requests(
        &self,
        node: NodeId,
        stream: Stream,
        first: Vec<MeshRequest>,
        free: Arc<Semaphore>,
    ) -> Result<(), ConnectionError> {
        let Stream {
            mut sender,
            mut receiver,
        } = stream;
        let answers = Arc::new(Answers::default());
        tokio::select! {
            biased;
            taken = self.take_requests(node, first, receiver.as_mut(), &answers, &free) => taken,
            error = answers.send(sender.as_mut()) => Err(error.into()),
        }
    }

    /// Takes requests until the other node ends the stream. Waits while too many are under way: then what it sends waits
    /// there.
    async fn take_requests(
        &self,
        node: NodeId,
        first: Vec<MeshRequest>,
        receiver: &mut dyn FrameReceiver,
        answers: &Arc<Answers>,
        free: &Arc<Semaphore>,
    ) -> Result<(), ConnectionError> {
        // Ends with this set: nobody waits for the answers when the stream is gone.
        let mut answering = JoinSet::new();
        let mut requests = first;
        loop {
            let named = requests.iter().map(|request| &request.partition);
            exist("a request", named, self.parts.identity.partitions)?;
            for request in requests {
                let taken = Arc::clone(free).acquire_many_owned(places(request.body.len()));
                // It is never closed.
                let Ok(taken) = taken.await else { return Ok(()) };
                // Those that have ended leave the set; one that has panicked has said so by dropping what was due.
                while answering.try_join_next().is_some() {}
                let due = Due::new(Arc::clone(answers), request.id, taken);
                answering.spawn(self.clone().answer(node, request, due));
            }
            let Some(frame) = receiver.receive().await? else {
                return Ok(());
            };
            requests = match MeshMessage::decode(&frame)? {
                MeshMessage::Requests(requests) => requests,
                other => return Err(unexpected(&other, "requests")),
            };
        }
    }

    async fn answer(self, node: NodeId, request: MeshRequest, due: Due) {
        let patience_ms = u64::from(request.patience_ms).min(limits::MESH_PATIENCE_MS_MAX);
        let answer = self.parts.service.answer(node, request.partition, request.body);
        match timeout(Duration::from_millis(patience_ms), answer).await {
            Ok(result) => due.answer(result),
            // The asker has given up, too.
            Err(_) => due.forget(),
        }
    }
}

#[cfg(test)]
#[path = "serve_test.rs"]
mod tests;
