//! Histories of real processes: random concurrent clients over HTTP while regions are killed, frozen and cut off from
//! each other, judged by the checkers of the simulation. Clients, evidence and checkers are the simulation's own files;
//! only the world around them is another one. The checkers' own tests run here too.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail with the line that unwrapped, as tests do"
)]
#![allow(
    unreachable_pub,
    reason = "a program: nothing outside can reach anything, and `pub` says what other modules may use"
)]

#[path = "../../simulations/checkers/mod.rs"]
mod checkers;
#[path = "../../simulations/dice.rs"]
#[allow(dead_code, reason = "the clients draw less than a simulated network does")]
mod dice;
#[path = "../../simulations/evidence/mod.rs"]
mod evidence;
#[path = "../black_box/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "made for more tests than these")]
mod harness;
#[path = "../../simulations/workload/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "what the clients do is chosen here, not drawn"
)]
mod workload;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atoll::model::ids::{Key, RegionId, SubKey};
use atoll::model::record::{RecordId, RecordType};
use atoll::model::rows::LossReason;
use atoll::wire::values::LedgerEntry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;

use dice::Dice;
use evidence::{ClientId, Evidence, FinalRegion, Moment, Outcome, Settled};
use harness::{Cluster, Region};
use workload::{Client, HOMED, History, KEPT, Workload, configure, read_all, read_at_home};
use world::recorder::Recorder;
use world::{Called, Gateway, time};

/// How long the clients of a history work.
const WORK: Duration = Duration::from_secs(12);
/// Longer than every timeout between regions (10 s of silence), and than the clients' patience.
const FROZEN: Duration = Duration::from_secs(13);
/// Requests have no delay but that of the machine.
const NO_DELAY: Duration = Duration::from_millis(1);

/// Clients of all types of records on few keys, so that they meet.
fn workload(clients: u16) -> Workload {
    Workload {
        clients,
        keys: 3,
        value_bytes: 0,
        think: Duration::from_millis(15),
        registers: 3,
        conditions: 2,
        counters: 2,
        sets: 2,
        maps: 2,
        siblings: 2,
        strong: 2,
        home_writes: false,
        is_alone: true,
        hand_overs: 0,
        majority_percent: 5,
        tokens: true,
        batches: 2,
        keyed_percent: 20,
        conditional_percent: 20,
        reads_percent: 30,
        deletes_percent: 10,
        impatient_percent: 3,
        roaming_percent: 5,
    }
}

struct Study {
    cluster: Cluster,
    gateway: Gateway,
    history: History,
    recorder: Recorder,
    clients: JoinSet<()>,
}

impl Study {
    /// A cluster with clients at work.
    async fn begin(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        cluster.linked().await;
        let (gateway, recorder) = (Gateway::new(cluster.regions()), Recorder::default());
        let mut study = Self {
            history: History::new(recorder.clone()),
            cluster,
            gateway,
            recorder,
            clients: JoinSet::new(),
        };
        for region in study.regions() {
            loop {
                let request = configure(&KEPT.parse().unwrap(), "siblings", None, None);
                let called = study.gateway.call(region, request, NO_DELAY, FROZEN).await;
                let Called::Answered(answer) = &called else {
                    panic!("{called:?}");
                };
                // What another region was told has arrived in between: it says to try again.
                if answer.status().as_u16() != 409 {
                    assert!(answer.status().is_success(), "{called:?}");
                    break;
                }
            }
        }
        let home = study.regions()[0];
        let request = configure(&HOMED.parse().unwrap(), "lww", Some(home), None);
        let called = study.gateway.call(home, request, NO_DELAY, FROZEN).await;
        assert!(
            matches!(&called, Called::Answered(answer) if answer.status().is_success()),
            "{called:?}"
        );
        let workload = workload(8);
        let until = Moment::after(time::now().elapsed() + WORK);
        let sessions = Arc::new(Mutex::new(0));
        for number in 0..workload.clients {
            let client = Client {
                id: ClientId(number),
                tick: NO_DELAY,
                dice: Dice::new(seed, &format!("client {number}")),
                workload: workload.clone(),
                regions: study.regions(),
                gateway: study.gateway.clone(),
                history: study.history.clone(),
                sessions: Arc::clone(&sessions),
            };
            study.clients.spawn(client.run(until));
        }
        study
    }

    fn regions(&self) -> Vec<RegionId> {
        let regions = self.cluster.regions().iter();
        regions.map(|region| region.id.parse().unwrap()).collect()
    }

