//! The cluster's authority and the certificates of its nodes.
//!
//! A node certificate names its node twice: as DNS name `NODE.REGION.CLUSTER.atoll`, which TLS checks when the node
//! is dialled, and as URI `atoll://CLUSTER/REGION/NODE`, from which [`identity_of`] reads who a peer is. The
//! authority's common name is `Atoll cluster NAME`; it signs nodes only, no other authorities.
//!
//! Private keys are written with mode 0600 and never overwritten unless the caller asks for it.

mod authority;
mod dev;
mod error;
mod files;
mod identity;
mod load;

pub use authority::{Authority, PemPair, Validity, create_authority};
pub use dev::ensure_dev_certificates;
pub use error::CertificateError;
pub use files::{CertificateFolder, Overwrite};
pub use identity::{NodeName, cluster_of_authority, identity_of};
pub use load::{CertificateFiles, NodeCertificates};

#[cfg(test)]
mod certificates_test;
