//! One direction between two regions: how long a packet takes, and whether any gets through.

use std::time::Duration;

use crate::dice::Dice;
use crate::evidence::Moment;

/// A lost packet is sent again after so long at least, whatever the distance.
const RETRANSMIT_MIN: Duration = Duration::from_millis(30);
/// A packet is not lost more often than this in a row: the run must go on.
const LOSSES_IN_A_ROW_MAX: u32 = 6;

/// The quality of one direction.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// The shortest time that a packet takes.
    pub delay: Duration,
    /// Up to so much is added.
    pub jitter: Duration,
    /// Of a thousand packets so many are lost, and sent again later.
    pub loss_permille: u64,
    /// Of a thousand batches so many arrive twice.
    pub duplicate_permille: u64,
    /// Bytes that get through in a second.
    pub bytes_per_second: Option<u64>,
    /// Since when nothing gets through.
    pub cut_since: Option<Moment>,
}

impl Path {
    /// A good path.
    pub fn new(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss_permille: 0,
            duplicate_permille: 0,
            bytes_per_second: None,
            cut_since: None,
        }
    }

    /// How long some bytes take.
    pub fn travel(&self, bytes: usize, dice: &mut Dice) -> Duration {
        let mut time = self.delay + dice.up_to(self.jitter);
        let mut losses = 0;
        while losses < LOSSES_IN_A_ROW_MAX && self.loss_permille > 0 && dice.permille(self.loss_permille) {
            time += (self.delay * 2).max(RETRANSMIT_MIN);
            losses += 1;
        }
        if let Some(rate) = self.bytes_per_second {
            time += Duration::from_micros(bytes as u64 * 1_000_000 / rate.max(1));
        }
        time
    }
}
