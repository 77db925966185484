//! What can be wrong with certificates, in words that name the file and the command that helps.

use std::io;
use std::path::PathBuf;

use crate::model::ids::{ClusterName, NameError};

/// Why a certificate or key could not be made, read, written or trusted.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file is not there.
    #[error("{path} does not exist: create it with `{command}`", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The command that creates it.
        command: String,
    },
    /// The file could not be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there and may not be replaced.
    #[error("{path} exists already and is kept: pass --force to replace it", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file has no PEM section of the kind needed.
    #[error("{path} holds no {expected} in PEM form: replace it with `{command}`", path = .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        expected: &'static str,
        /// The command that replaces it.
        command: String,
    },
    /// The certificate does not parse or lacks Atoll's names.
    #[error("{subject} is not a certificate of an Atoll cluster: {detail}")]
    Malformed {
        /// A path, or `the peer's certificate`.
        subject: String,
        /// What is wrong.
        detail: String,
    },
    /// The certificate names something that is no valid name.
    #[error("{subject} carries a name that is not valid")]
    Name {
        /// A path, or `the peer's certificate`.
        subject: String,
        /// Which and why.
        source: NameError,
    },
    /// The certificate is no longer valid.
    #[error("{path} expired at {expired}: renew it with `{command}` and start again", path = .path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When, as RFC 3339.
        expired: String,
        /// The command that renews it.
        command: String,
    },
    /// The certificate is not valid yet: this machine's clock is behind, or that of the machine that issued it ahead.
    #[error("{path} is valid only from {from}: check this machine's clock", path = .path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// When its validity begins, as RFC 3339.
        from: String,
    },
    /// The node certificate was signed by another authority.
    #[error(
        "{path} was not issued by the authority in {authority}: issue it anew with `{command}`",
        path = .path.display(), authority = .authority.display()
    )]
    NotOfAuthority {
        /// The node certificate.
        path: PathBuf,
        /// The authority's certificate.
        authority: PathBuf,
        /// The command that issues it anew.
        command: String,
    },
    /// The private key belongs to another certificate.
    #[error(
        "the private key in {key} does not belong to {path}: issue both anew with `{command}`",
        path = .path.display(), key = .key.display()
    )]
    KeyMismatch {
        /// The certificate.
        path: PathBuf,
        /// The key.
        key: PathBuf,
        /// The command that issues both anew.
        command: String,
    },
    /// The certificates belong to another cluster than was named.
    #[error("{path} is of cluster {found}, not {expected}: use another folder for each cluster", path = .path.display())]
    OtherCluster {
        /// The certificate.
        path: PathBuf,
        /// The cluster that it names.
        found: ClusterName,
        /// The cluster meant.
        expected: ClusterName,
    },
    /// The name cannot be part of a host name, which certificates need.
    #[error("{name} cannot be put into a certificate: names must not end with '-'")]
    NotAHostName {
        /// The DNS name that the parts would form.
        name: String,
    },
    /// A validity of no days or of more than a lifetime.
    #[error("a certificate cannot be valid for {days} days: use 1 to {max}")]
    ValidDays {
        /// As given.
        days: u32,
        /// The most.
        max: u32,
    },
    /// The library could not make or sign it.
    #[error("cannot create the certificate")]
    Create {
        /// What it said.
        #[from]
        source: rcgen::Error,
    },
    /// The TLS library does not accept it.
    #[error("the TLS library does not accept {path}", path = .path.display())]
    Tls {
        /// The certificate.
        path: PathBuf,
        /// What it said.
        source: rustls::Error,
    },
}
