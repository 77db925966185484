//! `atoll conflicts`: the ledger of versions that lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::Value;

use crate::cli::client::types::PageQuery;
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};
use crate::cli::pages::Pages;
use crate::cli::text;
use crate::model::ids::Namespace;

/// Characters of a lost value that are shown.
const VALUE_CHARS_SHOWN: usize = 60;

/// Arguments of `conflicts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll conflicts --namespace packages
  atoll conflicts --json | jq -r .value_base64        the lost bytes

One line per lost version; --json prints one object per line, with all bytes of the value.")]
pub(crate) struct ConflictsArgs {
    /// Only this namespace
    #[arg(long)]
    namespace: Option<Namespace>,
    /// At most so many; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Runs `conflicts`.
pub(crate) async fn run(args: ConflictsArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let mut pages = Pages::new(None, args.limit);
    while pages.page_size() > 0 {
        let query = PageQuery {
            prefix: None,
            after: pages.after(),
            limit: pages.page_size(),
        };
        let page = client.conflicts_page(args.namespace.as_ref(), &query).await?;
        for entry in &page.conflicts {
            if context.connection.json {
                context.output.json(entry)?;
            } else {
                context.output.line(&describe(entry))?;
            }
        }
        context.output.flush()?;
        if !pages.advance(page.conflicts.len(), page.next)? {
            break;
        }
    }
    Ok(Outcome::Success)
}

/// One line for a ledger entry; fields that the node left out are skipped.
fn describe(entry: &Value) -> String {
    let field = |name: &str| match &entry[name] {
        Value::String(text) => text::escape(text).into_owned(),
        Value::Null => "?".to_owned(),
        other => other.to_string(),
    };
    let value = match entry["value_base64"]
        .as_str()
        .map(|encoded| STANDARD.decode(encoded))
    {
        Some(Ok(bytes)) => text::preview(&bytes, VALUE_CHARS_SHOWN),
        _ => "(no value)".to_owned(),
    };
    format!(
        "{}  {} {} \"{}\"  {} lost to {}  {}  {value}",
        field("lost_at"),
        field("namespace"),
        field("type"),
        field("key"),
        field("loser"),
        field("winner"),
        field("reason"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_its_key_holds() {
        let entry = serde_json::json!({
            "namespace": "packages", "type": "register", "key": "a\nb", "winner": "2@eu-west", "loser": "1@us-east",
            "lost_at": "2025-01-01T00:00:00Z", "reason": "lww", "value_base64": STANDARD.encode("9.1\n"),
        });
        assert_eq!(
            describe(&entry),
            "2025-01-01T00:00:00Z  packages register \"a\\nb\"  1@us-east lost to 2@eu-west  lww  \"9.1\\n\""
        );
    }

    #[test]
    fn missing_fields_do_not_hide_the_entry() {
        assert!(describe(&serde_json::json!({ "key": "a" })).contains("\"a\"  ? lost to ?"));
    }
}
