//! Agreement inside a region of several nodes: the decisions around openraft that it leaves to us (decision 0018).
//!
//! Nothing of the node uses this yet.
//!
//! - [`factor`], [`placement`]: how many nodes hold a partition, which ones, and who should lead it.

pub mod factor;
pub mod placement;

pub use factor::{FactorError, ReplicationFactor};
pub use placement::{Placement, PlacementNode};
