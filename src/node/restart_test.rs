//! A partition whose actor fails is started again; one that fails time and again is stopped, and the others go on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower::ServiceExt as _;

use crate::actors::health::IgnoreLag;
use crate::actors::partition::{Origin, PartitionHandle, PartitionMessage, Receipts};
use crate::actors::region::FixedConfiguration;
use crate::api::IgnoreRequests;
use crate::config::ClusterConfig;
use crate::model::change::{Change, Commit, Delta};
use crate::model::hlc::Hlc;
use crate::model::ids::{Incarnation, Key, PartitionId, RegionId, ReplicaId, SubKey};
use crate::model::limits;
use crate::model::placement::partition_of;
use crate::model::record::{RecordId, RecordType};
use crate::model::vector::VersionVector;
use crate::node::assemble::{Assembly, NodePorts, NodeSurface};
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::{Clock as _, SystemClock};
use crate::ports::entropy::SystemEntropy;
use crate::ports::link::{Connection, DialTarget, LinkError, Network};
use crate::storage::{
    ExpectedIdentity, FailedWrite, GroupCommitter, MemoryStore, SilentObserver, check_or_create,
};
use crate::wire::messages::RewindReason;

/// Nobody is there.
struct Alone;

#[async_trait]
impl Network for Alone {
    async fn dial(&self, _target: &DialTarget) -> Result<Arc<dyn Connection>, LinkError> {
        std::future::pending().await
    }

    async fn accept(&self) -> Option<Arc<dyn Connection>> {
        std::future::pending().await
    }

    async fn shutdown(&self) {}
}

/// Fails whoever tells it something: stands for any bug of a partition.
struct Fatal;

impl Receipts for Fatal {
    fn applied(&self, _partition: PartitionId, _vector: VersionVector) {
        panic!("a bug of this partition");
    }

    fn rewind(
        &self,
        _partition: PartitionId,
        _vector: VersionVector,
        _reason: RewindReason,
        _detail: String,
    ) {
        panic!("a bug of this partition");
    }
}

const REGIONS: &str = "
cluster = 'test'
partitions = 4
region = [{ id = 'us', node = [{ id = 'us-1', http = '127.0.0.1:1', quic = '127.0.0.1:2' }] }]
";

async fn start() -> Assembly {
    start_on(Arc::new(MemoryStore::new())).await
}

async fn start_on(store: Arc<MemoryStore>) -> Assembly {
    let cluster = ClusterConfig::parse("regions.toml", REGIONS).unwrap();
    let clock = Arc::new(SystemClock::default());
    let expected = ExpectedIdentity {
        cluster: cluster.cluster,
        region: "us".parse().unwrap(),
        node: "us-1".parse().unwrap(),
        partitions: cluster.partitions,
        now: clock.now(),
    };
    let identity = check_or_create(store.as_ref(), std::path::Path::new("memory"), &expected).unwrap();
    let committer = GroupCommitter::start(store.clone(), Arc::new(SilentObserver)).unwrap();
    let ports = NodePorts {
        clock,
        entropy: Arc::new(SystemEntropy),
        store,
        committer: Arc::new(committer),
        network: Arc::new(Alone),
        blocking: BlockingWork::Threads,
        raft_entries_kept: limits::RAFT_ENTRIES_KEPT,
    };
    let surface = NodeSurface {
        certificate_expires: SystemTime::now() + Duration::from_secs(3600),
        render_metrics: Box::new(|_| String::new()),
        requests: Arc::new(IgnoreRequests),
        lag: Arc::new(IgnoreLag),
        configuration: Arc::new(FixedConfiguration {
            version: String::new(),
            since: SystemTime::now(),
        }),
    };
    Assembly::start(&cluster, &identity, ports, surface)
        .await
        .unwrap()
}

fn partition(assembly: &Assembly, key: &str) -> PartitionHandle {
    let key = Key::new(key).unwrap();
    let place = partition_of(
        &"shop".parse().unwrap(),
        &key,
        assembly.context().identity.partitions,
    );
    assembly.partitions()[usize::from(place.0)].clone()
}

