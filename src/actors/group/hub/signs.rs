//! Signs of life: what this node says of itself, and what it promises to those that it hears.

use std::collections::BTreeMap;
use std::sync::Weak;

use super::RegionGroups;
use crate::actors::mesh::service::{OwnSign, Promise};
use crate::model::agreement::MemberId;
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::raft::Term;
use crate::ports::store::{Durability, Family, WriteSet};
use crate::wire::keys::meta;
use crate::wire::mesh::SignOfLife;
use crate::wire::raft::encode_stamp;

impl RegionGroups {
    /// What the next sign of life to any node says.
    pub(in crate::actors::group) fn own_sign(&self) -> OwnSign {
        let (now, wall) = (self.now(), self.context.clock.now());
        let through = self.context.partitions.own_through();
        let mut state = self.lock();
        let suspects = state.liveness.suspected(now);
        let leads: BTreeMap<PartitionId, u64> = (0..)
            .map(PartitionId)
            .zip(&state.groups)
            .filter_map(|(partition, tended)| {
                let leading = tended.leading.as_ref().filter(|leading| !leading.is_yielding);
                Some((partition, leading?.epoch.term))
            })
            .collect();
        // A leader is bound by its own word, too, unless it relies on nobody's any more.
        let mut bound = leads.clone();
        bound.retain(|partition, _| {
            let leading = state.groups[usize::from(partition.0)].leading.as_ref();
            leading.is_some_and(|leading| !leading.has_yielded)
        });
        let excepted = state.promises.acknowledge(now, self.own, &bound);
        for partition in bound.keys().filter(|partition| !excepted.contains(partition)) {
            if let Some(leading) = &mut state.groups[usize::from(partition.0)].leading {
                leading.own_vote_at = Some(now);
            }
        }
        // Who is to vote must have stored all that was promised. Where nothing is written, nobody would ask for that much otherwise.
        let to_keep = state
            .groups
            .iter()
            .filter(|tended| tended.change.voters.is_some());
        let to_keep = to_keep.filter_map(|tended| Some(tended.leading.as_ref()?.stamps.to_keep()));
        let through = through.max(to_keep.max().unwrap_or(Hlc::ZERO));
        let store = state.floor.ask(wall, through);
        drop(state);
        self.store_floor(store);
        OwnSign {
            through,
            leads: leads
                .into_iter()
                .map(|(partition, term)| (partition, Term(term)))
                .collect(),
            suspects: suspects.iter().map(|member| member.node).collect(),
        }
    }

    /// A sign of life has come: what is promised to its sender.
    pub(in crate::actors::group) fn heard(&self, from: NodeId, sign: &SignOfLife) -> Option<Promise> {
        let (now, wall) = (self.now(), self.context.clock.now());
        let leads: BTreeMap<PartitionId, u64> = sign
            .leads
            .iter()
            .map(|(partition, term)| (*partition, term.0))
            .collect();
        let mut state = self.lock();
        let sender = state.member(from)?;
        if self.context.mesh.incarnation(&from) != Some(sender.incarnation) {
            return None;
        }
        let suspects: Vec<MemberId> = sign
            .suspects
            .iter()
            .filter_map(|node| state.member(*node))
            .collect();
        state.liveness.heard(
            now,
            sender,
            leads.keys().copied().collect(),
            suspects.into_iter().collect(),
        );
        let is_mutual = state.liveness.is_mutual(now, sender);
        let (mut except, mut store) = (Vec::new(), None);
        let mut through = Hlc::ZERO;
        if is_mutual {
            except = state.promises.acknowledge(now, sender, &leads);
            store = state.floor.ask(wall, sign.through);
            through = state.floor.acknowledged();
        }
        drop(state);
        self.store_floor(store);
        // Also where this node promises nothing, since it has voted in a later term: as long as nobody was elected in that, this is
        // the one to ask.
        for (partition, term) in &sign.leads {
            self.show_leader(*partition, from, *term);
        }
        is_mutual.then(|| Promise {
            through,
            except: except.into_iter().collect(),
        })
    }

    fn store_floor(&self, floor: Option<Hlc>) {
        let Some(floor) = floor else { return };
        let mut set = WriteSet::new();
        set.put(Family::Meta, &meta::stamp_floor(), &encode_stamp(floor));
        let me = Weak::clone(&self.me);
        let told = Box::new(move |result: Result<(), _>| {
            // Dropped with the node: nobody needs to know then.
            if let Some(me) = me.upgrade() {
                me.lock().floor.settle(result.is_ok().then_some(floor));
            }
        });
        self.context.committer.submit(set, Durability::Synced, told);
    }
}
