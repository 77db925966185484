//! Lines of input of any size, in bounded memory.
//!
//! Invariant: at most one line is held, and never more than [`limits::LINE_BYTES_MAX`] of it; a longer one is skipped
//! to its end and reported, so that the lines after it keep their numbers.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use crate::cli::limits;

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counts from 1.
    pub(crate) number: u64,
    /// The bytes without the line feed; `None` if there were more than are allowed.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// Reads lines. Only `\n` ends a line, since a value may end with `\r`.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    input: R,
    line_bytes_max: usize,
    lines_read: u64,
    bytes_read: u64,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    /// Reads from `input`.
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            line_bytes_max: limits::LINE_BYTES_MAX,
            lines_read: 0,
            bytes_read: 0,
        }
    }

    /// How much of the input was taken so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line; `None` at the end. The last line needs no line feed.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut too_long = false;
        let mut is_empty = true;
        loop {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                if is_empty {
                    return Ok(None);
                }
                break;
            }
            is_empty = false;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            too_long |= bytes.len() + part.len() > self.line_bytes_max;
            if too_long {
                bytes = Vec::new();
            } else {
                bytes.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(end.is_some());
            self.input.consume(taken);
            self.bytes_read += taken as u64;
            if end.is_some() {
                break;
            }
        }
        self.lines_read += 1;
        Ok(Some(Line {
            number: self.lines_read,
            bytes: (!too_long).then_some(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn lines(text: &[u8], line_bytes_max: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        // A buffer of three bytes makes lines span several reads.
        let mut reader = LineReader::new(BufReader::with_capacity(3, text));
        reader.line_bytes_max = line_bytes_max;
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push((line.number, line.bytes));
        }
        assert_eq!(reader.bytes_read(), text.len() as u64);
        lines
    }

    #[tokio::test]
    async fn lines_are_numbered_and_kept_byte_for_byte() {
        let expected = [
            (1, Some(b"first\r".to_vec())),
            (2, Some(Vec::new())),
            (3, Some(b"last".to_vec())),
        ];
        assert_eq!(lines(b"first\r\n\nlast", 100).await, expected);
        assert_eq!(lines(b"", 100).await, []);
        assert_eq!(lines(b"\n", 100).await, [(1, Some(Vec::new()))]);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_skipped_and_the_next_keeps_its_number() {
        let expected = [(1, Some(b"12345".to_vec())), (2, None), (3, Some(b"ok".to_vec()))];
        assert_eq!(lines(b"12345\n123456789\nok\n", 5).await, expected);
    }
}
