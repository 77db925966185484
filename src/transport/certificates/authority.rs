//! Makes the authority of a cluster and the certificates that it issues. Does no file I/O.
//!
//! Keys are ECDSA P-256: fast to sign in handshakes and understood by every TLS tool an operator may use.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName};

use crate::model::ids::{ClusterName, NodeId, RegionId};

use super::identity::{authority_common_name, cluster_of_authority, validity_of};
use super::{CertificateError, NodeName};

/// A certificate is valid from this long before it was made, so that a peer whose clock is somewhat behind takes it.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// The longest validity: a hundred years, well inside what the date format of certificates can hold.
const VALID_DAYS_MAX: u32 = 36_500;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: SystemTime,
    /// The last moment.
    pub until: SystemTime,
}

impl Validity {
    /// From an hour before `now` for `days` days.
    ///
    /// # Errors
    /// [`CertificateError::ValidDays`] unless it is 1 to 36500 days.
    pub fn days(now: SystemTime, days: u32) -> Result<Self, CertificateError> {
        if !(1..=VALID_DAYS_MAX).contains(&days) {
            return Err(CertificateError::ValidDays {
                days,
                max: VALID_DAYS_MAX,
            });
        }
        Ok(Self {
            from: now - BACKDATED,
            until: now + DAY * days,
        })
    }
}

/// A certificate and its private key as PEM text.
pub struct PemPair {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
    /// When the certificate expires.
    pub expires: SystemTime,
}

impl fmt::Debug for PemPair {
    /// Leaves out the key, so that no log ever shows one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemPair")
            .field("certificate", &self.certificate)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Makes a new authority for a cluster: its certificate and key.
///
/// # Errors
/// [`CertificateError::Create`] when the library has no randomness or refuses.
pub fn create_authority(cluster: ClusterName, validity: Validity) -> Result<PemPair, CertificateError> {
    let mut params = params(&authority_common_name(cluster), validity);
    // Path length 0: it signs nodes, never another authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(PemPair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        expires: validity.until,
    })
}

/// An authority that can issue: its certificate with its key.
pub struct Authority {
    cluster: ClusterName,
    expires: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Puts certificate and key together; `subject` is what errors call the certificate (its path).
    ///
    /// # Errors
    /// When the certificate is no authority's or the key does not parse.
    pub fn new(
        subject: &str,
        certificate: &CertificateDer<'_>,
        key_pem: &str,
    ) -> Result<Self, CertificateError> {
        let cluster = cluster_of_authority(subject, certificate)?;
        let (_, expires) = validity_of(subject, certificate)?;
        let issuer = Issuer::from_ca_cert_der(certificate, KeyPair::from_pem(key_pem)?)?;
        Ok(Self {
            cluster,
            expires,
            issuer,
        })
    }

    /// The cluster that it signs for.
    #[must_use]
    pub fn cluster(&self) -> ClusterName {
        self.cluster
    }

    /// When its own certificate expires.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// The raw public key, to compare with that in a certificate.
    pub(super) fn public_key(&self) -> &[u8] {
        self.issuer.key().public_key_raw()
    }

    /// Issues a certificate, for a new key, to a node. It never outlives the authority.
    ///
    /// # Errors
    /// [`CertificateError::NotAHostName`], [`CertificateError::Create`].
    pub fn issue(
        &self,
        region: RegionId,
        node: NodeId,
        validity: Validity,
    ) -> Result<PemPair, CertificateError> {
        let name = NodeName {
            cluster: self.cluster,
            region,
            node,
        };
        let dns_name = name.dns_name();
        if ServerName::try_from(dns_name.as_str()).is_err() {
            return Err(CertificateError::NotAHostName { name: dns_name });
        }
        let validity = Validity {
            until: validity.until.min(self.expires),
            ..validity
        };
        // The node alone: a common name holds 64 bytes, the full name may be longer.
        let mut params = params(node.as_str(), validity);
        params.subject_alt_names = vec![
            SanType::DnsName(dns_name.try_into()?),
            SanType::URI(name.uri().try_into()?),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Every node both dials and accepts.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(PemPair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            expires: validity.until,
        })
    }
}

fn params(common_name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = date_time_ymd(1970, 1, 1);
    let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = epoch + since_epoch(validity.from);
    params.not_after = epoch + since_epoch(validity.until);
    params
}
