//! What a region offers to its HTTP surface: the one interface between `api` and the actors.

mod configuration;
mod errors;
mod guarantees;
mod holding;
mod homes;
mod local;
mod local_guarantees;
mod nodes;
pub(crate) mod parts;
mod reading;
pub(crate) mod status;
mod views;

use async_trait::async_trait;

pub use configuration::{Configuration, ConfigurationView, FixedConfiguration};
pub use errors::RegionError;
pub use guarantees::{AtHome, Guarantees, NotHome, Reach};
pub use holding::{AskError, Asked, AskedInVain, Holding, InsideRequest};
pub use homes::Homes;
pub(in crate::actors) use homes::check_home;
pub(crate) use reading::start_after;

pub use local::{LocalParts, LocalRegion, RenderMetrics};

pub use views::{
    ConflictPage, ConflictView, DigestView, FieldPage, HealthView, LinkState, ListedKey, ListingPage,
    MemberPage, NamespaceChange, NamespaceConfiguration, NodeState, NodesView, PageRequest, PeerView,
    RegionNodeView, RegionState, Shedding, StatusView, Takeover,
};

use crate::model::agreement::NodeChange;
use crate::model::idempotency::{Decision, Idempotency};
use crate::model::ids::{Key, Namespace, NodeId, RegionId, SubKey};
use crate::model::partition_set::PartitionSet;
use crate::model::record::RecordType;
use crate::model::request::Submission;
use crate::model::rows::{CounterRow, FieldRow, MemberRow, RegisterRow};

/// The right to have one request worked on; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    /// Holds the place among requests and the bytes of the body.
    pub(crate) _permits: (
        tokio::sync::OwnedSemaphorePermit,
        tokio::sync::OwnedSemaphorePermit,
    ),
}

/// A region as its node serves it. Reads answer from applied state, which in a region of one node is linearizable:
/// a write is answered after its rows are durable and visible.
#[async_trait]
pub trait Region: Guarantees {
    /// Who answers: the region's name.
    fn region(&self) -> RegionId;

    /// Admits a request whose body has up to `body_bytes`.
    ///
    /// # Errors
    /// [`RegionError::Overloaded`] when the node works on as much as it may, [`RegionError::Unavailable`] while it
    /// shuts down.
    fn admit(&self, body_bytes: usize) -> Result<Admission, RegionError>;

    /// Whether requests of low priority are refused now, so that the others get the room; those that ask are counted.
    fn shed_low_priority(&self) -> Option<Shedding>;

    /// Makes writes at `local_quorum`, all in one commit or none: returns after they are durable and visible in this
    /// region. The policy of each is what [`Region::namespace`] says. The admission is held until they are done. With an
    /// idempotency key, a repeat is given what was decided first.
    ///
    /// # Errors
    /// See [`RegionError`]: what was not decided. Dropping the future does not undo the writes.
    async fn write(&self, submission: Submission, admission: Admission) -> Result<Decision, RegionError>;

