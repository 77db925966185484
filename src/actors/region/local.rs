//! The region as a node of it serves it: reads from applied state, writes through the partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::actors::context::NodeContext;
use crate::actors::group::RegionGroups;
use crate::actors::link::shipper::ShipperHandle;
use crate::actors::partition::PartitionHandle;
use crate::actors::region::{
    Admission, Configuration, ConfigurationView, ConflictPage, DigestView, FieldPage, HealthView,
    ListingPage, MemberPage, NamespaceChange, NamespaceConfiguration, NodeState, NodesView, PageRequest,
    Region, RegionError, Shedding, StatusView, reading, status,
};
use crate::model::agreement::NodeChange;
use crate::model::idempotency::{Decision, Idempotency};
use crate::model::ids::{Key, Namespace, NodeId, PartitionId, RegionId, SubKey};
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::model::placement::partition_of;
use crate::model::record::RecordType;
use crate::model::request::Submission;
use crate::model::rows::{CounterRow, FieldRow, MemberRow, RegisterRow};

/// Renders the node's metrics; node-level code owns the registry.
pub type RenderMetrics = Box<dyn Fn(&NodeContext) -> String + Send + Sync>;

/// What a [`LocalRegion`] is made of.
pub struct LocalParts {
    /// The node.
    pub context: Arc<NodeContext>,
    /// Its partitions, in order.
    pub partitions: Arc<[PartitionHandle]>,
    /// Its shippers.
    pub shippers: Arc<[ShipperHandle]>,
    /// The groups of its partitions; none where it has its region to itself.
    pub groups: Option<Arc<RegionGroups>>,
    /// When its certificate expires.
    pub certificate_expires: SystemTime,
    /// How old what reads show may be where the client does not say; zero is any age.
    pub max_staleness: Duration,
    /// Shows its metrics.
    pub render_metrics: RenderMetrics,
    /// What it runs with.
    pub configuration: Arc<dyn Configuration>,
}

/// A region, as one of its nodes serves it.
pub struct LocalRegion {
    pub(super) parts: LocalParts,
    requests: Arc<Semaphore>,
    /// In KiB, since a semaphore counts in 32 bits.
    body_kib: Arc<Semaphore>,
    is_stopping: AtomicBool,
}

impl std::fmt::Debug for LocalRegion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalRegion({})", self.parts.context.identity.node)
    }
}

