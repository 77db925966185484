//! Proposals under leaders that come and go: what is said of them is what the log says in the end.

use proptest::prelude::*;

use super::*;
use crate::model::agreement::member::MemberId;
use crate::model::ids::Incarnation;

fn epoch(term: u64) -> Epoch {
    let leader = MemberId {
        node: "n".parse().unwrap(),
        incarnation: Incarnation::FIRST,
    };
    Epoch { term, leader }
}

fn proposed(term: u64) -> OpenProposal {
    let mut open = OpenProposal::default();
    open.proposed(ID, epoch(term));
    open
}

const ID: ProposalId = ProposalId(1);

#[test]
fn what_is_applied_is_made() {
    let mut open = proposed(5);
    assert_eq!(open.applied(epoch(4), None), None);
    assert_eq!(open.applied(epoch(5), None), None);
    assert_eq!(open.applied(epoch(5), Some(ID)), Some((ID, Resolution::Made)));
    assert_eq!((open.open(), open.applied(epoch(6), None)), (None, None));
}

#[test]
fn what_was_not_applied_before_a_later_epoch_never_is() {
    let mut open = proposed(5);
    assert_eq!(open.applied(epoch(5), None), None, "it may still come");
    assert_eq!(open.applied(epoch(6), None), Some((ID, Resolution::NeverMade)));
}

#[test]
fn an_entry_of_another_epoch_than_its_log_id_takes_no_effect() {
    assert!(takes_effect(epoch(5), epoch(5)));
    assert!(!takes_effect(epoch(5), epoch(7)) && !takes_effect(epoch(7), epoch(5)));
}

#[test]
fn a_snapshot_is_searched() {
    for (term, found, resolution) in [
        (6, InSnapshot::Held, Some(Resolution::Made)),
        (6, InSnapshot::Absent, Some(Resolution::NeverMade)),
        (6, InSnapshot::Cut, Some(Resolution::Unknown)),
        (5, InSnapshot::Held, Some(Resolution::Made)),
        (5, InSnapshot::Absent, None),
        (5, InSnapshot::Cut, None),
    ] {
        let mut open = proposed(5);
        let expected = resolution.map(|resolution| (ID, resolution));
        assert_eq!(open.installed(epoch(term), found), expected, "{term} {found:?}");
        assert_eq!(open.open().is_none(), expected.is_some());
    }
}

#[test]
#[should_panic(expected = "one proposal is in flight")]
fn a_second_proposal_waits_for_the_first() {
    proposed(5).proposed(ProposalId(2), epoch(5));
}

/// What becomes of the proposal of a leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It never gets to the log.
    Lost,
    /// It gets there, and stays.
    Kept,
    /// It gets there, and the next leader does not have it.
    Overwritten,
    /// Its leader loses the group and gets it again before the proposal gets to the log.
    Late,
}

/// A rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    /// Any other entry resolves a proposal, also one of its own epoch.
    OwnEpochResolves,
    /// An entry takes effect whatever epoch it was made in.
    StaleEntriesCount,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    logged_in: Epoch,
    made_in: Epoch,
    id: Option<ProposalId>,
}

/// The log in the end, after leaderships that each begin with a barrier, tell others' entries, and propose once.
fn log(fates: &[(Fate, bool)]) -> Vec<Entry> {
    let entry = |logged: u64, made: u64, id| Entry {
        logged_in: epoch(logged),
        made_in: epoch(made),
        id,
    };
    let mut log: Vec<Entry> = Vec::new();
    let mut late = None;
    for (turn, (fate, has_others)) in (1_u64..).zip(fates) {
        log.push(entry(turn, turn, None));
        if let Some((made, id)) = late.take() {
            log.push(entry(turn, made, Some(id)));
        }
        if *has_others {
            log.push(entry(turn, turn, None));
        }
        let id = ProposalId(turn);
        match fate {
            Fate::Kept => log.push(entry(turn, turn, Some(id))),
            Fate::Late => late = Some((turn, id)),
            Fate::Lost | Fate::Overwritten => {}
        }
    }
    let end = u64::try_from(fates.len()).unwrap() + 1;
    log.push(entry(end, end, None));
    log
}

/// Of how many proposals the tracker says something else than what the entries in the log did.
fn differences(fates: &[(Fate, bool)], broken: Break) -> usize {
    let log = log(fates);
    let has_effect =
        |entry: &Entry| broken == Break::StaleEntriesCount || takes_effect(entry.made_in, entry.logged_in);
    let mut differences = 0;
    for turn in 1..=u64::try_from(fates.len()).unwrap() {
        let (id, mut open) = (ProposalId(turn), OpenProposal::default());
        // It was proposed when the barrier of its leadership was applied.
        open.proposed(id, epoch(turn));
        let barrier = log
            .iter()
            .position(|entry| entry.logged_in == epoch(turn))
            .unwrap();
        let mut said = None;
        for entry in &log[barrier + 1..] {
            let counted = match broken {
                Break::OwnEpochResolves => epoch(entry.logged_in.term + 1),
                Break::Nothing | Break::StaleEntriesCount => entry.logged_in,
            };
            let made = entry.id.filter(|_| has_effect(entry));
            said = said.or(open.applied(counted, made));
        }
        let is_made = log.iter().any(|entry| entry.id == Some(id) && has_effect(entry));
        let truth = if is_made {
            Resolution::Made
        } else {
            Resolution::NeverMade
        };
        differences += usize::from(said != Some((id, truth)));
    }
    differences
}

fn fates() -> impl Strategy<Value = Vec<(Fate, bool)>> {
    let fate = prop::sample::select(vec![Fate::Lost, Fate::Kept, Fate::Overwritten, Fate::Late]);
    prop::collection::vec((fate, any::<bool>()), 1..20)
}

proptest! {
    #[test]
    fn what_is_said_is_what_the_log_says(fates in fates()) {
        prop_assert_eq!(differences(&fates, Break::Nothing), 0);
    }
}

#[test]
fn rules_that_are_broken_are_found() {
    let all = [Fate::Kept, Fate::Late, Fate::Lost, Fate::Kept, Fate::Overwritten].map(|fate| (fate, true));
    assert_eq!(differences(&all, Break::Nothing), 0);
    assert!(differences(&all, Break::OwnEpochResolves) > 0);
    assert!(differences(&all, Break::StaleEntriesCount) > 0);
}

#[test]
fn the_beginning_of_a_leadership_closes_what_an_earlier_life_of_the_group_was_given() {
    let mut open = OpenProposal::default();
    assert_eq!(open.never_made(), None);
    let (id, epoch) = (ProposalId(4), epoch(3));
    open.proposed(id, epoch);
    // Under its own leadership it may still come.
    assert_eq!(open.applied(epoch, None), None);
    assert_eq!(open.never_made(), Some((id, Resolution::NeverMade)));
    assert_eq!(open.open(), None);
}
