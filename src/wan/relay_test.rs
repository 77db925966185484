//! The relay with real sockets: packets pass in both directions, and the control changes what happens to them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Relay, RelayError, RelayOptions};
use crate::config::ClusterConfig;

const SOON: Duration = Duration::from_secs(60);

/// A relay between two regions, and the socket that stands for the node of west.
struct World {
    relay: Relay,
    config: ClusterConfig,
    west: UdpSocket,
}

async fn world(links: &str) -> World {
    let west = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = west.local_addr().unwrap().port();
    let text = format!(
        r#"
        cluster = "test"
        [[region]]
        id = "east"
        [[region.node]]
        id = "east-1"
        http = "127.0.0.1:1"
        quic = "127.0.0.1:1"
        [[region]]
        id = "west"
        [[region.node]]
        id = "west-1"
        http = "127.0.0.1:{port}"
        quic = "127.0.0.1:{port}"
        {links}
        "#
    );
    let config = ClusterConfig::parse("regions.toml", &text).unwrap();
    let relay = Relay::start(&config, &options()).await.unwrap();
    World { relay, config, west }
}

fn options() -> RelayOptions {
    RelayOptions {
        listen: [127, 0, 0, 1].into(),
        first_port: 0,
        control: ([127, 0, 0, 1], 0).into(),
        seed: Some(1),
    }
}

