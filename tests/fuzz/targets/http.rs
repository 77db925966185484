//! What clients send: paths, queries, bodies, and whole requests to the router.

use std::cell::OnceCell;
use std::sync::Arc;

use atoll::api::{ApiSettings, router};
use atoll::fuzzing;
use atoll::model::request::Operation;
use atoll::ports::blocking::BlockingWork;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use super::Verdict;
use crate::judge::input_expands_to;
use crate::region::{FixedClock, FixedRegion};

/// A raw path: its route, its segments as names, and its text percent-decoded.
pub(super) fn path(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    if let Some(decoded) = fuzzing::percent_decoded(text) {
        // Encoding every byte is the one encoding that any decoder must undo.
        let encoded: String = decoded.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(fuzzing::percent_decoded(&encoded), Some(decoded));
    }
    let Some((template, names)) = fuzzing::route(text) else {
        return Verdict::Refused;
    };
    assert!(template.starts_with('/'));
    for raw in names {
        let segment = fuzzing::segment(raw);
        let decoded = fuzzing::percent_decoded(raw);
        for shown in [
            segment.namespace.map(|name| name.to_string()),
            segment.key.map(|key| key.to_string()),
            segment.sub_key.map(|key| key.to_string()),
            segment.region.map(|region| region.to_string()),
        ] {
            assert!(shown.is_none() || shown == decoded, "{shown:?} of {decoded:?}");
        }
    }
    Verdict::Accepted
}

/// A raw query of a listing: within the limits of pages.
pub(super) fn query(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let Some((prefix, after, limit)) = fuzzing::listing_query(text) else {
        return Verdict::Refused;
    };
    assert!((1..=atoll::model::limits::LISTING_MAX).contains(&limit));
    for text in [Some(prefix), after].into_iter().flatten() {
        assert!(text.len() <= atoll::model::limits::KEY_BYTES_MAX);
    }
    Verdict::Accepted
}

/// The body of an update of a map: values stay JSON, byte for byte as they were sent.
pub(super) fn map_update(input: &[u8]) -> Verdict {
    let Some(operation) = fuzzing::map_update(&Bytes::copy_from_slice(input)) else {
        return Verdict::Refused;
    };
    let Operation::UpdateMap { set, remove } = operation else {
        panic!("an update of a map became {operation:?}");
    };
    assert!(set.len() + remove.len() <= atoll::model::limits::OPERATIONS_PER_REQUEST_MAX);
    for (_, value) in &set {
        let parsed: Result<&serde_json::value::RawValue, _> = serde_json::from_slice(value);
        assert_eq!(parsed.expect("a value of JSON is JSON").get().as_bytes(), value);
    }
    Verdict::Accepted
}

/// A whole request as HTTP/1 writes it, without its version: answered, never with 500, and errors as problems.
pub(super) fn request(input: &[u8]) -> Verdict {
    let Some(request) = parse_request(input) else {
        return Verdict::Refused;
    };
    let (parts, body) = SURFACE.with(|surface| {
        let (runtime, router) = surface.get_or_init(|| {
            // What is built once is not to be blamed on the first input.
            input_expands_to(SURFACE_BYTES_MAX);
            surface_over_a_fixed_region()
        });
        runtime.block_on(async {
            let answer = router
                .clone()
                .oneshot(request)
                .await
                .expect("the router does not fail");
            let (parts, body) = answer.into_parts();
            (parts, body.collect().await.expect("answers are whole").to_bytes())
        })
    });
    assert_ne!(
        parts.status,
        StatusCode::INTERNAL_SERVER_ERROR,
        "{}",
        body.escape_ascii()
    );
    let is_problem = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == "application/problem+json");
    if (parts.status.is_client_error() || parts.status.is_server_error()) && !body.is_empty() {
        assert!(is_problem, "{}", parts.status);
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem is JSON");
        assert_eq!(problem["status"], parts.status.as_u16());
    }
    Verdict::of(parts.status.is_success() || parts.status.is_redirection())
}

/// More than the router and its OpenAPI document take.
const SURFACE_BYTES_MAX: usize = 1024 * 1024;

thread_local! {
    /// Built once for each thread: the OpenAPI document in it takes longer than all else.
    static SURFACE: OnceCell<(Runtime, Router)> = const { OnceCell::new() };
}

fn surface_over_a_fixed_region() -> (Runtime, Router) {
    let mut settings = ApiSettings::new(Arc::new(FixedClock));
    // On this thread, which is the one that is measured.
    settings.blocking = BlockingWork::AtOnce;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    (runtime, router(Arc::new(FixedRegion), settings))
}

/// The request in `METHOD target`, lines of headers, an empty line, and the body; none where HTTP libraries below the
/// router would refuse it.
fn parse_request(input: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match input.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&input[..end], &input[end + 2..]),
        None => (input, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
    *request.uri_mut() = Uri::try_from(&first[space + 1..]).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    let body = body.to_vec();
    *request.body_mut() = if request.headers().contains_key(header::TRANSFER_ENCODING) {
        // In pieces, as it may arrive.
        let pieces: Vec<_> = body
            .chunks(7)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        Body::from_stream(futures_util::stream::iter(pieces))
    } else {
        Body::from(body)
    };
    Some(request)
}
