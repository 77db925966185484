//! The cluster as the rest of Atoll sees it, and look-ups in it.
//!
//! Valid by construction: names are well-formed, region and node ids and dialled addresses are unique, each region has
//! a node. Regions and nodes keep the order of the file, which is the order that people see in tables.

use std::collections::BTreeMap;
use std::fmt;

use super::error::ConfigError;
use super::host_port::HostPort;
use super::link::{Direction, LinkShape};
use super::options::{ClockOptions, HttpOptions, ReplicationOptions, StorageOptions};
use crate::model::agreement::factor::ReplicationFactor;
use crate::model::health::HealthThresholds;
use crate::model::ids::{ClusterName, NodeId, PartitionCount, RegionId, Zone};

/// All of `regions.toml`. Made only by the parser ([`ClusterConfig::parse`], [`ClusterConfig::load`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The name that certificates, data folders and links must carry.
    pub cluster: ClusterName,
    /// How many partitions the keyspace has; fixed for ever once there is data.
    pub partitions: PartitionCount,
    /// `[replication]`.
    pub replication: ReplicationOptions,
    /// `[clock]`.
    pub clock: ClockOptions,
    /// `[storage]`.
    pub storage: StorageOptions,
    /// `[http]`.
    pub http: HttpOptions,
    /// `[health]`.
    pub health: HealthThresholds,
    /// At least one; private so that the look-ups can rely on what the parser checked.
    pub(super) regions: Vec<RegionConfig>,
    /// `[[link]]`, for the directions that the file names. No part of what the cluster is: only `atoll wan` reads it.
    pub(super) links: BTreeMap<Direction, LinkShape>,
}

/// One region and its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionConfig {
    /// Its name, unique in the cluster.
    pub id: RegionId,
    /// Not more than there are nodes; private for the same reason as they are.
    pub(super) replication_factor: ReplicationFactor,
    /// At least one; private so that the look-ups can rely on what the parser checked.
    pub(super) nodes: Vec<NodeConfig>,
}

/// One node: where others reach it and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name, unique in the cluster.
    pub id: NodeId,
    /// Where clients and other nodes dial its HTTP (TCP).
    pub http: HostPort,
    /// Where other regions dial its QUIC (UDP).
    pub quic: HostPort,
    /// Where it listens for HTTP: `http_listen`, or the same as `http`. Differs in containers.
    pub http_listen: HostPort,
    /// Where it listens for QUIC: `quic_listen`, or the same as `quic`. Differs in containers.
    pub quic_listen: HostPort,
    /// What fails together within the region, such as a rack or availability zone.
    pub zone: Option<Zone>,
}

impl ClusterConfig {
    /// The regions in the order of the file.
    #[must_use]
    pub fn regions(&self) -> &[RegionConfig] {
        &self.regions
    }

    /// The names of the regions in the order of the file.
    pub fn region_ids(&self) -> impl Iterator<Item = RegionId> {
        self.regions.iter().map(|region| region.id)
    }

    /// The region with that name.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRegion`], which names those there are.
    pub fn region(&self, id: &RegionId) -> Result<&RegionConfig, ConfigError> {
        self.regions
            .iter()
            .find(|region| region.id == *id)
            .ok_or_else(|| ConfigError::UnknownRegion {
                region: *id,
                known: list(self.region_ids()),
            })
    }

    /// The node with that name and the region that it is a member of.
    ///
    /// # Errors
    /// [`ConfigError::UnknownNode`], which names those there are.
    pub fn node(&self, id: &NodeId) -> Result<(&RegionConfig, &NodeConfig), ConfigError> {
        self.nodes()
            .find(|(_, node)| node.id == *id)
            .ok_or_else(|| ConfigError::UnknownNode {
                node: *id,
                known: list(self.nodes().map(|(_, node)| node.id)),
            })
    }

