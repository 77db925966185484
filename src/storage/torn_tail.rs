//! The mark of a torn log end: a file beside the database that stays until somebody has drawn the consequence. The
//! database itself forgets it at the first open, be that by a node that crashes again at once or by a verification.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::ports::store::StoreError;
use crate::storage::wal_tail::TruncatedTail;

fn path(folder: &Path) -> PathBuf {
    folder.join("torn-tail")
}

fn failed(folder: &Path, error: &std::io::Error) -> StoreError {
    let detail = format!(
        "the mark {} cannot be read or written: {error}",
        path(folder).display()
    );
    StoreError::Engine {
        path: folder.to_owned(),
        detail,
    }
}

/// Writes the mark, durably.
pub(super) fn mark(folder: &Path, tail: &TruncatedTail) -> Result<(), StoreError> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path(folder))?;
        write!(file, "{}\n{}\n", tail.bytes, tail.file.display())?;
        file.sync_all()?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| failed(folder, &error))
}

/// What an earlier open has marked.
pub(crate) fn marked(folder: &Path) -> Result<Option<TruncatedTail>, StoreError> {
    let text = match fs::read_to_string(path(folder)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(folder, &error)),
    };
    // A mark that was itself torn still says what matters: that there was a torn end.
    let (bytes, file) = text.split_once('\n').unwrap_or(("0", ""));
    Ok(Some(TruncatedTail {
        file: PathBuf::from(file.trim_end()),
        bytes: bytes.parse().unwrap_or(0),
    }))
}

/// Takes the mark away, durably.
pub(super) fn forget(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path(folder)) {
        Ok(()) => File::open(folder)
            .and_then(|handle| handle.sync_all())
            .map_err(|error| failed(folder, &error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(folder, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let tail = TruncatedTail {
            file: PathBuf::from("/data/db/000012.log"),
            bytes: 17,
        };
        assert_eq!(marked(folder.path()).unwrap(), None);
        mark(folder.path(), &tail).unwrap();
        assert_eq!(marked(folder.path()).unwrap(), Some(tail.clone()));
        assert_eq!(marked(folder.path()).unwrap(), Some(tail));
        forget(folder.path()).unwrap();
        forget(folder.path()).unwrap();
        assert_eq!(marked(folder.path()).unwrap(), None);
    }
}
