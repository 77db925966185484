//! What may be done about the nodes of a region, and in which steps.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use atoll::model::agreement::NodeRole;
use atoll::model::ids::RegionId;

use super::Step;
use crate::dice::Dice;
use crate::members::{Wanted, fewest_voters};
use crate::mix::{Coming, Comings};
use crate::world::World;
use crate::world::site::Site;

/// With so many voters everywhere, one of them may lose its disk: the others have all that was agreed on.
const VOTERS_TO_LOSE_ONE: usize = 3;
/// A node that is to be added crashes before it is, so many times in a hundred.
const NEW_CRASH_PERCENT: u64 = 25;
/// A node that is to be removed is away meanwhile.
const AWAY_PERCENT: u64 = 25;

const ALL: [Coming; 8] = [
    Coming::Add,
    Coming::Add,
    Coming::Drain,
    Coming::Remove,
    Coming::Replace,
    Coming::Empty,
    Coming::Empty,
    Coming::Shrink,
];

/// A region as it is before a change.
struct Before<'a> {
    world: &'a World,
    region: RegionId,
    numbers: &'a BTreeSet<u64>,
    wanted: &'a Wanted,
}

impl Before<'_> {
    fn members(&self) -> Vec<Site> {
        self.wanted.roles.keys().copied().collect()
    }

    fn with_role(&self, wanted: NodeRole) -> Vec<Site> {
        let found = self.wanted.roles.iter().filter(|(_, role)| **role == wanted);
        found.map(|(site, _)| *site).collect()
    }

    /// Machines that do not take part.
    fn others(&self) -> Vec<Site> {
        let machines = self.world.machines_of(self.region);
        let is_free = |site: &Site| !self.wanted.roles.contains_key(site);
        machines.into_iter().filter(is_free).collect()
    }

    /// The number of a machine in its region.
    fn number(&self, site: Site) -> u64 {
        let machines = self.world.machines_of(self.region);
        let place = machines.iter().position(|machine| *machine == site);
        place.map_or(0, |place| place as u64 + 1)
    }
}

/// A region of one node gets two more.
pub(super) fn growth(world: &World, region: RegionId, dice: &mut Dice) -> VecDeque<Step> {
    let machines = world.machines_of(region);
    let (second, third) = (machines[1], machines[2]);
    let mut steps = vec![
        Step::Rest(dice.up_to(Duration::from_secs(4))),
        Step::File((1..=3).collect()),
        Step::Rolled,
        Step::Prepare(second),
        Step::Prepare(third),
        Step::Want(second, Some(NodeRole::Active)),
        Step::List(second, true),
    ];
    if dice.percent(50) {
        steps.push(Step::Settle);
    }
    steps.extend([
        Step::Want(third, Some(NodeRole::Active)),
        Step::List(third, true),
        Step::Settle,
        Step::Done("region of one node became one of three"),
    ]);
    steps.into()
}

/// What is done next; nothing where that cannot be done now.
pub(super) fn draw(
    world: &World,
    region: RegionId,
    numbers: &BTreeSet<u64>,
    wanted: &Wanted,
    comings: Comings,
    dice: &mut Dice,
) -> VecDeque<Step> {
    let before = Before {
        world,
        region,
        numbers,
        wanted,
    };
    let steps = match comings.only.unwrap_or_else(|| *dice.pick(&ALL)) {
        Coming::Add => add(&before, dice),
        Coming::Drain => drain(&before, dice),
        Coming::Remove => remove(&before, dice),
        Coming::Replace => replace(&before, dice),
        Coming::Empty => empty(&before, dice),
        Coming::Shrink => shrink(&before, dice),
    };
    steps.unwrap_or_default().into()
}

fn add_steps(before: &Before<'_>, site: Site, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    let number = before.number(site);
    if !before.numbers.contains(&number) {
        let mut numbers = before.numbers.clone();
        numbers.insert(number);
        steps.push(Step::File(numbers));
        if dice.percent(70) {
            steps.push(Step::Rolled);
        }
    }
    steps.push(Step::Prepare(site));
    let (wanted, crash) = (Step::Want(site, Some(NodeRole::Active)), Step::Crash(site));
    if dice.percent(NEW_CRASH_PERCENT) {
        let rest = Step::Rest(dice.around(Duration::from_millis(500)));
        steps.extend(match dice.percent(50) {
            true => [rest, crash, wanted],
            false => [wanted, rest, crash],
        });
    } else {
        steps.push(wanted);
    }
    steps.extend([Step::List(site, true), Step::Settle]);
    steps
}

