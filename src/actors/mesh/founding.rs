//! The founding of a region of several nodes over its mesh (decision 0018). The decisions are those of
//! [`Founding`](crate::model::agreement::founding); here the others are asked and answered, and what must be durable is
//! written before anything else happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::actors::mesh::MeshBoard;
use crate::actors::mesh::error::ConnectionError;
use crate::actors::mesh::handshake::{next, unexpected};
use crate::model::agreement::founding::{Reply, Step, Waiting};
use crate::model::agreement::{
    Founding, FoundingAnswer, FoundingError, FoundingState, MemberId, OwnMembership,
};
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::model::tick::Tick;
use crate::ports::clock::Clock;
use crate::ports::link::Connection;
use crate::ports::store::{Committer, Durability, Family, StoreError, WriteSet};
use crate::wire::founding::encode_founding;
use crate::wire::keys::meta;
use crate::wire::mesh::MeshMessage;

/// How long the answer to one question is waited for: it may need an fsync. Later it would be too old to count.
const PATIENCE: Duration = Duration::from_millis(limits::FOUNDING_ANSWER_MS_MAX);

/// Another node asks.
struct Question {
    by: MemberId,
    answer: oneshot::Sender<FoundingAnswer>,
}

/// Where others are told what this node knows of the founding of its region. Cheap to clone.
#[derive(Clone)]
pub struct FoundingDesk {
    questions: mpsc::Sender<Question>,
    /// The answer to everybody, from when the region is founded.
    settled: Arc<OnceLock<FoundingAnswer>>,
}

/// The questions of others, for [`found_region`] to answer.
pub struct FoundingQuestions {
    queue: mpsc::Receiver<Question>,
    settled: Arc<OnceLock<FoundingAnswer>>,
}

impl std::fmt::Debug for FoundingDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FoundingDesk({:?})", self.settled.get())
    }
}

impl std::fmt::Debug for FoundingQuestions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FoundingQuestions({})", self.queue.len())
    }
}

impl FoundingDesk {
    /// A desk, and the questions that are asked there. In a region of one node nobody asks, and nobody need answer.
    #[must_use]
    pub fn open() -> (Self, FoundingQuestions) {
        let (sender, queue) = mpsc::channel(limits::FOUNDING_QUESTIONS_MAX);
        let settled = Arc::new(OnceLock::new());
        let desk = Self {
            questions: sender,
            settled: Arc::clone(&settled),
        };
        (desk, FoundingQuestions { queue, settled })
    }

    /// What this node answers to another one; none when it stops, or was refused. Dropped when the asker is gone.
    pub(super) async fn ask(&self, by: MemberId) -> Option<FoundingAnswer> {
        if let Some(answer) = self.settled.get() {
            return Some(answer.clone());
        }
        let (sender, answer) = oneshot::channel();
        let question = Question { by, answer: sender };
        if self.questions.send(question).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return Some(answer);
        }
        // It may have been settled just now.
        self.settled.get().cloned()
    }
}

/// What the founding works with.
pub struct FoundingParts {
    /// This node.
    pub own: MemberId,
    /// The nodes of its region by configuration, this one among them; several.
    pub nodes: BTreeSet<NodeId>,
    /// What its disk holds of the founding.
    pub stored: FoundingState,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// The one writer.
    pub committer: Arc<dyn Committer>,
    /// The connections to the others.
    pub board: Arc<MeshBoard>,
}

impl std::fmt::Debug for FoundingParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FoundingParts({})", self.own)
    }
}

