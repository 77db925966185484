//! TLS for the links: version 1.3 only, both sides show certificates, the cluster's authority is the only root.
//!
//! Sessions are never resumed: a resumed session skips the certificates, and a node whose certificate has expired
//! since would get in. Handshakes are rare (links live long), so the round trip saved would buy nothing.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};

use super::certificates::NodeCertificates;

/// The protocol named in the handshake (ALPN). A change that old nodes cannot follow gets a new number.
pub const ALPN: &[u8] = b"atoll/1";

/// The configurations of both roles of a node.
pub struct TlsConfigs {
    /// For dialling.
    pub client: ClientConfig,
    /// For accepting.
    pub server: ServerConfig,
}

/// Builds the configurations of a node. `time` decides when certificates are expired.
///
/// # Errors
/// When the TLS library does not accept a certificate or the key.
pub fn tls_configs(
    certificates: &NodeCertificates,
    time: &Arc<dyn TimeProvider>,
) -> Result<TlsConfigs, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificates.authority.clone())?;
    let roots = Arc::new(roots);
    Ok(TlsConfigs {
        client: client_config(certificates, &roots, &provider, time)?,
        server: server_config(certificates, &roots, &provider, time)?,
    })
}

fn client_config(
    certificates: &NodeCertificates,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(
            vec![certificates.certificate.clone()],
            certificates.key.clone_key(),
        )?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server_config(
    certificates: &NodeCertificates,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificates.certificate.clone()],
            certificates.key.clone_key(),
        )?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
