//! Tests of the QUIC transport: the port's conformance suite, and what is particular to QUIC.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::limits;
use crate::ports::link::{CloseCode, Connection, LinkError, Network};
use crate::ports::link_conformance::{self as conformance, target, within};

use super::connection::QuicConnection;
use super::test_cluster::{Cluster, LOOPBACK, cluster, refusal, target_of};
use super::{BindError, QuicNetwork};

#[tokio::test]
async fn both_sides_know_who_the_other_is() {
    conformance::both_sides_know_who_the_other_is(&cluster()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_keep_the_order_of_frames_in_both_directions() {
    conformance::streams_keep_the_order_of_frames_in_both_directions(&cluster()).await;
}

#[tokio::test]
async fn a_finished_stream_ends_after_its_last_frame() {
    conformance::a_finished_stream_ends_after_its_last_frame(&cluster()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_at_the_limit_arrives_and_one_over_it_is_not_sent() {
    conformance::a_frame_at_the_limit_arrives_and_one_over_it_is_not_sent(&cluster()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_receive_loses_nothing() {
    conformance::a_dropped_receive_loses_nothing(&cluster()).await;
}

#[tokio::test]
async fn code_and_reason_of_a_close_reach_the_peer() {
    conformance::code_and_reason_of_a_close_reach_the_peer(&cluster()).await;
}

#[tokio::test]
async fn a_long_reason_is_cut_at_a_characters_edge() {
    conformance::a_long_reason_is_cut_at_a_characters_edge(&cluster()).await;
}

#[tokio::test]
async fn a_dial_to_nobody_names_the_address() {
    conformance::a_dial_to_nobody_names_the_address(&cluster().impatient()).await;
}

#[tokio::test]
async fn another_node_than_the_one_meant_is_refused_on_both_sides() {
    conformance::another_node_than_the_one_meant_is_refused_on_both_sides(&cluster()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_run_side_by_side() {
    conformance::many_streams_run_side_by_side(&cluster()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_read_holds_back_its_sender_and_no_other_stream() {
    conformance::a_receiver_that_does_not_read_holds_back_its_sender_and_no_other_stream(&cluster()).await;
}

#[tokio::test]
async fn after_a_shutdown_nothing_works_and_the_peer_knows() {
    conformance::after_a_shutdown_nothing_works_and_the_peer_knows(&cluster()).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let cluster = cluster();
    let first = cluster.bind("us-east", "us-east-1");
    let mut config = cluster.config("us-east-1");
    config.listen = first.local_address();
    let error = QuicNetwork::bind(&config).err().unwrap();
    assert!(matches!(error, BindError::AddressInUse { .. }), "{error}");
    assert!(
        error.to_string().contains(&first.local_address().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn timeouts_that_contradict_each_other_are_refused() {
    let cluster = cluster();
    cluster.issue("us-east", "us-east-1", 7);
    let mut config = cluster.config("us-east-1");
    config.idle_timeout = config.keep_alive_interval * 2;
    let error = QuicNetwork::bind(&config).err().unwrap();
    assert!(matches!(error, BindError::Timeouts { .. }), "{error}");
}

#[tokio::test]
async fn garbage_on_the_port_is_ignored() {
    let cluster = cluster();
    let acceptor = cluster.bind("eu-west", "eu-west-1");
    let dialler = cluster.bind("us-east", "us-east-1");
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in (1..1400).step_by(7) {
        let mut garbage = vec![0_u8; length];
        for byte in &mut garbage {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = state.to_be_bytes()[0];
        }
        if length % 2 == 0 {
            // The shape of a QUIC version 1 Initial.
            garbage.splice(0..length.min(5), [0xc3, 0, 0, 0, 1].into_iter().take(length));
        }
        socket.send_to(&garbage, acceptor.local_address()).unwrap();
    }
    let target = target_of(&acceptor);
    let (dialled, accepted) = within(async { tokio::join!(dialler.dial(&target), acceptor.accept()) }).await;
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
    // Garbage during a connection does not disturb it either.
    socket.send_to(&[0x40; 1200], acceptor.local_address()).unwrap();
    let mut stream = within(dialled.open_stream()).await.unwrap();
    within(stream.sender.send(Bytes::from_static(b"still here")))
        .await
        .unwrap();
    let mut received = within(accepted.accept_stream()).await.unwrap();
    assert_eq!(
        within(received.receiver.receive()).await.unwrap().unwrap(),
        "still here"
    );
}

#[tokio::test]
async fn handshakes_that_never_finish_do_not_hold_up_others() {
    let cluster = cluster();
    cluster.issue("eu-west", "eu-west-1", 365);
    let mut accepting = cluster.config("eu-west-1");
    accepting.dial_timeout = Duration::from_secs(2);
    let acceptor = QuicNetwork::bind(&accepting).unwrap();
    cluster.issue("us-east", "us-east-1", 365);
    let mut impatient = cluster.config("us-east-1");
    impatient.dial_timeout = Duration::from_millis(1);
    let impatient = QuicNetwork::bind(&impatient).unwrap();
    // Each passes on how a handshake begins, and nothing after that.
    let mut relays = Vec::new();
    for _ in 0..limits::HANDSHAKES_MAX * 2 {
        let relay = UdpSocket::bind(LOOPBACK).unwrap();
        relay.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let meant = target("eu-west", "eu-west-1", &relay.local_addr().unwrap().to_string());
        let mut packet = [0; 1500];
        let length = loop {
            assert!(impatient.dial(&meant).await.is_err());
            // On a busy machine the time may be over before anything was sent.
            if let Ok(length) = relay.recv(&mut packet) {
                break length;
            }
        };
        relay
            .send_to(&packet[..length], acceptor.local_address())
            .unwrap();
        relays.push(relay);
    }
    let dialler = QuicNetwork::bind(&cluster.config("us-east-1")).unwrap();
    let target = target_of(&acceptor);
    let (dialled, accepted) = within(async { tokio::join!(dialler.dial(&target), acceptor.accept()) }).await;
    assert!(dialled.is_ok() && accepted.is_some());
    // Those that got a place gave it back; the others had to prove their address first.
    let reason = refusal(&acceptor).await;
    assert!(reason.contains("not complete after"), "{reason}");
}

/// Both ends of a connection, the dialling one with access to QUIC itself.
async fn raw_pair(
    cluster: &Cluster,
) -> (
    Arc<QuicNetwork>,
    Arc<QuicNetwork>,
    Arc<QuicConnection>,
    Arc<dyn Connection>,
) {
    let (dialler, acceptor) = (
        cluster.bind("us-east", "us-east-1"),
        cluster.bind("eu-west", "eu-west-1"),
    );
    let target = target_of(&acceptor);
    let (dialled, accepted) =
        within(async { tokio::join!(dialler.dial_quic(&target), acceptor.accept()) }).await;
    (dialler, acceptor, dialled.unwrap(), accepted.unwrap())
}

#[tokio::test]
async fn an_oversized_frame_closes_the_connection_with_the_reason_on_both_sides() {
    let cluster = cluster();
    let (_dialler, _acceptor, dialled, accepted) = raw_pair(&cluster).await;
    let (mut send, _receive) = dialled.quic().open_bi().await.unwrap();
    send.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    let mut stream = within(accepted.accept_stream()).await.unwrap();
    let error = within(stream.receiver.receive()).await.unwrap_err();
    let expected = LinkError::FrameTooLarge {
        len: u64::from(u32::MAX),
        max: limits::FRAME_BYTES_MAX,
    };
    assert_eq!(error, expected);
    let told = within(dialled.closed()).await;
    let expected = LinkError::ClosedByPeer {
        code: CloseCode::ProtocolViolation,
        reason: expected.to_string(),
    };
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_says_so() {
    let cluster = cluster();
    let (_dialler, _acceptor, dialled, accepted) = raw_pair(&cluster).await;
    let (mut send, _receive) = dialled.quic().open_bi().await.unwrap();
    send.write_all(&[100, 0, 0, 0, 1, 2, 3]).await.unwrap();
    send.finish().unwrap();
    let mut stream = within(accepted.accept_stream()).await.unwrap();
    let error = within(stream.receiver.receive()).await.unwrap_err();
    assert_eq!(
        error,
        LinkError::Failed("the stream ended inside a frame, after 7 bytes".to_owned())
    );
}

#[tokio::test]
async fn streams_over_the_limit_wait_for_others_to_end() {
    let cluster = cluster();
    let (_dialler, _acceptor, dialled, _accepted) = raw_pair(&cluster).await;
    let mut open = Vec::new();
    for _ in 0..limits::STREAMS_PER_CONNECTION_MAX {
        open.push(within(dialled.open_stream()).await.unwrap());
    }
    assert!(
        tokio::time::timeout(Duration::from_millis(200), dialled.open_stream())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_silent_peer_is_noticed_after_the_idle_timeout() {
    let cluster = cluster();
    cluster.issue("us-east", "us-east-1", 365);
    let mut config = cluster.config("us-east-1");
    (config.keep_alive_interval, config.idle_timeout) =
        (Duration::from_millis(100), Duration::from_millis(500));
    let dialler = QuicNetwork::bind(&config).unwrap();

    // The peer lives in a runtime of its own, which is stopped as a crashed process would be.
    cluster.issue("eu-west", "eu-west-1", 365);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let peer_config = cluster.config("eu-west-1");
    let acceptor = runtime
        .spawn(async move { QuicNetwork::bind(&peer_config).unwrap() })
        .await
        .unwrap();
    // Kept alive over several idle timeouts. A machine that stalls for longer than one of them ends a connection too, so one
    // that lasts is enough: without anything to keep it alive none would.
    let connection = within(async {
        loop {
            let connection = dialler.dial(&target_of(&acceptor)).await.unwrap();
            let lasted = Duration::from_millis(1500);
            if tokio::time::timeout(lasted, connection.closed()).await.is_err() {
                return connection;
            }
        }
    })
    .await;
    runtime.shutdown_background();
    assert_eq!(within(connection.closed()).await, LinkError::TimedOut);
}
