//! Somebody who changes the nodes of regions in the middle of load and of faults: adds, drains and removes them, puts empty disks
//! into them, lets a region of one node grow and shrinks it again. A change that was begun is finished, in the end when all is
//! healed: commands that were refused or not answered are given again, at other nodes.
//!
//! Like an operator it goes by what a node shows, which may be behind, and puts a new `regions.toml` onto one machine after the
//! other. It takes no disk away before the copies that it relies on are there ([`plans`]).

mod plans;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use atoll::config::ClusterConfig;
use atoll::model::agreement::NodeRole;
use atoll::model::ids::RegionId;
use axum::body::Body;
use axum::http::{Method, Request};

use crate::dice::Dice;
use crate::evidence::Moment;
use crate::members::{Wanted, members_by};
use crate::mix::{Comings, Mix};
use crate::world::site::Site;
use crate::world::{Called, Standing, World};

/// How often a change is considered.
const INTERVAL: Duration = Duration::from_millis(100);
/// Intervals in ten seconds: the unit of the rate.
const INTERVALS: u64 = 100;
/// Between two commands about one change.
const COMMAND_PAUSE: Duration = Duration::from_millis(500);
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two machines that get a new configuration.
const ROLLOUT_PAUSE: Duration = Duration::from_millis(150);
/// A node that does not go over to a configuration is told again, and one that does not start is started again, after so long.
const ROLLOUT_PATIENCE: Duration = Duration::from_secs(4);
/// What this operator lets crash comes back after about this.
const DOWN: Duration = Duration::from_secs(1);
/// Scheduler steps into a tick at which a crash may fall.
const CRASH_STEPS_MAX: u64 = 60;
/// Of a hundred commands so many are the last one again, though it was done.
const REPEAT_PERCENT: u64 = 8;
/// Of a hundred removals so many ask for no more copies than are left.
const FEWER_COPIES_PERCENT: u64 = 80;
/// Of a hundred commands so many go to a node of the region that may not take part in it.
const ANYWHERE_PERCENT: u64 = 10;
/// Copies of each partition where the region has so many nodes.
const COPIES: usize = 3;

