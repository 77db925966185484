//! Garbage on the QUIC port: from anybody as datagrams, and from a node of the cluster as frames. The node goes on.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::SystemTime;

use atoll::model::ids::{Incarnation, PartitionCount};
use atoll::model::limits;
use atoll::transport::certificates::{CertificateFolder, NodeCertificates};
use atoll::transport::tls::tls_configs;
use atoll::wire::messages::{Introduction, Message, PROTOCOL_VERSION};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use rustls::time_provider::DefaultTimeProvider;

use crate::harness::{Cluster, Region, check, wait_until};

/// Connects as the node `by`, with its certificate, by QUIC alone.
async fn connect(cluster: &Cluster, by: &Region, to: &Region) -> Connection {
    let files = CertificateFolder::new(by.certificates()).node(by.node().parse().unwrap());
    let certificates = NodeCertificates::load(&files, SystemTime::now()).unwrap();
    let time: Arc<dyn rustls::time_provider::TimeProvider> = Arc::new(DefaultTimeProvider);
    let tls = tls_configs(&certificates, &time).unwrap();
    let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(tls.client).unwrap(),
    )));
    let name = format!("{}.{}.{}.atoll", to.node(), to.id, cluster.name);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, to.port));
    endpoint.connect(address, &name).unwrap().await.unwrap()
}

/// Sends bytes on a new stream, and gives what the node said when it closed the connection for breaking the protocol.
async fn send(connection: &Connection, bytes: &[u8]) -> String {
    let (code, reason) = send_for_close(connection, bytes).await;
    assert_eq!(code, 3, "a violation of the protocol: {reason}");
    reason
}

/// As [`send`], for any reason; gives its number too.
async fn send_for_close(connection: &Connection, bytes: &[u8]) -> (u64, String) {
    let (mut sender, _receiver) = connection.open_bi().await.unwrap();
    // The node may close the connection before it has read all.
    let _ = sender.write_all(bytes).await;
    let _ = sender.finish();
    let closed = tokio::time::timeout(crate::harness::DEADLINE, connection.closed());
    match closed.await.expect("the node closes the connection") {
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            (close.error_code.into_inner(), reason)
        }
        other => panic!("{other:?}"),
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_le_bytes()[..], payload].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_a_node_of_the_cluster_closes_its_connection_and_nothing_else() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    eu.stop().await;
    for (bytes, words) in [
        (frame(b""), "broken protocol"),
        (frame(&[0xff; 100]), "broken protocol"),
        (frame(&[1]), "broken protocol"),
        // A length that nobody allocates.
        (u32::MAX.to_le_bytes().to_vec(), "over the limit"),
        (
            u32::try_from(limits::FRAME_BYTES_MAX + 1)
                .unwrap()
                .to_le_bytes()
                .to_vec(),
            "over the limit",
        ),
    ] {
        let connection = connect(&cluster, eu, us).await;
        let reason = send(&connection, &bytes).await;
        assert!(reason.contains(words), "{reason}");
    }
    us.waits_for_log("broken protocol").await;
    us.waits_for_log("over the limit").await;
    let shown = us.peer("eu-west").await;
    assert!(!shown["last_error"].is_null(), "{shown}");
    us.put("k", "v").await;
    cluster.converged_among(&[0, 2]).await;
    eu.start().await;
    cluster.linked().await;
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_contradicts_the_certificate_or_this_node_is_refused_with_the_reason() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    eu.stop().await;
    let honest = Introduction {
        protocol_min: PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
        software: "a test".to_owned(),
        cluster: cluster.name.parse().unwrap(),
        region: "eu-west".parse().unwrap(),
        node: "eu-west-1".parse().unwrap(),
        partitions: PartitionCount::new(16).unwrap(),
        incarnation: Incarnation::FIRST,
    };
    let mut other_cluster = honest.clone();
    other_cluster.cluster = "elsewhere".parse().unwrap();
    let mut other_partitions = honest.clone();
    other_partitions.partitions = PartitionCount::new(32).unwrap();
    let mut impostor = honest.clone();
    impostor.region = "ap-south".parse().unwrap();
    impostor.node = "ap-south-1".parse().unwrap();
    let mut newer = honest;
    newer.protocol_min = 1000;
    newer.protocol_max = 1001;
    for (hello, words) in [
        (other_cluster, "cluster elsewhere"),
        (other_partitions, "32 partitions"),
        (impostor, "its certificate says"),
        (newer, "protocol 1000 to 1001"),
    ] {
        let bytes = frame(&Message::Hello(hello).encode());
        // Again and again, as nodes do: us-east also tries to reach eu-west, and what it shows is what came last.
        wait_until("status shows why it was refused", async || {
            let connection = connect(&cluster, eu, us).await;
            let (code, reason) = send_for_close(&connection, &bytes).await;
            assert_eq!(code, 1, "refused: {reason}");
            assert!(reason.contains(words), "{reason}");
            let shown = us.peer("eu-west").await;
            let error = shown["last_error"].as_str().unwrap_or_default();
            check(error.contains(words), &shown)
        })
        .await;
        us.waits_for_log(words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_nobody_do_no_harm() {
    let cluster = Cluster::start().await;
    let us = cluster.us();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut byte = 1_u8;
    for length in (0..1500).step_by(7) {
        let datagram: Vec<u8> = (0..length)
            .map(|_| {
                byte = byte.wrapping_mul(141).wrapping_add(77);
                byte
            })
            .collect();
        socket.send_to(&datagram, (Ipv4Addr::LOCALHOST, us.port)).unwrap();
        // A long header of QUIC version 1, and then garbage.
        let initial = [&[0xc3, 0, 0, 0, 1, 8][..], &datagram].concat();
        socket.send_to(&initial, (Ipv4Addr::LOCALHOST, us.port)).unwrap();
    }
    wait_until("the node serves", async || {
        us.try_call("GET", "/health/ready", &[], Vec::new())
            .await
            .map(|answer| answer.expect(200))
    })
    .await;
    us.put("k", "v").await;
    cluster.converged().await;
    for region in cluster.regions().iter().skip(1) {
        us.waits_for_idle(region.id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_a_hello_is_not_listened_to_for_ever() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    eu.stop().await;
    // Open streams that say nothing, and half a frame.
    let connection = connect(&cluster, eu, us).await;
    let reason = send_slowly(&connection).await;
    assert!(reason.contains("no hello"), "{reason}");
    us.put("k", "v").await;
    cluster.converged_among(&[0, 2]).await;
}

async fn send_slowly(connection: &Connection) -> String {
    let (mut sender, _receiver) = connection.open_bi().await.unwrap();
    sender.write_all(&[200, 0, 0, 0, 1, 2, 3]).await.unwrap();
    match tokio::time::timeout(crate::harness::DEADLINE, connection.closed())
        .await
        .unwrap()
    {
        ConnectionError::ApplicationClosed(close) => String::from_utf8_lossy(&close.reason).into_owned(),
        other => panic!("{other:?}"),
    }
}