/// Why a node's region is not founded, or not with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoundRegionError {
    /// It must not go on.
    #[error(transparent)]
    Refused(#[from] FoundingError),
    /// Its disk does not take the record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Waits until the region is founded and all of its nodes have the record on their disks, which it is on this node's, too;
/// founds it, where this node is the one to do so. Where it is in use already, waits until it has this node. From then on the desk answers by itself. May be dropped at any point:
/// whoever calls it again with what is stored then goes on.
///
/// # Errors
/// [`FoundRegionError`]. Others get no answers then.
pub async fn found_region(
    parts: FoundingParts,
    questions: FoundingQuestions,
) -> Result<OwnMembership, FoundRegionError> {
    let founding = Founding::new(parts.own, parts.nodes.clone(), parts.stored.clone())?;
    let running = Running {
        told: None,
        under_way: BTreeSet::new(),
        asking: JoinSet::new(),
        founding,
        parts,
    };
    running.run(questions).await
}

/// The end of one question of this node.
struct Asked {
    node: NodeId,
    asked_at: Tick,
    answer: Option<FoundingAnswer>,
}

struct Running {
    parts: FoundingParts,
    founding: Founding,
    /// When it was last said for whom this node waits.
    told: Option<Tick>,
    /// Whom this node is asking. Its questions end with the set of tasks.
    under_way: BTreeSet<NodeId>,
    asking: JoinSet<Asked>,
}

impl Running {
    async fn run(mut self, mut questions: FoundingQuestions) -> Result<OwnMembership, FoundRegionError> {
        let mut rounds = interval(Duration::from_millis(limits::FOUNDING_ASK_INTERVAL_MS));
        // Rounds that were missed would all ask the same.
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let clock = &self.parts.clock;
            match self.founding.step(clock.tick(), clock.now())? {
                Step::Done(membership) => {
                    let answer = self.answer(self.parts.own).await?;
                    // Nobody else settles it.
                    let _ = questions.settled.set(answer);
                    return Ok(membership);
                }
                Step::Store(state) => {
                    self.store(state).await?;
                    continue;
                }
                Step::Wait(waiting) => self.tell(&waiting),
            }
            tokio::select! {
                // In order, so that a simulated run can be repeated; each node asks one question at a time.
                biased;
                Some(question) = questions.queue.recv() => {
                    let answer = self.answer(question.by).await?;
                    // Whoever has asked may be gone.
                    let _ = question.answer.send(answer);
                }
                Some(asked) = self.asking.join_next() => self.take_answer(asked),
                _ = rounds.tick() => self.ask_others(),
            }
        }
    }

    /// The answer to a question, and whatever must be durable before it.
    async fn answer(&mut self, by: MemberId) -> Result<FoundingAnswer, StoreError> {
        loop {
            match self.founding.asked(by) {
                Reply::Answer(answer) => return Ok(answer),
                Reply::StoreFirst(state) => self.store(state).await?,
            }
        }
    }

    fn ask_others(&mut self) {
        for node in self.founding.others().collect::<Vec<_>>() {
            if let Some(connection) = self.parts.board.connection(&node)
                && self.under_way.insert(node)
            {
                let asked_at = self.parts.clock.tick();
                self.asking.spawn(async move {
                    let answer = ask(connection.as_ref(), node).await;
                    Asked {
                        node,
                        asked_at,
                        answer,
                    }
                });
            }
        }
    }

    fn take_answer(&mut self, asked: Result<Asked, tokio::task::JoinError>) {
        match asked {
            Ok(asked) => {
                self.under_way.remove(&asked.node);
                if let Some(answer) = asked.answer {
                    self.founding.answered(asked.asked_at, answer);
                }
            }
            Err(error) => {
                tracing::error!(own = %self.parts.own, %error, "asking a node about the founding failed");
                self.under_way.clear();
            }
        }
    }

    async fn store(&mut self, state: FoundingState) -> Result<(), StoreError> {
        let mut set = WriteSet::new();
        set.put(Family::Meta, &meta::founding(), &encode_founding(&state));
        let (done, written) = oneshot::channel();
        let told = Box::new(move |result| drop(done.send(result)));
        self.parts.committer.submit(set, Durability::Synced, told);
        written.await.unwrap_or(Err(StoreError::Closed))?;
        let own = self.parts.own;
        match &state {
            FoundingState::Unfounded(Some(founder)) => {
                tracing::info!(%own, %founder, "this node waits to be founded");
            }
            FoundingState::Unfounded(None) => {}
            FoundingState::Recorded(record) => {
                tracing::info!(%own, %record, "this node has stored the founding record of its region");
            }
            FoundingState::Complete(record) => {
                tracing::info!(%own, %record, "the region is founded");
            }
            FoundingState::Member { .. } => {
                tracing::info!(%own, "this node was added to its region");
            }
        }
        self.founding.stored(state);
        Ok(())
    }

    /// Says for whom this node waits, not all the time.
    fn tell(&mut self, waiting: &BTreeMap<NodeId, Waiting>) {
        let now = self.parts.clock.tick();
        let interval_ms = limits::FOUNDING_LOG_INTERVAL_MS;
        // `<`: after exactly the interval it is time.
        if self.told.is_some_and(|told| now.millis_since(told) < interval_ms) {
            return;
        }
        self.told = Some(now);
        let waiting: Vec<String> = waiting
            .iter()
            .map(|(node, why)| format!("{node} ({why})"))
            .collect();
        let own = self.parts.own;
        tracing::info!(%own, "this node does not take part in its region yet, and does not serve; it waits for {}", waiting.join(", "));
    }
}

/// Asks one node; none if it does not answer.
async fn ask(connection: &dyn Connection, node: NodeId) -> Option<FoundingAnswer> {
    let answer = timeout(PATIENCE, ask_on(connection)).await;
    match answer {
        // Each speaks for itself.
        Ok(Ok(answer)) => (answer.member.node == node).then_some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%node, %error, "a node of this region has not answered about the founding");
            None
        }
        Err(_) => None,
    }
}

async fn ask_on(connection: &dyn Connection) -> Result<FoundingAnswer, ConnectionError> {
    let mut stream = connection.open_stream().await?;
    stream.sender.send(MeshMessage::AskFounding.encode()).await?;
    match next(stream.receiver.as_mut(), "an answer about the founding").await? {
        MeshMessage::Founding(answer) => Ok(answer),
        other => Err(unexpected(&other, "an answer about the founding")),
    }
}
