//! One way to end a load early, for Ctrl-C, too many errors and a broken input alike.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use super::tally::StopReason;

/// Tells all connections to stop. The first reason stays.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    reason: OnceLock<StopReason>,
}

impl Stop {
    /// Stops the load.
    pub(crate) fn request(&self, reason: StopReason) {
        // A later reason is a consequence of the first.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Whether it was stopped.
    pub(crate) fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is stopped.
    pub(crate) async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Why it was stopped.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }
}
