//! A committer that can be cut off from those who use it: what belongs to parts of a node that were stopped must not write
//! beside those that take their place.

use std::sync::{Arc, PoisonError, RwLock};

use crate::ports::store::{Committer, Completion, Durability, StoreError, WriteSet};

/// Hands sets on until it is closed.
pub struct Fence {
    inner: Arc<dyn Committer>,
    /// Read while a set is handed on, so that none is behind the closing.
    is_closed: RwLock<bool>,
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fence")
    }
}

impl Fence {
    /// In front of a committer.
    #[must_use]
    pub fn new(inner: Arc<dyn Committer>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            is_closed: RwLock::new(false),
        })
    }

    /// From now on everything is refused. Returns when all that was handed on before is written or has failed.
    ///
    /// # Errors
    /// [`StoreError`], when nobody can say whether it is written.
    pub async fn close(&self) -> Result<(), StoreError> {
        *self.is_closed.write().unwrap_or_else(PoisonError::into_inner) = true;
        let (done, written) = tokio::sync::oneshot::channel();
        let told = Box::new(move |result| drop(done.send(result)));
        self.inner.submit(WriteSet::new(), Durability::Synced, told);
        written.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Committer for Fence {
    fn submit(&self, set: WriteSet, durability: Durability, done: Completion) {
        let is_closed = self.is_closed.read().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            drop(is_closed);
            done(Err(StoreError::Closed));
        } else {
            self.inner.submit(set, durability, done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::store::{Family, Store as _};
    use crate::storage::{GroupCommitter, MemoryStore, SilentObserver};

    #[tokio::test]
    async fn what_comes_after_the_closing_is_refused_and_what_came_before_is_written() {
        let store = Arc::new(MemoryStore::new());
        let shared = Arc::<MemoryStore>::clone(&store);
        let committer = Arc::new(GroupCommitter::start(shared, Arc::new(SilentObserver)).unwrap());
        let fence = Fence::new(committer);
        let put = |key: &[u8]| {
            let mut set = WriteSet::new();
            set.put(Family::Meta, key, b"v");
            let (done, written) = tokio::sync::oneshot::channel();
            fence.submit(
                set,
                Durability::Deferred,
                Box::new(move |result| drop(done.send(result))),
            );
            written
        };
        let before = put(b"before");
        fence.close().await.unwrap();
        assert!(store.get(Family::Meta, b"before").unwrap().is_some());
        before.await.unwrap().unwrap();
        assert_eq!(put(b"after").await.unwrap(), Err(StoreError::Closed));
        assert!(store.get(Family::Meta, b"after").unwrap().is_none());
    }
}
