//! Answering over a stream in memory: bounds, failures, and what is not answered any more.

use std::sync::atomic::Ordering;

use super::*;
use crate::actors::mesh::kit_test::{TestService, eventually, identity, member, memory_stream, node_id};
use crate::actors::mesh::{FoundingDesk, MeshBoard};
use crate::model::ids::PartitionId;
use crate::ports::clock::SystemClock;
use crate::ports::entropy::SystemEntropy;
use crate::ports::link::{DialTarget, LinkError, Network};
use crate::ports::link_conformance::within;
use crate::wire::mesh::{CallId, MeshAnswer};
use bytes::Bytes;

/// Reaches nobody.
struct Nowhere;

#[async_trait::async_trait]
impl Network for Nowhere {
    async fn dial(&self, _: &DialTarget) -> Result<Arc<dyn Connection>, LinkError> {
        std::future::pending().await
    }

    async fn accept(&self) -> Option<Arc<dyn Connection>> {
        None
    }

    async fn shutdown(&self) {}
}

struct Served {
    stream: Stream,
    service: Arc<TestService>,
    serving: tokio::task::JoinHandle<Result<(), ConnectionError>>,
}

fn server(service: &Arc<TestService>) -> MeshServer {
    MeshServer::new(Arc::new(MeshParts {
        identity: identity("n1"),
        life: 1,
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
        network: Arc::new(Nowhere),
        targets: Vec::new(),
        board: Arc::new(MeshBoard::new([])),
        service: Arc::<TestService>::clone(service),
        founding: FoundingDesk::open().0,
    }))
}

/// A stream of requests from n2 that n1 answers.
fn served() -> Served {
    let service = TestService::new();
    let server = server(&service);
    let (stream, far) = memory_stream();
    let free = Arc::new(Semaphore::new(limits::MESH_PLACES_MAX));
    let serving = tokio::spawn(async move { server.serve_stream(member("n2"), far, free).await });
    Served {
        stream,
        service,
        serving,
    }
}

fn request(id: u64, body: impl Into<Bytes>) -> MeshRequest {
    MeshRequest {
        id: CallId(id),
        partition: PartitionId(3),
        patience_ms: 60_000,
        body: body.into(),
    }
}

impl Served {
    async fn send(&mut self, requests: Vec<MeshRequest>) {
        let frame = MeshMessage::Requests(requests).encode();
        within(self.stream.sender.send(frame)).await.unwrap();
    }

    async fn answers(&mut self) -> Vec<MeshAnswer> {
        let frame = within(self.stream.receiver.receive()).await.unwrap().unwrap();
        assert!(frame.len() <= limits::MESH_FRAME_BYTES + limits::MESH_ANSWER_BYTES_MAX);
        match MeshMessage::decode(&frame).unwrap() {
            MeshMessage::Answers(answers) => answers,
            other => panic!("{other:?}"),
        }
    }