impl LocalRegion {
    /// A region that serves.
    #[must_use]
    pub fn new(parts: LocalParts) -> Self {
        Self {
            parts,
            requests: Arc::new(Semaphore::new(limits::ADMITTED_REQUESTS_MAX)),
            body_kib: Arc::new(Semaphore::new(limits::ADMITTED_BYTES_MAX / 1024)),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// From here on nothing new is admitted; what was admitted is finished.
    pub fn stop_admitting(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Requests that are admitted and not finished.
    #[must_use]
    pub fn requests_under_way(&self) -> usize {
        limits::ADMITTED_REQUESTS_MAX - self.requests.available_permits()
    }

    pub(super) fn place(&self, namespace: &Namespace, key: &Key) -> PartitionId {
        partition_of(namespace, key, self.parts.context.identity.partitions)
    }

    fn reader(&self, namespace: &Namespace, key: &Key) -> reading::Reader<'_> {
        reading::Reader {
            store: self.parts.context.store.as_ref(),
            partition: self.place(namespace, key),
        }
    }

    async fn set_paused(&self, peer: &RegionId, is_paused: bool) -> Result<(), RegionError> {
        let context = &self.parts.context;
        context.peer(peer).ok_or_else(|| {
            let peers: Vec<String> = context
                .peers
                .iter()
                .map(|peer| peer.region().to_string())
                .collect();
            RegionError::NotFound(format!(
                "there is no link to {peer}; this region's peers are {}",
                peers.join(", ")
            ))
        })?;
        let written = context.pauses.decide(context, *peer, is_paused);
        let unavailable = |reason: String| RegionError::Unavailable {
            reason,
            outcome_unknown: true,
        };
        written
            .await
            .map_err(|_| unavailable("the node is shutting down".to_owned()))?
            .map_err(|error| unavailable(error.to_string()))?;
        Ok(())
    }
}

#[async_trait]
impl Region for LocalRegion {
    fn region(&self) -> RegionId {
        self.parts.context.identity.region
    }

    fn admit(&self, body_bytes: usize) -> Result<Admission, RegionError> {
        if self.is_stopping.load(Ordering::Acquire) {
            return Err(RegionError::Unavailable {
                reason: "this node is shutting down; use another".to_owned(),
                outcome_unknown: false,
            });
        }
        if let Some(reason) = self.parts.context.groups.expelled() {
            return Err(RegionError::Unavailable {
                reason,
                outcome_unknown: false,
            });
        }
        let kib = u32::try_from(body_bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let overloaded =
            |what: &str| RegionError::Overloaded(format!("this node has {what}; try again in a second"));
        let request = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| overloaded("as many requests under way as it may"))?;
        let body = Arc::clone(&self.body_kib)
            .try_acquire_many_owned(kib)
            .map_err(|_| overloaded("as many bytes of requests under way as it may"))?;
        Ok(Admission {
            _permits: (request, body),
        })
    }

    fn shed_low_priority(&self) -> Option<Shedding> {
        self.parts.context.health.shed_low_priority()
    }

    async fn write(&self, submission: Submission, admission: Admission) -> Result<Decision, RegionError> {
        let first = submission.writes.first().expect("a submission has a write");
        let partition = self.place(&first.namespace, &first.key);
        if let Some(groups) = &self.parts.groups {
            return groups.write(partition, submission, admission).await;
        }
        self.parts.partitions[usize::from(partition.0)]
            .write(submission, admission)
            .await
    }

    async fn write_as_home(
        &self,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        let first = submission.writes.first().expect("a submission has a write");
        let partition = self.place(&first.namespace, &first.key);
        match &self.parts.groups {
            Some(groups) => groups.write_as_home(partition, submission, admission).await,
            // Whoever asks holds the right to it.
            None => self.write(submission, admission).await,
        }
    }

    fn register(&self, namespace: &Namespace, key: &Key) -> Result<Option<RegisterRow>, RegionError> {
        self.reader(namespace, key).register(namespace, key)
    }

    fn counter(&self, namespace: &Namespace, key: &Key) -> Result<Option<CounterRow>, RegionError> {
        self.reader(namespace, key).counter(namespace, key)
    }

    fn member(
        &self,
        namespace: &Namespace,
        key: &Key,
        member: &SubKey,
    ) -> Result<Option<MemberRow>, RegionError> {
        self.reader(namespace, key).member(namespace, key, member)
    }

    fn members(
        &self,
        namespace: &Namespace,
        key: &Key,
        page: &PageRequest,
    ) -> Result<MemberPage, RegionError> {
        self.reader(namespace, key).members(namespace, key, page)
    }

    fn field(
        &self,
        namespace: &Namespace,
        key: &Key,
        field: &SubKey,
    ) -> Result<Option<FieldRow>, RegionError> {
        self.reader(namespace, key).field(namespace, key, field)
    }

    fn fields(&self, namespace: &Namespace, key: &Key, page: &PageRequest) -> Result<FieldPage, RegionError> {
        self.reader(namespace, key).fields(namespace, key, page)
    }

    fn list(
        &self,
        namespace: &Namespace,
        record_type: RecordType,
        prefix: &str,
        page: &PageRequest,
        part: Option<PartitionSet>,
    ) -> Result<ListingPage, RegionError> {
        let listing = crate::wire::keys::names::Listing {
            namespace,
            record_type,
            prefix,
            after: page.after.as_deref(),
        };
        let now = self.parts.context.clock.now();
        let count = self.parts.context.identity.partitions;
        let within = part.map(|part| reading::Within { part, count });
        let store = self.parts.context.store.as_ref();
        reading::list(store, &listing, page.limit, now, within)
    }

    async fn namespaces(&self, admission: Admission) -> Result<Vec<Namespace>, RegionError> {
        self.all_namespaces(admission).await
    }

    fn namespace(&self, namespace: &Namespace) -> Result<NamespaceConfiguration, RegionError> {
        Ok(self.parts.context.namespaces.get(namespace))
    }

    async fn configure_namespace(
        &self,
        namespace: &Namespace,
        change: NamespaceChange,
        idempotency: Option<Idempotency>,
        admission: Admission,
    ) -> Result<NamespaceConfiguration, RegionError> {
        self.configure(namespace, change, idempotency, admission).await
    }

    async fn conflicts(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&str>,
        limit: usize,
        admission: Admission,
    ) -> Result<ConflictPage, RegionError> {
        self.all_conflicts(namespace, after, limit, admission).await
    }

    fn status(&self) -> StatusView {
        status::status(&self.parts.context, self.parts.certificate_expires)
    }

    async fn digest(&self) -> Result<DigestView, RegionError> {
        self.whole_digest().await
    }

    async fn pause_link(&self, peer: &RegionId) -> Result<(), RegionError> {
        self.set_paused(peer, true).await
    }

    async fn resume_link(&self, peer: &RegionId) -> Result<(), RegionError> {
        self.set_paused(peer, false).await
    }

    fn nodes(&self) -> NodesView {
        self.nodes_view()
    }

    async fn change_node(&self, node: &NodeId, change: NodeChange) -> Result<(), RegionError> {
        self.change(*node, change).await
    }

    fn configuration(&self) -> ConfigurationView {
        self.parts.configuration.view()
    }

    fn reload_configuration(&self) -> Result<ConfigurationView, RegionError> {
        let view = self.nodes_view();
        let members = view.nodes.iter().filter(|node| node.state != NodeState::NotAdded);
        let members: Vec<String> = members.map(|node| node.node.to_string()).collect();
        self.parts.configuration.reload(&members)
    }

    fn health(&self) -> HealthView {
        let is_stopping = self.is_stopping.load(Ordering::Acquire);
        status::health(&self.parts.context, is_stopping)
    }

    fn metrics(&self) -> String {
        (self.parts.render_metrics)(&self.parts.context)
    }
}
