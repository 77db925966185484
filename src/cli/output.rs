//! What a command prints on stdout: raw bytes, lines or JSON, buffered.
//!
//! A reader that goes away (`| head`) becomes [`CliError::OutputClosed`], never a panic. Notes, progress and errors go
//! to stderr and do not pass here.

use std::io::{self, BufWriter, IsTerminal as _, Write};

use serde::Serialize;

use crate::cli::error::CliError;

/// The output of one command. Call [`Output::flush`] at the end, since dropping hides errors.
pub(crate) struct Output {
    writer: BufWriter<Box<dyn Write>>,
    terminal: bool,
}

impl Output {
    /// The process's stdout.
    pub(crate) fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), io::stdout().is_terminal())
    }

    fn new(writer: Box<dyn Write>, terminal: bool) -> Self {
        Self {
            writer: BufWriter::new(writer),
            terminal,
        }
    }

    /// Whether a person sees the output directly.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.writer.write_all(bytes).map_err(write_error)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), CliError> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes a value as JSON on one line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        serde_json::to_writer(&mut self.writer, value).map_err(|error| write_error(error.into()))?;
        self.bytes(b"\n")
    }

    /// Hands everything to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(write_error)
    }
}

fn write_error(source: io::Error) -> CliError {
    match source.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::Io {
            action: "write the output".to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_ends_the_output_quietly() {
        let mut output = Output::new(Box::new(Closed), false);
        output.line("buffered").unwrap();
        assert!(matches!(output.flush(), Err(CliError::OutputClosed)));
        let mut output = Output::new(Box::new(Closed), false);
        let long = "x".repeat(100_000);
        assert!(matches!(output.json(&long), Err(CliError::OutputClosed)));
    }
}
