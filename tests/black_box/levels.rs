//! Consistency levels and sessions between real processes that are 100 ms apart.

use std::time::Duration;

use crate::harness::{Answer, Cluster, Region, Wan, wait_until};

const APART: &str = "
[[link]]
between = [\"us-east\", \"eu-west\"]
round_trip_ms = 100
[[link]]
between = [\"us-east\", \"ap-south\"]
round_trip_ms = 100
[[link]]
between = [\"eu-west\", \"ap-south\"]
round_trip_ms = 100
";

pub(crate) async fn apart() -> (Cluster, Wan) {
    Cluster::start_over_wan(APART).await
}

pub(crate) async fn ask(
    region: &Region,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let path = format!("/v1/data/{path}");
    let answered = region
        .try_call(method, &path, headers, body.as_bytes().to_vec())
        .await;
    answered.unwrap()
}

const K: &str = "shop/registers/k";
const MAJORITY: (&str, &str) = ("Atoll-Consistency", "global_quorum");

#[tokio::test(flavor = "multi_thread")]
async fn a_session_reads_its_write_in_a_region_far_away_at_once() {
    let (cluster, _wan) = apart().await;
    for round in 0..10 {
        let value = format!("value {round}");
        let written = ask(cluster.us(), "PUT", K, &[], &value).await.expect(204);
        let token = written.header("atoll-session").to_owned();
        let session = [("Atoll-Session", token.as_str())];
        for region in [cluster.eu(), cluster.ap()] {
            let read = ask(region, "GET", K, &session, "").await.expect(200);
            assert_eq!(read.text(), value);
            // Another record, of another partition that nothing happens to.
            let other = format!("shop/registers/other{round}");
            ask(region, "GET", &other, &session, "").await.expect(404);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_region_is_cut_off_ends_in_504_or_is_answered_there() {
    let (cluster, wan) = apart().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    ask(us, "PUT", K, &[], "old").await.expect(204);
    cluster.converged().await;
    // What us writes goes nowhere; requests to it still arrive from eu, and are answered on their own way.
    let (token, refused) = wait_until("eu is asked before it notices the loss of its link", async || {
        for peer in [eu, ap] {
            wan.heal(us, peer).await;
        }
        cluster.linked().await;
        for peer in [eu, ap] {
            wan.cut(us, peer).await;
        }
        let written = ask(us, "PUT", K, &[], "new").await.expect(204);
        let token = written.header("atoll-session").to_owned();
        let waiting = [("Atoll-Session", token.as_str()), ("Atoll-Timeout-Ms", "400")];
        let refused = ask(eu, "GET", K, &waiting, "").await;
        match refused.status {
            503 => Err(refused.text()),
            _ => Ok((token, refused.problem(504, "timeout"))),
        }
    })
    .await;
    assert!(refused.text().contains("us-east"), "{}", refused.text());
    let age = ask(
        eu,
        "GET",
        K,
        &[("Atoll-Max-Staleness-Ms", "300"), ("Atoll-Timeout-Ms", "1000")],
        "",
    )
    .await;
    if age.status == 200 {
        // It may still be young enough; soon it no longer is.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let headers = [("Atoll-Max-Staleness-Ms", "300"), ("Atoll-Timeout-Ms", "50")];
    ask(eu, "GET", K, &headers, "").await.problem(503, "unavailable");
    wan.heal(us, eu).await;
    wan.heal(us, ap).await;
    // The link may have been lost, and is then made anew.
    let read = wait_until("the session is answered", async || {
        let read = ask(eu, "GET", K, &[("Atoll-Session", &token)], "").await;
        match read.status {
            200 => Ok(read),
            _ => Err(read.text()),
        }
    })
    .await;
    assert_eq!(read.text(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_majority_has_acknowledged_a_majority_reads() {
    let (cluster, _wan) = apart().await;
    for round in 0..5 {
        let value = format!("value {round}");
        let written = ask(cluster.us(), "PUT", K, &[MAJORITY], &value).await.expect(204);
        assert_eq!(written.header("atoll-consistency"), "global_quorum");
        let read = ask(cluster.ap(), "GET", K, &[MAJORITY], "").await.expect(200);
        assert_eq!(read.text(), value);
        let listed = ask(cluster.eu(), "GET", "shop/registers", &[MAJORITY], "")
            .await
            .expect(200);
        assert_eq!(listed.json()["keys"][0]["key"], "k");
    }
    cluster.eu().stop().await;
    ask(cluster.us(), "PUT", K, &[MAJORITY], "two of three")
        .await
        .expect(204);
    cluster.ap().stop().await;
    let headers = [MAJORITY, ("Atoll-Timeout-Ms", "300")];
    let alone = wait_until("the write is durable here within its time", async || {
        let alone = ask(cluster.us(), "PUT", K, &headers, "alone")
            .await
            .problem(504, "timeout");
        // Unknown is what a disk gives that has not finished within 300 ms.
        match alone.json()["committed_locally"].as_bool() {
            Some(is_durable) => Ok((is_durable, alone)),
            None => Err(alone.text()),
        }
    })
    .await;
    let (is_durable, alone) = alone;
    assert!(is_durable, "{}", alone.text());
    let session = alone.json()["session"].as_str().unwrap().to_owned();
    let read = ask(cluster.us(), "GET", K, &[("Atoll-Session", &session)], "").await;
    assert_eq!(read.expect(200).text(), "alone");
    ask(cluster.us(), "GET", K, &headers, "")
        .await
        .problem(504, "timeout");
}
