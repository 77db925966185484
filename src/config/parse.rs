//! From the text of `regions.toml` to a [`ClusterConfig`], or the first mistake with its line.
//!
//! The only function of `config` that does I/O is [`ClusterConfig::load`]: it reads the file and hands the
//! text on.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;

use super::error::{ConfigError, Mistake};
use super::host_port::HostPort;
use super::options::{ClockOptions, HttpOptions, ReplicationOptions, StorageOptions};
use super::raw::{RawClock, RawCluster, RawHttp, RawNode, RawRegion, RawReplication, RawStorage};
use super::source::Source;
use super::types::{ClusterConfig, NodeConfig, RegionConfig};
use crate::model::agreement::factor::ReplicationFactor;
use crate::model::ids::PartitionCount;
use crate::model::limits;

/// Partitions where the file names no count: 64 keep three nodes of a region busy on many cores each.
const PARTITIONS_DEFAULT: u32 = 64;

impl ClusterConfig {
    /// Reads and parses the file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::TooLarge`] for the file, else as [`Self::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let cannot_read = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(cannot_read)?;
        // One byte more than allowed tells "exactly full" from "too large" without reading a device for ever.
        file.take(limits::CONFIG_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(cannot_read)?;
        if text.len() as u64 > limits::CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
            });
        }
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses the text of a file; `file_name` only serves the messages.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the first mistake: its line, its field, and what would be right.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ConfigError> {
        let source = Source { file_name, text };
        let toml = toml::Deserializer::parse(text).map_err(|error| source.refuse_syntax(&error))?;
        let raw = RawCluster::deserialize(toml).map_err(|error| source.refuse_shape(error))?;
        source.cluster(&raw)
    }
}

/// Where each unique thing was seen first, by line.
#[derive(Default)]
struct Seen {
    regions: BTreeMap<String, usize>,
    nodes: BTreeMap<String, usize>,
    http: BTreeMap<String, usize>,
    quic: BTreeMap<String, usize>,
}