fn remove_steps(site: Site, dice: &mut Dice) -> Vec<Step> {
    let mut steps = vec![Step::Want(site, None)];
    if dice.percent(AWAY_PERCENT) {
        steps.insert(0, Step::Crash(site));
    }
    if dice.percent(50) {
        steps.insert(0, Step::List(site, false));
    }
    steps.push(Step::Settle);
    steps
}

fn add(before: &Before<'_>, dice: &mut Dice) -> Option<Vec<Step>> {
    let others = before.others();
    if others.is_empty() {
        return None;
    }
    let site = *dice.pick(&others);
    let mut steps = add_steps(before, site, dice);
    steps.push(Step::Done("node added"));
    Some(steps)
}

fn drain(before: &Before<'_>, dice: &mut Dice) -> Option<Vec<Step>> {
    if let Some(site) = before.with_role(NodeRole::Drained).first() {
        return Some(vec![
            Step::Want(*site, Some(NodeRole::Active)),
            Step::Settle,
            Step::Done("drained node taken in again"),
        ]);
    }
    let active = before.with_role(NodeRole::Active);
    if active.len() < 2 {
        return None;
    }
    Some(vec![
        Step::Want(*dice.pick(&active), Some(NodeRole::Drained)),
        Step::Settle,
        Step::Done("node drained"),
    ])
}

fn remove(before: &Before<'_>, dice: &mut Dice) -> Option<Vec<Step>> {
    let members = before.members();
    if members.len() < 2 {
        return None;
    }
    let site = *dice.pick(&members);
    let mut steps = remove_steps(site, dice);
    steps.push(Step::Done("node removed"));
    if dice.percent(60) {
        steps.push(Step::Rest(dice.around(Duration::from_secs(2))));
        steps.push(Step::Retire(site));
        if dice.percent(50) && before.numbers.len() > 1 {
            let mut numbers = before.numbers.clone();
            numbers.remove(&before.number(site));
            steps.extend([Step::File(numbers), Step::Rolled, Step::Settle]);
        }
    }
    Some(steps)
}

fn replace(before: &Before<'_>, dice: &mut Dice) -> Option<Vec<Step>> {
    let (members, others) = (before.members(), before.others());
    if others.is_empty() {
        return None;
    }
    let (old, new) = (*dice.pick(&members), *dice.pick(&others));
    let mut steps = add_steps(before, new, dice);
    if dice.percent(40) {
        // The other way is under way before this one has ended.
        steps.retain(|step| *step != Step::Settle);
    }
    steps.extend(remove_steps(old, dice));
    steps.push(Step::Done("node replaced by another"));
    Some(steps)
}

fn empty(before: &Before<'_>, dice: &mut Dice) -> Option<Vec<Step>> {
    let is_settled = before.wanted.lacks(before.world, before.region).is_none();
    let has_enough = fewest_voters(before.world, before.region) >= VOTERS_TO_LOSE_ONE;
    let members = before.members();
    if !is_settled || !has_enough {
        return None;
    }
    let site = *dice.pick(&members);
    let mut steps = vec![Step::Lose(site)];
    if dice.percent(70) {
        steps.insert(0, Step::List(site, false));
    }
    let (gone, back) = (Step::Want(site, None), Step::Want(site, Some(NodeRole::Active)));
    if dice.percent(50) {
        steps.push(gone);
        if dice.percent(50) {
            steps.push(Step::Settle);
        }
        steps.push(Step::Prepare(site));
    } else {
        // It is back before anybody has removed the one that it was.
        steps.push(Step::Prepare(site));
        steps.push(Step::Rest(dice.around(Duration::from_secs(1))));
        if dice.percent(50) {
            steps.push(Step::Mistake(site, "add"));
        }
        steps.extend([gone, Step::Settle]);
    }
    steps.extend([
        back,
        Step::List(site, true),
        Step::Settle,
        Step::Done("node with an emptied disk taken in again"),
    ]);
    Some(steps)
}

fn shrink(before: &Before<'_>, dice: &mut Dice) -> Option<Vec<Step>> {
    let mut members = before.members();
    if members.len() < 2 {
        return None;
    }
    let stays = *dice.pick(&members);
    members.retain(|site| *site != stays);
    let mut steps = vec![Step::Want(stays, Some(NodeRole::Active))];
    for site in members {
        steps.extend(remove_steps(site, dice));
        if dice.percent(50) {
            steps.push(Step::Retire(site));
        }
    }
    steps.push(Step::Done("region shrunk to one node"));
    Some(steps)
}
