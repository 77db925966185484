//! Bad input to the parser, each with the line, the field and the advice that a person gets.

use super::parse_test::{MINIMAL, minimal_with};
use super::*;
use crate::model::limits;

/// A second region for [`MINIMAL`], from line 8 on.
pub(super) const SECOND: &str = r#"[[region]]
id = "eu-west"
[[region.node]]
id = "eu-west-1"
http = "127.0.0.1:8102"
quic = "127.0.0.1:7102"
"#;

/// Asserts that the text is refused at that line for that field, with all those words.
#[track_caller]
pub(super) fn refused(text: &str, line: usize, field: &str, words: &[&str]) {
    let message = ClusterConfig::parse("regions.toml", text)
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with(&format!("regions.toml:{line}: {field}: ")),
        "{message}"
    );
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    assert!(!message.trim_end().contains('\n'), "one line: {message}");
}

fn two_with(old: &str, new: &str) -> String {
    assert!(SECOND.contains(old), "{old}");
    format!("{MINIMAL}{}", SECOND.replace(old, new))
}

#[test]
fn unknown_fields_are_named_with_those_there_are() {
    refused(
        &format!("partition = 3\n{MINIMAL}"),
        1,
        "top level",
        &["`partition`", "`partitions`"],
    );
    refused(
        &format!("{MINIMAL}[[links]]\n"),
        8,
        "top level",
        &["unknown field `links`", "`link`"],
    );
    refused(
        &minimal_with("id = \"us-east\"\n", "id = \"us-east\"\nname = \"x\"\n"),
        4,
        "region",
        &["`name`", "`node`"],
    );
    refused(
        &minimal_with("quic = ", "qiuc = "),
        7,
        "region.node",
        &["`qiuc`", "`quic_listen`"],
    );
    refused(
        &format!("{MINIMAL}[replication]\nbatch_delay = 1\n"),
        9,
        "replication",
        &["`batch_delay_ms`"],
    );
    refused(
        &format!("{MINIMAL}[clock]\ndrift = 1\n"),
        9,
        "clock",
        &["`max_clock_drift_ms`"],
    );
    refused(
        &format!("{MINIMAL}[storage]\ncache = 1\n"),
        9,
        "storage",
        &["`block_cache_bytes`"],
    );
    refused(
        &format!("{MINIMAL}[http]\ntimeout = 1\n"),
        9,
        "http",
        &["`request_timeout_ms`"],
    );
}

#[test]
fn a_replication_factor_belongs_to_a_region_and_fits_its_nodes() {
    refused(
        &format!("replication_factor = 3\n{MINIMAL}"),
        1,
        "top level",
        &["unknown field `replication_factor`"],
    );
    let with = |factor: &str| {
        let option = format!("id = \"us-east\"\nreplication_factor = {factor}\n");
        minimal_with("id = \"us-east\"\n", &option)
    };
    ClusterConfig::parse("regions.toml", &with("1")).unwrap();
    for (factor, word) in [
        ("3", "3 replicas need 3 nodes, and the region has 1"),
        ("2", "2 is even"),
        ("0", "0 is out of range"),
        ("-1", "-1 is out of range"),
        ("8", "from 1 to 7"),
    ] {
        refused(&with(factor), 4, "region.replication_factor", &[word]);
    }
    refused(
        &with("\"1\""),
        4,
        "region.replication_factor",
        &["expected a whole number"],
    );
}

#[test]
fn missing_fields_are_named_at_the_table_that_lacks_them() {
    refused("partitions = 64\n", 1, "top level", &["missing field `cluster`"]);
    refused(
        &minimal_with("quic = \"127.0.0.1:7101\"\n", ""),
        4,
        "region.node",
        &["missing field `quic`"],
    );
    refused(
        &minimal_with("id = \"us-east\"\n", ""),
        2,
        "region",
        &["missing field `id`"],
    );
}

