//! A region that always answers the same, for requests to the router: some records of every type, and writes that go
//! through the model and are forgotten.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use atoll::actors::link::requests::{ForwardedAnswer, RequestError};
use atoll::actors::region::{
    Admission, AtHome, ConfigurationView, ConflictPage, DigestView, FieldPage, Guarantees, HealthView,
    Holding, LinkState, ListedKey, ListingPage, MemberPage, NamespaceChange, NamespaceConfiguration,
    NodesView, NotHome, PageRequest, PeerView, Reach, Region, RegionError, RegionState, Shedding, StatusView,
};
use atoll::fuzzing;
use atoll::model::agreement::NodeChange;
use atoll::model::change::ConflictPolicy;
use atoll::model::digest::DigestSum;
use atoll::model::hlc::{Hlc, WallTime};
use atoll::model::idempotency::{Decision, Idempotency};
use atoll::model::ids::{ClusterName, Key, Namespace, NodeId, PartitionId, RegionId, SubKey};
use atoll::model::partition_set::PartitionSet;
use atoll::model::record::{RecordId, RecordType, RowId};
use atoll::model::request::Submission;
use atoll::model::rows::{CounterRow, FieldRow, MemberRow, RegisterRow, Row};
use atoll::model::session::SessionToken;
use atoll::model::tick::Tick;
use atoll::model::vector::VersionVector;
use atoll::model::workspace::{Preparation, RowSource, Summary, Workspace};
use atoll::ports::clock::Clock;
use atoll::wire::messages::ForwardedRequest;
use bytes::Bytes;

use crate::seeds::values;

/// A clock that stands still in 2025.
#[derive(Debug)]
pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn tick(&self) -> Tick {
        Tick::default()
    }

    fn now(&self) -> WallTime {
        WallTime::from_micros(1_750_000_000_000_000)
    }
}

/// The region `us-east` with the peer `eu-west`.
#[derive(Debug)]
pub(crate) struct FixedRegion;

impl FixedRegion {
    /// Keys that start with `no` are not there; `siblings` has several versions.
    fn stored(record: &RecordId) -> Option<Row> {
        match (record.record_type, record.key.as_str()) {
            (_, key) if key.starts_with("no") => None,
            (RecordType::Register, "siblings") => Some(values::siblings_row()),
            (RecordType::Register, _) => Some(values::register_row()),
            (RecordType::Counter, _) => Some(values::counter_row()),
            (RecordType::Set, _) => Some(values::member_row()),
            (RecordType::Map, _) => Some(values::field_row()),
        }
    }

    fn names(page: &PageRequest) -> Vec<String> {
        let all = ["a", "b/c", "é", "\"quoted\""].map(str::to_owned);
        let mut names: Vec<_> = all
            .into_iter()
            .filter(|name| Some(name) > page.after.as_ref())
            .collect();
        names.sort();
        names.truncate(page.limit);
        names
    }
}

impl RowSource for FixedRegion {
    type Error = Infallible;

    fn row(&self, id: &RowId) -> Result<Option<Row>, Infallible> {
        Ok(Self::stored(&id.record))
    }

    fn summary(&self, id: &RecordId) -> Result<Option<Summary>, Infallible> {
        Ok(match Self::stored(id) {
            Some(Row::Register(row)) => atoll::model::workspace::register_summary(&row),
            Some(Row::Counter(_)) => Some(Summary::Counter),
            Some(Row::Member(_) | Row::Field(_)) => Some(Summary::Parts { count: 1 << 20 }),
            None => None,
        })
    }
}

impl Holding for FixedRegion {
    fn partitions(&self) -> PartitionSet {
        [PartitionId(0)].into_iter().collect()
    }
}

#[async_trait]
impl Guarantees for FixedRegion {
    fn cluster(&self) -> (ClusterName, Vec<RegionId>) {
        let regions = ["us-east", "eu-west"];
        let regions = regions.map(|name| name.parse().unwrap());
        ("test".parse().unwrap(), regions.to_vec())
    }

    fn leader(&self, _: Reach) -> Option<NodeId> {
        None
    }

    fn reach(&self, _: &Namespace, _: &Key) -> Reach {
        Reach::Partition(PartitionId(0))
    }

    async fn wait_for_session(&self, _: Reach, _: &SessionToken) {}

    fn lacking_of_session(&self, _: Reach, _: &SessionToken) -> Vec<RegionId> {
        Vec::new()
    }

