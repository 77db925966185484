//! How improbable the silence of a peer is, by the times between the heartbeats that came: the phi accrual failure
//! detector (Hayashibara, Défago, Yared, Katayama 2004).
//!
//! Times between heartbeats are taken as normally distributed over a bounded window. The deviation has a floor: on an idle
//! machine or in a simulation all heartbeats come alike, and one late packet would be infinitely improbable.

use std::collections::VecDeque;

use crate::model::tick::Tick;

/// Heartbeats that are remembered: 20 s at the default interval, so that a network that has changed shows soon.
const WINDOW: usize = 100;
/// Nothing is more improbable than that: enough for every threshold, and a number that people can read.
const PHI_MAX: f64 = 40.0;
/// A pause longer than so many intervals was an outage, and says nothing about the next heartbeat.
const PAUSE_INTERVALS_MAX: u64 = 10;

/// The suspicion that a peer is gone.
#[derive(Debug)]
pub struct Suspicion {
    /// How often heartbeats are sent.
    interval_ms: u64,
    pauses_ms: VecDeque<u64>,
    heard_at: Option<Tick>,
}

impl Suspicion {
    /// Of a peer that sends a heartbeat each `interval_ms` and was not heard of yet.
    #[must_use]
    pub fn new(interval_ms: u64) -> Self {
        Self {
            // Zero would make everything improbable.
            interval_ms: interval_ms.max(1),
            pauses_ms: VecDeque::new(),
            heard_at: None,
        }
    }

    /// A heartbeat has come.
    pub fn heard(&mut self, now: Tick) {
        if let Some(before) = self.heard_at {
            let pause = now.millis_since(before);
            // `<=`: the longest that still counts.
            if pause <= self.interval_ms * PAUSE_INTERVALS_MAX {
                if self.pauses_ms.len() == WINDOW {
                    self.pauses_ms.pop_front();
                }
                self.pauses_ms.push_back(pause);
            }
        }
        self.heard_at = Some(now);
    }

    /// This process itself did not run for so long until `now`: the peer is not to blame.
    pub fn forgive(&mut self, pause_ms: u64, now: Tick) {
        self.heard_at = self.heard_at.map(|at| at.plus_millis(pause_ms).min(now));
    }

    /// How improbable the silence until `now` is: a silence like this or longer has the probability 10^-phi. None while
    /// nothing was ever heard.
    #[must_use]
    pub fn phi(&self, now: Tick) -> Option<f64> {
        let silence = as_float(now.millis_since(self.heard_at?));
        let interval = as_float(self.interval_ms);
        let count = self.pauses_ms.len();
        let (mean, deviation) = if count == 0 {
            (interval, interval)
        } else {
            let count = as_float(count as u64);
            let mean = self.pauses_ms.iter().map(|pause| as_float(*pause)).sum::<f64>() / count;
            let square = |pause: &u64| (as_float(*pause) - mean).powi(2);
            let variance = self.pauses_ms.iter().map(square).sum::<f64>() / count;
            // The floors: heartbeats that came in a burst after an outage must not make the next one look late.
            (mean.max(interval), variance.sqrt().max(interval))
        };
        Some(improbability((silence - mean) / deviation))
    }
}

/// -log10 of the tail of the normal distribution, by the logistic approximation (Bowling et al. 2009) that Akka and
/// Cassandra use too.
fn improbability(deviations: f64) -> f64 {
    let exponent = -deviations * (1.5976 + 0.070_566 * deviations * deviations);
    // log10(e^x / (1 + e^x)), written so that neither end overflows.
    let tail = if exponent < 0.0 {
        exponent * std::f64::consts::LOG10_E - exponent.exp().ln_1p() * std::f64::consts::LOG10_E
    } else {
        -(-exponent).exp().ln_1p() * std::f64::consts::LOG10_E
    };
    (-tail).clamp(0.0, PHI_MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "times and counts that matter here stay far below 2^52"
)]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    fn steady() -> Suspicion {
        let mut suspicion = Suspicion::new(200);
        for number in 0..200 {
            suspicion.heard(at(number * 200));
        }
        suspicion
    }

    const LAST: u64 = 199 * 200;

    #[test]
    fn who_was_never_heard_is_not_judged() {
        assert_eq!(Suspicion::new(200).phi(at(1_000_000)), None);
    }

    #[test]
    fn suspicion_grows_with_silence_and_ends_with_a_word() {
        let mut suspicion = steady();
        let phis: Vec<f64> = (0..20)
            .map(|step| suspicion.phi(at(LAST + step * 200)).unwrap())
            .collect();
        assert!(phis.windows(2).all(|pair| pair[0] <= pair[1]), "{phis:?}");
        assert!(phis[0] < 0.5 && phis[19] > 30.0, "{phis:?}");
        suspicion.heard(at(LAST + 4000));
        assert!(suspicion.phi(at(LAST + 4000)).unwrap() < 0.5);
    }

    #[test]
    fn one_late_heartbeat_is_no_silence_even_where_all_were_punctual() {
        let suspicion = steady();
        assert!(suspicion.phi(at(LAST + 600)).unwrap() < 3.0);
        assert!(suspicion.phi(at(LAST + 1000)).unwrap() < 8.0);
        assert!(suspicion.phi(at(LAST + 2000)).unwrap() > 8.0);
    }

    #[test]
    fn an_outage_is_not_taken_for_the_rule() {
        let mut suspicion = steady();
        suspicion.heard(at(LAST + 1_000_000));
        assert!(suspicion.phi(at(LAST + 1_002_000)).unwrap() > 8.0);
    }

    #[test]
    fn a_pause_of_this_process_is_forgiven() {
        let mut suspicion = steady();
        suspicion.forgive(10_000, at(LAST + 10_000));
        assert!(suspicion.phi(at(LAST + 10_000)).unwrap() < 0.5);
    }

    #[test]
    fn no_silence_gives_a_number_that_is_none() {
        let suspicion = steady();
        for silence in [0, 1, u64::MAX / 4000] {
            let phi = suspicion.phi(at(LAST + silence)).unwrap();
            assert!((0.0..=PHI_MAX).contains(&phi), "{phi}");
        }
    }
}
