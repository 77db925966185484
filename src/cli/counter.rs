//! `atoll counter`: numbers that any region may add to.

use clap::Subcommand;

use crate::cli::args::RecordArgs;
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};

/// Subcommands of `counter`.
#[derive(Debug, Subcommand)]
pub(crate) enum CounterCommand {
    /// Add N (1 if not given; may be negative) and print the value
    #[command(after_help = "\
Examples:
  atoll counter add visits home
  atoll counter add stock bolts -12 --idempotency-key order-4711")]
    Add {
        #[command(flatten)]
        record: RecordArgs,
        /// What to add
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        n: i64,
        /// A repeat with the same key within 24 hours changes nothing: makes it safe to try again after a timeout
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Print the value; 0 if the counter was never touched
    Get {
        #[command(flatten)]
        record: RecordArgs,
    },
    /// Take back everything that the asked region has seen of the counter
    Reset {
        #[command(flatten)]
        record: RecordArgs,
    },
}

/// Runs `counter`.
pub(crate) async fn run(command: CounterCommand, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let value = match command {
        CounterCommand::Add {
            record,
            n,
            idempotency_key,
        } => {
            client
                .counter_add(record.name(), n, idempotency_key.as_deref())
                .await?
        }
        CounterCommand::Get { record } => client.counter_get(record.name()).await?,
        CounterCommand::Reset { record } => {
            let receipt = client.counter_reset(record.name()).await?;
            if context.connection.json {
                context.output.json(&receipt)?;
            }
            return Ok(Outcome::Success);
        }
    };
    if context.connection.json {
        context.output.json(&serde_json::json!({ "value": value }))?;
    } else {
        context.output.line(&value.to_string())?;
    }
    Ok(Outcome::Success)
}
