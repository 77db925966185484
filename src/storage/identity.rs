//! Whose data a folder holds, and in which format: checked before anything else is read from it.
//!
//! Kept in family `meta` under one key as JSON, so that a person and any later version can read it. `format_version` is
//! looked at first and alone: a folder of a newer version is refused by that number, whatever else it says. A folder of
//! another region, node, cluster or partition count is never touched.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::hlc::WallTime;
use crate::model::ids::{ClusterName, Incarnation, NodeId, PartitionCount, RegionId};
use crate::model::mutation::{self, Mutation};
use crate::ports::store::{Durability, Family, Store, StoreError, WriteSet};

/// The format of data folders that this version writes, and the only one that it reads. In format 1 the configurations of
/// namespaces lay in all partitions.
pub const FORMAT_VERSION: u32 = 2;

/// The key of the identity in family `meta`. Keys of others start with another byte.
pub const IDENTITY_KEY: &[u8] = b"\x01identity";

/// What a data folder says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The format of all else in the folder.
    pub format_version: u32,
    /// The cluster.
    pub cluster: ClusterName,
    /// The region.
    pub region: RegionId,
    /// The node.
    pub node: NodeId,
    /// The number of partitions, fixed for ever.
    pub partitions: PartitionCount,
    /// The life of the region that writes from this folder.
    pub incarnation: Incarnation,
}

/// What the configuration says that the folder should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedIdentity {
    /// The cluster.
    pub cluster: ClusterName,
    /// The region.
    pub region: RegionId,
    /// The node.
    pub node: NodeId,
    /// The number of partitions.
    pub partitions: PartitionCount,
    /// The time: a new folder begins a new incarnation.
    pub now: WallTime,
}

/// Why a data folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It belongs to somebody else.
    #[error(
        "the data folder {folder} belongs to {what} {found}, and this process was started as {what} {expected}; \
         start it with the data folder of {what} {expected} (or an empty one), or as {what} {found}"
    )]
    Other {
        /// The data folder.
        folder: PathBuf,
        /// `cluster`, `region` or `node`.
        what: &'static str,
        /// What the folder says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// It was made for another number of partitions.
    #[error(
        "the data folder {folder} has {found} partitions and the configuration says {expected}; the number is fixed when a \
         cluster is created: set it back to {found}, or start with an empty data folder in a new cluster"
    )]
    OtherPartitions {
        /// The data folder.
        folder: PathBuf,
        /// What the folder says.
        found: u16,
        /// What the configuration says.
        expected: u16,
    },
    /// A newer version of atoll wrote it.
    #[error(
        "the data folder {folder} has format {found}, and this version of atoll reads formats up to {supported}; \
         use the version of atoll that wrote it, or a newer one"
    )]
    Newer {
        /// The data folder.
        folder: PathBuf,
        /// Its format.
        found: u64,
        /// What this version reads.
        supported: u32,
    },
    /// A version of atoll wrote it whose records are not where they are looked for now.
    #[error(
        "the data folder {folder} has format {found}, and this version of atoll reads format {supported} only, which keeps the \
         configurations of namespaces elsewhere; use the version of atoll that wrote it, or start with empty data folders in \
         all regions and write the data again"
    )]
    Older {
        /// The data folder.
        folder: PathBuf,
        /// Its format.
        found: u64,
        /// What this version reads.
        supported: u32,
    },
    /// There are data but no identity.
    #[error(
        "the data folder {folder} holds data but does not say whose; it is not a data folder of atoll, or is damaged: \
         use another folder, or restore this one from a backup"
    )]
    Missing {
        /// The data folder.
        folder: PathBuf,
    },
    /// The identity cannot be understood.
    #[error(
        "the identity of the data folder {folder} cannot be read ({text:?}); restore the folder from a backup"
    )]
    Unreadable {
        /// The data folder.
        folder: PathBuf,
        /// What is there, cut at 200 bytes.
        text: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The store failed.
    #[error("the identity of the data folder {folder} could not be read or written")]
    Store {
        /// The data folder.
        folder: PathBuf,
        /// How.
        #[source]
        source: StoreError,
    },
}

