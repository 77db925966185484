//! What every implementation of the link port must do, as functions that its tests call with a [`Harness`].
//!
//! Only the port's traits are used here; what is particular to QUIC or TLS is tested beside it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::model::limits;
use crate::ports::link::{CloseCode, Connection, DialTarget, LinkError, Network, Stream};

/// Everything here is done long before this; a test that hangs must fail.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes nodes of one cluster that can reach each other.
pub(crate) trait Harness {
    /// A new node, listening.
    fn node(&self, region: &str, node: &str) -> impl Future<Output = TestNode>;

    /// An address where nobody listens.
    fn address_of_nobody(&self) -> String;
}

/// A node under test.
pub(crate) struct TestNode {
    /// Its network.
    pub(crate) network: Arc<dyn Network>,
    /// How others dial it.
    pub(crate) target: DialTarget,
}

/// Two nodes and a connection between them, as both see it.
pub(crate) struct Pair {
    pub(crate) dialler: TestNode,
    pub(crate) acceptor: TestNode,
    /// The dialling side's end.
    pub(crate) dialled: Arc<dyn Connection>,
    /// The accepting side's end.
    pub(crate) accepted: Arc<dyn Connection>,
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the test hangs")
}

pub(crate) fn target(region: &str, node: &str, address: &str) -> DialTarget {
    DialTarget {
        region: region.parse().unwrap(),
        node: node.parse().unwrap(),
        address: address.to_owned(),
    }
}

/// The error of a dial that must not succeed.
pub(crate) async fn dial_error(node: &TestNode, target: &DialTarget) -> LinkError {
    match within(node.network.dial(target)).await {
        Ok(connection) => panic!("connected to {:?}", connection.peer()),
        Err(error) => error,
    }
}

pub(crate) async fn connected(harness: &impl Harness) -> Pair {
    let dialler = harness.node("us-east", "us-east-1").await;
    let acceptor = harness.node("eu-west", "eu-west-1").await;
    let (dialled, accepted) =
        within(async { tokio::join!(dialler.network.dial(&acceptor.target), acceptor.network.accept()) })
            .await;
    Pair {
        dialled: dialled.unwrap(),
        accepted: accepted.unwrap(),
        dialler,
        acceptor,
    }
}

/// A stream opened by the dialling side, as both see it. Its first frame is spent on making it known.
pub(crate) async fn stream(pair: &Pair) -> (Stream, Stream) {
    let mut opened = within(pair.dialled.open_stream()).await.unwrap();
    within(opened.sender.send(Bytes::from_static(b"open")))
        .await
        .unwrap();
    let mut accepted = within(pair.accepted.accept_stream()).await.unwrap();
    assert_eq!(
        within(accepted.receiver.receive()).await.unwrap().unwrap(),
        "open"
    );
    (opened, accepted)
}

pub(crate) async fn both_sides_know_who_the_other_is(harness: &impl Harness) {
    let begun = Instant::now();
    let pair = connected(harness).await;
    let dialled = pair.dialled.peer();
    assert_eq!(
        (dialled.region, dialled.node),
        (pair.acceptor.target.region, pair.acceptor.target.node)
    );
    let accepted = pair.accepted.peer();
    assert_eq!(
        (accepted.region, accepted.node),
        (pair.dialler.target.region, pair.dialler.target.node)
    );
    assert_eq!(dialled.cluster, accepted.cluster);
    // No way there and back takes longer than all of them together; before the first is measured it is a guess.
    let longest = begun.elapsed().max(Duration::from_secs(1));
    assert!(pair.dialled.round_trip() < longest);
}

pub(crate) async fn streams_keep_the_order_of_frames_in_both_directions(harness: &impl Harness) {
    let pair = connected(harness).await;
    let (mut near, mut far) = stream(&pair).await;
    for (sender, receiver) in [
        (&mut near.sender, &mut far.receiver),
        (&mut far.sender, &mut near.receiver),
    ] {
        let sending = async {
            for number in 0..2000_u32 {
                // Sizes around packets' edges, empty frames included.
                let frame = vec![number.to_le_bytes()[0]; (number as usize * 37) % 3000];
                sender.send(Bytes::from(frame)).await.unwrap();
            }
        };
        let receiving = async {
            for number in 0..2000_u32 {
                let frame = receiver.receive().await.unwrap().unwrap();
                assert_eq!(
                    frame,
                    vec![number.to_le_bytes()[0]; (number as usize * 37) % 3000]
                );
            }
        };
        within(async { tokio::join!(sending, receiving) }).await;
    }
}

