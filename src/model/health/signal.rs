//! One measured sign of trouble with hysteresis: it begins at its threshold, if it stays there for a while, and ends
//! well below.

use crate::model::tick::Tick;

/// A sign is over when it is under so much of its threshold: what swings around the threshold by a quarter does not
/// switch it.
pub const LEAVE_PERCENT: u64 = 75;

/// A sign.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signal {
    is_on: bool,
    over_since: Option<Tick>,
}

impl Signal {
    /// Takes a measurement; true while the sign counts.
    pub fn measure(&mut self, now: Tick, value: u64, threshold: u64, patience_ms: u64) -> bool {
        // `>=`: the threshold itself counts.
        let is_over = value >= threshold;
        // In 128 bits, since a measured value may be anything.
        let is_under = u128::from(value) * 100 < u128::from(threshold) * u128::from(LEAVE_PERCENT);
        self.judge(now, is_over, is_under, patience_ms)
    }

    /// The same for what is there or not.
    pub fn observe(&mut self, now: Tick, is_there: bool, patience_ms: u64) -> bool {
        self.judge(now, is_there, !is_there, patience_ms)
    }

    fn judge(&mut self, now: Tick, is_over: bool, is_under: bool, patience_ms: u64) -> bool {
        if is_over {
            let since = *self.over_since.get_or_insert(now);
            // `>=`: patience of zero is none.
            self.is_on |= now.millis_since(since) >= patience_ms;
        } else {
            self.over_since = None;
            self.is_on &= !is_under;
        }
        self.is_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn what_is_short_does_not_count() {
        let mut signal = Signal::default();
        assert!(!signal.measure(at(0), 10, 10, 100));
        assert!(!signal.measure(at(99), 10, 10, 100));
        assert!(!signal.measure(at(100), 9, 10, 100));
        assert!(!signal.measure(at(101), 10, 10, 100));
        assert!(signal.measure(at(201), 10, 10, 100));
    }

    #[test]
    fn it_ends_well_under_its_threshold() {
        let mut signal = Signal::default();
        assert!(signal.measure(at(0), 100, 100, 0));
        assert!(signal.measure(at(1), 75, 100, 0));
        assert!(!signal.measure(at(2), 74, 100, 0));
        assert!(!signal.measure(at(3), 99, 100, 0));
    }
}
