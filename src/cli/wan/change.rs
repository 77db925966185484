//! `atoll wan show`, `set`, `cut` and `heal`: calls to the control of a running relay.

use std::process::ExitCode;

use super::table::table_with_counts;
use super::{ControlArgs, EndsArgs, ShapeArgs, WanCommand};
use crate::cli::client::{Client, ClientError};
use crate::cli::connection::ConnectionArgs;
use crate::cli::error::{CliError, Outcome};
use crate::cli::node::runtime;
use crate::cli::output::Output;
use crate::wan::document::{ChangeDocument, LinkDocument};

impl WanCommand {
    /// Runs the command to its exit code.
    pub(super) fn run(self, connection: &ConnectionArgs) -> ExitCode {
        let result = runtime()
            .map_err(|source| CliError::Io {
                action: "start the runtime".to_owned(),
                source,
            })
            .and_then(|runtime| runtime.block_on(self.call(connection)));
        match result {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => error.report(),
        }
    }

    async fn call(self, connection: &ConnectionArgs) -> Result<Outcome, CliError> {
        let mut output = Output::stdout();
        let links = match self {
            Self::Show { control } => {
                let links = control.client(connection)?.wan_links().await;
                links.map_err(|error| control.explained(error))?
            }
            Self::Set { ends, shape } => ends.change(connection, &shape.change()).await?,
            Self::Cut { ends } => ends.change(connection, &cut(true)).await?,
            Self::Heal { ends } => ends.change(connection, &cut(false)).await?,
        };
        if connection.json {
            output.json(&links)?;
        } else {
            output.line(&table_with_counts(&links))?;
        }
        output.flush()?;
        Ok(Outcome::Success)
    }
}

impl ControlArgs {
    fn client(&self, connection: &ConnectionArgs) -> Result<Client, ClientError> {
        Client::new(self.control.clone(), &connection.options)
    }

    /// The advice of the client is about nodes.
    fn explained(&self, error: ClientError) -> CliError {
        match error {
            ClientError::Unreachable { reason, .. } => CliError::Input(format!(
                "no relay answers at {}: {reason}; start one with `atoll wan` or `atoll dev --wan`, or name the address of its control with --control",
                self.control
            )),
            other => other.into(),
        }
    }
}

impl EndsArgs {
    async fn change(
        &self,
        connection: &ConnectionArgs,
        change: &ChangeDocument,
    ) -> Result<Vec<LinkDocument>, CliError> {
        let client = self.control.client(connection)?;
        let changed = client
            .change_wan_link(self.from, self.to, !self.one_way, change)
            .await;
        changed.map_err(|error| self.control.explained(error))
    }
}

impl ShapeArgs {
    fn change(&self) -> ChangeDocument {
        ChangeDocument {
            round_trip_ms: self.rtt,
            jitter_ms: self.jitter,
            loss_percent: self.loss,
            reorder_percent: self.reorder,
            bandwidth_mbit: self.bandwidth,
            cut: None,
        }
    }
}

fn cut(is_cut: bool) -> ChangeDocument {
    ChangeDocument {
        cut: Some(is_cut),
        ..ChangeDocument::default()
    }
}
