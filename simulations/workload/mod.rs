//! Clients: what they draw, how it becomes HTTP, and what the answers mean.

mod answers;
mod batches;
mod client;
mod history;
mod parts;
mod repeats;
mod requests;
mod weights;

pub use client::{Client, HOMED, KEPT, read_all};
pub use history::History;
pub use requests::{configure, read_at_home, read_from_node};
pub use weights::Workload;