    fn seen(&self, _: Reach) -> Result<SessionToken, RegionError> {
        Ok(SessionToken::from_iter([(
            self.region(),
            Hlc::from_wall(FixedClock.now()),
        )]))
    }

    fn staleness_allowance(&self) -> Option<Duration> {
        None
    }

    fn staleness(&self, _: Reach) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    async fn catch_up_with_region(&self, _: Reach) -> Result<(), RegionError> {
        Ok(())
    }

    async fn catch_up_with_majority(&self, _: Reach) {}

    async fn wait_for_majority(&self, _: Reach) {}

    fn is_believable(&self, _: &SessionToken) -> bool {
        true
    }

    fn observe(&self, _: &SessionToken) {}

    fn writes_at_home(&self, _: &Namespace) -> bool {
        false
    }

    fn at_home(&self, namespace: &Namespace, _: Reach) -> Result<AtHome, NotHome> {
        Err(NotHome::None(namespace.clone()))
    }

    async fn catch_up_with_configuration(&self, _: &Namespace) -> Result<(), RegionError> {
        Ok(())
    }

    async fn is_still_home(&self, _: &Namespace, _: &AtHome) -> Result<bool, RegionError> {
        Ok(true)
    }

    async fn forward(
        &self,
        _: RegionId,
        _: ForwardedRequest,
        _: Duration,
    ) -> Option<Result<ForwardedAnswer, RequestError>> {
        None
    }
}

#[async_trait]
impl Region for FixedRegion {
    fn region(&self) -> RegionId {
        "us-east".parse().unwrap()
    }

    fn admit(&self, _: usize) -> Result<Admission, RegionError> {
        Ok(fuzzing::admission())
    }

    fn shed_low_priority(&self) -> Option<Shedding> {
        None
    }

    async fn write_as_home(
        &self,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        self.write(submission, admission).await
    }

    async fn write(&self, submission: Submission, _: Admission) -> Result<Decision, RegionError> {
        let origin = values::replica("us-east", 2);
        let stamp = Hlc::from_wall(FixedClock.now());
        let mut preparation = Preparation::begin(origin, &VersionVector::new(), stamp, FixedClock.now());
        let mut workspace = Workspace::new(self);
        let outcome = preparation
            .execute_all(&mut workspace, &submission.writes)
            .unwrap();
        if let Some(commit) = preparation.finish() {
            // What a client can make must be what a peer accepts.
            let bytes = atoll::wire::values::encode_commit(&commit);
            assert_eq!(atoll::wire::values::decode_commit(&bytes), Ok(commit));
        }
        Ok(Decision {
            outcome,
            is_repeat: false,
        })
    }

