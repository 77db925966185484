//! Tests of handshakes that must fail: each with the reason, on both sides.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::ports::link::LinkError;
use crate::ports::link_conformance::{dial_error, target};

use super::certificates::{CertificateError, NodeCertificates};
use super::test_cluster::{Cluster, DAY, cluster, refusal, target_of, test_node};
use super::{BindError, QuicNetwork};

/// Asserts that a dial fails in the handshake and that both sides say why.
async fn assert_refused(dialler: &Arc<QuicNetwork>, acceptor: &QuicNetwork, here: &[&str], there: &[&str]) {
    let error = dial_error(&test_node(dialler), &target_of(acceptor)).await;
    assert!(matches!(error, LinkError::Handshake(_)), "{error:?}");
    let (here_said, there_said) = (error.to_string(), refusal(acceptor).await);
    for words in here {
        assert!(here_said.contains(words), "{words:?} is not in {here_said:?}");
    }
    for words in there {
        assert!(there_said.contains(words), "{words:?} is not in {there_said:?}");
    }
}

#[tokio::test]
async fn a_peer_of_another_authority_is_refused_even_with_the_same_cluster_name() {
    let (ours, theirs) = (Cluster::new("dev"), Cluster::new("dev"));
    let acceptor = ours.bind("eu-west", "eu-west-1");
    let dialler = theirs.bind("us-east", "us-east-1");
    assert_refused(
        &dialler,
        &acceptor,
        &["the peer's certificate was not issued by the cluster's authority"],
        &[
            "the peer refused this node's certificate",
            "not issued by the cluster's authority",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_peer_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::new("dev"), Cluster::new("production"));
    let acceptor = ours.bind("eu-west", "eu-west-1");
    let dialler = theirs.bind("us-east", "us-east-1");
    assert_refused(
        &dialler,
        &acceptor,
        &["not issued by the cluster's authority"],
        &["not issued by the cluster's authority"],
    )
    .await;
}

#[tokio::test]
async fn an_accepting_side_refuses_a_certificate_of_another_authority() {
    // The dialling side trusts the acceptor's authority and shows a certificate of its own: only the acceptor objects.
    let (ours, theirs) = (Cluster::new("dev"), Cluster::new("dev"));
    let acceptor = ours.bind("eu-west", "eu-west-1");
    theirs.issue("us-east", "us-east-1", 365);
    let mut config = theirs.config("us-east-1");
    let stranger = NodeCertificates::load(&config.certificates, SystemTime::now()).unwrap();
    ours.issue("us-east", "us-east-1", 365);
    config.certificates = ours.certificates.node("us-east-1".parse().unwrap());
    let mut dialler = QuicNetwork::bind(&config).unwrap();
    let mut certificates = NodeCertificates::load(&config.certificates, SystemTime::now()).unwrap();
    (certificates.certificate, certificates.key) = (stranger.certificate, stranger.key);
    dialler.show_other_certificate(&certificates, &config);
    assert_refused(
        &Arc::new(dialler),
        &acceptor,
        &[
            "the peer refused this node's certificate",
            "not issued by the cluster's authority",
        ],
        &["the peer's certificate was not issued by the cluster's authority"],
    )
    .await;
}

/// A clock that is ahead.
#[derive(Debug)]
struct Ahead(Duration);

impl TimeProvider for Ahead {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + self.0,
        ))
    }
}

/// A node whose certificate lasts and whose clock is 30 days ahead.
fn bind_ahead(cluster: &Cluster, region: &str, node: &str) -> Arc<QuicNetwork> {
    cluster.issue(region, node, 365);
    let mut config = cluster.config(node);
    config.time = Arc::new(Ahead(DAY * 30));
    Arc::new(QuicNetwork::bind(&config).unwrap())
}

#[tokio::test]
async fn an_expired_certificate_of_the_accepting_side_is_named_on_both_sides() {
    let cluster = cluster();
    cluster.issue("eu-west", "eu-west-1", 7);
    let acceptor = QuicNetwork::bind(&cluster.config("eu-west-1")).unwrap();
    let dialler = bind_ahead(&cluster, "us-east", "us-east-1");
    assert_refused(
        &dialler,
        &acceptor,
        &[
            "the peer's certificate has expired",
            "atoll certs issue",
            "eu-west-1 of eu-west",
            "127.0.0.1",
        ],
        &[
            "the peer refused this node's certificate",
            "has expired",
            "atoll certs issue",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_expired_certificate_of_the_dialling_side_is_named_on_both_sides() {
    let cluster = cluster();
    let acceptor = bind_ahead(&cluster, "eu-west", "eu-west-1");
    cluster.issue("us-east", "us-east-1", 7);
    let dialler = Arc::new(QuicNetwork::bind(&cluster.config("us-east-1")).unwrap());
    assert_refused(
        &dialler,
        &acceptor,
        &[
            "the peer refused this node's certificate",
            "has expired",
            "atoll certs issue",
        ],
        &[
            "the peer's certificate has expired",
            "expired at 20",
            "on the peer with `atoll certs issue",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_start() {
    let cluster = cluster();
    cluster.issue("us-east", "us-east-1", 7);
    let mut config = cluster.config("us-east-1");
    config.time = Arc::new(Ahead(DAY * 30));
    let error = QuicNetwork::bind(&config).err().unwrap();
    assert!(
        matches!(error, BindError::Certificates(CertificateError::Expired { .. })),
        "{error}"
    );
    for words in [
        "us-east-1.pem expired at 20",
        "atoll certs issue --region us-east --node us-east-1",
        "--force",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn another_node_than_the_one_meant_is_named_on_both_sides() {
    let cluster = cluster();
    for (region, node) in [("eu-west", "eu-west-2"), ("ap-south", "eu-west-1")] {
        let acceptor = cluster.bind("eu-west", "eu-west-1");
        let dialler = cluster.bind("us-east", "us-east-1");
        let meant = target(region, node, &acceptor.local_address().to_string());
        let error = dial_error(&test_node(&dialler), &meant).await.to_string();
        for words in [
            &format!("{node}.{region}.dev.atoll"),
            "eu-west-1.eu-west.dev.atoll",
            "regions.toml",
        ] {
            assert!(error.contains(words), "{words:?} is not in {error:?}");
        }
        let refusal = refusal(&acceptor).await;
        for words in [
            "the peer refused this node's certificate",
            &format!("{node}.{region}.dev.atoll"),
        ] {
            assert!(refusal.contains(words), "{words:?} is not in {refusal:?}");
        }
    }
}
