//! Loads what a node needs to prove who it is and to check who others are, and refuses what peers would refuse.
//!
//! Whatever is wrong is found here, at start, with the file and the command that repairs it; in a handshake it would
//! show as a peer's alert only.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::model::ids::{NodeId, RegionId};
use crate::ports::link::PeerIdentity;

use super::CertificateError;
use super::files::{read_certificate, read_text};
use super::identity::{cluster_of_authority, identity_in, validity_of};

/// The files that a node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The node's certificate.
    pub certificate: PathBuf,
    /// The node's private key.
    pub key: PathBuf,
}

/// A node's certificate and key, and the authority that it trusts: loaded, consistent and valid now.
#[derive(Debug)]
pub struct NodeCertificates {
    /// The authority's certificate, the only root.
    pub authority: CertificateDer<'static>,
    /// The node's certificate.
    pub certificate: CertificateDer<'static>,
    /// The node's private key; its `Debug` shows nothing of it.
    pub key: PrivateKeyDer<'static>,
    /// Who the certificate says this node is.
    pub identity: PeerIdentity,
}

impl NodeCertificates {
    /// Loads and checks the files.
    ///
    /// # Errors
    /// When a file is missing, does not parse, expired before `now`, was issued by another authority, or the key
    /// belongs to another certificate.
    pub fn load(files: &CertificateFiles, now: SystemTime) -> Result<Self, CertificateError> {
        let commands = Commands::new(files);
        let authority = read_certificate(&files.authority, &commands.init())?;
        let authority_subject = files.authority.display().to_string();
        let cluster = cluster_of_authority(&authority_subject, &authority)?;
        check_validity(&files.authority, &authority, now, || {
            format!("{} --force", commands.init())
        })?;

        let certificate = read_certificate(&files.certificate, &commands.issue(None))?;
        let identity = identity_in(&files.certificate.display().to_string(), &certificate)?;
        let reissue = || {
            format!(
                "{} --force",
                commands.issue(Some((identity.region, identity.node)))
            )
        };
        check_validity(&files.certificate, &certificate, now, reissue)?;
        if identity.cluster != cluster || !is_issued_by(&certificate, &authority) {
            return Err(CertificateError::NotOfAuthority {
                path: files.certificate.clone(),
                authority: files.authority.clone(),
                command: reissue(),
            });
        }

        let key_text = read_text(&files.key, &reissue())?;
        let key =
            PrivateKeyDer::from_pem_slice(key_text.as_bytes()).map_err(|_| CertificateError::NotPem {
                path: files.key.clone(),
                expected: "private key",
                command: reissue(),
            })?;
        let belongs = rcgen::KeyPair::from_pem(&key_text)
            .is_ok_and(|pair| holds_public_key(&certificate, pair.public_key_raw()));
        if !belongs {
            return Err(CertificateError::KeyMismatch {
                path: files.certificate.clone(),
                key: files.key.clone(),
                command: reissue(),
            });
        }
        Ok(Self {
            authority,
            certificate,
            key,
            identity,
        })
    }
}

/// Whether the certificate is for the private key with this public half.
pub(super) fn holds_public_key(certificate: &CertificateDer<'_>, public_key: &[u8]) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.public_key().subject_public_key.data.as_ref() == public_key)
}

/// Whether the certificate names the authority as its issuer and carries its signature.
pub(super) fn is_issued_by(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    let (Ok((_, certificate)), Ok((_, authority))) = (
        X509Certificate::from_der(certificate),
        X509Certificate::from_der(authority),
    ) else {
        return false;
    };
    certificate.issuer() == authority.subject()
        && certificate.verify_signature(Some(authority.public_key())).is_ok()
}

fn check_validity(
    path: &Path,
    certificate: &CertificateDer<'_>,
    now: SystemTime,
    command: impl Fn() -> String,
) -> Result<(), CertificateError> {
    let (from, until) = validity_of(&path.display().to_string(), certificate)?;
    let rfc3339 = |time| humantime::format_rfc3339_seconds(time).to_string();
    // Both ends are valid moments (RFC 5280, 4.1.2.5).
    if now > until {
        return Err(CertificateError::Expired {
            path: path.to_owned(),
            expired: rfc3339(until),
            command: command(),
        });
    }
    if now < from {
        return Err(CertificateError::NotYetValid {
            path: path.to_owned(),
            from: rfc3339(from),
        });
    }
    Ok(())
}

/// The commands that repair, for the folder that the files are in.
struct Commands<'a> {
    folder: &'a Path,
}

impl<'a> Commands<'a> {
    fn new(files: &'a CertificateFiles) -> Self {
        Self {
            folder: files.certificate.parent().unwrap_or(Path::new(".")),
        }
    }

    fn init(&self) -> String {
        super::CertificateFolder::new(self.folder).init_command(None)
    }

    fn issue(&self, name: Option<(RegionId, NodeId)>) -> String {
        let folder = super::CertificateFolder::new(self.folder);
        match name {
            Some((region, node)) => folder.issue_command(region, node),
            None => format!(
                "atoll certs issue --region REGION --node NODE --dir {}",
                self.folder.display()
            ),
        }
    }
}
