//! Questions for clients and operators: asked where this node holds no copy of a partition, and answered for others that do not.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::actors::error_chain;
use crate::actors::group::hub::RegionGroups;
use crate::actors::link::answering::Origin;
use crate::actors::link::requests::ForwardedAnswer;
use crate::actors::mesh::MeshError;
use crate::actors::mesh::service::AnswerError;
use crate::actors::region::{AskError, Asked, AskedInVain, InsideRequest, RegionError, parts};
use crate::model::agreement::cover::cover;
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::wire::questions::{NodeAnswer, NodeQuestion};

/// How long a leader that was deposed may take to say what became of what it was asked.
const FAREWELL: Duration = Duration::from_millis(300);

impl RegionGroups {
    // --- asking

    /// Who can be asked for a partition that is not here: who leads it, then those who are to have it, in their order; of those
    /// that are heard. Where none of them is, anybody else that is: while members are being changed, others may still have it.
    pub fn holders(&self, partition: PartitionId) -> Vec<NodeId> {
        let now = self.now();
        let (planned, members, gone) = {
            let state = self.lock();
            let planned = state.plan.order(partition).to_vec();
            let members: Vec<_> = state.plan.members().keys().copied().collect();
            (planned, members, state.liveness.suspected(now))
        };
        let is_heard = |node: &NodeId| {
            *node != self.own.node
                && members
                    .iter()
                    .any(|member| member.node == *node && !gone.contains(member))
        };
        let leader = self.context.groups.leader(partition);
        let mut found: Vec<NodeId> = leader.into_iter().filter(is_heard).collect();
        let placed = planned.iter().map(|member| member.node).filter(is_heard);
        for node in placed {
            if !found.contains(&node) {
                found.push(node);
            }
        }
        found
    }

    /// Anybody that is heard.
    fn others(&self) -> Vec<NodeId> {
        let now = self.now();
        let state = self.lock();
        let gone = state.liveness.suspected(now);
        let members = state.plan.members().keys();
        members
            .filter(|member| **member != self.own && !gone.contains(member))
            .map(|member| member.node)
            .collect()
    }

    /// See [`Holding::cover`](crate::actors::region::Holding::cover).
    ///
    /// # Errors
    /// The partitions that nobody is left to be asked for.
    pub fn cover(
        &self,
        wanted: PartitionSet,
        in_vain: &AskedInVain,
    ) -> Result<BTreeMap<NodeId, PartitionSet>, Box<PartitionSet>> {
        let others = self.others();
        cover(wanted, |partition| {
            let is_left = |node: &NodeId| !in_vain.contains(&(*node, partition));
            let placed = self.holders(partition).into_iter().filter(is_left);
            let mut found: Vec<NodeId> = placed.collect();
            if found.is_empty() {
                found = others.iter().copied().filter(is_left).collect();
            }
            found
        })
    }

