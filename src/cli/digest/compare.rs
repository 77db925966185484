//! Comparing digests. Pure.

use std::collections::BTreeMap;

use crate::cli::client::cluster::RegionDigest;

/// What the digests prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All regions hold the same data.
    Equal,
    /// At least two regions do not.
    Different,
    /// No difference was seen, but not all regions were, or there is only one.
    Unknown,
}

/// The verdict, and where regions differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Over all regions.
    pub(super) verdict: Verdict,
    /// Partitions that differ where regions have not applied the same changes yet.
    pub(super) catching_up: Vec<usize>,
    /// Partitions that differ between regions that have applied the same changes.
    pub(super) diverged: Vec<usize>,
    /// The regions cannot be of one cluster.
    pub(super) partition_counts_differ: bool,
}

/// Compares the digests of all regions that answered; `missing` counts those that did not.
pub(super) fn compare(digests: &BTreeMap<String, RegionDigest>, missing: usize) -> Comparison {
    let digests: Vec<&RegionDigest> = digests.values().collect();
    let partitions = digests
        .iter()
        .map(|digest| digest.partitions.len())
        .max()
        .unwrap_or(0);
    let (mut catching_up, mut diverged) = (Vec::new(), Vec::new());
    for partition in 0..partitions {
        let first = digests[0].partitions.get(partition);
        if digests
            .iter()
            .all(|digest| digest.partitions.get(partition) == first)
        {
            continue;
        }
        if is_diverged(&digests, partition) {
            diverged.push(partition);
        } else {
            catching_up.push(partition);
        }
    }
    let equal_roots = digests.windows(2).all(|pair| pair[0].root == pair[1].root);
    let verdict = if !equal_roots || !catching_up.is_empty() || !diverged.is_empty() {
        Verdict::Different
    } else if missing > 0 || digests.len() < 2 {
        Verdict::Unknown
    } else {
        Verdict::Equal
    };
    Comparison {
        verdict,
        catching_up,
        diverged,
        partition_counts_differ: digests.iter().any(|digest| digest.partitions.len() != partitions),
    }
}

/// Whether two regions have the same vector, which must mean the same data, and yet differ.
fn is_diverged(digests: &[&RegionDigest], partition: usize) -> bool {
    let view = |digest: &&RegionDigest| {
        Some((
            digest.vector.get(partition)?.clone(),
            digest.partitions.get(partition)?.clone(),
        ))
    };
    let mut data_of_vector = BTreeMap::new();
    digests.iter().filter_map(view).any(|(vector, data)| {
        data_of_vector
            .insert(vector, data.clone())
            .is_some_and(|other| other != data)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(root: &str, partitions: &[(&str, u64)]) -> RegionDigest {
        RegionDigest {
            root: root.to_owned(),
            partitions: partitions.iter().map(|(data, _)| (*data).to_owned()).collect(),
            vector: partitions
                .iter()
                .map(|(_, seq)| BTreeMap::from([("us-east".to_owned(), *seq)]))
                .collect(),
        }
    }

    fn compare_all(digests: &[RegionDigest], missing: usize) -> Comparison {
        let named = digests
            .iter()
            .enumerate()
            .map(|(index, digest)| (index.to_string(), digest.clone()));
        compare(&named.collect(), missing)
    }

    #[test]
    fn lag_is_told_from_divergence_by_the_vectors() {
        let comparison = compare_all(
            &[
                digest("r1", &[("a", 1), ("b", 5), ("c", 7)]),
                digest("r2", &[("a", 1), ("b", 5), ("x", 6)]),
                digest("r3", &[("a", 1), ("y", 5), ("c", 7)]),
            ],
            0,
        );
        assert_eq!(comparison.verdict, Verdict::Different);
        assert_eq!(comparison.diverged, [1]);
        assert_eq!(comparison.catching_up, [2]);
    }

    #[test]
    fn equality_needs_two_regions_and_all_answers() {
        let one = digest("r", &[("a", 1)]);
        assert_eq!(
            compare_all(&[one.clone(), one.clone()], 0).verdict,
            Verdict::Equal
        );
        assert_eq!(
            compare_all(&[one.clone(), one.clone()], 1).verdict,
            Verdict::Unknown
        );
        assert_eq!(compare_all(&[one], 0).verdict, Verdict::Unknown);
        assert_eq!(compare_all(&[], 3).verdict, Verdict::Unknown);
    }

    #[test]
    fn roots_count_even_if_the_partitions_are_not_listed() {
        assert_eq!(
            compare_all(&[digest("r1", &[]), digest("r2", &[])], 0).verdict,
            Verdict::Different
        );
    }

    #[test]
    fn regions_with_other_partition_counts_are_not_of_one_cluster() {
        let comparison = compare_all(
            &[digest("r1", &[("a", 1)]), digest("r2", &[("a", 1), ("b", 1)])],
            0,
        );
        assert!(comparison.partition_counts_differ);
        assert_eq!(comparison.catching_up, [1]);
    }
}
