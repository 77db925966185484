//! (j) The digests that a region answers are those of a full scan of its rows, partition by partition, and the root is
//! the one over them.

use atoll::model::digest::{DigestSum, combined_root};
use atoll::model::ids::RegionId;

use crate::evidence::{Evidence, FinalRegion, Violation};

use super::report::Report;

/// All that is wrong.
pub(crate) fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut report = Report::new("digests");
    for (region, last) in &evidence.finals {
        check_scan(*region, last, &mut report);
        check_root(*region, last, &mut report);
    }
    report.into_violations()
}

fn check_scan(region: RegionId, last: &FinalRegion, report: &mut Report) {
    // Empty where nobody could look inside.
    if last.scanned_digests.is_empty() {
        return;
    }
    if last.digests.len() != last.scanned_digests.len() {
        report.add(format!(
            "{region} answers {} digests; it has {} partitions",
            last.digests.len(),
            last.scanned_digests.len()
        ));
    }
    let pairs = last.digests.iter().zip(&last.scanned_digests).enumerate();
    for (partition, (answered, scanned)) in pairs.filter(|(_, (answered, scanned))| answered != scanned) {
        report.add(format!(
            "the digest of partition {partition} in {region} is {answered}; a scan of its rows gives {scanned}"
        ));
    }
}

fn check_root(region: RegionId, last: &FinalRegion, report: &mut Report) {
    let sums = last.digests.iter();
    let sums: Result<Vec<DigestSum>, _> = sums
        .map(|text| u128::from_str_radix(text, 16).map(DigestSum))
        .collect();
    match sums {
        Err(_) => report.add(format!(
            "{region} answers digests that are no hexadecimal numbers: {:?}",
            last.digests
        )),
        Ok(sums) if sums.is_empty() => {}
        Ok(sums) => {
            let bytes = combined_root(&sums);
            let root: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            if root != last.digest_root {
                report.add(format!(
                    "the root of {region} is {}; its digests come to {root}",
                    last.digest_root
                ));
            }
        }
    }
}
