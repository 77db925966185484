//! The file that ships, the defaults, and files that are accepted or cannot be read; refusals are in `refusal_test`.

use std::time::Duration;

use super::*;
use crate::model::ids::Zone;
use crate::model::limits;

/// The smallest file that is accepted; the tests break one thing in it.
pub(super) const MINIMAL: &str = r#"cluster = "test"
[[region]]
id = "us-east"
[[region.node]]
id = "us-east-1"
http = "127.0.0.1:8101"
quic = "127.0.0.1:7101"
"#;

/// The smallest file with one thing changed.
pub(super) fn minimal_with(old: &str, new: &str) -> String {
    assert!(MINIMAL.contains(old), "{old}");
    MINIMAL.replace(old, new)
}

#[test]
fn the_shipped_file_has_three_regions_and_only_defaults() {
    let text = include_str!("../../regions.toml");
    let config = ClusterConfig::parse("regions.toml", text).unwrap();
    assert_eq!(
        (config.cluster.as_str(), config.partitions.get()),
        ("atoll-dev", 64)
    );
    let nodes: Vec<String> = config
        .nodes()
        .map(|(region, node)| format!("{} {} {} {}", region.id, node.id, node.http, node.quic))
        .collect();
    assert_eq!(
        nodes,
        [
            "us-east us-east-1 127.0.0.1:8101 127.0.0.1:7101",
            "eu-west eu-west-1 127.0.0.1:8102 127.0.0.1:7102",
            "ap-south ap-south-1 127.0.0.1:8103 127.0.0.1:7103",
        ]
    );
    assert_eq!(config.replication, ReplicationOptions::default());
    config.validate_one_machine().unwrap();
}

#[test]
fn the_options_commented_out_in_the_shipped_file_are_the_defaults() {
    let shipped = include_str!("../../regions.toml");
    let options = shipped.find("[replication]").unwrap();
    let uncommented = shipped[options..].replace("\n# ", "\n");
    // Prose between the tables stays a comment.
    let tables: String = uncommented
        .lines()
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .map(|l| format!("{l}\n"))
        .collect();
    assert_eq!(tables.lines().filter(|line| line.contains(" = ")).count(), 26);
    let config = ClusterConfig::parse("regions.toml", &format!("{MINIMAL}{tables}")).unwrap();
    assert_eq!(config, ClusterConfig::parse("regions.toml", MINIMAL).unwrap());
}

#[test]
fn what_the_file_leaves_out_has_the_documented_default() {
    let config = ClusterConfig::parse("regions.toml", MINIMAL).unwrap();
    assert_eq!(config.partitions.get(), 64);
    assert_eq!(config.replication.batch_delay, Duration::from_millis(10));
    assert_eq!(config.replication.batch_changes, 100);
    assert_eq!(config.replication.lanes, 4);
    assert_eq!(config.replication.heartbeat_interval, Duration::from_millis(200));
    assert_eq!(config.replication.compression_level, 1);
    assert_eq!(config.replication.log_retention_bytes, 8_589_934_592);
    assert_eq!(config.clock.max_clock_drift, Duration::from_millis(500));
    assert_eq!(config.storage.disk_reserve_bytes, 268_435_456);
    assert_eq!(config.storage.block_cache_bytes, 67_108_864);
    assert_eq!(config.storage.memtable_bytes, 67_108_864);
    assert_eq!(config.http.request_timeout, Duration::from_secs(5));
    assert_eq!(config.http.shutdown_grace, Duration::from_secs(8));
    assert_eq!(config.health, crate::model::health::HealthThresholds::default());
    let node = &config.regions()[0].nodes()[0];
    assert_eq!(
        (&node.http_listen, &node.quic_listen, &node.zone),
        (&node.http, &node.quic, &None)
    );
}

#[test]
fn every_option_is_read() {
    let text = format!(
        "{}
        [replication]
        batch_delay_ms = 0
        batch_changes = 7
        lanes = 16
        heartbeat_interval_ms = 50
        compression_level = 19
        log_retention_bytes = 1_073_741_824
        [clock]
        max_clock_drift_ms = 250
        [storage]
        disk_reserve_bytes = 1048576
        block_cache_bytes = 1048577
        memtable_bytes = 1048578
        [http]
        request_timeout_ms = 1
        shutdown_grace_ms = 0
        max_staleness_ms = 2",
        minimal_with(
            "http = \"127.0.0.1:8101\"",
            "http = \"Atoll-US:80\"\nhttp_listen = \"0.0.0.0:8080\"\nquic_listen = \"[::]:7080\"\nzone = \"rack-1\"",
        ),
    );
    let config = ClusterConfig::parse("regions.toml", &text).unwrap();
    assert_eq!(
        config.replication,
        ReplicationOptions {
            batch_delay: Duration::ZERO,
            batch_changes: 7,
            lanes: 16,
            heartbeat_interval: Duration::from_millis(50),
            compression_level: 19,
            log_retention_bytes: 1_073_741_824,
        }
    );
    assert_eq!(
        config.clock,
        ClockOptions {
            max_clock_drift: Duration::from_millis(250)
        }
    );
    let storage = StorageOptions {
        disk_reserve_bytes: 1_048_576,
        block_cache_bytes: 1_048_577,
        memtable_bytes: 1_048_578,
    };
    assert_eq!(config.storage, storage);
    let http = HttpOptions {
        request_timeout: Duration::from_millis(1),
        shutdown_grace: Duration::ZERO,
        max_staleness: Duration::from_millis(2),
    };
    assert_eq!(config.http, http);
    let node = config.single_node(&"us-east".parse().unwrap()).unwrap();
    assert_eq!(node.http.to_string(), "atoll-us:80");
    assert_eq!(
        (node.http_listen.to_string(), node.quic_listen.to_string()),
        ("0.0.0.0:8080".into(), "[::]:7080".into())
    );
    assert_eq!(node.zone.as_ref().map(Zone::as_str), Some("rack-1"));
}

#[test]
fn http_and_quic_may_have_the_same_port_since_one_is_tcp_and_the_other_udp() {
    ClusterConfig::parse("regions.toml", &minimal_with("7101", "8101")).unwrap();
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regions.toml");
    let message = ClusterConfig::load(&path).unwrap_err().to_string();
    assert!(
        message.contains("regions.toml") && message.contains("--config"),
        "{message}"
    );

    std::fs::write(&path, [b'#', 0xff]).unwrap();
    assert!(matches!(
        ClusterConfig::load(&path),
        Err(ConfigError::Read { .. })
    ));

    let largest = usize::try_from(limits::CONFIG_BYTES_MAX).unwrap();
    let comment = "#".repeat(largest - MINIMAL.len());
    std::fs::write(&path, format!("{MINIMAL}{comment}")).unwrap();
    ClusterConfig::load(&path).unwrap();
    std::fs::write(&path, format!("{MINIMAL}{comment}#")).unwrap();
    assert!(matches!(
        ClusterConfig::load(&path),
        Err(ConfigError::TooLarge { .. })
    ));
}

#[test]
fn a_loaded_file_names_its_path_in_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regions.toml");
    std::fs::write(&path, minimal_with("quic = ", "qiuc = ")).unwrap();
    let message = ClusterConfig::load(&path).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("{}:7: ", path.display())),
        "{message}"
    );
}
