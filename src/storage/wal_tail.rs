//! Reads the record structure of RocksDB's write-ahead log before RocksDB does, to tell what recovery keeps silent about.
//!
//! In the recovery mode that the store uses, RocksDB drops an incomplete last record without a word. Usually that is a
//! torn write, which nobody was told had succeeded; it must still be reported, since a disk that lies about fsync looks the
//! same. And where only the length of a record near the end is damaged, RocksDB takes all behind it for one incomplete
//! record: acknowledged writes would vanish. Here intact records behind the break give that away, and the open is refused.
//!
//! The format (RocksDB's `db/log_format.h`): blocks of 32 KiB; in them physical records of a header (masked CRC-32C of
//! type and payload: u32, payload length: u16, type: u8, for recyclable types also the log's number: u32; little
//! endian) and a payload; less than 7 bytes at the end of a block are a trailer. A logical record is one
//! `full`, or `first`, `middle`s and `last`. This file never writes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::crc32c;

const BLOCK_SIZE: usize = 32 * 1024;
const HEADER_SIZE: usize = 7;
const RECYCLABLE_HEADER_SIZE: usize = 11;

/// A last record that was dropped because it was incomplete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruncatedTail {
    /// The log file.
    pub file: PathBuf,
    /// How much of the file was dropped.
    pub bytes: u64,
}

/// Where a log is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
}

/// What the end of the newest log looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WalTail {
    /// It ends with a whole record, or there is none.
    Whole,
    /// It ends inside a record: recovery drops that.
    Truncated(TruncatedTail),
    /// It looks as if it ended inside a record, but intact ones follow: recovery would drop those too.
    Damaged(Damage),
}

/// Looks at the newest log in the database folder.
pub(crate) fn inspect(database: &Path) -> io::Result<WalTail> {
    let Some(path) = logs(database)?.pop() else {
        return Ok(WalTail::Whole);
    };
    let mut log = Log::open(path)?;
    let Stop::Incomplete { at, dropped_bytes } = log.walk(0, Checksums::Skip)? else {
        // What is not tolerated, RocksDB reports by itself.
        return Ok(WalTail::Whole);
    };
    Ok(if log.has_intact_records_after(at)? {
        WalTail::Damaged(Damage {
            file: log.path,
            offset: at,
        })
    } else {
        WalTail::Truncated(TruncatedTail {
            bytes: dropped_bytes,
            file: log.path,
        })
    })
}

/// The first place in the logs, oldest first, where a checksum or the structure is wrong, if there is one.
pub(crate) fn find_damage(database: &Path) -> Option<Damage> {
    // An explanation of an error that is reported anyway: a log that cannot be read is no reason to fail twice.
    let paths = logs(database).ok()?;
    paths.into_iter().find_map(|path| {
        let mut log = Log::open(path).ok()?;
        match log.walk(0, Checksums::Verify).ok()? {
            Stop::Damaged { at } => Some(Damage {
                file: log.path,
                offset: at,
            }),
            Stop::Clean | Stop::Incomplete { .. } => None,
        }
    })
}

