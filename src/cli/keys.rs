//! `atoll keys`: lists keys in byte order, page by page.

use clap::Args;
use serde::Deserialize;

use crate::cli::client::types::{PageQuery, RecordKind};
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};
use crate::cli::pages::Pages;
use crate::cli::text;
use crate::model::ids::Namespace;

/// Arguments of `keys`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll keys packages
  atoll keys packages --prefix lib --limit 20
  atoll keys packages --null | xargs -0 -n 1 atoll get packages

Each key is one line, on a terminal and in a pipe alike: control characters and the backslash are written as \\n, \\t, \
\\u{1b}, \\\\, so that no key can pose as two. Use --null to get keys as they are, safely; --raw if you know that they \
hold no line feeds; --json for one object per line with size, content type and version.")]
pub(crate) struct KeysArgs {
    /// The namespace
    namespace: Namespace,
    /// Which type of records
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value = "registers")]
    kind: RecordKind,
    /// Only keys that start so
    #[arg(long)]
    prefix: Option<String>,
    /// Only keys after this one
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
    /// At most so many keys; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print keys as they are
    #[arg(long, conflicts_with_all = ["null", "json"])]
    raw: bool,
    /// Print keys as they are, with a NUL byte after each
    #[arg(long, short = '0', conflicts_with = "json")]
    null: bool,
}

#[derive(Deserialize)]
struct KeyEntry {
    key: String,
}

/// Runs `keys`.
pub(crate) async fn run(args: KeysArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let mut pages = Pages::new(args.after.clone(), args.limit);
    while pages.page_size() > 0 {
        let query = PageQuery {
            prefix: args.prefix.as_deref(),
            after: pages.after(),
            limit: pages.page_size(),
        };
        let page = client.keys_page(&args.namespace, args.kind, &query).await?;
        for entry in &page.keys {
            print_entry(entry.get(), &args, context)?;
        }
        // The reader of a pipe gets each page when it is there, and a reader that left ends the listing.
        context.output.flush()?;
        if !pages.advance(page.keys.len(), page.next)? {
            break;
        }
    }
    Ok(Outcome::Success)
}

fn print_entry(entry: &str, args: &KeysArgs, context: &mut Context) -> Result<(), CliError> {
    let output = &mut context.output;
    if context.connection.json {
        return output.line(entry);
    }
    let KeyEntry { key } = serde_json::from_str(entry)
        .map_err(|error| CliError::Input(format!("the node listed what is not a key: {error}")))?;
    if args.null {
        output.bytes(key.as_bytes())?;
        output.bytes(&[0])
    } else if args.raw {
        output.line(&key)
    } else {
        output.line(&text::escape(&key))
    }
}
