//! `atoll delete`: deletes a register.

use clap::Args;

use crate::cli::args::RecordArgs;
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};

/// Arguments of `delete`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  atoll delete packages vim

Succeeds also if there is no such register: afterwards there is none.")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    record: RecordArgs,
}

/// Runs `delete`.
pub(crate) async fn run(args: DeleteArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let receipt = context
        .connection
        .client()?
        .register_delete(args.record.name())
        .await?;
    if context.connection.json {
        context.output.json(&receipt)?;
    }
    Ok(Outcome::Success)
}
