//! A cluster for tests: an authority in a temporary folder, and nodes on the loopback interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::model::ids::NodeId;
use crate::ports::link::{DialTarget, Network};
use crate::ports::link_conformance::{Harness, TestNode, within};

use super::certificates::{CertificateFolder, Overwrite, Validity, create_authority};
use super::{QuicConfig, QuicNetwork};

pub(super) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A cluster of its own: a folder with an authority.
pub(crate) struct Cluster {
    _folder: tempfile::TempDir,
    pub(super) certificates: CertificateFolder,
    /// Longer than in production: a dial that should succeed does so on a machine however busy.
    dial_timeout: Duration,
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = CertificateFolder::new(folder.path());
        let validity = Validity::days(SystemTime::now(), 3650).unwrap();
        let pair = create_authority(name.parse().unwrap(), validity).unwrap();
        certificates.write_authority(&pair, Overwrite::Keep).unwrap();
        Self {
            _folder: folder,
            certificates,
            dial_timeout: Duration::from_secs(30),
        }
    }

    /// For the tests that wait until a handshake is given up.
    pub(super) fn impatient(self) -> Self {
        Self {
            dial_timeout: Duration::from_secs(1),
            ..self
        }
    }

    pub(super) fn issue(&self, region: &str, node: &str, days: u32) {
        let validity = Validity::days(SystemTime::now(), days).unwrap();
        let node: NodeId = node.parse().unwrap();
        let pair = self
            .certificates
            .load_authority()
            .unwrap()
            .issue(region.parse().unwrap(), node, validity)
            .unwrap();
        self.certificates
            .write_node(node, &pair, Overwrite::Replace)
            .unwrap();
    }

    pub(super) fn config(&self, node: &str) -> QuicConfig {
        let mut config = QuicConfig::new(LOOPBACK, self.certificates.node(node.parse().unwrap()));
        config.dial_timeout = self.dial_timeout;
        config
    }

    pub(crate) fn bind(&self, region: &str, node: &str) -> Arc<QuicNetwork> {
        self.issue(region, node, 365);
        Arc::new(QuicNetwork::bind(&self.config(node)).unwrap())
    }
}

impl Harness for Cluster {
    async fn node(&self, region: &str, node: &str) -> TestNode {
        test_node(&self.bind(region, node))
    }

    fn address_of_nobody(&self) -> String {
        // No test can be given a port of the system's own.
        "127.0.0.1:1".to_owned()
    }
}

pub(super) fn test_node(network: &Arc<QuicNetwork>) -> TestNode {
    TestNode {
        target: target_of(network),
        network: Arc::clone(network) as Arc<dyn Network>,
    }
}

pub(super) fn target_of(network: &QuicNetwork) -> DialTarget {
    let identity = network.identity();
    DialTarget {
        region: identity.region,
        node: identity.node,
        address: network.local_address().to_string(),
    }
}

pub(super) fn cluster() -> Cluster {
    Cluster::new("dev")
}

/// What the accepting side said about the last handshake that it refused.
pub(super) async fn refusal(acceptor: &QuicNetwork) -> String {
    within(async {
        loop {
            if let Some(refusal) = acceptor.last_refusals().pop() {
                assert!(refusal.address.ip().is_loopback());
                return refusal.reason;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
