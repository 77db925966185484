//! A region in memory for the tests of the surface: the real model over one partition, with faults on demand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::actors::group::overview::{Leaderless, NodeReach, NodeStanding};
use crate::actors::link::requests::ForwardedAnswer;
use crate::actors::region::{
    Admission, Asked, ConfigurationView, ConflictPage, ConflictView, DigestView, FieldPage, HealthView,
    InsideRequest, LinkState, ListingPage, MemberPage, NamespaceChange, NamespaceConfiguration, NodeState,
    NodesView, PageRequest, PeerView, Region, RegionError, RegionNodeView, RegionState, Shedding, StatusView,
};
use crate::api::fake_parts::{FakeClock, Page, cut, listed_key};
use crate::model::agreement::NodeChange;
use crate::model::change::{Change, Commit, ConflictPolicy, Content, Delta, Replaces};
use crate::model::digest::DigestSum;
use crate::model::hlc::Hlc;
use crate::model::idempotency::{Decision, Idempotency, IdempotencyScope, Remembered};
use crate::model::ids::{Incarnation, Key, Namespace, NodeId, PartitionId, RegionId, ReplicaId, SubKey};
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::model::record::{RecordId, RecordType, RowId};
use crate::model::request::Submission;
use crate::model::rows::{CounterRow, FieldRow, MemberRow, RegisterRow, Row};
use crate::model::vector::VersionVector;
use crate::model::workspace::{Preparation, RowSource, Summary, Workspace};
use crate::ports::clock::Clock;
use crate::wire::messages::ForwardedRequest;

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// What `admit` answers.
    pub(crate) admission: Option<RegionError>,
    /// What everything else answers that can fail.
    pub(crate) error: Option<RegionError>,
    /// How long a write takes.
    pub(crate) write_delay: Duration,
    /// Whether reading a counter panics.
    pub(crate) panics: bool,
    /// How old what is read may be where the client does not say.
    pub(crate) staleness_allowance: Option<Duration>,
    /// What health answers.
    pub(crate) health: Option<HealthView>,
    /// The node that leads the partition, in a region of several.
    pub(crate) leader: Option<NodeId>,
    /// This node is one of several, and finds out later whether the region is still the home.
    pub(crate) has_others: bool,
    /// So many writes and reads find that it is not.
    pub(crate) homes_lost: usize,
    /// What the peer answers to what is passed on to it; none: there is no link.
    pub(crate) peer_answers: Option<ForwardedAnswer>,
    /// Of the two partitions, those of which this node has no copy; all records are in the first.
    pub(crate) not_held: PartitionSet,
    /// What other nodes of the region say when they are asked, in order; an answer beyond that hangs.
    pub(crate) nodes_answer: VecDeque<Asked<ForwardedAnswer>>,
}

#[derive(Debug, Default)]
struct Data {
    rows: BTreeMap<RowId, Row>,
    summaries: BTreeMap<RecordId, Summary>,
    conflicts: Vec<ConflictView>,
    configurations: BTreeMap<Namespace, NamespaceConfiguration>,
    paused: BTreeSet<RegionId>,
    outcomes: BTreeMap<IdempotencyScope, Remembered>,
    vector: VersionVector,
    stamp: u64,
}

impl RowSource for Data {
    type Error = Infallible;

    fn row(&self, id: &RowId) -> Result<Option<Row>, Infallible> {
        Ok(self.rows.get(id).cloned())
    }

    fn summary(&self, id: &RecordId) -> Result<Option<Summary>, Infallible> {
        Ok(self.summaries.get(id).cloned())
    }
}

/// The region `us-east` with the peer `eu-west`.
pub(crate) struct FakeRegion {
    clock: Arc<FakeClock>,
    data: Mutex<Data>,
    faults: Mutex<Faults>,
    admitted: Mutex<Vec<usize>>,
    passed_on: Mutex<Vec<(RegionId, ForwardedRequest)>>,
    asked_nodes: Mutex<Vec<(NodeId, InsideRequest)>>,
}

