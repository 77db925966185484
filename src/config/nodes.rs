//! More nodes than the file names, for `atoll dev --nodes`: each region is filled up from its first node.
//!
//! The n-th node of a region has the name of the first with a number that is n - 1 greater (`us-east-1`, `us-east-2`;
//! `us-east`, `us-east-2`) and its addresses with ports that are 100 greater for each node. What the file names stays.

use super::error::{ConfigError, Underived};
use super::host_port::HostPort;
use super::types::{ClusterConfig, NodeConfig};
use crate::model::agreement::factor::ReplicationFactor;
use crate::model::ids::NodeId;

/// Between the ports of a node and of the next one of its region: room for a hundred regions with ports in a row.
const PORT_STEP: u16 = 100;

impl ClusterConfig {
    /// The same cluster with so many nodes in each region.
    ///
    /// # Errors
    /// [`ConfigError::MoreNodes`] where the file names more already, [`ConfigError::Underived`] where a name or an address
    /// cannot be derived or belongs to another node.
    pub fn with_nodes(&self, count: usize) -> Result<Self, ConfigError> {
        let mut filled = self.clone();
        for index in 0..filled.regions.len() {
            let region = &filled.regions[index];
            let (id, named) = (region.id, region.nodes.len());
            if named > count {
                return Err(ConfigError::MoreNodes {
                    region: id,
                    nodes: named,
                    wanted: count,
                });
            }
            if named == count {
                continue;
            }
            let first = region.nodes[0].clone();
            for number in named + 1..=count {
                let node = filled
                    .derived(&first, number)
                    .map_err(|reason| ConfigError::Underived {
                        region: id,
                        first: first.id,
                        number,
                        reason: Box::new(reason),
                    })?;
                filled.regions[index].nodes.push(node);
            }
            // As many copies that vote as there are nodes, where a factor can be as large.
            filled.regions[index].replication_factor =
                ReplicationFactor::of_region(i64::try_from(count).ok(), count)
                    .or_else(|_| ReplicationFactor::of_region(None, count))
                    .expect("every number of nodes has a default");
        }
        Ok(filled)
    }

    /// The node of that number, counted from 1, in the region of this first one.
    fn derived(&self, first: &NodeConfig, number: usize) -> Result<NodeConfig, Underived> {
        let id = derived_name(first.id, number)?;
        let node = NodeConfig {
            id,
            http: derived_address("http", &first.http, number)?,
            quic: derived_address("quic", &first.quic, number)?,
            http_listen: derived_address("http_listen", &first.http_listen, number)?,
            quic_listen: derived_address("quic_listen", &first.quic_listen, number)?,
            zone: first.zone,
        };
        for (_, other) in self.nodes() {
            if other.id == node.id {
                return Err(Underived::NameTaken(node.id));
            }
            for (field, address, taken) in [
                ("http", &node.http, &other.http),
                ("quic", &node.quic, &other.quic),
            ] {
                if address == taken {
                    return Err(Underived::AddressTaken {
                        field,
                        address: address.clone(),
                        other: other.id,
                    });
                }
            }
        }
        Ok(node)
    }
}

fn derived_name(first: NodeId, number: usize) -> Result<NodeId, Underived> {
    let text = first.as_str();
    let numbered = text
        .rsplit_once('-')
        .and_then(|(stem, last)| Some((stem, last.parse::<usize>().ok()?)))
        .filter(|(stem, _)| !stem.is_empty());
    let (stem, first_number) = numbered.unwrap_or((text, 1));
    let number = first_number.saturating_add(number - 1);
    Ok(format!("{stem}-{number}").parse()?)
}

