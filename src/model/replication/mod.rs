//! Replication between regions as state machines: what to ship, what to hold, what to fetch, what to forget.

pub mod catch_up;
pub mod inbox;
pub mod lag;
pub mod outbox;
pub mod retention;
