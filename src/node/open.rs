//! Opening a node's data folder.

use std::sync::Arc;

use crate::config::ClusterConfig;
use crate::node::start::NodeOptions;
use crate::node::start_error::{StartError, part};
use crate::ports::clock::{Clock, SystemClock};
use crate::storage::{
    ExpectedIdentity, Identity, OpenReport, RocksConfig, RocksStore, bump_incarnation, check_or_create,
};

pub(super) struct OpenedStore {
    pub(super) store: Arc<RocksStore>,
    pub(super) identity: Identity,
}

pub(super) async fn open_store(
    cluster: &ClusterConfig,
    options: &NodeOptions,
) -> Result<OpenedStore, StartError> {
    let config = RocksConfig {
        block_cache_bytes: usize::try_from(cluster.storage.block_cache_bytes).unwrap_or(usize::MAX),
        memtable_bytes: usize::try_from(cluster.storage.memtable_bytes).unwrap_or(usize::MAX),
        disk_reserve_bytes: cluster.storage.disk_reserve_bytes,
    };
    let now = SystemClock::with_offset_ms(options.clock_offset_ms).now();
    let expected = ExpectedIdentity {
        cluster: cluster.cluster,
        region: options.region,
        node: options.node,
        partitions: cluster.partitions,
        now,
    };
    let (folder, new_incarnation) = (options.data.clone(), options.new_incarnation);
    let is_alone = cluster.region(&options.region)?.nodes().len() == 1;
    // Opening replays the write-ahead log, which blocks on the disk.
    let opened = tokio::task::spawn_blocking(move || -> Result<OpenedStore, StartError> {
        let (store, report) = RocksStore::open(&folder, config)?;
        let mut identity = check_or_create(&store, &folder, &expected)?;
        if new_incarnation || needs_new_incarnation(&report) {
            identity = bump_incarnation(&store, &folder, now)?;
            if is_alone {
                tracing::warn!(
                    region = %identity.region, incarnation = identity.incarnation.0,
                    "this region goes on as a new incarnation; what the old one has lost comes back as far as other regions' logs still have it"
                );
            } else {
                tracing::warn!(
                    node = %identity.node, incarnation = identity.incarnation.0,
                    "this node begins a new incarnation: it is no member of its region any more, unless that is not founded yet"
                );
            }
        }
        store.forget_torn_tail()?;
        Ok(OpenedStore {
            store: Arc::new(store),
            identity,
        })
    });
    part("opening the store", opened.await)?
}

/// A torn end of the log is nearly always a write that nobody was told of. If the disk has lied, an acknowledged one is
/// gone, and its dots would be given out twice: a new incarnation costs one vector entry and is safe in both cases.
fn needs_new_incarnation(report: &OpenReport) -> bool {
    report.truncated_tail.is_some()
}
