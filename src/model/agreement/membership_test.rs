//! Plans for nodes that come and go, and the steps by which groups get there.

use super::*;
use crate::model::ids::Incarnation;

const COUNT: u16 = 16;

fn member(name: &str) -> MemberId {
    MemberId {
        node: name.parse().unwrap(),
        incarnation: Incarnation(1),
    }
}

fn members(names: &[(&str, NodeRole)]) -> Members {
    names.iter().map(|(name, role)| (member(name), *role)).collect()
}

fn active(names: &[&str]) -> Members {
    names
        .iter()
        .map(|name| (member(name), NodeRole::Active))
        .collect()
}

fn plan(members: &Members, factor: usize) -> Plan {
    let factor = ReplicationFactor::of_region(Some(i64::try_from(factor).unwrap()), 9).unwrap();
    let count = PartitionCount::new(COUNT.into()).unwrap();
    Plan::new(count, factor, members.clone(), &BTreeMap::new())
}

fn group(partition: u16, names: &[&str]) -> GroupMembers {
    let nodes = active(names);
    GroupMembers {
        partition: PartitionId(partition),
        voters: Voters::new(nodes.keys().copied().collect()),
        nodes,
    }
}

fn apply(group: &mut GroupMembers, step: &MembershipStep) {
    match step {
        MembershipStep::Learn(members) => {
            let added = members.iter().map(|member| (*member, NodeRole::Active));
            group.nodes.extend(added);
        }
        MembershipStep::Vote(voters) => {
            assert!(voters.iter().all(|voter| group.nodes.contains_key(voter)));
            group.voters = Voters::new(voters.clone());
        }
        MembershipStep::Forget(members) => {
            assert!(members.iter().all(|member| !group.voters.contains(*member)));
            group.nodes.retain(|member, _| !members.contains(member));
        }
        MembershipStep::None | MembershipStep::WaitFor(_) => panic!("{step:?}"),
    }
}

/// Leads the group to where it should be; who leads is handed over when nothing else is to be done. The fewest voters
/// that it has had meanwhile.
fn settle(plan: &Plan, group: &mut GroupMembers) -> usize {
    let mut leader = *group.voters.latest().first().unwrap();
    let mut fewest = usize::MAX;
    for _ in 0..20 {
        fewest = fewest.min(group.voters.latest().len());
        match plan.next_step(leader, group, |_| true) {
            MembershipStep::None if plan.is_reached_by(group) => return fewest,
            MembershipStep::None => {
                let next = plan.order(group.partition)[0];
                assert_ne!(next, leader, "{group:?} stands still");
                leader = next;
            }
            step => apply(group, &step),
        }
    }
    panic!("{group:?} does not come to an end");
}

#[test]
fn one_node_becomes_three_and_one_again() {
    for partition in 0..COUNT {
        let mut group = group(partition, &["a"]);
        let fewest = settle(&plan(&active(&["a", "b", "c"]), 3), &mut group);
        assert_eq!((fewest, group.voters.latest().len()), (1, 3));
        let leaving = [
            ("a", NodeRole::Leaving),
            ("b", NodeRole::Active),
            ("c", NodeRole::Leaving),
        ];
        settle(&plan(&members(&leaving), 3), &mut group);
        assert_eq!(*group.voters.latest(), [member("b")].into());
        assert_eq!(group.nodes.len(), 1);
    }
}

#[test]
fn a_node_is_replaced_without_a_voter_less() {
    let leaving = [
        ("a", NodeRole::Active),
        ("b", NodeRole::Active),
        ("c", NodeRole::Leaving),
        ("d", NodeRole::Active),
    ];
    let plan = plan(&members(&leaving), 3);
    for partition in 0..COUNT {
        let mut group = group(partition, &["a", "b", "c"]);
        assert_eq!(settle(&plan, &mut group), 3);
        assert_eq!(
            *group.voters.latest(),
            [member("a"), member("b"), member("d")].into()
        );
    }
}

