//! The HTTP contract, call by call, over a real socket to a real node.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Cluster, Region};

/// Sends bytes as they are, which a proper client would not, and gives the answer's text.
async fn raw(region: &Region, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", region.port)).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(crate::harness::DEADLINE, stream.read_to_end(&mut answer));
    // A node that closes before it has read everything resets the connection; what it said before stays.
    match reading.await.expect("an answer in time") {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_wrong_are_answered_with_a_problem_that_says_so() {
    let cluster = Cluster::of_one_region().await;
    let us = cluster.us();
    let long = "k".repeat(1025);
    let big = "x".repeat(1024 * 1024 + 1);
    let cases: &[(&str, String, &str, u16, &str)] = &[
        (
            "GET",
            "/v1/data/shop/registers/%ff".into(),
            "",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/shop/registers/%zz".into(),
            "x",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/shop/registers/%4".into(),
            "x",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/shop/registers/".into(),
            "x",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            format!("/v1/data/shop/registers/{long}"),
            "x",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/Shop/registers/k".into(),
            "x",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/s/registers/k".into(),
            "x",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/_system/registers/k".into(),
            "x",
            400,
            "invalid_request",
        ),
        ("PUT", "/v1/data/shop/registers/k".into(), &big, 413, "too_large"),
        (
            "PUT",
            "/v1/data/shop/registers/k?ttl_seconds=-1".into(),
            "x",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/shop/registers/k?tll_seconds=1".into(),
            "x",
            400,
            "invalid_request",
        ),
        (
            "GET",
            "/v1/data/shop/registers/missing".into(),
            "",
            404,
            "not_found",
        ),
        (
            "GET",
            "/v1/data/shop/registers?limit=0".into(),
            "",
            400,
            "invalid_request",
        ),
        (
            "GET",
            "/v1/data/shop/registers?limit=many".into(),
            "",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/counters/c".into(),
            "",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/counters/c".into(),
            "{\"add\": 1.5}",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/counters/c".into(),
            "{\"add\": \"1\"}",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/counters/c".into(),
            "{\"ad\": 1}",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/counters/c".into(),
            "{\"add\": 1",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/counters/c".into(),
            "{\"add\": 99999999999999999999}",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/sets/s".into(),
            "{\"add\": [1]}",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/sets/s".into(),
            "{\"add\": [\"\"]}",
            400,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/data/shop/sets/s".into(),
            "[]",
            400,
            "invalid_request",
        ),
        ("GET", "/v1/data/shop/sets/s/nobody".into(), "", 404, "not_found"),
        (
            "POST",
            "/v1/data/shop/maps/m".into(),
            "{\"set\": [1]}",
            400,
            "invalid_request",
        ),
        (
            "PUT",
            "/v1/data/shop/maps/m/f".into(),
            "{not json}",
            400,
            "invalid_request",
        ),
        ("GET", "/v1/data/shop/maps/m/nothing".into(), "", 404, "not_found"),
        (
            "PUT",
            "/v1/data/shop".into(),
            "{\"conflict_policy\": \"newest\"}",
            400,
            "invalid_request",
        ),
        (
            "PATCH",
            "/v1/data/shop/registers/k".into(),
            "x",
            405,
            "method_not_allowed",
        ),
        ("GET", "/v1/data/shop/lists/k".into(), "", 404, "not_found"),
        ("GET", "/v2".into(), "", 404, "not_found"),
        (
            "POST",
            "/v1/cluster/links/eu-west/stop".into(),
            "",
            404,
            "not_found",
        ),
    ];
    for (method, path, body, status, code) in cases {
        let answer = us.call(method, path, *body).await;
        assert_eq!(
            answer.status,
            *status,
            "{method} {path:.80} {body:.80}: {}",
            answer.text()
        );
        let answer = answer.problem(*status, code);
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
    }
    // Nothing of it was done.
    assert!(us.keys("shop").await.is_empty());
    assert_eq!(us.count("c").await, 0);
    assert!(us.members("s").await.is_empty());
    assert_eq!(
        us.digest().await["vector"].to_string().matches("us-east").count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_cannot_be_honoured_are_refused_not_ignored() {
    let cluster = Cluster::of_one_region().await;
    let us = cluster.us();
    let path = "/v1/data/shop/registers/k";
    for (name, value, status) in [
        ("atoll-consistency", "most", 400),
        ("atoll-timeout-ms", "soon", 400),
        ("if-match", "no quotes", 400),
        ("if-match", "\"nothing-like-it\"", 412),
    ] {
        let answer = us
            .try_call("PUT", path, &[(name, value)], b"x".to_vec())
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{name}: {value}: {}", answer.text());
    }
    assert_eq!(us.get("k").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_http_do_not_hurt() {
    let cluster = Cluster::of_one_region().await;
    let us = cluster.us();
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GARBAGE\r\n\r\n",
        b"GET /v1/data HTTP/9.9\r\n\r\n",
        b"PUT /v1/data/shop/registers/k HTTP/1.1\r\nhost: a\r\ncontent-length: nine\r\n\r\nx",
        b"GET /v1/data/shop/registers/\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    ] {
        let answer = raw(us, request).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{request:?}: {answer}"
        );
    }
    // A body that is announced and does not come, and a client that goes away.
    let mut stream = TcpStream::connect(("127.0.0.1", us.port)).await.unwrap();
    stream
        .write_all(b"PUT /v1/data/shop/registers/half HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    drop(stream);
    us.put("k", "v").await;
    assert_eq!(us.keys("shop").await, ["k"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_values_come_back_as_they_were_written() {
    let cluster = Cluster::of_one_region().await;
    let us = cluster.us();
    let longest = "é".repeat(512);
    let keys = [
        "a/b",
        "...",
        "%",
        "a b+c?d#e",
        "\u{0}\n\t",
        "日本語",
        "{tag}x",
        &longest,
    ];
    for key in keys {
        us.put(key, format!("value of {key}")).await;
        us.change_set(key, &[key], &[]).await;
        us.change_map(key, json!({ key: { "nested": [key, null, 1.5] } }), &[])
            .await;
    }
    let largest = vec![0xa5; 1024 * 1024];
    us.put("largest", largest.clone()).await;
    us.put("empty", "").await;
    us.kill();
    us.start().await;
    for key in keys {
        assert_eq!(
            us.get(key).await.unwrap(),
            format!("value of {key}").into_bytes(),
            "{key:?}"
        );
        assert_eq!(us.members(key).await, [key]);
        assert_eq!(
            us.fields(key).await,
            json!({ key: { "nested": [key, null, 1.5] } })
        );
    }
    assert_eq!(us.get("largest").await.unwrap(), largest);
    assert_eq!(us.get("empty").await.unwrap(), b"");
    let mut expected: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    expected.extend(["largest".to_owned(), "empty".to_owned()]);
    expected.sort();
    assert_eq!(us.keys("shop").await, expected, "in byte order");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_the_headers_of_the_contract() {
    let cluster = Cluster::of_one_region().await;
    let us = cluster.us();
    let path = "/v1/data/shop/registers/k";
    let written = us
        .try_call(
            "PUT",
            path,
            &[("content-type", "text/markdown")],
            b"# hi".to_vec(),
        )
        .await
        .unwrap();
    let written = written.expect(204);
    let read = us.call("GET", path, "").await.expect(200);
    assert_eq!(read.header("content-type"), "text/markdown");
    for answer in [&written, &read] {
        assert_eq!(answer.header("atoll-region"), "us-east");
        assert_eq!(answer.header("atoll-consistency"), "local_quorum");
        assert_eq!(answer.header("atoll-version"), written.header("atoll-version"));
        assert_eq!(answer.header("etag"), written.header("etag"));
        assert!(answer.header("etag").starts_with('"'));
    }
    let head = us.call("HEAD", path, "").await.expect(200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), "4");
    let etag = written.header("etag");
    let conditional = async |method: &str, header: &str, value: &str| {
        us.try_call(method, path, &[(header, value)], b"new".to_vec())
            .await
            .unwrap()
            .status
    };
    assert_eq!(conditional("GET", "if-none-match", etag).await, 304);
    assert_eq!(conditional("PUT", "if-none-match", "*").await, 412);
    assert_eq!(conditional("PUT", "if-match", etag).await, 204);
    assert_eq!(conditional("PUT", "if-match", etag).await, 412);
    assert_eq!(conditional("DELETE", "if-match", etag).await, 412);
    assert_eq!(us.get("k").await.unwrap(), b"new");
    for path in [
        "/health/live",
        "/health/ready",
        "/health/region",
        "/metrics",
        "/openapi.json",
    ] {
        us.call("GET", path, "").await.expect(200);
    }
    let document = us.call("GET", "/openapi.json", "").await.json();
    assert!(document["paths"]["/v1/data/{namespace}/registers/{key}"]["put"].is_object());
}
