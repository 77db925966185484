//! Files that are read before anything protects them: write-ahead logs, marks, certificates.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use atoll::fuzzing;
use atoll::transport::certificates::{cluster_of_authority, identity_of};
use tempfile::TempDir;

use super::Verdict;

thread_local! {
    /// One for each thread; each input replaces the file of the one before.
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fn with_file<T>(name: &str, input: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| {
        let folder = folder
            .get_or_init(|| tempfile::tempdir().expect("there is room for a folder"))
            .path();
        // Truncating the old file instead would have some file systems wait for the disk at each input.
        let _ = fs::remove_file(folder.join(name));
        fs::write(folder.join(name), input).expect("there is room for a file");
        read(folder)
    })
}

/// A write-ahead log: read to an end, and what is reported lies in it.
pub(super) fn write_ahead_log(input: &[u8]) -> Verdict {
    let reading = with_file("000007.log", input, fuzzing::read_logs).expect("the folder is readable");
    let size = input.len() as u64;
    if let Some(tail) = &reading.truncated {
        assert!(tail.bytes <= size, "{tail:?}");
    }
    for (_, offset) in reading.damaged_tail.iter().chain(&reading.first_damage) {
        assert!(*offset < size);
    }
    let is_whole =
        reading.truncated.is_none() && reading.damaged_tail.is_none() && reading.first_damage.is_none();
    Verdict::of(is_whole)
}

/// The mark of a torn log end: a torn mark is a mark too.
pub(super) fn torn_tail_mark(input: &[u8]) -> Verdict {
    let mark = with_file("torn-tail", input, fuzzing::torn_tail_mark);
    assert_eq!(mark.is_some(), std::str::from_utf8(input).is_ok());
    Verdict::of(mark.is_some_and(|mark| mark.bytes > 0))
}

/// A certificate in DER: the names in it are valid ones.
pub(super) fn certificate(input: &[u8]) -> Verdict {
    let of_node = identity_of(input).is_ok();
    let of_authority = cluster_of_authority("ca.pem", input).is_ok();
    Verdict::of(of_node || of_authority)
}
