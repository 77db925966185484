//! Steps of a floor, and what a leader may promise by them. That promises hold is for `safety_test`.

use super::*;
use crate::model::ids::Incarnation;

/// A time in milliseconds after a moment that is like the present.
fn wall(ms: u64) -> WallTime {
    WallTime::from_millis(1_800_000_000_000 + ms)
}

fn stamp(ms: u64) -> Hlc {
    Hlc::from_wall(wall(ms))
}

fn member(number: u32) -> MemberId {
    MemberId {
        node: "n".parse().unwrap(),
        incarnation: Incarnation(number),
    }
}

fn voters(numbers: &[u32]) -> Voters {
    Voters::new(numbers.iter().copied().map(member).collect())
}

fn floor() -> StampFloor {
    StampFloor::new(stamp(0), Duration::from_millis(500))
}

/// Within two microseconds: stamps are fractions of a second in binary.
#[track_caller]
fn assert_is(given: Option<Hlc>, expected_ms: u64) {
    let micros = given.unwrap().wall().as_micros();
    assert!(micros.abs_diff(wall(expected_ms).as_micros()) <= 2, "{micros}");
}

#[test]
fn a_floor_is_stored_ahead_at_every_second_heartbeat() {
    let mut floor = floor();
    let mut steps = 0;
    for ms in (0..10_000).step_by(100) {
        if let Some(step) = floor.ask(wall(ms), stamp(ms)) {
            assert_is(Some(step), ms + FLOOR_AHEAD_MS);
            floor.settle(Some(step));
            steps += 1;
        }
        assert!(
            floor.acknowledged() >= stamp(ms + 99),
            "no promise waits for the disk"
        );
    }
    assert!((50..=51).contains(&steps), "{steps}");
}

#[test]
fn only_what_is_durable_is_acknowledged_and_the_floor_is_there_before() {
    let mut floor = floor();
    let step = floor.ask(wall(1000), stamp(1000)).unwrap();
    assert_eq!((floor.acknowledged(), floor.floor()), (stamp(0), step));
    assert_eq!(floor.ask(wall(1300), stamp(1300)), None, "one after the other");
    floor.settle(Some(step));
    assert_eq!((floor.acknowledged(), floor.floor()), (step, step));
}

#[test]
fn a_step_that_failed_is_asked_for_again_and_the_floor_stays() {
    let mut floor = floor();
    let step = floor.ask(wall(1000), stamp(1000)).unwrap();
    floor.settle(None);
    assert_eq!((floor.acknowledged(), floor.floor()), (stamp(0), step));
    assert_eq!(
        floor.ask(wall(900), stamp(900)),
        Some(step),
        "what is stored never gets smaller"
    );
    floor.settle(Some(step));
    assert_eq!((floor.acknowledged(), floor.floor()), (step, step));
}

#[test]
fn a_leader_with_a_fast_clock_pulls_no_floor_beyond_the_drift() {
    let mut floor = floor();
    let step = floor.ask(wall(1000), stamp(60_000));
    assert_is(step, 1500);
    floor.settle(step);
    assert_eq!(floor.ask(wall(1000), stamp(60_000)), None);
    assert_eq!(floor.ask(wall(200), stamp(60_000)), None, "a clock set back");
}

#[test]
fn a_leader_with_a_slow_clock_moves_nothing() {
    let mut floor = StampFloor::new(stamp(5000), Duration::from_millis(500));
    assert_eq!(floor.ask(wall(5000), stamp(1000)), None);
}

#[test]
fn floors_of_voters_are_adopted_whatever_the_own_clock_says() {
    let mut floor = floor();
    let step = floor.ask(wall(1000), stamp(1000)).unwrap();
    assert_eq!(floor.adopt([stamp(10), stamp(9000)]), Some(stamp(9000)));
    floor.settle(Some(step));
    assert_eq!((floor.acknowledged(), floor.floor()), (step, stamp(9000)));
    assert_eq!(floor.ask(wall(1400), stamp(1400)), None, "one is on its way");
    floor.settle(Some(stamp(9000)));
    assert_eq!(floor.acknowledged(), stamp(9000));
    assert_eq!(floor.adopt([stamp(10), stamp(9000)]), None);
}

#[test]
fn a_promise_is_what_a_majority_and_the_leader_have_stored() {
    let three = voters(&[1, 2, 3]);
    let mut promise = StampPromise::new(member(1), stamp(0));
    promise.acknowledged(member(2), stamp(50));
    promise.acknowledged(member(3), stamp(50));
    assert_eq!(
        promise.promise(stamp(40), &three),
        Hlc::ZERO,
        "not without the leader"
    );
    promise.acknowledged(member(1), stamp(30));
    assert_eq!(promise.promise(stamp(40), &three), stamp(30));
    promise.acknowledged(member(1), stamp(90));
    assert_eq!(
        promise.promise(stamp(40), &three),
        stamp(40),
        "not beyond what is wanted"
    );
    assert_eq!(promise.promise(stamp(70), &three), stamp(50));
    assert_eq!(promise.promise(stamp(10), &three), stamp(50), "never back");
}

#[test]
fn an_acknowledgement_that_comes_late_takes_nothing_back() {
    let mut promise = StampPromise::new(member(1), Hlc::ZERO);
    promise.acknowledged(member(1), stamp(90));
    promise.acknowledged(member(1), stamp(30));
    assert_eq!(promise.promise(stamp(99), &voters(&[1])), stamp(90));
}

/// Of a, b and c, a and b have stored what a promised. When a and b go, d and e have not: a leader that they elect could
/// give the stamp.
#[test]
fn a_membership_decides_alone_only_when_it_has_stored_what_was_promised() {
    let mut promise = StampPromise::new(member(1), Hlc::ZERO);
    promise.acknowledged(member(1), stamp(50));
    promise.acknowledged(member(2), stamp(50));
    assert_eq!(promise.promise(stamp(50), &voters(&[1, 2, 3])), stamp(50));
    let next = voters(&[1, 4, 5]);
    assert!(!promise.is_kept_by(&next));
    promise.acknowledged(member(4), stamp(49));
    assert!(!promise.is_kept_by(&next));
    promise.acknowledged(member(4), stamp(50));
    assert!(promise.is_kept_by(&next));
}

#[test]
fn a_new_leader_answers_for_the_promises_of_those_before_it() {
    let mut promise = StampPromise::new(member(2), stamp(50));
    assert_eq!(promise.floor(), stamp(50));
    for number in [1, 2] {
        promise.acknowledged(member(number), stamp(20));
    }
    // The floor of one node alone is nothing that a majority has stored.
    assert_eq!(promise.promise(stamp(90), &voters(&[1, 2, 3])), stamp(20));
    assert!(!promise.is_kept_by(&voters(&[1, 2, 3])));
}