    /// Lets another node answer a client's request.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask_request(
        &self,
        node: NodeId,
        inside: InsideRequest,
        patience: Duration,
    ) -> Asked<ForwardedAnswer> {
        let led = inside.led;
        let question = NodeQuestion::Request {
            passed_on_by: inside.passed_on_by,
            part: inside.part,
            request: inside.request,
        };
        let mut asking = std::pin::pin!(self.ask_question(node, question, patience));
        let answered = match led {
            None => asking.await,
            Some(partition) => match self.while_leading(partition, node, asking.as_mut()).await {
                Some(answered) => answered,
                // It may have handed over in order, and says so; or it is gone, and nobody knows what it has still done.
                None => tokio::time::timeout(FAREWELL, asking).await.unwrap_or_else(|_| {
                    Err(AskError {
                        why: format!("{node} was lost while it had the request; another node leads now"),
                        may_have_been_done: true,
                        is_late: false,
                    })
                }),
            },
        };
        match answered? {
            Ok((NodeAnswer::Answered { status, headers }, body)) => Ok(Ok(ForwardedAnswer {
                status,
                headers,
                body,
            })),
            Ok((other, _)) => Err(unexpected(node, &other, true)),
            Err(not_held) => Ok(Err(not_held)),
        }
    }

    /// Asks another node.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask_question(
        &self,
        node: NodeId,
        question: NodeQuestion,
        patience: Duration,
    ) -> Asked<(NodeAnswer, Bytes)> {
        let not_sent = |why: String| AskError {
            why,
            may_have_been_done: false,
            is_late: false,
        };
        let Some(mesh) = self.mesh.get() else {
            return Err(not_sent("this node starts".to_owned()));
        };
        let answered = mesh.ask(node, question.encode(), patience).await;
        let (answer, body) = answered.map_err(|error| AskError {
            may_have_been_done: error.may_have_been_received(),
            is_late: matches!(error, MeshError::TimedOut { .. }),
            why: error_chain(&error),
        })?;
        match NodeAnswer::decode(&answer) {
            Ok(NodeAnswer::NotHeld(partitions)) => Ok(Err(partitions)),
            Ok(NodeAnswer::Failed(why)) => Err(not_sent(format!("{node} has no answer: {why}"))),
            Ok(answer) => Ok(Ok((answer, body))),
            Err(error) => Err(AskError {
                why: error_chain(&error),
                may_have_been_done: true,
                is_late: false,
            }),
        }
    }

    /// The highest stamp of an own commit that any node of the region which is heard has.
    pub async fn own_through_anywhere(&self) -> Hlc {
        let patience = Duration::from_millis(limits::REQUEST_TIMEOUT_MS_DEFAULT);
        let asking = self.others().into_iter().map(|node| async move {
            match self.ask_question(node, NodeQuestion::OwnThrough, patience).await {
                Ok(Ok((NodeAnswer::OwnThrough(stamp), _))) => stamp,
                _ => Hlc::ZERO,
            }
        });
        let stamps = futures_util::future::join_all(asking).await;
        stamps.into_iter().max().unwrap_or_default()
    }

    // --- answering

    pub(super) async fn answer_node(
        &self,
        from: NodeId,
        question: &[u8],
    ) -> Result<(Bytes, Bytes), AnswerError> {
        let question = NodeQuestion::decode(question).map_err(|error| AnswerError(error_chain(&error)))?;
        let (answer, body) = match question {
            NodeQuestion::Request {
                passed_on_by,
                part,
                request,
            } => {
                let origin = Origin {
                    region: passed_on_by,
                    node: Some(from),
                    part,
                };
                let Some(service) = self.context.answering.get().and_then(Weak::upgrade) else {
                    return Err(AnswerError("this node starts or ends".to_owned()));
                };
                match service.answer(origin, request).await {
                    Ok(ForwardedAnswer {
                        status,
                        headers,
                        body,
                    }) => (NodeAnswer::Answered { status, headers }, body),
                    Err(partitions) => (NodeAnswer::NotHeld(partitions), Bytes::new()),
                }
            }
            NodeQuestion::OwnThrough => (
                NodeAnswer::OwnThrough(self.context.partitions.own_through()),
                Bytes::new(),
            ),
            question => (self.answer_parts(question).await, Bytes::new()),
        };
        Ok((answer.encode(), body))
    }

    /// Answers for whole partitions: only where all of them are here, before and after they were looked at.
    async fn answer_parts(&self, question: NodeQuestion) -> NodeAnswer {
        let Some(region) = self.region.get().and_then(Weak::upgrade) else {
            return NodeAnswer::Failed("this node starts or ends".to_owned());
        };
        let admission = match region.admit(0) {
            Ok(admission) => admission,
            Err(error) => return NodeAnswer::Failed(error.to_string()),
        };
        let context = Arc::clone(&self.context);
        let reading = self.context.blocking.run(move || {
            let answered = parts::answer(&context, question);
            drop(admission);
            answered
        });
        let failed = |error: &RegionError| NodeAnswer::Failed(error.to_string());
        match reading.await {
            Ok(answered) => answered.unwrap_or_else(|error| failed(&error)),
            Err(error) => NodeAnswer::Failed(error_chain(&error)),
        }
    }
}

/// An answer to another question.
pub(crate) fn unexpected(node: NodeId, answer: &NodeAnswer, may_have_been_done: bool) -> AskError {
    let kind = format!("{answer:?}");
    let kind = kind.split(['(', ' ']).next().unwrap_or_default();
    AskError {
        why: format!("{node} has answered with {kind}, which was not asked"),
        may_have_been_done,
        is_late: false,
    }
}
