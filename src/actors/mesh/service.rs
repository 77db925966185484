//! What the mesh is for: the hooks through which the agreement of a region speaks to its other nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::agreement::MemberId;
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::raft::Term;
use crate::wire::mesh::SignOfLife;

/// What the next sign of life says, beside its number and the time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnSign {
    /// The stamp that this node would like to promise to other regions, in the partitions that it leads.
    pub through: Hlc,
    /// The partitions that it leads, each with the term.
    pub leads: BTreeMap<PartitionId, Term>,
    /// The nodes of the region that it does not hear.
    pub suspects: BTreeSet<NodeId>,
}

/// What the acknowledgement of a sign of life promises its sender.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Promise {
    /// This node gives no stamp up to this one in the partitions that the sign names; it is on this node's disk.
    pub through: Hlc,
    /// Partitions of the sign of which nothing is promised: somebody else has this node's vote.
    pub except: BTreeSet<PartitionId>,
}

/// Why a request has no answer, for people on the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AnswerError(pub String);

/// What this node says to the others of its region, and answers them.
///
/// The first two are called by the tasks that keep the node alive to others: they must not block.
#[async_trait]
pub trait MeshService: Send + Sync + 'static {
    /// What the next sign of life to a node says.
    fn own_sign(&self, to: NodeId) -> OwnSign;

    /// A sign of life has come. What is returned counts from now on, before it is sent: whatever of it must survive a
    /// crash must be durable already. None promises nothing, and the sign is not acknowledged.
    fn sign_of_life(&self, from: NodeId, sign: &SignOfLife) -> Option<Promise>;

    /// The members of the region, as far as they are known here.
    fn members(&self) -> BTreeSet<MemberId>;

    /// Answers a request. Dropped at any point when the asker's patience is over or its connection is gone, so what must be
    /// finished runs elsewhere.
    ///
    /// # Errors
    /// [`AnswerError`], which the asker gets in place of the answer.
    async fn answer(&self, from: NodeId, partition: PartitionId, body: Bytes) -> Result<Bytes, AnswerError>;

    /// Answers a question for clients or operators: the answer, and what is large behind it. Dropped as [`Self::answer`] is.
    ///
    /// # Errors
    /// [`AnswerError`], which the asker gets in place of the answer.
    async fn answer_question(&self, from: NodeId, question: Bytes) -> Result<(Bytes, Bytes), AnswerError>;
}

/// The service of a node that waits for the founding of its region; from [`UntilFounded::hand_over`] on, another one.
#[derive(Default)]
pub struct UntilFounded(OnceLock<Arc<dyn MeshService>>);

impl std::fmt::Debug for UntilFounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UntilFounded({})", self.0.get().is_some())
    }
}

impl UntilFounded {
    /// The region is founded and this node has its groups: everything is theirs from now on. Only the first call counts.
    pub fn hand_over(&self, service: Arc<dyn MeshService>) {
        // There is one set of groups.
        let _ = self.0.set(service);
    }
}

#[async_trait]
impl MeshService for UntilFounded {
    fn own_sign(&self, to: NodeId) -> OwnSign {
        self.0
            .get()
            .map(|service| service.own_sign(to))
            .unwrap_or_default()
    }

    fn sign_of_life(&self, from: NodeId, sign: &SignOfLife) -> Option<Promise> {
        self.0.get()?.sign_of_life(from, sign)
    }

    fn members(&self) -> BTreeSet<MemberId> {
        self.0.get().map(|service| service.members()).unwrap_or_default()
    }

    async fn answer(&self, from: NodeId, partition: PartitionId, body: Bytes) -> Result<Bytes, AnswerError> {
        match self.0.get() {
            Some(service) => service.answer(from, partition, body).await,
            None => Err(not_founded()),
        }
    }

    async fn answer_question(&self, from: NodeId, question: Bytes) -> Result<(Bytes, Bytes), AnswerError> {
        match self.0.get() {
            Some(service) => service.answer_question(from, question).await,
            None => Err(not_founded()),
        }
    }
}

fn not_founded() -> AnswerError {
    AnswerError("the region is not founded yet".to_owned())
}

/// The service of a node whose partitions have no other member: it leads nothing that others vote for.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGroups;

#[async_trait]
impl MeshService for NoGroups {
    fn own_sign(&self, _: NodeId) -> OwnSign {
        OwnSign::default()
    }

    fn sign_of_life(&self, _: NodeId, _: &SignOfLife) -> Option<Promise> {
        None
    }

    fn members(&self) -> BTreeSet<MemberId> {
        BTreeSet::new()
    }

    async fn answer(&self, _: NodeId, partition: PartitionId, _: Bytes) -> Result<Bytes, AnswerError> {
        let reason = format!("partition {partition} has no other members than this node");
        Err(AnswerError(reason))
    }

    async fn answer_question(&self, _: NodeId, _: Bytes) -> Result<(Bytes, Bytes), AnswerError> {
        Err(AnswerError("this node has its region to itself".to_owned()))
    }
}