#[test]
fn values_of_another_type_are_refused_with_the_right_one() {
    refused(
        &minimal_with("cluster = \"test\"", "cluster = 3"),
        1,
        "cluster",
        &["`3`", "string"],
    );
    refused(
        &format!("{MINIMAL}[http]\nrequest_timeout_ms = \"5s\"\n"),
        9,
        "http.request_timeout_ms",
        &["5s", "whole number"],
    );
    refused(
        &format!("{MINIMAL}[replication]\nlanes = 1.5\n"),
        9,
        "replication.lanes",
        &["1.5", "whole number"],
    );
    refused(
        &format!("partitions = 99999999999999999999\n{MINIMAL}"),
        1,
        "partitions",
        &["whole number"],
    );
    refused("cluster = \"a\"\nregion = 3\n", 2, "region", &["`3`", "sequence"]);
}

#[test]
fn text_that_is_not_toml_is_shown_with_its_line() {
    refused(
        &format!("{MINIMAL}[replication\n"),
        8,
        "syntax",
        &["`[replication`", "valid TOML"],
    );
    refused(
        &minimal_with("\"us-east\"", "us-east"),
        3,
        "syntax",
        &["`id = us-east`"],
    );
    refused(
        &format!("cluster = \"twice\"\n{MINIMAL}"),
        2,
        "syntax",
        &["duplicate key", "cluster = \"test\""],
    );
    refused(&"\u{0}x".repeat(10_000), 1, "syntax", &[]);
}

#[test]
fn a_file_with_windows_line_ends_has_the_same_lines() {
    let text = minimal_with("quic = ", "qiuc = ").replace('\n', "\r\n");
    refused(&text, 7, "region.node", &["`qiuc`"]);
}

#[test]
fn names_follow_their_rules() {
    refused(
        &minimal_with("\"test\"", "\"Test\""),
        1,
        "cluster",
        &["cluster name \"Test\"", "a-z"],
    );
    refused(
        &minimal_with("\"us-east\"", "\"us_east\""),
        3,
        "region.id",
        &["region name", "us_east"],
    );
    refused(
        &minimal_with("\"us-east-1\"", "\"\""),
        5,
        "region.node.id",
        &["node name", "1 to 24"],
    );
    refused(
        &format!("{MINIMAL}zone = \"Rack 1\"\n"),
        8,
        "region.node.zone",
        &["zone name", "Rack 1"],
    );
}

#[test]
fn partition_counts_are_powers_of_two_in_range() {
    for (count, word) in [
        ("0", "1 to 1024"),
        ("-64", "1 to 1024"),
        ("2048", "1 to 1024"),
        ("65", "power of two"),
    ] {
        refused(
            &format!("partitions = {count}\n{MINIMAL}"),
            1,
            "partitions",
            &[count, word],
        );
    }
}

#[test]
fn numbers_are_refused_just_outside_their_range_and_taken_at_its_ends() {
    for (table, field, minimum, maximum) in [
        ("replication", "batch_delay_ms", 0, 1000_i64),
        ("replication", "batch_changes", 1, 10_000),
        ("replication", "lanes", 1, 16),
        ("replication", "heartbeat_interval_ms", 10, 10_000),
        ("replication", "compression_level", 1, 19),
        ("replication", "log_retention_bytes", 64 << 20, 16 << 40),
        ("clock", "max_clock_drift_ms", 1, 60_000),
        ("storage", "disk_reserve_bytes", 1 << 20, 1 << 50),
        ("storage", "block_cache_bytes", 1 << 20, 1 << 40),
        ("storage", "memtable_bytes", 1 << 20, 16 << 30),
        ("http", "request_timeout_ms", 1, 600_000),
        ("http", "shutdown_grace_ms", 0, 600_000),
        ("http", "max_staleness_ms", 0, 86_400_000),
    ] {
        let text = |number: i64| format!("{MINIMAL}[{table}]\n{field} = {number}\n");
        for good in [minimum, maximum] {
            ClusterConfig::parse("regions.toml", &text(good)).unwrap();
        }
        for bad in [minimum - 1, maximum + 1, i64::MIN, i64::MAX] {
            let range = format!("use {minimum} to {maximum} (default ");
            refused(
                &text(bad),
                9,
                &format!("{table}.{field}"),
                &[&bad.to_string(), &range],
            );
        }
    }
}

