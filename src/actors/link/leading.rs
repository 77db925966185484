//! What this node says to other regions of its part in its own: which partitions it leads, and what it may promise in them.
//!
//! Three things that other regions conclude need more than a node's belief that it leads: that everything was here that its
//! region had acknowledged when it heard of them (staleness), that what it answers to `ask-vectors` is what its region has
//! acknowledged (`global_quorum`), and that its disk has lost what is missing. A leader that was deposed and has not noticed
//! would be wrong about all three. So whatever rests on leadership asks here, and here alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::actors::group::GroupBoard;
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::raft::Term;
use crate::model::replication::leadership::Leads;

/// Since when this node leads a partition, if it is sure that it does.
pub(super) fn term(groups: &GroupBoard, partition: PartitionId) -> Option<Term> {
    stored(groups, partition).map(|(term, _)| term)
}

/// The same, and through which stamp it may promise there.
fn stored(groups: &GroupBoard, partition: PartitionId) -> Option<(Term, Hlc)> {
    let view = groups.view(partition);
    let (_, term) = view.leader.filter(|_| groups.leads_by_lease(partition))?;
    Some((term, view.promised))
}

/// Which of the partitions this node answers for, because it leads them now. A leader that has no lease answers for
/// nothing until it has one again; whoever asks asks again. What is read of them must be read afterwards.
pub(super) fn confirmed(groups: &GroupBoard, asked: impl Iterator<Item = PartitionId>) -> Leads {
    if groups.is_alone() {
        return Leads::All;
    }
    let led = asked.filter_map(|partition| Some((partition, term(groups, partition)?)));
    Leads::These(led.collect())
}

/// What a heartbeat says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Promises {
    pub(super) leads: Leads,
    /// In what this node leads, later commits of the region have greater stamps,
    pub(super) through: Hlc,
    /// but for these partitions.
    pub(super) except: BTreeSet<PartitionId>,
}

/// What this node leads and may promise there, where it will not go below `wanted` again itself. To be asked before the
/// vectors are read that go with it: what was committed by then is in them.
pub(super) fn promises(
    groups: &GroupBoard,
    partitions: impl Iterator<Item = PartitionId>,
    wanted: Hlc,
) -> Promises {
    let promised = groups.promise(wanted);
    let (through, mut except) = (promised.through, promised.except);
    if groups.is_alone() {
        let leads = Leads::All;
        return Promises {
            leads,
            through,
            except,
        };
    }
    let mut leads = BTreeMap::new();
    for partition in partitions {
        let Some((term, stored)) = stored(groups, partition) else {
            continue;
        };
        leads.insert(partition, term);
        // Leadership may have come between the two looks, and then `through` knows nothing of it. `<`: what was stored
        // itself may be promised.
        if stored < through {
            except.insert(partition);
        }
    }
    Promises {
        leads: Leads::These(leads),
        through,
        except,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::group::board::GroupView;
    use crate::model::ids::{NodeId, PartitionCount};

    const P: PartitionId = PartitionId(0);
    const Q: PartitionId = PartitionId(1);

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn lead(groups: &GroupBoard, partition: PartitionId, promised: u64) {
        groups.update(partition, |group| {
            *group = GroupView {
                leader: Some((node("n1"), Term(3))),
                is_serving: true,
                promised: Hlc(promised),
                has_restarted: false,
            };
        });
    }

    fn of_four_partitions() -> GroupBoard {
        GroupBoard::new(node("n1"), PartitionCount::new(4).unwrap())
    }

    fn ids() -> impl Iterator<Item = PartitionId> {
        PartitionCount::new(4).unwrap().ids()
    }

    #[test]
    fn the_only_node_leads_everything_and_promises_what_it_wants() {
        let alone = GroupBoard::alone(node("n1"));
        let all = Promises {
            leads: Leads::All,
            through: Hlc(7),
            except: BTreeSet::new(),
        };
        assert_eq!(promises(&alone, ids(), Hlc(7)), all);
        assert_eq!(term(&alone, PartitionId(2)), Some(Term(0)));
    }

    #[test]
    fn one_of_several_names_what_it_leads_and_where_its_promise_does_not_hold() {
        let groups = of_four_partitions();
        let nothing = promises(&groups, ids(), Hlc(9));
        assert_eq!((nothing.leads, nothing.through), (Leads::nothing(), Hlc::ZERO));
        lead(&groups, P, 5);
        lead(&groups, Q, 8);
        // Elected, and its barrier was not applied yet.
        groups.update(PartitionId(2), |group| {
            group.leader = Some((node("n1"), Term(4)));
        });
        let said = promises(&groups, ids(), Hlc(9));
        assert_eq!(said.leads, Leads::These([(P, Term(3)), (Q, Term(3))].into()));
        assert_eq!((said.through, said.except), (Hlc(8), [P].into()));
    }

    #[test]
    fn leadership_that_comes_while_the_promise_is_made_is_not_promised_for() {
        let groups = of_four_partitions();
        lead(&groups, P, 8);
        // The iterator is asked after the board was looked at for the promise.
        let late = ids().inspect(|partition| {
            if *partition == P {
                lead(&groups, Q, 2);
            }
        });
        let said = promises(&groups, late, Hlc(9));
        assert!(said.leads.contains(Q) && said.except.contains(&Q));
        assert!(!said.except.contains(&P));
    }

    #[test]
    fn a_node_answers_for_what_it_leads_of_what_was_asked() {
        let groups = of_four_partitions();
        lead(&groups, P, 0);
        lead(&groups, Q, 0);
        let leads = confirmed(&groups, [Q, PartitionId(2)].into_iter());
        assert_eq!(leads, Leads::These([(Q, Term(3))].into()));
        let alone = GroupBoard::alone(node("n1"));
        assert_eq!(confirmed(&alone, [Q].into_iter()), Leads::All);
    }
}
