//! (i) What must stay bounded did: no size was ever over its limit.

use crate::evidence::{Evidence, Violation};

use super::report::Report;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut report = Report::new("bounds");
    // `>`: the limit itself may be reached.
    for gauge in evidence.gauges.iter().filter(|gauge| gauge.value > gauge.limit) {
        report.add(format!(
            "{} of {} was {} at {}, over its limit of {}",
            gauge.name, gauge.region, gauge.value, gauge.at, gauge.limit
        ));
    }
    report.into_violations()
}
