//! The corpus: a folder for each target under `tests/fuzz/corpus/`, a file for each input.
//!
//! The name of a file says where it is from and what must become of it: `valid-*` was encoded from a real value and is
//! accepted, `refused-*` was written to be refused, `crash-*` has once failed and must never again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::targets::Target;

/// An input of the corpus.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The file's name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// The folder of all corpora.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The inputs of a target, by name, so that every machine mutates them in the same order.
pub(crate) fn of(target: &Target) -> Vec<Entry> {
    let mut entries: Vec<_> = fs::read_dir(root().join(target.name))
        .into_iter()
        .flatten()
        .map(|file| {
            let file = file.expect("the corpus is readable");
            Entry {
                name: file.file_name().into_string().expect("names are text"),
                bytes: fs::read(file.path()).expect("the corpus is readable"),
            }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// Keeps an input that failed; its path in the project.
pub(crate) fn keep_crash(target: &Target, input: &[u8]) -> String {
    let hash = blake3::hash(input).to_hex();
    let name = format!("crash-{}", &hash[..12]);
    write(target.name, &name, input);
    format!("tests/fuzz/corpus/{}/{name}", target.name)
}

/// Writes an input.
pub(crate) fn write(target: &str, name: &str, input: &[u8]) {
    let folder = root().join(target);
    fs::create_dir_all(&folder).expect("the corpus is writable");
    fs::write(folder.join(name), input).expect("the corpus is writable");
}
