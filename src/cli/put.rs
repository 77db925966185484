//! `atoll put`: writes a register.

use std::ffi::OsString;

use clap::Args;

use crate::cli::args::{RecordArgs, ValueSource};
use crate::cli::client::types::PutOptions;
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};

/// Arguments of `put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll put packages vim 9.1
  atoll put assets logo.png @logo.png --content-type image/png
  date | atoll put facts now -
  atoll put sessions abc '{\"user\":1}' --content-type application/json --ttl-seconds 3600")]
pub(crate) struct PutArgs {
    #[command(flatten)]
    record: RecordArgs,
    /// The value; `-` or nothing reads stdin, `@FILE` a file (for a text that starts with `@`, use stdin)
    #[arg(allow_negative_numbers = true)]
    value: Option<OsString>,
    /// Kept with the value and given back [default: text/plain for a text given as argument, else
    /// application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Hide the register after that long, in seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    ttl_seconds: Option<u64>,
    /// Replace exactly the concurrent versions that `get` showed with this context
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
}

/// Runs `put`.
pub(crate) async fn run(args: PutArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let source = ValueSource::parse(args.value);
    let is_literal = matches!(source, ValueSource::Literal(_));
    let value = source.read()?;
    let content_type = match &args.content_type {
        Some(content_type) => content_type.as_str(),
        None if is_literal && std::str::from_utf8(&value).is_ok() => "text/plain; charset=utf-8",
        None => "application/octet-stream",
    };
    let options = PutOptions {
        content_type: Some(content_type),
        ttl_seconds: args.ttl_seconds,
        context: args.context.as_deref(),
    };
    let client = context.connection.client()?;
    let receipt = client.register_put(args.record.name(), value, &options).await?;
    if context.connection.json {
        context.output.json(&receipt)?;
    }
    Ok(Outcome::Success)
}
