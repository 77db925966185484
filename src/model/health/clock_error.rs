//! How wrong this node's clock is, by the times that its peers' heartbeats carry. An estimate: half of the round trip is
//! taken for the way here, so paths that differ by direction show as half of their difference.

use std::collections::VecDeque;

use crate::model::hlc::WallTime;

/// Heartbeats over which the best one is looked for: 3 s at the default interval.
const WINDOW: usize = 16;

/// The offset of one peer's clock from this node's.
#[derive(Debug, Default)]
pub struct ClockOffsets {
    /// In milliseconds, newest last.
    offsets_ms: VecDeque<i64>,
}

impl ClockOffsets {
    /// A heartbeat that was sent at `sent_at` has come when this node's clock showed `now`.
    pub fn heard(&mut self, sent_at: WallTime, now: WallTime, round_trip_ms: u64) {
        let millis = |time: WallTime| i64::try_from(time.as_micros() / 1000).unwrap_or(i64::MAX);
        let way_ms = i64::try_from(round_trip_ms / 2).unwrap_or(i64::MAX);
        let offset = millis(sent_at).saturating_add(way_ms).saturating_sub(millis(now));
        if self.offsets_ms.len() == WINDOW {
            self.offsets_ms.pop_front();
        }
        self.offsets_ms.push_back(offset);
    }

    /// How far the peer's clock is ahead of this node's. Whatever held a heartbeat up makes it look older, so the one
    /// that looks newest is nearest to the truth (Cristian 1989). None while there were none.
    #[must_use]
    pub fn offset_ms(&self) -> Option<i64> {
        self.offsets_ms.iter().copied().max()
    }
}

/// How far this node's clock is from the middle of all, itself included: negative when it is behind.
#[must_use]
pub fn clock_error_ms(peers_ahead_ms: impl IntoIterator<Item = i64>) -> i64 {
    let ahead = middle_ms(peers_ahead_ms.into_iter().chain([0]));
    ahead.unwrap_or_default().saturating_neg()
}

/// The middle of clocks, by how far they are ahead of this node's; none if there are none. With an even number of clocks the
/// one of the middle two that accuses less counts, since of two clocks nobody can say which is wrong.
#[must_use]
pub fn middle_ms(ahead_ms: impl IntoIterator<Item = i64>) -> Option<i64> {
    let mut offsets: Vec<i64> = ahead_ms.into_iter().collect();
    offsets.sort_unstable();
    let low = *offsets.get(offsets.len().checked_sub(1)? / 2)?;
    let high = *offsets.get(offsets.len() / 2)?;
    Some(if low.unsigned_abs() <= high.unsigned_abs() {
        low
    } else {
        high
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_all_clocks_is_right() {
        assert_eq!(clock_error_ms([]), 0);
        assert_eq!(clock_error_ms([900]), 0, "of two clocks nobody can say");
        assert_eq!(clock_error_ms([900, 3]), -3);
        assert_eq!(clock_error_ms([900, 890]), -890, "two others agree");
        assert_eq!(clock_error_ms([-900, -890]), 890);
        assert_eq!(clock_error_ms([i64::MIN, i64::MAX]), 0);
    }

    #[test]
    fn the_middle_of_an_even_number_is_the_one_that_accuses_less() {
        assert_eq!(middle_ms([]), None);
        assert_eq!(middle_ms([-7]), Some(-7));
        assert_eq!(middle_ms([900, -7]), Some(-7));
        assert_eq!(middle_ms([900, 800, 3]), Some(800));
    }

    #[test]
    fn a_heartbeat_that_was_held_up_does_not_count() {
        let at = |ms: u64| WallTime::from_micros(ms * 1000);
        let mut offsets = ClockOffsets::default();
        assert_eq!(offsets.offset_ms(), None);
        offsets.heard(at(1000), at(1040), 80);
        offsets.heard(at(1200), at(6000), 80);
        assert_eq!(offsets.offset_ms(), Some(0));
    }
}
