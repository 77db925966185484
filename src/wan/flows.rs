//! Which sender has which socket towards the target. Pure: the sockets are whatever the caller puts in.
//!
//! Keeps: at most [`limits::WAN_FLOWS_MAX`] senders are known, and those that were silent for long are forgotten
//! before one that was not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::model::limits;

/// Senders and what belongs to each.
#[derive(Debug)]
pub(super) struct Flows<T> {
    known: BTreeMap<SocketAddr, Flow<T>>,
}

#[derive(Debug)]
struct Flow<T> {
    content: T,
    heard: Instant,
}

impl<T> Flows<T> {
    pub(super) fn new() -> Self {
        Self {
            known: BTreeMap::new(),
        }
    }

    /// What belongs to a sender that was just heard.
    pub(super) fn heard(&mut self, sender: SocketAddr, now: Instant) -> Option<&T> {
        let flow = self.known.get_mut(&sender)?;
        flow.heard = now;
        Some(&flow.content)
    }

    /// Adds a sender. Forgets those that are silent for long, and if there is still no room, the one that is for longest.
    pub(super) fn insert(&mut self, sender: SocketAddr, content: T, now: Instant) -> &T {
        let idle_max = Duration::from_millis(limits::WAN_FLOW_IDLE_MS_MAX);
        // `<=`: silent for exactly the limit is still allowed.
        self.known
            .retain(|_, flow| now.saturating_duration_since(flow.heard) <= idle_max);
        while self.known.len() >= limits::WAN_FLOWS_MAX {
            let silent = self.known.iter().min_by_key(|(_, flow)| flow.heard);
            let Some(silent) = silent.map(|(sender, _)| *sender) else {
                break;
            };
            self.known.remove(&silent);
        }
        let flow = Flow { content, heard: now };
        &self.known.entry(sender).insert_entry(flow).into_mut().content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn a_sender_keeps_what_belongs_to_it() {
        let (mut flows, now) = (Flows::new(), Instant::now());
        assert_eq!(flows.heard(sender(1), now), None);
        assert_eq!(flows.insert(sender(1), 'a', now), &'a');
        assert_eq!(flows.insert(sender(2), 'b', now), &'b');
        assert_eq!(flows.heard(sender(1), now), Some(&'a'));
    }

    #[test]
    fn the_one_that_was_silent_for_longest_makes_room() {
        let (mut flows, now) = (Flows::new(), Instant::now());
        let count = u16::try_from(limits::WAN_FLOWS_MAX).unwrap();
        for port in 1..=count {
            flows.insert(sender(port), port, now + Duration::from_millis(port.into()));
        }
        let later = now + Duration::from_secs(1);
        flows.heard(sender(1), later);
        flows.insert(sender(count + 1), 0, later);
        assert_eq!(flows.heard(sender(2), later), None);
        assert_eq!(flows.heard(sender(1), later), Some(&1));
        assert_eq!(flows.known.len(), limits::WAN_FLOWS_MAX);
    }

    #[test]
    fn those_that_are_silent_for_long_are_forgotten_when_another_comes() {
        let (mut flows, now) = (Flows::new(), Instant::now());
        let idle = Duration::from_millis(limits::WAN_FLOW_IDLE_MS_MAX);
        flows.insert(sender(1), 'a', now);
        flows.insert(sender(2), 'b', now + Duration::from_millis(1));
        flows.insert(sender(3), 'c', now + Duration::from_millis(1) + idle);
        assert_eq!(flows.heard(sender(1), now), None);
        assert_eq!(flows.heard(sender(2), now), Some(&'b'));
    }
}
