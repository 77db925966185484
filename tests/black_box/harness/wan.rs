//! A relay between the regions of a cluster, as a process: `atoll wan`.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;

use serde_json::{Value, json};

use super::cluster::ClusterBuilder;
use super::command::atoll_command;
use super::{Cluster, Region, wait_until};

/// Decides the chances of every relay, so that a test that fails can be repeated as far as chances go.
const SEED: &str = "7";

/// A running relay. Its process ends when it is dropped.
pub(crate) struct Wan {
    child: Child,
    output: PathBuf,
    control: String,
    links: Vec<Value>,
    client: reqwest::Client,
}

impl Cluster {
    /// Three regions that dial each other through a relay, and the relay; `links` are tables of the configuration.
    pub(crate) async fn start_over_wan(links: &str) -> (Self, Wan) {
        Self::builder().tables(links).start_over_wan().await
    }
}

impl ClusterBuilder<'_> {
    /// Regions that dial each other through a relay, and the relay.
    pub(crate) async fn start_over_wan(self) -> (Cluster, Wan) {
        let cluster = self.prepare().await;
        let wan = Wan::start(&cluster).await;
        // A node may not serve before others of its region run.
        let starting = cluster.nodes().iter().map(|node| wan.start_region(node));
        futures_util::future::join_all(starting).await;
        cluster.linked().await;
        (cluster, wan)
    }
}

impl Wan {
    /// Starts a relay for the cluster and waits until it has said where it is.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let output = cluster.folder().join("wan.out");
        let log = File::create(cluster.folder().join("wan.log")).unwrap();
        // All ports are chosen by the system, and told in the first line.
        let child = atoll_command()
            .args([
                "wan",
                "--json",
                "--first-port",
                "0",
                "--control",
                "127.0.0.1:0",
                "--seed",
                SEED,
                "--config",
            ])
            .arg(cluster.us().config())
            .stdout(File::create(&output).unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut wan = Self {
            child,
            output,
            control: String::new(),
            links: Vec::new(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let said = wait_until("the relay says where it is", async || {
            let text = std::fs::read_to_string(&wan.output).unwrap();
            serde_json::from_str::<Value>(&text).map_err(|error| format!("{error}: {text}"))
        })
        .await;
        wan.control = said["control"].as_str().unwrap().to_owned();
        wan.links = said["links"].as_array().unwrap().clone();
        wan
    }

    /// Starts a node that dials those of all other regions through the relay.
    pub(crate) async fn start_region(&self, region: &Region) {
        let mut arguments = Vec::new();
        for link in self.links.iter().filter(|link| link["from"] == region.id) {
            for path in link["paths"].as_array().unwrap() {
                let (node, listen) = (path["node"].as_str().unwrap(), path["listen"].as_str().unwrap());
                arguments.extend(["--peer".to_owned(), format!("{node}={listen}")]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        region.start_with(&arguments).await;
    }

    /// Where its control is.
    pub(crate) fn control(&self) -> &str {
        &self.control
    }

    /// Cuts the direction from one region to another.
    pub(crate) async fn cut(&self, from: &Region, to: &Region) {
        self.change(&format!("{}/{}", from.id, to.id), json!({ "cut": true }))
            .await;
    }

    /// Lets packets pass again.
    pub(crate) async fn heal(&self, from: &Region, to: &Region) {
        self.change(&format!("{}/{}", from.id, to.id), json!({ "cut": false }))
            .await;
    }

    async fn change(&self, path: &str, change: Value) {
        let url = format!("{}/links/{path}", self.control);
        let answer = self
            .client
            .put(url)
            .body(change.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{}", answer.text().await.unwrap());
    }

    /// What has become of the packets from one region to another.
    pub(crate) async fn counts(&self, from: &Region, to: &Region) -> Value {
        let answer = self.client.get(format!("{}/links", self.control)).send().await;
        let links: Vec<Value> = answer.unwrap().json().await.unwrap();
        let mut found = links
            .iter()
            .filter(|link| link["from"] == from.id && link["to"] == to.id);
        found.next().unwrap()["counts"].clone()
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