impl World {
    /// A node of east that dials west through the relay.
    async fn east(&self) -> UdpSocket {
        let own = self
            .relay
            .configure(&self.config, &"east".parse().unwrap())
            .unwrap();
        let west = own.single_node(&"west".parse().unwrap()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(west.quic.as_socket_addr().unwrap()).await.unwrap();
        socket
    }

    async fn put(&self, path: &str, change: Value) -> (u16, Value) {
        let url = format!("http://{}/links/{path}", self.relay.control_address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.put(url).body(change.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// What the relay shows of a direction.
    fn shown(&self, from: &str) -> Value {
        let links = serde_json::to_value(self.relay.links()).unwrap();
        let mut links = links.as_array().unwrap().iter();
        links.find(|link| link["from"] == from).unwrap().clone()
    }
}

async fn eventually(holds: impl Fn() -> bool) {
    let polling = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, polling).await.unwrap();
}

async fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 2000];
    let (len, sender) = timeout(SOON, socket.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    buffer.truncate(len);
    (buffer, sender)
}

#[tokio::test]
async fn packets_pass_and_answers_find_their_way_back_to_each_sender() {
    let world = world("[[link]]\nbetween = [\"east\", \"west\"]\nround_trip_ms = 40").await;
    let (first, second) = (world.east().await, world.east().await);
    let begun = Instant::now();
    first.send(b"first").await.unwrap();
    let (packet, first_path) = received(&world.west).await;
    assert_eq!(packet, b"first");
    second.send(b"second").await.unwrap();
    let (packet, second_path) = received(&world.west).await;
    assert_eq!(packet, b"second");
    world.west.send_to(b"to second", second_path).await.unwrap();
    world.west.send_to(b"to first", first_path).await.unwrap();
    assert_eq!(received(&first).await.0, b"to first");
    assert_eq!(received(&second).await.0, b"to second");
    // Two ways one after the other, and the way back.
    assert!(begun.elapsed() >= Duration::from_millis(60));
    eventually(|| world.shown("west")["counts"]["packets"] == 2).await;
    assert_eq!(world.shown("west")["counts"]["bytes"], 17);
}

#[tokio::test]
async fn nodes_of_a_region_have_addresses_of_their_own_and_share_the_link() {
    let second = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = second.local_addr().unwrap().port();
    // It comes behind the first node of west.
    let node =
        format!("[[region.node]]\nid = \"west-2\"\nhttp = \"127.0.0.1:{port}\"\nquic = \"127.0.0.1:{port}\"");
    let world = world(&node).await;
    let own = world.relay.configure(&world.config, &"east".parse().unwrap());
    let own = own.unwrap();
    let east = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (name, target) in [("west-1", &world.west), ("west-2", &second)] {
        let (_, node) = own.node(&name.parse().unwrap()).unwrap();
        let listen = node.quic.as_socket_addr().unwrap();
        east.send_to(name.as_bytes(), listen).await.unwrap();
        let (packet, path) = received(target).await;
        assert_eq!(packet, name.as_bytes());
        target.send_to(b"answer", path).await.unwrap();
        assert_eq!(received(&east).await, (b"answer".to_vec(), listen));
    }
    eventually(|| world.shown("east")["counts"]["packets"] == 2).await;
    let (_, changed) = world.put("east/west", json!({ "cut": true })).await;
    let paths = changed[0]["paths"].as_array().unwrap();
    let nodes: Vec<_> = paths.iter().map(|path| path["node"].as_str().unwrap()).collect();
    assert_eq!(
        (changed.as_array().unwrap().len(), nodes),
        (1, vec!["west-1", "west-2"])
    );
    // Nodes of west dial the only one of east.
    assert_eq!(world.shown("west")["paths"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_direction_can_be_cut_and_healed_while_the_other_passes() {
    let world = world("").await;
    let east = world.east().await;
    east.send(b"before").await.unwrap();
    let (_, path) = received(&world.west).await;
    let (status, changed) = world.put("east/west", json!({ "cut": true })).await;
    assert_eq!((status, changed.as_array().unwrap().len()), (200, 1));
    east.send(b"cut").await.unwrap();
    world.west.send_to(b"answer", path).await.unwrap();
    assert_eq!(received(&east).await.0, b"answer");
    eventually(|| world.shown("east")["counts"]["dropped"]["cut"] == 1).await;
    world.put("east/west", json!({ "cut": false })).await;
    east.send(b"healed").await.unwrap();
    assert_eq!(received(&world.west).await, (b"healed".to_vec(), path));
}

#[tokio::test]
async fn the_control_changes_what_is_named_in_one_or_both_directions() {
    let world = world("[[link]]\nbetween = [\"east\", \"west\"]\nround_trip_ms = 40").await;
    let (status, _) = world.put("east/west", json!({ "loss_percent": 1.5 })).await;
    assert_eq!(status, 200);
    assert_eq!(world.shown("east")["loss_percent"], 1.5);
    assert_eq!(world.shown("east")["round_trip_ms"], 40.0);
    assert_eq!(world.shown("west")["loss_percent"], 0.0);
    let (_, changed) = world
        .put("west/east?both=true", json!({ "bandwidth_mbit": 10 }))
        .await;
    assert_eq!(changed.as_array().unwrap().len(), 2);
    assert_eq!(world.shown("east")["bandwidth_mbit"], 10.0);
    assert_eq!(world.shown("west")["bandwidth_mbit"], 10.0);
}

#[tokio::test]
async fn what_the_control_cannot_do_changes_nothing_and_says_why() {
    let world = world("").await;
    let before = world.relay.links();
    for (path, change, status, words) in [
        ("east/mars", json!({ "cut": true }), 404, "GET /links"),
        ("east/east", json!({ "cut": true }), 404, "GET /links"),
        ("east/west", json!({ "lost": 1 }), 400, "`loss_percent`"),
        (
            "east/west",
            json!({ "loss_percent": 101, "cut": true }),
            400,
            "0 to 100",
        ),
        ("east/west?way=both", json!({ "cut": true }), 400, "?both=true"),
        ("east/west", json!(" ".repeat(5000)), 413, "4096"),
        ("east", json!({}), 404, "PUT /links/{from}/{to}"),
    ] {
        let (found, problem) = world.put(path, change).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(found == status && detail.contains(words), "{path}: {problem}");
    }
    assert_eq!(world.relay.links(), before);
}

#[tokio::test]
async fn ports_that_are_taken_or_do_not_exist_are_named() {
    let world = world("").await;
    let taken: SocketAddr = world.relay.links()[0].paths[0].listen.parse().unwrap();
    for (options, words) in [
        (
            RelayOptions {
                first_port: taken.port(),
                ..options()
            },
            taken.to_string(),
        ),
        (
            RelayOptions {
                first_port: u16::MAX,
                ..options()
            },
            "2 ports from 65535".to_owned(),
        ),
        (
            RelayOptions {
                control: world.relay.control_address(),
                ..options()
            },
            world.relay.control_address().to_string(),
        ),
    ] {
        let error: RelayError = Relay::start(&world.config, &options).await.unwrap_err();
        assert!(error.to_string().contains(&words), "{error}");
    }
}
