//! Home regions: which region serves `strong` for a namespace, and how that changes without two of them at a time.
//!
//! The home alone changes the configuration of its namespace, and one region alone gives it a first one ([`Decider`]). A
//! hand-over is two writes of it: the first names the new home, after which the old one begins nothing more; when it has
//! finished what it had begun, the second says what the new one must have applied before it starts. Whatever crashes in
//! between, the old home goes on with the second.
//!
//! Where this node has its region to itself it counts what it has begun ([`Homes`]). Among several it asks the leaders of the
//! partitions, through whom everything goes (`actors/group/homes.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::actors::context::NodeContext;
use crate::actors::namespaces;
use crate::actors::region::guarantees::{NotHome, Reach};
use crate::actors::region::local::LocalRegion;
use crate::actors::region::{
    Admission, Guarantees as _, NamespaceChange, NamespaceConfiguration, Region as _, RegionError, Takeover,
};
use crate::model::agreement::{Epoch, HomeWrite, HomeWrites};
use crate::model::change::{ConflictPolicy, Content};
use crate::model::decider::{Decider, WAY_OUT};
use crate::model::idempotency::Idempotency;
use crate::model::ids::{Namespace, PartitionId, RegionId};
use crate::model::mutation::{self, Mutation};
use crate::model::request::{Operation, Precondition, Submission, WriteRefusal, WriteRequest};
use crate::model::vector::{Dot, VersionVector};
use crate::wire::namespace;

/// How often a hand-over looks whether everything has ended.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// How often unfinished hand-overs are looked for: after a crash there may be some.
const TEND_INTERVAL: Duration = Duration::from_secs(1);
/// How long one of them is tried before the next one is.
const TEND_PATIENCE: Duration = Duration::from_secs(10);

/// What is under way that relies on this region being the home of a namespace.
#[derive(Debug, Default)]
pub struct Homes {
    /// Requests, where this node has its region to itself.
    requests: Mutex<BTreeMap<Namespace, Arc<()>>>,
    /// Writes of partitions that this node leads among several.
    writes: Mutex<HomeWrites>,
}

impl Homes {
    fn requests(&self) -> MutexGuard<'_, BTreeMap<Namespace, Arc<()>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self) -> MutexGuard<'_, HomeWrites> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more. Only for namespaces whose home this region is, so that there are not more of them than configured ones.
    pub(super) fn enter(&self, namespace: &Namespace) -> Arc<()> {
        Arc::clone(self.requests().entry(namespace.clone()).or_default())
    }

    fn is_idle(&self, namespace: &Namespace) -> bool {
        // One is the map's own.
        self.requests()
            .get(namespace)
            .is_none_or(|guard| Arc::strong_count(guard) == 1)
    }

    /// See [`HomeWrites::begin`]; it ends when what is returned is dropped.
    pub(in crate::actors) fn begin_write(&self, partition: PartitionId, epoch: Epoch) -> WriteUnderWay<'_> {
        let write = self.writes().begin(partition, epoch);
        WriteUnderWay { homes: self, write }
    }

    /// Waits until the writes of a partition in an epoch have ended that have begun before this was called.
    pub(in crate::actors) async fn wait_for_writes(&self, partition: PartitionId, epoch: Epoch) {
        let mark = self.writes().mark();
        while self.writes().is_under_way(partition, epoch, mark) {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}

/// A write that counts as under way.
#[derive(Debug)]
pub(in crate::actors) struct WriteUnderWay<'a> {
    homes: &'a Homes,
    write: HomeWrite,
}

impl Drop for WriteUnderWay<'_> {
    fn drop(&mut self) {
        self.homes.writes().end(&self.write);
    }
}

