//! Mutations: from inputs of the corpus to inputs that nobody has written.
//!
//! Each is small, and several are stacked, so that most inputs get past the first checks of a decoder. What they know
//! of formats is only what most have in common: lengths and counts before what they count, and text.

use crate::random::Random;

/// Inputs are not made longer than this, apart from the rare inflated ones: small inputs find nearly all bugs, faster.
const INPUT_BYTES_MAX: usize = 4 * 1024;

/// How long inflated inputs get: enough that what grows out of proportion to its input exceeds the constant part of a
/// budget.
const INFLATED_BYTES_MAX: usize = 64 * 1024;

/// One input in so many is inflated; they cost as much as a hundred others.
const INFLATED_ONE_IN: usize = 256;

/// Values at which lengths, counts and numbers of the formats change: the markers of variable-length integers (251 to
/// 254), signs, widths.
const INTERESTING_BYTES: [u8; 18] = [
    0, 1, 2, 3, 4, 7, 16, 63, 64, 127, 128, 250, 251, 252, 253, 254, 255, b'%',
];

/// The same in 16, 32 and 64 bits, all written as 64.
const INTERESTING_NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x0400_0000,
    0x0080_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

/// Pieces of text on which the text formats turn.
const TOKENS: [&[u8]; 28] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"1e999",
    b"-0",
    b"%00",
    b"%2F",
    b"%zz",
    b"%C3%A9",
    b"/",
    b"..",
    b"?",
    b"&",
    b"=",
    b"+",
    b"\n",
    b"\r\n",
    b"\t",
    b"#",
    b"\xff\xfe",
    b"\xf0\x9f\x8c\x8a",
];

/// A new input from one or two of the corpus.
pub(crate) fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = match corpus {
        [] => Vec::new(),
        _ => random.pick(corpus).clone(),
    };
    if random.one_in(8) && !corpus.is_empty() {
        let other = random.pick(corpus).clone();
        input = splice(random, &input, &other);
    }
    // One, two or three mutations mostly, and sometimes many.
    let count = if random.one_in(16) {
        16
    } else {
        1 + random.below(4)
    };
    for _ in 0..count {
        mutate(random, &mut input);
        input.truncate(INPUT_BYTES_MAX);
    }
    if random.one_in(INFLATED_ONE_IN) {
        inflate(random, &mut input);
    }
    input
}

/// The front of one and the back of the other.
fn splice(random: &mut Random, front: &[u8], back: &[u8]) -> Vec<u8> {
    let (end, start) = (random.below(front.len() + 1), random.below(back.len() + 1));
    [&front[..end], &back[start..]].concat()
}

fn mutate(random: &mut Random, input: &mut Vec<u8>) {
    if input.is_empty() {
        input.extend((0..1 + random.below(16)).map(|_| random.byte()));
        return;
    }
    let at = random.below(input.len());
    match random.below(14) {
        0 | 1 => input[at] ^= 1 << random.below(8),
        2 => input[at] = random.byte(),
        3 => input[at] = *random.pick(&INTERESTING_BYTES),
        4 => input[at] = input[at].wrapping_add(1),
        5 => input[at] = input[at].wrapping_sub(1),
        6 => write_number(random, input, at),
        7 => claim_length(random, input, at),
        8 => {
            let block = block(random, input);
            input.splice(at..at, block);
        }
        9 => {
            let end = at + 1 + random.below((input.len() - at).min(32));
            input.drain(at..end.min(input.len()));
        }
        10 => {
            let block = block(random, input);
            let end = (at + block.len()).min(input.len());
            input[at..end].copy_from_slice(&block[..end - at]);
        }
        11 => {
            let token = random.pick(&TOKENS).to_vec();
            input.splice(at..at, token);
        }
        12 => {
            let noise: Vec<u8> = (0..1 + random.below(8)).map(|_| random.byte()).collect();
            input.splice(at..at, noise);
        }
        _ => input.truncate(at),
    }
}

/// Some of the input's own bytes.
fn block(random: &mut Random, input: &[u8]) -> Vec<u8> {
    let start = random.below(input.len());
    let len = 1 + random.below((input.len() - start).min(64));
    input[start..(start + len).min(input.len())].to_vec()
}

/// An interesting number over what is there, in any width and either order of bytes.
fn write_number(random: &mut Random, input: &mut [u8], at: usize) {
    let number = *random.pick(&INTERESTING_NUMBERS);
    let width = *random.pick(&[2_usize, 4, 8]);
    let mut bytes = number.to_le_bytes()[..width].to_vec();
    if random.one_in(2) {
        bytes.reverse();
    }
    let end = (at + width).min(input.len());
    input[at..end].copy_from_slice(&bytes[..end - at]);
}

/// In place of a byte, which may be a length or count: one as the codec writes long ones, larger than what follows.
fn claim_length(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let number = *random.pick(&INTERESTING_NUMBERS) >> random.below(8);
    let (marker, width) = *random.pick(&[(251_u8, 2_usize), (252, 4), (253, 8)]);
    let mut bytes = vec![marker];
    bytes.extend_from_slice(&number.to_le_bytes()[..width]);
    input.splice(at..=at, bytes);
}

/// Much of the same: a block of the input again and again, with a count before it that may fit.
fn inflate(random: &mut Random, input: &mut Vec<u8>) {
    if input.is_empty() {
        input.push(0);
    }
    let block = if random.one_in(2) {
        vec![*random.pick(&[0_u8, 1, b' ', b'[', b'a'])]
    } else {
        block(random, input)
    };
    let at = random.below(input.len());
    let room = INFLATED_BYTES_MAX - input.len().min(INFLATED_BYTES_MAX);
    let count = room / block.len();
    let many: Vec<u8> = block.iter().copied().cycle().take(count * block.len()).collect();
    if random.one_in(2) {
        let written = u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        input.splice(at..=at, [&[252], written.as_slice(), &many].concat());
    } else {
        input.splice(at..at, many);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_gives_others() {
        let corpus = [b"one".to_vec(), b"another".to_vec()];
        let inputs = |seed| {
            let mut random = Random::new(seed);
            (0..1000)
                .map(|_| mutated(&mut random, &corpus))
                .collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn inputs_stay_within_their_bounds_and_some_are_inflated() {
        let corpus = [vec![7; INPUT_BYTES_MAX]];
        let mut random = Random::new(3);
        let sizes: Vec<_> = (0..2000).map(|_| mutated(&mut random, &corpus).len()).collect();
        assert!(sizes.iter().all(|size| *size <= INFLATED_BYTES_MAX + 8));
        assert!(sizes.iter().any(|size| *size > INPUT_BYTES_MAX));
    }
}
