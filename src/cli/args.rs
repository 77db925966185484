//! Arguments that several commands share: names, and values from the command line, a file or stdin.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};

use bytes::Bytes;
use clap::Args;

use crate::cli::client::types::RecordName;
use crate::cli::error::{CliError, note};
use crate::model::ids::{Key, NameError, Namespace, SubKey};
use crate::model::limits;

/// Which record.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The namespace: 2 to 63 characters of a-z, 0-9 and '-'
    pub(crate) namespace: Namespace,
    /// The key: up to 1024 bytes of UTF-8
    #[arg(value_parser = parse_key)]
    pub(crate) key: Key,
}

impl RecordArgs {
    /// The record's name for a call.
    pub(crate) fn name(&self) -> RecordName<'_> {
        RecordName {
            namespace: &self.namespace,
            key: &self.key,
        }
    }
}

/// Parses a key for clap.
pub(crate) fn parse_key(text: &str) -> Result<Key, NameError> {
    Key::new(text)
}

/// Parses a member or field for clap.
pub(crate) fn parse_sub_key(text: &str) -> Result<SubKey, NameError> {
    SubKey::new(text)
}

/// Where a value on the command line comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ValueSource {
    /// `-`, or no value at all.
    Stdin,
    /// `@FILE`.
    File(OsString),
    /// The argument itself.
    Literal(Bytes),
}

impl ValueSource {
    /// Reads the notation.
    pub(crate) fn parse(argument: Option<OsString>) -> Self {
        let Some(argument) = argument else {
            return Self::Stdin;
        };
        match argument.as_encoded_bytes() {
            b"-" => Self::Stdin,
            [b'@', ..] => Self::File(file_name(&argument)),
            _ => Self::Literal(argument.into_encoded_bytes().into()),
        }
    }

    /// Gets the bytes, at most as many as a value may have.
    pub(crate) fn read(self) -> Result<Bytes, CliError> {
        match self {
            Self::Literal(bytes) => Ok(bytes),
            Self::Stdin => {
                if io::stdin().is_terminal() {
                    note("reading the value from the terminal; end it with Ctrl-D");
                }
                read_limited(io::stdin().lock(), "the value from stdin")
            }
            Self::File(name) => {
                let what = name.to_string_lossy().into_owned();
                let file = File::open(&name).map_err(|source| CliError::Io {
                    action: format!("open {what}"),
                    source,
                })?;
                read_limited(file, &what)
            }
        }
    }
}

/// What follows the `@`.
#[cfg(unix)]
fn file_name(argument: &OsString) -> OsString {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(&argument.as_bytes()[1..]).to_owned()
}

/// What follows the `@`.
#[cfg(not(unix))]
fn file_name(argument: &OsString) -> OsString {
    argument.to_string_lossy()[1..].into()
}

fn read_limited(source: impl Read, what: &str) -> Result<Bytes, CliError> {
    let limit = limits::VALUE_BYTES_MAX;
    let mut bytes = Vec::new();
    // One byte more than allowed tells "exactly full" from "too large".
    source
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| CliError::Io {
            action: format!("read {what}"),
            source,
        })?;
    if bytes.len() > limit {
        return Err(CliError::Input(format!(
            "{what} is larger than {limit} bytes, which is the most that a value may have"
        )));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ValueSource {
        ValueSource::parse(Some(text.into()))
    }

    #[test]
    fn values_come_from_the_line_a_file_or_stdin() {
        assert_eq!(parse("9.1"), ValueSource::Literal(Bytes::from_static(b"9.1")));
        assert_eq!(parse(""), ValueSource::Literal(Bytes::new()));
        assert_eq!(parse("-"), ValueSource::Stdin);
        assert_eq!(ValueSource::parse(None), ValueSource::Stdin);
        assert_eq!(parse("@logo.png"), ValueSource::File("logo.png".into()));
    }

    #[test]
    fn a_value_over_the_limit_is_refused_before_it_is_sent() {
        let full = vec![0; limits::VALUE_BYTES_MAX];
        assert_eq!(
            read_limited(&full[..], "x").unwrap().len(),
            limits::VALUE_BYTES_MAX
        );
        let over = vec![0; limits::VALUE_BYTES_MAX + 1];
        assert!(
            read_limited(&over[..], "logo.png")
                .unwrap_err()
                .to_string()
                .contains("logo.png is larger")
        );
    }
}
