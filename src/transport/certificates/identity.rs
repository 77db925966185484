//! The names inside certificates: how they are written, and how they are read back.
//!
//! Reading trusts nothing: the bytes come from a peer or from a disk. Whether the certificate was signed by the
//! right authority is not decided here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::model::ids::{ClusterName, NodeId, RegionId};
use crate::ports::link::PeerIdentity;

use super::CertificateError;

/// Scheme of the URI that carries a node's full name.
const URI_SCHEME: &str = "atoll://";

/// What an authority's common name begins with; the cluster's name follows.
const AUTHORITY_PREFIX: &str = "Atoll cluster ";

/// The full name of a node, as its certificate carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeName {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its region.
    pub region: RegionId,
    /// Its node.
    pub node: NodeId,
}

impl NodeName {
    /// `NODE.REGION.CLUSTER.atoll`: what TLS checks when the node is dialled.
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("{}.{}.{}.atoll", self.node, self.region, self.cluster)
    }

    /// `atoll://CLUSTER/REGION/NODE`: where a peer's identity is read from.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{URI_SCHEME}{}/{}/{}", self.cluster, self.region, self.node)
    }
}

/// The common name of a cluster's authority.
pub(super) fn authority_common_name(cluster: ClusterName) -> String {
    format!("{AUTHORITY_PREFIX}{cluster}")
}

/// Who the certificate of a peer says it is.
///
/// # Errors
/// [`CertificateError::Malformed`] or [`CertificateError::Name`] when it does not parse, has no `atoll://` URI, more
/// than one, or one with other parts than cluster, region and node.
pub fn identity_of(der: &[u8]) -> Result<PeerIdentity, CertificateError> {
    identity_in("the peer's certificate", der)
}

/// As [`identity_of`], with the words that errors call the certificate by.
pub(super) fn identity_in(subject: &str, der: &[u8]) -> Result<PeerIdentity, CertificateError> {
    let certificate = parse(subject, der)?;
    let malformed = |detail: &str| CertificateError::Malformed {
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| malformed(&error.to_string()))?
        .ok_or_else(|| malformed("it has no alternative names"))?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(URI_SCHEME),
        _ => None,
    });
    let uri = uris.next().ok_or_else(|| malformed("it has no atoll:// name"))?;
    if uris.next().is_some() {
        return Err(malformed("it has more than one atoll:// name"));
    }
    let mut parts = uri.split('/');
    let (Some(cluster), Some(region), Some(node), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed(
            "its atoll:// name is not of the form atoll://CLUSTER/REGION/NODE",
        ));
    };
    let name_error = |source| CertificateError::Name {
        subject: subject.to_owned(),
        source,
    };
    Ok(PeerIdentity {
        cluster: cluster.parse().map_err(name_error)?,
        region: region.parse().map_err(name_error)?,
        node: node.parse().map_err(name_error)?,
        certificate_expires: system_time(certificate.validity().not_after.timestamp()),
    })
}

/// The cluster that an authority's certificate names; `subject` is what errors call the certificate.
///
/// # Errors
/// [`CertificateError::Malformed`] when it does not parse or is no authority's, [`CertificateError::Name`] when the
/// cluster it names is no valid name.
pub fn cluster_of_authority(subject: &str, der: &[u8]) -> Result<ClusterName, CertificateError> {
    let certificate = parse(subject, der)?;
    let malformed = |detail: &str| CertificateError::Malformed {
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    if !certificate.is_ca() {
        return Err(malformed("it is not an authority's"));
    }
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    common_name
        .and_then(|name| name.strip_prefix(AUTHORITY_PREFIX))
        .ok_or_else(|| malformed("its common name is not of the form 'Atoll cluster NAME'"))?
        .parse()
        .map_err(|source| CertificateError::Name {
            subject: subject.to_owned(),
            source,
        })
}

/// From when and until when a certificate is valid.
pub(super) fn validity_of(subject: &str, der: &[u8]) -> Result<(SystemTime, SystemTime), CertificateError> {
    let certificate = parse(subject, der)?;
    let validity = certificate.validity();
    Ok((
        system_time(validity.not_before.timestamp()),
        system_time(validity.not_after.timestamp()),
    ))
}

fn parse<'a>(subject: &str, der: &'a [u8]) -> Result<X509Certificate<'a>, CertificateError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| CertificateError::Malformed {
        subject: subject.to_owned(),
        detail: error.to_string(),
    })?;
    Ok(certificate)
}

/// Times before 1970 count as 1970: such a certificate expired long ago, which is all that matters.
fn system_time(unix_seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))
}
