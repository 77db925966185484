//! Asking many nodes at once, so that a dead one costs its own timeout and nothing else.

use futures_util::future::join_all;

use crate::cli::client::{Client, ClientError};
use crate::cli::connection::RequestOptions;
use crate::cli::endpoints::Endpoint;
use crate::cli::limits;

/// A node to ask, with its connection kept for the next round.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// Who.
    pub(crate) endpoint: Endpoint,
    client: Client,
}

/// Sets up the clients.
pub(crate) fn prepare(
    endpoints: Vec<Endpoint>,
    options: &RequestOptions,
) -> Result<Vec<Surveyed>, ClientError> {
    let prepare = |endpoint: Endpoint| {
        let client = Client::with_timeout(endpoint.url.clone(), options, limits::SURVEY_TIMEOUT)?;
        Ok(Surveyed { endpoint, client })
    };
    endpoints.into_iter().map(prepare).collect()
}

/// Asks all nodes at once; the answers are in the order of the nodes. Their number is bounded by the configuration's.
pub(crate) async fn ask_all<T>(
    nodes: &[Surveyed],
    ask: impl AsyncFn(&Client) -> Result<T, ClientError>,
) -> Vec<Result<T, ClientError>> {
    join_all(nodes.iter().map(|node| ask(&node.client))).await
}
