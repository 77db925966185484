//! Configurations and data folders that must not be used: the node says why, and touches nothing.

use crate::harness::{Cluster, Region, atoll};

/// Starts a node that must refuse to start, and gives what it said.
async fn refused(region: &Region, words: &[&str]) {
    let before = region.log().len();
    region.spawn(&[]);
    let status = region.wait_for_end().await;
    let said = region.log().split_off(before);
    assert_eq!(status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_configuration_are_named_with_field_and_line() {
    let cluster = Cluster::prepare("").await;
    let us = cluster.us();
    let good = std::fs::read_to_string(us.config()).unwrap();
    let line_of = |text: &str, words: &str| 1 + text[..text.find(words).unwrap()].matches('\n').count();
    let ports: Vec<_> = cluster
        .regions()
        .iter()
        .map(|region| region.port.to_string())
        .collect();
    let unknown = format!("{good}\n[storage]\nmemtable_byte = 1\n");
    let twice = good.replace("id = \"eu-west\"\n", "id = \"us-east\"\n");
    let http = format!("http = \"127.0.0.1:{}\"", ports[1]);
    let same_port = good.replace(&http, &format!("http = \"127.0.0.1:{}\"", ports[0]));
    let zero = good.replace(&http, "http = \"127.0.0.1:0\"");
    let odd = good.replace("partitions = 16", "partitions = 17");
    let broken = good.replace("[[region.node]]", "[[region.node]");
    let at = |text: &str, words: &str| format!("us-east-1.toml:{}", line_of(text, words));
    let second_us = format!("us-east-1.toml:{}", line_of(&twice, "id = \"us-east-1\"") + 5);
    let cases = [
        (
            unknown.clone(),
            vec![
                at(&unknown, "memtable_byte"),
                "memtable_byte".to_owned(),
                "unknown field".to_owned(),
            ],
        ),
        (
            twice.clone(),
            vec![second_us, "us-east".to_owned(), "already on line".to_owned()],
        ),
        (
            same_port,
            vec![at(&good, &http), ports[0].clone(), "already on line".to_owned()],
        ),
        (zero, vec![at(&good, &http), "1 to 65535".to_owned()]),
        (
            odd,
            vec![
                "us-east-1.toml:2".to_owned(),
                "partitions".to_owned(),
                "17".to_owned(),
            ],
        ),
        (broken, vec!["us-east-1.toml:".to_owned(), "TOML".to_owned()]),
        (
            String::new(),
            vec!["us-east-1.toml".to_owned(), "cluster".to_owned()],
        ),
    ];
    for (text, words) in cases {
        std::fs::write(us.config(), text).unwrap();
        refused(us, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(
            !us.data().exists(),
            "nothing is created before the configuration is good"
        );
    }
    std::fs::remove_file(us.config()).unwrap();
    refused(us, &["us-east-1.toml", "--config"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let cluster = Cluster::prepare("").await;
    let us = cluster.us();
    let tcp = std::net::TcpListener::bind(("127.0.0.1", us.port)).unwrap();
    let address = format!("127.0.0.1:{}", us.port);
    refused(us, &[&format!("TCP {address} is in use"), "regions.toml"]).await;
    drop(tcp);
    let udp = std::net::UdpSocket::bind(("127.0.0.1", us.port)).unwrap();
    refused(us, &[&format!("UDP {address} is in use"), "regions.toml"]).await;
    drop(udp);
    us.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_somebody_else_is_refused_and_left_alone() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.put("k", "v").await;
    cluster.converged().await;
    us.stop().await;
    eu.stop().await;
    let (own, theirs) = (us.data(), eu.data());
    us.set_data(&theirs);
    let folder = theirs.to_str().unwrap();
    refused(us, &[folder, "belongs to region eu-west", "us-east"]).await;
    us.set_data(&own);
    let good = std::fs::read_to_string(us.config()).unwrap();
    us.edit_config(|text| text.replace("partitions = 16", "partitions = 64"));
    refused(us, &["has 16 partitions", "64"]).await;
    std::fs::write(us.config(), good).unwrap();
    // Nothing was changed: both go on as before.
    us.start().await;
    eu.start().await;
    cluster.linked().await;
    assert_eq!(us.get("k").await.unwrap(), b"v");
    cluster.converged().await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_another_cluster_is_refused() {
    let (one, other) = (Cluster::prepare("").await, Cluster::prepare("").await);
    one.us().start().await;
    one.us().stop().await;
    other.us().set_data(&one.us().data());
    refused(other.us(), &["belongs to cluster", &one.name, &other.name]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_a_newer_format_is_refused() {
    use atoll::ports::store::{Durability, Family, Store as _, WriteSet};
    use atoll::storage::{IDENTITY_KEY, RocksConfig, RocksStore};

    let cluster = Cluster::prepare("").await;
    let us = cluster.us();
    us.start().await;
    us.stop().await;
    {
        let config = RocksConfig {
            disk_reserve_bytes: 0,
            ..RocksConfig::default()
        };
        let (store, _) = RocksStore::open(&us.data(), config).unwrap();
        let identity = store.get(Family::Meta, IDENTITY_KEY).unwrap().unwrap();
        let text = String::from_utf8(identity.to_vec()).unwrap();
        let newer = text.replace("\"format_version\":2", "\"format_version\":999,\"later\":true");
        assert_ne!(newer, text);
        let mut set = WriteSet::new();
        set.put(Family::Meta, IDENTITY_KEY, newer.as_bytes());
        store.write(&[set], Durability::Synced).unwrap();
    }
    refused(us, &["format 999", "newer"]).await;
    let ran = atoll(&["verify", "--data", us.data().to_str().unwrap()]);
    ran.expect(1).says(&["format 999"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_folder_is_refused_and_the_first_goes_on() {
    let cluster = Cluster::of_single_nodes().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.put("k", "v").await;
    let ran = atoll(&["verify", "--data", us.data().to_str().unwrap()]);
    ran.expect(1).says(&["locked", us.data().to_str().unwrap()]);
    eu.stop().await;
    eu.set_data(&us.data());
    refused(eu, &["locked", "another atoll process"]).await;
    us.put("k", "still").await;
    assert_eq!(us.get("k").await.unwrap(), b"still");
    cluster.converged_among(&[0, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_region_and_one_without_certificates_are_refused() {
    let cluster = Cluster::prepare("").await;
    let us = cluster.us();
    let config = us.config();
    let arguments = |region: &'static str, node: &'static str| {
        let data = us.data();
        atoll(&[
            "serve",
            "--config",
            config.to_str().unwrap(),
            "--region",
            region,
            "--node",
            node,
            "--data",
            data.to_str().unwrap(),
            "--certs",
            us.certificates().to_str().unwrap(),
        ])
    };
    arguments("us-east", "eu-west-1")
        .expect(1)
        .says(&["eu-west-1", "eu-west", "us-east"]);
    arguments("us-east", "mars-1")
        .expect(1)
        .says(&["no node mars-1", "us-east-1"]);
    // The certificate of another node, under the name of this one.
    for ending in ["pem", "key"] {
        let theirs = cluster.eu().certificates().join(format!("eu-west-1.{ending}"));
        std::fs::copy(theirs, us.certificates().join(format!("us-east-1.{ending}"))).unwrap();
    }
    arguments("us-east", "us-east-1")
        .expect(1)
        .says(&["certificate", "eu-west", "us-east"]);
    std::fs::remove_file(us.certificates().join("us-east-1.key")).unwrap();
    arguments("us-east", "us-east-1")
        .expect(1)
        .says(&["us-east-1.key", "atoll certs issue"]);
    assert!(!us.data().exists(), "nothing is created before all is checked");
}
