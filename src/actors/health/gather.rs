//! Looks at a node: its store, partitions, failures, logs and peers.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actors::context::NodeContext;
use crate::actors::group::overview::{Leaderless, RegionOverview, Silence, names, overview};
use crate::actors::link::QUARANTINE;
use crate::actors::link::peer_region::PeerRegion;
use crate::model::health::{CommitDelay, HealthInputs, clock_error_ms};
use crate::model::tick::Tick;

/// What the region's state is judged by, and how far the clock is from the middle of all.
pub(super) fn gather(context: &NodeContext, now: Tick, commit: CommitDelay) -> (HealthInputs, i64) {
    let silence_ms = context.silence_ms();
    let quarantine_ms = u64::try_from(QUARANTINE.as_millis()).unwrap_or(u64::MAX);
    let look = |peer: &Arc<PeerRegion>| peer.look(&context.partitions, now, silence_ms, quarantine_ms);
    let clocks = context.peers.iter();
    let clock_error_ms = clock_error_ms(clocks.filter_map(|peer| peer.clock_ahead_ms(now, silence_ms)));
    let limit = u128::from(context.replication.log_retention_bytes).max(1);
    let log_percent = u128::from(context.partitions.log_bytes()) * 100 / limit;
    let is_empty = context
        .partitions
        .ids()
        .all(|partition| context.partitions.read(partition, |view| view.vector.is_empty()));
    let region = overview(context);
    let mut blockers = troubles(context);
    blockers.extend(lost_majority(&region.silence));
    let inputs = HealthInputs {
        is_empty,
        blockers,
        commit,
        lacking: lacking(context),
        leaderless: leaderless(&region),
        log_percent: u64::try_from(log_percent).unwrap_or(u64::MAX),
        clock_error_ms: clock_error_ms.unsigned_abs(),
        peers: context.peers.iter().map(look).collect(),
    };
    (inputs, clock_error_ms)
}

/// Why this node does not serve everything.
fn troubles(context: &NodeContext) -> Vec<String> {
    let mut reasons = BTreeSet::new();
    if let Err(error) = context.store.check_writable() {
        reasons.insert(format!("writes are refused, reads go on: {error}"));
    }
    for partition in context.partitions.ids() {
        context.partitions.read(partition, |view| {
            if let Some(why) = &view.stopped {
                reasons.insert(format!("partition {partition} has stopped: {why}"));
            } else if let Some(why) = &view.write_trouble {
                reasons.insert(format!("writes fail: {why}"));
            }
        });
    }
    reasons.extend(
        context
            .failures
            .all()
            .into_iter()
            .map(|failure| format!("a part of this node has failed: {failure}")),
    );
    reasons.into_iter().collect()
}

/// The nodes without which this one can agree on nothing with the rest.
fn lost_majority(silence: &Silence) -> Option<String> {
    let count = silence.without_majority.len();
    (count > 0).then(|| {
        format!(
            "this node does not hear {}: too few nodes of this region are left to agree on anything in {count} partitions, which \
             take no writes and are read at eventual only",
            names(&silence.suspected)
        )
    })
}

/// What nobody leads though it could be led.
fn leaderless(region: &RegionOverview) -> Option<String> {
    let is_electing = |group: &&Leaderless| {
        let can_agree = |partition| !region.silence.without_majority.contains(partition);
        group.partitions.iter().all(can_agree)
    };
    let groups: Vec<String> = region
        .leaderless
        .iter()
        .filter(is_electing)
        .map(|group| {
            let count = group.partitions.len();
            format!("{count} partitions have no leader: {}", group.reason)
        })
        .collect();
    (!groups.is_empty()).then(|| groups.join("; "))
}

/// What this region lacks and cannot get: it differs from the others until that changes.
fn lacking(context: &NodeContext) -> Option<String> {
    let mut lacking = Vec::new();
    for partition in context.partitions.ids() {
        context.partitions.read(partition, |view| {
            lacking.extend(
                view.lacking
                    .as_ref()
                    .map(|what| format!("partition {partition} lacks {what}")),
            );
        });
    }
    let example = lacking.first()?;
    let count = lacking.len();
    Some(format!(
        "{count} partitions lack changes that no other region's log has or that nobody can be reached for \
         ({example}): this region differs from the others until it gets them"
    ))
}
