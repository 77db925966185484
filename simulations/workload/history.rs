//! The history that clients write together.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atoll::model::ids::RegionId;
use atoll::model::record::RecordId;

use crate::evidence::{
    Action, BatchId, ClientId, Moment, Operation, OperationId, Outcome, Promise, SessionId,
};
use crate::world::recorder::Recorder;

/// All operations so far; clones share them.
#[derive(Clone)]
pub struct History {
    operations: Arc<Mutex<Vec<Operation>>>,
    recorder: Recorder,
}

/// What a client begins.
pub struct Begun {
    pub client: ClientId,
    pub session: SessionId,
    pub batch: Option<BatchId>,
    pub region: RegionId,
    pub promise: Promise,
    pub record: RecordId,
    pub action: Action,
}

impl History {
    /// An empty one.
    pub fn new(recorder: Recorder) -> Self {
        Self {
            operations: Arc::default(),
            recorder,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation begins.
    pub fn begin(&self, begun: Begun, now: Moment) -> OperationId {
        let mut operations = self.lock();
        let id = OperationId(u32::try_from(operations.len()).expect("a run has far fewer operations"));
        self.recorder.event(format!(
            "client {} #{} {} in {}: {:?}",
            begun.client.0,
            id.0,
            name_of(&begun.record),
            begun.region,
            begun.action
        ));
        operations.push(Operation {
            id,
            client: begun.client,
            session: begun.session,
            batch: begun.batch,
            region: begun.region,
            promise: begun.promise,
            record: begun.record,
            action: begun.action,
            started: now,
            ended: None,
            outcome: Outcome::Unknown { status: None },
        });
        id
    }

    /// The name of a batch that begins with the next operation.
    pub fn next_batch(&self) -> BatchId {
        BatchId(u32::try_from(self.lock().len()).expect("a run has far fewer operations"))
    }

    /// It ends. What belongs to a home was done where the answer says.
    pub fn end(&self, id: OperationId, now: Moment, outcome: Outcome, answered_by: Option<RegionId>) {
        self.recorder.event(format!("#{} ends: {outcome:?}", id.0));
        if matches!(outcome, Outcome::Unknown { .. }) {
            self.recorder.reached("outcome unknown to the client");
        }
        let mut operations = self.lock();
        let operation = &mut operations[id.0 as usize];
        operation.ended = Some(now);
        operation.outcome = outcome;
        if let Some(region) = answered_by.filter(|_| operation.promise == Promise::Home) {
            operation.region = region;
        }
    }

    /// A situation was reached.
    pub fn reached(&self, situation: &'static str) {
        self.recorder.reached(situation);
    }

    /// A reading that is no operation of the history shows what must not be.
    pub fn shown(&self, checker: &'static str, detail: &str) {
        self.recorder.violated(checker, detail);
    }

    /// Its answer breaks the contract.
    pub fn violated(&self, id: OperationId, detail: &str) {
        self.recorder
            .violated("contract", &format!("#{}: {detail}", id.0));
    }

    /// How it has ended, so far.
    pub fn outcome(&self, id: OperationId) -> Outcome {
        self.lock()[id.0 as usize].outcome.clone()
    }

    /// All of them.
    pub fn operations(&self) -> Vec<Operation> {
        self.lock().clone()
    }

    /// The records that were touched.
    pub fn records(&self) -> BTreeSet<RecordId> {
        self.lock()
            .iter()
            .map(|operation| operation.record.clone())
            .collect()
    }
}

fn name_of(record: &RecordId) -> String {
    format!(
        "{}/{}/{}",
        record.namespace,
        record.record_type.name(),
        record.key
    )
}