impl FakeRegion {
    /// Whether it turns out not to be the home, this time.
    pub(crate) fn loses_home(&self) -> bool {
        let mut faults = self.faults();
        let is_lost = faults.homes_lost > 0;
        faults.homes_lost -= usize::from(is_lost);
        is_lost
    }

    /// An empty region.
    pub(crate) fn new(clock: Arc<FakeClock>) -> Self {
        Self {
            clock,
            data: Mutex::default(),
            faults: Mutex::default(),
            admitted: Mutex::default(),
            passed_on: Mutex::default(),
            asked_nodes: Mutex::default(),
        }
    }

    /// What goes wrong from now on.
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    /// The body sizes that admission was asked for.
    pub(crate) fn admitted(&self) -> Vec<usize> {
        self.admitted.lock().unwrap().clone()
    }

    /// What was passed on, and to whom.
    pub(crate) fn passed_on(&self) -> MutexGuard<'_, Vec<(RegionId, ForwardedRequest)>> {
        self.passed_on.lock().unwrap()
    }

    /// What other nodes of the region were asked, and which.
    pub(crate) fn asked_nodes(&self) -> MutexGuard<'_, Vec<(NodeId, InsideRequest)>> {
        self.asked_nodes.lock().unwrap()
    }

    /// A write of another region that has seen nothing but that region's own.
    pub(crate) fn remote_put(
        &self,
        region: &str,
        key: &str,
        policy: ConflictPolicy,
        content: Option<Content>,
    ) {
        let mut data = self.data();
        let origin = replica(region);
        let record = RecordId::new(
            "shop".parse().unwrap(),
            RecordType::Register,
            Key::new(key).unwrap(),
        );
        let delta = Delta::Register {
            policy,
            replaces: Replaces::Seen,
            content,
        };
        let commit = Commit {
            origin,
            first_seq: data.vector.get(&origin) + 1,
            hlc: self.stamp(&mut data),
            deps: VersionVector::new(),
            changes: vec![Change { record, delta }],
        };
        let mut workspace = Workspace::new(&*data);
        workspace.apply(&commit).unwrap();
        let overlay = workspace.into_overlay();
        data.vector.advance(origin, commit.last_seq());
        self.take_over(&mut data, overlay);
    }

    /// The last stamp that it has given, apart from the time in it.
    pub(super) fn last_stamp(&self) -> u64 {
        self.data().stamp
    }

    /// How a namespace was configured.
    pub(super) fn configuration_of(&self, namespace: &Namespace) -> Option<NamespaceConfiguration> {
        self.data().configurations.get(namespace).cloned()
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap()
    }

    fn stamp(&self, data: &mut Data) -> Hlc {
        data.stamp += 5000;
        Hlc(Hlc::from_wall(self.clock.now()).0 + data.stamp)
    }

    fn take_over(&self, data: &mut Data, overlay: crate::model::workspace::Overlay) {
        for (id, exchange) in overlay.rows {
            match exchange.after {
                Some(row) => data.rows.insert(id, row),
                None => data.rows.remove(&id),
            };
        }
        for (id, exchange) in overlay.summaries {
            match exchange.after {
                Some(summary) => data.summaries.insert(id, summary),
                None => data.summaries.remove(&id),
            };
        }
        let lost_at = self.clock.now();
        data.conflicts
            .extend(overlay.losers.into_iter().map(|lost| ConflictView {
                record: lost.row.record,
                field: lost.row.sub_key,
                winner: lost.loser.winner,
                loser: lost.loser.loser,
                lost_at,
                reason: lost.loser.reason,
                value: lost.loser.value,
            }));
    }

    fn check(&self) -> Result<(), RegionError> {
        self.faults().error.clone().map_or(Ok(()), Err)
    }

    fn row(&self, record: RecordId, sub_key: Option<SubKey>) -> Result<Option<Row>, RegionError> {
        self.check()?;
        Ok(self.data().rows.get(&RowId { record, sub_key }).cloned())
    }

    fn parts(&self, record: &RecordId, page: &PageRequest) -> Result<Page<(String, Row)>, RegionError> {
        self.check()?;
        let data = self.data();
        let all = data
            .rows
            .iter()
            .filter(|(id, _)| id.record == *record)
            .map(|(id, row)| (id.sub_key.as_ref().unwrap().to_string(), row.clone()));
        Ok(cut(all, page, |(name, _)| name.clone()))
    }
}

