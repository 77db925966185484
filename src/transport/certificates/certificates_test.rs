//! Tests of making, writing and loading certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::model::ids::{ClusterName, NodeId, RegionId};

use super::{
    Authority, CertificateError, CertificateFolder, NodeCertificates, Overwrite, Validity, create_authority,
    ensure_dev_certificates, identity_of,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::now()
}

fn name() -> (RegionId, NodeId) {
    ("us-east".parse().unwrap(), "us-east-1".parse().unwrap())
}

fn cluster(name: &str) -> ClusterName {
    name.parse().unwrap()
}

struct Folder {
    _guard: tempfile::TempDir,
    folder: CertificateFolder,
}

fn empty_folder() -> Folder {
    let guard = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::new(guard.path().join("certs"));
    Folder {
        _guard: guard,
        folder,
    }
}

fn dev_folder() -> Folder {
    let folder = empty_folder();
    ensure_dev_certificates(&folder.folder, cluster("dev"), [name()], now()).unwrap();
    folder
}

fn authority(name: &str) -> Authority {
    let pair = create_authority(cluster(name), Validity::days(now(), 3650).unwrap()).unwrap();
    Authority::new(
        "ca.pem",
        &CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap(),
        &pair.key,
    )
    .unwrap()
}

#[test]
fn a_certificate_says_who_its_node_is() {
    let authority = authority("dev");
    let (region, node) = name();
    let pair = authority
        .issue(region, node, Validity::days(now(), 365).unwrap())
        .unwrap();
    let identity =
        identity_of(&CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()).unwrap();
    assert_eq!(
        (identity.cluster, identity.region, identity.node),
        (cluster("dev"), region, node)
    );
    let left = identity.certificate_expires.duration_since(now()).unwrap();
    assert!(left > DAY * 364 && left <= DAY * 365, "{left:?}");
}

#[test]
fn the_longest_names_fit() {
    let longest = "n".repeat(crate::model::limits::LABEL_BYTES_MAX);
    let authority = authority(&longest);
    let (region, node): (RegionId, NodeId) = (longest.parse().unwrap(), longest.parse().unwrap());
    let pair = authority
        .issue(region, node, Validity::days(now(), 1).unwrap())
        .unwrap();
    let identity =
        identity_of(&CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()).unwrap();
    assert_eq!(identity.node, node);
}

#[test]
fn a_name_that_is_no_host_name_is_refused() {
    let error = authority("dev")
        .issue(
            "us-east".parse().unwrap(),
            "node-".parse().unwrap(),
            Validity::days(now(), 1).unwrap(),
        )
        .unwrap_err();
    assert!(matches!(error, CertificateError::NotAHostName { .. }), "{error}");
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let authority = authority("dev");
    let (region, node) = name();
    let pair = authority
        .issue(region, node, Validity::days(now(), 36_500).unwrap())
        .unwrap();
    assert_eq!(pair.expires, authority.expires());
}

#[test]
fn garbage_and_the_authority_itself_are_no_node() {
    assert!(matches!(
        identity_of(b"garbage"),
        Err(CertificateError::Malformed { .. })
    ));
    let pair = create_authority(cluster("dev"), Validity::days(now(), 1).unwrap()).unwrap();
    let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    assert!(matches!(
        identity_of(&der),
        Err(CertificateError::Malformed { .. })
    ));
}

#[test]
fn days_are_limited() {
    assert!(matches!(
        Validity::days(now(), 0),
        Err(CertificateError::ValidDays { .. })
    ));
    assert!(matches!(
        Validity::days(now(), 36_501),
        Err(CertificateError::ValidDays { .. })
    ));
}

#[test]
fn a_key_never_shows_in_debug_output() {
    let pair = create_authority(cluster("dev"), Validity::days(now(), 1).unwrap()).unwrap();
    assert!(!format!("{pair:?}").contains("PRIVATE KEY"));
}

#[test]
fn keys_are_for_their_owner_only_and_nothing_is_left_beside_them() {
    let Folder { _guard, folder } = dev_folder();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".key") {
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600,
                "{name}"
            );
        }
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["ca.key", "ca.pem", "us-east-1.key", "us-east-1.pem"]);
}

#[test]
fn dev_leaves_good_certificates_as_they_are() {
    let Folder { _guard, folder } = dev_folder();
    let files = folder.node(name().1);
    let before = (
        fs::read(&files.authority).unwrap(),
        fs::read(&files.certificate).unwrap(),
    );
    ensure_dev_certificates(&folder, cluster("dev"), [name()], now() + DAY * 357).unwrap();
    assert_eq!(
        (
            fs::read(&files.authority).unwrap(),
            fs::read(&files.certificate).unwrap()
        ),
        before
    );
}

