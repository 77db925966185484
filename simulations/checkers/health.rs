//! (k) The state of a region does not flap: it gets better only after it was calm for as long as its configuration says,
//! and so changes only so often; and unhealthy regions recover before they are healthy. That every region is healthy in
//! the end is part of settling.

use std::time::Duration;

use atoll::model::health::RegionState;

use crate::evidence::{Evidence, HealthLife, Violation};

use super::report::Report;

/// States that a calm can bring: from one calm to the next a region becomes recovering or healthy, degraded, and unhealthy
/// once each at most.
const CHANGES_PER_CALM: u128 = 4;
/// A region that begins empty may hear, once, that it lacks something: it recovers, and comes back without a calm.
const CHANGES_OF_JOINING: u128 = 2;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut report = Report::new("health");
    for life in &evidence.health {
        check_frequency(life, &mut report);
        check_calm(life, &mut report);
    }
    report.into_violations()
}

fn check_frequency(life: &HealthLife, report: &mut Report) {
    let calm = Duration::from_millis(life.calm_ms).as_micros().max(1);
    let bound = CHANGES_OF_JOINING + CHANGES_PER_CALM * (life.lasted.as_micros() / calm + 1);
    // `>`: the bound itself may be reached.
    if life.transitions.len() as u128 > bound {
        report.add(format!(
            "{} changed its state {} times within {:?}, more than {bound}: {:?}",
            life.region,
            life.transitions.len(),
            life.lasted,
            life.transitions
        ));
    }
}

fn check_calm(life: &HealthLife, report: &mut Report) {
    for pair in life.transitions.windows(2) {
        let (entered, left) = (&pair[0], &pair[1]);
        let stayed_ms = left.at.millis_since(entered.at);
        let is_better = match (left.from, left.to) {
            (RegionState::Unhealthy, _) => true,
            // The calm of a quarantine is counted from the last stamp that was refused, which may have been earlier.
            (RegionState::Degraded, RegionState::Healthy) => !entered
                .reasons
                .iter()
                .any(|reason| reason.contains("quarantined")),
            _ => false,
        };
        if is_better && stayed_ms < life.calm_ms {
            report.add(format!(
                "{} was {} for {stayed_ms} ms only, less than its calm of {} ms: {pair:?}",
                life.region,
                left.from.name(),
                life.calm_ms
            ));
        }
        if left.from == RegionState::Unhealthy && left.to != RegionState::Recovering {
            report.add(format!("{} did not recover: {pair:?}", life.region));
        }
        if entered.to != left.from {
            report.add(format!("{} has changed its state unseen: {pair:?}", life.region));
        }
    }
}

#[cfg(test)]
mod tests {
    use atoll::model::health::Transition;
    use atoll::model::tick::Tick;

    use super::*;

    fn life(states: &[(u64, RegionState, RegionState)]) -> Evidence {
        let transitions = states
            .iter()
            .map(|(ms, from, to)| Transition {
                at: Tick::from_millis(*ms),
                from: *from,
                to: *to,
                reasons: Vec::new(),
            })
            .collect();
        Evidence {
            health: vec![HealthLife {
                region: "eu".parse().unwrap(),
                life: 1,
                lasted: Duration::from_secs(10),
                calm_ms: 3000,
                transitions,
            }],
            ..Evidence::default()
        }
    }

    #[test]
    fn a_region_that_comes_back_after_a_calm_is_well() {
        use RegionState::{Healthy, Recovering, Unhealthy};
        let states = [
            (0, Recovering, Healthy),
            (500, Healthy, Unhealthy),
            (3500, Unhealthy, Recovering),
            (3500, Recovering, Healthy),
        ];
        assert!(check(&life(&states)).is_empty());
    }

    #[test]
    fn flapping_is_found() {
        use RegionState::{Degraded, Healthy, Recovering, Unhealthy};
        let too_soon = [(0, Healthy, Degraded), (2999, Degraded, Healthy)];
        assert_eq!(check(&life(&too_soon)).len(), 1);
        let not_recovered = [(0, Healthy, Unhealthy), (4000, Unhealthy, Healthy)];
        assert_eq!(check(&life(&not_recovered)).len(), 1);
        let often: Vec<_> = (0..19).map(|ms| (ms, Recovering, Recovering)).collect();
        assert_eq!(check(&life(&often)).len(), 1);
    }
}
