//! Damaged files: what a crash leaves is recovered and reported, what only a broken disk does is refused by name.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use crate::harness::{Cluster, Load, Region, atoll};

/// Small enough that files are written soon.
const SMALL_TABLES: &str = "[storage]\nmemtable_bytes = 1048576\n";

/// The database's files with this ending, oldest first.
fn files(region: &Region, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(region.data().join("db")).unwrap();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    paths.sort();
    paths
}

fn largest(paths: Vec<PathBuf>) -> PathBuf {
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    paths.into_iter().max_by_key(size).expect("there is a file")
}

fn flip(path: &PathBuf, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// Bytes that do not compress, different for each number.
fn noise(number: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_of_the_log_is_recovered_and_reported() {
    let cluster = Cluster::of_single_nodes().await;
    let us = cluster.us();
    us.put("early", "v").await;
    let load = Load::start(us, "torn", 3);
    load.acknowledged(100).await;
    us.kill();
    let acknowledged = load.finish().await;
    let log = files(us, "log").pop().unwrap();
    let length = fs::metadata(&log).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(length - 5)
        .unwrap();

    us.start().await;
    us.waits_for_log("the write-ahead log ended inside a record")
        .await;
    us.waits_for_log("new incarnation").await;
    let incarnation = us.status().await["incarnation"].clone();
    assert_ne!(incarnation, 1);
    assert_eq!(us.get("early").await.unwrap(), b"v");
    us.put("after", "v").await;
    let digest = cluster.converged().await;
    // Its own changes of before are those of another replica now.
    let vector = digest["vector"].to_string();
    assert!(vector.contains("us-east@"), "{vector}");
    for region in cluster.regions() {
        assert_eq!(region.get("after").await.unwrap(), b"v");
        assert_eq!(region.conflicts().await.len(), 0, "{}", region.id);
    }
    // The next start goes on in this life.
    us.kill();
    us.start().await;
    assert_eq!(us.status().await["incarnation"], incarnation);
    us.put("after", "w").await;
    cluster.converged().await;
    // What was cut off was acknowledged; where another region had it already, it is back.
    assert!(acknowledged.rounds() > 0);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_middle_of_the_log_is_refused_by_name() {
    let cluster = Cluster::of_single_nodes().await;
    let us = cluster.us();
    for number in 0..40 {
        us.put(&format!("k{number}"), noise(number, 2000)).await;
    }
    us.kill();
    let log = largest(files(us, "log"));
    let length = fs::metadata(&log).unwrap().len();
    flip(&log, length / 2);
    let failed = us.try_start(&[]).await.unwrap_err();
    assert_eq!(failed.status.code(), Some(1));
    let name = log.file_name().unwrap().to_str().unwrap();
    assert!(failed.log.contains(name), "{name} in {}", failed.log);
    let ran = atoll(&["verify", "--data", us.data().to_str().unwrap()]);
    ran.expect(1).says(&[name]);
    // The byte put right, all is there.
    flip(&log, length / 2);
    us.start().await;
    for number in 0..40 {
        assert_eq!(us.get(&format!("k{number}")).await.unwrap(), noise(number, 2000));
    }
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_a_table_is_never_served() {
    let cluster = Cluster::builder().nodes(1).tables(SMALL_TABLES).start().await;
    let us = cluster.us();
    for number in 0..300 {
        us.put(&format!("k{number}"), noise(number, 16_000)).await;
    }
    cluster.converged().await;
    us.stop().await;
    let table = largest(files(us, "sst"));
    let length = fs::metadata(&table).unwrap().len();
    for step in 1..20 {
        flip(&table, length * step / 20);
    }
    let name = table.file_name().unwrap().to_str().unwrap().to_owned();
    let ran = atoll(&["verify", "--data", us.data().to_str().unwrap()]);
    ran.expect(1).says(&[&name]);
    match us.try_start(&[]).await {
        Err(failed) => {
            assert_eq!(failed.status.code(), Some(1));
            assert!(failed.log.contains(&name), "{name} in {}", failed.log);
        }
        Ok(()) => {
            let mut failures = 0;
            for number in 0..300 {
                let path = format!("/v1/data/shop/registers/k{number}");
                let answer = us.call("GET", &path, "").await;
                match answer.status {
                    200 => assert_eq!(answer.body, noise(number, 16_000), "k{number}"),
                    status => {
                        assert!(status >= 500, "k{number}: {status} {}", answer.text());
                        failures += 1;
                    }
                }
            }
            if failures > 0 {
                us.waits_for_log(&name).await;
            }
        }
    }
    // The others are not concerned.
    cluster.eu().put("k0", "new").await;
    cluster.converged_among(&[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_a_row_that_was_changed_behind_the_nodes_back() {
    use std::ops::ControlFlow;

    use atoll::ports::store::{Durability, Family, Store as _, WriteSet};
    use atoll::storage::{RocksConfig, RocksStore};

    let cluster = Cluster::of_single_nodes().await;
    let us = cluster.us();
    us.put("k", "honest").await;
    us.change_set("set", &["a", "b"], &[]).await;
    us.add("counter", 3).await;
    cluster.converged().await;
    us.stop().await;
    let data = us.data();
    let verify = || atoll(&["verify", "--data", data.to_str().unwrap()]);
    verify().expect(0);
    let config = RocksConfig {
        disk_reserve_bytes: 0,
        ..RocksConfig::default()
    };
    let mut rows = Vec::new();
    {
        let (store, _) = RocksStore::open(&data, config).unwrap();
        store
            .scan(Family::Rows, b"", &[0xff; 64], &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    assert_eq!(rows.len(), 4);
    let write = |set: WriteSet| {
        let (store, _) = RocksStore::open(&data, config).unwrap();
        store.write(&[set], Durability::Synced).unwrap();
    };
    for (key, value) in &rows {
        let mut changed = value.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        for manipulated in [Some(changed), None] {
            let mut set = WriteSet::new();
            match &manipulated {
                Some(value) => set.put(Family::Rows, key, value),
                None => set.delete(Family::Rows, key),
            }
            write(set);
            let ran = verify().expect(1);
            assert!(
                format!("{}{}", ran.out, ran.err).contains("partition"),
                "{} {}",
                ran.out,
                ran.err
            );
            let mut set = WriteSet::new();
            set.put(Family::Rows, key, value);
            write(set);
        }
    }
    verify().expect(0);
}
