//! One question for a client or an operator, and its answer, on a stream of their own.

use bytes::{Bytes, BytesMut};

use crate::actors::error_chain;
use crate::actors::mesh::handle::MeshError;
use crate::actors::mesh::service::{AnswerError, MeshService};
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::ports::link::{Connection, LinkError, Stream};
use crate::wire::mesh::MeshMessage;

/// Asks; the caller bounds the time.
pub(super) async fn ask(
    connection: &dyn Connection,
    node: NodeId,
    question: Bytes,
) -> Result<(Bytes, Bytes), MeshError> {
    let lost = |is_sent: bool, why: &dyn std::error::Error| MeshError::Lost {
        node,
        reason: error_chain(why).into(),
        is_sent,
    };
    let stream = connection.open_stream().await;
    let mut stream = stream.map_err(|error| lost(false, &error))?;
    let sent = stream.sender.send(MeshMessage::Question(question).encode()).await;
    sent.map_err(|error| lost(true, &error))?;
    take(&mut stream, node).await.map_err(|error| match error {
        Broken::Lost(error) => lost(true, &error),
        Broken::Wrong(reason) => MeshError::Failed { node, reason },
    })
}

enum Broken {
    Lost(LinkError),
    Wrong(String),
}

async fn take(stream: &mut Stream, node: NodeId) -> Result<(Bytes, Bytes), Broken> {
    let wrong = |what: &str| Broken::Wrong(format!("{node} has answered with {what}"));
    let mut answer_bytes = None;
    let mut body = BytesMut::new();
    while let Some(frame) = stream.receiver.receive().await.map_err(Broken::Lost)? {
        match MeshMessage::decode(&frame).map_err(|error| Broken::Wrong(error.to_string()))? {
            MeshMessage::Answer(Ok(bytes)) if answer_bytes.is_none() => answer_bytes = Some(bytes),
            MeshMessage::Answer(Err(reason)) if answer_bytes.is_none() => return Err(Broken::Wrong(reason)),
            MeshMessage::AnswerBody(part) if answer_bytes.is_some() => {
                // `>`: the largest listing with what JSON adds to it stays below.
                if body.len() + part.len() > limits::FORWARDED_ANSWER_BYTES_MAX {
                    return Err(wrong("more than is read"));
                }
                body.extend_from_slice(&part);
            }
            MeshMessage::AnswerEnd => {
                let len = answer_bytes.ok_or_else(|| wrong("an end without a beginning"))?;
                let len = usize::try_from(len).ok().filter(|len| *len <= body.len());
                let answer = body.split_to(len.ok_or_else(|| wrong("less than it has announced"))?);
                return Ok((answer.freeze(), body.freeze()));
            }
            other => return Err(wrong(other.name())),
        }
    }
    Err(wrong("the end of the stream"))
}

/// Answers what another node has asked. An asker that has given up in between is no reason to give up the connection.
pub(super) async fn answer(service: &dyn MeshService, from: NodeId, question: Bytes, mut stream: Stream) {
    let asker_is_gone = stream.receiver.receive();
    let answered = tokio::select! {
        biased;
        answered = service.answer_question(from, question) => answered,
        // It keeps its end open as long as it waits, and has nothing more to say.
        _ = asker_is_gone => return,
    };
    let _ = send(answered, &mut stream).await;
}

async fn send(answered: Result<(Bytes, Bytes), AnswerError>, stream: &mut Stream) -> Result<(), LinkError> {
    let (answer, body) = match answered {
        Ok(answered) => answered,
        Err(AnswerError(mut why)) => {
            why.truncate(why.floor_char_boundary(limits::MESH_REASON_BYTES_MAX));
            return stream.sender.send(MeshMessage::Answer(Err(why)).encode()).await;
        }
    };
    let len = u64::try_from(answer.len()).unwrap_or(u64::MAX);
    stream.sender.send(MeshMessage::Answer(Ok(len)).encode()).await?;
    for mut bytes in [answer, body] {
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(limits::ANSWER_PART_BYTES));
            stream.sender.send(MeshMessage::AnswerBody(part).encode()).await?;
        }
    }
    stream.sender.send(MeshMessage::AnswerEnd.encode()).await
}
