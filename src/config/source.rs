//! The text that is being parsed: turns places in it into lines, and raw values into valid ones.
//!
//! Every refusal of a mistake in the file is made here, so that each has a line and a field.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;

use super::error::{ConfigError, Mistake};
use super::link::LinkQuantity;

/// How much of a broken line a message repeats: enough to recognise it, and little where the file is no text.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// The file's name, for messages, and its text.
pub(super) struct Source<'a> {
    pub(super) file_name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// A duration in milliseconds within its range, or its default if the field is absent.
    pub(super) fn milliseconds(
        &self,
        field: &str,
        raw: Option<&Spanned<i64>>,
        range: RangeInclusive<u64>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let default = u64::try_from(default.as_millis()).expect("defaults are seconds, not ages");
        self.number(field, raw, range, default).map(Duration::from_millis)
    }

    /// A number within its range, or its default if the field is absent.
    pub(super) fn number(
        &self,
        field: &str,
        raw: Option<&Spanned<i64>>,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        let Some(raw) = raw else { return Ok(default) };
        match u64::try_from(*raw.get_ref()) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => {
                let (minimum, maximum) = range.into_inner();
                let mistake = Mistake::OutOfRange {
                    given: *raw.get_ref(),
                    minimum,
                    maximum,
                    default,
                };
                Err(self.refuse(field, raw.span(), mistake))
            }
        }
    }

    /// A property of a link within its range, in thousandths of its unit, if the field is there.
    pub(super) fn quantity(
        &self,
        quantity: LinkQuantity,
        raw: Option<&Spanned<f64>>,
    ) -> Result<Option<u64>, ConfigError> {
        raw.map(|raw| {
            let field = format!("link.{}", quantity.name());
            quantity
                .thousandths(*raw.get_ref())
                .map_err(|error| self.refuse(&field, raw.span(), error.into()))
        })
        .transpose()
    }

    /// A text that has a type of its own, if the field is there.
    pub(super) fn optional<T>(
        &self,
        field: &str,
        raw: Option<&Spanned<String>>,
    ) -> Result<Option<T>, ConfigError>
    where
        T: FromStr,
        Mistake: From<T::Err>,
    {
        raw.map(|raw| self.text_field(field, raw)).transpose()
    }

    /// A text that has a type of its own.
    pub(super) fn text_field<T>(&self, field: &str, raw: &Spanned<String>) -> Result<T, ConfigError>
    where
        T: FromStr,
        Mistake: From<T::Err>,
    {
        raw.get_ref()
            .parse()
            .map_err(|error: T::Err| self.refuse(field, raw.span(), error.into()))
    }

    /// Refuses the second use of a value in the cluster, naming the line of the first.
    pub(super) fn unique(
        &self,
        field: &str,
        what: &'static str,
        raw: &Spanned<String>,
        seen: &mut BTreeMap<String, usize>,
    ) -> Result<(), ConfigError> {
        match seen.insert(raw.get_ref().clone(), self.line(raw.span().start)) {
            None => Ok(()),
            Some(first_line) => {
                let mistake = Mistake::Duplicate {
                    what,
                    value: raw.get_ref().clone(),
                    first_line,
                };
                Err(self.refuse(field, raw.span(), mistake))
            }
        }
    }

    /// The error for a mistake at that place.
    pub(super) fn refuse(&self, field: &str, place: Range<usize>, mistake: Mistake) -> ConfigError {
        ConfigError::Invalid {
            file: self.file_name.to_owned(),
            line: self.line(place.start),
            field: field.to_owned(),
            mistake,
        }
    }

    /// The error for text that is not TOML.
    pub(super) fn refuse_syntax(&self, error: &toml::de::Error) -> ConfigError {
        let place = error.span().unwrap_or_default();
        let shown: String = self
            .line_text(place.start)
            .chars()
            .take(SHOWN_CHARACTERS_MAX)
            .collect();
        self.refuse(
            "syntax",
            place,
            Mistake::Syntax {
                message: error.message().to_owned(),
                shown,
            },
        )
    }

    /// The error for TOML that has another shape than `regions.toml`.
    pub(super) fn refuse_shape(&self, mut error: toml::de::Error) -> ConfigError {
        let place = error.span().unwrap_or_default();
        // Without its input the error shows the path of the field, and with it a picture of the line instead.
        error.set_input(None);
        let shown = error.to_string();
        let path = shown
            .trim_end()
            .rsplit_once("\nin `")
            .and_then(|(_, path)| path.strip_suffix('`'));
        // serde names the Rust type.
        let message = error
            .message()
            .replace("expected i64", "expected a whole number")
            .replace("expected f64", "expected a number");
        self.refuse(path.unwrap_or("top level"), place, Mistake::Shape(message))
    }

    /// The line of a byte of the text, from 1. What is missing at the end belongs to the last line that is there.
    fn line(&self, byte: usize) -> usize {
        1 + self.before(byte).matches('\n').count()
    }

    /// What that line says.
    fn line_text(&self, byte: usize) -> &str {
        self.text
            .lines()
            .nth(self.line(byte) - 1)
            .unwrap_or_default()
            .trim()
    }

    fn before(&self, byte: usize) -> &str {
        let written_len = self.text.trim_end().len();
        self.text.get(..byte.min(written_len)).unwrap_or_default()
    }
}
