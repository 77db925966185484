//! Actors: thin shells around the model. A handler turns a message into an event, calls the model with `now`, carries
//! out the effects and feeds completions back; it decides nothing itself.
//!
//! Actors are unnamed: ractor's registry is process-wide, and several regions may run in one process. Everyone holds
//! handles. What others may look at without asking stands on the boards.

pub mod board;
pub mod context;
pub mod failures;
pub mod group;
pub mod health;
pub mod keeper;
pub mod link;
pub mod mesh;
pub mod namespaces;
pub mod partition;
pub mod region;
pub mod supervisor;

/// An error and what caused it, on one line.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent errors repeat their source.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
