//! Which partition a batch is for, known before its operations are looked at: its session and its level ask for no other.

use serde::Deserialize;

use crate::actors::region::Reach;
use crate::api::Api;
use crate::api::body::RequestBody;
use crate::api::problem::Problem;
use crate::model::agreement::REGION_GROUP;
use crate::model::ids::{Key, Namespace};
use crate::model::limits;

#[derive(Deserialize)]
struct Keys {
    operations: Vec<KeyOnly>,
}

#[derive(Deserialize)]
struct KeyOnly {
    key: String,
}

/// The partition of a batch's first key; the handler refuses batches whose keys are not together, and what is no batch.
///
/// # Errors
/// Those of reading the body.
pub(crate) async fn reach(
    api: &Api,
    namespace: &Namespace,
    body: &mut RequestBody,
) -> Result<Reach, Problem> {
    let region = api.region.as_ref();
    let bytes = body
        .peek(region, "the body", limits::BATCH_BODY_BYTES_MAX)
        .await?;
    let keys: Option<Keys> = serde_json::from_slice(&bytes).ok();
    let first = keys.and_then(|keys| Key::new(&keys.operations.into_iter().next()?.key).ok());
    // What is no batch is refused on any node, whatever it holds.
    let anywhere = Reach::Partition(REGION_GROUP);
    Ok(first.map_or(anywhere, |key| region.reach(namespace, &key)))
}