/// Whether this region is the home of a namespace, as far as this node knows, and has what it needs in order to act as such.
pub(in crate::actors) fn check_home(
    context: &NodeContext,
    namespace: &Namespace,
    reach: Reach,
) -> Result<(), NotHome> {
    let configuration = context.namespaces.get(namespace);
    let home = configuration
        .home_region
        .ok_or_else(|| NotHome::None(namespace.clone()))?;
    let namespace = namespace.clone();
    if home != context.identity.region && !mutation::is_on(Mutation::StrongAnywhere) {
        return Err(NotHome::Elsewhere { namespace, home });
    }
    let Some(takeover) = configuration.takeover else {
        return Ok(());
    };
    if mutation::is_on(Mutation::StartUnprepared) {
        return Ok(());
    }
    let Some(needs) = takeover.needs else {
        let waits_for = format!("waits until {} has finished what it has begun", takeover.from);
        return Err(NotHome::TakingOver {
            namespace,
            home,
            waits_for,
        });
    };
    // What this node does not hold is asked of one that does, which looks at its own.
    let mut needed = needs
        .iter()
        .filter(|(partition, _)| reach.includes(*partition) && context.groups.holds(*partition));
    let has_all = needed.all(|(partition, vector)| {
        context
            .partitions
            .read(*partition, |view| view.vector.covers_all(vector))
    });
    if has_all {
        return Ok(());
    }
    let waits_for = format!("waits for what {} has written", takeover.from);
    Err(NotHome::TakingOver {
        namespace,
        home,
        waits_for,
    })
}

impl LocalRegion {
    /// Configures a namespace; see [`Region::configure_namespace`](crate::actors::region::Region::configure_namespace).
    pub(super) async fn configure(
        &self,
        namespace: &Namespace,
        change: NamespaceChange,
        idempotency: Option<Idempotency>,
        admission: Admission,
    ) -> Result<NamespaceConfiguration, RegionError> {
        self.check_wanted(namespace, &change.wanted).await?;
        let tag = self.configuration_tag(namespace).await?;
        let current = self.parts.context.namespaces.get(namespace);
        let own = self.parts.context.identity.region;
        let decider = Decider::of(current.home_region, change.wanted.home_region, self.cluster().1);
        let elsewhere = decider.region().filter(|region| *region != own);
        if let Some(region) = elsewhere
            && !change.is_forced
        {
            return Err(not_ours(namespace, region, decider));
        }
        if current.home_region == Some(own) && !change.is_forced {
            // A home that takes over has not seen the last word of the one before.
            check_home(&self.parts.context, namespace, Reach::All)
                .map_err(|error| RegionError::Conflict(error.to_string()))?;
        }
        let is_moving = current.home_region != change.wanted.home_region;
        // What was decided by others, or is still relied on, is not replaced but overruled: the ledger tells.
        let overrules = change.is_forced && (is_moving || elsewhere.is_some());
        let mut wanted = change.wanted;
        wanted.takeover = match current.home_region {
            _ if !is_moving => current.takeover,
            from if change.is_forced => {
                tracing::warn!(
                    %own, %namespace, ?from, to = ?wanted.home_region,
                    "home region moved by force: what the old one has acknowledged and not shipped is not waited for"
                );
                None
            }
            // What the last home had is still needed, also if there was none for a while.
            None => match current.takeover {
                Some(last) if last.needs.is_none() => return Err(unfinished(namespace, last.from)),
                last => last,
            },
            Some(_) => Some(Takeover {
                from: own,
                needs: None,
            }),
        };
        let context = overrules.then(Vec::new);
        let write = Self::configuration_write(namespace, &wanted, tag, context);
        self.store_configuration(namespace, write, idempotency, admission)
            .await?;
        if wanted
            .takeover
            .as_ref()
            .is_some_and(|takeover| takeover.needs.is_none())
        {
            self.finish_hand_over(namespace).await?;
        }
        Ok(self.parts.context.namespaces.get(namespace))
    }

