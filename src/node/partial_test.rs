//! Nodes that do not hold every partition answer everything all the same: what they lack they ask of those that have it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use super::region_kit_test::{PATIENCE, World};
use crate::model::ids::PartitionId;
use crate::model::placement::partition_of;
use crate::ports::store::{Durability, Family, Store as _, WriteSet};
use crate::wire::keys::names::NameKey;
use crate::wire::keys::row::RowKey;

/// As clients send them.
struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
}

struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Told {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
            .to_str()
            .unwrap()
    }
}

impl World {
    async fn ask(&self, number: usize, ask: &Ask<'_>) -> Told {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header("atoll-timeout-ms", "30000");
        if !ask.body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(ask.body.to_owned())).unwrap();
        let answer = self.assembly(number).router().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 1 << 22).await.unwrap();
        Told {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn get(&self, number: usize, level: &str, path: &str) -> Told {
        let headers = [("atoll-consistency", level)];
        let ask = Ask {
            method: "GET",
            path,
            headers: &headers,
            body: "",
        };
        self.ask(number, &ask).await
    }

    async fn done(&self, number: usize, method: &str, path: &str, body: &str) -> Told {
        let ask = Ask {
            method,
            path,
            headers: &[],
            body,
        };
        let told = self.ask(number, &ask).await;
        assert!(
            told.status.is_success(),
            "{method} {path} at {number}: {} {}",
            told.status,
            told.body
        );
        told
    }

    /// Four nodes, of which the last leads nothing and, but for the partition of the region, holds nothing.
    async fn with_one_that_holds_nothing() -> Self {
        let mut world = Self::new(4);
        let (one, two, three, four) =
            tokio::join!(world.node(0), world.node(1), world.node(2), world.node(3));
        world.running = [Some(one), Some(two), Some(three), Some(four)];
        let deadline = Instant::now() + PATIENCE;
        loop {
            let drain = Ask {
                method: "POST",
                path: "/v1/cluster/nodes/n4/drain",
                headers: &[],
                body: "",
            };
            let drained = world.ask(0, &drain).await;
            let nodes = world.get(0, "local_quorum", "/v1/cluster/nodes").await.json();
            let last = &nodes["nodes"][3];
            if (&last["votes"], &last["leads"], &last["state"]) == (&0.into(), &0.into(), &"drained".into()) {
                break;
            }
            assert!(Instant::now() < deadline, "{} {nodes:#}", drained.body);
            sleep(Duration::from_millis(50)).await;
        }
        for partition in world.config.partitions.ids().skip(1) {
            world.assembly(3).context().groups.set_held(partition, false);
        }
        world
    }

    /// What a node does not hold is not even in its store.
    fn wipe_what_is_not_held(&self) {
        for (number, running) in self.running.iter().enumerate() {
            let Some(running) = running else { continue };
            let (context, disk) = (running.assembly.context(), &self.disks[number]);
            let mut set = WriteSet::new();
            for partition in self
                .config
                .partitions
                .ids()
                .filter(|id| !context.groups.holds(*id))
            {
                let range = RowKey::partition_range(partition);
                set.delete_range(Family::Rows, &range.from, &range.to);
            }
            disk.scan(Family::Names, &[], &[u8::MAX], &mut |key, _| {
                let record = NameKey::decode(key).unwrap().0;
                let partition = partition_of(&record.namespace, &record.key, self.config.partitions);
                if !context.groups.holds(partition) {
                    set.delete(Family::Names, key);
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
            disk.write(&[set], Durability::Synced).unwrap();
        }
    }
}

fn keys_of(page: &serde_json::Value) -> Vec<String> {
    let keys = page["keys"].as_array().unwrap().iter();
    keys.map(|key| key["key"].as_str().unwrap().to_owned()).collect()
}

const KEYS: usize = 24;
const LEVELS: [&str; 4] = ["eventual", "local_quorum", "global_quorum", "strong"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_holds_nothing_answers_everything() {
    let world = World::with_one_that_holds_nothing().await;
    world
        .done(3, "PUT", "/v1/data/shop", r#"{"home_region": "eu"}"#)
        .await;
    for key in 0..KEYS {
        world
            .done(
                3,
                "PUT",
                &format!("/v1/data/shop/registers/r{key:02}"),
                &format!("{key}"),
            )
            .await;
        world
            .done(
                3,
                "POST",
                &format!("/v1/data/shop/counters/c{key:02}"),
                r#"{"add": 3}"#,
            )
            .await;
        world
            .done(
                3,
                "POST",
                &format!("/v1/data/shop/sets/s{key:02}"),
                r#"{"add": ["a", "b"]}"#,
            )
            .await;
        world
            .done(
                3,
                "POST",
                &format!("/v1/data/shop/maps/m{key:02}"),
                r#"{"set": {"f": 1}}"#,
            )
            .await;
        world
            .done(3, "PUT", &format!("/v1/data/shop/sets/s{key:02}/c"), "")
            .await;
        let batch = serde_json::json!({"operations": [
            {"op": "put", "type": "register", "key": format!("{{b{key:02}}}:one"), "value": "1"},
            {"op": "add", "type": "counter", "key": format!("{{b{key:02}}}:two"), "add": 2},
        ]});
        world
            .done(3, "POST", "/v1/data/shop/batch", &batch.to_string())
            .await;
    }
    let created = [("if-none-match", "*"), ("atoll-consistency", "strong")];
    let again = Ask {
        method: "PUT",
        path: "/v1/data/shop/registers/r05",
        headers: &created,
        body: "again",
    };
    let told = world.ask(3, &again).await;
    assert_eq!(told.status, StatusCode::PRECONDITION_FAILED, "{}", told.body);
    world.converge().await;
    world.wipe_what_is_not_held();

    for level in LEVELS {
        for key in 0..KEYS {
            let told = world
                .get(3, level, &format!("/v1/data/shop/registers/r{key:02}"))
                .await;
            assert_eq!(
                (told.status, told.body.as_str()),
                (StatusCode::OK, &*key.to_string()),
                "{level}"
            );
            assert_eq!(told.header("atoll-consistency"), level);
            let told = world
                .get(3, level, &format!("/v1/data/shop/counters/c{key:02}"))
                .await;
            assert_eq!(told.json()["value"], 3);
            let told = world
                .get(3, level, &format!("/v1/data/shop/sets/s{key:02}"))
                .await;
            assert_eq!(told.json()["members"], serde_json::json!(["a", "b", "c"]));
            let told = world
                .get(3, level, &format!("/v1/data/shop/maps/m{key:02}/f"))
                .await;
            assert_eq!(told.body, "1");
            let told = world
                .get(3, level, &format!("/v1/data/shop/counters/%7Bb{key:02}%7D:two"))
                .await;
            assert_eq!(told.json()["value"], 2);
            let told = world
                .get(3, level, &format!("/v1/data/shop/sets/s{key:02}/x"))
                .await;
            assert_eq!(told.status, StatusCode::NOT_FOUND);
        }
        list_all(&world, 3, level).await;
    }
    looks_the_same_everywhere(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_node_holds_a_part_of_is_put_together() {
    let world = World::start().await;
    for key in 0..KEYS {
        world
            .done(
                0,
                "PUT",
                &format!("/v1/data/shop/registers/r{key:02}"),
                &format!("{key}"),
            )
            .await;
    }
    world.converge().await;
    for number in 0..3 {
        let not_held = world.config.partitions.ids().skip(1);
        for partition in not_held.filter(|partition| usize::from(partition.0) % 3 != number) {
            world.assembly(number).context().groups.set_held(partition, false);
        }
    }
    world.wipe_what_is_not_held();
    for at in 0..3 {
        list_all(&world, at, "eventual").await;
        for key in 0..KEYS {
            let told = world
                .get(at, "eventual", &format!("/v1/data/shop/registers/r{key:02}"))
                .await;
            assert_eq!(
                (told.status, told.body.as_str()),
                (StatusCode::OK, &*key.to_string())
            );
        }
    }
    looks_the_same_everywhere(&world).await;
    world.stop().await;
}

/// What is about all partitions.
async fn looks_the_same_everywhere(world: &World) {
    let running = (0..world.running.len()).filter(|number| world.running[*number].is_some());
    let mut digests = Vec::new();
    for at in running {
        let told = world.get(at, "local_quorum", "/v1/data").await;
        assert_eq!(told.json()["namespaces"], serde_json::json!(["shop"]), "at {at}");
        let told = world.get(at, "local_quorum", "/v1/cluster/conflicts").await;
        assert_eq!(told.json()["conflicts"], serde_json::json!([]));
        digests.push(world.digest(at).await);
        // The namespace has data, wherever that is, so its policy stays.
        let ask = Ask {
            method: "PUT",
            path: "/v1/data/shop",
            headers: &[],
            body: r#"{"home_region": "eu", "conflict_policy": "siblings"}"#,
        };
        let told = world.ask(at, &ask).await;
        assert_eq!(told.status, StatusCode::CONFLICT, "{}", told.body);
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:#?}");
}

impl World {
    async fn digest(&self, number: usize) -> serde_json::Value {
        self.get(number, "local_quorum", "/v1/cluster/digest")
            .await
            .json()
    }
}

/// All pages of a listing, in whatever size they come.
async fn list_all(world: &World, at: usize, level: &str) {
    let expected: Vec<String> = (0..KEYS).map(|key| format!("r{key:02}")).collect();
    for limit in [1000, 5] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/data/shop/registers?prefix=r&limit={limit}{after}");
            let told = world.get(at, level, &path).await;
            assert_eq!(told.status, StatusCode::OK, "{}", told.body);
            assert_eq!(told.header("atoll-consistency"), level);
            assert!(!told.header("atoll-session").is_empty());
            let page = told.json();
            let keys = keys_of(&page);
            assert!(keys.len() <= limit);
            found.extend(keys);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "{level} at {at} by {limit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_session_has_written_in_one_partition_holds_nobody_up_in_another() {
    let world = World::with_one_that_holds_nothing().await;
    for level in ["eventual", "local_quorum"] {
        for key in 0..8 {
            let path = format!("/v1/data/shop/registers/{level}-{key}");
            let told = world.done(3, "PUT", &path, level).await;
            let session = told.header("atoll-session").to_owned();
            let headers = [("atoll-consistency", level), ("atoll-session", &*session)];
            for (path, status) in [
                (&*path, StatusCode::OK),
                ("/v1/data/shop/registers/none", StatusCode::NOT_FOUND),
            ] {
                for at in 0..4 {
                    let ask = Ask {
                        method: "GET",
                        path,
                        headers: &headers,
                        body: "",
                    };
                    let told = world.ask(at, &ask).await;
                    assert_eq!(told.status, status, "{path} at {at}: {}", told.body);
                }
            }
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_nobody_holds_is_named() {
    let world = World::start().await;
    for number in 0..3 {
        world
            .assembly(number)
            .context()
            .groups
            .set_held(PartitionId(5), false);
    }
    let timeout = [("atoll-timeout-ms", "300")];
    let ask = Ask {
        method: "GET",
        path: "/v1/data/shop/registers",
        headers: &timeout,
        body: "",
    };
    let told = world.ask(0, &ask).await;
    assert!(
        told.status.is_server_error() && told.body.contains("partition 5"),
        "{}",
        told.body
    );
    let told = world.get(1, "local_quorum", "/v1/cluster/digest").await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(told.body.contains("partition 5"), "{}", told.body);
    world.stop().await;
}
