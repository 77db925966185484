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