fn replica(region: &str) -> ReplicaId {
    ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation::FIRST,
    }
}

#[async_trait]
impl Region for FakeRegion {
    fn region(&self) -> RegionId {
        "us-east".parse().unwrap()
    }

    fn shed_low_priority(&self) -> Option<Shedding> {
        let state = self.health().state;
        state.sheds_low_priority().then_some(Shedding {
            state,
            retry_after_seconds: 3,
        })
    }

    fn admit(&self, body_bytes: usize) -> Result<Admission, RegionError> {
        if let Some(error) = self.faults().admission.clone() {
            return Err(error);
        }
        self.admitted.lock().unwrap().push(body_bytes);
        let permit = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Ok(Admission {
            _permits: (permit(), permit()),
        })
    }

    async fn write_as_home(
        &self,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        if self.loses_home() {
            return Err(RegionError::NotHome("the home has moved".to_owned()));
        }
        self.write(submission, admission).await
    }

    async fn write(&self, submission: Submission, _: Admission) -> Result<Decision, RegionError> {
        self.check()?;
        let delay = self.faults().write_delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut data = self.data();
        let scope = submission.scope();
        if let Some(first) = scope.as_ref().and_then(|scope| data.outcomes.get(scope)) {
            let fingerprint = submission.idempotency.as_ref().map(|given| given.fingerprint);
            if fingerprint != Some(first.fingerprint) {
                return Err(RegionError::Conflict("the key was used".to_owned()));
            }
            let (outcome, is_repeat) = (first.outcome.clone(), true);
            return Ok(Decision { outcome, is_repeat });
        }
        let hlc = self.stamp(&mut data);
        let origin = replica("us-east");
        let mut preparation = Preparation::begin(origin, &data.vector, hlc, self.clock.now());
        let mut workspace = Workspace::new(&*data);
        let writes = &submission.writes;
        let outcome = preparation.execute_all(&mut workspace, writes).unwrap();
        let overlay = workspace.into_overlay();
        if let Some(commit) = preparation.finish() {
            data.vector.advance(origin, commit.last_seq());
        }
        self.take_over(&mut data, overlay);
        if let (Some(scope), Some(given)) = (scope, submission.idempotency) {
            let remembered = Remembered {
                fingerprint: given.fingerprint,
                at: self.clock.now(),
                outcome: outcome.clone(),
            };
            data.outcomes.insert(scope, remembered);
        }
        let is_repeat = false;
        Ok(Decision { outcome, is_repeat })
    }

