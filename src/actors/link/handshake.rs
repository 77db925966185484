//! Who may talk to whom: pure checks of introductions. Each refusal names its reason; both sides log it.

use crate::actors::context::NodeIdentity;
use crate::actors::link::peer_node::PeerNode;
use crate::ports::link::PeerIdentity;
use crate::wire::messages::{Introduction, PROTOCOL_VERSION};

/// Why a peer is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// No protocol in common.
    #[error(
        "{node} speaks protocol {theirs_min} to {theirs_max}, this node speaks {own}: upgrade the older one"
    )]
    Protocol {
        /// The peer's node.
        node: String,
        /// Its oldest.
        theirs_min: u16,
        /// Its newest.
        theirs_max: u16,
        /// Ours.
        own: u16,
    },
    /// The peer is of another cluster.
    #[error("{node} belongs to cluster {theirs}, this node to {own}: check `cluster` in both regions.toml")]
    Cluster {
        /// The peer's node.
        node: String,
        /// Its cluster.
        theirs: String,
        /// Ours.
        own: String,
    },
    /// Partition counts differ.
    #[error(
        "{node} has {theirs} partitions, this node {own}: `partitions` must be equal in all regions for ever"
    )]
    Partitions {
        /// The peer's node.
        node: String,
        /// Its count.
        theirs: u16,
        /// Ours.
        own: u16,
    },
    /// The peer's region is not in this node's configuration.
    #[error(
        "{node} is of region {region}, which this node's regions.toml does not have: add it or take the node off"
    )]
    UnknownRegion {
        /// The peer's node.
        node: String,
        /// Its region.
        region: String,
    },
    /// The peer's node is not in this node's configuration.
    #[error("region {region} has no node {node} in this node's regions.toml")]
    UnknownNode {
        /// The peer's node.
        node: String,
        /// Its region.
        region: String,
    },
    /// What the peer says is not what its certificate says.
    #[error("{node} says that it is {said}, its certificate says {certified}")]
    Impostor {
        /// The peer's node by its certificate.
        node: String,
        /// What it says.
        said: String,
        /// What its certificate says.
        certified: String,
    },
}

/// How this node introduces itself.
#[must_use]
pub fn introduction(identity: &NodeIdentity) -> Introduction {
    Introduction {
        protocol_min: PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: identity.cluster,
        region: identity.region,
        node: identity.node,
        partitions: identity.partitions,
        incarnation: identity.replica.incarnation,
    }
}

/// Whether this node may exchange data with one that introduces itself so. `known` lists the nodes of other regions.
///
/// # Errors
/// [`HandshakeError`].
pub fn check(
    own: &NodeIdentity,
    theirs: &Introduction,
    certificate: &PeerIdentity,
    known: impl Iterator<Item = PeerNode> + Clone,
) -> Result<(), HandshakeError> {
    check_introduced(&introduction(own), theirs, certificate, known)
}

/// As [`check`], for a node that introduces itself as `own`.
///
/// # Errors
/// [`HandshakeError`].
pub fn check_introduced(
    own: &Introduction,
    theirs: &Introduction,
    certificate: &PeerIdentity,
    mut known: impl Iterator<Item = PeerNode> + Clone,
) -> Result<(), HandshakeError> {
    let node = certificate.node.to_string();
    if theirs.cluster != own.cluster {
        return Err(HandshakeError::Cluster {
            node,
            theirs: theirs.cluster.to_string(),
            own: own.cluster.to_string(),
        });
    }
    let said = (theirs.cluster, theirs.region, theirs.node);
    let certified = (certificate.cluster, certificate.region, certificate.node);
    if said != certified {
        let text = |(cluster, region, node)| format!("{cluster}/{region}/{node}");
        return Err(HandshakeError::Impostor {
            node,
            said: text(said),
            certified: text(certified),
        });
    }
    if theirs.protocol_min > PROTOCOL_VERSION || theirs.protocol_max < PROTOCOL_VERSION {
        let (theirs_min, theirs_max) = (theirs.protocol_min, theirs.protocol_max);
        return Err(HandshakeError::Protocol {
            node,
            theirs_min,
            theirs_max,
            own: PROTOCOL_VERSION,
        });
    }
    if theirs.partitions != own.partitions {
        let (theirs, own) = (theirs.partitions.get(), own.partitions.get());
        return Err(HandshakeError::Partitions { node, theirs, own });
    }
    let region = theirs.region.to_string();
    if !known.clone().any(|peer| peer.region == theirs.region) {
        return Err(HandshakeError::UnknownRegion { node, region });
    }
    // Region and node: a node that was moved to another region is not the one that is known.
    if !known.any(|peer| peer == PeerNode::from(certificate)) {
        return Err(HandshakeError::UnknownNode { node, region });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Incarnation, PartitionCount, RegionId, ReplicaId};

    fn identity(region: &str) -> NodeIdentity {
        let region: RegionId = region.parse().unwrap();
        NodeIdentity {
            cluster: "c".parse().unwrap(),
            region,
            replica: ReplicaId {
                region,
                incarnation: Incarnation::FIRST,
            },
            node: format!("{region}-1").parse().unwrap(),
            partitions: PartitionCount::new(64).unwrap(),
        }
    }

    fn refusal(change: impl FnOnce(&mut Introduction, &mut PeerIdentity)) -> Option<String> {
        let mut theirs = introduction(&identity("eu"));
        let mut certificate = PeerIdentity {
            cluster: theirs.cluster,
            region: theirs.region,
            node: theirs.node,
            certificate_expires: std::time::SystemTime::UNIX_EPOCH,
        };
        change(&mut theirs, &mut certificate);
        let known = [("eu", "eu-1"), ("ap", "ap-1")].map(|(region, node)| PeerNode {
            region: region.parse().unwrap(),
            node: node.parse().unwrap(),
        });
        check(&identity("us"), &theirs, &certificate, known.into_iter())
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_peer_of_the_cluster_is_accepted() {
        assert_eq!(refusal(|_, _| {}), None);
    }

    #[test]
    fn each_refusal_names_its_reason() {
        let says = |refusal: Option<String>, words: &str| {
            let text = refusal.expect("it must be refused");
            assert!(text.contains(words), "{text:?} does not say {words:?}");
        };
        says(
            refusal(|theirs, _| theirs.cluster = "other".parse().unwrap()),
            "cluster other",
        );
        says(
            refusal(|theirs, _| theirs.partitions = PartitionCount::new(32).unwrap()),
            "32 partitions",
        );
        says(refusal(|theirs, _| theirs.protocol_min = 9), "upgrade");
        says(
            refusal(|theirs, _| theirs.node = "eu-2".parse().unwrap()),
            "its certificate says",
        );
        says(
            refusal(|theirs, certificate| {
                theirs.region = "sa".parse().unwrap();
                certificate.region = theirs.region;
            }),
            "region sa",
        );
        says(
            refusal(|theirs, certificate| {
                theirs.region = "ap".parse().unwrap();
                certificate.region = theirs.region;
            }),
            "region ap has no node eu-1",
        );
        says(
            refusal(|theirs, certificate| {
                theirs.node = "eu-2".parse().unwrap();
                certificate.node = theirs.node;
            }),
            "no node eu-2",
        );
    }
}
