//! `atoll dev`: all regions of a regions.toml in one process, each with its own folder, ports and actors.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use crate::actors::error_chain;
use crate::actors::region::FixedConfiguration;
use crate::cli::node::signals::StopSignals;
use crate::cli::node::{fail, runtime};
use crate::cli::wan::{self, DEFAULT_CONTROL};
use crate::config::{ClusterConfig, ConfigError};
use crate::model::ids::{NodeId, RegionId};
use crate::model::limits;
use crate::node::{LogFormat, Node, NodeOptions, StartError, init_telemetry, version_of};
use crate::transport::certificates::{CertificateError, CertificateFolder, ensure_dev_certificates};
use crate::wan::{Relay, RelayError, RelayOptions};

/// Marks a folder as one that `atoll dev` has made, and may therefore empty.
const MARKER: &str = "atoll-dev";

/// When one node has failed, how long the others may take to start, and so to be stopped in order. What is not done then
/// may wait for the one that has failed.
const STRAGGLERS_WAIT: Duration = Duration::from_secs(5);

/// Arguments of `atoll dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  atoll dev                  start or go on
  atoll dev --fresh          start empty
  atoll dev --nodes 3        with three nodes in each region
  atoll dev --wan            with the distances of regions.toml between the regions

Ctrl-C stops in order, a second one at once.")]
pub(crate) struct DevArgs {
    /// The cluster's configuration
    #[arg(long, value_name = "FILE", default_value = "regions.toml")]
    config: PathBuf,
    /// Folder for the data and certificates of all regions
    #[arg(long, value_name = "DIR", default_value = ".atoll")]
    data: PathBuf,
    /// Remove the data of an earlier run first
    #[arg(long)]
    fresh: bool,
    /// Run each region with so many nodes: those of the configuration, and others beside its first one
    ///
    /// The second node of us-east-1 is us-east-2, with ports that are 100 greater, and so on. 1 to 9; each partition has at most
    /// 7 copies that vote, the others follow.
    #[arg(long, value_name = "N", value_parser = parse_nodes)]
    nodes: Option<usize>,
    /// Put a relay between the regions that gives their links the distances of the configuration
    #[arg(long)]
    wan: bool,
    /// Where the relay serves its control, for `atoll wan set`, `cut`, `heal` and `show`
    #[arg(long, value_name = "IP:PORT", default_value = DEFAULT_CONTROL, requires = "wan")]
    wan_control: SocketAddr,
    /// Log as JSON objects instead of lines
    #[arg(long)]
    log_json: bool,
    /// Add to the clock of one region, as REGION=MS: for drills that show what a wrong clock does
    #[arg(long, value_name = "REGION=MS", value_parser = parse_offset, hide = true)]
    clock_offset: Vec<(RegionId, i64)>,
}

fn parse_nodes(text: &str) -> Result<usize, String> {
    let most = limits::DEV_NODES_MAX;
    let parsed = text.parse().ok().filter(|nodes| (1..=most).contains(nodes));
    parsed.ok_or_else(|| format!("use a number from 1 to {most}"))
}

fn parse_offset(text: &str) -> Result<(RegionId, i64), String> {
    let (region, ms) = text.split_once('=').ok_or("use REGION=MS")?;
    let region = region
        .parse()
        .map_err(|error: crate::model::ids::NameError| error.to_string())?;
    Ok((
        region,
        ms.parse()
            .map_err(|error| format!("{ms:?} is not a number of milliseconds: {error}"))?,
    ))
}

/// Why the regions did not start.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "{path} was not made by `atoll dev`, so --fresh does not remove it: choose another folder with --data, or remove it yourself"
    )]
    NotOurs { path: PathBuf },
    #[error("cannot prepare the folder {path}")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error("node {node} of region {region} did not start")]
    Start {
        node: NodeId,
        region: RegionId,
        #[source]
        source: Box<StartError>,
    },
    #[error("the process cannot run")]
    Io(#[from] std::io::Error),
}

