//! What a node says of itself, gathered from its boards.

use std::sync::Arc;
use std::time::SystemTime;

use crate::actors::context::NodeContext;
use crate::actors::group::overview::overview;
use crate::actors::link::peer_region::PeerRegion;
use crate::actors::region::{HealthView, LinkState, PeerView, RegionState, StatusView};

/// The state of this node and its links.
pub(super) fn status(context: &NodeContext, certificate_expires: SystemTime) -> StatusView {
    let report = context.health.look(context);
    let region = overview(context);
    StatusView {
        cluster: context.identity.cluster,
        region: context.identity.region,
        incarnation: context.identity.replica.incarnation.0,
        node: context.identity.node,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: report.state,
        state_for_ms: report.state_for_ms,
        reasons: report.reasons,
        partitions: context.identity.partitions.get(),
        log_bytes: context.partitions.log_bytes(),
        certificate_expires,
        nodes: region.nodes,
        leaderless: region.leaderless,
        peers: peers(context),
    }
}

/// The other regions, as seen from here.
pub(crate) fn peers(context: &NodeContext) -> Vec<PeerView> {
    let now = context.clock.tick();
    let silence_ms = context.silence_ms();
    let own = context.identity.region;
    let view = |(place, peer): (usize, &Arc<PeerRegion>)| {
        let mut view = peer.view(own, &context.partitions, now, silence_ms);
        // Connections may stand for a while after their peer has gone.
        if view.link == LinkState::Up && context.health.is_silent(place) {
            view.state = RegionState::Unhealthy;
        }
        view
    };
    context.peers.iter().enumerate().map(view).collect()
}

/// Health, for probes. A degraded region takes traffic; a recovering one serves whoever comes all the same.
pub(super) fn health(context: &NodeContext, is_stopping: bool) -> HealthView {
    let report = context.health.look(context);
    let mut reasons = report.reasons;
    if is_stopping {
        reasons.push("this node is shutting down".to_owned());
    }
    let expelled = context.groups.expelled();
    let is_in_use = !is_stopping && expelled.is_none();
    reasons.extend(expelled);
    HealthView {
        ready: is_in_use,
        region_serves: is_in_use && report.state.takes_traffic(),
        state: report.state,
        reasons,
    }
}
