//! What must be true of every run: one file per checker, each a pure function of the evidence.
//!
//! | checker | proves | from what | does not see |
//! |---|---|---|---|
//! | `durability` (a) | every acknowledged write was durable in its region before the answer, says what was asked, reaches every region, and is in the end visible, superseded by what had seen it, or in the ledgers with its bytes | logs; else answers, final reads and ledgers | from outside: a write that something of unknown outcome may have superseded |
//! | `phantom_writes` (a) | what was refused was not done, nothing was done twice, and nothing is logged or shown that nobody had begun to write | logs and reads | records of the system namespace |
//! | `final_state` (a, b) | rows, listing index and reads in the end are what all logged changes come to by the definitions | logs | a region that has not settled |
//! | `convergence` (b) | the regions settled in time, with the same rows, index, vectors, digests and reads | what is there in the end | a common mistake of all regions: see `final_state` |
//! | `counters` (c) | counters are the sum of what was asked for and acknowledged and not reset, unknown outcomes at most once | logs; else bounds from outside, exact sums where few outcomes are unknown | from outside: what a concurrent reset had seen |
//! | `batches` (k) | the changes of a batch are in one commit, one after the other, or nowhere; registers that are only written as pairs in batches end as pairs | logs; final reads | from outside: halves that were replaced later (clients list pairs meanwhile) |
//! | `resurrection` (d) | what was removed or replaced by somebody who had seen it is neither stored nor shown again | logs and rows; else what surely was seen | from outside: removals of other regions |
//! | `causal_delivery` (e) | each log is in causal order, without gaps and duplicates, holds what the origins have logged, after them, and stamps grow | logs | across partitions no order is promised |
//! | `watermarks` (f) | advertised vectors were durable without gaps when they were sent | logs and what was sent | |
//! | `clock_promises` (l) | what a region commits after a promise has greater stamps than it | logs and what was sent | |
//! | `session_guarantees` (g) | read your writes, monotonic reads, monotonic writes, writes follow reads, in each session and partition | logs; else versions, and members and fields that nobody can have removed | what it cannot tell: which of several adds a member was shown for; deleted registers from outside |
//! | `freshness` (g) | reads at `global_quorum` show what was acknowledged at `global_quorum` before; no read is older than its `Atoll-Staleness-Ms` | logs | what one read cannot show to be missing |
//! | `linearizability` (h) | reads, writes, preconditions and refusals fit the order of their region's log within their time, at homes after what homes before have answered; for all types | logs; else a search over registers that one region alone writes | which of two states of a counter with the same value had a tag; from outside: registers that several regions write, preconditions of other types; searches that give up (counted in `situations`) |
//! | `bounds` (i) | nothing that must stay bounded was over its limit | gauges | what has no gauge |
//! | `health` (k) | states get better only after their calm, and so change only so often | the changes that each monitor has made | |
//! | `digests` (j) | answered digests are those of a full scan, and the root is theirs | what is there in the end | |
//!
//! `study` works out once what several of them need, by an interpretation of the logs of its own. `outside` holds what can
//! be known without logs, `situations` counts how interesting a run was. All assume that values of registers and fields
//! are written once, that a client does one operation at a time, and that a listing of members or fields is one page.
//!
//! Sound first: a checker that cannot decide says nothing.

mod batches;
mod bounds;
mod causal_delivery;
mod clock_promises;
mod convergence;
mod counters;
mod digests;
mod durability;
mod durability_from_outside;
mod final_state;
mod freshness;
mod health;
mod linearizability;
mod outside;
mod phantom_writes;
mod preconditions;
mod register_histories;
mod report;
mod resurrection;
mod resurrection_from_outside;
mod session_guarantees;
mod sessions_from_outside;
#[allow(
    dead_code,
    reason = "histories that were recorded over HTTP have no use for it"
)]
pub(crate) mod situations;
mod study;
mod watermarks;
mod wing_gong;

#[cfg(test)]
mod batches_test;
#[cfg(test)]
mod causal_delivery_test;
#[cfg(test)]
mod clock_promises_test;
#[cfg(test)]
mod counters_test;
#[cfg(test)]
mod durability_test;
#[cfg(test)]
mod ends_test;
#[cfg(test)]
mod final_state_test;
#[cfg(test)]
mod homes_test;
#[cfg(test)]
mod linearizability_test;
#[cfg(test)]
mod phantom_writes_test;
#[cfg(test)]
mod preconditions_test;
#[cfg(test)]
mod random_test;
#[cfg(test)]
mod resurrection_test;
#[cfg(test)]
mod session_guarantees_test;
#[cfg(test)]
mod situations_test;
#[cfg(test)]
mod test_cluster;
#[cfg(test)]
mod watermarks_test;
#[cfg(test)]
mod wing_gong_test;

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Violation};

use study::Study;

/// All that is wrong.
pub(crate) fn check_all(evidence: &Evidence) -> Vec<Violation> {
    let study = Study::new(evidence);
    [
        durability::check(&study),
        phantom_writes::check(&study),
        final_state::check(&study),
        convergence::check(evidence),
        counters::check(&study),
        batches::check(&study),
        resurrection::check(&study),
        causal_delivery::check(evidence),
        watermarks::check(evidence),
        clock_promises::check(evidence),
        session_guarantees::check(&study),
        freshness::check(&study),
        linearizability::check(&study),
        bounds::check(evidence),
        digests::check(evidence),
        health::check(evidence),
    ]
    .concat()
}

/// How often each interesting situation is in the evidence.
#[allow(
    dead_code,
    reason = "histories that were recorded over HTTP have no use for it"
)]
pub(crate) fn situations(evidence: &Evidence) -> BTreeMap<&'static str, u64> {
    situations::count(evidence)
}
