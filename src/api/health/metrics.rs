//! Metrics for Prometheus.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::api::{Api, answer};

/// The text format that everything reads.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Its successor, for those who ask for it: then the types of counters are understood, too.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads the metrics of this node.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    params(("Accept" = Option<String>, Header, description = "With `application/openmetrics-text` the answer has that type; the text is the same")),
    responses((status = 200, description = "Prometheus text format", content_type = "text/plain", body = String)),
)]
pub(crate) fn get(api: &Api, headers: &HeaderMap) -> Response<Body> {
    let text = api.region.metrics();
    let is_asked = headers.get_all(header::ACCEPT).iter().any(|accept| {
        accept
            .to_str()
            .is_ok_and(|accept| accept.contains("application/openmetrics-text"))
    });
    // OpenMetrics must end so; a text that does not is in the older format.
    let media_type = if is_asked && text.ends_with("# EOF\n") {
        OPEN_METRICS
    } else {
        TEXT
    };
    answer::raw(StatusCode::OK, HeaderValue::from_static(media_type), text)
}
