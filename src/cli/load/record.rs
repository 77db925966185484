//! From a line of input to a record. Pure.

use bytes::Bytes;
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::ids::{Key, NameError};
use crate::model::limits;

const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// How lines are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Key, tab, value; all bytes up to the line feed are the value
    Tsv,
    /// One object per line: {"key": "…", "value": …}
    Ndjson,
}

impl Format {
    /// Tells by the first line that is not blank: `{` and then a quote starts an object. A key such as `{tag}name`
    /// does not look so.
    pub(crate) fn detect(line: &[u8]) -> Self {
        let object = line
            .trim_ascii_start()
            .strip_prefix(b"{")
            .map(<[u8]>::trim_ascii_start);
        match object {
            Some([b'"' | b'}', ..]) => Self::Ndjson,
            _ => Self::Tsv,
        }
    }
}

/// A register to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its key.
    pub(crate) key: Key,
    /// Its bytes.
    pub(crate) value: Bytes,
    /// What the bytes are, as far as the line tells.
    pub(crate) content_type: &'static str,
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// TSV without a tab.
    #[error("no tab: expected key<TAB>value")]
    NoTab,
    /// TSV whose key is not text.
    #[error("the key is not UTF-8")]
    KeyNotUtf8,
    /// A key with a wrong length.
    #[error(transparent)]
    Key(#[from] NameError),
    /// A key that URLs cannot carry.
    #[error("the key {0:?} cannot be part of a URL path: `.` and `..` mean directories there")]
    DotKey(String),
    /// NDJSON that is not such an object.
    #[error("not an object {{\"key\": \"…\", \"value\": …}}: {0}")]
    Json(serde_json::Error),
    /// A value over the limit.
    #[error("the value has {0} bytes: at most {max} are allowed", max = limits::VALUE_BYTES_MAX)]
    ValueTooLarge(usize),
    /// A line over the limit.
    #[error("the line is longer than any record can be")]
    LineTooLong,
}

impl Record {
    /// Reads a line that is not blank.
    pub(crate) fn parse(line: Vec<u8>, format: Format) -> Result<Self, RecordError> {
        let record = match format {
            Format::Tsv => parse_tsv(line)?,
            Format::Ndjson => parse_ndjson(&line)?,
        };
        if matches!(record.key.as_str(), "." | "..") {
            return Err(RecordError::DotKey(record.key.as_str().to_owned()));
        }
        if record.value.len() > limits::VALUE_BYTES_MAX {
            return Err(RecordError::ValueTooLarge(record.value.len()));
        }
        Ok(record)
    }
}

fn parse_tsv(line: Vec<u8>) -> Result<Record, RecordError> {
    let tab = line
        .iter()
        .position(|byte| *byte == b'\t')
        .ok_or(RecordError::NoTab)?;
    let key = Key::new(std::str::from_utf8(&line[..tab]).map_err(|_| RecordError::KeyNotUtf8)?)?;
    // Shares the line's memory.
    let value = Bytes::from(line).slice(tab + 1..);
    let content_type = if std::str::from_utf8(&value).is_ok() {
        TEXT
    } else {
        BINARY
    };
    Ok(Record {
        key,
        value,
        content_type,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRecord {
    key: String,
    value: Box<RawValue>,
}

/// A text becomes its own bytes, anything else its JSON as written.
fn parse_ndjson(line: &[u8]) -> Result<Record, RecordError> {
    let record: JsonRecord = serde_json::from_slice(line).map_err(RecordError::Json)?;
    let key = Key::new(&record.key)?;
    let json = record.value.get();
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).map_err(RecordError::Json)?;
        return Ok(Record {
            key,
            value: text.into(),
            content_type: TEXT,
        });
    }
    Ok(Record {
        key,
        value: Bytes::copy_from_slice(json.as_bytes()),
        content_type: JSON,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8], format: Format) -> Result<(String, Vec<u8>, &'static str), String> {
        Record::parse(line.to_vec(), format)
            .map(|record| {
                (
                    record.key.as_str().to_owned(),
                    record.value.to_vec(),
                    record.content_type,
                )
            })
            .map_err(|error| error.to_string())
    }

    fn good(
        key: &str,
        value: &[u8],
        content_type: &'static str,
    ) -> Result<(String, Vec<u8>, &'static str), String> {
        Ok((key.to_owned(), value.to_vec(), content_type))
    }

    #[test]
    fn tab_separated_values_are_kept_byte_for_byte() {
        assert_eq!(parse(b"vim\t2:9.0", Format::Tsv), good("vim", b"2:9.0", TEXT));
        assert_eq!(parse(b"k\ta\tb\r", Format::Tsv), good("k", b"a\tb\r", TEXT));
        assert_eq!(parse(b"k\t", Format::Tsv), good("k", b"", TEXT));
        assert_eq!(parse(b"k\t\xff", Format::Tsv), good("k", b"\xff", BINARY));
    }

    #[test]
    fn json_texts_become_their_bytes_and_other_json_stays_as_written() {
        assert_eq!(
            parse(br#"{"key":"a\nb","value":"x\ty"}"#, Format::Ndjson),
            good("a\nb", b"x\ty", TEXT)
        );
        assert_eq!(
            parse(br#"{"value": {"n": 1.10}, "key": "k"}"#, Format::Ndjson),
            good("k", br#"{"n": 1.10}"#, JSON)
        );
        assert_eq!(
            parse(b"{\"key\":\"k\",\"value\":null}\r", Format::Ndjson),
            good("k", b"null", JSON)
        );
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        let long = [b"k\t".as_slice(), &vec![b'x'; limits::VALUE_BYTES_MAX + 1]].concat();
        for (line, format, expected) in [
            (b"no tab here".as_slice(), Format::Tsv, "no tab"),
            (b"\tvalue", Format::Tsv, "1 to 1024 bytes"),
            (b"\xff\tvalue", Format::Tsv, "not UTF-8"),
            (b"..\tvalue", Format::Tsv, "URL path"),
            (&long, Format::Tsv, "1048577 bytes"),
            (b"{\"key\":\"k\"}", Format::Ndjson, "missing field `value`"),
            (b"{\"key\":1,\"value\":1}", Format::Ndjson, "expected a string"),
            (
                b"{\"key\":\"k\",\"value\":1,\"ttl\":3}",
                Format::Ndjson,
                "unknown field `ttl`",
            ),
            (b"{\"key\":\"k\",\"value\":", Format::Ndjson, "EOF"),
            (
                b"{\"key\":\"k\",\"value\":\"\xff\"}",
                Format::Ndjson,
                "not an object",
            ),
        ] {
            let error = parse(line, format).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_first_line_tells_the_format() {
        for line in ["{\"key\": 1}", " { \"key\"", "{}"] {
            assert_eq!(Format::detect(line.as_bytes()), Format::Ndjson, "{line}");
        }
        for line in ["vim\t9.1", "{tag}key\tvalue", "{", "[1]"] {
            assert_eq!(Format::detect(line.as_bytes()), Format::Tsv, "{line}");
        }
    }
}
