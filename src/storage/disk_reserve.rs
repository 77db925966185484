//! Keeps a reserve of free space on the data folder's volume: writes are refused before the disk is full.
//!
//! Invariant 12: a refused write has not touched the disk, so that the caller may simply try again. A full disk would hit
//! RocksDB in the middle of a write, a flush or a compaction instead. Readings are cached (statvfs costs a system call), and
//! taken by the writers themselves: there is no thread. Reads never come here.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::limits;
use crate::ports::store::{StoreError, WriteSet};

#[derive(Debug, Clone, Copy)]
struct Reading {
    taken: Instant,
    free_bytes: u64,
    /// Bytes that this store has written since; an estimate of what is gone of `free_bytes`.
    written_bytes: u64,
}

impl Reading {
    fn estimate_bytes(&self) -> u64 {
        self.free_bytes.saturating_sub(self.written_bytes)
    }
}

/// The guard in front of every write.
#[derive(Debug)]
pub(super) struct DiskReserve {
    folder: PathBuf,
    reserve_bytes: AtomicU64,
    reading: Mutex<Option<Reading>>,
}

impl DiskReserve {
    pub(super) fn new(folder: PathBuf, reserve_bytes: u64) -> Self {
        Self {
            folder,
            reserve_bytes: AtomicU64::new(reserve_bytes),
            reading: Mutex::new(None),
        }
    }

    pub(super) fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn set_reserve_bytes(&self, reserve_bytes: u64) {
        self.reserve_bytes.store(reserve_bytes, Ordering::Relaxed);
    }

    /// Free bytes of the volume, for users other than root; read now.
    pub(super) fn free_bytes(&self) -> Result<u64, StoreError> {
        let volume = rustix::fs::statvfs(&self.folder).map_err(|error| StoreError::Engine {
            path: self.folder.clone(),
            detail: format!("cannot read the free space of its volume: {error}"),
        })?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }

    /// Admits a write, or refuses it with [`StoreError::DiskFull`].
    pub(super) fn admit(&self, sets: &[WriteSet]) -> Result<(), StoreError> {
        let bytes = sets.iter().map(|set| set.size_bytes() as u64).sum();
        let trims_only = !sets.is_empty() && sets.iter().all(WriteSet::is_trim);
        let reserve_bytes = if trims_only {
            self.reserve_bytes() / 2
        } else {
            self.reserve_bytes()
        };
        // `<` : a write that leaves exactly the reserve is fine.
        let too_little = |reading: &Reading| reading.estimate_bytes().saturating_sub(bytes) < reserve_bytes;

        let mut slot = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reading = match *slot {
            Some(reading) if still_holds(&reading) => reading,
            _ => self.read()?,
        };
        // Nobody is refused on an estimate alone: space that the log had preallocated is not gone twice.
        if too_little(&reading) && reading.written_bytes > 0 {
            reading = self.read()?;
        }
        let refused = too_little(&reading);
        if !refused {
            reading.written_bytes += bytes;
        }
        *slot = Some(reading);
        if refused {
            return Err(StoreError::DiskFull {
                free_bytes: reading.estimate_bytes(),
                reserve_bytes: self.reserve_bytes(),
                path: self.folder.clone(),
            });
        }
        Ok(())
    }

    /// Whether there is room to reopen the store after a failure, which may write `bytes`. Half of the reserve must be
    /// there, as for a trim: it is what the reserve is for.
    pub(super) fn admit_recovery(&self, bytes: u64) -> Result<(), StoreError> {
        let free_bytes = self.free_bytes()?;
        let needed_bytes = bytes.max(self.reserve_bytes() / 2);
        if free_bytes < needed_bytes {
            return Err(StoreError::DiskFull {
                free_bytes,
                reserve_bytes: needed_bytes,
                path: self.folder.clone(),
            });
        }
        Ok(())
    }

    /// Forgets the cached reading: the next write looks at the volume itself.
    pub(super) fn forget_reading(&self) {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn read(&self) -> Result<Reading, StoreError> {
        Ok(Reading {
            taken: Instant::now(),
            free_bytes: self.free_bytes()?,
            written_bytes: 0,
        })
    }
}

fn still_holds(reading: &Reading) -> bool {
    reading.taken.elapsed() < Duration::from_millis(limits::DISK_CHECK_INTERVAL_MS)
        && reading.written_bytes < limits::DISK_CHECK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::store::Family;

    fn set_of(bytes: usize) -> WriteSet {
        let mut set = WriteSet::new();
        set.put(Family::Rows, b"", &vec![0; bytes]);
        set
    }

    #[test]
    fn a_write_that_would_eat_into_the_reserve_is_refused_until_there_is_space() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = DiskReserve::new(folder.path().to_owned(), u64::MAX);
        let error = reserve.admit(&[set_of(10)]).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::DiskFull {
                    reserve_bytes: u64::MAX,
                    ..
                }
            ),
            "{error}"
        );
        reserve.set_reserve_bytes(0);
        reserve.admit(&[set_of(10)]).unwrap();
    }

    #[test]
    fn a_trim_may_use_half_of_the_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = DiskReserve::new(folder.path().to_owned(), 0);
        let free_bytes = reserve.free_bytes().unwrap();
        reserve.set_reserve_bytes(free_bytes + free_bytes / 2);
        let mut trim = WriteSet::new();
        trim.delete_range(Family::Log, b"a", b"b");
        reserve.admit(std::slice::from_ref(&trim)).unwrap();
        assert!(reserve.admit(&[set_of(1)]).is_err());
        assert!(reserve.admit(&[trim, set_of(1)]).is_err());
    }
}
