//! How RocksDB is tuned: one place for every option, each with its reason.
//!
//! Invariant 10: nothing here may trade away an acknowledged write. The number and size of everything that RocksDB keeps is
//! bounded by [`RocksConfig`] and by `model/limits.rs`.

use std::collections::BTreeSet;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options,
    WriteBufferManager,
};

use crate::model::limits;
use crate::ports::store::Family;

/// What an operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RocksConfig {
    /// Blocks, indexes and filters kept in memory, in bytes; shared by all families.
    pub block_cache_bytes: usize,
    /// Rows not yet flushed, in bytes, all families together. While a flush is under way a little more may be held.
    pub memtable_bytes: usize,
    /// Free space of the volume, in bytes, below which writes are refused: room for compactions, and for the machine.
    pub disk_reserve_bytes: u64,
}

impl Default for RocksConfig {
    /// 256 MiB of cache, 128 MiB of memtables (an idle node with 10 M rows stays under 600 MiB), 1 GiB of reserve.
    fn default() -> Self {
        Self {
            block_cache_bytes: 256 * 1024 * 1024,
            memtable_bytes: 128 * 1024 * 1024,
            disk_reserve_bytes: 1024 * 1024 * 1024,
        }
    }
}

/// What outlives a reopening of the database: the memory that it may use.
pub(super) struct Resources {
    pub(super) cache: Cache,
    pub(super) memtables: WriteBufferManager,
    memtable_bytes: usize,
}

impl Resources {
    pub(super) fn new(config: RocksConfig) -> Self {
        Self {
            cache: Cache::new_lru_cache(config.block_cache_bytes),
            // Without stalls: a writer that waits for a flush which fails (full disk) would wait for ever. A family is
            // flushed at 7/8 of the bound; `set_max_write_buffer_number` stops what outruns the flushes.
            memtables: WriteBufferManager::new_write_buffer_manager(config.memtable_bytes, false),
            memtable_bytes: config.memtable_bytes,
        }
    }

    /// Options of the database as a whole.
    pub(super) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_manager(&self.memtables);

        // Of the recovery modes only this one keeps rule "durable before acknowledged" when a byte flips: an
        // incomplete record at the end of the log (a torn write, never acknowledged) is dropped, damage anywhere else
        // refuses the open. The default, point-in-time, stops at the first bad record and silently drops every
        // acknowledged write behind it. `wal_tail` covers the one hole that is left: a flipped length near the end.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        // Recycled logs end in records of their former life, which that mode cannot tell from damage.
        options.set_recycle_log_file_num(0);
        // A closed log that is missing or too short refuses the open, instead of leaving a hole.
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_total_wal_size(limits::STORE_WAL_BYTES_MAX);
        options.set_paranoid_checks(true);

        options.set_max_open_files(limits::STORE_OPEN_FILES_MAX);
        options.set_max_file_opening_threads(2);
        options.set_max_background_jobs(limits::STORE_BACKGROUND_JOBS_MAX);
        options.set_max_subcompactions(1);
        // Written-back little by little, so that the fsync of a commit does not queue behind 64 MiB of compaction.
        options.set_bytes_per_sync(1024 * 1024);
        options.set_max_manifest_file_size(64 * 1024 * 1024);

        // RocksDB's own diagnostics: bounded, and no periodic threads; `engine_stats` is read when somebody asks.
        options.set_max_log_file_size(limits::STORE_LOG_FILE_BYTES_MAX);
        options.set_keep_log_file_num(limits::STORE_LOG_FILES_MAX);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        // Reading every file's statistics would make opening cost as much as there are files.
        options.set_skip_stats_update_on_db_open(true);
        options
    }

    /// All families of this version, and those of `existing` that it does not know: a folder of a newer version must open
    /// far enough for its identity to be read and refused with a clear message.
    pub(super) fn families(&self, existing: &[String]) -> Vec<ColumnFamilyDescriptor> {
        let known: BTreeSet<&str> = Family::ALL.iter().map(|family| family.name()).collect();
        let unknown = existing
            .iter()
            .filter(|name| !known.contains(name.as_str()) && *name != "default");
        Family::ALL
            .iter()
            .map(|family| ColumnFamilyDescriptor::new(family.name(), self.family(*family)))
            .chain(unknown.map(|name| ColumnFamilyDescriptor::new(name, self.plain())))
            // RocksDB insists on it; nothing is kept there.
            .chain([ColumnFamilyDescriptor::new("default", self.plain())])
            .collect()
    }

    fn family(&self, family: Family) -> Options {
        let point_reads = match family {
            // Read by key before nearly every write, and most new keys are absent: a filter saves the disk read.
            Family::Meta | Family::LogSeqs | Family::Rows | Family::Names | Family::Idempotency => true,
            // Scanned by range; what is read by key is there.
            Family::Log | Family::Losers | Family::Raft | Family::Staging => false,
        };
        let mut options = self.plain();
        options.set_block_based_table_factory(&self.table(point_reads));
        options.set_compression_type(DBCompressionType::Lz4);
        if matches!(family, Family::Rows | Family::Names | Family::Losers) {
            // Nine tenths of what stays are in the last level, where it is written once and rarely read whole.
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
        }
        options
    }

    fn plain(&self) -> Options {
        let mut options = Options::default();
        // Half: rows and log fill alike, and one family alone must not always hit the bound of all.
        options.set_write_buffer_size((self.memtable_bytes / 2).clamp(1024 * 1024, 128 * 1024 * 1024));
        options.set_max_write_buffer_number(4);
        options.set_target_file_size_base(64 * 1024 * 1024);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_block_based_table_factory(&self.table(false));
        options
    }

    fn table(&self, point_reads: bool) -> BlockBasedOptions {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        // Indexes and filters count against the cache: memory stays bounded however many rows there are.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // 8 KiB: half the index of the default 4 KiB, and still a cheap point read.
        table.set_block_size(8 * 1024);
        table.set_format_version(6);
        if point_reads {
            table.set_bloom_filter(10.0, false); // 10 bits per key: 1 % false positives
            table.set_optimize_filters_for_memory(true);
        }
        table
    }
}