    async fn check_wanted(
        &self,
        namespace: &Namespace,
        wanted: &NamespaceConfiguration,
    ) -> Result<(), RegionError> {
        let context = &self.parts.context;
        if let Some(home) = &wanted.home_region {
            let is_known = *home == context.identity.region || context.peer(home).is_some();
            if !is_known {
                return Err(RegionError::Invalid(format!(
                    "home_region {home:?} is not a region of this cluster; use one of regions.toml, or null"
                )));
            }
        }
        if wanted.writes_at_home && wanted.home_region.is_none() {
            return Err(RegionError::Invalid(
                "mode \"home_writes\" needs a home_region, which makes the writes; name one of regions.toml"
                    .to_owned(),
            ));
        }
        if wanted.conflict_policy == ConflictPolicy::Custom {
            return Err(RegionError::Invalid(
                "no handler is registered for a custom conflict policy; use lww or siblings".to_owned(),
            ));
        }
        let current = context.namespaces.get(namespace);
        if current.conflict_policy != wanted.conflict_policy && self.has_data(namespace).await? {
            return Err(RegionError::Conflict(format!(
                "the conflict policy of {namespace} is {} and cannot change once the namespace has data; use another namespace",
                namespace::policy_name(current.conflict_policy)
            )));
        }
        Ok(())
    }

    /// The write of a configuration that rests on the one whose entity tag is given. With an empty `context` it replaces
    /// nothing: the configuration that it overrules goes to the ledger, in every region.
    fn configuration_write(
        namespace: &Namespace,
        configuration: &NamespaceConfiguration,
        tag: Option<String>,
        context: Option<Vec<Dot>>,
    ) -> WriteRequest {
        let record = namespace::record_of(namespace);
        let payload = namespace::encode(&namespaces::to_stored(configuration));
        let content = Content {
            content_type: "application/json".to_owned(),
            payload: payload.into(),
            expires_at: None,
        };
        WriteRequest {
            namespace: record.namespace,
            key: record.key,
            policy: ConflictPolicy::Lww,
            // What was decided rests on the configuration that was read: nobody may have changed it meanwhile.
            precondition: tag.map_or(Precondition::Absent, |tag| Precondition::Matches(vec![tag])),
            operation: Operation::PutRegister { content, context },
        }
    }