    /// So many answers, by id.
    async fn collect(&mut self, count: usize) -> BTreeMap<u64, Result<Bytes, String>> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            for answer in self.answers().await {
                assert!(all.insert(answer.id.0, answer.result).is_none(), "answered twice");
            }
        }
        all
    }

    fn under_way(&self) -> usize {
        self.service.under_way.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_request_that_fails_or_panics_or_hangs_or_has_too_large_an_answer_fails_alone() {
    let mut served = served();
    let bodies = ["hang", "panic", "fail", "large", "echo"];
    let requests = (0..).zip(bodies).map(|(id, body)| request(id, body));
    served.send(requests.collect()).await;
    let answers = served.collect(4).await;
    let reason = |id: u64| answers[&id].clone().unwrap_err();
    assert!(reason(1).contains("has failed"), "{}", reason(1));
    assert_eq!(reason(2), "it was told to");
    assert!(
        reason(3).contains("131073 bytes is over the limit of 131072"),
        "{}",
        reason(3)
    );
    assert_eq!(answers[&4], Ok(Bytes::from_static(b"3 echo")));
    assert_eq!(served.under_way(), 1, "one hangs");
    // The stream goes on.
    served.send(vec![request(9, "more")]).await;
    assert_eq!(served.collect(1).await[&9], Ok(Bytes::from_static(b"3 more")));
}

#[tokio::test]
async fn a_request_is_dropped_when_its_asker_has_given_up() {
    let mut served = served();
    let mut hanging = request(0, "hang");
    hanging.patience_ms = 1;
    served.send(vec![hanging]).await;
    eventually(|| served.service.under_way_max.load(Ordering::SeqCst) == 1 && served.under_way() == 0).await;
    served.send(vec![request(1, "a")]).await;
    assert_eq!(served.collect(1).await.into_keys().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_there_are_places() {
    let mut served = served();
    let count = limits::MESH_PLACES_MAX + 1000;
    let ids = 0..count as u64;
    served
        .send(ids.clone().map(|id| request(id, "held")).collect())
        .await;
    eventually(|| served.under_way() == limits::MESH_PLACES_MAX).await;
    served.service.released.add_permits(count);
    let answers = served.collect(count).await;
    assert!(answers.keys().copied().eq(ids) && answers.values().all(Result::is_ok));
    let most = served.service.under_way_max.load(Ordering::SeqCst);
    assert_eq!(most, limits::MESH_PLACES_MAX);
}

#[test]
fn large_requests_take_more_places() {
    let all = limits::MESH_PLACES_MAX;
    let cases = [
        (0, 1),
        (limits::MESH_PLACE_BYTES - 1, 1),
        (limits::MESH_PLACE_BYTES, 2),
        (limits::MESH_BODY_BYTES_MAX, all / 8),
        (usize::MAX, all),
    ];
    for (bytes, count) in cases {
        assert_eq!(places(bytes), u32::try_from(count).unwrap(), "{bytes} bytes");
    }
}

#[tokio::test]
async fn answers_are_gathered_and_their_frames_have_a_limit() {
    let mut served = served();
    let body = vec![7; limits::MESH_ANSWER_BYTES_MAX - 2];
    let requests: Vec<MeshRequest> = (0..20).map(|id| request(id, body.clone())).collect();
    served.send(requests).await;
    let answers = served.collect(20).await;
    assert!(
        answers
            .values()
            .all(|result| result.as_ref().unwrap().len() == body.len() + 2)
    );
}

#[tokio::test]
async fn when_the_stream_ends_nothing_of_it_goes_on() {
    let mut served = served();
    served.send(vec![request(0, "hang"), request(1, "hang")]).await;
    eventually(|| served.under_way() == 2).await;
    let Served {
        stream,
        service,
        serving,
    } = served;
    drop(stream);
    within(serving).await.unwrap().unwrap();
    eventually(|| service.under_way.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn what_is_no_request_or_of_no_partition_breaks_the_protocol() {
    let mut strange = request(0, "a");
    strange.partition = PartitionId(64);
    let frames = [
        Bytes::from_static(b"garbage"),
        MeshMessage::Answers(Vec::new()).encode(),
        MeshMessage::Requests(vec![strange]).encode(),
    ];
    for frame in frames {
        let mut served = served();
        within(served.stream.sender.send(frame)).await.unwrap();
        let error = within(served.serving).await.unwrap().unwrap_err();
        assert_eq!(
            error.close_code(),
            crate::ports::link::CloseCode::ProtocolViolation,
            "{error}"
        );
    }
}

#[test]
fn the_same_refusal_is_told_once() {
    let server = server(&TestService::new());
    let (two, three) = (node_id("n2"), node_id("n3"));
    assert!(server.is_news(two, "a"));
    assert!(!server.is_news(two, "a"));
    assert!(server.is_news(two, "b"), "another reason");
    assert!(server.is_news(three, "b"), "another node");
    server.forget_refusal(two);
    assert!(server.is_news(two, "b"), "it was accepted between");
    for number in 0..2 * limits::NODES_PER_REGION_MAX {
        server.is_news(node_id(&format!("m{number}")), "a");
    }
    assert!(server.refusals().len() <= limits::NODES_PER_REGION_MAX);
}