/// Makes the actor of a partition panic.
fn break_down(handle: &PartitionHandle) {
    let region: RegionId = "eu".parse().unwrap();
    // It depends on what nobody has and claims to be of this region: it is refused, and the sender is told.
    let record = RecordId::new("shop".parse().unwrap(), RecordType::Set, Key::new("s").unwrap());
    let member = SubKey::new("m").unwrap();
    let commit = Commit {
        origin: ReplicaId {
            region: "us".parse().unwrap(),
            incarnation: Incarnation(u32::MAX),
        },
        first_seq: 1,
        hlc: Hlc(1),
        deps: VersionVector::new(),
        changes: vec![Change {
            record,
            delta: Delta::MemberAdd { member },
        }],
    };
    let origin = Origin {
        region,
        receipts: Some(Arc::new(Fatal)),
    };
    handle.send(PartitionMessage::Offer {
        origin,
        commits: vec![commit],
        permit: None,
    });
}

async fn call(assembly: &Assembly, method: &str, key: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/data/shop/registers/{key}"))
        .body(Body::from("x"))
        .unwrap();
    let response = assembly.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn put_until_made(assembly: &Assembly, key: &str) {
    let writing = async {
        loop {
            match call(assembly, "PUT", key).await {
                (StatusCode::NO_CONTENT, _) => return,
                (StatusCode::SERVICE_UNAVAILABLE, _) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), writing)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_partition_that_fails_goes_on_with_what_is_stored_and_the_others_notice_nothing() {
    let assembly = start().await;
    let handle = partition(&assembly, "a");
    let other = (0..).map(|n| format!("b{n}"));
    let other = other
        .into_iter()
        .find(|key| partition(&assembly, key).partition() != handle.partition())
        .unwrap();
    put_until_made(&assembly, "a").await;
    let context = Arc::clone(assembly.context());
    for failures in 1..=limits::PARTITION_FAILURES_MAX {
        break_down(&handle);
        assert_eq!(call(&assembly, "PUT", &other).await.0, StatusCode::NO_CONTENT);
        put_until_made(&assembly, "a").await;
        assert_eq!(context.failures.restarts(), failures as u64);
        // No seq was given out twice, and none was left out.
        let own = context.identity.replica;
        let seq = context.partitions.view(handle.partition()).vector.get(&own);
        assert_eq!(seq, failures as u64 + 1);
    }
    assert!(context.failures.all().is_empty());

    break_down(&handle);
    let stopped = async {
        while context.partitions.view(handle.partition()).stopped.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stopped)
        .await
        .unwrap();
    let (status, text) = call(&assembly, "PUT", "a").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("has failed"), "{text}");
    assert_eq!(call(&assembly, "GET", "a").await.0, StatusCode::OK);
    assert_eq!(call(&assembly, "PUT", &other).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_partition_that_fails_after_a_write_of_unknown_outcome_is_loaded_only_when_that_is_known() {
    let store = Arc::new(MemoryStore::new());
    let assembly = start_on(Arc::clone(&store)).await;
    let handle = partition(&assembly, "a");
    // It has landed, but nobody can see that before the store is reopened, and a full disk keeps that from happening.
    store.fail_next_writes(1, FailedWrite::Landed);
    let (status, text) = call(&assembly, "PUT", "a").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("\"unknown\""), "{text}");
    store.set_full(true);
    break_down(&handle);
    tokio::time::sleep(Duration::from_millis(4 * limits::PARTITION_RESTART_DELAY_MS)).await;
    assert_eq!(assembly.context().failures.restarts(), 0);
    store.set_full(false);
    put_until_made(&assembly, "a").await;
    let context = assembly.context();
    let own = context.identity.replica;
    let seq = context.partitions.view(handle.partition()).vector.get(&own);
    assert_eq!(seq, 2, "the seq of the write that had landed was given out again");
}