pub(crate) async fn a_finished_stream_ends_after_its_last_frame(harness: &impl Harness) {
    let pair = connected(harness).await;
    let (mut near, mut far) = stream(&pair).await;
    within(near.sender.send(Bytes::from_static(b"last")))
        .await
        .unwrap();
    drop(near.sender);
    assert_eq!(within(far.receiver.receive()).await.unwrap().unwrap(), "last");
    assert_eq!(within(far.receiver.receive()).await.unwrap(), None);
    // The other direction goes on.
    within(far.sender.send(Bytes::from_static(b"answer")))
        .await
        .unwrap();
    assert_eq!(within(near.receiver.receive()).await.unwrap().unwrap(), "answer");
}

pub(crate) async fn a_frame_at_the_limit_arrives_and_one_over_it_is_not_sent(harness: &impl Harness) {
    let pair = connected(harness).await;
    let (mut near, mut far) = stream(&pair).await;
    let largest = Bytes::from(vec![7; limits::FRAME_BYTES_MAX]);
    let (sent, received) =
        within(async { tokio::join!(near.sender.send(largest.clone()), far.receiver.receive()) }).await;
    sent.unwrap();
    assert!(received.unwrap().unwrap() == largest, "the frame was changed");

    let error = near
        .sender
        .send(Bytes::from(vec![7; limits::FRAME_BYTES_MAX + 1]))
        .await
        .unwrap_err();
    let expected = LinkError::FrameTooLarge {
        len: limits::FRAME_BYTES_MAX as u64 + 1,
        max: limits::FRAME_BYTES_MAX,
    };
    assert_eq!(error, expected);
    // Nothing of it was sent: the stream still works.
    within(near.sender.send(Bytes::from_static(b"next")))
        .await
        .unwrap();
    assert_eq!(within(far.receiver.receive()).await.unwrap().unwrap(), "next");
}

pub(crate) async fn a_dropped_receive_loses_nothing(harness: &impl Harness) {
    let pair = connected(harness).await;
    let (mut near, mut far) = stream(&pair).await;
    let frame = Bytes::from(vec![9; 1024 * 1024]);
    let sending = near.sender.send(frame.clone());
    let receiving = async {
        loop {
            // Far too short for the whole frame, so that it is dropped many times half-way.
            if let Ok(received) =
                tokio::time::timeout(Duration::from_micros(50), far.receiver.receive()).await
            {
                return received.unwrap().unwrap();
            }
        }
    };
    let (sent, received) = within(async { tokio::join!(sending, receiving) }).await;
    sent.unwrap();
    assert!(received == frame, "the frame was changed");
}

pub(crate) async fn code_and_reason_of_a_close_reach_the_peer(harness: &impl Harness) {
    for code in [
        CloseCode::Done,
        CloseCode::Refused,
        CloseCode::Paused,
        CloseCode::ProtocolViolation,
    ] {
        let pair = connected(harness).await;
        let (near, mut far) = stream(&pair).await;
        pair.dialled.close(code, "partition count 64 here, 128 there");
        let expected = LinkError::ClosedByPeer {
            code,
            reason: "partition count 64 here, 128 there".to_owned(),
        };
        assert_eq!(within(pair.accepted.closed()).await, expected);
        assert_eq!(within(far.receiver.receive()).await.unwrap_err(), expected);
        assert_eq!(
            within(far.sender.send(Bytes::from_static(b"x")))
                .await
                .unwrap_err(),
            expected
        );
        assert_eq!(within(pair.accepted.open_stream()).await.err().unwrap(), expected);
        assert_eq!(
            within(pair.accepted.accept_stream()).await.err().unwrap(),
            expected
        );
        let here = LinkError::ClosedLocally {
            reason: "partition count 64 here, 128 there".to_owned(),
        };
        assert_eq!(within(pair.dialled.closed()).await, here);
        assert_eq!(within(pair.dialled.open_stream()).await.err().unwrap(), here);
        drop(near);
    }
}

pub(crate) async fn a_long_reason_is_cut_at_a_characters_edge(harness: &impl Harness) {
    let pair = connected(harness).await;
    pair.accepted.close(CloseCode::Refused, &"é".repeat(150));
    let expected = LinkError::ClosedByPeer {
        code: CloseCode::Refused,
        reason: "é".repeat(100),
    };
    assert_eq!(within(pair.dialled.closed()).await, expected);
}

pub(crate) async fn a_dial_to_nobody_names_the_address(harness: &impl Harness) {
    let node = harness.node("us-east", "us-east-1").await;
    let address = harness.address_of_nobody();
    let error = dial_error(&node, &target("eu-west", "eu-west-1", &address)).await;
    assert!(
        matches!(&error, LinkError::Unreachable { address: named, .. } if *named == address),
        "{error}"
    );
    let error = dial_error(
        &node,
        &target("eu-west", "eu-west-1", "no-such-host.invalid:7000"),
    )
    .await;
    assert!(error.to_string().contains("no-such-host.invalid:7000"), "{error}");
}

