//! Certificates of `atoll dev`: made without being asked for, kept as long as they serve.

use std::time::{Duration, SystemTime};

use crate::model::ids::{ClusterName, NodeId, RegionId};

use super::authority::create_authority;
use super::{CertificateError, CertificateFolder, NodeCertificates, Overwrite, Validity};

/// The authority's validity: longer than any development folder lives.
const AUTHORITY_VALID_DAYS: u32 = 3650;

/// A node's validity.
const NODE_VALID_DAYS: u32 = 365;

/// A node certificate with less than this left is renewed: a `dev` that runs for days must not lose its links.
const RENEWED_BEFORE_EXPIRY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Makes what the nodes lack in `folder`: the authority, and certificates that are missing, unusable or expire within
/// 7 days of `now`. Everything else is left as it is.
///
/// # Errors
/// When the folder belongs to another cluster, its authority has expired or lacks its key, or a file cannot be
/// written.
pub fn ensure_dev_certificates(
    folder: &CertificateFolder,
    cluster: ClusterName,
    nodes: impl IntoIterator<Item = (RegionId, NodeId)>,
    now: SystemTime,
) -> Result<(), CertificateError> {
    if !folder.authority_certificate().exists() {
        let pair = create_authority(cluster, Validity::days(now, AUTHORITY_VALID_DAYS)?)?;
        // A key without its certificate serves nobody; it is left over from an interrupted start.
        folder.write_authority(&pair, Overwrite::Replace)?;
    }
    let found = folder.cluster()?;
    if found != cluster {
        return Err(CertificateError::OtherCluster {
            path: folder.authority_certificate(),
            found,
            expected: cluster,
        });
    }
    for (region, node) in nodes {
        if is_usable(folder, (region, node), now)? {
            continue;
        }
        let authority = folder.load_authority()?;
        let pair = authority.issue(region, node, Validity::days(now, NODE_VALID_DAYS)?)?;
        folder.write_node(node, &pair, Overwrite::Replace)?;
    }
    Ok(())
}

/// Whether a node's certificate serves for a while yet.
fn is_usable(
    folder: &CertificateFolder,
    (region, node): (RegionId, NodeId),
    now: SystemTime,
) -> Result<bool, CertificateError> {
    let files = folder.node(node);
    match NodeCertificates::load(&files, now) {
        Ok(loaded) => Ok(loaded.identity.region == region
            && loaded.identity.node == node
            && loaded.identity.certificate_expires >= now + RENEWED_BEFORE_EXPIRY),
        // A new node certificate would not help: the authority itself is at fault.
        Err(error @ (CertificateError::Expired { .. } | CertificateError::NotYetValid { .. }))
            if is_about(&error, &files.authority) =>
        {
            Err(error)
        }
        // Not readable is not the same as not usable: replacing would destroy what an operator may want back.
        Err(error @ CertificateError::Read { .. }) => Err(error),
        Err(_) => Ok(false),
    }
}

fn is_about(error: &CertificateError, file: &std::path::Path) -> bool {
    match error {
        CertificateError::Expired { path, .. } | CertificateError::NotYetValid { path, .. } => path == file,
        _ => false,
    }
}
