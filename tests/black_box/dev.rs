//! `atoll dev`: all regions in one process, for whoever tries it out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Cluster, atoll, atoll_command, wait_until};

/// A running `atoll dev`, killed when dropped.
struct Dev {
    child: Child,
    output: PathBuf,
}

impl Dev {
    async fn start(cluster: &Cluster, data: &Path, extra: &[&str]) -> Self {
        let output = cluster.folder().join("dev.out");
        let file = File::create(&output).unwrap();
        let child = atoll_command()
            .args(["dev", "--config"])
            .arg(cluster.us().config())
            .arg("--data")
            .arg(data)
            .args(extra)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let dev = Self { child, output };
        wait_until("all regions serve", async || {
            let said = dev.said();
            if said.contains("3 regions are serving") {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await;
        cluster.linked().await;
        dev
    }

    fn said(&self) -> String {
        // It may be read in the middle of a character that is being written.
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap()).into_owned()
    }

    async fn stop(mut self, signal: Signal) -> String {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
        let status = wait_until("it ends", async || {
            self.child.try_wait().unwrap().ok_or("it runs")
        })
        .await;
        assert_eq!(status.code(), Some(0), "{}", self.said());
        self.said()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_serves_all_regions_keeps_the_data_and_starts_empty_when_asked_to() {
    let cluster = Cluster::prepare("").await;
    let data = cluster.folder().join("dev");
    let dev = Dev::start(&cluster, &data, &[]).await;
    for region in cluster.regions() {
        region.put(region.id, "v").await;
        assert!(dev.said().contains(&region.url()), "{}", dev.said());
    }
    assert!(dev.said().contains("curl -X PUT"));
    let before = cluster.converged().await;
    let said = dev.stop(Signal::INT).await;
    assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
    for region in cluster.regions() {
        let folder = data.join(region.node());
        let ran = atoll(&["verify", "--data", folder.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    }

    let dev = Dev::start(&cluster, &data, &[]).await;
    assert_eq!(cluster.converged().await, before);
    dev.stop(Signal::TERM).await;

    let dev = Dev::start(&cluster, &data, &["--fresh"]).await;
    assert_eq!(cluster.us().get("us-east").await, None);
    cluster.us().put("again", "v").await;
    assert_ne!(cluster.converged().await, before);
    dev.stop(Signal::INT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_puts_the_distances_of_its_configuration_between_the_regions() {
    let links = "[[link]]\nbetween = [\"us-east\", \"eu-west\"]\nround_trip_ms = 120\n";
    let cluster = Cluster::prepare(links).await;
    let data = cluster.folder().join("dev");
    let dev = Dev::start(&cluster, &data, &["--wan", "--wan-control", "127.0.0.1:0"]).await;
    // The distance is never less than it should be. Where there is none, a busy machine may have added some at first.
    let us = cluster.us();
    us.waits_for_peer("ap-south", "as near", |shown| {
        shown["rtt_ms"].as_f64().is_some_and(|ms| ms < 120.0)
    })
    .await;
    let measured = |shown: &Value| shown["rtt_ms"].is_f64();
    let far = us.waits_for_peer("eu-west", "with a distance", measured).await;
    assert!(far["rtt_ms"].as_f64().unwrap() >= 120.0, "{far}");

    let said = dev.said();
    let (_, after) = said.split_once("--control ").unwrap();
    let control = after.lines().next().unwrap();
    let change = |command: &str| {
        let ran = atoll(&["wan", command, "us-east", "eu-west", "--control", control]);
        ran.expect(0);
    };
    change("cut");
    cluster.us().waits_for_link("eu-west", "down").await;
    cluster.us().waits_for_link("ap-south", "up").await;
    cluster.us().put("k", "v").await;
    change("heal");
    cluster.linked().await;
    cluster.converged().await;
    let said = dev.stop(Signal::INT).await;
    assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_removes_no_folder_that_it_has_not_made() {
    let cluster = Cluster::prepare("").await;
    let data = cluster.folder().join("precious");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("thesis.tex"), "years of work").unwrap();
    let config = cluster.us().config();
    let ran = atoll(&[
        "dev",
        "--fresh",
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ]);
    ran.expect(1).says(&["precious", "--fresh"]);
    assert!(data.join("thesis.tex").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_names_the_port_that_is_taken_and_leaves_nothing_running() {
    let cluster = Cluster::prepare("").await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", cluster.ap().port)).unwrap();
    let data = cluster.folder().join("dev");
    let config = cluster.us().config();
    let ran = atoll(&[
        "dev",
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ]);
    ran.expect(1)
        .says(&[&format!("127.0.0.1:{} is in use", cluster.ap().port), "ap-south"]);
    drop(taken);
    let dev = Dev::start(&cluster, &data, &[]).await;
    dev.stop(Signal::INT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_refuses_numbers_of_nodes_that_it_cannot_run_and_touches_nothing() {
    let cluster = Cluster::prepare("").await;
    let data = cluster.folder().join("dev");
    let dev = |extra: &[&str]| {
        let config = cluster.us().config();
        let place = [
            "--config",
            config.to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
        ];
        atoll(&[&["dev"], place.as_slice(), extra].concat())
    };
    for number in ["0", "10", "three"] {
        dev(&["--nodes", number])
            .expect(2)
            .says(&["--nodes", "from 1 to 9"]);
    }
    assert!(!data.exists(), "nothing is created before all is checked");
}
