//! The faults of a run: drawn as it goes, each undone after a while, all undone at the end.

use std::time::Duration;

use atoll::model::ids::RegionId;
use atoll::storage::FailedWrite;
use axum::body::Body;
use axum::http::{Method, Request};

use crate::dice::Dice;
use crate::evidence::Moment;
use crate::mix::{Faults, Isolation, Mix};
use crate::world::World;
use crate::world::breakdown::DELIBERATE;
use crate::world::path::Path;
use crate::world::site::Site;

/// How often faults are considered.
const INTERVAL: Duration = Duration::from_millis(100);
/// Intervals in ten seconds: the unit of the rates.
const INTERVALS: u64 = 100;
/// Scheduler steps into a tick at which a crash may fall.
const CRASH_STEPS_MAX: u64 = 60;
/// Of a hundred crashes so many take other nodes of the region along.
const MORE_NODES_PERCENT: u64 = 25;
/// A clock is set wrong by up to so much in the wild phase, which is beyond the bound of 500 ms.
const CLOCK_JUMP_MS_MAX: u64 = 1500;

/// What undoes a fault.
#[derive(Debug, Clone, Copy)]
enum Remedy {
    Boot(Site),
    Heal(Site, Site),
    Empty(Site),
    Resume(Site, RegionId),
    Path(Site, Site, Path),
}

/// Draws and undoes faults.
pub struct Chaos {
    dice: Dice,
    faults: Faults,
    /// Of each region: they share its rates.
    nodes: u64,
    clock_error_ms: u64,
    drift_ppm: u64,
    isolation: Option<Isolation>,
    next: Moment,
    remedies: Vec<(Moment, Remedy)>,
    normal: Vec<((Site, Site), Path)>,
}

impl Chaos {
    /// The faults of a mix. `normal` are the paths as they are without faults.
    pub fn new(mix: &Mix, normal: Vec<((Site, Site), Path)>) -> Self {
        Self {
            dice: Dice::new(mix.seed, "chaos"),
            faults: mix.faults.clone(),
            nodes: mix.nodes,
            clock_error_ms: mix.clock_error_ms,
            drift_ppm: mix.drift_ppm,
            isolation: mix.isolation,
            next: Moment::default(),
            remedies: Vec::new(),
            normal,
        }
    }

    /// Clocks are never quite right.
    pub fn set_clocks(&mut self, world: &World) {
        for site in world.sites() {
            let (offset, drift) = (self.small_error(), self.drift());
            world.machine(site).clock.set(offset, drift);
        }
    }

    fn small_error(&mut self) -> i64 {
        signed(self.dice.between(0, 2 * self.clock_error_ms)) - signed(self.clock_error_ms)
    }

    fn drift(&mut self) -> i64 {
        signed(self.dice.between(0, 2 * self.drift_ppm)) - signed(self.drift_ppm)
    }

