//! The port for work that may wait for the disk: on threads of its own, or at once where the order of events must be
//! reproducible.

/// Where work that may wait for the disk runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockingWork {
    /// On the runtime's blocking threads, so that nobody else waits with it.
    Threads,
    /// In the task that asks, after the others had their turn: for simulation, where the disk never waits.
    AtOnce,
}

/// The work did not end: the runtime stops, or the work has panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the work ended early: {0}")]
pub struct EndedEarly(String);

impl BlockingWork {
    /// Does the work and gives its result.
    ///
    /// # Errors
    /// [`EndedEarly`].
    pub async fn run<T, F>(self, work: F) -> Result<T, EndedEarly>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| EndedEarly(error.to_string())),
            Self::AtOnce => {
                tokio::task::yield_now().await;
                Ok(work())
            }
        }
    }
}
