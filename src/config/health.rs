//! `[health]`: the ranges of its options. What they mean, and their defaults, stand at
//! [`HealthThresholds`]; the reasons for the ranges too.

use super::error::ConfigError;
use super::raw::RawHealth;
use super::source::Source;
use crate::model::health::HealthThresholds;

impl Source<'_> {
    /// The thresholds of the table, each within its range.
    pub(super) fn health(&self, raw: &RawHealth) -> Result<HealthThresholds, ConfigError> {
        let default = HealthThresholds::default();
        Ok(HealthThresholds {
            peer_phi: self.number("health.peer_phi", raw.peer_phi.as_ref(), 1..=16, default.peer_phi)?,
            quorum_lost_ms: self.number(
                "health.quorum_lost_ms",
                raw.quorum_lost_ms.as_ref(),
                0..=3_600_000,
                default.quorum_lost_ms,
            )?,
            commit_slow_ms: self.number(
                "health.commit_slow_ms",
                raw.commit_slow_ms.as_ref(),
                1..=60_000,
                default.commit_slow_ms,
            )?,
            commit_stalled_ms: self.number(
                "health.commit_stalled_ms",
                raw.commit_stalled_ms.as_ref(),
                10..=600_000,
                default.commit_stalled_ms,
            )?,
            lag_degraded_ms: self.number(
                "health.lag_degraded_ms",
                raw.lag_degraded_ms.as_ref(),
                100..=3_600_000,
                default.lag_degraded_ms,
            )?,
            log_degraded_percent: self.number(
                "health.log_degraded_percent",
                raw.log_degraded_percent.as_ref(),
                1..=100,
                default.log_degraded_percent,
            )?,
            clock_error_ms: self.number(
                "health.clock_error_ms",
                raw.clock_error_ms.as_ref(),
                1..=60_000,
                default.clock_error_ms,
            )?,
            patience_ms: self.number(
                "health.patience_ms",
                raw.patience_ms.as_ref(),
                0..=60_000,
                default.patience_ms,
            )?,
            calm_ms: self.number(
                "health.calm_ms",
                raw.calm_ms.as_ref(),
                1000..=600_000,
                default.calm_ms,
            )?,
            recovering_lag_ms: self.number(
                "health.recovering_lag_ms",
                raw.recovering_lag_ms.as_ref(),
                0..=600_000,
                default.recovering_lag_ms,
            )?,
            recovering_silence_ms: self.number(
                "health.recovering_silence_ms",
                raw.recovering_silence_ms.as_ref(),
                0..=600_000,
                default.recovering_silence_ms,
            )?,
            recovering_stalled_ms: self.number(
                "health.recovering_stalled_ms",
                raw.recovering_stalled_ms.as_ref(),
                100..=3_600_000,
                default.recovering_stalled_ms,
            )?,
            staleness_percent: self.number(
                "health.staleness_percent",
                raw.staleness_percent.as_ref(),
                100..=10_000,
                default.staleness_percent,
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterConfig;
    use crate::config::parse_test::MINIMAL;

    fn parse(line: &str) -> Result<HealthThresholds, ConfigError> {
        let text = format!("{MINIMAL}[health]\n{line}\n");
        ClusterConfig::parse("regions.toml", &text).map(|config| config.health)
    }

    #[test]
    fn every_default_lies_within_its_range() {
        let HealthThresholds {
            peer_phi,
            quorum_lost_ms,
            commit_slow_ms,
            commit_stalled_ms,
            lag_degraded_ms,
            log_degraded_percent,
            clock_error_ms,
            patience_ms,
            calm_ms,
            recovering_lag_ms,
            recovering_silence_ms,
            recovering_stalled_ms,
            staleness_percent,
        } = HealthThresholds::default();
        for (name, default) in [
            ("peer_phi", peer_phi),
            ("quorum_lost_ms", quorum_lost_ms),
            ("commit_slow_ms", commit_slow_ms),
            ("commit_stalled_ms", commit_stalled_ms),
            ("lag_degraded_ms", lag_degraded_ms),
            ("log_degraded_percent", log_degraded_percent),
            ("clock_error_ms", clock_error_ms),
            ("patience_ms", patience_ms),
            ("calm_ms", calm_ms),
            ("recovering_lag_ms", recovering_lag_ms),
            ("recovering_silence_ms", recovering_silence_ms),
            ("recovering_stalled_ms", recovering_stalled_ms),
            ("staleness_percent", staleness_percent),
        ] {
            let parsed = parse(&format!("{name} = {default}")).unwrap();
            assert_eq!(parsed, HealthThresholds::default(), "{name}");
        }
    }

    #[test]
    fn thresholds_are_read_and_those_out_of_range_are_refused_by_name() {
        assert_eq!(parse("calm_ms = 7000").unwrap().calm_ms, 7000);
        for bad in ["calm_ms = 999", "peer_phi = 0", "log_degraded_percent = 101"] {
            let message = parse(bad).unwrap_err().to_string();
            let name = bad.split(' ').next().unwrap();
            assert!(message.contains(&format!("health.{name}")), "{message}");
        }
    }
}