impl Source<'_> {
    fn cluster(&self, raw: &RawCluster) -> Result<ClusterConfig, ConfigError> {
        let regions = self.regions(&raw.region)?;
        Ok(ClusterConfig {
            cluster: self.text_field("cluster", &raw.cluster)?,
            partitions: self.partitions(raw.partitions.as_ref())?,
            replication: self.replication(&raw.replication)?,
            clock: self.clock(&raw.clock)?,
            storage: self.storage(&raw.storage)?,
            http: self.http(&raw.http)?,
            links: self.links(&raw.link, &regions)?,
            health: self.health(&raw.health)?,
            regions,
        })
    }

    fn partitions(&self, raw: Option<&Spanned<i64>>) -> Result<PartitionCount, ConfigError> {
        let Some(raw) = raw else {
            return Ok(
                PartitionCount::new(PARTITIONS_DEFAULT).expect("the default is a power of two in range")
            );
        };
        let range = 1..=u64::from(limits::PARTITIONS_MAX);
        let count = self.number("partitions", Some(raw), range, u64::from(PARTITIONS_DEFAULT))?;
        let count = u32::try_from(count).expect("checked against a u16 limit");
        PartitionCount::new(count).map_err(|error| self.refuse("partitions", raw.span(), error.into()))
    }

    fn regions(&self, raw: &[Spanned<RawRegion>]) -> Result<Vec<RegionConfig>, ConfigError> {
        if raw.is_empty() {
            // There is no place to point at; the end of the file is where the regions would go.
            return Err(self.refuse("region", self.text.len()..self.text.len(), Mistake::NoRegions));
        }
        if let Some(first_too_many) = raw.get(limits::REGIONS_MAX) {
            return Err(self.refuse(
                "region",
                first_too_many.span(),
                Mistake::TooManyRegions(raw.len()),
            ));
        }
        let mut seen = Seen::default();
        raw.iter().map(|region| self.region(region, &mut seen)).collect()
    }

    fn region(&self, raw: &Spanned<RawRegion>, seen: &mut Seen) -> Result<RegionConfig, ConfigError> {
        let RawRegion {
            id: raw_id,
            replication_factor: raw_factor,
            node: raw_nodes,
        } = raw.get_ref();
        let id = self.text_field("region.id", raw_id)?;
        self.unique("region.id", "region", raw_id, &mut seen.regions)?;
        if raw_nodes.is_empty() {
            return Err(self.refuse("region.node", raw.span(), Mistake::NoNodes(id)));
        }
        if let Some(first_too_many) = raw_nodes.get(limits::NODES_PER_REGION_MAX) {
            let mistake = Mistake::TooManyNodes {
                region: id,
                count: raw_nodes.len(),
            };
            return Err(self.refuse("region.node", first_too_many.span(), mistake));
        }
        let nodes = raw_nodes
            .iter()
            .map(|node| self.node(node.get_ref(), seen))
            .collect::<Result<_, _>>()?;
        Ok(RegionConfig {
            id,
            replication_factor: self.replication_factor(raw_factor.as_ref(), raw_nodes.len())?,
            nodes,
        })
    }

    fn replication_factor(
        &self,
        raw: Option<&Spanned<i64>>,
        nodes: usize,
    ) -> Result<ReplicationFactor, ConfigError> {
        // Without the option there is nothing to refuse, and so no place to point at.
        let place = raw.map_or(0..0, Spanned::span);
        ReplicationFactor::of_region(raw.map(|raw| *raw.get_ref()), nodes)
            .map_err(|error| self.refuse("region.replication_factor", place, error.into()))
    }

    fn node(&self, raw: &RawNode, seen: &mut Seen) -> Result<NodeConfig, ConfigError> {
        let id = self.text_field("region.node.id", &raw.id)?;
        self.unique("region.node.id", "node", &raw.id, &mut seen.nodes)?;
        let http = self.dialled("region.node.http", "http_listen", &raw.http)?;
        let quic = self.dialled("region.node.quic", "quic_listen", &raw.quic)?;
        // HTTP is TCP and QUIC is UDP, so they may share a port; compared is the canonical form.
        let http_place = Spanned::new(raw.http.span(), http.to_string());
        self.unique(
            "region.node.http",
            "HTTP address (TCP)",
            &http_place,
            &mut seen.http,
        )?;
        let quic_place = Spanned::new(raw.quic.span(), quic.to_string());
        self.unique(
            "region.node.quic",
            "QUIC address (UDP)",
            &quic_place,
            &mut seen.quic,
        )?;
        Ok(NodeConfig {
            id,
            http_listen: self
                .optional("region.node.http_listen", raw.http_listen.as_ref())?
                .unwrap_or_else(|| http.clone()),
            quic_listen: self
                .optional("region.node.quic_listen", raw.quic_listen.as_ref())?
                .unwrap_or_else(|| quic.clone()),
            http,
            quic,
            zone: self.optional("region.node.zone", raw.zone.as_ref())?,
        })
    }

    /// An address that others dial.
    fn dialled(
        &self,
        field: &str,
        listen_field: &'static str,
        raw: &Spanned<String>,
    ) -> Result<HostPort, ConfigError> {
        let address: HostPort = self.text_field(field, raw)?;
        if address.is_unspecified() {
            return Err(self.refuse(
                field,
                raw.span(),
                Mistake::Unreachable {
                    address,
                    listen_field,
                },
            ));
        }
        Ok(address)
    }

    fn replication(&self, raw: &RawReplication) -> Result<ReplicationOptions, ConfigError> {
        type Options = ReplicationOptions;
        let default = Options::default();
        let batch_changes = self.number(
            "replication.batch_changes",
            raw.batch_changes.as_ref(),
            Options::BATCH_CHANGES,
            default.batch_changes as u64,
        )?;
        let lanes = self.number(
            "replication.lanes",
            raw.lanes.as_ref(),
            Options::LANES,
            u64::from(default.lanes),
        )?;
        let compression_level = self.number(
            "replication.compression_level",
            raw.compression_level.as_ref(),
            Options::COMPRESSION_LEVEL,
            u64::from(default.compression_level.unsigned_abs()),
        )?;
        Ok(Options {
            batch_delay: self.milliseconds(
                "replication.batch_delay_ms",
                raw.batch_delay_ms.as_ref(),
                Options::BATCH_DELAY_MS,
                default.batch_delay,
            )?,
            batch_changes: usize::try_from(batch_changes).expect("the range fits"),
            lanes: u16::try_from(lanes).expect("the range fits"),
            heartbeat_interval: self.milliseconds(
                "replication.heartbeat_interval_ms",
                raw.heartbeat_interval_ms.as_ref(),
                Options::HEARTBEAT_INTERVAL_MS,
                default.heartbeat_interval,
            )?,
            compression_level: i32::try_from(compression_level).expect("the range fits"),
            log_retention_bytes: self.number(
                "replication.log_retention_bytes",
                raw.log_retention_bytes.as_ref(),
                Options::LOG_RETENTION_BYTES,
                default.log_retention_bytes,
            )?,
        })
    }

    fn clock(&self, raw: &RawClock) -> Result<ClockOptions, ConfigError> {
        Ok(ClockOptions {
            max_clock_drift: self.milliseconds(
                "clock.max_clock_drift_ms",
                raw.max_clock_drift_ms.as_ref(),
                ClockOptions::MAX_CLOCK_DRIFT_MS,
                ClockOptions::default().max_clock_drift,
            )?,
        })
    }

    fn storage(&self, raw: &RawStorage) -> Result<StorageOptions, ConfigError> {
        type Options = StorageOptions;
        let default = Options::default();
        Ok(Options {
            disk_reserve_bytes: self.number(
                "storage.disk_reserve_bytes",
                raw.disk_reserve_bytes.as_ref(),
                Options::DISK_RESERVE_BYTES,
                default.disk_reserve_bytes,
            )?,
            block_cache_bytes: self.number(
                "storage.block_cache_bytes",
                raw.block_cache_bytes.as_ref(),
                Options::BLOCK_CACHE_BYTES,
                default.block_cache_bytes,
            )?,
            memtable_bytes: self.number(
                "storage.memtable_bytes",
                raw.memtable_bytes.as_ref(),
                Options::MEMTABLE_BYTES,
                default.memtable_bytes,
            )?,
        })
    }

    fn http(&self, raw: &RawHttp) -> Result<HttpOptions, ConfigError> {
        let default = HttpOptions::default();
        Ok(HttpOptions {
            request_timeout: self.milliseconds(
                "http.request_timeout_ms",
                raw.request_timeout_ms.as_ref(),
                HttpOptions::REQUEST_TIMEOUT_MS,
                default.request_timeout,
            )?,
            shutdown_grace: self.milliseconds(
                "http.shutdown_grace_ms",
                raw.shutdown_grace_ms.as_ref(),
                HttpOptions::SHUTDOWN_GRACE_MS,
                default.shutdown_grace,
            )?,
            max_staleness: self.milliseconds(
                "http.max_staleness_ms",
                raw.max_staleness_ms.as_ref(),
                HttpOptions::MAX_STALENESS_MS,
                default.max_staleness,
            )?,
        })
    }
}
