//! Makes a failing input smaller while it still fails in the same way: by leaving out blocks, halving their size, and by
//! turning bytes into zeros, which shows which bytes matter.

use crate::judge::judge;
use crate::targets::Target;

/// Judgements that minimising one input may take: a second or two.
const JUDGEMENTS_MAX: usize = 20_000;

/// A smaller input that fails as this one does.
pub(crate) fn minimised(target: &Target, input: &[u8]) -> Vec<u8> {
    let Err(failure) = judge(target, input) else {
        return input.to_vec();
    };
    let mut judgements = 0;
    let mut still_fails = |candidate: &[u8]| {
        judgements += 1;
        judgements <= JUDGEMENTS_MAX
            && judge(target, candidate).is_err_and(|other| other.kind() == failure.kind())
    };
    let mut smallest = input.to_vec();
    let mut block_len = smallest.len().div_ceil(2);
    while block_len > 0 {
        let mut start = 0;
        while start < smallest.len() {
            let end = (start + block_len).min(smallest.len());
            let candidate = [&smallest[..start], &smallest[end..]].concat();
            if still_fails(&candidate) {
                smallest = candidate;
            } else {
                start = end;
            }
        }
        block_len /= 2;
    }
    for position in 0..smallest.len() {
        let mut candidate = smallest.clone();
        candidate[position] = 0;
        if smallest[position] != 0 && still_fails(&candidate) {
            smallest = candidate;
        }
    }
    smallest
}
