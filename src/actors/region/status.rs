//! What a node says of itself, gathered from its boards.

use std::time::SystemTime;

use crate::actors::context::NodeContext;
use crate::actors::region::{DigestView, HealthView, LinkState, PeerView, RegionState, StatusView};
use crate::model::digest::combined_root;

/// The state of this node and its links.
pub(super) fn status(context: &NodeContext, certificate_expires: SystemTime) -> StatusView {
    let peers = peers(context);
    let mut reasons = troubles(context);
    let mut state = if reasons.is_empty() {
        RegionState::Healthy
    } else {
        RegionState::Unhealthy
    };
    for peer in peers
        .iter()
        .filter(|peer| matches!(peer.link, LinkState::Quarantined | LinkState::Resync))
    {
        reasons.push(format!(
            "the link to {} is in state {}",
            peer.region,
            peer.link.name()
        ));
        if state == RegionState::Healthy {
            state = RegionState::Degraded;
        }
    }
    if let Some(lacking) = lacking(context) {
        reasons.push(lacking);
        if state == RegionState::Healthy {
            state = RegionState::Degraded;
        }
    }
    StatusView {
        cluster: context.identity.cluster,
        region: context.identity.region,
        incarnation: context.identity.replica.incarnation.0,
        node: context.identity.node,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state,
        reasons,
        partitions: context.identity.partitions.get(),
        log_bytes: context.partitions.log_bytes(),
        certificate_expires,
        peers,
    }
}

/// The other regions, as seen from here.
pub(crate) fn peers(context: &NodeContext) -> Vec<PeerView> {
    let now = context.clock.tick();
    let silence_ms = context.silence_ms();
    let own = context.identity.region;
    context
        .links
        .iter()
        .map(|link| link.view(own, &context.partitions, now, silence_ms))
        .collect()
}

/// Why this node does not serve everything.
fn troubles(context: &NodeContext) -> Vec<String> {
    let mut reasons = std::collections::BTreeSet::new();
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

/// The digest and vectors of all partitions.
pub(super) fn digest(context: &NodeContext) -> DigestView {
    let views = context
        .partitions
        .ids()
        .map(|partition| context.partitions.view(partition));
    let partitions: Vec<_> = views.map(|view| (view.digest_root, view.vector)).collect();
    let roots: Vec<_> = partitions.iter().map(|(root, _)| *root).collect();
    DigestView {
        root: combined_root(&roots),
        partitions,
    }
}

/// Health, for probes. A degraded region serves.
pub(super) fn health(
    context: &NodeContext,
    certificate_expires: SystemTime,
    is_stopping: bool,
) -> HealthView {
    let StatusView {
        state, mut reasons, ..
    } = status(context, certificate_expires);
    if is_stopping {
        reasons.push("this node is shutting down".to_owned());
    }
    let region_serves = !is_stopping && state != RegionState::Unhealthy;
    HealthView {
        ready: !is_stopping,
        region_serves,
        state,
        reasons,
    }
}
