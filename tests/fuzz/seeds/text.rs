//! Inputs of the text targets.

use atoll::fuzzing;
use atoll::model::hlc::{Hlc, WallTime};
use atoll::model::ids::PartitionId;
use atoll::wire::keys::ledger::LedgerKey;
use atoll::wire::session;

use super::values as samples;
use super::{Seed, refused, valid};

const NAMES: [&str; 9] = [
    "us-east",
    "shop",
    "{user1}:café",
    "6b017016d902aba0-us-east",
    "127.0.0.1:8101",
    "[::1]:8101",
    "atoll-us-east.example:65535",
    "a/b?c#d%",
    " ",
];

/// One of two regions with every kind of line, and the smallest.
const CONFIGURATIONS: [&str; 2] = [
    r#"# two regions
cluster = "demo"
partitions = 64

[[region]]
id = "us-east"
[[region.node]]
id = "us-east-1"
http = "127.0.0.1:8101"
quic = "[::1]:7101"
http_listen = "0.0.0.0:8101"
zone = "a"

[[region]]
id = "eu-west"
node = [{ id = "eu-west-1", http = "node.example:8102", quic = 'node.example:7102' }]

[replication]
batch_delay_ms = 10
compression_level = 0x3
log_retention_bytes = 8589934592
[clock]
max_clock_drift_ms = 5_00
[storage]
block_cache_bytes = 67108864
[http]
request_timeout_ms = 5000
"#,
    "cluster='a'\nregion=[{id='b',node=[{id='c',http='d:1',quic='d:1'}]}]",
];

const LOADS: [&str; 4] = [
    "vim\t2:9.1\nbash\t5.2\n\n\t\nkey\t\tvalue with a tab\r\n",
    "{\"key\":\"a/b\",\"value\":\"text\\n\\u00e9\"}\n{\"value\": {\"n\": 1.10}, \"key\": \"k\"}\n",
    "{\"key\":\"k\",\"value\":null}\nno object\n{\"key\":\"k\",\"value\":[[[[1e999]]]]}",
    "{tag}name\tvalue\n..\tdots\n",
];

const PATHS: [&str; 9] = [
    "/v1/data",
    "/v1/data/shop",
    "/v1/data/shop/registers/a%2Fb%20%C3%A9",
    "/v1/data/shop/counters/visits",
    "/v1/data/shop/sets/team/ada",
    "/v1/data/shop/maps/config/theme",
    "/v1/cluster/links/eu-west/pause",
    "/health/live",
    "/openapi.json",
];

const QUERIES: [&str; 4] = [
    "prefix=a+b%2B%2Fc&after=&limit=7",
    "limit=10000",
    "after=%C3%A9&&",
    "",
];

const MAP_UPDATES: [&str; 4] = [
    r#"{"set":{"theme":"dark","size": 1.10, "deep": [[{"a":null}]]},"remove":["old"]}"#,
    r#"{"set":{"\u00e9":true}}"#,
    r#"{"remove":["a","b","a"]}"#,
    r"{}",
];

