//! Moves records from the input to the nodes over many connections.
//!
//! Keeps: records in memory are bounded in number ([`limits::QUEUED_RECORDS_MAX`] per connection) and bytes
//! ([`limits::IN_FLIGHT_BYTES_MAX`]); all records of one key go over one connection in the order of the input, so that
//! the last line of a key is what stays; every line that is read is counted exactly once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncBufRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::connection::{Connection, Job};
use super::progress::Progress;
use super::record::{Format, Record, RecordError};
use super::stop::Stop;
use super::tally::{StopReason, Summary, Tally};
use crate::cli::client::Client;
use crate::cli::limits;
use crate::cli::lines::{Line, LineReader};
use crate::model::ids::Namespace;

/// What to load and how.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the registers go.
    pub(crate) namespace: Namespace,
    /// `None`: the first line tells.
    pub(crate) format: Option<Format>,
    /// Instead of what the lines tell.
    pub(crate) content_type: Option<String>,
    /// For all registers.
    pub(crate) ttl_seconds: Option<u64>,
    /// How many requests are under way at a time.
    pub(crate) connections: u16,
    /// How often one record is tried again.
    pub(crate) retries_max: u32,
    /// How many errors are tolerated.
    pub(crate) errors_max: u64,
}

/// What the connections of a load share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) tally: Arc<Tally>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: Stop,
}

impl Shared {
    /// For a load that begins.
    pub(crate) fn new(plan: Plan, input_size_bytes: Option<u64>) -> Arc<Self> {
        let progress = Arc::new(Progress::new(input_size_bytes));
        Arc::new(Self {
            plan,
            tally: Arc::new(Tally::new()),
            progress,
            stop: Stop::default(),
        })
    }

    /// Reports an error that was counted as number `errors`, and stops if that is one too many.
    pub(crate) fn report(&self, message: &str, errors: u64) {
        self.progress.error(message);
        if errors > self.plan.errors_max {
            self.stop.request(StopReason::TooManyErrors);
        }
    }
}

/// Loads `input` to its end or until stopped. `clients` must not be empty; connections are spread over them.
pub(crate) async fn load(
    input: impl AsyncBufRead + Unpin,
    clients: &[Client],
    shared: &Arc<Shared>,
) -> Summary {
    let begin = Instant::now();
    let mut follower = JoinSet::new();
    follower.spawn(Arc::clone(&shared.progress).follow(Arc::clone(&shared.tally)));

    let mut connections = JoinSet::new();
    let mut queues = Vec::new();
    for client in clients.iter().cycle().take(usize::from(shared.plan.connections)) {
        let (sender, receiver) = mpsc::channel(limits::QUEUED_RECORDS_MAX);
        connections.spawn(Connection::new(client.clone(), Arc::clone(shared)).run(receiver));
        queues.push(sender);
    }
    let mut feeder = Feeder {
        lines: LineReader::new(input),
        format: shared.plan.format,
        queues,
        memory: Arc::new(Semaphore::new(limits::IN_FLIGHT_BYTES_MAX)),
        shared,
    };
    feeder.run().await;
    // Closes the queues, so that the connections end after what is in them.
    drop(feeder);
    while connections.join_next().await.is_some() {}
    follower.shutdown().await;
    shared.progress.finish();
    shared.tally.summarise(begin.elapsed(), shared.stop.reason())
}

/// Reads the input and hands records to the connections.
struct Feeder<'a, R> {
    lines: LineReader<R>,
    format: Option<Format>,
    queues: Vec<mpsc::Sender<Job>>,
    memory: Arc<Semaphore>,
    shared: &'a Shared,
}

impl<R: AsyncBufRead + Unpin> Feeder<'_, R> {
    async fn run(&mut self) {
        loop {
            let line = tokio::select! {
                biased;
                () = self.shared.stop.requested() => return,
                line = self.lines.next() => line,
            };
            self.shared.tally.set_input_bytes(self.lines.bytes_read());
            match line {
                Ok(Some(line)) => self.take(line).await,
                Ok(None) => return,
                Err(error) => {
                    self.shared
                        .progress
                        .error(&format!("cannot read the input further: {error}"));
                    self.shared.stop.request(StopReason::InputFailed);
                    return;
                }
            }
        }
    }

    async fn take(&mut self, line: Line) {
        let number = line.number;
        let parsed = match line.bytes {
            // Blank lines, such as the one that editors leave at the end, mean nothing.
            Some(bytes) if bytes.trim_ascii().is_empty() && !bytes.contains(&b'\t') => return,
            Some(bytes) => {
                let format = *self.format.get_or_insert_with(|| Format::detect(&bytes));
                Record::parse(bytes, format)
            }
            None => Err(RecordError::LineTooLong),
        };
        match parsed {
            Ok(record) => self.enqueue(number, record).await,
            Err(error) => {
                let errors = self.shared.tally.record_malformed();
                self.shared.report(&format!("line {number}: {error}"), errors);
            }
        }
    }

    async fn enqueue(&self, line: u64, record: Record) {
        let mut hasher = DefaultHasher::new();
        record.key.hash(&mut hasher);
        let queue = hasher.finish() % self.queues.len() as u64;
        let queue = &self.queues[usize::try_from(queue).expect("an index of a vector fits its length")];
        tokio::select! {
            biased;
            () = self.shared.stop.requested() => self.shared.tally.record_unconfirmed(),
            memory = self.reserve(&record) => {
                // The connections take jobs until the queues close; only a panic ends one earlier.
                if queue.send(Job { line, record, memory }).await.is_err() {
                    self.shared.tally.record_unconfirmed();
                }
            }
        }
    }

    async fn reserve(&self, record: &Record) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(record.key.as_str().len() + record.value.len())
            .expect("keys and values are within their limits");
        Arc::clone(&self.memory)
            .acquire_many_owned(bytes)
            .await
            .expect("the semaphore is never closed")
    }
}
