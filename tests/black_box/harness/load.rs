//! Write load from several clients at a time, which remembers exactly what was acknowledged to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::node::Node;
use super::wait_for_count;

/// Registers that each client overwrites in turn.
const REGISTERS: u64 = 20;

/// Clients that write to one region.
pub(crate) struct Load {
    clients: JoinSet<Acknowledged>,
    is_stopped: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

/// How many writes were answered so far.
#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    refused: AtomicU64,
}

/// What clients were told, and what they do not know.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// The last number that was acknowledged, by register, and the one whose outcome is unknown.
    registers: BTreeMap<String, (Option<u64>, Option<u64>)>,
    /// By counter: the sum of acknowledged adds, and of those whose outcome is unknown.
    counters: BTreeMap<String, (i64, i64)>,
    /// Acknowledged members, by set.
    members: BTreeMap<String, BTreeSet<String>>,
    /// The last number that was acknowledged, by map and field.
    fields: BTreeMap<(String, String), u64>,
    /// Writes refused with 503: they must not have been made.
    pub(crate) refused: BTreeSet<String>,
}

struct Client {
    name: String,
    region: Arc<Node>,
    seen: Acknowledged,
}

/// How one write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Refused,
    Unknown,
}

impl Load {
    /// Starts clients that write until they are stopped or lose the node.
    pub(crate) fn start(region: &Arc<Node>, label: &str, clients: usize) -> Self {
        let mut load = Self {
            clients: JoinSet::new(),
            is_stopped: Arc::default(),
            counts: Arc::default(),
        };
        for number in 0..clients {
            let client = Client {
                name: format!("{label}-{}-{number}", region.id),
                region: Arc::clone(region),
                seen: Acknowledged::default(),
            };
            let (stopped, counts) = (Arc::clone(&load.is_stopped), Arc::clone(&load.counts));
            load.clients.spawn(client.run(stopped, counts));
        }
        load
    }

    /// Waits until so many writes were acknowledged.
    pub(crate) async fn acknowledged(&self, count: u64) {
        wait_for_count("more of the load is acknowledged", count, async || {
            self.counts.acknowledged.load(Ordering::Relaxed)
        })
        .await;
    }

    /// Waits until so many writes were refused.
    pub(crate) async fn refused(&self, count: u64) {
        wait_for_count("more of the load is refused", count, async || {
            self.counts.refused.load(Ordering::Relaxed)
        })
        .await;
    }

    /// Stops the clients, if they have not lost the node, and gives what they were told.
    pub(crate) async fn finish(mut self) -> Acknowledged {
        self.is_stopped.store(true, Ordering::Relaxed);
        let mut all = Acknowledged::default();
        while let Some(seen) = self.clients.join_next().await {
            all.merge(seen.unwrap());
        }
        all
    }
}

