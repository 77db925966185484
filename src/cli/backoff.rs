//! How long to wait before an idempotent call is repeated. Pure, but for [`jitter`].

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use crate::cli::limits;

/// The delay before retry number `retry` (from 0).
///
/// Doubles from [`limits::RETRY_DELAY_MIN`] to [`limits::RETRY_DELAY_MAX`], and is never shorter than what the node
/// asked for. `jitter` in 0..1 spreads the connections, which failed together, so that they do not return together:
/// the own delay is cut by up to half, the asked one grows by up to half.
pub(crate) fn delay(retry: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    debug_assert!((0.0..1.0).contains(&jitter));
    let own = limits::RETRY_DELAY_MIN
        .saturating_mul(1 << retry.min(20))
        .min(limits::RETRY_DELAY_MAX);
    let own = own.mul_f64(1.0 - jitter / 2.0);
    let asked = asked
        .unwrap_or_default()
        .min(limits::RETRY_AFTER_MAX)
        .mul_f64(1.0 + jitter / 2.0);
    own.max(asked)
}

/// A random number in 0..1. The standard library's hash keys are random for each process and change with each use,
/// which is all that spreading retries needs.
pub(crate) fn jitter() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    // 53 bits fit the mantissa, so both conversions are exact.
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        let delays: Vec<_> = (0..limits::RETRIES_DEFAULT)
            .map(|retry| delay(retry, None, 0.0))
            .collect();
        assert_eq!(delays[0], limits::RETRY_DELAY_MIN);
        assert_eq!(delays[1], 2 * delays[0]);
        assert_eq!(*delays.last().unwrap(), limits::RETRY_DELAY_MAX);
        assert_eq!(delay(u32::MAX, None, 0.0), limits::RETRY_DELAY_MAX);
        let total: Duration = delays.iter().sum();
        assert!(
            total > Duration::from_secs(15),
            "shorter than a restart of a node: {total:?}"
        );
    }

    #[test]
    fn the_node_is_never_asked_earlier_than_it_wants_nor_left_for_ever() {
        let second = Duration::from_secs(1);
        assert_eq!(delay(0, Some(second), 0.0), second);
        assert!(delay(0, Some(second), 0.9) > second);
        assert_eq!(delay(0, Some(Duration::MAX), 0.0), limits::RETRY_AFTER_MAX);
    }

    #[test]
    fn jitter_is_in_range_and_varies() {
        let numbers: Vec<_> = (0..100).map(|_| jitter()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(numbers.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.1));
    }
}
