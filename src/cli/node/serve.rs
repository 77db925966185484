//! `atoll serve`: one node, as in production.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::actors::error_chain;
use crate::cli::node::signals::StopSignals;
use crate::cli::node::{fail, runtime};
use crate::config::host_port::HostPortError;
use crate::config::{ClusterConfig, ConfigError, HostPort};
use crate::model::ids::{NameError, NodeId, RegionId};
use crate::node::{ConfigFile, LogFormat, Node, NodeOptions, StartError, init_telemetry};

/// Arguments of `atoll serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  atoll certs init --cluster my-cluster --dir certs
  atoll certs issue --region us-east --node us-east-1 --dir certs
  atoll serve --config regions.toml --region us-east --node us-east-1 --data /var/lib/atoll --certs certs

Ctrl-C or SIGTERM stops in order, a second one at once. Acknowledged writes are safe in both cases.")]
pub(crate) struct ServeArgs {
    /// The cluster's configuration
    #[arg(long, value_name = "FILE", default_value = "regions.toml")]
    config: PathBuf,
    /// The region of this node
    #[arg(long, value_name = "REGION")]
    region: RegionId,
    /// This node, as in regions.toml
    #[arg(long, value_name = "NODE")]
    node: NodeId,
    /// Folder for this node's data; created if missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder with ca.pem, NODE.pem and NODE.key [default: `certs` beside the configuration]
    #[arg(long, value_name = "DIR", env = "ATOLL_CERTS")]
    certs: Option<PathBuf>,
    /// Dial a region there instead of at its address in regions.toml, as through `atoll wan`; may be given several times
    ///
    /// Where the region has several nodes, each is named by itself: NODE=HOST:PORT. Who answers is checked by its certificate
    /// all the same.
    #[arg(long, value_name = "REGION=HOST:PORT", value_parser = parse_peer)]
    peer: Vec<(RegionId, HostPort)>,
    /// Go on as a new incarnation of the region: after its disk has lost writes, or was restored from a copy
    #[arg(long)]
    new_incarnation: bool,
    /// Log as JSON objects instead of lines
    #[arg(long)]
    log_json: bool,
    /// Add this to the system's clock: for drills that show what a wrong clock does
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        allow_negative_numbers = true,
        hide = true
    )]
    clock_offset_ms: i64,
}

fn parse_peer(text: &str) -> Result<(RegionId, HostPort), String> {
    let (region, address) = text.split_once('=').ok_or("use REGION=HOST:PORT")?;
    let region = region.parse().map_err(|error: NameError| error.to_string())?;
    let address = address
        .parse()
        .map_err(|error: HostPortError| error.to_string())?;
    Ok((region, address))
}

impl ServeArgs {
    /// Runs the node until a signal.
    pub(crate) fn run(self) -> ExitCode {
        init_telemetry(if self.log_json {
            LogFormat::Json
        } else {
            LogFormat::Text
        });
        let config = match self.load() {
            Ok(config) => config,
            Err(error) => return fail(&error),
        };
        match runtime() {
            Ok(runtime) => runtime.block_on(self.serve(config)),
            Err(error) => fail(&error),
        }
    }

    fn load(&self) -> Result<ClusterConfig, ConfigError> {
        load(&self.config, &self.region, &self.peer)
    }

    async fn serve(self, config: ClusterConfig) -> ExitCode {
        let mut signals = match StopSignals::new() {
            Ok(signals) => signals,
            Err(error) => return fail(&error),
        };
        let beside = self
            .config
            .parent()
            .map_or_else(|| PathBuf::from("certs"), |folder| folder.join("certs"));
        let options = NodeOptions {
            region: self.region,
            node: self.node,
            data: self.data,
            certificates: self.certs.unwrap_or(beside),
            clock_offset_ms: self.clock_offset_ms,
            new_incarnation: self.new_incarnation,
        };
        let load = {
            let (path, region, peers) = (self.config.clone(), self.region, self.peer.clone());
            move || load(&path, &region, &peers)
        };
        let file = ConfigFile::new(config.clone(), self.region, self.node, Box::new(load));
        let starting = Node::start(&config, options, Arc::<ConfigFile>::clone(&file));
        let mut node = tokio::select! {
            started = starting => match started {
                Ok(node) => node,
                Err(error) => return fail(&error),
            },
            () = signals.next() => return ExitCode::SUCCESS,
        };
        tracing::info!(node = %node.id(), region = %node.region(), http = %node.http_address(), "serving");
        let mut config = config;
        loop {
            let next = tokio::select! {
                () = signals.next() => break,
                next = file.wanted() => next,
            };
            match go_over(&mut node, &file, &config, &next).await {
                Ok(true) => config = next,
                Ok(false) => {}
                Err(error) => return fail(&error),
            }
        }
        tracing::info!(node = %node.id(), "stopping: requests under way are finished first");
        signals.or_at_once(node.stop()).await;
        ExitCode::SUCCESS
    }
}

fn load(path: &Path, own: &RegionId, peers: &[(RegionId, HostPort)]) -> Result<ClusterConfig, ConfigError> {
    let mut config = ClusterConfig::load(path)?;
    for (region, address) in peers {
        config.dial_at(own, region, address)?;
    }
    Ok(config)
}

/// Goes over to another configuration; where that fails, back to the one before. Whether it has gone over.
async fn go_over(
    node: &mut Node,
    file: &ConfigFile,
    before: &ClusterConfig,
    next: &ClusterConfig,
) -> Result<bool, StartError> {
    let id = node.id();
    tracing::info!(node = %id, "regions.toml has changed; requests wait until this node goes by it");
    let Err(error) = node.reload(next).await else {
        tracing::info!(node = %id, "serving by the new regions.toml");
        file.settle(Ok(()));
        return Ok(true);
    };
    let why = error_chain(&error);
    tracing::error!(node = %id, error = why, "this node cannot go by the new regions.toml; it goes back to the one before");
    node.reload(before).await?;
    file.settle(Err(why));
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_a_region_and_an_address() {
        let (region, address) = parse_peer("eu-west=[::1]:9001").unwrap();
        assert_eq!((region.as_str(), address.port()), ("eu-west", 9001));
        for bad in [
            "eu-west",
            "eu-west=9001",
            "EU=127.0.0.1:1",
            "=127.0.0.1:1",
            "eu-west=127.0.0.1:0",
        ] {
            assert!(parse_peer(bad).is_err(), "{bad}");
        }
    }
}
