//! Tests of probes and metrics over the router.

use serde_json::json;

use crate::actors::region::{HealthView, RegionState};
use crate::api::test_client::TestServer;

#[tokio::test]
async fn probes_tell_what_serves_and_why_not() {
    let server = TestServer::new();
    let healthy = json!({"state": "healthy", "reasons": []});
    for probe in ["ready", "region"] {
        let answer = server.call(&format!("GET /health/{probe}")).await.expect(200);
        assert_eq!(answer.json(), healthy);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for (ready, region_serves, ready_status, region_status) in [
        (true, false, 200, 503),
        (false, true, 503, 200),
        (false, false, 503, 503),
    ] {
        server.region.faults().health = Some(HealthView {
            ready,
            region_serves,
            state: RegionState::Unhealthy,
            reasons: vec!["the disk is full".to_owned()],
        });
        let expected = json!({"state": "unhealthy", "reasons": ["the disk is full"]});
        let answer = server
            .call("GET /health/ready?probe=1")
            .await
            .expect(ready_status);
        assert_eq!(answer.json(), expected);
        let answer = server.call("GET /health/region").await.expect(region_status);
        assert_eq!(answer.json(), expected);
        let answer = server.call("HEAD /health/region").await.expect(region_status);
        assert!(answer.body.is_empty());
        let answer = server.call("GET /health/live").await.expect(200);
        assert_eq!(answer.json()["state"], "live");
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = TestServer::new();
    let answer = server.call("GET /metrics").await.expect(200);
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(answer.body, "atoll_limit 8192\n# EOF\n");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
    let answer = server
        .send("GET /metrics", &[("Accept", accept)], "")
        .await
        .expect(200);
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
}

#[tokio::test]
async fn what_can_wait_is_refused_while_the_region_is_not_healthy() {
    let server = TestServer::new();
    let low = [("Atoll-Priority", "low")];
    let put = "PUT /v1/data/shop/registers/k";
    server.send(put, &low, "x").await.expect(204);
    for state in [
        RegionState::Degraded,
        RegionState::Unhealthy,
        RegionState::Recovering,
    ] {
        server.region.faults().health = Some(HealthView {
            ready: true,
            region_serves: true,
            state,
            reasons: Vec::new(),
        });
        for request in [put, "GET /v1/data/shop/registers/k", "GET /v1/data"] {
            let answer = server.send(request, &low, "").await;
            answer.problem(503, "overloaded");
            assert_eq!(answer.header("retry-after"), "3");
        }
        server
            .send(put, &[("Atoll-Priority", "normal")], "x")
            .await
            .expect(204);
        server.call("GET /v1/data/shop/registers/k").await.expect(200);
        // Operators are never refused.
        server.send("GET /v1/cluster/status", &low, "").await.expect(200);
    }
}

#[tokio::test]
async fn a_priority_that_does_not_exist_is_refused_by_name() {
    let server = TestServer::new();
    let answer = server
        .send(
            "GET /v1/data/shop/registers/k",
            &[("Atoll-Priority", "urgent")],
            "",
        )
        .await;
    assert!(
        answer.problem(400, "invalid_request")["detail"]
            .as_str()
            .unwrap()
            .contains("Atoll-Priority")
    );
}
