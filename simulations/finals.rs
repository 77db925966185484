//! What is there in the end: what reads show, and what stands in the stores.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use atoll::model::digest::{Digest, RowExchange, RowHasher, combined_root};
use atoll::model::ids::{PartitionId, RegionId};
use atoll::model::record::RecordId;
use atoll::ports::store::{Family, Store as _};
use atoll::wire::keys::row::RowKey;
use atoll::wire::values::{decode_ledger_entry, decode_partition_state};
use bytes::Bytes;

use crate::evidence::{FinalRegion, Shown};
use crate::mix::Mix;
use crate::run::{ANSWER_TIME, ask};
use crate::workload::{History, read_all, read_at_home, read_from_node};
use crate::world::disk::all_of;
use crate::world::site::Site;
use crate::world::{Called, Standing, World};

/// Looks at every region; what cannot be looked at is a violation.
pub fn gather(mix: &Mix, world: &mut World, history: &History) -> BTreeMap<RegionId, FinalRegion> {
    let (records, delay): (Vec<RecordId>, _) = (history.records().into_iter().collect(), mix.tick);
    let mut finals = BTreeMap::new();
    // One read after the other, each of some ticks.
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let patience = ANSWER_TIME * 2 + mix.tick * 8 * count;
    for region in world.regions() {
        let wanted = records.clone();
        let reads = ask(world, patience, move |gateway| {
            read_all(gateway, region, wanted, delay)
        });
        let reads = match reads {
            Some(Ok(reads)) => reads,
            Some(Err(detail)) => {
                tell_progress(world, region);
                world.recorder().violated("finals", &detail);
                BTreeMap::new()
            }
            None => {
                world
                    .recorder()
                    .violated("finals", &format!("{region} does not answer in the end"));
                BTreeMap::new()
            }
        };
        check_home(mix, world, region);
        for site in world.members_of(region) {
            match final_region(world, site, reads.clone()) {
                Ok(found) => match finals.entry(region) {
                    Entry::Vacant(place) => {
                        place.insert(found);
                    }
                    Entry::Occupied(first) => compare(world, site, first.get(), &found),
                },
                Err(detail) => world
                    .recorder()
                    .violated("finals", &format!("in {site}: {detail}")),
            }
        }
        compare_logs(world, region);
        check_removed(mix, world, region);
    }
    finals
}

/// How far the nodes of a region are, for people.
fn tell_progress(world: &World, region: RegionId) {
    for site in world.sites_of(region) {
        let Some(context) = world.context(site) else {
            continue;
        };
        for partition in context.partitions.ids() {
            let applied = context.partitions.read(partition, |view| view.raft_applied);
            let view = context.groups.view(partition);
            let standing = world.standing(site);
            world.recorder().event(format!(
                "{site} ({standing:?}) is at {applied} of partition {partition}: {view:?}"
            ));
        }
    }
}

/// What a region has removed answers nothing, not even what asks for no more than it has.
fn check_removed(mix: &Mix, world: &mut World, region: RegionId) {
    let delay = mix.tick;
    let removed = world.sites_of(region).into_iter();
    let removed: Vec<Site> = removed
        .filter(|site| world.standing(*site) == Standing::Removed && world.context(*site).is_some())
        .collect();
    for site in removed {
        let answered = ask(world, ANSWER_TIME, move |gateway| async move {
            gateway
                .call_one_of(&[site], read_from_node(), delay, ANSWER_TIME)
                .await
        });
        let is_refused =
            matches!(&answered, Some(Called::Answered(response)) if response.status().as_u16() == 503);
        if is_refused {
            world.recorder().reached("removed node answered nothing");
        } else {
            let detail = format!("{site} was removed from its region, and answers: {answered:?}");
            world.recorder().violated("members", &detail);
        }
    }
}

/// A region is one replica: what its nodes hold is the same.
fn compare(world: &World, site: Site, first: &FinalRegion, found: &FinalRegion) {
    let parts = [
        ("rows", first.rows == found.rows),
        ("listing index", first.names == found.names),
        ("vectors", first.vectors == found.vectors),
        ("digest root", first.digest_root == found.digest_root),
        ("digests", first.digests == found.digests),
        ("scanned digests", first.scanned_digests == found.scanned_digests),
        ("ledgers", first.losers == found.losers),
    ];
    for (what, _) in parts.into_iter().filter(|(_, is_equal)| !is_equal) {
        let detail = format!("{site} has other {what} in the end than the first node of its region");
        world.recorder().violated("replicas", &detail);
    }
}

/// Their logs, and what they remember of requests, too.
fn compare_logs(world: &World, region: RegionId) {
    let sites = world.members_of(region);
    for family in [Family::Log, Family::LogSeqs, Family::Idempotency] {
        let contents = |site: Site| all_of(world.machine(site).disk.contents(), family).unwrap_or_default();
        let first = contents(sites[0]);
        for site in &sites[1..] {
            let other = contents(*site);
            if other != first {
                let detail = format!(
                    "{site} has {} entries of {family:?} in the end, {} has {}, and they differ",
                    other.len(),
                    sites[0],
                    first.len()
                );
                world.recorder().violated("replicas", &detail);
            }
        }
    }
}

/// Whoever is the home in the end, and wherever a client asks: it answers.
fn check_home(mix: &Mix, world: &mut World, region: RegionId) {
    let delay = mix.tick;
    let answered = ask(world, ANSWER_TIME, move |gateway| async move {
        gateway.call(region, read_at_home(), delay, ANSWER_TIME).await
    });
    let is_answered = matches!(&answered, Some(Called::Answered(response)) if matches!(response.status().as_u16(), 200 | 404));
    if !is_answered {
        tell_progress(world, region);
        let detail = format!("{region} finds no home that answers in the end: {answered:?}");
        world.recorder().violated("homes", &detail);
    }
}

fn final_region(world: &World, site: Site, reads: BTreeMap<RecordId, Shown>) -> Result<FinalRegion, String> {
    let store = world.machine(site).disk.contents();
    let all = |family| all_of(store, family).map_err(|error| error.to_string());
    let rows: BTreeMap<Bytes, Bytes> = all(Family::Rows)?.into_iter().collect();
    let context = world.context(site).ok_or("it does not serve")?;
    let hasher = RowHasher::default();
    let mut scanned: BTreeMap<PartitionId, Digest> = BTreeMap::new();
    for (key, value) in &rows {
        let partition = RowKey::decode(key).map_err(|error| error.to_string())?.partition;
        let row = RowExchange {
            key,
            before: None,
            after: Some(value),
        };
        scanned.entry(partition).or_default().exchange(&hasher, &row);
    }
    let mut found = FinalRegion {
        names: all(Family::Names)?.into_iter().collect(),
        rows,
        reads,
        ..FinalRegion::default()
    };
    let mut roots = Vec::new();
    for partition in context.partitions.ids() {
        let answered = context.partitions.read(partition, |view| view.digest_root);
        found.digests.push(answered.to_string());
        roots.push(answered);
        let computed = scanned.remove(&partition).unwrap_or_default();
        found.scanned_digests.push(computed.root().to_string());
        let key = atoll::wire::keys::meta::partition_state(partition);
        if let Some(bytes) = store.get(Family::Meta, &key).map_err(|error| error.to_string())? {
            let state = decode_partition_state(&bytes).map_err(|error| error.to_string())?;
            found.vectors.insert(partition, state.vector);
        }
    }
    found.digest_root = combined_root(&roots)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (_, value) in all(Family::Losers)? {
        found
            .losers
            .push(decode_ledger_entry(&value).map_err(|error| error.to_string())?);
    }
    Ok(found)
}
