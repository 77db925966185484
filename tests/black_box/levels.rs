//! Consistency levels, sessions and homes between real processes that are 100 ms apart.

use std::time::Duration;

use serde_json::{Value, json};

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

async fn apart() -> (Cluster, Wan) {
    Cluster::start_over_wan(APART).await
}

async fn ask(region: &Region, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let path = format!("/v1/data/{path}");
    let answered = region
        .try_call(method, &path, headers, body.as_bytes().to_vec())
        .await;
    answered.unwrap()
}

async fn configure(region: &Region, settings: Value) -> Answer {
    ask(region, "PUT", "shop", &[], &settings.to_string()).await
}

/// Waits until all regions know who the home is.
async fn knows_home(region: &Region, home: &str) {
    wait_until("the region knows the home", async || {
        let answer = ask(region, "GET", "shop", &[], "").await.json();
        if answer["home_region"] == home {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    })
    .await;
}

const K: &str = "shop/registers/k";
const STRONG: (&str, &str) = ("Atoll-Consistency", "strong");
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
    wan.cut(us, eu).await;
    wan.cut(us, ap).await;
    let written = ask(us, "PUT", K, &[], "new").await.expect(204);
    let token = written.header("atoll-session").to_owned();
    let waiting = [("Atoll-Session", token.as_str()), ("Atoll-Timeout-Ms", "400")];
    let refused = ask(eu, "GET", K, &waiting, "").await.problem(504, "timeout");
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
    let read = ask(
        eu,
        "GET",
        K,
        &[("Atoll-Session", token.as_str()), ("Atoll-Timeout-Ms", "30000")],
        "",
    )
    .await;
    assert_eq!(read.expect(200).text(), "new");
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
    let alone = ask(cluster.us(), "PUT", K, &headers, "alone")
        .await
        .problem(504, "timeout");
    assert_eq!(alone.json()["committed_locally"], true);
    let session = alone.json()["session"].as_str().unwrap().to_owned();
    let read = ask(cluster.us(), "GET", K, &[("Atoll-Session", &session)], "").await;
    assert_eq!(read.expect(200).text(), "alone");
    ask(cluster.us(), "GET", K, &headers, "")
        .await
        .problem(504, "timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn strong_is_one_register_for_clients_in_all_regions() {
    let (cluster, _wan) = apart().await;
    ask(cluster.ap(), "GET", K, &[STRONG], "")
        .await
        .problem(400, "invalid_request");
    configure(cluster.us(), json!({"home_region": "us-east"}))
        .await
        .expect(200);
    for region in cluster.regions() {
        knows_home(region, "us-east").await;
    }
    // Three clients want to be the first, one in each region.
    let absent = [STRONG, ("If-None-Match", "*")];
    let mut statuses = Vec::new();
    let (us, eu, ap) = tokio::join!(
        ask(cluster.us(), "PUT", K, &absent, "us"),
        ask(cluster.eu(), "PUT", K, &absent, "eu"),
        ask(cluster.ap(), "PUT", K, &absent, "ap"),
    );
    for answer in [us, eu, ap] {
        assert!([204, 412].contains(&answer.status), "{}", answer.text());
        statuses.push(answer.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 412, 412]);
    let shown = ask(cluster.us(), "GET", K, &[STRONG], "").await.expect(200);
    let read = ask(cluster.ap(), "GET", K, &[STRONG], "").await.expect(200);
    assert_eq!(read.text(), shown.text());
    assert_eq!(read.header("atoll-region"), "us-east");
    assert_eq!(read.header("atoll-consistency"), "strong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_handed_over_with_all_that_it_has_written_and_moved_by_force_when_it_is_lost() {
    let (cluster, _wan) = apart().await;
    let (us, eu, ap) = (cluster.us(), cluster.eu(), cluster.ap());
    configure(us, json!({"home_region": "us-east", "mode": "home_writes"}))
        .await
        .expect(200);
    for region in cluster.regions() {
        knows_home(region, "us-east").await;
    }
    // Sent to ap at the default level, made at home.
    let written = ask(ap, "POST", "shop/counters/n", &[], r#"{"add": 1}"#)
        .await
        .expect(200);
    assert_eq!(written.header("atoll-region"), "us-east");
    // A client in ap counts while the home moves from us to eu and back; the change may be asked for anywhere.
    let mut counted = 1;
    for home in ["eu-west", "us-east"] {
        let moving = configure(ap, json!({"home_region": home, "mode": "home_writes"}));
        let counting = async {
            for _ in 0..8 {
                let headers = [("Atoll-Timeout-Ms", "20000")];
                ask(ap, "POST", "shop/counters/n", &headers, r#"{"add": 1}"#)
                    .await
                    .expect(200);
            }
            8
        };
        let (moved, more) = tokio::join!(moving, counting);
        moved.expect(200);
        counted += more;
        knows_home(ap, home).await;
        let read = ask(ap, "GET", "shop/counters/n", &[STRONG], "").await.expect(200);
        assert_eq!(read.json()["value"], counted);
    }
    us.kill();
    let refused = ask(
        eu,
        "POST",
        "shop/counters/n",
        &[("Atoll-Timeout-Ms", "500")],
        r#"{"add": 1}"#,
    )
    .await;
    assert!([503, 504].contains(&refused.status), "{}", refused.text());
    wait_until("eu notices that the home is gone", async || {
        let refused = configure(eu, json!({"home_region": "eu-west"})).await;
        if refused.status == 503 {
            Ok(())
        } else {
            Err(refused.text())
        }
    })
    .await;
    let forced = json!({"home_region": "eu-west", "mode": "home_writes", "force": true});
    configure(eu, forced).await.expect(200);
    ask(eu, "POST", "shop/counters/n", &[], r#"{"add": 1}"#)
        .await
        .expect(200);
    us.start().await;
    cluster.converged_among(&[1, 2]).await;
}
