//! Proves that the fuzzer finds what it is for: planted bugs of each kind, behind bytes that have to be guessed.

use crate::engine::{self, Found, Limit};
use crate::judge::Budget;
use crate::targets::{Target, Verdict};

/// Inputs within which a planted bug must be found.
const INPUTS: u64 = 200_000;

const BUDGET: Budget = Budget {
    fixed_bytes: 4096,
    bytes_per_byte: 16,
    allocations_per_byte: 4,
};

fn planted(run: fn(&[u8]) -> Verdict) -> Target {
    Target {
        name: "planted",
        run,
        budget: BUDGET,
    }
}

/// What the fuzzer finds, beginning with an input that is far from the bug.
fn find(run: fn(&[u8]) -> Verdict) -> Box<Found> {
    let corpus = [b"\x01\x05hello\x00\x00".to_vec()];
    engine::run(&planted(run), &corpus, 1, Limit::Inputs(INPUTS)).expect_err("the planted bug is found")
}

#[test]
fn a_panic_behind_three_bytes_is_found_and_made_small() {
    let found = find(|input| {
        let [1, claimed, rest @ ..] = input else {
            return Verdict::Refused;
        };
        // The length is believed: the bug that decoders have most often.
        if *claimed == 255 && rest.first() == Some(&b'h') {
            let _ = rest[usize::from(*claimed)];
        }
        Verdict::Accepted
    });
    assert_eq!(found.input, [1, 255, b'h']);
    assert!(
        found.failure.0.contains("index out of bounds"),
        "{}",
        found.failure.0
    );
}

#[test]
fn memory_that_an_announced_length_reserves_is_found() {
    let found = find(|input| {
        let Some((_, rest)) = input.split_first_chunk::<2>() else {
            return Verdict::Refused;
        };
        let Some((length, _)) = rest.split_first_chunk::<4>() else {
            return Verdict::Refused;
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
        if length > 8 << 20 {
            return Verdict::Refused;
        }
        std::hint::black_box(Vec::<u8>::with_capacity(length));
        Verdict::Accepted
    });
    assert_eq!(found.failure.kind(), "memory");
    assert_eq!(found.input.len(), 6);
}

#[test]
fn steps_that_grow_with_the_square_of_the_input_are_found() {
    let found = find(|input| {
        for _ in input {
            for byte in input {
                std::hint::black_box(Box::new(*byte));
            }
        }
        Verdict::Accepted
    });
    assert_eq!(found.failure.kind(), "steps");
}

#[test]
fn a_round_trip_that_loses_something_is_found() {
    let found = find(|input| {
        // A decoder of text that takes an overlong form which its encoder does not write.
        let Some(text) = input
            .strip_prefix(b"\x01\x05")
            .and_then(|text| std::str::from_utf8(text).ok())
        else {
            return Verdict::Refused;
        };
        let decoded = text.trim_end_matches('0');
        assert_eq!(decoded, text);
        Verdict::Accepted
    });
    assert_eq!(found.input, b"\x01\x050");
}

#[test]
fn what_is_in_order_passes() {
    let corpus = [b"\x01\x05hello".to_vec()];
    let echo = planted(|input| Verdict::of(input.to_vec() == input));
    let report = engine::run(&echo, &corpus, 1, Limit::Inputs(10_000)).expect("nothing is wrong with it");
    assert_eq!((report.inputs, report.accepted), (10_000, 10_000));
}
