//! The search for a linearization, on attempts alone.

use proptest::prelude::*;

use super::test_cluster::moment;
use super::wing_gong::{Attempt, Demand, Step, Value, Verdict, search};

const STEPS_MAX: usize = 100_000;

fn attempt(started: u64, ended: u64, step: Step) -> Attempt {
    Attempt {
        started: moment(started),
        ended: Some(moment(ended)),
        is_certain: true,
        after: None,
        rank: None,
        step,
    }
}

fn unknown(started: u64, step: Step) -> Attempt {
    Attempt {
        ended: None,
        is_certain: false,
        ..attempt(started, started, step)
    }
}

fn write(value: Value) -> Step {
    write_if(value, Demand::Any)
}

fn write_if(value: Value, demand: Demand) -> Step {
    Step::Write {
        value: Some(value),
        demand,
    }
}

const DELETE: Step = Step::Write {
    value: None,
    demand: Demand::Any,
};

fn verdict(attempts: &[Attempt]) -> Verdict {
    search(attempts, STEPS_MAX)
}

fn is_not(attempts: &[Attempt]) -> bool {
    matches!(verdict(attempts), Verdict::Not { .. })
}

#[test]
fn a_read_finds_the_last_write_before_it_or_one_beside_it() {
    let read = |started, ended, value| {
        [
            attempt(0, 1, write(1)),
            attempt(2, 5, write(2)),
            attempt(started, ended, Step::Read(value)),
        ]
    };
    assert_eq!(verdict(&read(3, 4, Some(1))), Verdict::Linearizable);
    assert_eq!(verdict(&read(3, 4, Some(2))), Verdict::Linearizable);
    assert!(is_not(&read(3, 4, None)));
    assert!(is_not(&read(6, 7, Some(1))));
    // At equal moments nothing is known.
    assert_eq!(verdict(&read(5, 7, Some(1))), Verdict::Linearizable);
}

#[test]
fn a_value_once_read_does_not_go_back() {
    let attempts = [
        attempt(0, 1, write(1)),
        attempt(2, 9, write(2)),
        attempt(3, 4, Step::Read(Some(2))),
        attempt(5, 6, Step::Read(Some(1))),
    ];
    assert_eq!(verdict(&attempts), Verdict::Not { placed: 3, stuck: 3 });
}

#[test]
fn of_three_that_demand_absence_one_gets_it() {
    let absent = |value| write_if(value, Demand::Absent);
    let race = |second: Step, third: Step| {
        [
            attempt(0, 9, absent(1)),
            attempt(0, 9, second),
            attempt(0, 9, third),
        ]
    };
    let refusal = Step::Refusal(Demand::Absent);
    assert_eq!(
        verdict(&race(refusal.clone(), refusal.clone())),
        Verdict::Linearizable
    );
    assert!(is_not(&race(absent(2), refusal)));
    assert!(is_not(&[attempt(0, 9, Step::Refusal(Demand::Absent))]));
}

#[test]
fn a_demand_for_a_value_holds_only_right_after_it() {
    let after = |middle: Step| {
        [
            attempt(0, 1, write(1)),
            attempt(2, 3, middle),
            attempt(4, 5, write_if(3, Demand::Exactly(1))),
        ]
    };
    assert_eq!(verdict(&after(Step::Read(Some(1)))), Verdict::Linearizable);
    assert!(is_not(&after(write(2))));
    assert!(is_not(&after(DELETE)));
    let refusal = |demand| [attempt(0, 1, write(1)), attempt(2, 3, Step::Refusal(demand))];
    assert!(is_not(&refusal(Demand::Exactly(1))));
    assert!(is_not(&refusal(Demand::Present)));
    assert_eq!(verdict(&refusal(Demand::Exactly(2))), Verdict::Linearizable);
}

#[test]
fn what_nobody_knows_may_happen_late_or_never_but_not_early() {
    let with = |read: Step, started| [unknown(2, write(1)), attempt(started, started + 1, read)];
    assert_eq!(verdict(&with(Step::Read(Some(1)), 50)), Verdict::Linearizable);
    assert_eq!(verdict(&with(Step::Read(None), 50)), Verdict::Linearizable);
    let early = [attempt(0, 1, Step::Read(Some(1))), unknown(2, write(1))];
    assert!(is_not(&early));
}

#[test]
fn operations_of_one_client_keep_their_order_at_equal_moments() {
    let mut attempts = [attempt(0, 5, write(1)), attempt(5, 6, Step::Read(None))];
    assert_eq!(verdict(&attempts), Verdict::Linearizable);
    attempts[1].after = Some(0);
    assert!(is_not(&attempts));
}

#[test]
fn writes_take_place_in_the_order_of_their_ranks() {
    let mut attempts = [
        attempt(0, 9, write(1)),
        attempt(0, 9, write(2)),
        attempt(10, 11, Step::Read(Some(1))),
    ];
    assert_eq!(verdict(&attempts), Verdict::Linearizable);
    (attempts[0].rank, attempts[1].rank) = (Some(1), Some(2));
    assert!(is_not(&attempts));
}

#[test]
fn the_search_gives_up_when_it_takes_too_long() {
    let mut attempts: Vec<Attempt> = (0..30).map(|value| attempt(0, 99, write(value))).collect();
    attempts.push(attempt(100, 101, Step::Read(None)));
    assert_eq!(search(&attempts, 1000), Verdict::GaveUp);
}

proptest! {
    #[test]
    fn what_happened_in_some_order_is_linearizable(
        steps in prop::collection::vec((0_u8..5, 0_u64..20, 0_u64..20), 0..40)
    ) {
        let mut state = None;
        let mut attempts = Vec::new();
        for (position, (kind, before, after)) in steps.iter().enumerate() {
            let (position, value) = (position as u64, Value::try_from(position).unwrap());
            let step = match kind {
                0 => write(value),
                1 => DELETE,
                2 if state.is_none() => write_if(value, Demand::Absent),
                2 => Step::Refusal(Demand::Absent),
                3 => match state {
                    Some(known) => write_if(value, Demand::Exactly(known)),
                    None => Step::Refusal(Demand::Present),
                },
                _ => Step::Read(state),
            };
            if let Step::Write { value, .. } = step {
                state = value;
            }
            // It took effect in the middle.
            let at = position * 10 + 100;
            attempts.push(attempt(at - before, at + after, step));
        }
        attempts.sort_by_key(|attempt| attempt.started);
        prop_assert_eq!(verdict(&attempts), Verdict::Linearizable);
    }
}