    /// Does what is due.
    pub fn act(&mut self, world: &mut World) {
        let now = world.now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.remedies)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.remedies = later;
        for (_, remedy) in due {
            self.undo(world, remedy);
        }
        self.isolate(world);
        if now < self.next {
            return;
        }
        self.next = Moment::after(now.elapsed() + INTERVAL);
        for site in world.sites() {
            self.strike(world, site);
        }
    }

    fn isolate(&mut self, world: &World) {
        let is_due = |isolation: &mut Isolation| isolation.from <= world.now().elapsed();
        let Some(isolation) = self.isolation.take_if(is_due) else {
            return;
        };
        let region = world.regions()[isolation.region];
        world.recorder().reached("link cut off by its scenario");
        for site in world.sites_of(region) {
            for peer in world.sites().into_iter().filter(|peer| peer.region != region) {
                for (from, to) in [(site, peer), (peer, site)] {
                    world.fabric().set_cut(from, to, true);
                    let heals = Moment::after(isolation.until);
                    self.remedies.push((heals, Remedy::Heal(from, to)));
                }
            }
        }
    }

    fn is_drawn(&mut self, rate: u64) -> bool {
        rate > 0 && self.dice.below(INTERVALS * self.nodes) < rate
    }

    fn later(&mut self, world: &World, longest: Duration, remedy: Remedy) {
        let at = Moment::after(world.now().elapsed() + self.dice.around(longest / 3));
        self.remedies.push((at, remedy));
    }

    fn strike(&mut self, world: &mut World, site: Site) {
        let faults = self.faults.clone();
        if self.is_drawn(faults.crash) && world.is_up(site) {
            for site in self.some_with(world, site) {
                let steps = self.dice.below(CRASH_STEPS_MAX);
                world.crash(site, steps);
                self.later(world, Duration::from_secs(6), Remedy::Boot(site));
            }
        }
        if self.is_drawn(faults.restart) && world.is_up(site) {
            world.stop(site);
            self.later(world, Duration::from_secs(6), Remedy::Boot(site));
        }
        if self.is_drawn(faults.freeze) {
            let until = world.now().elapsed() + self.dice.around(Duration::from_secs(3));
            world.freeze(site, Moment::after(until));
            world.recorder().reached("process frozen");
        }
        if self.is_drawn(faults.breakdown) {
            let partition = self.dice.below(u64::MAX);
            world.break_down(site, partition);
        }
        self.strike_disk(world, site, &faults);
        if self.is_drawn(faults.clock) {
            let offset = signed(self.dice.between(0, 2 * CLOCK_JUMP_MS_MAX)) - signed(CLOCK_JUMP_MS_MAX);
            let drift = self.drift();
            world
                .recorder()
                .event(format!("the clock of {site} is set wrong by {offset} ms"));
            world.recorder().reached("clock jumped");
            world.machine(site).clock.set(offset, drift);
        }
        let peers: Vec<Site> = world.sites().into_iter().filter(|peer| *peer != site).collect();
        if !peers.is_empty() {
            let peer = *self.dice.pick(&peers);
            self.strike_network(world, site, peer, &faults);
        }
    }

    /// The node, and now and then others of its region that are up.
    fn some_with(&mut self, world: &World, site: Site) -> Vec<Site> {
        let mut struck = vec![site];
        if self.nodes > 1 && self.dice.percent(MORE_NODES_PERCENT) {
            let others = world.sites_of(site.region).into_iter();
            let others = others.filter(|other| *other != site && world.is_up(*other));
            let more = usize::try_from(self.dice.between(1, self.nodes - 1)).unwrap_or(1);
            struck.extend(others.take(more));
        }
        struck
    }

    /// The directions that a cut between two nodes takes along: of a region of several nodes now and then a node loses all
    /// others of its region, or all others at all, or its region loses another region.
    fn cut_with(&mut self, world: &World, site: Site, peer: Site) -> Vec<(Site, Site)> {
        if self.nodes == 1 {
            return vec![(site, peer)];
        }
        let sites = world.sites();
        let others = sites.iter().copied().filter(|other| *other != site);
        match self.dice.below(4) {
            0 => vec![(site, peer)],
            1 => others
                .filter(|other| other.region == site.region)
                .map(|other| (site, other))
                .collect(),
            2 => others.map(|other| (site, other)).collect(),
            _ => {
                let ours = world.sites_of(site.region).into_iter();
                let pairs = ours.flat_map(|ours| {
                    let theirs = sites.iter().filter(|other| other.region == peer.region);
                    theirs.map(move |theirs| (ours, *theirs))
                });
                pairs.filter(|(one, other)| one != other).collect()
            }
        }
    }

    fn strike_disk(&mut self, world: &World, site: Site, faults: &Faults) {
        let disk = &world.machine(site).disk;
        if self.is_drawn(faults.stall) {
            let time = self.dice.around(Duration::from_millis(700));
            world
                .recorder()
                .event(format!("the disk of {site} stalls for {} ms", time.as_millis()));
            world.recorder().reached("disk stalled");
            disk.stall_until(Moment::after(world.now().elapsed() + time));
        }
        if self.is_drawn(faults.full) {
            world.recorder().event(format!("the disk of {site} is full"));
            disk.set_full(true);
            self.later(world, Duration::from_secs(5), Remedy::Empty(site));
        }
        if self.is_drawn(faults.failed_write) {
            let outcome = *self.dice.pick(&[FailedWrite::Lost, FailedWrite::Landed]);
            disk.fail_next_write(outcome);
        }
    }

    fn strike_network(&mut self, world: &World, site: Site, peer: Site, faults: &Faults) {
        let fabric = world.fabric();
        if self.is_drawn(faults.cut) {
            world.recorder().reached("link cut in both directions");
            for (one, other) in self.cut_with(world, site, peer) {
                for (from, to) in [(one, other), (other, one)] {
                    fabric.set_cut(from, to, true);
                    self.later(world, Duration::from_secs(20), Remedy::Heal(from, to));
                }
            }
        }
        if self.is_drawn(faults.one_way_cut) {
            world.recorder().reached("link cut in one direction");
            for (from, to) in self.cut_with(world, site, peer) {
                fabric.set_cut(from, to, true);
                self.later(world, Duration::from_secs(20), Remedy::Heal(from, to));
            }
        }
        if self.is_drawn(faults.reset) {
            world.recorder().reached("connections broken");
            fabric.reset(site, peer);
        }
        if self.is_drawn(faults.pause) && site.region != peer.region {
            world.recorder().reached("link paused");
            self.command(world, site, peer.region, "pause");
            self.later(world, Duration::from_secs(15), Remedy::Resume(site, peer.region));
        }
        if self.is_drawn(faults.slow) {
            world.recorder().reached("link slow");
            let normal = self.normal_path(site, peer);
            let slow = Path {
                loss_permille: 200,
                bytes_per_second: Some(20_000),
                delay: normal.delay * 3,
                ..normal
            };
            fabric.set_path(site, peer, slow);
            self.later(world, Duration::from_secs(15), Remedy::Path(site, peer, normal));
        }
    }

    fn normal_path(&self, from: Site, to: Site) -> Path {
        let found = self.normal.iter().find(|(ends, _)| *ends == (from, to));
        found.expect("every direction has a path").1
    }

    /// An operator's call to a node. An answer is not waited for: if the node is down, nothing happens.
    fn command(&mut self, world: &World, site: Site, peer: RegionId, verb: &'static str) {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/cluster/links/{peer}/{verb}"))
            .body(Body::empty())
            .expect("names of regions fit in a path");
        let gateway = world.gateway();
        world
            .recorder()
            .event(format!("{site} is told to {verb} its link to {peer}"));
        world.spawn_client(async move {
            let delay = Duration::from_millis(5);
            let patience = Duration::from_secs(5);
            let _ = gateway.call_one_of(&[site], request, delay, patience).await;
        });
    }

    fn undo(&mut self, world: &mut World, remedy: Remedy) {
        match remedy {
            // One that is still stopping boots when it has stopped.
            Remedy::Boot(site) if world.is_stopping(site) => {
                self.later(world, Duration::from_secs(1), Remedy::Boot(site));
            }
            Remedy::Boot(site) => world.boot(site),
            Remedy::Heal(from, to) => world.fabric().set_cut(from, to, false),
            Remedy::Empty(site) => {
                world
                    .recorder()
                    .event(format!("the disk of {site} has room again"));
                world.machine(site).disk.set_full(false);
            }
            Remedy::Resume(site, peer) => self.command(world, site, peer, "resume"),
            Remedy::Path(from, to, path) => world.fabric().set_path(from, to, path),
        }
    }

    /// Undoes every fault.
    pub fn heal(&mut self, world: &mut World) {
        world.recorder().event("everything is healed");
        self.remedies.clear();
        for ((from, to), normal) in self.normal.clone() {
            world.fabric().set_cut(from, to, false);
            let good = Path {
                loss_permille: 0,
                duplicate_permille: 0,
                ..normal
            };
            world.fabric().set_path(from, to, good);
        }
        for site in world.sites() {
            world.machine(site).disk.set_full(false);
            let offset = self.small_error();
            world.machine(site).clock.set(offset.clamp(-100, 100), 0);
        }
        self.tend(world);
    }

    /// Boots what is down and resumes what is paused: what an operator does until all is well.
    pub fn tend(&mut self, world: &mut World) {
        for site in world.sites() {
            if world.is_stopping(site) {
                continue;
            }
            if !world.is_up(site) {
                world.boot(site);
                continue;
            }
            let Some(context) = world.context(site) else {
                continue;
            };
            if context.failures.restarts() > 0 {
                world.recorder().reached("partition started again");
            }
            // What broke down too often is not started again by itself.
            let partitions = &context.partitions;
            let has_given_up = |partition| partitions.read(partition, |view| view.stopped.clone());
            let given_up = partitions.ids().find_map(has_given_up);
            if given_up.is_some_and(|why| why.contains(DELIBERATE)) {
                world.recorder().reached("partition given up");
                world.stop(site);
                continue;
            }
            for peer in context.peers.iter().filter(|peer| peer.is_paused()) {
                self.command(world, site, peer.region(), "resume");
            }
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
