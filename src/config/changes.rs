//! What may change in a configuration while a node runs with it.

use super::types::ClusterConfig;
use crate::model::ids::{NodeId, RegionId};

/// Why a node does not go over to another configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It is of another cluster, or of the same with other partitions.
    #[error(
        "{0} cannot change: it is in every data folder, certificate and link of the cluster; set it back"
    )]
    Fixed(&'static str),
    /// What is read only when the process starts.
    #[error(
        "{0} of this node has changed: that is read only when its process starts; set it back, or restart this node"
    )]
    NeedsRestart(&'static str),
    /// A region comes or goes.
    #[error(
        "region {0} is only in one of both files: regions cannot be added or removed while the cluster runs; set it back"
    )]
    Region(RegionId),
    /// This node is gone from its region.
    #[error(
        "{node} is not in region {region} any more, and is running: remove it first (`atoll node remove {node}`) and stop it"
    )]
    Itself {
        /// This node.
        node: NodeId,
        /// Its region.
        region: RegionId,
    },
    /// Nodes that take part are gone.
    #[error(
        "{} still take(s) part in region {region}, and the file does not have them: `atoll node remove` them first", .nodes.join(", ")
    )]
    Members {
        /// The region.
        region: RegionId,
        /// Which.
        nodes: Vec<String>,
    },
}

impl ClusterConfig {
    /// Whether a node that runs with this configuration can go over to another one. `members` are the nodes that take part in
    /// its region.
    ///
    /// # Errors
    /// [`ChangeError`] with the first thing that cannot change.
    pub fn may_become(
        &self,
        next: &Self,
        region: RegionId,
        node: NodeId,
        members: &[String],
    ) -> Result<(), ChangeError> {
        if self.cluster != next.cluster {
            return Err(ChangeError::Fixed("the name of the cluster"));
        }
        if self.partitions != next.partitions {
            return Err(ChangeError::Fixed("the number of partitions"));
        }
        for (one, other) in [(self, next), (next, self)] {
            for named in one.regions() {
                if other.regions().iter().all(|other| other.id != named.id) {
                    return Err(ChangeError::Region(named.id));
                }
            }
        }
        let (Ok((_, before)), Ok((found, after))) = (self.node(&node), next.node(&node)) else {
            return Err(ChangeError::Itself { node, region });
        };
        if found.id != region {
            return Err(ChangeError::Itself { node, region });
        }
        for (what, is_changed) in [
            ("the address for HTTP", before.http_listen != after.http_listen),
            ("the address for QUIC", before.quic_listen != after.quic_listen),
            ("[storage]", self.storage != next.storage),
        ] {
            if is_changed {
                return Err(ChangeError::NeedsRestart(what));
            }
        }
        let is_gone = |member: &&String| {
            found
                .nodes()
                .iter()
                .all(|node| node.id.as_str() != member.as_str())
        };
        let nodes: Vec<String> = members.iter().filter(is_gone).cloned().collect();
        if nodes.is_empty() {
            Ok(())
        } else {
            Err(ChangeError::Members { region, nodes })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
cluster = 'dev'
partitions = 8
[[region]]
id = 'eu'
node = [{ id = 'n1', http = 'a:1', quic = 'a:2' }, { id = 'n2', http = 'b:1', quic = 'b:2' }]
[[region]]
id = 'us'
node = [{ id = 'u1', http = 'u:1', quic = 'u:2' }]
";

    fn change(from: &str, to: &str) -> Result<(), ChangeError> {
        assert!(TEXT.contains(from));
        let parse = |text: &str| ClusterConfig::parse("regions.toml", text).unwrap();
        let next = parse(&TEXT.replace(from, to));
        let members = ["n1".to_owned(), "n2".to_owned()];
        parse(TEXT).may_become(&next, "eu".parse().unwrap(), "n1".parse().unwrap(), &members)
    }

    #[test]
    fn nodes_zones_and_settings_may_change() {
        assert_eq!(change("dev", "dev"), Ok(()));
        let third = "quic = 'b:2' }, { id = 'n3', http = 'c:1', quic = 'c:2', zone = 'x' }]";
        assert_eq!(change("quic = 'b:2' }]", third), Ok(()));
        assert_eq!(
            change("partitions = 8", "partitions = 8\n[http]\nmax_staleness_ms = 7"),
            Ok(())
        );
        assert_eq!(change("'b:2'", "'b:3'"), Ok(()));
    }

    #[test]
    fn what_data_and_other_nodes_rest_on_may_not() {
        let refused = |from, to| change(from, to).unwrap_err().to_string();
        for (from, to, words) in [
            ("'dev'", "'prod'", "the name of the cluster cannot change"),
            (
                "partitions = 8",
                "partitions = 16",
                "the number of partitions cannot change",
            ),
            ("id = 'us'", "id = 'ap'", "region us is only in one"),
            ("'a:2'", "'a:3'", "the address for QUIC of this node has changed"),
            ("id = 'n1'", "id = 'n9'", "n1 is not in region eu any more"),
            ("id = 'n2'", "id = 'n9'", "n2 still take(s) part in region eu"),
            (
                "partitions = 8",
                "partitions = 8\n[storage]\nblock_cache_bytes = 16777216",
                "[storage] of this node has changed",
            ),
        ] {
            let error = refused(from, to);
            assert!(error.contains(words), "{error}");
        }
    }
}
