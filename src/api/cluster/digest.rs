//! The digest of the region: two regions with equal roots hold equal data.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::region::DigestView;
use crate::api::call::Call;
use crate::api::cluster::errors;
use crate::api::problem::Problem;
use crate::api::{Api, answer};
use crate::model::vector::VersionVector;

/// The digest of a region.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Digest {
    /// Over all partitions, in hexadecimal: equal roots mean equal data.
    root: String,
    /// By partition, in hexadecimal.
    partitions: Vec<String>,
    /// By partition: how many changes of each replica are applied. Under a region's name
    /// stand those of its latest incarnation, under the name with `@` and a number those of earlier ones.
    #[schema(example = json!([{"us-east": 12}]))]
    vector: Vec<BTreeMap<String, u64>>,
}

impl From<&DigestView> for Digest {
    fn from(view: &DigestView) -> Self {
        let mut root = String::with_capacity(2 * view.root.len());
        for byte in view.root {
            write!(root, "{byte:02x}").expect("writing into memory cannot fail");
        }
        Self {
            root,
            partitions: view.partitions.iter().map(|(sum, _)| sum.to_string()).collect(),
            vector: view
                .partitions
                .iter()
                .map(|(_, vector)| entries(vector))
                .collect(),
        }
    }
}

fn entries(vector: &VersionVector) -> BTreeMap<String, u64> {
    let mut entries = BTreeMap::new();
    let mut dots = vector.iter().peekable();
    while let Some(dot) = dots.next() {
        // Replicas are in the order of region, then incarnation.
        let is_latest = dots
            .peek()
            .is_none_or(|next| next.replica.region != dot.replica.region);
        let name = if is_latest {
            dot.replica.region.to_string()
        } else {
            dot.replica.to_string()
        };
        entries.insert(name, dot.seq);
    }
    entries
}

/// Reads the digest and the vectors of all partitions.
#[utoipa::path(
    get,
    path = "/v1/cluster/digest",
    tag = "cluster",
    responses((status = 200, description = "The digest", content_type = "application/json", body = Digest)),
)]
pub(crate) async fn get(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.query(&[])?;
    let digest = api.region.digest().await.map_err(errors::problem)?;
    Ok(answer::json(&Digest::from(&digest)))
}