/// Checks that the folder is what the configuration expects; makes an empty one so, in a new incarnation.
///
/// # Errors
/// [`IdentityError`]; nothing was changed then.
pub fn check_or_create(
    store: &dyn Store,
    folder: &Path,
    expected: &ExpectedIdentity,
) -> Result<Identity, IdentityError> {
    if let Some(found) = read(store, folder)? {
        compare(folder, &found, expected)?;
        return Ok(found);
    }
    if holds_data(store).map_err(|source| failed(folder, source))? {
        return Err(IdentityError::Missing {
            folder: folder.to_owned(),
        });
    }
    let identity = Identity {
        format_version: FORMAT_VERSION,
        cluster: expected.cluster,
        region: expected.region,
        node: expected.node,
        partitions: expected.partitions,
        incarnation: if mutation::is_on(Mutation::OneLifeOfAllDisks) {
            Incarnation::FIRST
        } else {
            Incarnation::begin(expected.now, None)
        },
    };
    write(store, folder, &identity)?;
    Ok(identity)
}

/// What the folder says about itself; `None` if nothing.
///
/// # Errors
/// [`IdentityError::Newer`], [`IdentityError::Older`], [`IdentityError::Unreadable`], [`IdentityError::Store`].
pub fn read(store: &dyn Store, folder: &Path) -> Result<Option<Identity>, IdentityError> {
    let bytes = store
        .get(Family::Meta, IDENTITY_KEY)
        .map_err(|source| failed(folder, source))?;
    bytes.map(|bytes| decode(folder, &bytes)).transpose()
}

/// Begins a new incarnation, durably: for a region restored from a backup or re-admitted. The folder must have an
/// identity.
///
/// # Errors
/// As [`read`]; [`IdentityError::Missing`] if there is none.
pub fn bump_incarnation(store: &dyn Store, folder: &Path, now: WallTime) -> Result<Identity, IdentityError> {
    let mut identity = read(store, folder)?.ok_or_else(|| IdentityError::Missing {
        folder: folder.to_owned(),
    })?;
    identity.incarnation = Incarnation::begin(now, Some(identity.incarnation));
    write(store, folder, &identity)?;
    Ok(identity)
}

fn compare(folder: &Path, found: &Identity, expected: &ExpectedIdentity) -> Result<(), IdentityError> {
    let names = [
        ("cluster", found.cluster.to_string(), expected.cluster.to_string()),
        ("region", found.region.to_string(), expected.region.to_string()),
        ("node", found.node.to_string(), expected.node.to_string()),
    ];
    for (what, found, expected) in names {
        if found != expected {
            return Err(IdentityError::Other {
                folder: folder.to_owned(),
                what,
                found,
                expected,
            });
        }
    }
    if found.partitions != expected.partitions {
        return Err(IdentityError::OtherPartitions {
            folder: folder.to_owned(),
            found: found.partitions.get(),
            expected: expected.partitions.get(),
        });
    }
    Ok(())
}

/// The bytes of an identity.
pub(crate) fn encode(identity: &Identity) -> Vec<u8> {
    serde_json::to_vec(identity).expect("a struct of names and numbers is always JSON")
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(folder: &Path, bytes: &[u8]) -> Result<Identity, IdentityError> {
    /// All that every version, however new, promises.
    #[derive(Deserialize)]
    struct Promise {
        format_version: u64,
    }
    let unreadable = |source| {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        IdentityError::Unreadable {
            folder: folder.to_owned(),
            text,
            source,
        }
    };
    let promise: Promise = serde_json::from_slice(bytes).map_err(unreadable)?;
    if promise.format_version > u64::from(FORMAT_VERSION) {
        return Err(IdentityError::Newer {
            folder: folder.to_owned(),
            found: promise.format_version,
            supported: FORMAT_VERSION,
        });
    }
    if promise.format_version < u64::from(FORMAT_VERSION) {
        return Err(IdentityError::Older {
            folder: folder.to_owned(),
            found: promise.format_version,
            supported: FORMAT_VERSION,
        });
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}

fn write(store: &dyn Store, folder: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let mut set = WriteSet::new();
    set.put(Family::Meta, IDENTITY_KEY, &encode(identity));
    store
        .write(&[set], Durability::Synced)
        .map_err(|source| failed(folder, source))
}

fn holds_data(store: &dyn Store) -> Result<bool, StoreError> {
    let mut found = false;
    for family in Family::ALL {
        // No key consists of 64 bytes 0xff: all start with a tag or a partition number.
        store.scan(family, b"", &[0xff; 64], &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
    }
    Ok(found)
}

fn failed(folder: &Path, source: StoreError) -> IdentityError {
    IdentityError::Store {
        folder: folder.to_owned(),
        source,
    }
}

#[cfg(test)]
#[path = "identity_test.rs"]
mod tests;