    /// The same for writes that rely on this region being the home of their namespace ([`Guarantees::at_home`]).
    ///
    /// # Errors
    /// As [`Region::write`], and [`RegionError::NotHome`] where it is not the home.
    async fn write_as_home(
        &self,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError>;

    /// A register's versions; none if it was never written.
    ///
    /// # Errors
    /// When the store fails.
    fn register(&self, namespace: &Namespace, key: &Key) -> Result<Option<RegisterRow>, RegionError>;

    /// A counter's totals; none if it was never touched.
    ///
    /// # Errors
    /// When the store fails.
    fn counter(&self, namespace: &Namespace, key: &Key) -> Result<Option<CounterRow>, RegionError>;

    /// A member of a set; none if it is not in the set.
    ///
    /// # Errors
    /// When the store fails.
    fn member(
        &self,
        namespace: &Namespace,
        key: &Key,
        member: &SubKey,
    ) -> Result<Option<MemberRow>, RegionError>;

    /// Members of a set in byte order.
    ///
    /// # Errors
    /// When the store fails.
    fn members(
        &self,
        namespace: &Namespace,
        key: &Key,
        page: &PageRequest,
    ) -> Result<MemberPage, RegionError>;

    /// A field of a map; none if it is not in the map.
    ///
    /// # Errors
    /// When the store fails.
    fn field(
        &self,
        namespace: &Namespace,
        key: &Key,
        field: &SubKey,
    ) -> Result<Option<FieldRow>, RegionError>;

    /// Fields of a map in byte order, with their shown values.
    ///
    /// # Errors
    /// When the store fails.
    fn fields(&self, namespace: &Namespace, key: &Key, page: &PageRequest) -> Result<FieldPage, RegionError>;

    /// Keys of records of one type in byte order, of these partitions or of all that this node holds; what has expired is left
    /// out.
    ///
    /// # Errors
    /// When the store fails.
    fn list(
        &self,
        namespace: &Namespace,
        record_type: RecordType,
        prefix: &str,
        page: &PageRequest,
        part: Option<PartitionSet>,
    ) -> Result<ListingPage, RegionError>;

    /// Namespaces that were configured or hold data, in order, by as many nodes as together hold everything.
    ///
    /// # Errors
    /// When the store fails, [`RegionError::Unavailable`] where nobody who is heard holds some partition.
    async fn namespaces(&self, admission: Admission) -> Result<Vec<Namespace>, RegionError>;

    /// A namespace's configuration; defaults if it has none.
    ///
    /// # Errors
    /// When the store fails.
    fn namespace(&self, namespace: &Namespace) -> Result<NamespaceConfiguration, RegionError>;

    /// Configures a namespace; the configuration replicates like data.
    ///
    /// # Errors
    /// [`RegionError::Invalid`] for what this cluster cannot do, [`RegionError::Conflict`] for a change of policy
    /// while the namespace has data.
    async fn configure_namespace(
        &self,
        namespace: &Namespace,
        change: NamespaceChange,
        idempotency: Option<Idempotency>,
        admission: Admission,
    ) -> Result<NamespaceConfiguration, RegionError>;

    /// The conflict ledger, oldest first, by as many nodes as together hold everything.
    ///
    /// # Errors
    /// [`RegionError::Invalid`] for a cursor that this call did not give out, [`RegionError::Unavailable`] where nobody who is
    /// heard holds some partition.
    async fn conflicts(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&str>,
        limit: usize,
        admission: Admission,
    ) -> Result<ConflictPage, RegionError>;

    /// The state of this node and its links.
    fn status(&self) -> StatusView;

    /// The digest and vectors of all partitions, by as many nodes as together hold everything.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] where nobody who is heard holds some partition.
    async fn digest(&self) -> Result<DigestView, RegionError>;

    /// Stops sending to and taking from a region; survives a restart.
    ///
    /// # Errors
    /// [`RegionError::NotFound`] when there is no such peer.
    async fn pause_link(&self, peer: &RegionId) -> Result<(), RegionError>;

    /// Undoes [`Region::pause_link`].
    ///
    /// # Errors
    /// [`RegionError::NotFound`] when there is no such peer.
    async fn resume_link(&self, peer: &RegionId) -> Result<(), RegionError>;

    /// The nodes of this region, and what they are to it.
    fn nodes(&self) -> NodesView;

    /// Changes what a node is to this region. Returns when that is agreed on; what follows takes its time, as
    /// [`Region::nodes`] shows.
    ///
    /// # Errors
    /// [`RegionError::NotFound`] where there is no such node, [`RegionError::Conflict`] where it would harm,
    /// [`RegionError::Unavailable`] where it cannot be agreed on now.
    async fn change_node(&self, node: &NodeId, change: NodeChange) -> Result<(), RegionError>;

    /// The configuration that this node runs with.
    fn configuration(&self) -> ConfigurationView;

    /// See [`Configuration::reload`].
    ///
    /// # Errors
    /// [`RegionError::Conflict`] with what is wrong with it.
    fn reload_configuration(&self) -> Result<ConfigurationView, RegionError>;

    /// Whether this node serves, and whether the region should receive traffic.
    fn health(&self) -> HealthView;

    /// The metrics in Prometheus text format.
    fn metrics(&self) -> String;
}
