//! The targets: every parser of bytes that come from a peer, a client or a disk, with what it must keep.
//!
//! A target panics when a property does not hold. It must be a function of its input alone.

mod files;
mod http;
mod keys;
mod messages;
mod stored;
mod text;

use crate::judge::Budget;

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was decoded, and what must hold then holds.
    Accepted,
    /// It was refused in order.
    Refused,
}

impl Verdict {
    /// Accepted where something was decoded.
    pub(crate) fn of(is_accepted: bool) -> Self {
        if is_accepted {
            Self::Accepted
        } else {
            Self::Refused
        }
    }
}

/// A parser under test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Its name, and that of its folder in the corpus.
    pub(crate) name: &'static str,
    /// Parses, and checks what must hold.
    pub(crate) run: fn(&[u8]) -> Verdict,
    /// What it may take.
    pub(crate) budget: Budget,
}

/// Of the binary codec. It reserves memory for an announced list of at most 1 MiB, for each list inside another; for
/// announced bytes at most 256 times the input; and its smallest elements, of one or two bytes, become up to 64 in memory,
/// three times over while a list grows.
const CODEC: Budget = Budget {
    fixed_bytes: 4 * 1024 * 1024,
    bytes_per_byte: 512,
    allocations_per_byte: 8,
};

/// Of parsers that copy what they read once or twice, in pieces, and put it into errors.
const PLAIN: Budget = Budget {
    fixed_bytes: 64 * 1024,
    bytes_per_byte: 64,
    allocations_per_byte: 4,
};

/// Of `regions.toml`: the tree of its values is large beside its text.
const TREE: Budget = Budget {
    fixed_bytes: 256 * 1024,
    bytes_per_byte: 1024,
    allocations_per_byte: 16,
};

/// Of the reader of write-ahead logs: it reads blocks of 32 KiB, and begins anew at each place that looks like a record.
const BLOCKS: Budget = Budget {
    fixed_bytes: 256 * 1024,
    bytes_per_byte: 4,
    allocations_per_byte: 8,
};

/// Of a request over the whole HTTP surface, with its answer.
const REQUEST: Budget = Budget {
    fixed_bytes: 512 * 1024,
    bytes_per_byte: 128,
    allocations_per_byte: 16,
};

/// All targets.
pub(crate) const ALL: &[Target] = &[
    target("message", messages::message, CODEC),
    target("mesh-message", messages::mesh_message, CODEC),
    target("submission", messages::submission, CODEC),
    target("verdict", messages::verdict, CODEC),
    target("batch", messages::batch, CODEC),
    target("commit", stored::commit, CODEC),
    target("register-row", stored::register_row, CODEC),
    target("counter-row", stored::counter_row, CODEC),
    target("member-row", stored::member_row, CODEC),
    target("field-row", stored::field_row, CODEC),
    target("summary", stored::summary, CODEC),
    target("partition-state", stored::partition_state, CODEC),
    target("ledger-entry", stored::ledger_entry, CODEC),
    target("remembered-outcome", stored::remembered_outcome, CODEC),
    target("entry", stored::entry, CODEC),
    target("snapshot-chunk", stored::snapshot_chunk, CODEC),
    target("snapshot-records", stored::snapshot_records, PLAIN),
    target("namespace-configuration", stored::namespace_configuration, PLAIN),
    target("founding", stored::founding, CODEC),
    target("identity", stored::identity, PLAIN),
    target("key", keys::key, PLAIN),
    target("name", text::name, PLAIN),
    target("context", text::context, CODEC),
    target("session-token", text::session_token, PLAIN),
    target("cursor", text::cursor, PLAIN),
    target("peer-words", text::peer_words, PLAIN),
    target("load-lines", text::load_lines, PLAIN),
    target("regions-toml", text::regions_toml, TREE),
    target("path", http::path, PLAIN),
    target("query", http::query, PLAIN),
    target("map-update", http::map_update, PLAIN),
    target("request", http::request, REQUEST),
    target("write-ahead-log", files::write_ahead_log, BLOCKS),
    target("torn-tail-mark", files::torn_tail_mark, PLAIN),
    target("certificate", files::certificate, PLAIN),
];

const fn target(name: &'static str, run: fn(&[u8]) -> Verdict, budget: Budget) -> Target {
    Target { name, run, budget }
}
