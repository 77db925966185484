//! What links do to packets, with given chances.

use std::time::{Duration, Instant};

use super::link::{Chance, DropReason, Fate, Link};
use crate::config::LinkShape;
use crate::config::link::{Bandwidth, Percent};
use crate::model::limits;
use crate::ports::entropy::SeededEntropy;

const MS: Duration = Duration::from_millis(1);

/// Nothing happens by chance: no loss, no jitter, no reordering, whatever the shares below 100 %.
const CALM: Chance = Chance {
    loss: u64::MAX,
    jitter: 0,
    reorder: u64::MAX,
};

fn arrival(fate: Fate) -> Instant {
    match fate {
        Fate::Arrives(at) => at,
        Fate::Dropped(reason) => panic!("dropped: {reason:?}"),
    }
}

fn far() -> LinkShape {
    LinkShape {
        round_trip: 180 * MS,
        ..LinkShape::default()
    }
}

#[test]
fn a_link_without_properties_passes_all_at_once() {
    let now = Instant::now();
    let mut link = Link::new(LinkShape::default(), now);
    for size in [0, 1200, 65_507] {
        assert_eq!(link.offer(size, now, CALM), Fate::Arrives(now));
    }
}

#[test]
fn each_direction_delays_by_half_of_the_round_trip() {
    let now = Instant::now();
    let mut link = Link::new(far(), now);
    assert_eq!(link.offer(1200, now, CALM), Fate::Arrives(now + 90 * MS));
}

#[test]
fn jitter_delays_by_a_part_of_itself_and_keeps_the_order() {
    let now = Instant::now();
    let jitter = 40 * MS;
    let mut link = Link::new(LinkShape { jitter, ..far() }, now);
    let drawn = |jitter| Chance { jitter, ..CALM };
    let half = arrival(link.offer(1200, now, drawn(u64::MAX / 2 + 1)));
    assert_eq!(half, now + 110 * MS);
    // By its own chance it would come 19 ms before the first.
    assert_eq!(link.offer(1200, now + MS, CALM), Fate::Arrives(half));
    let late = arrival(link.offer(1200, now + 2 * MS, drawn(u64::MAX)));
    assert!(late < now + 132 * MS && late > now + 131 * MS);
}

#[test]
fn a_packet_is_lost_when_its_chance_is_within_the_share() {
    let now = Instant::now();
    let loss = Percent::from_thousandths(1000);
    let mut link = Link::new(LinkShape { loss, ..far() }, now);
    let drawn = |loss| Chance { loss, ..CALM };
    assert_eq!(link.offer(1, now, drawn(0)), Fate::Dropped(DropReason::Loss));
    assert_eq!(
        link.offer(1, now, drawn(u64::MAX / 101)),
        Fate::Dropped(DropReason::Loss)
    );
    arrival(link.offer(1, now, drawn(u64::MAX / 99)));
}

#[test]
fn one_percent_of_many_packets_are_lost() {
    let now = Instant::now();
    let loss = Percent::from_thousandths(1000);
    let mut link = Link::new(LinkShape { loss, ..far() }, now);
    let entropy = SeededEntropy::new(7);
    let lost = (0..100_000)
        .filter(|_| link.offer(1200, now, Chance::draw(&entropy)) == Fate::Dropped(DropReason::Loss))
        .count();
    // Four standard deviations of a hundred thousand tosses with one in a hundred.
    assert!((874..=1126).contains(&lost), "{lost}");
}

#[test]
fn an_overtaken_packet_comes_after_those_behind_it() {
    let now = Instant::now();
    let reorder = Percent::from_thousandths(1000);
    let mut link = Link::new(LinkShape { reorder, ..far() }, now);
    let overtaken = arrival(link.offer(1200, now, Chance { reorder: 0, ..CALM }));
    let behind = arrival(link.offer(1200, now + 20 * MS, CALM));
    assert_eq!(behind, now + 110 * MS);
    assert_eq!(overtaken, now + Duration::from_micros(112_500));
}

#[test]
fn a_thin_link_sends_one_packet_after_the_other() {
    let now = Instant::now();
    // 1250 bytes with headers are 10 000 bits: 1 ms at 10 Mbit/s.
    let bandwidth = Bandwidth::from_thousandths(10_000);
    let mut link = Link::new(LinkShape { bandwidth, ..far() }, now);
    let offer = |link: &mut Link, at| arrival(link.offer(1222, at, CALM));
    assert_eq!(offer(&mut link, now), now + 91 * MS);
    assert_eq!(offer(&mut link, now), now + 92 * MS);
    // It has caught up by then.
    assert_eq!(offer(&mut link, now + 50 * MS), now + 141 * MS);
}

#[test]
fn the_queue_before_a_thin_link_is_bounded_in_bytes() {
    let now = Instant::now();
    let bandwidth = Bandwidth::from_thousandths(1_000_000);
    let mut link = Link::new(LinkShape { bandwidth, ..far() }, now);
    let taken = (0..10_000)
        .take_while(|_| matches!(link.offer(1222, now, CALM), Fate::Arrives(_)))
        .count() as u64;
    assert_eq!(taken, limits::WAN_QUEUE_BYTES_MAX / 1250);
    assert_eq!(link.offer(1222, now, CALM), Fate::Dropped(DropReason::Queue));
    // One packet has been sent, so there is room for one.
    arrival(link.offer(1222, now + Duration::from_micros(10), CALM));
    assert_eq!(
        link.offer(1222, now + Duration::from_micros(10), CALM),
        Fate::Dropped(DropReason::Queue)
    );
}

#[test]
fn the_queue_before_a_very_thin_link_is_bounded_in_time() {
    let now = Instant::now();
    let bandwidth = Bandwidth::from_thousandths(1);
    let mut link = Link::new(LinkShape { bandwidth, ..far() }, now);
    // Ten seconds on the wire, but the transmitter was idle.
    assert_eq!(
        arrival(link.offer(1222, now, CALM)),
        now + Duration::from_millis(10_090)
    );
    assert_eq!(link.offer(1222, now, CALM), Fate::Dropped(DropReason::Queue));
}

#[test]
fn a_cut_link_passes_nothing_and_a_healed_one_waits_for_nothing_old() {
    let now = Instant::now();
    let bandwidth = Bandwidth::from_thousandths(1);
    let mut link = Link::new(LinkShape { bandwidth, ..far() }, now);
    arrival(link.offer(1222, now, CALM));
    link.set_shape(
        LinkShape {
            is_cut: true,
            ..far()
        },
        now,
    );
    assert_eq!(link.offer(1, now, CALM), Fate::Dropped(DropReason::Cut));
    link.set_shape(far(), now + MS);
    assert_eq!(link.offer(1, now + MS, CALM), Fate::Arrives(now + 91 * MS));
}
