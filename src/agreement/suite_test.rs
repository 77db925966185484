//! Openraft's own suite for what a group stores, on both stores.

use openraft::storage::RaftLogStorage;
use openraft::testing::{StoreBuilder, Suite};

use super::log::GroupLog;
use super::log_test_kit::{Machine, PARTITION};
use super::state_machine_test_kit::TestStateMachine;
use super::types::{GroupTypes, StorageError};
use crate::model::ids::Incarnation;
use crate::model::raft::RaftNodeId;
use crate::storage::MemoryStore;

/// The suite names nodes by numbers, and takes 0 for the default.
impl From<u64> for RaftNodeId {
    fn from(number: u64) -> Self {
        match number {
            0 => Self::default(),
            _ => Self::new(format!("n{number}").parse().unwrap(), Incarnation(1)),
        }
    }
}

struct Machines(fn() -> Machine);

impl StoreBuilder<GroupTypes, GroupLog, TestStateMachine, Machine> for Machines {
    async fn build(&self) -> Result<(Machine, GroupLog, TestStateMachine), StorageError> {
        let machine = (self.0)();
        let mut log = machine.log(PARTITION);
        assert_eq!(log.read_vote().await?, None);
        let state_machine = TestStateMachine::new(PARTITION, &machine.store, &machine.committer);
        Ok((machine, log, state_machine))
    }
}

#[test]
fn the_suite_of_openraft_passes_in_memory() {
    Suite::test_all(Machines(|| Machine::in_memory(&MemoryStore::new()))).unwrap();
}

#[test]
fn the_suite_of_openraft_passes_on_rocksdb() {
    Suite::test_all(Machines(Machine::on_rocks)).unwrap();
}
