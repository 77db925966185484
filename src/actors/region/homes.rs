//! Home regions: which region serves `strong` for a namespace, and how that changes without two of them at a time.
//!
//! The home alone changes the configuration of its namespace. A hand-over is two writes of it: the first names the new
//! home, after which the old one begins nothing more; when it has finished what it had begun, the second says what the
//! new one must have applied before it starts. Whatever crashes in between, the old home goes on with the second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::actors::namespaces;
use crate::actors::region::guarantees::NotHome;
use crate::actors::region::local::LocalRegion;
use crate::actors::region::{
    Admission, NamespaceChange, NamespaceConfiguration, Region as _, RegionError, Takeover, reading,
};
use crate::model::change::{ConflictPolicy, Content};
use crate::model::idempotency::Idempotency;
use crate::model::ids::{Namespace, RegionId};
use crate::model::mutation::{self, Mutation};
use crate::model::request::{Operation, Precondition, Submission, WriteRequest};
use crate::wire::namespace;

/// How often a hand-over looks whether everything has finished.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// How often unfinished hand-overs are looked for: after a crash there may be some.
const TEND_INTERVAL: Duration = Duration::from_secs(1);

/// Requests under way that rely on this region being the home of a namespace.
#[derive(Debug, Default)]
pub struct Homes(Mutex<BTreeMap<Namespace, Arc<()>>>);

impl Homes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Namespace, Arc<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more. Only for namespaces whose home this region is, so that there are not more of them than configured ones.
    pub(super) fn enter(&self, namespace: &Namespace) -> Arc<()> {
        Arc::clone(self.lock().entry(namespace.clone()).or_default())
    }

    fn is_idle(&self, namespace: &Namespace) -> bool {
        // One is the map's own.
        self.lock()
            .get(namespace)
            .is_none_or(|guard| Arc::strong_count(guard) == 1)
    }
}

impl LocalRegion {
    /// Whether this region is the home of a namespace, and has what it needs to act as such.
    pub(super) fn check_home(&self, namespace: &Namespace) -> Result<(), NotHome> {
        let context = &self.parts.context;
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
        let Some(needs) = takeover.needs else {
            let waits_for = format!("waits until {} has finished what it has begun", takeover.from);
            return Err(NotHome::TakingOver {
                namespace,
                home,
                waits_for,
            });
        };
        let has_all = needs.iter().all(|(partition, vector)| {
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

    /// Configures a namespace; see [`Region::configure_namespace`](crate::actors::region::Region::configure_namespace).
    pub(super) async fn configure(
        &self,
        namespace: &Namespace,
        change: NamespaceChange,
        idempotency: Option<Idempotency>,
        admission: Admission,
    ) -> Result<NamespaceConfiguration, RegionError> {
        self.check_wanted(namespace, &change.wanted)?;
        let current = self.parts.context.namespaces.get(namespace);
        let own = self.parts.context.identity.region;
        let mut wanted = change.wanted;
        let is_moving = current.home_region != wanted.home_region;
        wanted.takeover = match current.home_region {
            // What the last home had is still needed, also if there was none for a while.
            _ if !is_moving => current.takeover,
            None => current.takeover,
            Some(home) if change.is_forced => {
                tracing::warn!(
                    %own, %namespace, from = %home, to = ?wanted.home_region,
                    "home region moved by force: what the old one has acknowledged and not shipped is not waited for"
                );
                None
            }
            Some(home) if home == own => {
                self.check_home(namespace)
                    .map_err(|error| RegionError::Conflict(error.to_string()))?;
                Some(Takeover {
                    from: own,
                    needs: None,
                })
            }
            Some(home) => return Err(not_ours(namespace, home)),
        };
        if let Some(home) = current
            .home_region
            .filter(|home| *home != own && !change.is_forced)
        {
            return Err(not_ours(namespace, home));
        }
        self.store_configuration(namespace, &wanted, idempotency, admission)
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

    fn check_wanted(
        &self,
        namespace: &Namespace,
        wanted: &NamespaceConfiguration,
    ) -> Result<(), RegionError> {
        let context = &self.parts.context;
        if let Some(home) = &wanted.home_region {
            let is_known = *home == context.identity.region || context.link(home).is_some();
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
        if current.conflict_policy != wanted.conflict_policy
            && reading::has_data(context.store.as_ref(), namespace)?
        {
            return Err(RegionError::Conflict(format!(
                "the conflict policy of {namespace} is {} and cannot change once the namespace has data; use another namespace",
                namespace::policy_name(current.conflict_policy)
            )));
        }
        Ok(())
    }

    async fn store_configuration(
        &self,
        namespace: &Namespace,
        configuration: &NamespaceConfiguration,
        idempotency: Option<Idempotency>,
        admission: Admission,
    ) -> Result<(), RegionError> {
        let record = namespace::record_of(namespace);
        let payload = namespace::encode(&namespaces::to_stored(configuration));
        let content = Content {
            content_type: "application/json".to_owned(),
            payload: payload.into(),
            expires_at: None,
        };
        let request = WriteRequest {
            namespace: record.namespace,
            key: record.key,
            policy: ConflictPolicy::Lww,
            precondition: Precondition::None,
            operation: Operation::PutRegister {
                content,
                context: None,
            },
        };
        let submission = Submission {
            writes: vec![request],
            idempotency,
        };
        let decision = self.write(submission, admission).await?;
        decision.outcome.map_err(|refused| refused.refusal)?;
        Ok(())
    }

    /// The old home's second step: when nothing is under way any more, it says what the new one must have.
    async fn finish_hand_over(&self, namespace: &Namespace) -> Result<(), RegionError> {
        let context = &self.parts.context;
        loop {
            let mut configuration = context.namespaces.get(namespace);
            let takeover = configuration.takeover.as_mut();
            let Some(takeover) = takeover.filter(|takeover| self.is_ours_to_finish(takeover)) else {
                return Ok(()); // Somebody else has, or the home was moved by force.
            };
            if context.homes.is_idle(namespace) {
                takeover.needs = Some(context.partitions.vectors());
                let admission = self.admit(0)?;
                return self
                    .store_configuration(namespace, &configuration, None, admission)
                    .await;
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }

    fn is_ours_to_finish(&self, takeover: &Takeover) -> bool {
        takeover.from == self.parts.context.identity.region && takeover.needs.is_none()
    }

    /// Finishes hand-overs that a crash or a client that went away has left half-done; for ever.
    pub async fn tend_homes(&self) {
        let context = &self.parts.context;
        loop {
            tokio::time::sleep(TEND_INTERVAL).await;
            for namespace in context.namespaces.configured() {
                let takeover = context.namespaces.get(&namespace).takeover;
                if takeover.is_some_and(|takeover| self.is_ours_to_finish(&takeover))
                    && let Err(error) = self.finish_hand_over(&namespace).await
                {
                    tracing::warn!(%namespace, %error, "the hand-over of a home region is not finished; trying again");
                }
            }
        }
    }
}

fn not_ours(namespace: &Namespace, home: RegionId) -> RegionError {
    RegionError::Unavailable {
        reason: format!(
            "the configuration of {namespace} is changed by its home region {home}: ask there, or if it is lost for good use \"force\": true"
        ),
        outcome_unknown: false,
    }
}
