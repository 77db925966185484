//! `atoll config`: the configuration that the asked node runs with, and reading it again.

use std::time::{Duration, Instant};

use clap::Subcommand;

use crate::cli::client::cluster::NodeConfiguration;
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};

/// How often is asked whether it is in force.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A node needs a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// Subcommands of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show which version of regions.toml the node runs with
    Show,
    /// Let the node read its regions.toml again, without a restart
    #[command(after_help = "\
Requests wait for a second or two meanwhile. What would orphan data is refused. Do it on one node after the other:
  for port in 8101 8102 8103; do atoll config reload --endpoint http://127.0.0.1:$port; done")]
    Reload,
}

/// Runs `config`.
pub(crate) async fn run(command: ConfigCommand, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let (mut raw, mut now) = match command {
        ConfigCommand::Show => client.configuration().await?,
        ConfigCommand::Reload => client.reload_configuration().await?,
    };
    let begun = Instant::now();
    while now.next.is_some() && matches!(command, ConfigCommand::Reload) && begun.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_INTERVAL).await;
        (raw, now) = client.configuration().await?;
    }
    if context.connection.json {
        context.output.json(&raw)?;
    } else {
        context.output.line(&text(&now))?;
    }
    let is_shown = matches!(command, ConfigCommand::Show) || now.next.is_none();
    Ok(Outcome::from(is_shown && now.error.is_none()))
}

fn text(configuration: &NodeConfiguration) -> String {
    let mut text = format!(
        "version {}, in force since {}",
        configuration.version, configuration.since
    );
    if let Some(next) = &configuration.next {
        text.push_str(&format!("; {next} is being put into force"));
    }
    if let Some(error) = &configuration.error {
        text.push_str(&format!("\nwhat was read last is not in force: {error}"));
    }
    text
}
