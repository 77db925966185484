//! A node for unit tests: an HTTP server on a free port that answers what a test says.

use axum::Router;
use tokio::net::TcpListener;

use crate::cli::endpoints::BaseUrl;

/// Serves until the test's runtime ends.
pub(crate) async fn start(router: Router) -> BaseUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// An address where nothing listens: one that was free a moment ago may be another test's by now, but no test is ever
/// given a port of the system's own.
pub(crate) fn unreachable_url() -> BaseUrl {
    "http://127.0.0.1:1".parse().unwrap()
}
