//! One connection of a load: sends its records one after another, and repeats what failed for a while.
//!
//! Repeating is safe, since writing a register twice is the same as writing it once.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::engine::Shared;
use super::record::Record;
use super::tally::StopReason;
use crate::cli::backoff;
use crate::cli::client::types::{PutOptions, RecordName};
use crate::cli::client::{Client, ClientError};
use crate::cli::limits;

/// A record on its way.
#[derive(Debug)]
pub(crate) struct Job {
    /// Where it stood in the input.
    pub(crate) line: u64,
    /// What to write.
    pub(crate) record: Record,
    /// Its share of the memory, given back when the job is dropped.
    #[expect(dead_code, reason = "held only for its drop")]
    pub(crate) memory: OwnedSemaphorePermit,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    shared: Arc<Shared>,
}

/// How the work on one record ended.
enum Ending {
    Acknowledged,
    Failed(ClientError),
    Stopped,
}

impl Connection {
    /// Opens nothing yet.
    pub(crate) fn new(client: Client, shared: Arc<Shared>) -> Self {
        Self { client, shared }
    }

    /// Works until the queue is closed. After a stop, what is still queued is only counted.
    pub(crate) async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let begin = Instant::now();
            let tally = &self.shared.tally;
            match self.put_until_settled(&job.record).await {
                Ending::Acknowledged => tally.record_loaded(begin.elapsed(), job.record.value.len()),
                Ending::Stopped => tally.record_unconfirmed(),
                Ending::Failed(error) => {
                    if matches!(error, ClientError::Unreachable { .. }) {
                        self.shared.stop.request(StopReason::NodeUnreachable);
                    }
                    let errors = tally.record_failed();
                    self.shared.report(&format!("line {}: {error}", job.line), errors);
                }
            }
        }
    }

    async fn put_until_settled(&self, record: &Record) -> Ending {
        let mut retry = 0;
        loop {
            if self.shared.stop.is_requested() {
                return Ending::Stopped;
            }
            let Some(result) = self.put_unless_stopped(record).await else {
                return Ending::Stopped;
            };
            let error = match result {
                Ok(()) => return Ending::Acknowledged,
                Err(error) => error,
            };
            if !error.is_temporary() || retry >= self.shared.plan.retries_max {
                return Ending::Failed(error);
            }
            let delay = backoff::delay(retry, error.retry_after(), backoff::jitter());
            retry += 1;
            self.shared.tally.record_retry();
            tokio::select! {
                () = self.shared.stop.requested() => return Ending::Stopped,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// One attempt; `None` if the load was stopped and the answer did not come soon after.
    async fn put_unless_stopped(&self, record: &Record) -> Option<Result<(), ClientError>> {
        let grace_over = async {
            self.shared.stop.requested().await;
            tokio::time::sleep(limits::STOP_GRACE).await;
        };
        tokio::select! {
            biased;
            result = self.put(record) => Some(result),
            () = grace_over => None,
        }
    }

    async fn put(&self, record: &Record) -> Result<(), ClientError> {
        let plan = &self.shared.plan;
        let name = RecordName {
            namespace: &plan.namespace,
            key: &record.key,
        };
        let options = PutOptions {
            content_type: Some(plan.content_type.as_deref().unwrap_or(record.content_type)),
            ttl_seconds: plan.ttl_seconds,
            context: None,
        };
        self.client
            .register_put(name, record.value.clone(), &options)
            .await?;
        Ok(())
    }
}
