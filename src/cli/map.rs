//! `atoll map`: maps whose fields hold JSON.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Args, Subcommand};
use serde_json::value::RawValue;

use crate::cli::args::{RecordArgs, ValueSource, parse_sub_key};
use crate::cli::client::types::{MapChange, PageQuery};
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome, note};
use crate::cli::pages::Pages;
use crate::cli::text;
use crate::model::ids::SubKey;

/// Subcommands of `map`.
#[derive(Debug, Subcommand)]
pub(crate) enum MapCommand {
    /// Write a field
    #[command(after_help = "\
Examples:
  atoll map set users alice age 42
  atoll map set users alice name '\"Alice\"'          a text needs its JSON quotes
  atoll map set users alice address @address.json")]
    Set(MapSetArgs),
    /// Print a field's JSON
    Get {
        #[command(flatten)]
        record: RecordArgs,
        /// The field
        #[arg(value_parser = parse_sub_key)]
        field: SubKey,
    },
    /// Remove fields
    Remove {
        #[command(flatten)]
        record: RecordArgs,
        /// The fields
        #[arg(required = true, value_parser = parse_sub_key)]
        fields: Vec<SubKey>,
    },
    /// List the fields in byte order: field, tab, JSON; with --json one object per line
    Fields(FieldsArgs),
}

/// Arguments of `map set`.
#[derive(Debug, Args)]
pub(crate) struct MapSetArgs {
    #[command(flatten)]
    record: RecordArgs,
    /// The field: up to 1024 bytes of UTF-8
    #[arg(value_parser = parse_sub_key)]
    field: SubKey,
    /// The value as JSON; `-` reads it from stdin, `@FILE` from a file
    #[arg(allow_negative_numbers = true)]
    value: OsString,
}

/// Arguments of `map fields`.
#[derive(Debug, Args)]
pub(crate) struct FieldsArgs {
    #[command(flatten)]
    record: RecordArgs,
    /// Only fields after this one
    #[arg(long, value_name = "FIELD")]
    after: Option<String>,
    /// At most so many; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Runs `map`.
pub(crate) async fn run(command: MapCommand, context: &mut Context) -> Result<Outcome, CliError> {
    match command {
        MapCommand::Set(args) => set(args, context).await,
        MapCommand::Get { record, field } => {
            let Some(value) = context
                .connection
                .client()?
                .map_get(record.name(), &field)
                .await?
            else {
                let (key, field) = (text::escape(record.key.as_str()), text::escape(field.as_str()));
                note(&format!(
                    "atoll: no field \"{field}\" in map \"{key}\" of {}",
                    record.namespace
                ));
                return Ok(Outcome::Negative);
            };
            context.output.line(&one_line(&value))?;
            Ok(Outcome::Success)
        }
        MapCommand::Remove { record, fields } => {
            let change = MapChange {
                set: BTreeMap::new(),
                remove: &fields,
            };
            let changed = context
                .connection
                .client()?
                .map_change(record.name(), &change)
                .await?;
            if context.connection.json {
                context.output.json(&changed)?;
            } else {
                context
                    .output
                    .line(&format!("{} removed", text::plural(changed.removed, "field")))?;
            }
            Ok(Outcome::Success)
        }
        MapCommand::Fields(args) => fields(args, context).await,
    }
}

async fn set(args: MapSetArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let value = parse_json(&ValueSource::parse(Some(args.value)).read()?)?;
    let change = MapChange {
        set: BTreeMap::from([(args.field.as_str(), &*value)]),
        remove: &[],
    };
    let changed = context
        .connection
        .client()?
        .map_change(args.record.name(), &change)
        .await?;
    if context.connection.json {
        context.output.json(&changed)?;
    }
    Ok(Outcome::Success)
}

async fn fields(args: FieldsArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let mut pages = Pages::new(args.after.clone(), args.limit);
    while pages.page_size() > 0 {
        let query = PageQuery {
            prefix: None,
            after: pages.after(),
            limit: pages.page_size(),
        };
        let page = client.fields_page(args.record.name(), &query).await?;
        for (field, value) in &page.fields {
            if context.connection.json {
                context
                    .output
                    .json(&serde_json::json!({ "field": field, "value": value }))?;
            } else {
                context
                    .output
                    .line(&format!("{}\t{}", text::escape(field), one_line(value)))?;
            }
        }
        context.output.flush()?;
        if !pages.advance(page.fields.len(), page.next)? {
            break;
        }
    }
    Ok(Outcome::Success)
}

/// The JSON as given, so that long numbers keep their digits.
fn parse_json(bytes: &[u8]) -> Result<Box<RawValue>, CliError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let shown = text::preview(bytes, 60);
        let hint = match std::str::from_utf8(bytes).map(str::trim) {
            Ok(word) if is_plain_word(word) => format!("; for a text, quote it: '\"{word}\"'"),
            _ => format!(": {error}"),
        };
        CliError::Usage(format!("the value {shown} is not JSON{hint}"))
    })
}

/// Whether someone meant a text rather than a structure.
fn is_plain_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['{', '[', '"'])
        && !text.contains(['"', '\\', '\''])
        && !text.chars().any(char::is_control)
}

/// JSON on one line. In JSON, raw control characters occur only between tokens, never in a text, so replacing them
/// changes no value.
fn one_line(value: &RawValue) -> String {
    value.get().replace(|c: char| c.is_ascii_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_given() {
        for json in [
            "42",
            "12345678901234567890.10",
            "\"a\"",
            "null",
            "{ \"b\": [1, 2] }",
        ] {
            assert_eq!(parse_json(json.as_bytes()).unwrap().get(), json);
        }
    }

    #[test]
    fn a_plain_word_is_refused_with_the_quoted_form() {
        let message = parse_json(b"hello").unwrap_err().to_string();
        assert_eq!(
            message,
            "the value \"hello\" is not JSON; for a text, quote it: '\"hello\"'"
        );
        let message = parse_json(b"{\"a\":").unwrap_err().to_string();
        assert!(message.contains("EOF"), "{message}");
        assert!(matches!(parse_json(b"hello"), Err(CliError::Usage(_))));
    }

    #[test]
    fn json_over_several_lines_is_shown_on_one() {
        let value = RawValue::from_string("{\n\t\"a\": \"x\\ny\"\r\n}".to_owned()).unwrap();
        assert_eq!(one_line(&value), "{  \"a\": \"x\\ny\"  }");
    }
}
