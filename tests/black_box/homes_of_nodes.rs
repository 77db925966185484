//! Homes of regions of three nodes: handed over under load, asked of any node, while leaders are killed. What was acknowledged at
//! `strong` is at every later home, and nobody reads what is older than it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Cluster, Region, check, wait_until};

/// Each of another partition, as far as chance wants it.
const REGISTERS: usize = 8;
const CLIENTS: usize = 6;
/// Clients that are kept waiting go to another node.
const HEADERS: [(&str, &str); 2] = [("atoll-consistency", "strong"), ("atoll-timeout-ms", "4000")];

fn path(register: usize) -> String {
    format!("/v1/data/shop/registers/r{register}")
}

/// Registers that clients count up, each step resting on what was read.
#[derive(Default)]
struct Counted {
    /// The highest number that was acknowledged, of each register.
    acknowledged: [AtomicI64; REGISTERS],
    /// Each number of each register was acknowledged once.
    all: Mutex<BTreeSet<(usize, i64)>>,
    reads: AtomicI64,
    unknown: AtomicI64,
}

impl Counted {
    /// Reads a register and writes the next number to it, each at some node.
    async fn step(&self, nodes: &[Arc<Region>], turn: usize) {
        let register = turn % REGISTERS;
        let (reader, writer) = (&nodes[turn * 5 % nodes.len()], &nodes[turn * 7 % nodes.len()]);
        let before = self.acknowledged[register].load(Ordering::SeqCst);
        let Ok(read) = reader
            .try_call("GET", &path(register), &HEADERS, Vec::new())
            .await
        else {
            return;
        };
        let number: i64 = match read.status {
            200 => read.text().parse().unwrap(),
            404 => 0,
            503 | 504 => return,
            _ => panic!("{}", read.text()),
        };
        // What is acknowledged before a read begins is seen by it, at whichever home.
        assert!(
            number >= before,
            "r{register} shows {number} at {} after {before} was acknowledged",
            reader.node()
        );
        self.reads.fetch_add(1, Ordering::SeqCst);
        let condition = match number {
            0 => ("if-none-match", "*".to_owned()),
            _ => ("if-match", read.header("etag").to_owned()),
        };
        let next = number + 1;
        let headers = [HEADERS[0], HEADERS[1], (condition.0, condition.1.as_str())];
        let body = next.to_string().into_bytes();
        match writer.try_call("PUT", &path(register), &headers, body).await {
            Ok(written) if written.status == 204 => {
                let is_new = self.all.lock().unwrap().insert((register, next));
                assert!(
                    is_new,
                    "two were told that they have written {next} to r{register}"
                );
                self.acknowledged[register].fetch_max(next, Ordering::SeqCst);
            }
            Ok(refused) if [412, 503, 504].contains(&refused.status) => {
                if is_unknown(&refused) {
                    self.unknown.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok(answer) => panic!("{}", answer.text()),
            Err(_) => _ = self.unknown.fetch_add(1, Ordering::SeqCst),
        }
    }
}

fn is_unknown(answer: &Answer) -> bool {
    answer.status != 412 && answer.json()["committed_locally"] != false
}

/// Moves the home, asking one node after the other, until one says that it is there.
async fn moved(nodes: &[Arc<Region>], turn: usize, home: &str) {
    let wanted = json!({"home_region": home}).to_string().into_bytes();
    let mut turn = turn;
    wait_until(&format!("the home is in {home}"), async || {
        turn += 1;
        let node = &nodes[turn % nodes.len()];
        let timeout = [("atoll-timeout-ms", "5000")];
        match node
            .try_call("PUT", "/v1/data/shop", &timeout, wanted.clone())
            .await
        {
            Ok(answer) => check(answer.status == 200, answer.text()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn homes_of_three_nodes_move_under_load_while_their_nodes_are_killed() {
    let cluster = Cluster::builder().regions(2).nodes(3).start().await;
    let nodes = cluster.nodes().to_vec();
    moved(&nodes, 0, "us-east").await;
    let counted = Arc::new(Counted::default());
    let is_stopped = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (nodes, counted) = (nodes.clone(), Arc::clone(&counted));
            let is_stopped = Arc::clone(&is_stopped);
            tokio::spawn(async move {
                let mut turn = client * 31;
                while !is_stopped.load(Ordering::Relaxed) {
                    counted.step(&nodes, turn).await;
                    turn += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    let so_far = || counted.all.lock().unwrap().len();
    for round in 0..6 {
        let (from, to) = match round % 2 {
            0 => ("us-east", "eu-west"),
            _ => ("eu-west", "us-east"),
        };
        // Someone leads there, and has writes under way.
        let before = so_far();
        wait_until("clients get on", async || {
            check(so_far() > before + 20, format!("{} of {before}", so_far()))
        })
        .await;
        let lost = &cluster.nodes_of(from)[round / 2];
        match round % 3 {
            // The old home loses leaders in the middle of it.
            0 => {
                let killing = async {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    lost.kill();
                };
                tokio::join!(moved(&nodes, round, to), killing);
                lost.start().await;
            }
            // It has lost some already.
            1 => {
                lost.kill();
                moved(&nodes, round, to).await;
                lost.start().await;
            }
            // They go elsewhere in order, and come back.
            _ => {
                let restarting = async {
                    lost.stop().await;
                    lost.start().await;
                };
                tokio::join!(moved(&nodes, round, to), restarting);
            }
        }
    }
    is_stopped.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let unknown = counted.unknown.load(Ordering::SeqCst);
    println!(
        "{} writes acknowledged, {unknown} of unknown outcome, {} reads",
        so_far(),
        counted.reads.load(Ordering::SeqCst)
    );
    cluster.converged().await;
    for register in 0..REGISTERS {
        let acknowledged = counted.acknowledged[register].load(Ordering::SeqCst);
        for node in &nodes {
            let read = wait_until("the home answers", async || {
                let read = node.try_call("GET", &path(register), &HEADERS, Vec::new()).await;
                let read = read.map_err(|error| error.to_string())?;
                check(read.status == 200, read.text()).map(|()| read)
            })
            .await;
            let number: i64 = read.text().parse().unwrap();
            assert!(
                (acknowledged..=acknowledged + unknown).contains(&number),
                "r{register} has {number}, {acknowledged} was acknowledged"
            );
        }
    }
}
