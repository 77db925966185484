//! Every reason to refuse a configuration, in words that a person can act on.
//!
//! A mistake in the file is shown as `regions.toml:LINE: FIELD: what is wrong and what would be right`.

use std::io;
use std::path::PathBuf;

use super::host_port::{HostPort, HostPortError};
use super::link::QuantityError;
use crate::model::agreement::factor::FactorError;
use crate::model::ids::{NameError, NodeId, RegionId};
use crate::model::limits;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("cannot read the configuration {}: name an existing file with --config", path.display())]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is far larger than any configuration.
    #[error("{} is larger than {} bytes: it is not a configuration of Atoll", path.display(), limits::CONFIG_BYTES_MAX)]
    TooLarge {
        /// The file as it was named.
        path: PathBuf,
    },
    /// A mistake in the file.
    #[error("{file}:{line}: {field}: {mistake}")]
    Invalid {
        /// The file as it was named.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The offending field with the tables that it is in, such as `replication.lanes`.
        field: String,
        /// What is wrong with it.
        mistake: Mistake,
    },
    /// A region that the file does not have.
    #[error("there is no region {region} in the configuration: use one of {known}, or add it")]
    UnknownRegion {
        /// The name that was looked up.
        region: RegionId,
        /// Those there are, separated by commas.
        known: String,
    },
    /// A node that the file does not have.
    #[error("there is no node {node} in the configuration: use one of {known}, or add it")]
    UnknownNode {
        /// The name that was looked up.
        node: NodeId,
        /// Those there are, separated by commas.
        known: String,
    },
    /// One address that would have to stand for several nodes.
    #[error(
        "region {region} has {count} nodes, and one address cannot stand for all of them: name each of them, as NODE=HOST:PORT"
    )]
    SeveralNodes {
        /// The region.
        region: RegionId,
        /// How many nodes it has.
        count: usize,
    },
    /// Fewer nodes asked for than the file names.
    #[error(
        "region {region} has {nodes} nodes in the configuration, more than --nodes {wanted}: ask for more, or leave --nodes out"
    )]
    MoreNodes {
        /// The region.
        region: RegionId,
        /// How many nodes the file names.
        nodes: usize,
        /// How many are asked for.
        wanted: usize,
    },
    /// A node that the file does not name, and that cannot be made from the first one of its region.
    #[error(
        "cannot make node {number} of region {region} from node {first}: {reason}; write its [[region.node]] into the configuration"
    )]
    Underived {
        /// The region.
        region: RegionId,
        /// Its first node.
        first: NodeId,
        /// Which node it would be, from 1.
        number: usize,
        /// Why not.
        reason: Box<Underived>,
    },
    /// A region that would dial itself.
    #[error("region {0} does not dial itself: name another region with --peer, or a node of another one")]
    OwnRegion(RegionId),
    /// Two nodes that cannot listen on the same machine.
    #[error(
        "node {node} cannot share a machine with node {other}: {field} {address} is taken; give each its own port"
    )]
    SharedListen {
        /// `http_listen` or `quic_listen`.
        field: &'static str,
        /// The node that comes later in the file.
        node: NodeId,
        /// Its address.
        address: HostPort,
        /// The node that has it already.
        other: NodeId,
    },
}

/// Why a node cannot be made from another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Underived {
    /// Its name would not be valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its name is taken.
    #[error("the name {0} is that of another node")]
    NameTaken(NodeId),
    /// Its port does not exist.
    #[error("the port of {field} would be {port}, and the last one is 65535")]
    Port {
        /// `http`, `quic`, `http_listen` or `quic_listen`.
        field: &'static str,
        /// The port.
        port: usize,
    },
    /// Its address is taken.
    #[error("{field} {address} is that of node {other}")]
    AddressTaken {
        /// `http` or `quic`.
        field: &'static str,
        /// The address.
        address: HostPort,
        /// Whose it is.
        other: NodeId,
    },
}

/// What is wrong with one field of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Not TOML.
    #[error("{message}, in `{shown}`: the file must be valid TOML")]
    Syntax {
        /// What the TOML parser says.
        message: String,
        /// The line, or its start.
        shown: String,
    },
    /// An unknown or missing field, or a value of another type, in the words of the TOML parser, which name the fields
    /// or the type that would be right.
    #[error("{0}")]
    Shape(String),
    /// A name or partition count that is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An address that is not valid.
    #[error(transparent)]
    Address(#[from] HostPortError),
    /// A number outside its range.
    #[error("{given} is out of range: use {minimum} to {maximum} (default {default})")]
    OutOfRange {
        /// The number as given.
        given: i64,
        /// The smallest that is accepted.
        minimum: u64,
        /// The largest that is accepted.
        maximum: u64,
        /// What applies if the field is left out.
        default: u64,
    },
    /// A replication factor that the region cannot have.
    #[error(transparent)]
    Factor(#[from] FactorError),
    /// A property of a link outside its range.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// A link that does not say which regions it joins.
    #[error(
        "name the two regions: between = [\"A\", \"B\"] for both directions, or from = \"A\" and to = \"B\" for one"
    )]
    LinkEnds,
    /// A region that the file does not have, at a link.
    #[error("there is no region {region}: use one of {known}, or add its [[region]]")]
    NoSuchRegion {
        /// The name as given.
        region: RegionId,
        /// Those there are, separated by commas.
        known: String,
    },
    /// A link from a region to itself.
    #[error("{0} cannot be linked with itself: a link joins two regions")]
    LinkedWithItself(RegionId),
    /// An address on which one can listen but which nobody can dial.
    #[error(
        "{address} cannot be dialled by others: name an address that they reach, and put {address} into {listen_field}"
    )]
    Unreachable {
        /// The address as given.
        address: HostPort,
        /// Where it belongs.
        listen_field: &'static str,
    },
    /// A region, node, address or link used twice.
    #[error("{what} {value} is used already on line {first_line}: each must be unique in the cluster")]
    Duplicate {
        /// `region`, `node`, `HTTP address (TCP)`, `QUIC address (UDP)` or `link`.
        what: &'static str,
        /// The value that is there twice.
        value: String,
        /// Where it is used first.
        first_line: usize,
    },
    /// No region at all.
    #[error("there is no region: add a [[region]] with an id and a [[region.node]]")]
    NoRegions,
    /// More regions than a cluster can have.
    #[error("there are {0} regions: a cluster has at most {max}", max = limits::REGIONS_MAX)]
    TooManyRegions(usize),
    /// A region without a node.
    #[error("region {0} has no node: add a [[region.node]] with id, http and quic below its [[region]]")]
    NoNodes(RegionId),
    /// More nodes than a region can have.
    #[error("region {region} has {count} nodes: a region has at most {max}", max = limits::NODES_PER_REGION_MAX)]
    TooManyNodes {
        /// The region.
        region: RegionId,
        /// How many nodes it has.
        count: usize,
    },
}
