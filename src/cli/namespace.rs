//! `atoll namespace`: how namespaces treat their records.

use clap::{Args, Subcommand};

use crate::cli::client::types::NamespaceConfiguration;
use crate::cli::client_command::Context;
use crate::cli::connection::Consistency;
use crate::cli::error::{CliError, Outcome};
use crate::model::ids::{Namespace, RegionId};

/// Subcommands of `namespace`.
#[derive(Debug, Subcommand)]
pub(crate) enum NamespaceCommand {
    /// Print a namespace's configuration; one that was never configured has the defaults
    Get {
        /// The namespace
        namespace: Namespace,
    },
    /// Configure a namespace; what is not given stays as it is
    Put(NamespacePutArgs),
    /// List the namespaces
    List,
}

/// Arguments of `namespace put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll namespace put carts --conflict-policy siblings
  atoll namespace put accounts --home-region us-east --default-consistency strong")]
pub(crate) struct NamespacePutArgs {
    /// The namespace
    namespace: Namespace,
    /// What happens to concurrent writes of a register: lww (last write wins), siblings (keep all) or custom:HANDLER
    #[arg(long, value_name = "POLICY")]
    conflict_policy: Option<String>,
    /// The region that commits `strong` writes
    #[arg(long, value_name = "REGION")]
    home_region: Option<RegionId>,
    /// Have no home region
    #[arg(long, conflicts_with = "home_region")]
    no_home_region: bool,
    /// The level of requests that name none
    #[arg(long, value_name = "LEVEL")]
    default_consistency: Option<Consistency>,
}

impl NamespacePutArgs {
    fn apply(&self, mut configuration: NamespaceConfiguration) -> NamespaceConfiguration {
        if let Some(policy) = &self.conflict_policy {
            configuration.conflict_policy.clone_from(policy);
        }
        if let Some(level) = self.default_consistency {
            configuration.default_consistency = level.as_str().to_owned();
        }
        if let Some(region) = self.home_region {
            configuration.home_region = Some(region.to_string());
        } else if self.no_home_region {
            configuration.home_region = None;
        }
        configuration
    }
}

/// Runs `namespace`.
pub(crate) async fn run(command: NamespaceCommand, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    match command {
        NamespaceCommand::Get { namespace } => {
            let configuration = client.namespace_get(&namespace).await?;
            print(&configuration, context)?;
        }
        NamespaceCommand::Put(args) => {
            let configuration = args.apply(client.namespace_get(&args.namespace).await?);
            client.namespace_put(&args.namespace, &configuration).await?;
            print(&configuration, context)?;
        }
        NamespaceCommand::List => {
            let namespaces = client.namespaces().await?;
            if context.connection.json {
                context.output.json(&namespaces)?;
            } else {
                for namespace in namespaces {
                    context.output.line(&namespace)?;
                }
            }
        }
    }
    Ok(Outcome::Success)
}

fn print(configuration: &NamespaceConfiguration, context: &mut Context) -> Result<(), CliError> {
    if context.connection.json {
        return context.output.json(configuration);
    }
    let home = configuration.home_region.as_deref().unwrap_or("none");
    context
        .output
        .line(&format!("conflict_policy      {}", configuration.conflict_policy))?;
    context.output.line(&format!("home_region          {home}"))?;
    context.output.line(&format!(
        "default_consistency  {}",
        configuration.default_consistency
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> NamespacePutArgs {
        NamespacePutArgs {
            namespace: "carts".parse().unwrap(),
            conflict_policy: None,
            home_region: None,
            no_home_region: false,
            default_consistency: None,
        }
    }

    #[test]
    fn what_is_not_given_stays_as_it_is() {
        let before = NamespaceConfiguration {
            conflict_policy: "siblings".to_owned(),
            home_region: Some("us-east".to_owned()),
            default_consistency: "local_quorum".to_owned(),
        };
        assert_eq!(args().apply(before.clone()), before);
        let changed = NamespacePutArgs {
            default_consistency: Some(Consistency::Strong),
            ..args()
        };
        let expected = NamespaceConfiguration {
            default_consistency: "strong".to_owned(),
            ..before.clone()
        };
        assert_eq!(changed.apply(before.clone()), expected);
        let homeless = NamespacePutArgs {
            no_home_region: true,
            ..args()
        };
        assert_eq!(homeless.apply(before).home_region, None);
    }
}
