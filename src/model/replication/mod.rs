//! Replication between regions as state machines: what to ship, what to hold, what to fetch, what to forget.

pub mod catch_up;
pub mod inbox;
#[cfg(test)]
mod inbox_test;
pub mod lag;
pub mod leadership;
pub mod outbox;
pub mod retention;
