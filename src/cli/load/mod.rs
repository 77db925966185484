//! `atoll load`: many records from a file or a pipe into registers.

mod connection;
mod engine;
#[cfg(test)]
mod load_test;
mod progress;
pub(crate) mod record;
mod stop;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, BufReader};

use crate::cli::client::Client;
use crate::cli::client_command::Context;
use crate::cli::endpoints::BaseUrl;
use crate::cli::error::{CliError, Outcome};
use crate::cli::limits;
use crate::model::ids::Namespace;
use engine::{Plan, Shared};
use record::Format;
use tally::StopReason;

/// Bytes that are read at a time: a few system calls for each MiB.
const READ_BYTES: usize = 256 * 1024;

/// Arguments of `load`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dpkg-query -W -f='${Package}\\t${Version}\\n' | atoll load - --namespace packages
  atoll load users.ndjson --namespace users --connections 128
  atoll load - --namespace users --json < users.ndjson

Tab-separated: everything up to the first tab is the key, everything behind it up to the line feed the value, byte for \
byte. NDJSON: {\"key\": \"a/b\", \"value\": \"text\"} writes the text, any other JSON value is written as it stands. \
Blank lines are skipped. The last line of a key is what stays.

Bad lines and refused records are reported with their line number and counted, and the rest is loaded; the exit code is \
then 1. What fails for a while (503, lost connections) is repeated. Loading the same file again is harmless.")]
pub(crate) struct LoadArgs {
    /// The file; `-` reads stdin
    file: PathBuf,
    /// Where the registers go
    #[arg(long, short)]
    namespace: Namespace,
    /// How lines are to be read [default: told by the file's name (.tsv, .ndjson, .jsonl) or the first line]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How many requests are under way at a time, each on its own connection
    #[arg(
        long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::CONNECTIONS_MAX))
    )]
    connections: u16,
    /// Content type of all values, instead of text/plain, application/json or application/octet-stream by their looks
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Hide the registers after that long, in seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    ttl_seconds: Option<u64>,
    /// How often a record is tried again that failed for a while
    #[arg(
        long, value_name = "N", default_value_t = limits::RETRIES_DEFAULT,
        value_parser = clap::value_parser!(u32).range(..=i64::from(limits::RETRIES_MAX))
    )]
    retries: u32,
    /// Stop after more than N bad lines and failed records
    #[arg(long, value_name = "N", default_value_t = limits::ERRORS_DEFAULT)]
    errors_max: u64,
    /// Stop at the first bad line or failed record
    #[arg(long, conflicts_with = "errors_max")]
    strict: bool,
}

/// Runs `load`.
pub(crate) async fn run(args: LoadArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let clients = clients(context)?;
    // A wrong address shows at once, not as one error for each line.
    for client in &clients {
        client.probe().await?;
    }
    let (input, size_bytes) = open(&args.file).await?;
    let plan = Plan {
        namespace: args.namespace,
        format: args.format.or_else(|| format_of_name(&args.file)),
        content_type: args.content_type,
        ttl_seconds: args.ttl_seconds,
        connections: args.connections,
        retries_max: args.retries,
        errors_max: if args.strict { 0 } else { args.errors_max },
    };
    let shared = Shared::new(plan, size_bytes);
    let interrupts = tokio::spawn(stop_on_interrupt(Arc::clone(&shared)));
    let summary = engine::load(input, &clients, &shared).await;
    interrupts.abort();
    if context.connection.json {
        context.output.json(&summary)?;
    } else {
        for line in summary.lines() {
            context.output.line(&line)?;
        }
    }
    Ok(Outcome::from(summary.is_complete()))
}

fn clients(context: &Context) -> Result<Vec<Client>, CliError> {
    let connection = &context.connection;
    let mut endpoints = connection.endpoints.clone();
    if endpoints.is_empty() {
        endpoints.push(BaseUrl::default_node());
    }
    let clients = endpoints
        .into_iter()
        .map(|endpoint| Client::new(endpoint, &connection.options));
    Ok(clients.collect::<Result<_, _>>()?)
}

/// The first Ctrl-C ends the load with a summary, a second one ends the process.
async fn stop_on_interrupt(shared: Arc<Shared>) {
    // Without a handler Ctrl-C ends the process at once, which only costs the summary.
    if tokio::signal::ctrl_c().await.is_ok() {
        shared.stop.request(StopReason::Interrupted);
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    }
}

async fn open(path: &PathBuf) -> Result<(Box<dyn AsyncBufRead + Unpin>, Option<u64>), CliError> {
    if path.as_os_str() == "-" {
        return Ok((
            Box::new(BufReader::with_capacity(READ_BYTES, tokio::io::stdin())),
            None,
        ));
    }
    let failed = |source| CliError::Io {
        action: format!("open {}", path.display()),
        source,
    };
    let file = File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if metadata.is_dir() {
        return Err(CliError::Usage(format!(
            "{} is a folder: name a file, or - for stdin",
            path.display()
        )));
    }
    let size_bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::with_capacity(READ_BYTES, file)), size_bytes))
}

fn format_of_name(path: &std::path::Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "tsv" => Some(Format::Tsv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        _ => None,
    }
}
