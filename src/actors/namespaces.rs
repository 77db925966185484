//! How namespaces are configured, as this node knows it: a cache of the system namespace, refreshed by whichever
//! partition changes it. Writes take their policy from here; apply never looks here (DESIGN rule 8).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{PoisonError, RwLock};

use crate::actors::region::{NamespaceConfiguration, Takeover};
use crate::model::hlc::WallTime;
use crate::model::ids::{Incarnation, Namespace, PartitionCount, PartitionId, ReplicaId};
use crate::model::placement::partition_of;
use crate::model::record::{RecordId, RecordType, Version};
use crate::model::rows::Row;
use crate::model::vector::{Dot, VersionVector};
use crate::model::workspace::RowSource;
use crate::ports::store::{Family, Store};
use crate::storage::partition::{ReadError, StoredRows};
use crate::wire::codec::DecodeError;
use crate::wire::keys::names::{Listing, NameKey};
use crate::wire::namespace::{self, StoredDot, StoredNamespace, StoredTakeover};

/// The cache.
#[derive(Debug)]
pub struct NamespaceCatalog {
    partitions: PartitionCount,
    /// Each with its version.
    configured: RwLock<BTreeMap<Namespace, (Version, NamespaceConfiguration)>>,
}

impl NamespaceCatalog {
    /// Reads all configurations from the store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn load(store: &dyn Store, partitions: PartitionCount) -> Result<Self, ReadError> {
        let catalog = Self {
            partitions,
            configured: RwLock::new(BTreeMap::new()),
        };
        for record in records_of(store)? {
            catalog.refresh_one(store, &record)?;
        }
        Ok(catalog)
    }

    /// Reads all configurations of a partition again: of a group that could not be written nobody knows what is there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn refresh_partition(&self, store: &dyn Store, partition: PartitionId) -> Result<(), ReadError> {
        for record in records_of(store)? {
            if partition_of(&record.namespace, &record.key, self.partitions) == partition {
                self.refresh_one(store, &record)?;
            }
        }
        Ok(())
    }

    /// Reads the configurations in `records` again.
    pub fn refresh(&self, store: &dyn Store, records: &[RecordId]) {
        for record in records {
            if let Err(error) = self.refresh_one(store, record) {
                tracing::error!(key = %record.key, %error, "a namespace's configuration cannot be read; the old one stays in force");
            }
        }
    }

    fn refresh_one(&self, store: &dyn Store, record: &RecordId) -> Result<(), ReadError> {
        let Some(namespace) = namespace::namespace_of(record) else {
            return Ok(());
        };
        let partition = partition_of(&record.namespace, &record.key, self.partitions);
        let row = StoredRows { store, partition }.row(&record.clone().row())?;
        let Some(Row::Register(row)) = row else {
            return Ok(());
        };
        let mut configured = self.configured.write().unwrap_or_else(PoisonError::into_inner);
        match row.visible(WallTime::default()).next() {
            Some((version, content)) => {
                let configuration = from_stored(&namespace::decode(&content.payload)?)?;
                configured.insert(namespace, (version.version(), configuration));
            }
            None => {
                configured.remove(&namespace);
            }
        }
        Ok(())
    }

    /// A namespace's configuration; defaults if it has none.
    #[must_use]
    pub fn get(&self, namespace: &Namespace) -> NamespaceConfiguration {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner);
        let found = configured.get(namespace);
        found
            .map(|(_, configuration)| configuration.clone())
            .unwrap_or_default()
    }

    /// Of what version a namespace's configuration is; none if it has none.
    #[must_use]
    pub fn version(&self, namespace: &Namespace) -> Option<Version> {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner);
        configured.get(namespace).map(|(version, _)| *version)
    }

    /// The namespaces that were configured.
    #[must_use]
    pub fn configured(&self) -> Vec<Namespace> {
        self.configured
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }
}

/// The records that configure namespaces.
fn records_of(store: &dyn Store) -> Result<Vec<RecordId>, ReadError> {
    let system = Namespace::system();
    let listing = Listing {
        namespace: &system,
        record_type: RecordType::Register,
        prefix: "",
        after: None,
    };
    let range = NameKey::range(&listing);
    let mut records: Vec<Result<NameKey, DecodeError>> = Vec::new();
    store.scan(Family::Names, &range.from, &range.to, &mut |key, _| {
        records.push(NameKey::decode(key));
        ControlFlow::Continue(())
    })?;
    let records = records.into_iter();
    Ok(records
        .map(|record| record.map(|key| key.0))
        .collect::<Result<_, _>>()?)
}

fn from_stored(stored: &StoredNamespace) -> Result<NamespaceConfiguration, DecodeError> {
    let conflict_policy = namespace::policy_of(&stored.conflict_policy)
        .ok_or_else(|| DecodeError::new("a namespace's configuration", "its policy is unknown"))?;
    Ok(NamespaceConfiguration {
        conflict_policy,
        home_region: stored.home_region,
        writes_at_home: stored.mode.as_deref() == Some(namespace::HOME_WRITES),
        takeover: stored.takeover.as_ref().map(takeover_of),
        default_consistency: stored.default_consistency.clone(),
    })
}

fn takeover_of(stored: &StoredTakeover) -> Takeover {
    let vector_of = |(partition, dots): &(PartitionId, Vec<StoredDot>)| {
        let dots = dots.iter().map(|dot| Dot {
            replica: ReplicaId {
                region: dot.region,
                incarnation: Incarnation(dot.incarnation),
            },
            seq: dot.seq,
        });
        (*partition, dots.collect())
    };
    Takeover {
        from: stored.from,
        needs: stored
            .needs
            .as_ref()
            .map(|needs| needs.iter().map(vector_of).collect()),
    }
}

/// The stored form of a configuration.
#[must_use]
pub fn to_stored(configuration: &NamespaceConfiguration) -> StoredNamespace {
    StoredNamespace {
        conflict_policy: namespace::policy_name(configuration.conflict_policy).to_owned(),
        home_region: configuration.home_region,
        default_consistency: configuration.default_consistency.clone(),
        mode: configuration
            .writes_at_home
            .then(|| namespace::HOME_WRITES.to_owned()),
        takeover: configuration.takeover.as_ref().map(to_stored_takeover),
    }
}

fn to_stored_takeover(takeover: &Takeover) -> StoredTakeover {
    let dots_of = |(partition, vector): &(PartitionId, VersionVector)| {
        let dots = vector.iter().map(|dot| StoredDot {
            region: dot.replica.region,
            incarnation: dot.replica.incarnation.0,
            seq: dot.seq,
        });
        (*partition, dots.collect())
    };
    StoredTakeover {
        from: takeover.from,
        needs: takeover
            .needs
            .as_ref()
            .map(|needs| needs.iter().map(dots_of).collect()),
    }
}
