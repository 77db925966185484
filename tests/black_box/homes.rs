//! Home regions between real processes that are 100 ms apart: the first one, hand-over, and what force leaves behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Answer, Cluster, Region, check, wait_until};
use crate::levels::{apart, ask};

const K: &str = "shop/registers/k";
const STRONG: (&str, &str) = ("Atoll-Consistency", "strong");

async fn configure(region: &Region, settings: Value) -> Answer {
    ask(region, "PUT", "shop", &[], &settings.to_string()).await
}

/// Whether a request was on its way to another region when the link was lost, so that nobody knows what has become of it,
/// or found no link. Machines that stall for longer than the links' patience have such moments.
fn is_lost(answer: &Answer) -> bool {
    let detail = || answer.json()["detail"].as_str().unwrap().to_owned();
    answer.status == 503
        && ["has not answered", "cannot be reached"]
            .iter()
            .any(|words| detail().contains(words))
}

/// Reads a record at its home, through a region that may have to make a link first.
async fn answered_at_home(region: &Region, path: &str) -> Answer {
    wait_until("the home answers", async || {
        let read = ask(region, "GET", path, &[STRONG], "").await;
        if is_lost(&read) {
            return Err(read.text());
        }
        Ok(read.expect(200))
    })
    .await
}

/// Waits until a region knows who the home is.
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

#[tokio::test(flavor = "multi_thread")]
async fn strong_is_one_register_for_clients_in_all_regions() {
    let (cluster, _wan) = apart().await;
    cluster.linked().await;
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
    cluster.linked().await;
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
    let (mut counted, mut unknown) = (1, 0);
    for home in ["eu-west", "us-east"] {
        let moving = wait_until("the home is moved", async || {
            let moved = configure(ap, json!({"home_region": home, "mode": "home_writes"})).await;
            if is_lost(&moved) {
                return Err(moved.text());
            }
            Ok(moved.expect(200))
        });
        let counting = async {
            for _ in 0..8 {
                let added = ask(ap, "POST", "shop/counters/n", &[], r#"{"add": 1}"#).await;
                if is_lost(&added) {
                    unknown += 1;
                } else {
                    added.expect(200);
                    counted += 1;
                }
            }
        };
        tokio::join!(moving, counting);
        knows_home(ap, home).await;
        let read = answered_at_home(ap, "shop/counters/n").await;
        let value = read.json()["value"].as_i64().unwrap();
        let possible = counted..=counted + unknown;
        assert!(possible.contains(&value), "{value} is not in {possible:?}");
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
    // What was overruled is told in every region, also in the one that was away.
    for region in cluster.regions() {
        overruled_home(region, "us-east").await;
    }
}

/// Waits until a region's ledger has the configuration that was overruled, of this home.
async fn overruled_home(region: &Region, home: &str) {
    wait_until("the ledger has what was overruled", async || {
        let path = "/v1/cluster/conflicts?namespace=_system";
        let ledger = region
            .try_call("GET", path, &[], Vec::new())
            .await
            .unwrap()
            .json();
        let is_it = |entry: &Value| {
            let value = entry["value_base64"].as_str().unwrap_or_default();
            let configuration: Value = serde_json::from_slice(&STANDARD.decode(value).unwrap()).unwrap();
            (entry["key"] == "shop" && entry["reason"] == "overruled")
                .then_some(configuration["home_region"] == home)
        };
        match ledger["conflicts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(is_it)
            .collect::<Vec<bool>>()[..]
        {
            [true] => Ok(()),
            _ => Err(ledger.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_home_can_be_used_at_once_where_it_was_asked_for() {
    let (cluster, _wan) = apart().await;
    cluster.linked().await;
    // The first region by name, ap-south, decides; the client is in eu-west, the home in us-east.
    for round in 0..5 {
        let namespace = format!("shop{round}");
        let home = json!({"home_region": "us-east"}).to_string();
        let set = ask(cluster.eu(), "PUT", &namespace, &[], &home).await.expect(200);
        assert_eq!(set.header("atoll-region"), "ap-south");
        let key = format!("{namespace}/registers/k");
        let written = ask(cluster.eu(), "PUT", &key, &[STRONG], "x").await.expect(204);
        assert_eq!(written.header("atoll-region"), "us-east");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_regions_that_set_a_first_home_at_the_same_time_set_one() {
    let (cluster, _wan) = apart().await;
    cluster.linked().await;
    let mut round = 0;
    wait_until("two requests meet", async || {
        round += 1;
        set_twice(&cluster, &format!("shop{round}")).await
    })
    .await;
}

/// Sets a first home in two regions at the same time. An error if one request was over when the other began: then the
/// home was handed over, as it may be.
async fn set_twice(cluster: &Cluster, namespace: &str) -> Result<(), String> {
    let set = async |region: &Region, home: &str| {
        let settings = json!({"home_region": home}).to_string();
        ask(region, "PUT", namespace, &[], &settings).await
    };
    let (one, other) = tokio::join!(set(cluster.us(), "us-east"), set(cluster.eu(), "eu-west"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    let said = format!("{} {}", one.text(), other.text());
    // The second finds a home that another region decides about, or that somebody has just changed what it has read.
    assert!(
        statuses[0] == 200 && [200, 409, 503].contains(&statuses[1]),
        "{said}"
    );
    cluster.converged().await;
    let homes: &[&str] = match (one.status, other.status) {
        (200, 200) => &["us-east", "eu-west"],
        (200, _) => &["us-east"],
        _ => &["eu-west"],
    };
    wait_until("all regions know one home", async || {
        let mut known = Vec::new();
        for region in cluster.regions() {
            known.push(ask(region, "GET", namespace, &[], "").await.expect(200).json());
        }
        let is_one = homes.iter().any(|home| known[0]["home_region"] == *home);
        let is_same = known.iter().all(|found| *found == known[0]);
        check(is_one && is_same, format!("{known:?}, {said}"))
    })
    .await;
    for region in cluster.regions() {
        let path = "/v1/cluster/conflicts?namespace=_system";
        let ledger = region.call("GET", path, "").await.expect(200).json();
        assert_eq!(ledger["conflicts"], json!([]), "there were never two");
    }
    check(homes.len() == 1, format!("one came after the other: {said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_region_that_decides_a_first_home_takes_force() {
    let (cluster, _wan) = apart().await;
    cluster.linked().await;
    cluster.ap().stop().await;
    wait_until("us notices that ap is gone", async || {
        let refused = configure(cluster.us(), json!({"home_region": "us-east"})).await;
        // A request that was on its way when ap stopped is told that it was not answered.
        let says = |words: &str| refused.json()["detail"].as_str().unwrap().contains(words);
        let is_said = refused.status == 503 && says("ap-south") && says("\"force\": true");
        check(is_said, refused.text())
    })
    .await;
    ask(cluster.us(), "PUT", K, &[STRONG], "x")
        .await
        .problem(400, "invalid_request");
    let forced = json!({"home_region": "us-east", "force": true});
    configure(cluster.us(), forced).await.expect(200);
    ask(cluster.us(), "PUT", K, &[STRONG], "x").await.expect(204);
    cluster.ap().start().await;
    knows_home(cluster.ap(), "us-east").await;
}