#[test]
fn dev_renews_what_expires_within_a_week_or_is_damaged() {
    let Folder { _guard, folder } = dev_folder();
    let files = folder.node(name().1);
    let authority = fs::read(&files.authority).unwrap();
    let later = now() + DAY * 359;
    let first = fs::read(&files.certificate).unwrap();
    ensure_dev_certificates(&folder, cluster("dev"), [name()], later).unwrap();
    let renewed = NodeCertificates::load(&files, later).unwrap();
    assert!(renewed.identity.certificate_expires > later + DAY * 300);
    assert_ne!(fs::read(&files.certificate).unwrap(), first);

    fs::write(&files.key, "").unwrap();
    ensure_dev_certificates(&folder, cluster("dev"), [name()], later).unwrap();
    NodeCertificates::load(&files, later).unwrap();
    fs::remove_file(&files.certificate).unwrap();
    ensure_dev_certificates(&folder, cluster("dev"), [name()], later).unwrap();
    NodeCertificates::load(&files, later).unwrap();
    assert_eq!(fs::read(&files.authority).unwrap(), authority);
}

#[test]
fn dev_issues_anew_when_the_authority_is_new() {
    let Folder { _guard, folder } = dev_folder();
    let files = folder.node(name().1);
    fs::remove_file(&files.authority).unwrap();
    ensure_dev_certificates(&folder, cluster("dev"), [name()], now()).unwrap();
    NodeCertificates::load(&files, now()).unwrap();
}

#[test]
fn dev_refuses_a_folder_of_another_cluster() {
    let Folder { _guard, folder } = dev_folder();
    let error = ensure_dev_certificates(&folder, cluster("other"), [name()], now()).unwrap_err();
    assert!(matches!(error, CertificateError::OtherCluster { .. }), "{error}");
}

#[test]
fn dev_says_when_the_authority_has_expired() {
    let Folder { _guard, folder } = dev_folder();
    let error = ensure_dev_certificates(&folder, cluster("dev"), [name()], now() + DAY * 3651).unwrap_err();
    assert!(error.to_string().contains("ca.pem expired at"), "{error}");
}

#[test]
fn loading_names_the_file_and_the_command() {
    let Folder { _guard, folder } = dev_folder();
    let files = folder.node("us-east-2".parse().unwrap());
    let error = NodeCertificates::load(&files, now()).unwrap_err().to_string();
    assert!(
        error.contains("us-east-2.pem") && error.contains("atoll certs issue"),
        "{error}"
    );

    let files = folder.node(name().1);
    let error = NodeCertificates::load(&files, now() - DAY).unwrap_err();
    assert!(matches!(error, CertificateError::NotYetValid { .. }), "{error}");

    let other = dev_folder();
    let foreign = super::CertificateFiles {
        authority: other.folder.authority_certificate(),
        ..files.clone()
    };
    let error = NodeCertificates::load(&foreign, now()).unwrap_err();
    assert!(
        matches!(error, CertificateError::NotOfAuthority { .. }),
        "{error}"
    );

    let mixed = super::CertificateFiles {
        key: other.folder.node(name().1).key,
        ..files.clone()
    };
    let error = NodeCertificates::load(&mixed, now()).unwrap_err();
    assert!(matches!(error, CertificateError::KeyMismatch { .. }), "{error}");

    fs::write(&files.certificate, "not PEM").unwrap();
    let error = NodeCertificates::load(&files, now()).unwrap_err();
    assert!(matches!(error, CertificateError::NotPem { .. }), "{error}");
}

#[test]
fn an_authority_with_the_key_of_another_issues_nothing() {
    let (Folder { _guard, folder }, other) = (dev_folder(), dev_folder());
    fs::copy(other.folder.authority_key(), folder.authority_key()).unwrap();
    let error = folder.load_authority().err().unwrap();
    assert!(matches!(error, CertificateError::KeyMismatch { .. }), "{error}");
}

#[test]
fn keeping_means_that_nothing_is_written() {
    let Folder { _guard, folder } = dev_folder();
    let (region, node) = name();
    let files = folder.node(node);
    fs::remove_file(&files.certificate).unwrap();
    let key = fs::read(&files.key).unwrap();
    let pair = folder
        .load_authority()
        .unwrap()
        .issue(region, node, Validity::days(now(), 1).unwrap())
        .unwrap();
    let error = folder.write_node(node, &pair, Overwrite::Keep).unwrap_err();
    assert!(
        matches!(&error, CertificateError::Exists { path } if *path == files.key),
        "{error}"
    );
    assert!(!files.certificate.exists());
    assert_eq!(fs::read(&files.key).unwrap(), key);
}
