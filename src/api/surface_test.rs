//! Tests of what all surfaces share: routes, errors, panics and the document.

use axum::body::Body;
use bytes::Bytes;

use crate::actors::region::RegionError;
use crate::api::openapi;
use crate::api::routes::Route;
use crate::api::test_client::TestServer;
use crate::model::limits;

const MIB: usize = limits::VALUE_BYTES_MAX;

#[tokio::test]
async fn paths_that_do_not_exist_are_problems() {
    let server = TestServer::new();
    for path in [
        "/",
        "/v1",
        "/v1/data/shop/registers/a/b",
        "/v1/data/shop/registers/a/",
        "/v1/data/shop/",
        "/v1/data/shop/lists/a",
        "//v1/data",
        "/v1//data",
        "/v1/cluster/",
        "/health",
        "/metrics/",
    ] {
        let answer = server.call(&format!("GET {path}")).await;
        answer.problem_saying(404, "not_found", "openapi.json");
    }
    assert_eq!(server.observed()[0].route, "unmatched");
}

#[tokio::test]
async fn odd_names_in_paths_are_refused_with_what_and_where() {
    let server = TestServer::new();
    let long = "k".repeat(1025);
    for (path, expected) in [
        ("/v1/data/shop/registers/", "key is 0 bytes"),
        (
            "/v1/data/shop/registers/%zz",
            "the key in the path has malformed percent-encoding at byte 0: \"%zz\"",
        ),
        (
            "/v1/data/shop/registers/a%2",
            "malformed percent-encoding at byte 1: \"%2\"",
        ),
        ("/v1/data/shop/registers/a%ff", "the key in the path is not UTF-8"),
        ("/v1/data/shop/counters/%", "malformed percent-encoding"),
        ("/v1/data/shop/sets/k/", "member or field is 0 bytes"),
        ("/v1/data/shop/sets//m", "key is 0 bytes"),
        ("/v1/data/shop/sets/k/%zz", "the member in the path"),
        ("/v1/data/shop/maps/k/%ff", "the field in the path"),
        ("/v1/data/", "namespace \"\""),
        ("/v1/data//registers/k", "namespace \"\""),
        ("/v1/data/a/registers/k", "namespace \"a\""),
        ("/v1/data/Shop/registers", "namespace \"Shop\""),
        ("/v1/data/_system/registers/k", "namespace \"_system\""),
        ("/v1/data/%zz/counters/k", "the namespace in the path"),
        (&format!("/v1/data/shop/registers/{long}"), "1025 bytes"),
        (&format!("/v1/data/shop/maps/k/{long}"), "1025 bytes"),
    ] {
        let answer = server.call(&format!("GET {path}")).await;
        answer.problem_saying(400, "invalid_request", expected);
    }
}

#[tokio::test]
async fn methods_that_do_not_apply_are_told_those_that_do() {
    let server = TestServer::new();
    for (target, allow) in [
        ("POST /v1/data", "GET, HEAD"),
        ("DELETE /v1/data/shop", "GET, HEAD, PUT"),
        ("PUT /v1/data/shop/registers", "GET, HEAD"),
        ("POST /v1/data/shop/registers/k", "GET, HEAD, PUT, DELETE"),
        ("PUT /v1/data/shop/counters/k", "GET, HEAD, POST, DELETE"),
        ("DELETE /v1/data/shop/sets/k", "GET, HEAD, POST"),
        ("POST /v1/data/shop/sets/k/m", "GET, HEAD, PUT, DELETE"),
        ("PATCH /v1/data/shop/maps/k", "GET, HEAD, POST"),
        ("GET /v1/cluster/links/eu-west/pause", "POST"),
        ("OPTIONS /health/live", "GET, HEAD"),
        ("BREW /metrics", "GET, HEAD"),
    ] {
        let answer = server.call(target).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allow, "{target}");
    }
    assert_eq!(server.observed().last().unwrap().method, "OTHER");
}

#[tokio::test]
async fn what_no_route_asks_for_in_the_query_is_refused_by_name() {
    let server = TestServer::new();
    for target in [
        "GET /v1/data?x=1",
        "GET /v1/data/shop?x=1",
        "PUT /v1/data/shop?x=1",
        "GET /v1/data/shop/registers?x=1",
        "GET /v1/data/shop/registers/k?x=1",
        "PUT /v1/data/shop/registers/k?x=1",
        "DELETE /v1/data/shop/registers/k?x=1",
        "POST /v1/data/shop/counters/k?x=1",
        "GET /v1/data/shop/sets/k?x=1",
        "PUT /v1/data/shop/sets/k/m?x=1",
        "GET /v1/data/shop/maps/k/f?x=1",
        "GET /v1/cluster/status?x=1",
        "GET /v1/cluster/conflicts?x=1",
    ] {
        let answer = server.call(target).await;
        answer.problem_saying(400, "invalid_request", "\"x\" is unknown");
    }
}

