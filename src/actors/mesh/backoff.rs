//! How long to wait until a node is dialled again.

use std::time::Duration;

/// First pause: a node that restarts is back within seconds, and its region waits for it.
const PAUSE_MS_MIN: u64 = 100;
/// Longest pause: one handshake each second costs nothing inside a region, and a node that is back is reached at once.
const PAUSE_MS_MAX: u64 = 1000;

/// The pause after so many failures in a row; exponential with jitter: half of it is random, so that nodes do not knock in
/// step.
pub(super) fn pause(failures: u32, random: u64) -> Duration {
    let longest = PAUSE_MS_MIN
        .saturating_mul(1_u64 << failures.min(10))
        .min(PAUSE_MS_MAX);
    let half = longest / 2;
    Duration::from_millis(half + random % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_half_of_each_is_chance() {
        let ends = |failures| [0, u64::MAX].map(|random| pause(failures, random).as_millis());
        assert_eq!(ends(0)[0], 50);
        assert!(
            pause(0, 50) == Duration::from_millis(100),
            "the longest first pause"
        );
        for failures in [4, 10, 11, u32::MAX] {
            assert_eq!(pause(failures, 0).as_millis(), 500);
            assert_eq!(pause(failures, 500).as_millis(), 1000);
        }
        for random in 0..3000 {
            assert!(pause(9, random) <= Duration::from_millis(PAUSE_MS_MAX));
        }
    }
}
