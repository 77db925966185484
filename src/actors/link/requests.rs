//! Requests to another region, each on a stream of its own: what has it applied, and what does it answer a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::replication::leadership::Leads;
use crate::ports::link::{Connection, LinkError};
use crate::wire::codec::DecodeError;
use crate::wire::messages::{ForwardedRequest, Message, PartitionVector};

/// Why another region has not answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection is gone.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It does not answer as it should.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The same.
    #[error("the region answered with {0}")]
    Unexpected(&'static str),
    /// The time is over.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// An answer of another region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers, by name.
    pub headers: Vec<(String, Bytes)>,
    /// Its body.
    pub body: Bytes,
}

/// Asks a node what its region has durably applied of some partitions, or of all if none is named; it answers for those that
/// it leads.
///
/// # Errors
/// [`RequestError`]; the caller bounds the time.
pub async fn ask_vectors(
    connection: &Arc<dyn Connection>,
    partitions: Vec<PartitionId>,
) -> Result<(Leads, Vec<PartitionVector>), RequestError> {
    let mut stream = connection.open_stream().await?;
    stream
        .sender
        .send(Message::AskVectors { partitions }.encode())
        .await?;
    match stream.receiver.receive().await? {
        Some(frame) => match Message::decode(&frame)? {
            Message::Vectors { vectors, leads } => Ok((leads, vectors)),
            other => Err(RequestError::Unexpected(other.name())),
        },
        None => Err(RequestError::Unexpected("the end of the stream")),
    }
}

/// Passes a client's request on and waits for the whole answer.
///
/// # Errors
/// [`RequestError`]; the region may have done what was asked nevertheless.
pub async fn forward(
    connection: &Arc<dyn Connection>,
    request: ForwardedRequest,
    patience: Duration,
) -> Result<ForwardedAnswer, RequestError> {
    let answer = timeout(patience, exchange(connection, request)).await;
    answer.unwrap_or(Err(RequestError::TimedOut(patience)))
}

async fn exchange(
    connection: &Arc<dyn Connection>,
    request: ForwardedRequest,
) -> Result<ForwardedAnswer, RequestError> {
    let mut stream = connection.open_stream().await?;
    stream.sender.send(Message::Forward(request).encode()).await?;
    let mut head = None;
    let mut body = BytesMut::new();
    while let Some(frame) = stream.receiver.receive().await? {
        match Message::decode(&frame)? {
            Message::AnswerHead { status, headers } if head.is_none() => head = Some((status, headers)),
            Message::AnswerBody(part) if head.is_some() => {
                // `>`: the largest listing with what JSON adds to it stays below.
                if body.len() + part.len() > limits::FORWARDED_ANSWER_BYTES_MAX {
                    return Err(RequestError::Unexpected("an answer that is too large"));
                }
                body.extend_from_slice(&part);
            }
            Message::AnswerEnd => {
                let (status, headers) = head.ok_or(RequestError::Unexpected("an answer without a head"))?;
                return Ok(ForwardedAnswer {
                    status,
                    headers,
                    body: body.freeze(),
                });
            }
            other => return Err(RequestError::Unexpected(other.name())),
        }
    }
    Err(RequestError::Unexpected("the end of the stream"))
}