#[tokio::test]
async fn the_level_that_was_met_is_told() {
    let server = TestServer::new();
    for (asked, met) in [
        (None, "local_quorum"),
        (Some("local_quorum"), "local_quorum"),
        (Some("eventual"), "eventual"),
    ] {
        let headers: Vec<_> = asked
            .map(|level| ("Atoll-Consistency", level))
            .into_iter()
            .collect();
        for target in [
            "PUT /v1/data/shop/registers/k",
            "GET /v1/data/shop/registers/k",
            "GET /v1/data/shop/registers",
            "GET /v1/data/shop/counters/k",
            "PUT /v1/data/shop/sets/k/m",
            "GET /v1/data/shop",
            "GET /v1/data",
        ] {
            let answer = server.send(target, &headers, Body::empty()).await;
            assert!(answer.status.is_success(), "{answer:?}");
            assert_eq!(answer.header("atoll-consistency"), met, "{target}");
        }
    }
}

#[tokio::test]
async fn preconditions_and_contexts_are_refused_where_nothing_has_a_tag_or_siblings() {
    let server = TestServer::new();
    let untagged = [
        "GET /v1/data",
        "PUT /v1/data/shop",
        "GET /v1/data/shop/registers",
        "GET /v1/data/shop/counters",
        "POST /v1/data/shop/sets/k",
        "GET /v1/data/shop/maps/k",
        "POST /v1/data/shop/batch",
    ];
    for target in untagged {
        for name in ["If-Match", "If-None-Match"] {
            let answer = server.send(target, &[(name, "*")], "{}").await;
            answer.problem_saying(400, "invalid_request", name);
        }
    }
    let tagged = [
        "POST /v1/data/shop/counters/k",
        "GET /v1/data/shop/counters/k",
        "PUT /v1/data/shop/sets/k/m",
        "DELETE /v1/data/shop/maps/k/f",
    ];
    for target in untagged.into_iter().chain(tagged) {
        let answer = server.send(target, &[("Atoll-Context", "*")], "{}").await;
        answer.problem_saying(400, "invalid_request", "Atoll-Context");
    }
}

#[tokio::test]
async fn errors_of_the_region_have_their_status() {
    let unavailable = |outcome_unknown| RegionError::Unavailable {
        reason: "no quorum".to_owned(),
        outcome_unknown,
    };
    let text = || "said so".to_owned();
    for (error, status, code) in [
        (RegionError::Invalid(text()), 400, "invalid_request"),
        (RegionError::NotFound(text()), 404, "not_found"),
        (RegionError::Conflict(text()), 409, "conflict"),
        (RegionError::Overloaded(text()), 503, "overloaded"),
        (unavailable(true), 503, "unavailable"),
        (RegionError::Internal("secret path".to_owned()), 500, "internal"),
    ] {
        let server = TestServer::new();
        server.region.faults().error = Some(error);
        for target in [
            "PUT /v1/data/shop/registers/k",
            "GET /v1/data/shop/registers/k",
            "GET /v1/data/shop/registers",
            "GET /v1/data/shop/counters/k",
            "GET /v1/data/shop/sets/k",
            "GET /v1/data/shop/sets/k/m",
            "GET /v1/data/shop/maps/k",
            "GET /v1/data/shop/maps/k/f",
            "GET /v1/data",
            "POST /v1/cluster/links/eu-west/pause",
            "POST /v1/cluster/links/eu-west/resume",
            "GET /v1/cluster/conflicts",
        ] {
            let answer = server.call(target).await;
            let problem = answer.problem(status, code);
            assert!(!problem.to_string().contains("secret"), "{problem}");
            let is_data = target.contains("/v1/data");
            let retries = code == "overloaded" || (code == "unavailable" && is_data);
            let retry = if retries { "1" } else { "" };
            assert_eq!(answer.header("retry-after"), retry, "{target}");
        }
    }
    let server = TestServer::new();
    for (unknown, expected) in [
        (true, serde_json::json!("unknown")),
        (false, serde_json::json!(false)),
    ] {
        server.region.faults().error = Some(unavailable(unknown));
        let problem = server
            .call("DELETE /v1/data/shop/registers/k")
            .await
            .problem(503, "unavailable");
        assert_eq!(problem["committed_locally"], expected);
    }
}