    fn register(&self, namespace: &Namespace, key: &Key) -> Result<Option<RegisterRow>, RegionError> {
        let record = RecordId::new(namespace.clone(), RecordType::Register, key.clone());
        match self.row(record, None)? {
            Some(Row::Register(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    fn counter(&self, namespace: &Namespace, key: &Key) -> Result<Option<CounterRow>, RegionError> {
        assert!(!self.faults().panics, "secret of the fake region");
        if key.as_str() == "huge" {
            let mut row = CounterRow::default();
            for region in ["a", "b", "c", "d"] {
                row.merge_totals(replica(region), u64::MAX, 0);
            }
            return Ok(Some(row));
        }
        let record = RecordId::new(namespace.clone(), RecordType::Counter, key.clone());
        match self.row(record, None)? {
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
        let record = RecordId::new(namespace.clone(), RecordType::Set, key.clone());
        match self.row(record, Some(member.clone()))? {
            Some(Row::Member(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    fn members(
        &self,
        namespace: &Namespace,
        key: &Key,
        page: &PageRequest,
    ) -> Result<MemberPage, RegionError> {
        let record = RecordId::new(namespace.clone(), RecordType::Set, key.clone());
        let (parts, next) = self.parts(&record, page)?;
        let members = parts.into_iter().map(|(name, _)| name).collect();
        Ok(MemberPage { members, next })
    }

    fn field(
        &self,
        namespace: &Namespace,
        key: &Key,
        field: &SubKey,
    ) -> Result<Option<FieldRow>, RegionError> {
        let record = RecordId::new(namespace.clone(), RecordType::Map, key.clone());
        match self.row(record, Some(field.clone()))? {
            Some(Row::Field(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    fn fields(&self, namespace: &Namespace, key: &Key, page: &PageRequest) -> Result<FieldPage, RegionError> {
        let record = RecordId::new(namespace.clone(), RecordType::Map, key.clone());
        let (parts, next) = self.parts(&record, page)?;
        let shown = |(name, row)| match row {
            Row::Field(row) => Some((name, row.shown()?.value.clone())),
            _ => None,
        };
        let fields = parts.into_iter().filter_map(shown).collect();
        Ok(FieldPage { fields, next })
    }

    fn list(
        &self,
        namespace: &Namespace,
        record_type: RecordType,
        prefix: &str,
        page: &PageRequest,
        _: Option<PartitionSet>,
    ) -> Result<ListingPage, RegionError> {
        self.check()?;
        let data = self.data();
        let listed = data
            .summaries
            .iter()
            .filter(|(id, _)| id.namespace == *namespace && id.record_type == record_type)
            .filter(|(id, _)| id.key.as_str().starts_with(prefix))
            .map(|(id, summary)| listed_key(&id.key, summary));
        let (keys, next) = cut(listed, page, |listed| listed.key.clone());
        Ok(ListingPage { keys, next })
    }

    async fn namespaces(&self, _: Admission) -> Result<Vec<Namespace>, RegionError> {
        self.check()?;
        let data = self.data();
        let mut all: BTreeSet<_> = data.configurations.keys().cloned().collect();
        all.extend(data.rows.keys().map(|id| id.record.namespace.clone()));
        all.insert(Namespace::system());
        Ok(all.into_iter().collect())
    }

    fn namespace(&self, namespace: &Namespace) -> Result<NamespaceConfiguration, RegionError> {
        Ok(self
            .data()
            .configurations
            .get(namespace)
            .cloned()
            .unwrap_or_default())
    }

    async fn configure_namespace(
        &self,
        namespace: &Namespace,
        change: NamespaceChange,
        _: Option<Idempotency>,
        _: Admission,
    ) -> Result<NamespaceConfiguration, RegionError> {
        self.check()?;
        self.data()
            .configurations
            .insert(namespace.clone(), change.wanted.clone());
        Ok(change.wanted)
    }

    async fn conflicts(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&str>,
        limit: usize,
        _: Admission,
    ) -> Result<ConflictPage, RegionError> {
        self.check()?;
        let invalid = |_| RegionError::Invalid("the cursor was not given out by this call".to_owned());
        let start: usize = after.map_or(Ok(0), |after| after.parse().map_err(invalid))?;
        let data = self.data();
        let wanted = |view: &&ConflictView| namespace.is_none_or(|n| view.record.namespace == *n);
        let all: Vec<_> = data.conflicts.iter().filter(wanted).cloned().collect();
        let end = all.len().min(start + limit);
        Ok(ConflictPage {
            conflicts: all[start.min(end)..end].to_vec(),
            next: (end < all.len()).then(|| end.to_string()),
        })
    }

    fn status(&self) -> StatusView {
        let data = self.data();
        let eu: RegionId = "eu-west".parse().unwrap();
        StatusView {
            cluster: "test".parse().unwrap(),
            region: self.region(),
            incarnation: 1,
            node: "us-east-1".parse().unwrap(),
            version: "0.1.0".to_owned(),
            state: RegionState::Healthy,
            state_for_ms: 5,
            reasons: Vec::new(),
            partitions: 1,
            log_bytes: 7,
            certificate_expires: UNIX_EPOCH + Duration::from_secs(1 << 60),
            nodes: vec![
                NodeStanding {
                    node: "us-east-1".parse().unwrap(),
                    reach: NodeReach::Up,
                    silent_ms: Some(0),
                    partitions_led: 1,
                    rtt_ms: None,
                    last_error: None,
                },
                NodeStanding {
                    node: "us-east-2".parse().unwrap(),
                    reach: NodeReach::Suspected,
                    silent_ms: Some(2_500),
                    partitions_led: 0,
                    rtt_ms: Some(0.25),
                    last_error: Some("it was lost".to_owned()),
                },
            ],
            leaderless: vec![Leaderless {
                reason: "an election".to_owned(),
                partitions: vec![PartitionId(0)],
            }],
            peers: vec![PeerView {
                region: eu,
                state: RegionState::Degraded,
                link: if data.paused.contains(&eu) {
                    LinkState::Paused
                } else {
                    LinkState::Up
                },
                rtt_ms: Some(1.5),
                lag_ms: 0,
                behind_changes: 0,
                catch_up_ms: None,
                backlog_changes: 3,
                phi: Some(0.126),
                certificate_expires: Some(UNIX_EPOCH + Duration::from_millis(1_500)),
                last_error: None,
            }],
        }
    }

    async fn digest(&self) -> Result<DigestView, RegionError> {
        Ok(DigestView {
            root: [0xab; 32],
            partitions: vec![(DigestSum(10), self.data().vector.clone())],
        })
    }

    async fn pause_link(&self, peer: &RegionId) -> Result<(), RegionError> {
        self.check()?;
        if peer.as_str() != "eu-west" {
            return Err(RegionError::NotFound(format!("there is no region {peer}")));
        }
        self.data().paused.insert(*peer);
        Ok(())
    }

    async fn resume_link(&self, peer: &RegionId) -> Result<(), RegionError> {
        self.check()?;
        if peer.as_str() != "eu-west" {
            return Err(RegionError::NotFound(format!("there is no region {peer}")));
        }
        self.data().paused.remove(peer);
        Ok(())
    }

    fn nodes(&self) -> NodesView {
        NodesView {
            region: self.region(),
            replication_factor: 3,
            partitions: 64,
            settled: 60,
            nodes: vec![RegionNodeView {
                node: "eu-1".parse().unwrap(),
                state: NodeState::Drained,
                incarnation: None,
                is_reached: true,
                copies: 64,
                votes: 4,
                leads: 0,
            }],
        }
    }

    async fn change_node(&self, node: &NodeId, change: NodeChange) -> Result<(), RegionError> {
        self.check()?;
        if node.as_str() != "eu-1" {
            return Err(RegionError::NotFound(format!("there is no node {node}")));
        }
        if change == (NodeChange::Remove { fewer_copies: false }) {
            return Err(RegionError::Conflict("there would be too few copies".to_owned()));
        }
        Ok(())
    }

    fn configuration(&self) -> ConfigurationView {
        ConfigurationView {
            version: "0123456789ab".to_owned(),
            since: UNIX_EPOCH + Duration::from_millis(1_500),
            next: None,
            error: Some("it was damaged".to_owned()),
        }
    }

    fn reload_configuration(&self) -> Result<ConfigurationView, RegionError> {
        self.check()?;
        Ok(self.configuration())
    }

    fn health(&self) -> HealthView {
        self.faults().health.clone().unwrap_or(HealthView {
            ready: true,
            region_serves: true,
            state: RegionState::Healthy,
            reasons: Vec::new(),
        })
    }

    fn metrics(&self) -> String {
        format!("atoll_limit {}\n# EOF\n", limits::ADMITTED_REQUESTS_MAX)
    }
}