#[test]
fn addresses_are_a_host_and_a_port_that_others_can_dial() {
    for (address, words) in [
        ("127.0.0.1", ["no port", "host:port"]),
        ("127.0.0.1:0", ["no valid port", "1 to 65535"]),
        ("http://localhost:80", ["no valid host", "DNS name"]),
        ("0.0.0.0:8101", ["cannot be dialled", "http_listen"]),
        ("[::]:8101", ["cannot be dialled", "http_listen"]),
    ] {
        refused(
            &minimal_with("127.0.0.1:8101", address),
            6,
            "region.node.http",
            &words,
        );
    }
    refused(
        &minimal_with("127.0.0.1:7101", "0.0.0.0:1"),
        7,
        "region.node.quic",
        &["quic_listen"],
    );
    refused(
        &format!("{MINIMAL}http_listen = \"x\"\n"),
        8,
        "region.node.http_listen",
        &["no port"],
    );
    refused(
        &format!("{MINIMAL}quic_listen = \"x:y\"\n"),
        8,
        "region.node.quic_listen",
        &["no valid port"],
    );
}

#[test]
fn ids_and_addresses_are_unique_and_the_first_use_is_named() {
    refused(
        &two_with("\"eu-west\"", "\"us-east\""),
        9,
        "region.id",
        &["region us-east", "line 3"],
    );
    refused(
        &two_with("eu-west-1", "us-east-1"),
        11,
        "region.node.id",
        &["node us-east-1", "line 5"],
    );
    refused(
        &two_with("8102", "8101"),
        12,
        "region.node.http",
        &["HTTP address (TCP) 127.0.0.1:8101", "line 6"],
    );
    refused(
        &two_with("7102", "7101"),
        13,
        "region.node.quic",
        &["QUIC address (UDP) 127.0.0.1:7101", "line 7"],
    );
}

#[test]
fn addresses_are_compared_in_their_canonical_form() {
    let text = format!("{MINIMAL}{SECOND}")
        .replace("127.0.0.1:8101", "node-a:1")
        .replace("127.0.0.1:8102", "Node-A:1");
    refused(&text, 12, "region.node.http", &["node-a:1", "line 6"]);
}

#[test]
fn there_is_a_region_and_each_has_a_node() {
    refused("cluster = \"test\"\n\n", 1, "region", &["add a [[region]]"]);
    refused(
        "cluster = \"test\"\nregion = []\n",
        2,
        "region",
        &["add a [[region]]"],
    );
    refused(
        &format!("{MINIMAL}[[region]]\nid = \"eu-west\"\n"),
        8,
        "region.node",
        &["eu-west", "add a [[region.node]]"],
    );
}

#[test]
fn regions_and_nodes_have_a_limit() {
    let node = |n: usize| format!("[[region.node]]\nid = \"n{n}\"\nhttp = \"h{n}:1\"\nquic = \"h{n}:1\"\n");
    let regions = |count: usize| -> String {
        (0..count)
            .map(|n| format!("[[region]]\nid = \"r{n}\"\n{}", node(n)))
            .collect()
    };
    let text = |count| format!("cluster = \"test\"\n{}", regions(count));
    ClusterConfig::parse("regions.toml", &text(limits::REGIONS_MAX)).unwrap();
    let line = 2 + limits::REGIONS_MAX * 6;
    refused(
        &text(limits::REGIONS_MAX + 1),
        line,
        "region",
        &["33 regions", "at most 32"],
    );

    let nodes: String = (1..=limits::NODES_PER_REGION_MAX).map(node).collect();
    let line = 8 + (limits::NODES_PER_REGION_MAX - 1) * 4;
    refused(
        &format!("{MINIMAL}{nodes}"),
        line,
        "region.node",
        &["257 nodes", "at most 256"],
    );
}