#[tokio::test]
async fn what_is_not_admitted_is_told_to_come_back() {
    let server = TestServer::new();
    server.region.faults().admission = Some(RegionError::Overloaded("8192 requests".to_owned()));
    for target in [
        "PUT /v1/data/shop/registers/k",
        "GET /v1/data/shop/registers/k",
        "GET /v1/data/shop/registers",
        "DELETE /v1/data/shop/registers/k",
        "POST /v1/data/shop/counters/k",
        "GET /v1/data/shop/counters/k",
        "POST /v1/data/shop/sets/k",
        "GET /v1/data/shop/sets/k/m",
        "PUT /v1/data/shop/maps/k/f",
        "GET /v1/data/shop/maps/k",
        "PUT /v1/data/shop",
        "GET /v1/cluster/conflicts",
    ] {
        let answer = server.call(target).await;
        answer.problem(503, "overloaded");
        assert_eq!(answer.header("retry-after"), "1", "{target}");
    }
    server.call("GET /health/live").await.expect(200);
    server.call("GET /metrics").await.expect(200);
    server.call("GET /v1/cluster/status").await.expect(200);
}

#[tokio::test]
async fn admission_is_asked_for_what_the_body_may_have() {
    let server = TestServer::new();
    server
        .body("PUT /v1/data/shop/registers/k", "12345")
        .await
        .expect(204);
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"12"))]);
    server
        .body("PUT /v1/data/shop/registers/k", Body::from_stream(stream))
        .await
        .expect(204);
    server.call("GET /v1/data/shop/registers/k").await.expect(200);
    assert_eq!(server.region.admitted(), [5, MIB, 0]);
}

#[tokio::test]
async fn a_panic_is_a_problem_without_its_text() {
    let server = TestServer::new();
    server.region.faults().panics = true;
    let answer = server.call("GET /v1/data/shop/counters/k").await;
    let problem = answer.problem(500, "internal");
    assert!(!problem.to_string().contains("secret"), "{problem}");
    assert_eq!(server.observed()[0].status, 500);
}

#[tokio::test]
async fn the_observer_is_told_of_every_request() {
    let server = TestServer::new();
    server
        .call("GET /v1/data/shop/registers/some%2Fkey")
        .await
        .expect(404);
    let observed = server.observed();
    assert_eq!(observed.len(), 1);
    assert_eq!(observed[0].route, "/v1/data/{namespace}/registers/{key}");
    assert_eq!(observed[0].method, "GET");
    assert_eq!(observed[0].status, 404);
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let documented = openapi::operations();
    for route in Route::ALL {
        let methods = &documented[route.template()];
        for verb in route.verbs() {
            // HEAD goes wherever GET goes; the contract names it for registers, and so does the document.
            let is_named = methods.contains(&verb.name());
            assert!(
                is_named || verb.name() == "HEAD",
                "{} {}",
                verb.name(),
                route.template()
            );
        }
        for method in methods {
            assert!(
                route.verbs().iter().any(|verb| verb.name() == *method),
                "{method} {}",
                route.template()
            );
        }
    }
    assert_eq!(documented.len(), Route::ALL.len());
    assert!(
        documented[Route::Record(crate::model::record::RecordType::Register).template()].contains(&"HEAD")
    );
}

#[tokio::test]
async fn the_document_covers_headers_and_errors() {
    let server = TestServer::new();
    let document = server.call("GET /openapi.json").await.expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let put = &document["paths"]["/v1/data/{namespace}/registers/{key}"]["put"];
    let parameters: Vec<_> = put["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    for name in [
        "namespace",
        "key",
        "ttl_seconds",
        "Content-Type",
        "If-Match",
        "If-None-Match",
        "Atoll-Context",
        "Atoll-Consistency",
        "Atoll-Timeout-Ms",
        "Atoll-Session",
        "Atoll-Max-Staleness-Ms",
        "Idempotency-Key",
    ] {
        assert!(parameters.contains(&name), "{name}");
    }
    for status in ["204", "400", "409", "412", "413", "500", "503", "504"] {
        assert!(put["responses"][status].is_object(), "{status}");
        assert!(
            put["responses"][status]["headers"]["Atoll-Region"].is_object(),
            "{status}"
        );
    }
    for header in ["ETag", "Atoll-Version", "Atoll-Consistency"] {
        assert!(put["responses"]["204"]["headers"][header].is_object(), "{header}");
    }
    assert!(put["responses"]["503"]["headers"]["Retry-After"].is_object());
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}
