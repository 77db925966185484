//! One direction while it runs: the packets that are on their way, in the order in which they arrive, and counts.
//!
//! Keeps: what is on its way is bounded ([`limits::WAN_HELD_BYTES_MAX`]); every packet that was offered is counted once,
//! as on its way, passed or dropped. All flows between two regions share the line, as they share a path.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::link::{Chance, DropReason, Fate, Link};
use crate::config::LinkShape;
use crate::config::link::LinkChange;
use crate::model::limits;
use crate::ports::entropy::Entropy;

/// One direction between two regions.
pub(super) struct Line {
    state: Mutex<State>,
    /// Told when a packet arrives earlier than all others that are on their way.
    sooner: Notify,
    entropy: Box<dyn Entropy>,
}

/// Where a packet leaves the relay.
#[derive(Debug, Clone)]
pub(super) enum Outlet {
    /// To the target, from the socket that stands for its sender.
    Target(Arc<UdpSocket>),
    /// Back to a sender, from the socket to which it sends.
    Sender(Arc<UdpSocket>, SocketAddr),
}

/// What has become of the packets of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) passed_packets: u64,
    pub(super) passed_bytes: u64,
    pub(super) held_packets: u64,
    pub(super) cut: u64,
    pub(super) loss: u64,
    pub(super) queue: u64,
    pub(super) overflow: u64,
    pub(super) send: u64,
}

#[derive(Debug)]
struct State {
    link: Link,
    /// By arrival; the number tells those of one moment apart and keeps their order.
    held: BTreeMap<(Instant, u64), Held>,
    held_bytes: usize,
    next_number: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Held {
    packet: Bytes,
    outlet: Outlet,
}

/// What the delivery does next.
enum Next {
    Send(Held),
    Wait(Option<Instant>),
}

impl Line {
    pub(super) fn new(shape: LinkShape, entropy: Box<dyn Entropy>) -> Self {
        let state = State {
            link: Link::new(shape, Instant::now()),
            held: BTreeMap::new(),
            held_bytes: 0,
            next_number: 0,
            counts: Counts::default(),
        };
        Self {
            state: Mutex::new(state),
            sooner: Notify::new(),
            entropy,
        }
    }

    pub(super) fn shape(&self) -> LinkShape {
        self.lock().link.shape()
    }

    pub(super) fn counts(&self) -> Counts {
        let state = self.lock();
        Counts {
            held_packets: state.held.len() as u64,
            ..state.counts
        }
    }

    /// Changes the shape for packets from now on.
    pub(super) fn change(&self, change: &LinkChange) {
        let mut state = self.lock();
        let shape = change.applied_to(state.link.shape());
        state.link.set_shape(shape, Instant::now());
    }

    /// Takes a packet; it leaves later, or never.
    pub(super) fn offer(&self, packet: Bytes, outlet: Outlet) {
        let chance = Chance::draw(self.entropy.as_ref());
        if self.lock().offer(Held { packet, outlet }, Instant::now(), chance) {
            self.sooner.notify_one();
        }
    }

    /// A packet that never got so far as to be offered.
    pub(super) fn not_sent(&self) {
        self.lock().counts.drop(DropReason::Send);
    }

