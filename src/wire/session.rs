//! Session tokens as bytes: a version, a mark of the cluster, twelve bytes for each region, a checksum. Opaque to
//! clients, who carry them from one answer to the next request.

use crate::model::hlc::Hlc;
use crate::model::ids::{ClusterName, RegionId};
use crate::model::session::SessionToken;

const VERSION: u8 = 1;
/// Marks of clusters and regions, and the checksum: four bytes of a hash. Two regions of one cluster share a mark once in
/// eight million clusters of the largest size, and are then told apart by nothing worse than a longer wait.
const MARK_BYTES: usize = 4;
const STAMP_BYTES: usize = 8;
const ENTRY_BYTES: usize = MARK_BYTES + STAMP_BYTES;

type Mark = [u8; MARK_BYTES];

/// Bytes are not a token for this cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// They are no token at all, or were changed on the way.
    #[error("is not a session token: pass on exactly what an answer gave in Atoll-Session, or leave it out")]
    Malformed,
    /// A newer version made it.
    #[error(
        "is a session token of version {0}, this node reads version {VERSION}: upgrade it, or leave the token out"
    )]
    Version(u8),
    /// Another cluster made it.
    #[error("is a session token of another cluster, this one is {0}: leave it out")]
    OtherCluster(ClusterName),
    /// It names a region that is not in this node's regions.toml.
    #[error(
        "has seen a region that this cluster does not have: leave it out, or bring regions.toml up to date"
    )]
    UnknownRegion,
}

fn mark(kind: &str, name: &str) -> Mark {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.as_bytes());
    hasher.update(&[0]);
    hasher.update(name.as_bytes());
    first_bytes(&hasher.finalize())
}

fn first_bytes(hash: &blake3::Hash) -> Mark {
    let mut mark = Mark::default();
    mark.copy_from_slice(&hash.as_bytes()[..MARK_BYTES]);
    mark
}

/// The bytes of a token.
#[must_use]
pub fn encode(token: &SessionToken, cluster: &ClusterName) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(mark("cluster", cluster.as_str()));
    for (region, stamp) in token.iter() {
        bytes.extend(mark("region", region.as_str()));
        bytes.extend(stamp.0.to_be_bytes());
    }
    let checksum = first_bytes(&blake3::hash(&bytes));
    bytes.extend(checksum);
    bytes
}

/// Reads what [`encode`] wrote in this cluster.
///
/// # Errors
/// [`TokenError`].
pub fn decode(
    bytes: &[u8],
    cluster: &ClusterName,
    regions: impl Iterator<Item = RegionId>,
) -> Result<SessionToken, TokenError> {
    let (content, checksum) = bytes
        .split_last_chunk::<MARK_BYTES>()
        .ok_or(TokenError::Malformed)?;
    if first_bytes(&blake3::hash(content)) != *checksum {
        return Err(TokenError::Malformed);
    }
    let (version, content) = content.split_first().ok_or(TokenError::Malformed)?;
    if *version != VERSION {
        return Err(TokenError::Version(*version));
    }
    let (of_cluster, entries) = content
        .split_first_chunk::<MARK_BYTES>()
        .ok_or(TokenError::Malformed)?;
    if *of_cluster != mark("cluster", cluster.as_str()) {
        return Err(TokenError::OtherCluster(*cluster));
    }
    let known: Vec<(Mark, RegionId)> = regions
        .map(|region| (mark("region", region.as_str()), region))
        .collect();
    let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() || entries.len() > known.len() {
        return Err(TokenError::Malformed);
    }
    entries
        .iter()
        .map(|entry| {
            let (of_region, stamp) = entry
                .split_first_chunk::<MARK_BYTES>()
                .ok_or(TokenError::Malformed)?;
            let stamp = stamp.try_into().map_err(|_| TokenError::Malformed)?;
            let found = known.iter().find(|(mark, _)| mark == of_region);
            let (_, region) = found.ok_or(TokenError::UnknownRegion)?;
            Ok((*region, Hlc(u64::from_be_bytes(stamp))))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterName {
        "test".parse().unwrap()
    }

    fn regions() -> impl Iterator<Item = RegionId> {
        ["eu-west", "us-east"]
            .into_iter()
            .map(|name| name.parse().unwrap())
    }

    fn token() -> SessionToken {
        SessionToken::from_iter(regions().zip([Hlc(7), Hlc(u64::MAX)]))
    }

    #[test]
    fn a_token_comes_back_as_it_was_in_twelve_bytes_for_each_region() {
        let bytes = encode(&token(), &cluster());
        assert_eq!(bytes.len(), 9 + 2 * 12);
        assert_eq!(decode(&bytes, &cluster(), regions()), Ok(token()));
        let empty = SessionToken::default();
        assert_eq!(
            decode(&encode(&empty, &cluster()), &cluster(), regions()),
            Ok(empty)
        );
    }

    #[test]
    fn golden_bytes() {
        let bytes = encode(
            &SessionToken::from_iter([("us-east".parse().unwrap(), Hlc(1))]),
            &cluster(),
        );
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "01446f757ceef0724c0000000000000001cca2ba9e");
    }

    #[test]
    fn whatever_was_changed_on_the_way_is_refused() {
        let bytes = encode(&token(), &cluster());
        for end in 0..bytes.len() {
            assert_eq!(
                decode(&bytes[..end], &cluster(), regions()),
                Err(TokenError::Malformed)
            );
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(
                decode(&changed, &cluster(), regions()),
                Err(TokenError::Malformed)
            );
        }
    }

    #[test]
    fn tokens_of_others_are_refused_by_name() {
        let other: ClusterName = "other".parse().unwrap();
        let bytes = encode(&token(), &other);
        assert_eq!(
            decode(&bytes, &cluster(), regions()),
            Err(TokenError::OtherCluster(cluster()))
        );
        let bytes = encode(
            &SessionToken::from_iter([("moon".parse().unwrap(), Hlc(1))]),
            &cluster(),
        );
        assert_eq!(
            decode(&bytes, &cluster(), regions()),
            Err(TokenError::UnknownRegion)
        );
    }
}