fn derived_address(field: &'static str, first: &HostPort, number: usize) -> Result<HostPort, Underived> {
    let port = usize::from(first.port()) + usize::from(PORT_STEP) * (number - 1);
    match u16::try_from(port) {
        Ok(port) => Ok(first.with_port(port)),
        Err(_) => Err(Underived::Port { field, port }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../regions.toml");

    fn shipped() -> ClusterConfig {
        ClusterConfig::parse("regions.toml", SHIPPED).unwrap()
    }

    fn nodes(config: &ClusterConfig) -> Vec<String> {
        let shown = |node: &NodeConfig| format!("{} {} {}", node.id, node.http.port(), node.quic.port());
        config.nodes().map(|(_, node)| shown(node)).collect()
    }

    fn error(text: &str, count: usize) -> String {
        let config = ClusterConfig::parse("regions.toml", text).unwrap();
        config.with_nodes(count).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_regions_get_nodes_beside_the_one_they_have() {
        let three = shipped().with_nodes(3).unwrap();
        let expected = [
            "us-east-1 8101 7101",
            "us-east-2 8201 7201",
            "us-east-3 8301 7301",
            "eu-west-1 8102 7102",
            "eu-west-2 8202 7202",
            "eu-west-3 8302 7302",
            "ap-south-1 8103 7103",
            "ap-south-2 8203 7203",
            "ap-south-3 8303 7303",
        ];
        assert_eq!(nodes(&three), expected);
        three.validate_one_machine().unwrap();
    }

    #[test]
    fn the_shipped_regions_run_with_every_number_of_nodes() {
        assert_eq!(shipped().with_nodes(1).unwrap(), shipped());
        for count in [1, 2, 3, 5, 7] {
            let config = shipped().with_nodes(count).unwrap();
            assert_eq!(config.regions[0].replication_factor().get(), count);
            config.validate_one_machine().unwrap();
        }
        // Those beyond the factor have copies that do not vote.
        for count in [4, 6, 8, 9] {
            let config = shipped().with_nodes(count).unwrap();
            assert_eq!(config.regions[0].replication_factor().get(), 3);
            config.validate_one_machine().unwrap();
        }
    }

    #[test]
    fn nodes_of_the_file_stay_as_they_are() {
        let second = "http = \"127.0.0.1:8102\"\nquic = \"127.0.0.1:7102\"\n[[region.node]]\nid = \"other\"\nhttp = \"h:1\"\nquic = \"h:1\"\n";
        let text = SHIPPED.replace("http = \"127.0.0.1:8102\"\nquic = \"127.0.0.1:7102\"\n", second);
        let config = ClusterConfig::parse("regions.toml", &text).unwrap();
        let three = nodes(&config.with_nodes(3).unwrap());
        assert_eq!(
            three[3..6],
            ["eu-west-1 8102 7102", "other 1 1", "eu-west-3 8302 7302"]
        );
        let message = error(&text, 1);
        assert!(
            message.contains("eu-west") && message.contains("--nodes 1"),
            "{message}"
        );
    }

    #[test]
    fn names_go_on_counting() {
        let derived = |first: &str, number| {
            let first = first.parse().unwrap();
            derived_name(first, number).map(|name| name.to_string())
        };
        for (first, second) in [
            ("us-1", "us-2"),
            ("us-9", "us-10"),
            ("us", "us-2"),
            ("us-east", "us-east-2"),
            ("us1", "us1-2"),
            ("us-0", "us-1"),
            ("7", "7-2"),
        ] {
            assert_eq!(derived(first, 2).as_deref(), Ok(second), "{first}");
        }
        assert!(matches!(derived(&"x".repeat(24), 2), Err(Underived::Name(_))));
    }

    #[test]
    fn what_cannot_be_derived_is_refused_with_its_reason() {
        let with = |old: &str, new: &str| {
            assert!(SHIPPED.contains(old));
            SHIPPED.replace(old, new)
        };
        for (text, words) in [
            (
                with("eu-west-1", "us-east-2"),
                "the name us-east-2 is that of another node",
            ),
            (
                with("127.0.0.1:8102", "127.0.0.1:8201"),
                "http 127.0.0.1:8201 is that of node eu-west-1",
            ),
            (
                with("127.0.0.1:7103", "127.0.0.1:7201"),
                "quic 127.0.0.1:7201 is that of node ap-south-1",
            ),
            (
                with("127.0.0.1:7101", "127.0.0.1:65500"),
                "the port of quic would be 65600",
            ),
        ] {
            let message = error(&text, 2);
            assert!(message.contains(words), "{message}");
            assert!(message.contains("node 2 of region us-east"), "{message}");
        }
    }
}
