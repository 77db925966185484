//! `atoll node`: the nodes of the asked node's region, and changing them while it serves.

use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::cli::client::Client;
use crate::cli::client::cluster::{NodeAction, RegionNodes};
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};
use crate::model::ids::NodeId;

/// How often is asked how far a change is.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Subcommands of `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show the nodes of the region, and what they hold, vote for and lead
    List,
    /// Let a node of regions.toml take part, or one that was drained take part again
    #[command(after_help = "\
The node must be in the regions.toml of all nodes, and run. It gets a copy of everything first.
Example: a region of one node gets a second one
  atoll node add us-east-2 --endpoint http://127.0.0.1:8101")]
    Add(ChangeArgs),
    /// Let a node lead nothing, and vote only where there are too few others: before maintenance
    Drain(ChangeArgs),
    /// Take a node out of the region, whether it runs or not
    #[command(after_help = "\
When it is done the node can be stopped and taken out of regions.toml. To give it an empty disk, remove it, empty its
data folder, start it and add it.")]
    Remove {
        #[command(flatten)]
        change: ChangeArgs,
        /// Also where partitions have fewer copies then than they should
        #[arg(long)]
        fewer_copies: bool,
    },
}

/// What all changes take.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The node
    node: NodeId,
    /// Return when the region has agreed on it, not when it is done
    #[arg(long)]
    no_wait: bool,
}

/// Runs `node`.
pub(crate) async fn run(command: NodeCommand, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let (change, action) = match command {
        NodeCommand::List => {
            let (raw, nodes) = client.nodes().await?;
            show(context, &raw, &nodes)?;
            return Ok(Outcome::Success);
        }
        NodeCommand::Add(change) => (change, NodeAction::Add),
        NodeCommand::Drain(change) => (change, NodeAction::Drain),
        NodeCommand::Remove { change, fewer_copies } => (change, NodeAction::Remove { fewer_copies }),
    };
    client.change_node(change.node, action).await?;
    if !change.no_wait {
        wait(&client, change.node, action).await?;
    }
    let (raw, nodes) = client.nodes().await?;
    show(context, &raw, &nodes)?;
    Ok(Outcome::Success)
}

/// Waits until all partitions are as wanted, and says how far they are.
async fn wait(client: &Client, node: NodeId, action: NodeAction) -> Result<(), CliError> {
    let mut told = None;
    loop {
        let (_, nodes) = client.nodes().await?;
        let name = node.as_str();
        let found = nodes.nodes.iter().find(|found| found.node == name);
        let leads = found.map_or(0, |found| found.leads);
        let is_done = nodes.settled == nodes.partitions
            && match action {
                NodeAction::Add => found.is_some_and(|found| found.state == "active"),
                NodeAction::Drain => found.is_some_and(|found| found.state == "drained") && leads == 0,
                NodeAction::Remove { .. } => {
                    found.is_none_or(|found| found.state == "not_added" && found.copies == 0)
                }
            };
        if is_done {
            return Ok(());
        }
        let far = (nodes.settled, leads);
        if told != Some(far) {
            told = Some(far);
            eprintln!(
                "{name}: {} of {} partitions are as wanted, it leads {leads}",
                nodes.settled, nodes.partitions
            );
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn show(context: &mut Context, raw: &serde_json::Value, nodes: &RegionNodes) -> Result<(), CliError> {
    if context.connection.json {
        return context.output.json(raw);
    }
    context.output.line(&table(nodes))
}

fn table(nodes: &RegionNodes) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["node", "state", "reached", "copies", "votes", "leads"]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in 3..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for node in &nodes.nodes {
        table.add_row([
            Cell::new(&node.node),
            Cell::new(node.state.replace('_', " ")),
            Cell::new(if node.reached { "yes" } else { "no" }),
            Cell::new(node.copies),
            Cell::new(node.votes),
            Cell::new(node.leads),
        ]);
    }
    let settled = if nodes.settled == nodes.partitions {
        "all partitions are as wanted".to_owned()
    } else {
        format!(
            "{} of {} partitions are as wanted",
            nodes.settled, nodes.partitions
        )
    };
    format!(
        "{}\nregion {}, {} copies of each partition vote; {settled}",
        table.trim_fmt(),
        nodes.region,
        nodes.replication_factor
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::cluster::RegionNode;

    #[test]
    fn the_table_shows_what_each_node_has() {
        let node = |name: &str, state: &str, leads| RegionNode {
            node: name.to_owned(),
            state: state.to_owned(),
            reached: leads > 0,
            copies: 64,
            votes: 64,
            leads,
        };
        let nodes = RegionNodes {
            region: "eu".to_owned(),
            replication_factor: 3,
            partitions: 64,
            settled: 60,
            nodes: vec![node("eu-1", "active", 64), node("eu-2", "not_added", 0)],
        };
        let text = table(&nodes);
        assert!(text.contains("eu-1  active     yes"), "{text}");
        assert!(text.contains("eu-2  not added  no"), "{text}");
        assert!(text.ends_with("60 of 64 partitions are as wanted"), "{text}");
    }
}
