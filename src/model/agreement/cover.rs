//! Which nodes are asked for something that is about several partitions: few of them, that together hold all.

use std::collections::BTreeMap;

use crate::model::ids::{NodeId, PartitionId};
use crate::model::partition_set::PartitionSet;

/// Who is asked for which partitions: the node that can be asked for most of what is left, again and again, which is at most a
/// little more than the fewest there could be. Of equals the first by name, so that all nodes choose alike. `holders` names those
/// that can be asked for a partition.
///
/// # Errors
/// The partitions that nobody can be asked for.
pub fn cover(
    wanted: PartitionSet,
    holders: impl Fn(PartitionId) -> Vec<NodeId>,
) -> Result<BTreeMap<NodeId, PartitionSet>, Box<PartitionSet>> {
    let mut by_node: BTreeMap<NodeId, PartitionSet> = BTreeMap::new();
    let mut lacking = PartitionSet::default();
    for partition in wanted.iter() {
        let found = holders(partition);
        if found.is_empty() {
            lacking.insert(partition);
        }
        for node in found {
            by_node.entry(node).or_default().insert(partition);
        }
    }
    if !lacking.is_empty() {
        return Err(Box::new(lacking));
    }
    let (mut left, mut asked) = (wanted, BTreeMap::new());
    while !left.is_empty() {
        let mut best: Option<(NodeId, PartitionSet)> = None;
        for (node, held) in &by_node {
            let more = held.and(&left);
            // `>`: of equals the first.
            if best.is_none_or(|(_, most)| more.len() > most.len()) {
                best = Some((*node, more));
            }
        }
        let (node, more) = best.expect("everything that is left has a holder");
        left = left.without(&more);
        asked.insert(node, more);
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn set(partitions: &[u16]) -> PartitionSet {
        partitions
            .iter()
            .map(|partition| PartitionId(*partition))
            .collect()
    }

    #[test]
    fn few_nodes_are_asked_and_each_partition_once() {
        let holders = |partition: PartitionId| match partition.0 {
            0 => vec![node("a"), node("b")],
            1 => vec![node("b"), node("c")],
            2 => vec![node("c"), node("b")],
            _ => vec![node("c")],
        };
        let asked = cover(set(&[0, 1, 2, 3]), holders).unwrap();
        assert_eq!(
            asked,
            [(node("b"), set(&[0, 1, 2])), (node("c"), set(&[3]))].into()
        );
        assert_eq!(
            cover(set(&[0]), holders).unwrap(),
            [(node("a"), set(&[0]))].into()
        );
        assert!(cover(PartitionSet::default(), holders).unwrap().is_empty());
    }

    #[test]
    fn what_nobody_holds_is_named() {
        let holders = |partition: PartitionId| match partition.0 {
            1 | 3 => Vec::new(),
            _ => vec![node("a")],
        };
        assert_eq!(cover(set(&[0, 1, 2, 3]), holders), Err(Box::new(set(&[1, 3]))));
    }
}
