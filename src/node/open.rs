//! Opening a node's data folder.

use std::sync::Arc;

use crate::config::ClusterConfig;
use crate::node::founding::stored_founding;
use crate::node::start::NodeOptions;
use crate::node::start_error::{StartError, part};
use crate::ports::clock::{Clock, SystemClock};
use crate::storage::{
    ExpectedIdentity, Identity, RocksConfig, RocksStore, bump_incarnation, check_or_create,
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
    // A torn end of the log is nearly always a write that nobody was told of. If the disk has lied, an acknowledged one is
    // gone, and its dots would be given out twice: for whoever has a region to itself a new incarnation costs one vector entry
    // and is safe in both cases. A member of groups would be out for good, and agreement trusts fsync anyway (decision 0008).
    // Opening replays the write-ahead log, which blocks on the disk.
    let opened = tokio::task::spawn_blocking(move || -> Result<OpenedStore, StartError> {
        let (store, report) = RocksStore::open(&folder, config)?;
        let mut identity = check_or_create(&store, &folder, &expected)?;
        let is_torn = report.truncated_tail.is_some();
        let is_member = stored_founding(&store)?.region_in_use().is_some();
        if is_torn && is_member && !new_incarnation {
            tracing::warn!(
                node = %identity.node,
                "the write-ahead log ended in a write that was not finished, which nobody was told of; this node goes on with what its region has agreed on"
            );
        } else if new_incarnation || is_torn {
            identity = bump_incarnation(&store, &folder, now)?;
            if !is_member {
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