/// The logs in the order of their numbers.
fn logs(database: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(database) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbered = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == "log")
        {
            numbered.push((number, path));
        }
    }
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Checksums {
    Verify,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// At the end, behind a whole record and possibly zeros.
    Clean,
    /// Inside a record that the end of the file cuts off, or at zeros with more behind them: recovery goes on silently.
    Incomplete { at: u64, dropped_bytes: u64 },
    /// At a record that cannot be: recovery refuses it.
    Damaged { at: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Full,
    First,
    Middle,
    Last,
    /// Compression, timestamp size and predecessor notes, and what newer versions mark as ignorable.
    Note,
}

struct Record {
    part: Part,
    size: usize,
}

enum Parsed {
    Record(Record),
    Zeros,
    TooLong,
    Wrong,
}

struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Log {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size })
    }

    /// Reads records from `from` until the end or something that is not one.
    fn walk(&mut self, from: u64, checksums: Checksums) -> io::Result<Stop> {
        // Where the logical record begins whose end has not come yet.
        let mut unfinished: Option<u64> = None;
        let mut offset = from;
        while offset < self.size {
            let block = self.block_from(offset)?;
            let block_end = offset + block.len() as u64;
            let block_is_full = block_end.is_multiple_of(BLOCK_SIZE as u64);
            let mut rest = block.as_slice();
            while rest.len() >= HEADER_SIZE {
                let at = block_end - rest.len() as u64;
                match parse(rest, checksums) {
                    Parsed::Record(record) => {
                        let continues = matches!(record.part, Part::Middle | Part::Last);
                        if unfinished.is_some() != continues {
                            return Ok(Stop::Damaged { at });
                        }
                        unfinished = match record.part {
                            Part::First => Some(at),
                            Part::Middle => unfinished,
                            Part::Full | Part::Last | Part::Note => None,
                        };
                        rest = &rest[record.size..];
                    }
                    Parsed::Zeros => return self.stop_at_zeros(at, unfinished),
                    Parsed::TooLong if !block_is_full => return Ok(self.cut_off(at, unfinished)),
                    Parsed::TooLong | Parsed::Wrong => return Ok(Stop::Damaged { at }),
                }
            }
            offset = block_end;
            // Less than a header is left: a trailer in a full block, a torn header in the last one.
            if !block_is_full && rest.iter().any(|byte| *byte != 0) {
                return Ok(self.cut_off(block_end - rest.len() as u64, unfinished));
            }
        }
        Ok(match unfinished {
            Some(_) => self.cut_off(self.size, unfinished),
            None => Stop::Clean,
        })
    }

    /// The end of the file came at `at`, inside a physical record, or inside a logical one that began before.
    fn cut_off(&self, at: u64, unfinished: Option<u64>) -> Stop {
        let dropped_bytes = self.size - unfinished.unwrap_or(at);
        Stop::Incomplete { at, dropped_bytes }
    }

    /// Zeros to the end of the file are preallocated space; with anything behind them, they are a hole.
    fn stop_at_zeros(&mut self, at: u64, unfinished: Option<u64>) -> io::Result<Stop> {
        if !self.is_zero_from(at)? {
            return Ok(self.cut_off(at, unfinished));
        }
        Ok(match unfinished {
            Some(begin) => Stop::Incomplete {
                at,
                dropped_bytes: at - begin,
            },
            None => Stop::Clean,
        })
    }

    /// Whether records that begin behind `at` run intact to the very end of the file. A torn write may by chance hold
    /// bytes that look like a record, but not one that ends exactly where the file does.
    fn has_intact_records_after(&mut self, at: u64) -> io::Result<bool> {
        let mut offset = at + 1;
        while offset < self.size {
            let block = self.block_from(offset)?;
            for skip in 0..block.len() {
                let begins_record = block
                    .get(skip + 6)
                    .is_some_and(|kind| matches!(kind, 1 | 2 | 5 | 6))
                    && matches!(parse(&block[skip..], Checksums::Verify), Parsed::Record(_));
                if begins_record && self.walk(offset + skip as u64, Checksums::Verify)? == Stop::Clean {
                    return Ok(true);
                }
            }
            offset += block.len() as u64;
        }
        Ok(false)
    }

    /// The bytes from `offset` to the end of its block or of the file.
    fn block_from(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let within = usize::try_from(offset % BLOCK_SIZE as u64).expect("less than a block");
        self.file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(BLOCK_SIZE - within);
        Read::by_ref(&mut self.file)
            .take((BLOCK_SIZE - within) as u64)
            .read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the log became shorter while it was read",
            ));
        }
        Ok(bytes)
    }

    fn is_zero_from(&mut self, mut offset: u64) -> io::Result<bool> {
        while offset < self.size {
            let block = self.block_from(offset)?;
            if block.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            offset += block.len() as u64;
        }
        Ok(true)
    }
}

/// The physical record at the start of `bytes`, which end where its block does.
fn parse(bytes: &[u8], checksums: Checksums) -> Parsed {
    let [c0, c1, c2, c3, l0, l1, kind, ..] = *bytes else {
        return Parsed::TooLong;
    };
    let stored = u32::from_le_bytes([c0, c1, c2, c3]);
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if kind == 0 && length == 0 {
        return Parsed::Zeros;
    }
    let header = if matches!(kind, 5..=8 | 11 | 131) {
        RECYCLABLE_HEADER_SIZE
    } else {
        HEADER_SIZE
    };
    let size = header + length;
    if size > bytes.len() {
        return Parsed::TooLong;
    }
    let part = match kind {
        1 | 5 => Part::Full,
        2 | 6 => Part::First,
        3 | 7 => Part::Middle,
        4 | 8 => Part::Last,
        9..=11 | 128.. => Part::Note,
        _ => return Parsed::Wrong,
    };
    // The checksum covers the type, the log number if any, and the payload.
    if checksums == Checksums::Verify && stored != crc32c::masked_checksum(&bytes[6..size]) {
        return Parsed::Wrong;
    }
    Parsed::Record(Record { part, size })
}

#[cfg(test)]
#[path = "wal_tail_test.rs"]
mod tests;