    /// All nodes with their regions, in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = (&RegionConfig, &NodeConfig)> {
        self.regions
            .iter()
            .flat_map(|region| region.nodes.iter().map(move |node| (region, node)))
    }

    /// The other regions, in the order of the file: those that `id` has links to.
    pub fn peers_of(&self, id: &RegionId) -> impl Iterator<Item = &RegionConfig> {
        let id = *id;
        self.regions.iter().filter(move |region| region.id != id)
    }

    /// What the path from one region to another is like: as the file says, or a path without properties.
    #[must_use]
    pub fn link(&self, direction: Direction) -> LinkShape {
        self.links.get(&direction).copied().unwrap_or_default()
    }

    /// Every ordered pair of regions, in the order of the file.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        self.region_ids().flat_map(move |from| {
            let others = self.region_ids().filter(move |to| *to != from);
            others.map(move |to| Direction { from, to })
        })
    }

    /// Makes `own` dial another region, or one node of it, at this address instead of the one in the file, such as that of a
    /// relay. Who answers there is checked by its certificate, which names no address.
    ///
    /// # Errors
    /// As [`Self::dial_node_at`]; [`ConfigError::UnknownRegion`] for the name of nothing, and [`ConfigError::SeveralNodes`] where
    /// one address cannot stand for all nodes of the region.
    pub fn dial_at(
        &mut self,
        own: &RegionId,
        name: &RegionId,
        address: &HostPort,
    ) -> Result<(), ConfigError> {
        let node: NodeId = name.as_str().parse().expect("regions and nodes are named alike");
        let is_region = self.region_ids().any(|id| id == *name);
        match self.single_node(name) {
            Ok(only) => {
                let only = only.id;
                self.dial_node_at(own, &only, address)
            }
            // A region of several nodes may have the name of one of them.
            Err(_) if self.node(&node).is_ok() => self.dial_node_at(own, &node, address),
            Err(_) if name == own && is_region => Err(ConfigError::OwnRegion(*own)),
            Err(error) => Err(error),
        }
    }

    /// Makes `own` dial a node of another region at this address instead of the one in the file.
    ///
    /// # Errors
    /// [`ConfigError::UnknownNode`], and [`ConfigError::OwnRegion`] for a node of `own`.
    pub fn dial_node_at(
        &mut self,
        own: &RegionId,
        node: &NodeId,
        address: &HostPort,
    ) -> Result<(), ConfigError> {
        if self.node(node)?.0.id == *own {
            return Err(ConfigError::OwnRegion(*own));
        }
        let mut nodes = self.regions.iter_mut().flat_map(|region| &mut region.nodes);
        let found = nodes.find(|other| other.id == *node);
        found.expect("it was found right above").quic = address.clone();
        Ok(())
    }

    /// The one node of a region, for what one address must stand for.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRegion`], and [`ConfigError::SeveralNodes`] where the region has more.
    pub fn single_node(&self, id: &RegionId) -> Result<&NodeConfig, ConfigError> {
        let region = self.region(id)?;
        match region.nodes.as_slice() {
            [node] => Ok(node),
            nodes => Err(ConfigError::SeveralNodes {
                region: region.id,
                count: nodes.len(),
            }),
        }
    }

    /// Checks that all nodes can listen on one machine, as `atoll dev` has them. Parsing does not refuse equal
    /// `http_listen` or `quic_listen`, since in containers every node listens on `0.0.0.0`.
    ///
    /// # Errors
    /// [`ConfigError::SharedListen`] for the first two nodes that would get in each other's way.
    pub fn validate_one_machine(&self) -> Result<(), ConfigError> {
        let nodes: Vec<&NodeConfig> = self.nodes().map(|(_, node)| node).collect();
        for (index, node) in nodes.iter().enumerate() {
            for earlier in &nodes[..index] {
                for (field, address, taken) in [
                    ("http_listen", &node.http_listen, &earlier.http_listen),
                    ("quic_listen", &node.quic_listen, &earlier.quic_listen),
                ] {
                    if address.overlaps(taken) {
                        return Err(ConfigError::SharedListen {
                            field,
                            node: node.id,
                            address: address.clone(),
                            other: earlier.id,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

impl RegionConfig {
    /// The nodes in the order of the file, at least one.
    #[must_use]
    pub fn nodes(&self) -> &[NodeConfig] {
        &self.nodes
    }

    /// How many of them hold each partition.
    #[must_use]
    pub fn replication_factor(&self) -> ReplicationFactor {
        self.replication_factor
    }
}

/// Names for a message: `a, b, c`.
pub(super) fn list(names: impl Iterator<Item = impl fmt::Display>) -> String {
    names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_REGIONS: &str = r#"
        cluster = "test"
        [[region]]
        id = "west"
        [[region.node]]
        id = "west-1"
        http = "127.0.0.1:1"
        quic = "127.0.0.1:1"
        [[region]]
        id = "east"
        [[region.node]]
        id = "east-1"
        http = "127.0.0.1:2"
        quic = "127.0.0.1:2"
        [[region.node]]
        id = "east-2"
        http = "127.0.0.1:3"
        quic = "127.0.0.1:3"
    "#;

    fn two_regions() -> ClusterConfig {
        ClusterConfig::parse("regions.toml", TWO_REGIONS).unwrap()
    }

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    #[test]
    fn regions_keep_the_order_of_the_file() {
        let ids: Vec<String> = two_regions().region_ids().map(|id| id.to_string()).collect();
        assert_eq!(ids, ["west", "east"]);
    }

    #[test]
    fn peers_are_all_regions_but_oneself() {
        let config = two_regions();
        let peers: Vec<RegionId> = config.peers_of(&region("west")).map(|peer| peer.id).collect();
        assert_eq!(peers, [region("east")]);
    }

    #[test]
    fn nodes_are_found_with_their_region() {
        let config = two_regions();
        let (of, node) = config.node(&"east-2".parse().unwrap()).unwrap();
        assert_eq!((of.id, node.http.port()), (region("east"), 3));
    }

    #[test]
    fn every_region_has_a_direction_to_every_other() {
        let found: Vec<String> = two_regions()
            .directions()
            .map(|direction| direction.to_string())
            .collect();
        assert_eq!(found, ["west to east", "east to west"]);
    }

    #[test]
    fn another_region_is_dialled_elsewhere_and_listens_where_it_did() {
        let mut config = two_regions();
        let (west, relay): (_, HostPort) = (region("west"), "127.0.0.1:9".parse().unwrap());
        config.dial_at(&region("east"), &west, &relay).unwrap();
        let node = config.single_node(&west).unwrap();
        assert_eq!((&node.quic, node.quic_listen.port()), (&relay, 1));
        for (own, peer, words) in [
            ("west", "west", "does not dial itself"),
            ("east", "east", "does not dial itself"),
            ("east", "east-2", "does not dial itself"),
            ("west", "mars", "no region mars"),
            ("west", "east", "NODE=HOST:PORT"),
        ] {
            let refused = config.dial_at(&region(own), &region(peer), &relay).unwrap_err();
            assert!(refused.to_string().contains(words), "{own} {peer}: {refused}");
        }
    }

    #[test]
    fn nodes_of_a_region_are_dialled_elsewhere_one_by_one() {
        let mut config = two_regions();
        let relay: HostPort = "127.0.0.1:9".parse().unwrap();
        config
            .dial_at(&region("west"), &region("east-2"), &relay)
            .unwrap();
        let ports: Vec<_> = config.nodes().map(|(_, node)| node.quic.port()).collect();
        assert_eq!(ports, [1, 2, 9]);
        let unknown = config.dial_node_at(&region("west"), &"mars-1".parse().unwrap(), &relay);
        assert!(matches!(unknown, Err(ConfigError::UnknownNode { .. })));
    }

    #[test]
    fn unknown_names_are_refused_with_those_there_are() {
        let config = two_regions();
        let message = config.region(&region("mars")).unwrap_err().to_string();
        assert!(
            message.contains("mars") && message.contains("west, east"),
            "{message}"
        );
        let message = config.node(&"mars-1".parse().unwrap()).unwrap_err().to_string();
        assert!(
            message.contains("mars-1") && message.contains("west-1, east-1, east-2"),
            "{message}"
        );
    }

    #[test]
    fn one_address_stands_for_one_node() {
        let config = two_regions();
        assert_eq!(config.single_node(&region("west")).unwrap().id.as_str(), "west-1");
        let message = config.single_node(&region("east")).unwrap_err().to_string();
        assert!(
            message.contains("east") && message.contains("2 nodes"),
            "{message}"
        );
    }

    #[test]
    fn containers_may_listen_alike_but_not_on_one_machine() {
        let config = two_regions();
        config.validate_one_machine().unwrap();
        let text = TWO_REGIONS
            .replace(
                "http = \"127.0.0.1:1\"",
                "http = \"a:1\"\nhttp_listen = \"0.0.0.0:80\"",
            )
            .replace(
                "http = \"127.0.0.1:2\"",
                "http = \"b:1\"\nhttp_listen = \"0.0.0.0:80\"",
            );
        let message = ClusterConfig::parse("regions.toml", &text)
            .unwrap()
            .validate_one_machine()
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("http_listen") && message.contains("west-1"),
            "{message}"
        );
    }
}
