//! `atoll link`: pauses and resumes replication between the asked region and another.

use clap::Subcommand;

use crate::cli::client::cluster::LinkAction;
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};
use crate::model::ids::RegionId;

/// Subcommands of `link`.
#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// Stop sending to and taking from REGION, for maintenance and drills; survives a restart
    #[command(after_help = "\
Example: us-east stops talking to eu-west, both go on serving
  atoll link pause eu-west --endpoint http://127.0.0.1:8101")]
    Pause {
        /// The other region
        region: RegionId,
    },
    /// Start again and catch up
    Resume {
        /// The other region
        region: RegionId,
    },
}

/// Runs `link`.
pub(crate) async fn run(command: LinkCommand, context: &mut Context) -> Result<Outcome, CliError> {
    let (region, action) = match command {
        LinkCommand::Pause { region } => (region, LinkAction::Pause),
        LinkCommand::Resume { region } => (region, LinkAction::Resume),
    };
    context.connection.client()?.link(region, action).await?;
    Ok(Outcome::Success)
}