    async fn store_configuration(
        &self,
        namespace: &Namespace,
        write: WriteRequest,
        idempotency: Option<Idempotency>,
        admission: Admission,
    ) -> Result<(), RegionError> {
        let submission = Submission {
            writes: vec![write],
            idempotency,
        };
        let decision = self.write(submission, admission).await?;
        match decision.outcome.map_err(|refused| refused.refusal) {
            Ok(_) => Ok(()),
            Err(WriteRefusal::PreconditionFailed { .. }) => Err(RegionError::Conflict(format!(
                "the configuration of {namespace} was changed by somebody else at the same time: read it and try again"
            ))),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The old home's second step: when nothing is under way any more, it says what the new one must have.
    async fn finish_hand_over(&self, namespace: &Namespace) -> Result<(), RegionError> {
        loop {
            let tag = self.configuration_tag(namespace).await?;
            let mut configuration = self.parts.context.namespaces.get(namespace);
            let takeover = configuration.takeover.as_mut();
            let Some(takeover) = takeover.filter(|takeover| self.is_ours_to_finish(takeover)) else {
                return Ok(()); // Somebody else has, or the home was moved by force.
            };
            takeover.needs = Some(self.settled_vectors(namespace).await?);
            let admission = self.admit(0)?;
            let write = Self::configuration_write(namespace, &configuration, tag, None);
            let stored = self.store_configuration(namespace, write, None, admission).await;
            if let Err(RegionError::Conflict(_)) = stored {
                // Whoever tends homes has finished it at the same time, or the home was moved by force: look again.
                continue;
            }
            return stored;
        }
    }

    /// What the partitions have when nothing is under way any more that relies on this region being the home.
    async fn settled_vectors(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<(PartitionId, VersionVector)>, RegionError> {
        let context = &self.parts.context;
        if let Some(groups) = &self.parts.groups {
            let settled = groups.settled_vectors().await;
            return settled.map_err(|error| begun(namespace, &error.to_string()));
        }
        if !mutation::is_on(Mutation::HandOverAtOnce) {
            while !context.homes.is_idle(namespace) {
                tokio::time::sleep(DRAIN_POLL).await;
            }
            self.settle().await.map_err(|reason| begun(namespace, &reason))?;
        }
        Ok(context.partitions.vectors())
    }

    /// Waits for the writes of clients that have gone away, which are made nevertheless.
    ///
    /// # Errors
    /// While the outcome of some is not known: why.
    async fn settle(&self) -> Result<(), String> {
        for partition in self.parts.partitions.iter() {
            partition.drain().await.map_err(|error| error.to_string())?;
        }
        let board = &self.parts.context.partitions;
        let trouble = board.ids().find_map(|partition| {
            let why = board.read(partition, |view| view.write_trouble.clone())?;
            Some(format!("partition {partition}: {why}"))
        });
        trouble.map_or(Ok(()), Err)
    }

    /// The entity tag of a namespace's configuration; none if it was never configured. The catalog is as new or newer when
    /// this returns: a group stands in the store a moment before the catalog knows of it.
    async fn configuration_tag(&self, namespace: &Namespace) -> Result<Option<String>, RegionError> {
        let record = namespace::record_of(namespace);
        let partition = self.parts.context.home_partition(namespace);
        // Another node of this region may have changed it.
        self.catch_up_with_region(Reach::Partition(partition)).await?;
        let read = || -> Result<Option<String>, RegionError> {
            let row = self.register(&record.namespace, &record.key)?;
            Ok(row.and_then(|row| row.entity_tag(self.parts.context.clock.now())))
        };
        loop {
            let tag = read()?;
            self.parts.partitions[usize::from(partition.0)].drain().await?;
            // What has just arrived from another region is no reason to refuse: it is what the change then rests on.
            if read()? == tag {
                return Ok(tag);
            }
        }
    }

    fn is_ours_to_finish(&self, takeover: &Takeover) -> bool {
        takeover.from == self.parts.context.identity.region && takeover.needs.is_none()
    }

    /// Finishes hand-overs that a crash or a client that went away has left half-done; for ever. Of several nodes the one does
    /// that leads the partition of the configuration.
    pub async fn tend_homes(&self) {
        let context = &self.parts.context;
        loop {
            tokio::time::sleep(TEND_INTERVAL).await;
            for namespace in context.namespaces.configured() {
                let takeover = context.namespaces.get(&namespace).takeover;
                let is_ours = takeover.is_some_and(|takeover| self.is_ours_to_finish(&takeover));
                if !is_ours || !context.groups.leads(context.home_partition(&namespace)) {
                    continue;
                }
                // One that cannot be finished keeps no other waiting.
                let finishing = tokio::time::timeout(TEND_PATIENCE, self.finish_hand_over(&namespace));
                let error = match finishing.await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("not all has ended within {} s", TEND_PATIENCE.as_secs()),
                };
                tracing::warn!(%namespace, %error, "the hand-over of a home region is not finished; trying again");
            }
        }
    }
}

fn not_ours(namespace: &Namespace, region: RegionId, decider: Decider) -> RegionError {
    RegionError::Unavailable {
        reason: format!(
            "the configuration of {namespace} is for {region}, {decider}, to change: ask there; {WAY_OUT}"
        ),
        outcome_unknown: false,
    }
}

fn unfinished(namespace: &Namespace, last: RegionId) -> RegionError {
    RegionError::Unavailable {
        reason: format!(
            "{last}, the last home region of {namespace}, has not finished what it has begun: {WAY_OUT}"
        ),
        outcome_unknown: false,
    }
}

fn begun(namespace: &Namespace, reason: &str) -> RegionError {
    RegionError::Unavailable {
        reason: format!(
            "{namespace} has no home now: the hand-over has begun and goes on by itself as soon as everything that this region has begun is written or given up; {reason}"
        ),
        outcome_unknown: true,
    }
}
