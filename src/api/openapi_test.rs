//! What the OpenAPI document says of entity tags and preconditions.

use crate::api::openapi;

#[test]
fn the_document_has_tags_and_preconditions_where_they_are() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    for (path, write, status) in [
        ("registers/{key}", "put", "204"),
        ("counters/{key}", "post", "200"),
        ("counters/{key}", "delete", "204"),
        ("sets/{key}/{member}", "put", "204"),
        ("maps/{key}/{field}", "put", "204"),
    ] {
        let item = &document["paths"][format!("/v1/data/{{namespace}}/{path}")];
        for (method, status) in [(write, status), ("get", "200"), ("get", "304")] {
            let tag = &item[method]["responses"][status]["headers"]["ETag"];
            assert!(tag.is_object(), "{method} {path} {status}");
        }
        for method in [write, "get", "delete"] {
            let operation = &item[method];
            assert!(operation["responses"]["412"].is_object(), "{method} {path}");
            let parameters = operation["parameters"].as_array().unwrap();
            for name in ["If-Match", "If-None-Match"] {
                let has = parameters.iter().any(|parameter| parameter["name"] == name);
                assert!(has, "{method} {path} {name}");
            }
        }
    }
    for path in ["sets/{key}", "maps/{key}", "sets", "registers"] {
        let item = &document["paths"][format!("/v1/data/{{namespace}}/{path}")];
        for method in ["get", "post"] {
            assert!(item[method]["responses"]["412"].is_null(), "{method} {path}");
        }
    }
}