impl DevArgs {
    /// Runs all regions until a signal.
    pub(crate) fn run(self) -> ExitCode {
        init_telemetry(if self.log_json {
            LogFormat::Json
        } else {
            LogFormat::Text
        });
        let result = runtime()
            .map_err(DevError::from)
            .and_then(|runtime| runtime.block_on(self.dev()));
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        }
    }

    async fn dev(self) -> Result<(), DevError> {
        let mut signals = StopSignals::new()?;
        let config = self.load()?;
        prepare_folder(&self.data, self.fresh)?;
        let certificates = self.data.join("certs");
        let nodes = config.nodes().map(|(region, node)| (region.id, node.id));
        ensure_dev_certificates(
            &CertificateFolder::new(certificates.clone()),
            config.cluster,
            nodes,
            SystemTime::now(),
        )?;
        let relay = self.start_relay(&config).await?;
        let nodes = tokio::select! {
            started = self.start_all(&config, relay.as_ref(), &certificates) => started?,
            () = signals.next() => return Ok(()),
        };
        print_welcome(&nodes, &self.data);
        if let Some(relay) = &relay {
            print_relay(relay);
        }
        signals.next().await;
        eprintln!("stopping: requests under way are finished first (Ctrl-C again stops at once)");
        signals.or_at_once(stop_all(nodes)).await;
        Ok(())
    }

    /// The configuration with all nodes that are to run.
    fn load(&self) -> Result<ClusterConfig, ConfigError> {
        let mut config = ClusterConfig::load(&self.config)?;
        if let Some(nodes) = self.nodes {
            config = config.with_nodes(nodes)?;
        }
        config.validate_one_machine()?;
        Ok(config)
    }

    async fn start_relay(&self, config: &ClusterConfig) -> Result<Option<Relay>, DevError> {
        if !self.wan {
            return Ok(None);
        }
        let options = RelayOptions {
            listen: Ipv4Addr::LOCALHOST.into(),
            first_port: 0,
            control: self.wan_control,
            seed: None,
        };
        Ok(Some(Relay::start(config, &options).await?))
    }

    async fn start_all(
        &self,
        config: &ClusterConfig,
        relay: Option<&Relay>,
        certificates: &Path,
    ) -> Result<Vec<Node>, DevError> {
        let starting = config.nodes().map(|(region, node)| {
            let own_config = match relay {
                Some(relay) => relay.configure(config, &region.id),
                None => Ok(config.clone()),
            };
            let offset = self
                .clock_offset
                .iter()
                .rev()
                .find(|(other, _)| *other == region.id);
            let options = NodeOptions {
                region: region.id,
                node: node.id,
                data: self.data.join(node.id.as_str()),
                certificates: certificates.to_owned(),
                clock_offset_ms: offset.map_or(0, |(_, ms)| *ms),
                new_incarnation: false,
            };
            let (region, node) = (region.id, node.id);
            async move {
                let own_config = own_config?;
                let configuration = Arc::new(FixedConfiguration {
                    version: version_of(&own_config),
                    since: SystemTime::now(),
                });
                Node::start(&own_config, options, configuration)
                    .await
                    .map_err(|source| DevError::Start {
                        node,
                        region,
                        source: Box::new(source),
                    })
            }
        });
        all_or_none(starting).await
    }
}

/// All nodes in the order given, or the first error, without waiting for ever for those that wait for one that has failed.
async fn all_or_none(
    starting: impl Iterator<Item = impl Future<Output = Result<Node, DevError>>>,
) -> Result<Vec<Node>, DevError> {
    let numbered = starting
        .enumerate()
        .map(|(number, node)| async move { (number, node.await) });
    let mut starting: FuturesUnordered<_> = numbered.collect();
    let (mut nodes, mut failure) = (BTreeMap::new(), None);
    let mut patience = Duration::MAX;
    loop {
        match tokio::time::timeout(patience, starting.next()).await {
            Ok(Some((number, Ok(node)))) => {
                nodes.insert(number, node);
            }
            Ok(Some((_, Err(error)))) => match &failure {
                None => {
                    failure = Some(error);
                    patience = STRAGGLERS_WAIT;
                }
                // One error is returned; the others are not hidden.
                Some(_) => eprintln!("error: {}", error_chain(&error)),
            },
            Ok(None) | Err(_) => break,
        }
    }
    let nodes = nodes.into_values().collect();
    match failure {
        None => Ok(nodes),
        Some(error) => {
            stop_all(nodes).await;
            Err(error)
        }
    }
}

async fn stop_all(nodes: Vec<Node>) {
    join_all(nodes.into_iter().map(Node::stop)).await;
}

/// Makes the folder, and empties it first if that is asked for and it is ours.
fn prepare_folder(path: &Path, fresh: bool) -> Result<(), DevError> {
    let failed = |source| DevError::Folder {
        path: path.to_owned(),
        source,
    };
    let marker = path.join(MARKER);
    if fresh && path.exists() {
        if !marker.exists() {
            return Err(DevError::NotOurs {
                path: path.to_owned(),
            });
        }
        std::fs::remove_dir_all(path).map_err(failed)?;
    }
    std::fs::create_dir_all(path).map_err(failed)?;
    std::fs::write(
        marker,
        "Made by `atoll dev`; `atoll dev --fresh` removes this folder.\n",
    )
    .map_err(failed)
}

fn print_welcome(nodes: &[Node], data: &Path) {
    let regions: Vec<&[Node]> = nodes
        .chunk_by(|one, next| one.region() == next.region())
        .collect();
    println!(
        "\n{} regions are serving; their data is in {}.\n",
        regions.len(),
        data.display()
    );
    for node in regions.iter().copied().flatten() {
        let (region, address) = (node.region().to_string(), node.http_address());
        if nodes.len() == regions.len() {
            println!("  {region:<12} http://{address}");
        } else {
            println!("  {region:<12} {:<14} http://{address}", node.id().to_string());
        }
    }
    let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else {
        return;
    };
    let (near, far) = (first.http_address(), last.http_address());
    println!("\nWrite in {}, read in {}:\n", first.region(), last.region());
    println!(
        "  curl -X PUT http://{near}/v1/data/demo/registers/greeting -H 'Content-Type: text/plain' -d 'hello'"
    );
    println!("  curl http://{far}/v1/data/demo/registers/greeting");
    println!("  curl -X POST http://{near}/v1/data/demo/counters/visits -d '{{\"add\": 1}}'");
    println!("  curl http://{far}/v1/data/demo/counters/visits");
    println!("  curl http://{near}/v1/cluster/status");
    println!("\nStop with Ctrl-C; start again and the data is still there.\n");
}

fn print_relay(relay: &Relay) {
    println!(
        "Between the regions is a relay:\n\n{}\n",
        wan::table_with_addresses(&relay.links())
    );
    println!("{}\n", wan::how_to_change(relay));
}
