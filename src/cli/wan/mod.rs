//! `atoll wan`: runs the relay between regions, and changes one that runs.

mod change;
mod run;
mod table;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::connection::ConnectionArgs;
use crate::cli::endpoints::BaseUrl;
use crate::model::ids::RegionId;

pub(crate) use run::how_to_change;
pub(crate) use table::table_with_addresses;

/// Where the control is when nobody names a place: beside the ports on which the relay listens by default.
pub(crate) const DEFAULT_CONTROL: &str = "127.0.0.1:7200";

/// Arguments of `atoll wan`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Without a command it runs the relay until Ctrl-C, with the [[link]] entries of the configuration,
and prints which addresses each region must dial.

Examples:
  atoll wan --config regions.toml                        run a relay
  atoll serve … --peer eu-west=127.0.0.1:7201            a node that dials through it
  atoll wan show                                         links, and what became of their packets
  atoll wan set us-east eu-west --rtt 180 --loss 1       both directions
  atoll wan set us-east eu-west --loss 5 --one-way       only from us-east to eu-west
  atoll wan cut us-east eu-west                          a partition
  atoll wan heal us-east eu-west")]
pub(crate) struct WanArgs {
    #[command(subcommand)]
    command: Option<WanCommand>,
    #[command(flatten)]
    relay: RelayArgs,
}

/// How the relay runs.
#[derive(Debug, Args)]
struct RelayArgs {
    /// The cluster's configuration
    #[arg(long, value_name = "FILE", default_value = "regions.toml")]
    config: PathBuf,
    /// The address on which it listens for nodes (UDP)
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The port of the first node of the first direction, the others follow; 0: any that are free
    #[arg(long, value_name = "PORT", default_value_t = 7201)]
    first_port: u16,
    /// Where it serves its control; it has no authentication, so keep it on the loopback address
    #[arg(long, value_name = "IP:PORT", default_value = DEFAULT_CONTROL)]
    control: SocketAddr,
    /// Decides all chances: the same packets at the same times have the same fate
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Commands that talk to a running relay.
#[derive(Debug, Subcommand)]
enum WanCommand {
    /// Show all links, and what has become of their packets
    Show {
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Change what a link is like; what is not named stays
    Set {
        #[command(flatten)]
        ends: EndsArgs,
        #[command(flatten)]
        shape: ShapeArgs,
    },
    /// Let nothing pass
    Cut {
        #[command(flatten)]
        ends: EndsArgs,
    },
    /// Let packets pass again, under the conditions there were before the cut
    Heal {
        #[command(flatten)]
        ends: EndsArgs,
    },
}

/// Where the relay is.
#[derive(Debug, Args)]
struct ControlArgs {
    /// The control of the relay
    #[arg(long, value_name = "URL", default_value = DEFAULT_CONTROL)]
    control: BaseUrl,
}

/// Which link.
#[derive(Debug, Args)]
struct EndsArgs {
    /// One region
    from: RegionId,
    /// The other
    to: RegionId,
    /// Only from the first to the second
    #[arg(long)]
    one_way: bool,
    #[command(flatten)]
    control: ControlArgs,
}

/// What a link is like.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct ShapeArgs {
    /// Round trip; each direction delays by half of it
    #[arg(long, value_name = "MS")]
    rtt: Option<f64>,
    /// Each packet is delayed by up to so much more, in order
    #[arg(long, value_name = "MS")]
    jitter: Option<f64>,
    /// Packets lost in each direction
    #[arg(long, value_name = "PERCENT")]
    loss: Option<f64>,
    /// Packets overtaken by others
    #[arg(long, value_name = "PERCENT")]
    reorder: Option<f64>,
    /// Bandwidth of each direction; 0 is no limit
    #[arg(long, value_name = "MBIT")]
    bandwidth: Option<f64>,
}

impl WanArgs {
    /// Runs the relay until a signal, or the command to its end.
    pub(crate) fn run(self, connection: &ConnectionArgs) -> ExitCode {
        match self.command {
            None => self.relay.run(connection.json),
            Some(command) => command.run(connection),
        }
    }
}