const REQUESTS: [&str; 31] = [
    "GET /v1/data",
    "GET /v1/data/shop",
    "PUT /v1/data/shop\ncontent-type: application/json\n\n{\"conflict_policy\":\"siblings\",\"default_consistency\":\"eventual\"}",
    "PUT /v1/data/shop/registers/a%2Fb\ncontent-type: text/plain\n\nhello",
    "PUT /v1/data/shop/registers/k?ttl_seconds=60\nif-match: *\ntransfer-encoding: chunked\n\na value in pieces",
    "PUT /v1/data/siblings/registers/siblings\natoll-context: AQEHdXMtZWFzdAEB\n\nmerged",
    "GET /v1/data/siblings/registers/siblings",
    "GET /v1/data/shop/registers/k\nif-none-match: *",
    "HEAD /v1/data/shop/registers/k\natoll-consistency: eventual\natoll-timeout-ms: 100",
    "DELETE /v1/data/shop/registers/k\nif-match: *",
    "GET /v1/data/shop/registers?prefix=a+b&after=%C3%A9&limit=2",
    "GET /v1/data/shop/counters/visits",
    "POST /v1/data/shop/counters/visits\n\n{\"add\":5}",
    "DELETE /v1/data/shop/counters/visits",
    "POST /v1/data/shop/sets/team\n\n{\"add\":[\"ada\",\"bob\"],\"remove\":[\"eve\"]}",
    "GET /v1/data/shop/sets/team?limit=2",
    "PUT /v1/data/shop/sets/team/ada",
    "GET /v1/data/shop/sets/team/ada",
    "POST /v1/data/shop/maps/config\n\n{\"set\":{\"theme\":\"dark\"},\"remove\":[\"old\"]}",
    "PUT /v1/data/shop/maps/config/size\n\n12",
    "GET /v1/data/shop/maps/config",
    "GET /v1/cluster/status",
    "POST /v1/cluster/links/eu-west/pause",
    "GET /health/region",
    "PUT /v1/data/shop/registers/k\nidempotency-key: 5f1c\natoll-consistency: global_quorum\n\nx",
    "GET /v1/data/shop/registers/k\natoll-max-staleness-ms: 500\natoll-session-fallback: forward",
    "POST /v1/data/shop/batch\n\n{\"operations\":[{\"op\":\"add\",\"type\":\"counter\",\"key\":\"{u}:n\",\"add\":1},{\"op\":\"put\",\"type\":\"register\",\"key\":\"{u}:r\",\"value\":\"v\"}]}",
    "PUT /v1/data/shop/sets/team/ada\nif-match: *",
    "GET /v1/data/shop/maps/config/theme\nif-none-match: *",
    "POST /v1/data/shop/counters/visits\nif-match: *\n\n{\"add\":5}",
    "POST /v1/data/shop/batch\n\n{\"operations\":[{\"op\":\"update\",\"type\":\"set\",\"key\":\"k\",\"add\":[\"m\"],\"if_match\":\"*\"}]}",
];

fn token(regions: &[&str]) -> Vec<u8> {
    let stamps = regions
        .iter()
        .map(|region| (region.parse().unwrap(), Hlc(0x6b01_7016_d902_aba0)));
    session::encode(&stamps.collect(), &"test".parse().unwrap())
}

/// All of them.
pub(super) fn all() -> Vec<Seed> {
    let ledger_key = LedgerKey {
        lost_at: WallTime::from_micros(1_790_000_000_000_000),
        partition: PartitionId(258),
        number: 3,
    };
    let cursor: String = ledger_key
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let conflicts = format!("GET /v1/cluster/conflicts?namespace=shop&after={cursor}&limit=7");
    [
        valid("name", bytes(&NAMES)),
        valid(
            "context",
            [fuzzing::context_text(&[samples::dot(), samples::dot()]).into_bytes()],
        ),
        valid("session-token", [token(&[]), token(&["us-east", "eu-west"])]),
        refused("session-token", [b"".to_vec(), token(&["moon"])]),
        refused("context", bytes(&["", "AAAA", "AQEHdXMtZWFzdAEBAA"])),
        valid("cursor", [cursor.into_bytes()]),
        refused("cursor", bytes(&["", "00"])),
        valid(
            "peer-words",
            bytes(&[
                "a\nb\x1b[31m",
                "certificate is not valid after 1795859259 (1987200 seconds ago)",
            ]),
        ),
        valid("load-lines", bytes(&LOADS)),
        valid("regions-toml", bytes(&CONFIGURATIONS)),
        refused("regions-toml", bytes(&["cluster = 1\n", "[[regions]\n", ""])),
        valid("path", bytes(&PATHS)),
        refused("path", bytes(&["/v1/data/a/b/c/d/e", "%"])),
        valid("query", bytes(&QUERIES)),
        refused("query", bytes(&["limit=0", "limit=1&limit=2", "prefix=%zz"])),
        valid("map-update", bytes(&MAP_UPDATES)),
        refused("map-update", bytes(&[r#"[{}]"#, r#"{"set":{"a":1,"\u0061":2}}"#])),
        valid(
            "request",
            bytes(&REQUESTS).into_iter().chain([conflicts.into_bytes()]),
        ),
        refused(
            "request",
            bytes(&[
                "GET /nothing",
                "PATCH /v1/data",
                "GET /v1/data/shop/sets/team/no",
                "DELETE /v1/data/shop/registers/k\nif-match: \"a,b\", W/\"c\"",
                "GET /v1/data/shop/sets/%zz",
                "BAD",
            ]),
        ),
    ]
    .concat()
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
