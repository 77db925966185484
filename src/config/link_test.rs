//! `[[link]]` entries: what they mean, and each mistake with its line and field.

use std::time::Duration;

use super::link::{Bandwidth, LinkQuantity, Percent};
use super::parse_test::MINIMAL;
use super::refusal_test::{SECOND, refused};
use super::*;

/// Two regions, and these lines from line 14 on.
fn with(lines: &str) -> String {
    format!("{MINIMAL}{SECOND}{lines}")
}

fn parse(lines: &str) -> ClusterConfig {
    ClusterConfig::parse("regions.toml", &with(lines)).unwrap()
}

fn direction(from: &str, to: &str) -> Direction {
    Direction {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

#[test]
fn a_link_between_two_regions_holds_in_both_directions() {
    let config = parse(
        "[[link]]\nbetween = [\"us-east\", \"eu-west\"]\nround_trip_ms = 80\njitter_ms = 1.5\nloss_percent = 0.1\n\
         reorder_percent = 2\nbandwidth_mbit = 100\n",
    );
    let shape = LinkShape {
        round_trip: Duration::from_millis(80),
        jitter: Duration::from_micros(1500),
        loss: Percent::from_thousandths(100),
        reorder: Percent::from_thousandths(2000),
        bandwidth: Bandwidth::from_thousandths(100_000),
        is_cut: false,
    };
    assert_eq!(config.link(direction("us-east", "eu-west")), shape);
    assert_eq!(config.link(direction("eu-west", "us-east")), shape);
    assert_eq!(shape.one_way(), Duration::from_millis(40));
}

#[test]
fn one_direction_overrides_what_it_names_wherever_it_stands() {
    let config = parse(
        "[[link]]\nfrom = \"eu-west\"\nto = \"us-east\"\nloss_percent = 5\ncut = true\n\
         [[link]]\nbetween = [\"us-east\", \"eu-west\"]\nround_trip_ms = 80\nloss_percent = 1\n",
    );
    let back = config.link(direction("eu-west", "us-east"));
    assert_eq!((back.round_trip.as_millis(), back.is_cut), (80, true));
    assert_eq!(back.loss, Percent::from_thousandths(5000));
    let forth = config.link(direction("us-east", "eu-west"));
    assert_eq!(
        (forth.loss, forth.is_cut),
        (Percent::from_thousandths(1000), false)
    );
}

#[test]
fn what_no_link_names_passes_at_once() {
    let shape = parse("").link(direction("us-east", "eu-west"));
    assert_eq!(shape, LinkShape::default());
    assert_eq!(shape.bandwidth.transmission_time(1_000_000), Duration::ZERO);
    assert!(!shape.loss.holds(0));
}

#[test]
fn the_links_commented_out_in_the_shipped_file_are_accepted() {
    let shipped = include_str!("../../regions.toml");
    let text: String = shipped
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest == "[[link]]" || rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = ClusterConfig::parse("regions.toml", &text).unwrap();
    for direction in config.directions() {
        assert!(config.link(direction).round_trip > Duration::ZERO, "{direction}");
    }
}

#[test]
fn links_name_two_regions_that_there_are() {
    let missing = "name the two regions";
    for (lines, line, field, words) in [
        ("[[link]]\nround_trip_ms = 1\n", 14, "link", vec![missing]),
        ("[[link]]\nfrom = \"us-east\"\n", 14, "link", vec![missing]),
        (
            "[[link]]\nbetween = [\"us-east\", \"eu-west\"]\nto = \"us-east\"\n",
            14,
            "link",
            vec![missing],
        ),
        (
            "[[link]]\nbetween = [\"us-east\"]\n",
            15,
            "link.between",
            vec![missing],
        ),
        (
            "[[link]]\nbetween = [\"us-east\", \"mars\"]\n",
            15,
            "link.between",
            vec!["no region mars", "us-east, eu-west"],
        ),
        (
            "[[link]]\nfrom = \"us-east\"\nto = \"mars\"\n",
            16,
            "link.to",
            vec!["no region mars"],
        ),
        (
            "[[link]]\nfrom = \"us-east\"\nto = \"us-east\"\n",
            16,
            "link.to",
            vec!["us-east", "itself"],
        ),
        (
            "[[link]]\nbetween = [\"us-east\", \"eu-west\"]\nrtt = 1\n",
            16,
            "link",
            vec!["`rtt`", "`round_trip_ms`"],
        ),
        (
            "[[link]]\nbetween = [\"us-east\", \"eu-west\"]\njitter_ms = \"1\"\n",
            16,
            "link.jitter_ms",
            vec!["expected a number"],
        ),
    ] {
        refused(&with(lines), line, field, &words);
    }
}

#[test]
fn a_pair_is_described_once_in_each_way() {
    let twice =
        "[[link]]\nbetween = [\"us-east\", \"eu-west\"]\n[[link]]\nbetween = [\"eu-west\", \"us-east\"]\n";
    refused(
        &with(twice),
        16,
        "link.between",
        &["between eu-west and us-east", "line 14"],
    );
    let twice =
        "[[link]]\nfrom = \"us-east\"\nto = \"eu-west\"\n[[link]]\nfrom = \"us-east\"\nto = \"eu-west\"\n";
    refused(
        &with(twice),
        17,
        "link.from",
        &["from us-east to eu-west", "line 14"],
    );
    parse(
        "[[link]]\nfrom = \"us-east\"\nto = \"eu-west\"\n[[link]]\nfrom = \"eu-west\"\nto = \"us-east\"\n\
         [[link]]\nbetween = [\"us-east\", \"eu-west\"]\n",
    );
}

#[test]
fn numbers_of_links_are_refused_just_outside_their_range_and_taken_at_its_ends() {
    for quantity in [
        LinkQuantity::RoundTrip,
        LinkQuantity::Jitter,
        LinkQuantity::Loss,
        LinkQuantity::Reorder,
        LinkQuantity::Bandwidth,
    ] {
        let (name, maximum) = (quantity.name(), quantity.maximum());
        let lines =
            |number: &str| format!("[[link]]\nbetween = [\"us-east\", \"eu-west\"]\n{name} = {number}\n");
        for good in [
            "0",
            "0.001",
            "7.25",
            &maximum.to_string(),
            &format!("{maximum}.0"),
        ] {
            parse(&lines(good));
        }
        for bad in ["-1", "-0.001", "0.0001", "nan", "inf", &format!("{maximum}.001")] {
            let range = format!("use 0 to {maximum}");
            refused(
                &with(&lines(bad)),
                16,
                &format!("link.{name}"),
                &[&range, "(default 0)"],
            );
        }
    }
}

#[test]
fn shares_hold_for_as_many_of_the_drawn_numbers() {
    let half = Percent::from_thousandths(50_000);
    assert!(half.holds(u64::MAX / 2) && !half.holds(u64::MAX / 2 + 2));
    assert!(Percent::from_thousandths(100_000).holds(u64::MAX));
    assert!(!Percent::default().holds(0));
}

#[test]
fn bandwidth_is_time_for_bytes_and_bytes_for_time() {
    let ten_mbit = Bandwidth::from_thousandths(10_000);
    assert_eq!(ten_mbit.transmission_time(1250), Duration::from_millis(1));
    assert_eq!(ten_mbit.bytes_in(Duration::from_millis(1)), Some(1250));
    assert_eq!(Bandwidth::default().bytes_in(Duration::from_secs(1)), None);
}
