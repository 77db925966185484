//! `atoll batch`: several writes to keys of one group, all or none, as JSON.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;

use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};
use crate::model::ids::Namespace;
use crate::model::limits;

/// Arguments of `batch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll batch shop order.json
  echo '{\"operations\":[
    {\"op\":\"put\",\"type\":\"register\",\"key\":\"{u42}:order\",\"value\":\"7 bolts\",\"if_none_match\":\"*\"},
    {\"op\":\"add\",\"type\":\"counter\",\"key\":\"{u42}:orders\",\"add\":1}]}' | atoll batch shop -

All keys need the same tag in braces: it keeps them together.")]
pub(crate) struct BatchArgs {
    /// The namespace: 2 to 63 characters of a-z, 0-9 and '-'
    namespace: Namespace,
    /// The file with the operations, as POST /v1/data/{namespace}/batch takes them; `-` reads stdin
    file: PathBuf,
    /// A repeat with the same key within 24 hours changes nothing: makes it safe to try again after a timeout
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Runs `batch`: prints the answer as JSON.
pub(crate) async fn run(args: BatchArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let what = args.file.display().to_string();
    let failed = |action: String| move |source| CliError::Io { action, source };
    let bytes = if what == "-" {
        read_limited(io::stdin().lock(), "the batch from stdin")?
    } else {
        let file = File::open(&args.file).map_err(failed(format!("open {what}")))?;
        read_limited(file, &what)?
    };
    let client = context.connection.client()?;
    let answer = client
        .batch(&args.namespace, bytes.into(), args.idempotency_key.as_deref())
        .await?;
    context.output.line(answer.get())?;
    Ok(Outcome::Success)
}

fn read_limited(source: impl Read, what: &str) -> Result<Vec<u8>, CliError> {
    let limit = limits::BATCH_BODY_BYTES_MAX;
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
            "{what} is larger than {limit} bytes, which is the most that a batch may have"
        )));
    }
    Ok(bytes)
}
