//! Batches over a fake region: all or nothing, what each operation is told, and every way in which a body can be wrong.

use serde_json::{Value, json};

use crate::api::test_client::TestServer;
use crate::model::limits;

const BATCH: &str = "POST /v1/data/shop/batch";

async fn refused(server: &TestServer, operations: Value, status: u16, code: &str, saying: &str) {
    let body = json!({ "operations": operations }).to_string();
    let answer = server.body(BATCH, body).await;
    answer.problem_saying(status, code, saying);
}

#[tokio::test]
async fn a_batch_does_all_and_tells_what_each_operation_did() {
    let server = TestServer::new();
    let body = json!({"operations": [
        {"op": "put", "type": "register", "key": "{u}:a", "value": "hello"},
        {"op": "put", "type": "register", "key": "{u}:b", "value_base64": "AAE=", "content_type": "image/x"},
        {"op": "add", "type": "counter", "key": "{u}:n", "add": 3},
        {"op": "add", "type": "counter", "key": "{u}:n", "add": -1},
        {"op": "update", "type": "set", "key": "{u}:s", "add": ["x", "y"], "remove": ["z"]},
        {"op": "update", "type": "map", "key": "{u}:m", "set": {"f": {"z": 1.0}}, "remove": ["g"]},
        {"op": "delete", "type": "register", "key": "{u}:c"},
        {"op": "delete", "type": "counter", "key": "{u}:o"},
        {"op": "update", "type": "set", "key": "{u}:s", "remove": ["z"]},
    ]});
    let answer = server.body(BATCH, body.to_string()).await.expect(200);
    let results = answer.json()["results"].clone();
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), 9);
    let version = |position: usize| results[position]["version"].as_str().unwrap().to_owned();
    assert_eq!(results[0]["etag"], format!("\"{}\"", version(0)));
    assert_eq!(results[2]["value"], 3);
    assert_eq!(results[3]["value"], 2);
    assert_ne!(results[2]["etag"], results[3]["etag"]);
    assert_eq!(results[4].get("etag"), None, "it is for several members");
    assert_eq!(
        (&results[4]["added"], &results[4]["removed"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        (&results[5]["set"], &results[5]["removed"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(results[8]["version"], Value::Null);
    assert!(version(0) < version(1) && version(1) < version(2));
    assert_eq!(answer.header("atoll-version"), version(7));
    let read = server
        .call("GET /v1/data/shop/registers/%7Bu%7D:a")
        .await
        .expect(200);
    assert_eq!(read.body, "hello");
    assert_eq!(read.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(read.header("etag"), results[0]["etag"].as_str().unwrap());
    let read = server
        .call("GET /v1/data/shop/registers/%7Bu%7D:b")
        .await
        .expect(200);
    assert_eq!(read.body.as_ref(), [0, 1]);
    let read = server
        .call("GET /v1/data/shop/maps/%7Bu%7D:m/f")
        .await
        .expect(200);
    assert_eq!(read.body, r#"{"z":1.0}"#);
}

#[tokio::test]
async fn one_refused_operation_refuses_the_whole_batch_and_is_named() {
    let server = TestServer::new();
    let first = server
        .body("PUT /v1/data/shop/registers/%7Bu%7D:a", "old")
        .await
        .expect(204);
    let operations = json!([
        {"op": "put", "type": "register", "key": "{u}:a", "value": "new"},
        {"op": "add", "type": "counter", "key": "{u}:n", "add": 3},
        {"op": "update", "type": "set", "key": "{u}:s", "add": ["x"]},
        {"op": "put", "type": "register", "key": "{u}:b", "value": "x", "if_match": "*"},
    ]);
    let body = json!({ "operations": operations }).to_string();
    let answer = server.body(BATCH, body).await;
    let problem = answer.problem(412, "precondition_failed");
    assert_eq!(problem["operation"], 3);
    assert!(problem["detail"].as_str().unwrap().starts_with("operations[3]: "));
    let read = server
        .call("GET /v1/data/shop/registers/%7Bu%7D:a")
        .await
        .expect(200);
    assert_eq!(read.body, "old");
    assert_eq!(read.header("etag"), first.header("etag"));
    let counter = server
        .call("GET /v1/data/shop/counters/%7Bu%7D:n")
        .await
        .expect(200);
    assert_eq!(counter.json()["value"], 0);
    let set = server.call("GET /v1/data/shop/sets/%7Bu%7D:s").await.expect(200);
    assert_eq!(set.json()["members"], json!([]));
    assert_eq!(
        server.call("GET /v1/data/shop/sets").await.expect(200).json()["keys"],
        json!([])
    );
}

#[tokio::test]
async fn preconditions_see_what_comes_before_them_in_the_batch() {
    let server = TestServer::new();
    let put = |value: &str, condition: &str| {
        let mut put = json!({"op": "put", "type": "register", "key": "k", "value": value});
        put[condition] = "*".into();
        put
    };
    let body = json!({"operations": [put("1", "if_none_match"), put("2", "if_match")]});
    server.body(BATCH, body.to_string()).await.expect(200);
    let body = json!({"operations": [put("1", "if_match"), put("2", "if_none_match")]});
    let answer = server.body(BATCH, body.to_string()).await;
    assert_eq!(answer.problem(412, "precondition_failed")["operation"], 1);
    let read = server.call("GET /v1/data/shop/registers/k").await.expect(200);
    assert_eq!(read.body, "2");
}

#[tokio::test]
async fn keys_of_several_groups_are_refused_with_the_groups() {
    let server = TestServer::new();
    let add = |key: &str| json!({"op": "add", "type": "counter", "key": key, "add": 1});
    for (one, other) in [("{u}:a", "{v}:a"), ("a", "b"), ("{}a", "{}b"), ("{u}:a", "u}:a")] {
        let operations = json!([add(one), add(one), add(other)]);
        refused(
            &server,
            operations,
            400,
            "invalid_request",
            "operations[2]: its key",
        )
        .await;
    }
    let operations = json!([add("{u42}:a"), add("b")]);
    refused(&server, operations, 400, "invalid_request", "as in {u42}:name").await;
    let together = json!({"operations": [add("{u}:a"), add("u"), add("x{u}")]});
    server.body(BATCH, together.to_string()).await.expect(200);
}

#[tokio::test]
async fn a_wrong_operation_is_named_with_what_would_be_right() {
    let server = TestServer::new();
    for (operation, saying) in [
        (
            json!({"op": "incr", "type": "counter", "key": "k", "add": 1}),
            "of a counter use add or delete",
        ),
        (
            json!({"op": "put", "type": "set", "key": "k"}),
            "of a set use update",
        ),
        (
            json!({"op": "put", "type": "list", "key": "k"}),
            "use register, counter, set or map",
        ),
        (
            json!({"op": "add", "type": "counter", "key": "k", "by": 1}),
            "unknown field `by`",
        ),
        (
            json!({"op": "add", "type": "counter", "key": "k"}),
            "missing field `add`",
        ),
        (
            json!({"op": "add", "type": "counter", "key": "", "add": 1}),
            "1 to 1024",
        ),
        (
            json!({"op": "add", "type": "counter", "add": 1}),
            "missing field `key`",
        ),
        (
            json!({"op": "add", "type": "counter", "key": "k", "add": 1.5}),
            "expected i64",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k"}),
            "value_base64",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k", "value": "a", "value_base64": "YQ=="}),
            "either",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k", "value_base64": "!"}),
            "no base64",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k", "value": "", "ttl_seconds": 0}),
            "ttl_seconds",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k", "value": "", "content_type": "a\nb"}),
            "content_type",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k", "value": "", "if_match": "x"}),
            "if_match is malformed",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k", "value": "", "context": "x"}),
            "context",
        ),
        (
            json!({"op": "put", "type": "register", "key": "k", "value": "", "if_match": "*", "if_none_match": "*"}),
            "both",
        ),
        (
            json!({"op": "delete", "type": "register", "key": "k", "value": ""}),
            "unknown field `value`",
        ),
        (
            json!({"op": "delete", "type": "counter", "key": "k", "if_match": "x"}),
            "if_match is malformed",
        ),
        (
            json!({"op": "update", "type": "set", "key": "k", "add": ["a", "b"], "if_none_match": "*"}),
            "one member or field of a set, and it names 2: give each an operation of its own",
        ),
        (
            json!({"op": "update", "type": "set", "key": "k", "if_match": "*"}),
            "it names 0",
        ),
        (
            json!({"op": "update", "type": "map", "key": "k", "set": {"a": 1}, "remove": ["b"], "if_match": "*"}),
            "of a map, and it names 2",
        ),
        (
            json!({"op": "update", "type": "set", "key": "k", "add": [""]}),
            "add[0]",
        ),
        (
            json!({"op": "update", "type": "map", "key": "k", "set": {"": 1}}),
            "set",
        ),
        (json!(["put", "register", "k"]), "must be an object"),
        (json!("put"), "not the JSON"),
    ] {
        let good = json!({"op": "delete", "type": "counter", "key": "k"});
        let operations = json!([good, operation]);
        refused(&server, operations.clone(), 400, "invalid_request", saying).await;
        refused(&server, operations, 400, "invalid_request", "operations[1]").await;
    }
    for (body, saying) in [
        (r#"{"operations":[]}"#, "at least one"),
        (r#"{"operations":[],"more":1}"#, "unknown field `more`"),
        ("[]", "must be an object"),
        ("", "not the JSON"),
    ] {
        let answer = server.body(BATCH, body).await;
        answer.problem_saying(400, "invalid_request", saying);
    }
    assert!(server.call("GET /v1/data/shop/counters").await.json()["keys"] == json!([]));
}

#[tokio::test]
async fn batches_over_the_limits_are_refused_before_anything_is_done() {
    let server = TestServer::new();
    let add = json!({"op": "add", "type": "counter", "key": "k", "add": 1});
    let many = |count: usize| Value::from(vec![add.clone(); count]);
    let limit = limits::OPERATIONS_PER_REQUEST_MAX;
    refused(&server, many(limit + 1), 400, "invalid_request", "limit of 1000").await;
    let members: Vec<String> = (0..limit).map(|number| number.to_string()).collect();
    let set = json!({"op": "update", "type": "set", "key": "k", "add": members});
    refused(
        &server,
        json!([add, set]),
        400,
        "invalid_request",
        "limit of 1000",
    )
    .await;
    let large = |count: usize| {
        let value = "x".repeat(limits::VALUE_BYTES_MAX - 200);
        Value::from(vec![
            json!({"op": "put", "type": "register", "key": "k", "value": value});
            count
        ])
    };
    refused(&server, large(5), 413, "too_large", "what the request writes").await;
    let value = "x".repeat(limits::VALUE_BYTES_MAX + 1);
    let too_large = json!([{"op": "put", "type": "register", "key": "k", "value": value}]);
    refused(&server, too_large, 413, "too_large", "operations[0]: the value").await;
    let body = json!({ "operations": large(4) }).to_string();
    server.body(BATCH, body).await.expect(200);
    let body = json!({ "operations": many(limit) }).to_string();
    server.body(BATCH, body).await.expect(200);
}

#[tokio::test]
async fn members_fields_and_counters_have_preconditions_and_tags() {
    let server = TestServer::new();
    let counter = server
        .body("POST /v1/data/shop/counters/k", r#"{"add": 1}"#)
        .await
        .expect(200);
    let tag = counter.header("etag");
    let operations = |tag: &str| {
        json!({"operations": [
            {"op": "update", "type": "set", "key": "k", "add": ["m"], "if_none_match": "*"},
            {"op": "update", "type": "set", "key": "k", "remove": ["m"], "if_match": "*"},
            {"op": "update", "type": "map", "key": "k", "set": {"f": 1}, "if_none_match": "*"},
            {"op": "add", "type": "counter", "key": "k", "add": 1, "if_match": tag},
            {"op": "delete", "type": "counter", "key": "k", "if_match": "*"},
        ]})
        .to_string()
    };
    let refused = server.body(BATCH, operations("\"other\"")).await;
    let problem = refused.problem(412, "precondition_failed");
    assert_eq!(
        (&problem["operation"], &problem["current_etag"]),
        (&json!(3), &json!(tag))
    );
    let answer = server.body(BATCH, operations(tag)).await.expect(200).json();
    let etag = |position: usize| answer["results"][position]["etag"].as_str();
    assert!(etag(0).is_some());
    assert_eq!(etag(1), None, "it is gone");
    for (position, target) in [(2, "maps/k/f"), (4, "counters/k")] {
        let read = server
            .call(&format!("GET /v1/data/shop/{target}"))
            .await
            .expect(200);
        assert_eq!(Some(read.header("etag")), etag(position));
    }
    let again = server.body(BATCH, operations(tag)).await;
    assert_eq!(again.problem(412, "precondition_failed")["operation"], 2);
}

#[tokio::test]
async fn headers_of_single_registers_are_refused() {
    let server = TestServer::new();
    let body = json!({"operations": [{"op": "delete", "type": "counter", "key": "k"}]}).to_string();
    let answer = server.send(BATCH, &[("If-Match", "*")], body).await;
    answer.problem_saying(400, "invalid_request", "If-Match");
    answer.problem_saying(400, "invalid_request", "if_match or if_none_match in the body");
}
