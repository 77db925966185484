//! The files of a certificates folder: `ca.pem`, `ca.key`, and `NODE.pem`, `NODE.key` for each node.
//!
//! A file appears whole or not at all, keys with mode 0600 from their first byte. Keys come before their
//! certificates, so that a certificate that is there has its key.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::model::ids::{ClusterName, NodeId, RegionId};

use super::identity::cluster_of_authority;
use super::{Authority, CertificateError, CertificateFiles, PemPair};

/// Whether files that are there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// They are kept, and the call fails.
    Keep,
    /// They are replaced.
    Replace,
}

/// A folder with the certificates of one cluster.
#[derive(Debug, Clone)]
pub struct CertificateFolder {
    folder: PathBuf,
}

impl CertificateFolder {
    /// Names the folder; it is created when the first file is written.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The authority's certificate, needed by every node.
    #[must_use]
    pub fn authority_certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The authority's private key, needed only to issue.
    #[must_use]
    pub fn authority_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// The files that a node needs.
    #[must_use]
    pub fn node(&self, node: NodeId) -> CertificateFiles {
        CertificateFiles {
            authority: self.authority_certificate(),
            certificate: self.folder.join(format!("{node}.pem")),
            key: self.folder.join(format!("{node}.key")),
        }
    }

    /// Writes an authority's certificate and key.
    ///
    /// # Errors
    /// [`CertificateError::Exists`] before anything is written, [`CertificateError::Write`].
    pub fn write_authority(&self, pair: &PemPair, overwrite: Overwrite) -> Result<(), CertificateError> {
        self.write_pair(
            &self.authority_certificate(),
            &self.authority_key(),
            pair,
            overwrite,
        )
    }

    /// Writes a node's certificate and key.
    ///
    /// # Errors
    /// [`CertificateError::Exists`] before anything is written, [`CertificateError::Write`].
    pub fn write_node(
        &self,
        node: NodeId,
        pair: &PemPair,
        overwrite: Overwrite,
    ) -> Result<(), CertificateError> {
        let files = self.node(node);
        self.write_pair(&files.certificate, &files.key, pair, overwrite)
    }

    /// Reads the authority with its key, ready to issue.
    ///
    /// # Errors
    /// When a file is missing, does not parse, or the key belongs to another certificate.
    pub fn load_authority(&self) -> Result<Authority, CertificateError> {
        let (path, key_path) = (self.authority_certificate(), self.authority_key());
        let command = self.init_command(None);
        let certificate = read_certificate(&path, &command)?;
        let key = read_text(&key_path, &command)?;
        let authority =
            Authority::new(&path.display().to_string(), &certificate, &key).map_err(|error| match error {
                CertificateError::Create { .. } => CertificateError::NotPem {
                    path: key_path.clone(),
                    expected: "private key",
                    command: command.clone(),
                },
                other => other,
            })?;
        if !super::load::holds_public_key(&certificate, authority.public_key()) {
            return Err(CertificateError::KeyMismatch {
                path,
                key: key_path,
                command,
            });
        }
        Ok(authority)
    }

    /// The cluster that the folder's authority names.
    ///
    /// # Errors
    /// As for [`CertificateFolder::load_authority`]; the key is not read.
    pub fn cluster(&self) -> Result<ClusterName, CertificateError> {
        let path = self.authority_certificate();
        let certificate = read_certificate(&path, &self.init_command(None))?;
        cluster_of_authority(&path.display().to_string(), &certificate)
    }

    /// The command that creates the authority.
    #[must_use]
    pub fn init_command(&self, cluster: Option<ClusterName>) -> String {
        let cluster = cluster.map_or_else(|| "NAME".to_owned(), |name| name.to_string());
        format!(
            "atoll certs init --cluster {cluster} --dir {}",
            self.folder.display()
        )
    }

    /// The command that issues a node's certificate.
    #[must_use]
    pub fn issue_command(&self, region: RegionId, node: NodeId) -> String {
        format!(
            "atoll certs issue --region {region} --node {node} --dir {}",
            self.folder.display()
        )
    }

    fn write_pair(
        &self,
        certificate: &Path,
        key: &Path,
        pair: &PemPair,
        overwrite: Overwrite,
    ) -> Result<(), CertificateError> {
        if overwrite == Overwrite::Keep {
            for path in [certificate, key] {
                if path.exists() {
                    return Err(CertificateError::Exists {
                        path: path.to_owned(),
                    });
                }
            }
        }
        fs::create_dir_all(&self.folder).map_err(|source| CertificateError::Write {
            path: self.folder.clone(),
            source,
        })?;
        write_file(key, &pair.key, 0o600, overwrite)?;
        write_file(certificate, &pair.certificate, 0o644, overwrite)
    }
}

/// Writes beside the file, syncs, then moves into place: readers see the old file or the new one.
fn write_file(path: &Path, text: &str, mode: u32, overwrite: Overwrite) -> Result<(), CertificateError> {
    let mut temporary_name = path.as_os_str().to_owned();
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary_name);
    let moved = write_new(&temporary, text, mode).and_then(|()| match overwrite {
        Overwrite::Replace => fs::rename(&temporary, path),
        Overwrite::Keep => move_without_replacing(&temporary, path),
    });
    if moved.is_err() {
        // Best effort: the error that is reported is the one that led here.
        let _ = fs::remove_file(&temporary);
    }
    moved.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CertificateError::Exists {
            path: path.to_owned(),
        },
        _ => CertificateError::Write {
            path: path.to_owned(),
            source,
        },
    })
}

fn write_new(temporary: &Path, text: &str, mode: u32) -> io::Result<()> {
    // Left behind by a process of the same id that crashed here; its mode may be another.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A hard link fails when the name is taken, where a rename would replace what somebody else wrote in between.
fn move_without_replacing(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, path) {
        Ok(()) => fs::remove_file(temporary),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Some file systems have no hard links; that the name was free has been checked already.
        Err(_) => fs::rename(temporary, path),
    }
}

/// The first certificate in a PEM file; `command` is what creates the file.
pub(super) fn read_certificate(
    path: &Path,
    command: &str,
) -> Result<CertificateDer<'static>, CertificateError> {
    let text = read_text(path, command)?;
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| CertificateError::NotPem {
        path: path.to_owned(),
        expected: "certificate",
        command: command.to_owned(),
    })
}

/// The bytes of a file as text; `command` is what creates the file.
pub(super) fn read_text(path: &Path, command: &str) -> Result<String, CertificateError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CertificateError::Missing {
            path: path.to_owned(),
            command: command.to_owned(),
        },
        _ => CertificateError::Read {
            path: path.to_owned(),
            source,
        },
    })
}