    /// Sends each packet when it arrives, for ever.
    pub(super) async fn deliver(self: Arc<Self>) {
        loop {
            let next = self.lock().next(Instant::now());
            match next {
                Next::Send(held) => {
                    let is_sent = held.outlet.send(&held.packet).await;
                    self.lock().counts.sent(held.packet.len(), is_sent);
                }
                Next::Wait(None) => self.sooner.notified().await,
                Next::Wait(Some(at)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {}
                        () = self.sooner.notified() => {}
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has left counts and queue whole: each change is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this packet arrives before all others.
    fn offer(&mut self, held: Held, now: Instant, chance: Chance) -> bool {
        let at = match self.link.offer(held.packet.len(), now, chance) {
            Fate::Arrives(at) => at,
            Fate::Dropped(reason) => {
                self.counts.drop(reason);
                return false;
            }
        };
        // `>`: exactly full is allowed.
        if self.held_bytes + held.size_bytes() > limits::WAN_HELD_BYTES_MAX {
            self.counts.drop(DropReason::Overflow);
            return false;
        }
        self.held_bytes += held.size_bytes();
        let key = (at, self.next_number);
        self.next_number += 1;
        self.held.insert(key, held);
        self.held
            .first_key_value()
            .is_some_and(|(first, _)| *first == key)
    }

    fn next(&mut self, now: Instant) -> Next {
        match self.held.first_entry() {
            None => Next::Wait(None),
            // `>`: what arrives at this moment has arrived.
            Some(entry) if entry.key().0 > now => Next::Wait(Some(entry.key().0)),
            Some(entry) => {
                let held = entry.remove();
                self.held_bytes -= held.size_bytes();
                Next::Send(held)
            }
        }
    }
}

impl Held {
    fn size_bytes(&self) -> usize {
        self.packet.len() + limits::WAN_HELD_PACKET_BYTES
    }
}

impl Counts {
    fn drop(&mut self, reason: DropReason) {
        let count = match reason {
            DropReason::Cut => &mut self.cut,
            DropReason::Loss => &mut self.loss,
            DropReason::Queue => &mut self.queue,
            DropReason::Overflow => &mut self.overflow,
            DropReason::Send => &mut self.send,
        };
        *count += 1;
    }

    fn sent(&mut self, payload_bytes: usize, is_sent: bool) {
        if is_sent {
            self.passed_packets += 1;
            self.passed_bytes += payload_bytes as u64;
        } else {
            self.drop(DropReason::Send);
        }
    }
}

impl Outlet {
    /// False if the machine refuses the packet, such as when nobody listens at the target.
    async fn send(&self, packet: &[u8]) -> bool {
        let sent = match self {
            Self::Target(socket) => socket.send(packet).await,
            Self::Sender(socket, sender) => socket.send_to(packet, *sender).await,
        };
        sent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ports::entropy::SeededEntropy;

    const SOON: Duration = Duration::from_secs(10);

    async fn socket() -> Arc<UdpSocket> {
        Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    fn line(round_trip: Duration) -> Line {
        let shape = LinkShape {
            round_trip,
            ..LinkShape::default()
        };
        Line::new(shape, Box::new(SeededEntropy::new(1)))
    }

    #[tokio::test]
    async fn packets_arrive_in_order_after_the_delay_and_are_counted() {
        let (sender, receiver) = (socket().await, socket().await);
        let line = Arc::new(line(Duration::from_millis(60)));
        let delivery = tokio::spawn(Arc::clone(&line).deliver());
        let begun = Instant::now();
        for number in 0..20_u8 {
            let outlet = Outlet::Sender(Arc::clone(&sender), receiver.local_addr().unwrap());
            line.offer(Bytes::from(vec![number; 100]), outlet);
        }
        let mut buffer = [0; 200];
        for number in 0..20_u8 {
            let received = tokio::time::timeout(SOON, receiver.recv(&mut buffer)).await;
            assert_eq!(received.unwrap().unwrap(), 100);
            assert_eq!(buffer[0], number);
        }
        assert!(begun.elapsed() >= Duration::from_millis(30));
        let counted = async {
            while line.counts().passed_packets < 20 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, counted).await.unwrap();
        let counts = line.counts();
        assert_eq!((counts.passed_bytes, counts.held_packets), (2000, 0));
        delivery.abort();
    }

    #[tokio::test]
    async fn what_is_on_its_way_is_bounded() {
        let (line, outlet) = (line(Duration::from_secs(10)), Outlet::Target(socket().await));
        let size_bytes = 60_000;
        let fits = limits::WAN_HELD_BYTES_MAX / (size_bytes + limits::WAN_HELD_PACKET_BYTES);
        let packet = Bytes::from(vec![0; size_bytes]);
        for _ in 0..fits + 5 {
            line.offer(packet.clone(), outlet.clone());
        }
        let counts = line.counts();
        assert_eq!((counts.held_packets, counts.overflow), (fits as u64, 5));
    }
}
