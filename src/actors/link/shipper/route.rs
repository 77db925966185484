//! Which partitions are shipped to the node: those that this node leads here and that one there.

use ractor::ActorRef;

use crate::actors::link::shipper::ShipperMessage;
use crate::actors::link::shipper::actor::Shipper;

impl Shipper {
    /// Leadership has moved, here or there, or may have: what is new is shipped from what the peer says that it has.
    pub(super) fn route(&mut self, myself: &ActorRef<ShipperMessage>) {
        self.led = self.context.groups.led();
        let is_alone = self.context.groups.is_alone();
        let ids = self.context.identity.partitions.ids();
        let led_there = self
            .peer
            .led_by(&self.board, self.context.identity.partitions.ids());
        let mut led_there = led_there.into_iter().peekable();
        let mut is_new = false;
        for partition in ids {
            // Both go up.
            let is_led_there = led_there.next_if_eq(&partition).is_some();
            let is_led_here = is_alone || self.led.contains_key(&partition);
            is_new |= self.outbox.route(partition, is_led_here && is_led_there);
        }
        if is_new {
            self.pump(myself);
        }
    }

    /// Nobody tells shippers of elections: they look when a log has grown, as it does when a leader begins, and with each
    /// heartbeat.
    pub(super) fn look_at_own_leadership(&mut self, myself: &ActorRef<ShipperMessage>) {
        let groups = &self.context.groups;
        if !groups.is_alone() && groups.led() != self.led {
            self.route(myself);
        }
    }
}

#[cfg(test)]
#[path = "route_test.rs"]
mod tests;
