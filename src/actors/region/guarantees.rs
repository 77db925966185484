//! What a client can ask for beyond a local read or write: to see what its session has seen, to wait for other regions,
//! to be answered by one of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::actors::link::requests::{ForwardedAnswer, RequestError};
use crate::actors::region::{Holding, RegionError};
use crate::model::ids::{ClusterName, Key, Namespace, NodeId, PartitionId, RegionId};
use crate::model::partition_set::PartitionSet;
use crate::model::record::Version;
use crate::model::session::SessionToken;
use crate::wire::messages::ForwardedRequest;

/// The partitions that a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// That of one record.
    Partition(PartitionId),
    /// All: listings are about any key.
    All,
    /// Some: the part of a listing that another node of the region asks for.
    These(PartitionSet),
}

impl Reach {
    /// Whether a partition is one of them.
    #[must_use]
    pub fn includes(self, partition: PartitionId) -> bool {
        match self {
            Self::Partition(only) => only == partition,
            Self::All => true,
            Self::These(part) => part.contains(partition),
        }
    }
}

/// What stands in the way of being the home of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHome {
    /// It has none.
    #[error(
        "namespace {0} has no home region, which consistency strong needs: configure one with PUT /v1/data/{0}, or use global_quorum"
    )]
    None(Namespace),
    /// It is another region.
    #[error("the home region of {namespace} is {home}")]
    Elsewhere {
        /// The namespace.
        namespace: Namespace,
        /// Its home.
        home: RegionId,
    },
    /// This region takes over and does not have everything yet.
    #[error("{home} takes over as the home region of {namespace} and {waits_for}: try again")]
    TakingOver {
        /// The namespace.
        namespace: Namespace,
        /// Its new home.
        home: RegionId,
        /// What for.
        waits_for: String,
    },
}

/// The right to act as the home of a namespace.
#[derive(Debug)]
pub enum AtHome {
    /// Counts as long as it is held: a hand-over waits until all are given back. Where a node has its region to itself.
    Held(Arc<()>),
    /// By this configuration, as far as this node knows. Among several nodes it lags behind, so that writes have the leaders of
    /// their partitions look again ([`Region::write_as_home`](crate::actors::region::Region::write_as_home)), and
    /// reads look again when they have read ([`Guarantees::is_still_home`]).
    By(Option<Version>),
}

/// What a region can guarantee. All waiting is unbounded: the caller has the deadline.
#[async_trait]
pub trait Guarantees: Holding {
    /// The cluster, and its regions, of which tokens speak.
    fn cluster(&self) -> (ClusterName, Vec<RegionId>);

    /// Where a record is.
    fn reach(&self, namespace: &Namespace, key: &Key) -> Reach;

    /// Which node of this region leads a partition, as far as this one knows; none for several partitions, or where a node has
    /// its region to itself. It may have changed already: for clients that like to ask the node that need not ask another.
    fn leader(&self, reach: Reach) -> Option<NodeId>;

    /// Waits until everything that a client has seen was applied here.
    async fn wait_for_session(&self, reach: Reach, token: &SessionToken);

    /// What of a token is not here yet, for people; empty if all is.
    fn lacking_of_session(&self, reach: Reach, token: &SessionToken) -> Vec<RegionId>;

    /// What a client has seen that has read or written here before the call.
    ///
    /// # Errors
    /// When the store fails.
    fn seen(&self, reach: Reach) -> Result<SessionToken, RegionError>;

    /// How old what is applied here can be, at most, against what other regions have acknowledged; none while one of
    /// them was not heard of since the start. 0 where there are no others.
    fn staleness(&self, reach: Reach) -> Option<Duration>;

    /// Waits until everything is here that any node of this region has answered for before the call: reads of applied
    /// state are linearizable within the region then. At once where this node has its region to itself.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] at once when too few nodes of the region can be heard.
    async fn catch_up_with_region(&self, reach: Reach) -> Result<(), RegionError>;

    /// Waits until everything is here that a majority of regions has acknowledged before the call.
    async fn catch_up_with_majority(&self, reach: Reach);

    /// How old what reads at `eventual` and `local_quorum` show may be where the client does not say: longer while the
    /// region is degraded. None is any age.
    fn staleness_allowance(&self) -> Option<Duration>;

    /// Waits until a majority of regions has durably applied all that this one had committed at the call.
    async fn wait_for_majority(&self, reach: Reach);

    /// Whether what a client has seen does not lie too far in the future to be believed.
    fn is_believable(&self, token: &SessionToken) -> bool;

    /// Takes note of what a client has seen, so that its next write has a greater stamp. Only of what is known to be here
    /// (see [`Guarantees::wait_for_session`]): tokens are not signed, and must not drive the clock.
    fn observe(&self, token: &SessionToken);

    /// Whether all writes of a namespace are made by its home region.
    fn writes_at_home(&self, namespace: &Namespace) -> bool;

    /// Acts as the home of a namespace, if this region is.
    ///
    /// # Errors
    /// [`NotHome`].
    fn at_home(&self, namespace: &Namespace, reach: Reach) -> Result<AtHome, NotHome>;

    /// Waits until what any node of this region knows of a namespace's configuration is known here. At once where this node
    /// has its region to itself.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] at once when too few nodes of the region can be heard.
    async fn catch_up_with_configuration(&self, namespace: &Namespace) -> Result<(), RegionError>;

    /// Whether nobody else can have acted as the home of a namespace from when that right was given until this was called:
    /// what was read between is what the home has. Where not, the region may be the home again.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] at once when too few nodes of the region can be heard.
    async fn is_still_home(&self, namespace: &Namespace, at_home: &AtHome) -> Result<bool, RegionError>;

    /// Passes a request on to another region.
    ///
    /// # Errors
    /// None in the outer option: there is no connection, and nothing was sent. Inside: [`RequestError`], and it may have
    /// been done.
    async fn forward(
        &self,
        region: RegionId,
        request: ForwardedRequest,
        patience: Duration,
    ) -> Option<Result<ForwardedAnswer, RequestError>>;
}
