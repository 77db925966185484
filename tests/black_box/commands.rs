//! The commands that people type, against real nodes, with their outputs and exit codes; and the show with real input.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Cluster, atoll, atoll_with_input, check, wait_until};

/// What is installed here as `dpkg-query` lists it, or a list that looks like it.
fn packages() -> Vec<u8> {
    let listed = Command::new("dpkg-query")
        .args(["-W", "-f=${Package}\\t${Version}\\n"])
        .output();
    match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => output.stdout,
        _ => (0..500)
            .map(|n| format!("lib{n}-dev+é\t1:{n}.0~rc1-{n}\n"))
            .collect::<String>()
            .into_bytes(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_packages_loaded_in_one_region_is_read_in_another_byte_for_byte() {
    let cluster = Cluster::start().await;
    let (us, ap) = (cluster.us().url(), cluster.ap().url());
    let input = packages();
    let load = ["load", "-", "--namespace", "packages", "--endpoint", &us];
    let ran = atoll_with_input(&load, &input).expect(0);
    let mut lines: Vec<(&[u8], &[u8])> = input
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
            (&line[..tab], &line[tab + 1..])
        })
        .collect();
    // Where a package is there for two architectures, the last line is what stays.
    lines.reverse();
    lines.sort_by_key(|(key, _)| *key);
    lines.dedup_by_key(|(key, _)| *key);
    assert!(
        format!("{}{}", ran.out, ran.err).contains("p99"),
        "{} {}",
        ran.out,
        ran.err
    );

    let config = cluster.us().config();
    let config = config.to_str().unwrap();
    let ran = atoll(&["digest", "--config", config, "--wait", "60"]).expect(0);
    assert!(ran.out.contains("equal"), "{}", ran.out);
    let ran = atoll(&["keys", "packages", "--null", "--endpoint", &ap]).expect(0);
    let keys: Vec<u8> = lines
        .iter()
        .flat_map(|(key, _)| [key, &b"\0"[..]].concat())
        .collect();
    assert_eq!(ran.out.as_bytes(), keys);
    let step = (lines.len() / 25).max(1);
    for (key, value) in lines.iter().step_by(step) {
        let key = std::str::from_utf8(key).unwrap();
        let ran = atoll(&["get", "packages", key, "--endpoint", &ap]).expect(0);
        assert_eq!(ran.out.as_bytes(), *value, "{key}");
    }
    // Loading the same again is harmless.
    atoll_with_input(&load, &input).expect(0);
    cluster.converged().await;
    assert_eq!(cluster.ap().keys("packages").await.len(), lines.len());
    assert!(cluster.ap().conflicts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_do_what_they_say_and_their_exit_codes_are_part_of_it() {
    let cluster = Cluster::start().await;
    let (us, ap) = (cluster.us().url(), cluster.ap().url());
    let at_us = |arguments: &[&str]| atoll(&[arguments, &["--endpoint", &us]].concat());
    let at_ap = |arguments: &[&str]| atoll(&[arguments, &["--endpoint", &ap]].concat());
    at_us(&["put", "shop", "a/b c", "9.1"]).expect(0);
    let binary = [0, 159, 146, 150, b'\n'];
    atoll_with_input(&["put", "shop", "binary", "-", "--endpoint", &us], &binary).expect(0);
    assert_eq!(
        at_us(&["counter", "add", "shop", "hits", "5"])
            .expect(0)
            .out
            .trim(),
        "5"
    );
    at_us(&["set", "add", "shop", "tags", "x", "y"]).expect(0);
    at_us(&["map", "set", "shop", "user", "name", "\"Ada\""]).expect(0);
    cluster.converged().await;

    assert_eq!(at_ap(&["get", "shop", "a/b c"]).expect(0).out, "9.1");
    assert_eq!(cluster.ap().get("binary").await.unwrap(), binary);
    assert_eq!(
        at_ap(&["counter", "get", "shop", "hits"]).expect(0).out.trim(),
        "5"
    );
    assert_eq!(at_ap(&["set", "members", "shop", "tags"]).expect(0).out, "x\ny\n");
    assert_eq!(
        at_ap(&["set", "contains", "shop", "tags", "x"])
            .expect(0)
            .out
            .trim(),
        "true"
    );
    assert_eq!(
        at_ap(&["set", "contains", "shop", "tags", "z"])
            .expect(1)
            .out
            .trim(),
        "false"
    );
    assert_eq!(
        at_ap(&["map", "get", "shop", "user", "name"])
            .expect(0)
            .out
            .trim(),
        "\"Ada\""
    );
    assert_eq!(at_ap(&["keys", "shop"]).expect(0).out, "a/b c\nbinary\n");
    assert_eq!(at_ap(&["namespace", "list"]).expect(0).out.trim(), "shop");
    at_ap(&["delete", "shop", "a/b c"]).expect(0);
    at_ap(&["get", "shop", "a/b c"]).expect(1);
    at_ap(&["get", "Bad_Name", "k"]).expect(2);
    atoll(&["get", "shop", "k", "--endpoint", "http://127.0.0.1:1"])
        .expect(1)
        .says(&["127.0.0.1:1"]);
    atoll(&["frobnicate"]).expect(2);

    at_us(&["link", "pause", "eu-west"]).expect(0);
    cluster.us().waits_for_link("eu-west", "paused").await;
    let ran = at_us(&["status"]).expect(0);
    assert!(
        ran.out.contains("paused") && ran.out.contains("ap-south"),
        "{}",
        ran.out
    );
    let ran = at_us(&["status", "--json"]).expect(0);
    let _: Value = serde_json::from_str(&ran.out).unwrap();
    at_us(&["link", "resume", "eu-west"]).expect(0);
    at_us(&["link", "pause", "mars"]).expect(1).says(&["mars"]);
    cluster.linked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_tells_unequal_regions_and_conflicts_shows_what_was_lost() {
    let cluster = Cluster::start().await;
    let (us, eu) = (cluster.us(), cluster.eu());
    let config = us.config();
    let config = config.to_str().unwrap();
    for peer in ["eu-west", "ap-south"] {
        us.pause(peer).await;
    }
    us.put("k", "lost in us").await;
    eu.put("k", "kept from eu").await;
    cluster.converged_among(&[1, 2]).await;
    let ran = atoll(&["digest", "--config", config]).expect(1);
    assert!(!ran.out.is_empty());
    for peer in ["eu-west", "ap-south"] {
        us.resume(peer).await;
    }
    atoll(&["digest", "--config", config, "--wait", "60"]).expect(0);
    let ran = atoll(&["conflicts", "--json", "--endpoint", &us.url()]).expect(0);
    assert!(ran.out.contains("bG9zdCBpbiB1cw=="), "{}", ran.out);
    // A node that does not answer is not silently left out.
    eu.kill();
    atoll(&["digest", "--config", config]).expect(1);
    wait_until("status shows who is down", async || {
        let ran = atoll(&["status", "--config", config]).expect(0);
        check(ran.out.contains("down"), &ran.out)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_reported_with_their_number_and_the_rest_is_loaded() {
    let cluster = Cluster::prepare("").await;
    cluster.us().start().await;
    let us = cluster.us().url();
    let long = "k".repeat(1025);
    let input = format!("good\t1\nno tab\n{long}\tv\n\tno key\nalso good\t2\twith a tab\n");
    let ran = atoll_with_input(
        &["load", "-", "--namespace", "shop", "--endpoint", &us],
        input.as_bytes(),
    );
    let ran = ran.expect(1);
    for line in ["line 2", "line 3", "line 4"] {
        assert!(
            ran.err.contains(line) || ran.out.contains(line),
            "no {line} in: {} {}",
            ran.out,
            ran.err
        );
    }
    assert_eq!(cluster.us().keys("shop").await, ["also good", "good"]);
    assert_eq!(cluster.us().get("also good").await.unwrap(), b"2\twith a tab");
}