pub(crate) async fn another_node_than_the_one_meant_is_refused_on_both_sides(harness: &impl Harness) {
    let dialler = harness.node("us-east", "us-east-1").await;
    let acceptor = harness.node("eu-west", "eu-west-1").await;
    for (region, node) in [("eu-west", "eu-west-2"), ("ap-south", "eu-west-1")] {
        let error = dial_error(&dialler, &target(region, node, &acceptor.target.address)).await;
        assert!(matches!(&error, LinkError::Handshake(_)), "{error}");
        assert!(
            error.to_string().contains(node) && error.to_string().contains(region),
            "{error}"
        );
    }
    // The accepting side hands over none of them, only this one.
    let (dialled, accepted) =
        within(async { tokio::join!(dialler.network.dial(&acceptor.target), acceptor.network.accept()) })
            .await;
    within(dialled.unwrap().open_stream()).await.unwrap();
    within(accepted.unwrap().open_stream()).await.unwrap();
}

pub(crate) async fn many_streams_run_side_by_side(harness: &impl Harness) {
    let pair = connected(harness).await;
    let count = limits::STREAMS_PER_CONNECTION_MAX as usize;
    let echo = async {
        let mut tasks = Vec::new();
        for _ in 0..count {
            let mut stream = pair.accepted.accept_stream().await.unwrap();
            tasks.push(tokio::spawn(async move {
                while let Some(frame) = stream.receiver.receive().await.unwrap() {
                    stream.sender.send(frame).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    };
    let talk = async {
        let mut tasks = Vec::new();
        for number in 0..count {
            let mut stream = pair.dialled.open_stream().await.unwrap();
            tasks.push(tokio::spawn(async move {
                for round in 0..20 {
                    let frame = Bytes::from(format!("{number} {round} {}", "x".repeat(number * 10)));
                    within(stream.sender.send(frame.clone())).await.unwrap();
                    assert_eq!(within(stream.receiver.receive()).await.unwrap().unwrap(), frame);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    };
    // Each answer is waited for, and not all of them together: the speed of the machine is not what is asked.
    tokio::join!(echo, talk);
}

pub(crate) async fn a_receiver_that_does_not_read_holds_back_its_sender_and_no_other_stream(
    harness: &impl Harness,
) {
    let pair = connected(harness).await;
    let (mut near, mut far) = stream(&pair).await;
    let (mut other_near, mut other_far) = stream(&pair).await;
    let frame = Bytes::from(vec![1; 1024 * 1024]);
    let sent_count = Arc::new(AtomicU64::new(0));
    let sending = tokio::spawn({
        let sent_count = Arc::clone(&sent_count);
        async move {
            while sent_count.load(Ordering::Relaxed) < 300 {
                near.sender.send(frame.clone()).await.unwrap();
                sent_count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = sent_count.load(Ordering::Relaxed);
        if now > 0 && now == before {
            break;
        }
        before = now;
    }
    let bytes_max = limits::STREAM_WINDOW_BYTES + limits::FRAME_BYTES_MAX;
    assert!(
        before * 1024 * 1024 <= bytes_max as u64,
        "{before} MiB went into a stream that nobody reads"
    );

    for (sender, receiver) in [
        (&mut other_near.sender, &mut other_far.receiver),
        (&mut other_far.sender, &mut other_near.receiver),
    ] {
        within(sender.send(Bytes::from_static(b"heartbeat")))
            .await
            .unwrap();
        assert_eq!(within(receiver.receive()).await.unwrap().unwrap(), "heartbeat");
    }
    // Reading lets it go on.
    for _ in 0..300 {
        assert_eq!(
            within(far.receiver.receive()).await.unwrap().unwrap().len(),
            1024 * 1024
        );
    }
    within(sending).await.unwrap();
}

pub(crate) async fn after_a_shutdown_nothing_works_and_the_peer_knows(harness: &impl Harness) {
    let pair = connected(harness).await;
    within(pair.acceptor.network.shutdown()).await;
    assert!(within(pair.acceptor.network.accept()).await.is_none());
    let told = within(pair.dialled.closed()).await;
    assert!(
        matches!(
            told,
            LinkError::ClosedByPeer {
                code: CloseCode::Done,
                ..
            }
        ),
        "{told}"
    );
    assert!(matches!(
        within(pair.accepted.closed()).await,
        LinkError::ClosedLocally { .. }
    ));
    let error = dial_error(&pair.acceptor, &pair.dialler.target).await;
    assert!(matches!(error, LinkError::ClosedLocally { .. }), "{error}");
}
