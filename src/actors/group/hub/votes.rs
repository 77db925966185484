//! Votes, as openraft asks for them and gives them, and the floors that go with them.

use super::RegionGroups;
use crate::model::agreement::Epoch;
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::mutation::{self, Mutation};

impl RegionGroups {
    pub(in crate::actors::group) fn saw(&self, partition: PartitionId, epoch: Epoch) {
        self.lock().promises.saw(partition, epoch);
    }

    pub(in crate::actors::group) fn may_vote(&self, partition: PartitionId, candidate: Epoch) -> bool {
        let now = self.now();
        self.lock().promises.ask(now, partition, candidate)
    }

    pub(in crate::actors::group) fn voted(&self, partition: PartitionId, is_granted: bool) {
        let now = self.now();
        let mut state = self.lock();
        state.promises.settle(partition, is_granted);
        // Only who can win is given the time for it: a candidate that lacks entries would keep those that have them waiting.
        if is_granted {
            state.groups[usize::from(partition.0)].candidacy.voted(now);
        }
    }

    pub(in crate::actors::group) fn lacks_entries(&self, partition: PartitionId) {
        self.lock().groups[usize::from(partition.0)]
            .candidacy
            .lacks_entries();
    }

    pub(in crate::actors::group) fn floor(&self) -> Hlc {
        self.lock().floor.floor()
    }

    pub(in crate::actors::group) fn told(&self, partition: PartitionId, candidate: Epoch, floor: Hlc) {
        if mutation::is_on(Mutation::ForgetToldFloor) {
            return;
        }
        let mut state = self.lock();
        let told = &mut state.groups[usize::from(partition.0)].told;
        told.retain(|(epoch, _)| *epoch >= candidate);
        told.push((candidate, floor));
    }

    pub(in crate::actors::group) fn adopt(&self, partition: PartitionId, epoch: Epoch) -> Option<Hlc> {
        let mut state = self.lock();
        let told = std::mem::take(&mut state.groups[usize::from(partition.0)].told);
        let floors = told.into_iter().filter(|(candidate, _)| *candidate == epoch);
        state.floor.adopt(floors.map(|(_, floor)| floor))
    }

    pub(in crate::actors::group) fn adopted(&self, floor: Hlc, is_durable: bool) {
        self.lock().floor.settle(is_durable.then_some(floor));
    }
}
