//! Why a command failed, what to do about it, and with which exit code it ends.
//!
//! Exit codes are part of the interface: 0 done, 1 failed, not found or not equal, 2 wrong usage.

use std::error::Error as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cli::client::ClientError;
use crate::cli::text;
use crate::config::ConfigError;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, found, equal.
    Success,
    /// The answer is "no": not found, not contained, not equal. Already said on the output.
    Negative,
}

impl From<bool> for Outcome {
    fn from(positive: bool) -> Self {
        if positive { Self::Success } else { Self::Negative }
    }
}

impl Outcome {
    /// The exit code of this outcome.
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Success => ExitCode::SUCCESS,
            Self::Negative => ExitCode::from(1),
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The node could not be asked, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The cluster's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Arguments that cannot work. The message says what would.
    #[error("{0}")]
    Usage(String),
    /// A local file or stream failed.
    #[error("cannot {action}")]
    Io {
        /// What was attempted, as an infinitive.
        action: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that was named has contents that cannot be used.
    #[error("{0}")]
    Input(String),
    /// Whoever read the output stopped reading (`atoll keys … | head`): not a failure.
    #[error("the reader of the output closed it")]
    OutputClosed,
}

impl CliError {
    /// Prints the error with its causes and what to do, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if matches!(self, Self::OutputClosed) {
            return ExitCode::SUCCESS;
        }
        // Nothing can be done when stderr is closed too; a panic would hide the exit code.
        let _ = writeln!(io::stderr(), "{}", self.describe());
        match self {
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::from(1),
        }
    }

    /// The text that [`CliError::report`] prints.
    pub(crate) fn describe(&self) -> String {
        let mut message = format!("atoll: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        let mut message = text::escape_lines(&message);
        if let Self::Client(error) = self
            && let Some(hint) = error.hint()
        {
            message.push_str("\nhint: ");
            message.push_str(&hint);
        }
        message
    }
}

/// A note for people on stderr; lost silently when stderr is closed.
pub(crate) fn note(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_show_their_cause() {
        let error = CliError::Io {
            action: "read packages.tsv".to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "no such file"),
        };
        assert_eq!(error.describe(), "atoll: cannot read packages.tsv: no such file");
    }

    #[test]
    fn a_closed_output_is_not_a_failure() {
        assert_eq!(CliError::OutputClosed.report(), ExitCode::SUCCESS);
    }
}
