//! What the machines of a world are to their regions, which configuration each has, and what their disks say of the members
//! of groups.

use std::sync::Arc;

use atoll::config::ClusterConfig;
use atoll::model::agreement::MemberId;
use atoll::model::ids::{PartitionCount, PartitionId, RegionId};
use atoll::ports::store::{Family, Store};
use atoll::storage::{IDENTITY_KEY, Identity};
use atoll::wire::keys::raft;
use atoll::wire::raft::{StoredApplied, StoredMembers, decode_applied};

use super::disk::SimDisk;
use super::site::Site;
use super::{Process, Standing, World};
use crate::dice::Dice;

impl World {
    /// What a machine is to its region.
    pub fn standing(&self, site: Site) -> Standing {
        self.standings[&site]
    }

    /// Whoever runs it sees it so from now on.
    pub fn set_standing(&mut self, site: Site, standing: Standing) {
        self.standings.insert(site, standing);
    }

    /// Clients know a node from now on, or not any more.
    pub fn list(&self, site: Site, is_listed: bool) {
        let mut listed = self
            .listed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if is_listed {
            listed.insert(site);
        } else {
            listed.remove(&site);
        }
    }

    /// Something has befallen a node of a region.
    pub fn note_fault(&mut self, region: RegionId) {
        *self.faults.entry(region).or_default() += 1;
    }

    /// How much has befallen the nodes of a region.
    pub fn faults_in(&self, region: RegionId) -> u64 {
        self.faults.get(&region).copied().unwrap_or(0)
    }

    /// Puts a configuration onto a machine. A process that serves is told to go over to it.
    pub fn configure(&mut self, site: Site, cluster: &Arc<ClusterConfig>) {
        let machine = self.machines.get_mut(&site).expect("every node has a machine");
        machine.cluster = Arc::clone(cluster);
        if let Some(process) = self.processes.get(&site)
            && process.context().is_some()
            && !process.is_stopping()
        {
            process.reload(Arc::clone(cluster));
        }
    }

    /// The configuration that the process of a node runs with, if it has one.
    pub fn configuration(&self, site: Site) -> Option<Arc<ClusterConfig>> {
        self.processes.get(&site).map(Process::cluster)
    }

    /// A machine gets a new disk, with nothing on it. It must not run.
    pub fn replace_disk(&mut self, site: Site) {
        assert!(
            !self.is_up(site),
            "nobody takes the disk out of a machine that runs"
        );
        let life = self.member(site).map(|member| u64::from(member.incarnation.0));
        self.last_lives
            .insert(site, life.max(self.last_life(site)).unwrap_or(0));
        self.disks_replaced += 1;
        let dice = Dice::new(self.seed, &format!("disk {} of {site}", self.disks_replaced));
        let clocks = self
            .machines
            .iter()
            .filter(|(other, _)| other.region == site.region);
        let clocks = clocks.map(|(_, machine)| Arc::clone(&machine.clock)).collect();
        let disk = SimDisk::new(site, self.speed, dice, clocks, self.recorder.clone());
        let machine = self.machines.get_mut(&site).expect("every node has a machine");
        machine.disk = Arc::new(disk);
        machine.has_torn_tail = false;
        self.recorder.event(format!("{site} has a new disk"));
    }

    /// The member that a node is by its disk; none where that is empty.
    pub fn member(&self, site: Site) -> Option<MemberId> {
        let stored = self.machines[&site]
            .disk
            .contents()
            .get(Family::Meta, IDENTITY_KEY);
        let identity: Identity = serde_json::from_slice(&stored.ok()??).ok()?;
        Some(MemberId {
            node: identity.node,
            incarnation: identity.incarnation,
        })
    }

    /// The latest life of all disks that a machine has had.
    pub fn last_life(&self, site: Site) -> Option<u64> {
        let present = self.member(site).map(|member| u64::from(member.incarnation.0));
        present.max(self.last_lives.get(&site).copied())
    }

    /// The machine on whose disk a member is; none where that disk is lost.
    pub fn site_of(&self, member: MemberId) -> Option<Site> {
        let mut sites = self.machines.keys().copied();
        sites.find(|site| site.node == member.node && self.member(*site) == Some(member))
    }

    /// The partitions of the cluster.
    pub fn partitions(&self) -> PartitionCount {
        let machine = self.machines.values().next();
        machine.expect("there is a machine").cluster.partitions
    }

    /// How far a node is in a group, by its disk, and who is in it by then; none where it knows nothing of the group.
    pub fn applied(&self, site: Site, partition: PartitionId) -> Option<StoredApplied> {
        stored_applied(self.machines[&site].disk.contents(), partition)
    }
}

/// Who is in a group by what a store holds.
pub fn stored_members(store: &dyn Store, partition: PartitionId) -> Option<StoredMembers> {
    stored_applied(store, partition).map(|applied| applied.members)
}

fn stored_applied(store: &dyn Store, partition: PartitionId) -> Option<StoredApplied> {
    let stored = store.get(Family::Raft, &raft::applied(partition)).ok()??;
    decode_applied(&stored).ok()
}