    /// Waits for the clients and until all is equal, and judges.
    async fn judge(mut self) {
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let begun = Instant::now();
        self.cluster.converged().await;
        let settled = Settled::After(begun.elapsed());
        // What follows is also asked of the home, over links that may still be down where a third region has relayed.
        self.cluster.linked().await;
        let records: Vec<RecordId> = self.history.records().into_iter().collect();
        let mut finals = BTreeMap::new();
        for region in self.cluster.regions() {
            let id = region.id.parse().unwrap();
            let reads = read_all(self.gateway.clone(), id, records.clone(), NO_DELAY).await;
            finals.insert(id, final_region(region, reads.unwrap()).await);
            let at_home = self.gateway.call(id, read_at_home(), NO_DELAY, FROZEN).await;
            assert!(
                matches!(&at_home, Called::Answered(answer) if [200, 404].contains(&answer.status().as_u16())),
                "{id} finds no home that answers: {at_home:?}"
            );
        }
        let evidence = Evidence {
            operations: self.history.operations(),
            finals,
            settled,
            ..Evidence::default()
        };
        let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Done(_));
        let done = evidence
            .operations
            .iter()
            .filter(|one| is_done(&one.outcome))
            .count();
        assert!(done > 100, "only {done} operations were done: nothing was tried");
        let found: Vec<String> = checkers::check_all(&evidence)
            .iter()
            .map(ToString::to_string)
            .chain(self.recorder.violations())
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
        self.cluster.stop_and_verify().await;
    }
}

async fn final_region(region: &Region, reads: BTreeMap<RecordId, evidence::Shown>) -> FinalRegion {
    let digest = region.digest().await;
    let partitions = digest["partitions"].as_array().unwrap().iter();
    FinalRegion {
        digest_root: text(&digest["root"]),
        digests: partitions.map(text).collect(),
        losers: region.conflicts().await.iter().filter_map(ledger_entry).collect(),
        reads,
        ..FinalRegion::default()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// An entry of the ledger, as the contract shows it; none for the store's own records, which no client of a history writes.
fn ledger_entry(entry: &Value) -> Option<LedgerEntry> {
    let namespace = text(&entry["namespace"]).parse().ok()?;
    let record_type = RecordType::ALL
        .into_iter()
        .find(|one| one.name() == entry["type"])
        .unwrap();
    let reasons = [
        LossReason::ConcurrentWrite,
        LossReason::ConcurrentDelete,
        LossReason::DeleteOverruled,
        LossReason::ConcurrentField,
        LossReason::Overruled,
    ];
    Some(LedgerEntry {
        record: RecordId::new(namespace, record_type, Key::new(&text(&entry["key"])).unwrap()),
        field: entry["field"].as_str().map(|field| SubKey::new(field).unwrap()),
        winner: text(&entry["winner"]).parse().unwrap(),
        loser: text(&entry["loser"]).parse().unwrap(),
        value: entry["value_base64"]
            .as_str()
            .map(|value| Bytes::from(STANDARD.decode(value).unwrap())),
        reason: reasons
            .into_iter()
            .find(|one| one.name() == entry["reason"])
            .unwrap(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_regions_killed_again_and_again_passes_all_checkers() {
    let study = Study::begin(1).await;
    let mut dice = Dice::new(1, "kills");
    // Many short lives, each ended at a random moment.
    for _ in 0..10 {
        tokio::time::sleep(dice.up_to(Duration::from_millis(1500))).await;
        let region = &study.cluster.regions()[usize::try_from(dice.below(3)).unwrap()];
        region.kill();
        tokio::time::sleep(dice.up_to(Duration::from_millis(300))).await;
        region.start().await;
    }
    study.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_a_region_frozen_for_longer_than_all_timeouts_passes_all_checkers() {
    let study = Study::begin(2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let eu = study.cluster.eu();
    eu.signal(Signal::STOP);
    tokio::time::sleep(FROZEN).await;
    eu.signal(Signal::CONT);
    study.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_links_paused_and_resumed_passes_all_checkers() {
    let study = Study::begin(3).await;
    for (one, other) in [
        ("us-east", "eu-west"),
        ("eu-west", "ap-south"),
        ("ap-south", "us-east"),
    ] {
        let region = study
            .cluster
            .regions()
            .iter()
            .find(|region| region.id == one)
            .unwrap();
        region.pause(other).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        region.resume(other).await;
    }
    study.judge().await;
}