/// What comes next in a change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `regions.toml` names these nodes from now on.
    File(BTreeSet<u64>),
    /// Wait until the nodes of the region have read it.
    Rolled,
    /// A machine starts with an empty disk.
    Prepare(Site),
    /// It is to have this role, or to leave.
    Want(Site, Option<NodeRole>),
    /// Clients hear of a node, or that it goes.
    List(Site, bool),
    /// Give commands until all is as wanted.
    Settle,
    /// Somebody gives a command that is refused.
    Mistake(Site, &'static str),
    /// A machine fails, and its disk is lost.
    Lose(Site),
    /// A process dies, and is started again a while later.
    Crash(Site),
    /// A machine is not used any more.
    Retire(Site),
    /// Some time passes.
    Rest(Duration),
    /// The change is made: what it was.
    Done(&'static str),
}

/// One region.
struct Keeper {
    region: RegionId,
    /// The nodes that the file names.
    numbers: BTreeSet<u64>,
    wanted: Wanted,
    steps: VecDeque<Step>,
    next: Moment,
    /// What had befallen the region when the change was begun.
    faults_before: u64,
    last: Option<(Site, &'static str)>,
}

/// Changes nodes.
pub struct NodeOperator {
    mix: Mix,
    comings: Option<Comings>,
    dice: Dice,
    keepers: Vec<Keeper>,
    file: Arc<ClusterConfig>,
    next_rollout: Moment,
    /// When each node was last told of a file.
    told: BTreeMap<Site, Moment>,
    boots: Vec<(Moment, Site)>,
    is_over: bool,
}

impl NodeOperator {
    /// As the mix says.
    pub fn new(mix: &Mix, world: &World) -> Self {
        let mut dice = Dice::new(mix.seed, "operator of nodes");
        let numbers = mix.first_nodes();
        let keeper = |(region, numbers): (RegionId, &BTreeSet<u64>)| {
            let roles = world.members_of(region).into_iter();
            let mut keeper = Keeper {
                region,
                numbers: numbers.clone(),
                wanted: Wanted {
                    roles: roles.map(|site| (site, NodeRole::Active)).collect(),
                    copies: COPIES.min(numbers.len()),
                },
                steps: VecDeque::new(),
                next: Moment::default(),
                faults_before: 0,
                last: None,
            };
            if mix.comings.is_some() && numbers.len() == 1 {
                keeper.steps = plans::growth(world, region, &mut dice);
            }
            keeper
        };
        let keepers = world.regions().into_iter().zip(&numbers).map(keeper).collect();
        // All machines have the same in the beginning.
        let file = world
            .sites()
            .first()
            .map(|site| Arc::clone(&world.machine(*site).cluster));
        Self {
            mix: mix.clone(),
            comings: mix.comings,
            dice,
            keepers,
            file: file.expect("a world has nodes"),
            next_rollout: Moment::default(),
            told: BTreeMap::new(),
            boots: Vec::new(),
            is_over: false,
        }
    }

    /// From now on changes are finished and none begun.
    pub fn begin_nothing_more(&mut self) {
        self.is_over = true;
    }

    /// Does what is due.
    pub fn act(&mut self, world: &mut World) {
        let Some(comings) = self.comings else { return };
        let now = world.now();
        for (_, site) in self.boots.extract_if(.., |(at, _)| *at <= now) {
            world.boot(site);
        }
        self.roll_out(world);
        for number in 0..self.keepers.len() {
            if now < self.keepers[number].next {
                continue;
            }
            self.keepers[number].next = Moment::after(now.elapsed() + INTERVAL);
            if let Some(step) = self.keepers[number].steps.front().cloned() {
                if self.take(world, number, step) {
                    self.keepers[number].steps.pop_front();
                }
            } else if !self.is_over && self.dice.below(INTERVALS) < comings.rate {
                self.begin(world, number, comings);
            }
        }
    }

    /// What is still to be done, when nothing new is begun.
    pub fn unfinished(&mut self, world: &World) -> Option<String> {
        self.comings?;
        for keeper in &mut self.keepers {
            if let Some(step) = keeper.steps.front() {
                let lacks = keeper.wanted.lacks(world, keeper.region).unwrap_or_default();
                return Some(format!(
                    "the nodes of {} are being changed: {step:?} {lacks}",
                    keeper.region
                ));
            }
            if let Some(lacks) = keeper.wanted.lacks(world, keeper.region) {
                keeper.steps.push_back(Step::Settle);
                return Some(lacks);
            }
        }
        if let Some(site) = self.behind(world).first() {
            return Some(format!("{site} has not read its configuration again"));
        }
        let mut removed = world.sites();
        removed.retain(|site| world.standing(*site) == Standing::Removed);
        for site in &removed {
            world.list(*site, false);
        }
        let unaware = removed.into_iter().find(|site| {
            let context = world.context(*site);
            context.is_some_and(|context| context.groups.expelled().is_none())
        });
        unaware.map(|site| format!("{site} was removed and does not know it"))
    }

    // --- the file

    /// The nodes that have not read the present file.
    fn behind(&self, world: &World) -> Vec<Site> {
        let mut sites = world.sites();
        // What was removed may refuse it, for the sake of members that it knows.
        sites.retain(|site| world.standing(*site) != Standing::Removed);
        sites.retain(|site| {
            let is_old = |cluster: &Arc<ClusterConfig>| !Arc::ptr_eq(cluster, &self.file);
            is_old(&world.machine(*site).cluster)
                || world.configuration(*site).is_some_and(|found| is_old(&found))
        });
        sites
    }

    fn roll_out(&mut self, world: &mut World) {
        let now = world.now();
        if now < self.next_rollout {
            return;
        }
        self.next_rollout = Moment::after(now.elapsed() + self.dice.around(ROLLOUT_PAUSE));
        let due = |site: &Site| self.told.get(site).is_none_or(|told| *told <= now);
        let behind: Vec<Site> = self.behind(world).into_iter().filter(due).collect();
        if behind.is_empty() {
            return;
        }
        let site = *self.dice.pick(&behind);
        let was_told = Arc::ptr_eq(&world.machine(site).cluster, &self.file);
        world.configure(site, &self.file);
        let again = now.elapsed() + ROLLOUT_PATIENCE;
        self.told.insert(site, Moment::after(again));
        let is_starting = world.is_up(site) && world.context(site).is_none();
        if was_told && is_starting && !world.is_stopping(site) {
            world.stop(site);
            self.boots.push((Moment::after(now.elapsed() + DOWN), site));
        }
    }

    fn write_file(&mut self, number: usize, numbers: BTreeSet<u64>) {
        let keeper = &mut self.keepers[number];
        keeper.wanted.copies = COPIES.min(numbers.len());
        keeper.numbers = numbers;
        let all: Vec<BTreeSet<u64>> = self.keepers.iter().map(|keeper| keeper.numbers.clone()).collect();
        self.file = Arc::new(self.mix.cluster(&all));
        self.told.clear();
    }

    // --- changes

    fn begin(&mut self, world: &World, number: usize, comings: Comings) {
        let keeper = &mut self.keepers[number];
        let plan = plans::draw(
            world,
            keeper.region,
            &keeper.numbers,
            &keeper.wanted,
            comings,
            &mut self.dice,
        );
        if plan.is_empty() {
            return;
        }
        keeper.faults_before = world.faults_in(keeper.region);
        keeper.last = None;
        world
            .recorder()
            .event(format!("the nodes of {} are to change: {plan:?}", keeper.region));
        keeper.steps = plan;
    }

    /// Takes a step; true when the next one may be taken.
    fn take(&mut self, world: &mut World, number: usize, step: Step) -> bool {
        let region = self.keepers[number].region;
        match step {
            Step::File(numbers) => self.write_file(number, numbers),
            Step::Rolled => return self.behind(world).iter().all(|site| site.region != region),
            Step::Prepare(site) => return self.prepare(world, site),
            Step::Want(site, role) => {
                let roles = &mut self.keepers[number].wanted.roles;
                let standing = match role {
                    Some(role) => {
                        roles.insert(site, role);
                        Some(Standing::Member)
                    }
                    None => {
                        roles.remove(&site);
                        (world.standing(site) == Standing::Member).then_some(Standing::Removed)
                    }
                };
                if let Some(standing) = standing {
                    world.set_standing(site, standing);
                }
            }
            Step::List(site, is_listed) => world.list(site, is_listed),
            Step::Settle => return self.settle(world, number),
            Step::Mistake(site, verb) => {
                if let Some(asked) = self.somebody(world, region) {
                    self.command(world, asked, site, verb);
                }
            }
            Step::Lose(site) => {
                world.crash(site, self.dice.below(CRASH_STEPS_MAX));
                world.replace_disk(site);
                world.set_standing(site, Standing::Spare);
            }
            Step::Crash(site) => {
                if world.is_up(site) {
                    world.crash(site, self.dice.below(CRASH_STEPS_MAX));
                    let back = world.now().elapsed() + self.dice.around(DOWN);
                    self.boots.push((Moment::after(back), site));
                }
            }
            Step::Retire(site) => {
                world.list(site, false);
                if self.dice.percent(50) {
                    world.stop(site);
                } else {
                    world.crash(site, self.dice.below(CRASH_STEPS_MAX));
                }
                world.set_standing(site, Standing::Spare);
            }
            Step::Rest(time) => {
                let keeper = &mut self.keepers[number];
                keeper.next = Moment::after(world.now().elapsed() + time);
            }
            Step::Done(what) => {
                let keeper = &self.keepers[number];
                let recorder = world.recorder();
                recorder.event(format!("the nodes of {region} have changed: {what}"));
                recorder.reached(what);
                if world.faults_in(region) > keeper.faults_before && !self.is_over {
                    recorder.reached("nodes of a region changed under faults");
                }
            }
        }
        true
    }

    /// An empty disk, a clock that somebody has looked at, the file, and the process.
    fn prepare(&mut self, world: &mut World, site: Site) -> bool {
        if world.is_up(site) {
            world.crash(site, self.dice.below(CRASH_STEPS_MAX));
        }
        let machine = world.machine(site);
        machine.clock.set(0, 0);
        machine.disk.set_full(false);
        // The life of a disk is named by the second in which it begins, and must not have the name of one before.
        if world.last_life(site) >= Some(machine.clock.seconds()) {
            return false;
        }
        if world.member(site).is_some() {
            world.replace_disk(site);
        }
        world.set_standing(site, Standing::Joining);
        world.configure(site, &self.file);
        world.boot(site);
        true
    }

    /// A node of a region that serves, of those that take part, or now and then of all.
    fn somebody(&mut self, world: &World, region: RegionId) -> Option<Site> {
        let sites = match self.dice.percent(ANYWHERE_PERCENT) {
            true => world.sites_of(region),
            false => world.members_of(region),
        };
        let serves = |site: &Site| world.context(*site).is_some();
        let mut serving: Vec<Site> = sites.into_iter().filter(serves).collect();
        if serving.is_empty() {
            // Those that are to come may wait for those that are to go.
            serving = world.sites_of(region).into_iter().filter(serves).collect();
        }
        (!serving.is_empty()).then(|| *self.dice.pick(&serving))
    }

    fn settle(&mut self, world: &mut World, number: usize) -> bool {
        let keeper = &self.keepers[number];
        let region = keeper.region;
        let serves = |site: &Site| world.context(*site).is_some();
        if world.members_of(region).iter().any(serves) && keeper.wanted.lacks(world, region).is_none() {
            return true;
        }
        let pause = self.dice.around(COMMAND_PAUSE);
        self.keepers[number].next = Moment::after(world.now().elapsed() + pause);
        let Some(asked) = self.somebody(world, region) else {
            return false;
        };
        let due = due(&self.keepers[number].wanted, world, asked);
        let due = match self.keepers[number].last {
            Some(last) if self.dice.percent(REPEAT_PERCENT) => {
                world.recorder().reached("change of a node commanded again");
                Some(last)
            }
            _ => due,
        };
        if let Some((site, verb)) = due {
            self.keepers[number].last = Some((site, verb));
            self.command(world, asked, site, verb);
        }
        false
    }

    /// A command about a node, to another or to itself.
    fn command(&mut self, world: &World, asked: Site, site: Site, verb: &'static str) {
        let option = match verb {
            "remove" if self.dice.percent(FEWER_COPIES_PERCENT) => "?fewer_copies=true",
            _ => "",
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/cluster/nodes/{}/{verb}{option}", site.node))
            .body(Body::empty())
            .expect("names of nodes fit in a path");
        let (gateway, recorder) = (world.gateway(), world.recorder().clone());
        recorder.event(format!("{asked} is told to {verb} {site}{option}"));
        world.spawn_client(async move {
            let delay = Duration::from_millis(5);
            let called = gateway.call_one_of(&[asked], request, delay, PATIENCE).await;
            let (answer, situation) = match &called {
                Called::Answered(response) if response.status().is_success() => {
                    ("done".to_owned(), "change of a node agreed on")
                }
                Called::Answered(response) => {
                    let text = String::from_utf8_lossy(response.body());
                    let answer = format!("{} {text}", response.status());
                    let situation = match text.contains("may or may not") {
                        true => "change of a node of unknown outcome",
                        false => "change of a node refused",
                    };
                    (answer, situation)
                }
                Called::NotTaken => ("nobody there".to_owned(), "change of a node not taken"),
                Called::Lost => ("nothing".to_owned(), "change of a node of unknown outcome"),
            };
            recorder.event(format!("{asked} answers to {verb} {site}: {answer}"));
            recorder.reached(situation);
        });
    }
}

/// The first difference between what a node shows and what is wanted, and the command that undoes it.
fn due(wanted: &Wanted, world: &World, asked: Site) -> Option<(Site, &'static str)> {
    let shown = members_by(world, asked)?;
    let sites = world.machines_of(asked.region);
    let site_of = |node| sites.iter().copied().find(|site| site.node == node);
    let is_shown = |site: &&Site| shown.keys().any(|member| member.node == site.node);
    let missing = wanted.roles.keys().find(|site| !is_shown(site));
    // The last one can go only when another has come.
    if let (1, Some(site)) = (shown.len(), missing) {
        return Some((*site, "add"));
    }
    for (member, role) in &shown {
        let site = site_of(member.node)?;
        let is_present = world.member(site) == Some(*member);
        match wanted.roles.get(&site).filter(|_| is_present) {
            None if *role == NodeRole::Leaving => {}
            None => return Some((site, "remove")),
            Some(wanted) if wanted == role => {}
            Some(NodeRole::Drained) if *role == NodeRole::Active => return Some((site, "drain")),
            Some(_) => return Some((site, "add")),
        }
    }
    missing.map(|site| (*site, "add"))
}