#[test]
fn a_node_beyond_the_factor_has_copies_and_votes_where_it_is_placed() {
    let plan = plan(&active(&["a", "b", "c", "d"]), 3);
    let mut votes = 0;
    for partition in 0..COUNT {
        let mut group = group(partition, &["a", "b", "c"]);
        assert_eq!(settle(&plan, &mut group), 3);
        assert_eq!(group.nodes.len(), 4);
        votes += usize::from(group.voters.contains(member("d")));
    }
    // Three quarters of 16, more or less.
    assert!((6..COUNT.into()).contains(&votes), "{votes}");
}

#[test]
fn a_drained_node_leads_nothing_and_votes_where_it_is_needed() {
    let drained = [
        ("a", NodeRole::Active),
        ("b", NodeRole::Drained),
        ("c", NodeRole::Active),
    ];
    let plan_of_three = plan(&members(&drained), 3);
    for partition in (0..COUNT).map(PartitionId) {
        let order = plan_of_three.order(partition);
        assert_eq!((order.len(), order[2]), (3, member("b")));
    }
    let mut with_a_fourth = members(&drained);
    with_a_fourth.extend(active(&["d"]));
    let plan_of_four = plan(&with_a_fourth, 3);
    for partition in 0..COUNT {
        let mut group = group(partition, &["a", "b", "c"]);
        settle(&plan_of_four, &mut group);
        assert!(!group.voters.contains(member("b")) && group.nodes.contains_key(&member("b")));
    }
    // The last ones lead all the same.
    let all = members(&[("a", NodeRole::Drained), ("b", NodeRole::Drained)]);
    assert_eq!(plan(&all, 3).order(PartitionId(0)).len(), 2);
}

#[test]
fn nobody_votes_before_it_has_what_there_is() {
    let plan = plan(&active(&["a", "b"]), 3);
    let mut group = group(0, &["a"]);
    apply(&mut group, &MembershipStep::Learn([member("b")].into()));
    let step = plan.next_step(member("a"), &group, |_| false);
    assert_eq!(step, MembershipStep::WaitFor([member("b")].into()));
}

#[test]
fn a_change_that_its_leader_did_not_finish_is_finished_by_the_next() {
    let plan = plan(&active(&["a", "b", "c"]), 3);
    let mut group = group(0, &["a", "b", "c"]);
    group.voters = Voters::joint(
        [member("a")].into(),
        [member("a"), member("b"), member("c")].into(),
    );
    assert!(!plan.is_reached_by(&group));
    let all = [member("a"), member("b"), member("c")].into();
    assert_eq!(
        plan.next_step(member("b"), &group, |_| true),
        MembershipStep::Vote(all)
    );
}

#[test]
fn who_leads_votes_until_it_has_handed_over() {
    let leaving = [("a", NodeRole::Leaving), ("b", NodeRole::Active)];
    let plan = plan(&members(&leaving), 3);
    let group = group(0, &["a", "b"]);
    assert_eq!(
        plan.next_step(member("a"), &group, |_| true),
        MembershipStep::None
    );
    assert_eq!(
        plan.next_step(member("b"), &group, |_| true),
        MembershipStep::Vote([member("b")].into())
    );
}

#[test]
fn another_life_of_a_node_is_another_member() {
    let mut later = member("c");
    later.incarnation = Incarnation(2);
    let mut all = active(&["a", "b"]);
    all.insert(later, NodeRole::Active);
    let plan = plan(&all, 3);
    let mut group = group(0, &["a", "b", "c"]);
    settle(&plan, &mut group);
    assert!(group.voters.contains(later) && !group.nodes.contains_key(&member("c")));
}

#[test]
fn of_two_lives_of_a_node_the_later_one_is_placed() {
    let mut later = member("a");
    later.incarnation = Incarnation(2);
    let mut all = active(&["a", "b"]);
    all.insert(later, NodeRole::Active);
    let plan = plan(&all, 3);
    for partition in (0..COUNT).map(PartitionId) {
        let order: BTreeSet<MemberId> = plan.order(partition).iter().copied().collect();
        assert_eq!(order, [later, member("b")].into());
    }
}

#[test]
fn where_nobody_is_known_yet_nothing_is_done() {
    let plan = plan(&Members::new(), 3);
    let group = group(0, &["a"]);
    assert_eq!(
        plan.next_step(member("a"), &group, |_| true),
        MembershipStep::None
    );
}
