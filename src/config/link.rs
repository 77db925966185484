//! `[[link]]`: what the path from one region to another is like. Only `atoll wan` and `atoll dev --wan` act on it.
//!
//! No part of what the cluster is: a node ignores it, so files that differ here are of the same cluster. All
//! quantities are kept as whole thousandths of their unit, so that shapes compare exactly.

use std::fmt;
use std::time::Duration;

use crate::model::ids::RegionId;

/// One of the two directions between two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Direction {
    /// Whose packets pass.
    pub from: RegionId,
    /// Who gets them.
    pub to: RegionId,
}

/// What the path in one direction is like. The default is a path without properties: all passes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkShape {
    /// `round_trip_ms`, default 0, 0 to 10 000: added to the round trip. Each direction delays by half of its own value.
    pub round_trip: Duration,
    /// `jitter_ms`, default 0, 0 to 10 000: a packet is delayed by up to this much more, all values equally likely.
    /// Packets keep their order, as they do on one path.
    pub jitter: Duration,
    /// `loss_percent`, default 0, 0 to 100: packets lost in this direction, each by its own chance.
    pub loss: Percent,
    /// `reorder_percent`, default 0, 0 to 100: packets that are overtaken by those behind them.
    pub reorder: Percent,
    /// `bandwidth_mbit`, default 0, which is no limit, to 100 000.
    pub bandwidth: Bandwidth,
    /// `cut`, default false: nothing passes.
    pub is_cut: bool,
}

/// A share from 0 to 100 %, in thousandths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Percent(u64);

/// Bits in a second, in steps of 1000; none is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bandwidth(u64);

/// A change of some properties; those that are not named stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkChange {
    /// See [`LinkShape::round_trip`].
    pub round_trip: Option<Duration>,
    /// See [`LinkShape::jitter`].
    pub jitter: Option<Duration>,
    /// See [`LinkShape::loss`].
    pub loss: Option<Percent>,
    /// See [`LinkShape::reorder`].
    pub reorder: Option<Percent>,
    /// See [`LinkShape::bandwidth`].
    pub bandwidth: Option<Bandwidth>,
    /// See [`LinkShape::is_cut`].
    pub is_cut: Option<bool>,
}

/// A property that is a number, with its name and range. All begin at 0, which is the default of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkQuantity {
    /// `round_trip_ms`: ten seconds are twice the transport's idle timeout; nothing connects over more.
    RoundTrip,
    /// `jitter_ms`: the same.
    Jitter,
    /// `loss_percent`.
    Loss,
    /// `reorder_percent`.
    Reorder,
    /// `bandwidth_mbit`: 100 Gbit/s are more than the relay can pass.
    Bandwidth,
}

/// A number that a property of a link cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given} is out of range: use 0 to {maximum}, with at most three decimals (default 0)")]
pub struct QuantityError {
    /// The number as given.
    pub given: String,
    /// The largest that is accepted.
    pub maximum: u32,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

impl Direction {
    /// The way back.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

impl LinkShape {
    /// How long a packet is on its way, jitter and bandwidth aside.
    #[must_use]
    pub fn one_way(&self) -> Duration {
        self.round_trip / 2
    }
}

impl LinkChange {
    /// The shape with this change made.
    #[must_use]
    pub fn applied_to(&self, shape: LinkShape) -> LinkShape {
        LinkShape {
            round_trip: self.round_trip.unwrap_or(shape.round_trip),
            jitter: self.jitter.unwrap_or(shape.jitter),
            loss: self.loss.unwrap_or(shape.loss),
            reorder: self.reorder.unwrap_or(shape.reorder),
            bandwidth: self.bandwidth.unwrap_or(shape.bandwidth),
            is_cut: self.is_cut.unwrap_or(shape.is_cut),
        }
    }
}

impl Percent {
    /// From thousandths of a percent that [`LinkQuantity::thousandths`] has checked.
    #[must_use]
    pub fn from_thousandths(thousandths: u64) -> Self {
        Self(thousandths)
    }

    /// Whether a number that is drawn evenly from all of `u64` falls into this share.
    #[must_use]
    pub fn holds(self, drawn: u64) -> bool {
        // The high bits of the product are the number scaled down to 0..100 000. `<`: 0 % never, 100 % always.
        let scaled = (u128::from(drawn) * 100_000) >> 64;
        scaled < u128::from(self.0)
    }

    /// As a number for people and JSON.
    #[must_use]
    pub fn as_percent(self) -> f64 {
        decimal(self.0)
    }
}

impl Bandwidth {
    /// From thousandths of a Mbit/s that [`LinkQuantity::thousandths`] has checked.
    #[must_use]
    pub fn from_thousandths(thousandths: u64) -> Self {
        Self(thousandths)
    }

    /// How long it takes to put so many bytes onto the wire; nothing where there is no limit.
    #[must_use]
    pub fn transmission_time(self, size_bytes: usize) -> Duration {
        match (size_bytes as u64).saturating_mul(8_000_000).checked_div(self.0) {
            Some(nanos) => Duration::from_nanos(nanos),
            None => Duration::ZERO,
        }
    }

    /// How many bytes go onto the wire in that time; `None` where there is no limit.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> Option<u64> {
        let bits = u128::from(self.0) * 1000 * time.as_nanos() / 1_000_000_000;
        (self.0 > 0).then(|| u64::try_from(bits / 8).unwrap_or(u64::MAX))
    }

    /// As a number for people and JSON; 0 is no limit.
    #[must_use]
    pub fn as_mbit(self) -> f64 {
        decimal(self.0)
    }
}

impl LinkQuantity {
    /// The field in `regions.toml` and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round_trip_ms",
            Self::Jitter => "jitter_ms",
            Self::Loss => "loss_percent",
            Self::Reorder => "reorder_percent",
            Self::Bandwidth => "bandwidth_mbit",
        }
    }

    /// The largest value that is accepted.
    #[must_use]
    pub fn maximum(self) -> u32 {
        match self {
            Self::RoundTrip | Self::Jitter => 10_000,
            Self::Loss | Self::Reorder => 100,
            Self::Bandwidth => 100_000,
        }
    }

    /// The number in thousandths.
    ///
    /// # Errors
    /// [`QuantityError`] outside the range, and for what is finer than a thousandth: it would be another number, and
    /// one that is not 0 might become 0.
    pub fn thousandths(self, given: f64) -> Result<u64, QuantityError> {
        let scaled = given * 1000.0;
        // A decimal fraction has no exact binary form, so a whole number of thousandths is one within rounding.
        let is_whole = (scaled - scaled.round()).abs() < 1e-6;
        if (0.0..=f64::from(self.maximum())).contains(&given) && is_whole {
            // In range by the check above: at most 100 000 000.
            Ok(scaled.round() as u64)
        } else {
            Err(QuantityError {
                given: given.to_string(),
                maximum: self.maximum(),
            })
        }
    }
}

/// Thousandths as a number. Exact up to 2^53, which no quantity reaches.
fn decimal(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}