impl Client {
    async fn run(mut self, is_stopped: Arc<AtomicBool>, counts: Arc<Counts>) -> Acknowledged {
        for number in 0.. {
            if is_stopped.load(Ordering::Relaxed) {
                break;
            }
            for outcome in [
                self.put(number).await,
                self.add(number).await,
                self.join(number).await,
                self.set(number).await,
            ] {
                match outcome {
                    Outcome::Acknowledged => {
                        counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    Outcome::Refused => {
                        counts.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    // The node is gone: what comes after could only fail.
                    Outcome::Unknown => return self.seen,
                }
            }
        }
        self.seen
    }

    async fn put(&mut self, number: u64) -> Outcome {
        let key = format!("{}-{}", self.name, number % REGISTERS);
        let path = format!("/v1/data/shop/registers/{key}");
        let outcome = self.write("PUT", &path, number.to_string()).await;
        let entry = self.seen.registers.entry(key).or_default();
        match outcome {
            Outcome::Acknowledged => entry.0 = Some(number),
            Outcome::Unknown => entry.1 = Some(number),
            Outcome::Refused => {}
        }
        outcome
    }

    /// One counter of all clients, on which they meet.
    async fn add(&mut self, number: u64) -> Outcome {
        let amount = i64::try_from(number % 7).unwrap() + 1;
        let path = "/v1/data/shop/counters/hits";
        let outcome = self
            .write("POST", path, json!({ "add": amount }).to_string())
            .await;
        let (acknowledged, unknown) = self.seen.counters.entry("hits".to_owned()).or_default();
        match outcome {
            Outcome::Acknowledged => *acknowledged += amount,
            Outcome::Unknown => *unknown += amount,
            Outcome::Refused => {}
        }
        outcome
    }

    async fn join(&mut self, number: u64) -> Outcome {
        let member = format!("{}-{number}", self.name);
        let path = "/v1/data/shop/sets/guests";
        let outcome = self
            .write("POST", path, json!({ "add": [member] }).to_string())
            .await;
        match outcome {
            Outcome::Acknowledged => {
                let members = self.seen.members.entry("guests".to_owned()).or_default();
                members.insert(member);
            }
            Outcome::Refused => {
                self.seen.refused.insert(member);
            }
            Outcome::Unknown => {}
        }
        outcome
    }

    async fn set(&mut self, number: u64) -> Outcome {
        let body = json!({ "set": { &self.name: number } }).to_string();
        let outcome = self.write("POST", "/v1/data/shop/maps/progress", body).await;
        if outcome == Outcome::Acknowledged {
            self.seen
                .fields
                .insert(("progress".to_owned(), self.name.clone()), number);
        }
        outcome
    }

    async fn write(&self, method: &str, path: &str, body: String) -> Outcome {
        match self.region.try_call(method, path, &[], body.into_bytes()).await {
            Ok(answer) if answer.status < 300 => Outcome::Acknowledged,
            // `unavailable` and `overloaded` say whether the write may have been made.
            Ok(answer) if answer.status == 503 && answer.json()["committed_locally"] != "unknown" => {
                Outcome::Refused
            }
            Ok(answer) if matches!(answer.status, 503 | 504) => Outcome::Unknown,
            Ok(answer) => panic!("{method} {path}: {} {}", answer.status, answer.text()),
            Err(_) => Outcome::Unknown,
        }
    }
}

impl Acknowledged {
    /// Adds what others were told.
    pub(crate) fn merge(&mut self, other: Self) {
        self.registers.extend(other.registers);
        for (key, (acknowledged, unknown)) in other.counters {
            let entry = self.counters.entry(key).or_default();
            entry.0 += acknowledged;
            entry.1 += unknown;
        }
        for (key, members) in other.members {
            self.members.entry(key).or_default().extend(members);
        }
        self.fields.extend(other.fields);
        self.refused.extend(other.refused);
    }

    /// How many members were acknowledged: as many as there were rounds of writes.
    pub(crate) fn rounds(&self) -> usize {
        self.members.values().map(BTreeSet::len).sum()
    }

    /// Asserts that a region has all that was acknowledged, and nothing that was not asked for.
    pub(crate) async fn is_all_in(&self, region: &Node) {
        self.survives_in(region).await;
        for (key, (acknowledged, unknown)) in &self.counters {
            let found = region.count(key).await;
            assert!(
                found <= acknowledged + unknown,
                "{} {key}: {found}, more than {acknowledged} + {unknown}",
                region.id
            );
        }
    }

    /// Asserts that a region has all that was acknowledged; others may have written, too.
    pub(crate) async fn survives_in(&self, region: &Node) {
        for (key, (acknowledged, unknown)) in &self.registers {
            let found = region
                .get(key)
                .await
                .map(|bytes| String::from_utf8(bytes).unwrap().parse().unwrap());
            let is_right = found == *acknowledged || (unknown.is_some() && found == *unknown);
            assert!(
                is_right,
                "{} {key}: {found:?}, not {acknowledged:?} or {unknown:?}",
                region.id
            );
        }
        for (key, (acknowledged, _)) in &self.counters {
            let found = region.count(key).await;
            assert!(
                found >= *acknowledged,
                "{} {key}: {found} < {acknowledged}",
                region.id
            );
        }
        for (key, members) in &self.members {
            let found: BTreeSet<_> = region.members(key).await.into_iter().collect();
            let lost: Vec<_> = members.difference(&found).collect();
            assert!(lost.is_empty(), "{} {key}: lost {lost:?}", region.id);
            let revived: Vec<_> = self.refused.intersection(&found).collect();
            assert!(
                revived.is_empty(),
                "{} {key}: refused, but there: {revived:?}",
                region.id
            );
        }
        for ((key, field), acknowledged) in &self.fields {
            let found = region.fields(key).await[field].as_u64();
            assert!(
                found >= Some(*acknowledged),
                "{} {key}.{field}: {found:?} < {acknowledged}",
                region.id
            );
        }
    }
}