    fn register(&self, namespace: &Namespace, key: &Key) -> Result<Option<RegisterRow>, RegionError> {
        match Self::stored(&RecordId::new(
            namespace.clone(),
            RecordType::Register,
            key.clone(),
        )) {
            Some(Row::Register(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    fn counter(&self, namespace: &Namespace, key: &Key) -> Result<Option<CounterRow>, RegionError> {
        match Self::stored(&RecordId::new(
            namespace.clone(),
            RecordType::Counter,
            key.clone(),
        )) {
            Some(Row::Counter(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    fn member(
        &self,
        namespace: &Namespace,
        key: &Key,
        member: &SubKey,
    ) -> Result<Option<MemberRow>, RegionError> {
        match Self::stored(&RecordId::new(namespace.clone(), RecordType::Set, key.clone())) {
            Some(Row::Member(row)) if !member.as_str().starts_with("no") => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    fn members(&self, _: &Namespace, _: &Key, page: &PageRequest) -> Result<MemberPage, RegionError> {
        let members = Self::names(page);
        let next = members.last().cloned();
        Ok(MemberPage { members, next })
    }

    fn field(&self, namespace: &Namespace, key: &Key, _: &SubKey) -> Result<Option<FieldRow>, RegionError> {
        match Self::stored(&RecordId::new(namespace.clone(), RecordType::Map, key.clone())) {
            Some(Row::Field(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    fn fields(&self, _: &Namespace, _: &Key, page: &PageRequest) -> Result<FieldPage, RegionError> {
        let value = Bytes::from_static(b"{\"n\": 1.10}");
        let fields = Self::names(page)
            .into_iter()
            .map(|name| (name, value.clone()))
            .collect();
        Ok(FieldPage { fields, next: None })
    }

    fn list(
        &self,
        _: &Namespace,
        _: RecordType,
        prefix: &str,
        page: &PageRequest,
        _: Option<PartitionSet>,
    ) -> Result<ListingPage, RegionError> {
        let listed = |key: String| ListedKey {
            key: format!("{prefix}{key}"),
            size: u64::MAX,
            content_type: Some("text/plain".to_owned()),
            version: None,
        };
        let keys = Self::names(page).into_iter().map(listed).collect();
        Ok(ListingPage {
            keys,
            next: page.after.clone(),
        })
    }

    async fn namespaces(&self, _: Admission) -> Result<Vec<Namespace>, RegionError> {
        Ok(vec![Namespace::system(), "shop".parse().unwrap()])
    }

    fn namespace(&self, namespace: &Namespace) -> Result<NamespaceConfiguration, RegionError> {
        let conflict_policy = if namespace.as_str() == "siblings" {
            ConflictPolicy::Siblings
        } else {
            ConflictPolicy::Lww
        };
        Ok(NamespaceConfiguration {
            conflict_policy,
            ..NamespaceConfiguration::default()
        })
    }

    async fn configure_namespace(
        &self,
        _: &Namespace,
        change: NamespaceChange,
        _: Option<Idempotency>,
        _: Admission,
    ) -> Result<NamespaceConfiguration, RegionError> {
        Ok(change.wanted)
    }

    async fn conflicts(
        &self,
        _: Option<&Namespace>,
        after: Option<&str>,
        _: usize,
        _: Admission,
    ) -> Result<ConflictPage, RegionError> {
        let is_cursor = after.is_none_or(|after| fuzzing::ledger_start(after).is_some());
        if !is_cursor {
            return Err(RegionError::Invalid("not a cursor".to_owned()));
        }
        Ok(ConflictPage {
            conflicts: Vec::new(),
            next: after.map(str::to_owned),
        })
    }

    fn status(&self) -> StatusView {
        StatusView {
            cluster: "demo".parse().unwrap(),
            region: self.region(),
            incarnation: 1,
            node: "us-east-1".parse().unwrap(),
            version: "0.1.0".to_owned(),
            state: RegionState::Healthy,
            reasons: Vec::new(),
            partitions: 64,
            log_bytes: 7,
            certificate_expires: UNIX_EPOCH + Duration::from_secs(1 << 32),
            state_for_ms: 7,
            nodes: Vec::new(),
            leaderless: Vec::new(),
            peers: vec![PeerView {
                catch_up_ms: None,
                phi: Some(0.5),
                region: "eu-west".parse().unwrap(),
                state: RegionState::Degraded,
                link: LinkState::Down,
                rtt_ms: None,
                lag_ms: 1,
                behind_changes: 2,
                backlog_changes: 3,
                certificate_expires: None,
                last_error: Some("it is away".to_owned()),
            }],
        }
    }

    fn nodes(&self) -> NodesView {
        NodesView {
            region: self.region(),
            replication_factor: 3,
            partitions: 2,
            settled: 1,
            nodes: Vec::new(),
        }
    }

    async fn change_node(&self, _: &NodeId, _: NodeChange) -> Result<(), RegionError> {
        Ok(())
    }

    fn configuration(&self) -> ConfigurationView {
        ConfigurationView {
            version: "0123456789ab".to_owned(),
            since: UNIX_EPOCH,
            next: None,
            error: None,
        }
    }

    fn reload_configuration(&self) -> Result<ConfigurationView, RegionError> {
        Ok(self.configuration())
    }

    async fn digest(&self) -> Result<DigestView, RegionError> {
        let vectors: BTreeMap<u8, VersionVector> = [(0, values::vector()), (1, VersionVector::new())].into();
        Ok(DigestView {
            root: [7; 32],
            partitions: vectors
                .into_values()
                .map(|vector| (DigestSum(7), vector))
                .collect(),
        })
    }

    async fn pause_link(&self, peer: &RegionId) -> Result<(), RegionError> {
        match peer.as_str() {
            "eu-west" => Ok(()),
            _ => Err(RegionError::NotFound(format!("there is no region {peer}"))),
        }
    }

    async fn resume_link(&self, peer: &RegionId) -> Result<(), RegionError> {
        self.pause_link(peer).await
    }

    fn health(&self) -> HealthView {
        HealthView {
            ready: true,
            region_serves: true,
            state: RegionState::Healthy,
            reasons: Vec::new(),
        }
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
}
