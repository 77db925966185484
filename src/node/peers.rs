//! The other regions as the configuration has them, and which of them an operator has paused.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::actors::link::peer_region::{LinkSettings, PeerRegion};
use crate::config::{ClusterConfig, NodeConfig, RegionConfig};
use crate::model::ids::{NodeId, RegionId};
use crate::model::pauses::{LinkPause, LinkPauses};
use crate::model::tick::Tick;
use crate::node::start_error::StartError;
use crate::ports::link::DialTarget;
use crate::ports::store::{Family, Store};
use crate::storage::partition::ReadError;
use crate::wire::keys::meta;
use crate::wire::pauses::decode_pause;

/// The other regions, with links to all of their nodes, in the order of the configuration.
pub(super) fn peer_regions(
    cluster: &ClusterConfig,
    own: &RegionId,
    paused: &LinkPauses,
    begun: Tick,
) -> Vec<Arc<PeerRegion>> {
    let heartbeat_ms = cluster.replication.heartbeat_interval.as_millis();
    let peer = |region: &RegionConfig| {
        let target = |node: &NodeConfig| DialTarget {
            region: region.id,
            node: node.id,
            address: node.quic.to_string(),
        };
        let settings = LinkSettings {
            partitions: cluster.partitions,
            heartbeat_ms: u64::try_from(heartbeat_ms).unwrap_or(u64::MAX),
            is_paused: paused.is_paused(&region.id),
        };
        let nodes = region.nodes().iter().map(target).collect();
        Arc::new(PeerRegion::new(region.id, nodes, settings, begun))
    };
    cluster.peers_of(own).map(peer).collect()
}

/// What operators have decided about links: the store remembers it by region.
pub(super) fn stored_pauses(store: &dyn Store, own: NodeId) -> Result<LinkPauses, StartError> {
    let range = meta::paused_links();
    let mut decisions = Vec::new();
    store.scan(Family::Meta, &range.from, &range.to, &mut |key, value| {
        let region = meta::decode_paused_link(key);
        decisions.push(region.and_then(|region| Ok((region, decode_pause(own, value)?))));
        ControlFlow::Continue(())
    })?;
    let decoded: Result<BTreeMap<RegionId, LinkPause>, _> = decisions.into_iter().collect();
    Ok(LinkPauses::new(decoded.map_err(ReadError::from)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hlc::WallTime;

    const THREE_REGIONS: &str = r#"
        cluster = "test"
        [[region]]
        id = "west"
        node = [{ id = "west-1", http = "a:1", quic = "a:2" }, { id = "west-2", http = "b:1", quic = "b:2" }]
        [[region]]
        id = "east"
        node = [{ id = "east-1", http = "c:1", quic = "c:2" }, { id = "east-2", http = "d:1", quic = "d:2" }]
        [[region]]
        id = "south"
        node = [{ id = "south-1", http = "e:1", quic = "e:2" }]
    "#;

    #[test]
    fn every_node_of_every_other_region_has_a_link_and_a_pause_is_of_the_region() {
        let cluster = ClusterConfig::parse("regions.toml", THREE_REGIONS).unwrap();
        let mut paused = LinkPauses::default();
        let (east, own) = ("east".parse().unwrap(), "west-1".parse().unwrap());
        paused.decide(east, true, WallTime::from_millis(1), own);
        let peers = peer_regions(&cluster, &"west".parse().unwrap(), &paused, Tick::default());
        let shown: Vec<String> = peers
            .iter()
            .flat_map(|peer| peer.links())
            .map(|link| {
                format!(
                    "{} at {}, {}",
                    link.peer(),
                    link.target().address,
                    link.is_paused()
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "east/east-1 at c:2, true",
                "east/east-2 at d:2, true",
                "south/south-1 at e:2, false"
            ]
        );
    }
}
