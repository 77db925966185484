//! A whole cluster in one thread: machines with disks and clocks, their processes, the network between them, and clients,
//! all on one simulated time.
//!
//! The driver lets every process run for one tick after the other, always in the same order. What goes from one to
//! another takes a tick at least, so that nobody hears of what is still to come (the lookahead of conservative parallel
//! simulation: Chandy and Misra 1979). Inside a process tokio's paused clock jumps from timer to timer.

pub mod breakdown;
pub mod disk;
pub mod network;
pub mod path;
pub mod process;
pub mod recorder;
pub mod site;
mod standings;
pub mod time;
mod wire;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atoll::actors::context::NodeContext;
use atoll::config::ClusterConfig;
use atoll::model::ids::RegionId;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use self::disk::{DiskSpeed, Leftover, SimDisk};
use self::network::Fabric;
use self::path::Path;
use self::process::{Ended, Incoming, Machine, Process};
use self::recorder::Recorder;
use self::site::Site;
use self::time::{Anchor, SimClock};
use crate::dice::Dice;
use crate::evidence::Moment;

type Gates = BTreeMap<Site, mpsc::UnboundedSender<Incoming>>;

/// What a machine is to its region, as whoever runs it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody uses it.
    Spare,
    /// It runs, and is to be added.
    Joining,
    /// The region has it, or is to have it.
    Member,
    /// It was removed, or is to be, and still runs.
    Removed,
}

/// A process counts no more reloads.
const RELOADS_MAX: u64 = 1_000;

/// How often a client goes to another node of a region, of a hundred requests.
const ELSEWHERE_PERCENT: u64 = 5;

/// Where somebody reaches the regions: at one node of each, until that does not answer, or now and then at another. Clones
/// share it.
#[derive(Clone)]
pub struct Gateway {
    gates: Arc<Mutex<Gates>>,
    habits: Arc<Mutex<Habits>>,
    /// The nodes that clients know.
    listed: Arc<Mutex<BTreeSet<Site>>>,
}

/// To which nodes somebody goes.
struct Habits {
    dice: Dice,
    nodes: BTreeMap<RegionId, Vec<Site>>,
}

impl Habits {
    /// The nodes of a region that are known, in the order in which they are tried.
    fn order(&mut self, region: RegionId, listed: &BTreeSet<Site>) -> Vec<Site> {
        let Some(nodes) = self.nodes.get_mut(&region) else {
            return Vec::new();
        };
        if nodes.len() > 1 && self.dice.percent(ELSEWHERE_PERCENT) {
            nodes.rotate_left(1);
        }
        let known = nodes.iter().filter(|site| listed.contains(site));
        known.copied().collect()
    }

    /// One did not answer: the next time another one is asked first.
    fn leave(&mut self, site: Site, listed: &BTreeSet<Site>) {
        if let Some(nodes) = self.nodes.get_mut(&site.region)
            && let Some(first) = nodes.iter().position(|node| listed.contains(node))
            && nodes[first] == site
        {
            nodes.rotate_left(first + 1);
        }
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Called {
    /// It was answered.
    Answered(Response<Bytes>),
    /// Nobody listens there: it was not taken.
    NotTaken,
    /// No answer came in time, or the connection broke.
    Lost,
}

impl Gateway {
    fn gates(&self) -> std::sync::MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn habits(&self) -> std::sync::MutexGuard<'_, Habits> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listed(&self) -> std::sync::MutexGuard<'_, BTreeSet<Site>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request from inside a process of clients, and waits for the answer as long as `patience` lasts.
    pub async fn call(
        &self,
        region: RegionId,
        request: Request<Body>,
        delay: Duration,
        patience: Duration,
    ) -> Called {
        let order = self.habits().order(region, &self.listed());
        self.call_one_of(&order, request, delay, patience).await
    }

    /// Sends a request to the first of some nodes that listens.
    pub async fn call_one_of(
        &self,
        order: &[Site],
        request: Request<Body>,
        delay: Duration,
        patience: Duration,
    ) -> Called {
        let (reply, answer) = oneshot::channel();
        let (_patient, hung_up) = oneshot::channel();
        let incoming = Incoming {
            due: Moment::after(time::now().elapsed() + delay),
            request,
            back: delay,
            reply,
            hung_up,
        };
        let Some(taken_by) = self.knock(order, incoming) else {
            tokio::time::sleep(delay * 2).await;
            return Called::NotTaken;
        };
        let waited = tokio::time::timeout(patience, async {
            let (due, response) = answer.await.ok()?;
            time::sleep_until(due).await;
            Some(response)
        });
        match waited.await {
            Ok(Some(response)) => Called::Answered(response),
            Ok(None) | Err(_) => {
                self.habits().leave(taken_by, &self.listed());
                Called::Lost
            }
        }
    }

    /// The first that takes it.
    fn knock(&self, order: &[Site], incoming: Incoming) -> Option<Site> {
        let mut incoming = Some(incoming);
        for site in order {
            let gate = self.gates().get(site).cloned();
            let Some(gate) = gate else {
                continue;
            };
            match gate.send(incoming.take()?) {
                Ok(()) => return Some(*site),
                Err(returned) => incoming = Some(returned.0),
            }
        }
        None
    }
}

/// A simulated cluster.
pub struct World {
    tick: Duration,
    now: Moment,
    machines: BTreeMap<Site, Machine>,
    standings: BTreeMap<Site, Standing>,
    processes: BTreeMap<Site, Process>,
    /// Processes that do not run until then.
    frozen: BTreeMap<Site, Moment>,
    clients: Runtime,
    clients_anchor: Anchor,
    gates: Arc<Mutex<Gates>>,
    listed: Arc<Mutex<BTreeSet<Site>>>,
    /// How many have been given a way to the regions.
    gateways: Cell<u64>,
    fabric: Fabric,
    recorder: Recorder,
    seed: u64,
    boots: u64,
    /// The number of the last boot of each node.
    lives: BTreeMap<Site, u64>,
    speed: DiskSpeed,
    /// How many disks were replaced.
    disks_replaced: u64,
    /// By which second the lives of lost disks were named, of each machine the last.
    last_lives: BTreeMap<Site, u64>,
    /// What has befallen the nodes of each region.
    faults: BTreeMap<RegionId, u64>,
}

impl World {
    /// A world whose nodes have machines and no processes yet. `machines` names them all, `cluster` those of them that nodes
    /// run on at first, which it is the configuration of. `paths` gives the quality of each direction.
    pub fn new(
        seed: u64,
        tick: Duration,
        (machines, cluster): (&ClusterConfig, ClusterConfig),
        speed: DiskSpeed,
        raft_entries_kept: u64,
        mut paths: impl FnMut(Site, Site) -> Path,
    ) -> Self {
        time::set_outside(Moment::default());
        let recorder = Recorder::default();
        let sites = sites_of(machines);
        let may_change = sites.len() != sites_of(&cluster).len();
        let standings = sites.iter().map(|site| match cluster.node(&site.node) {
            Ok(_) => (*site, Standing::Member),
            Err(_) => (*site, Standing::Spare),
        });
        let standings: BTreeMap<Site, Standing> = standings.collect();
        let first = sites.iter().copied();
        let listed = first.filter(|site| standings[site] == Standing::Member).collect();
        let dice = Dice::new(seed, "network");
        let fabric = Fabric::new(cluster.cluster, sites.iter().copied(), dice, recorder.clone());
        let cluster = Arc::new(cluster);
        let clocks: BTreeMap<Site, Arc<SimClock>> =
            sites.iter().map(|site| (*site, Arc::default())).collect();
        let mut machines = BTreeMap::new();
        for site in &sites {
            for peer in sites.iter().filter(|peer| *peer != site) {
                fabric.set_path(*site, *peer, paths(*site, *peer));
            }
            let dice = Dice::new(seed, &format!("disk of {site}"));
            let clock = Arc::clone(&clocks[site]);
            let of_region = clocks.iter().filter(|(other, _)| other.region == site.region);
            let of_region = of_region.map(|(_, clock)| Arc::clone(clock)).collect();
            let disk = SimDisk::new(*site, speed, dice, of_region, recorder.clone());
            let machine = Machine {
                site: *site,
                cluster: Arc::clone(&cluster),
                disk: Arc::new(disk),
                clock,
                fabric: fabric.clone(),
                has_torn_tail: false,
                raft_entries_kept,
                may_change,
            };
            machines.insert(*site, machine);
        }
        let clients = process::paused_runtime();
        let clients_anchor = process::anchor_of(&clients);
        Self {
            tick,
            now: Moment::default(),
            machines,
            standings,
            processes: BTreeMap::new(),
            frozen: BTreeMap::new(),
            clients,
            clients_anchor,
            gates: Arc::default(),
            listed: Arc::new(Mutex::new(listed)),
            gateways: Cell::new(0),
            fabric,
            recorder,
            seed,
            boots: 0,
            lives: BTreeMap::new(),
            speed,
            disks_replaced: 0,
            last_lives: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    /// The regions.
    pub fn regions(&self) -> Vec<RegionId> {
        let regions: BTreeSet<RegionId> = self.machines.keys().map(|site| site.region).collect();
        regions.into_iter().collect()
    }

    /// All nodes that somebody runs.
    pub fn sites(&self) -> Vec<Site> {
        let used = self
            .standings
            .iter()
            .filter(|(_, standing)| **standing != Standing::Spare);
        used.map(|(site, _)| *site).collect()
    }

    /// The nodes of a region that somebody runs.
    pub fn sites_of(&self, region: RegionId) -> Vec<Site> {
        self.sites()
            .into_iter()
            .filter(|site| site.region == region)
            .collect()
    }

    /// The nodes that take part in a region, or are to.
    pub fn members_of(&self, region: RegionId) -> Vec<Site> {
        let is_member = |site: &Site| self.standing(*site) == Standing::Member;
        self.sites_of(region).into_iter().filter(is_member).collect()
    }

    /// The machines of a region, used or not.
    pub fn machines_of(&self, region: RegionId) -> Vec<Site> {
        let sites = self.machines.keys().filter(|site| site.region == region);
        sites.copied().collect()
    }

    /// The true time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Who sees everything.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The network.
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// The machine of a node.
    pub fn machine(&self, site: Site) -> &Machine {
        &self.machines[&site]
    }

    /// What the actors of a node share, while a process of it serves.
    pub fn context(&self, site: Site) -> Option<Arc<NodeContext>> {
        self.processes.get(&site).and_then(Process::context)
    }

    /// What the actors of some node of a region share, if one serves.
    pub fn context_in(&self, region: RegionId) -> Option<Arc<NodeContext>> {
        let sites = self.sites_of(region);
        sites.into_iter().find_map(|site| self.context(site))
    }

    /// The actor of one of a node's partitions fails, if the node is up.
    pub fn break_down(&self, site: Site, partition: u64) {
        let partitions = self.processes.get(&site).and_then(Process::partitions);
        if let Some(partitions) = partitions {
            let place = usize::try_from(partition).unwrap_or_default() % partitions.len();
            self.recorder
                .event(format!("partition {place} of {site} breaks down"));
            breakdown::break_down(&partitions[place], site.region);
        }
    }

    /// Which life, counted over all nodes, the parts of a node are: a process makes them anew with each configuration.
    pub fn life(&self, site: Site) -> Option<u64> {
        let reloads = self.processes.get(&site).map_or(0, Process::reloads);
        Some(*self.lives.get(&site)? * RELOADS_MAX + reloads.min(RELOADS_MAX - 1))
    }

    /// A way to the regions for somebody.
    pub fn gateway(&self) -> Gateway {
        let number = self.gateways.replace(self.gateways.get() + 1);
        let mut dice = Dice::new(self.seed, &format!("gateway {number}"));
        let mut nodes: BTreeMap<RegionId, Vec<Site>> = BTreeMap::new();
        for site in self.machines.keys() {
            nodes.entry(site.region).or_default().push(*site);
        }
        for nodes in nodes.values_mut() {
            let first = dice.below(nodes.len() as u64);
            nodes.rotate_left(usize::try_from(first).unwrap_or_default());
        }
        Gateway {
            gates: Arc::clone(&self.gates),
            habits: Arc::new(Mutex::new(Habits { dice, nodes })),
            listed: Arc::clone(&self.listed),
        }
    }

    /// Adds a client, or any other task of the world outside of the regions.
    pub fn spawn_client(&self, client: impl Future<Output = ()> + Send + 'static) {
        time::within(self.clients_anchor, || drop(self.clients.spawn(client)));
    }

    /// Whether a node has a process.
    pub fn is_up(&self, site: Site) -> bool {
        self.processes.contains_key(&site)
    }

    /// Boots the process of a node, if it has none.
    pub fn boot(&mut self, site: Site) {
        if self.processes.contains_key(&site) || self.standing(site) == Standing::Spare {
            return;
        }
        self.boots += 1;
        self.lives.insert(site, self.boots);
        self.recorder.booted(site);
        let machine = self.machines.get_mut(&site).expect("every node has a machine");
        if machine.has_torn_tail {
            self.recorder.reached("new incarnation after a torn write");
        }
        let dice = Dice::new(self.seed, &format!("boot {} of {site}", self.boots));
        let process = Process::boot(machine, dice);
        self.gates().insert(site, process.requests());
        self.processes.insert(site, process);
    }

    fn gates(&self) -> std::sync::MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process of a node as kill -9 and a loss of power do, `steps` into the next tick.
    pub fn crash(&mut self, site: Site, steps: u64) {
        let Some(process) = self.processes.remove(&site) else {
            return;
        };
        self.note_fault(site.region);
        if !self.frozen.contains_key(&site) {
            self.run_into_write(site, &process);
            process.run_steps(steps);
        }
        self.bury(site, process);
        let machine = self.machines.get_mut(&site).expect("every node has a machine");
        let leftover = machine.disk.crash();
        machine.note(leftover);
        self.recorder.event(format!(
            "{site} crashes; of the write under way is left: {leftover:?}"
        ));
        self.recorder.reached(match leftover {
            Leftover::None => "crash with no write under way",
            Leftover::Nothing => "crash lost the write under way",
            Leftover::Torn => "crash tore the write under way",
            Leftover::All => "crash kept the write under way, unanswered",
        });
    }

    /// Lets it run until a write is under way, or for a tick: a crash between writes teaches little.
    fn run_into_write(&self, site: Site, process: &Process) {
        let machine = &self.machines[&site];
        let end = Moment::after(self.now.elapsed() + self.tick);
        let mut until = self.now;
        while until < end && !machine.disk.is_writing() {
            until = Moment::after(until.elapsed() + Duration::from_millis(1));
            process.run_until(until);
        }
    }

    fn bury(&mut self, site: Site, process: Process) {
        self.frozen.remove(&site);
        self.gates().remove(&site);
        // Before the runtime: what is dropped with it must not look like an orderly end.
        self.fabric.crash(site);
        drop(process);
    }

    /// Asks the process of a node to stop in good order.
    pub fn stop(&mut self, site: Site) {
        if let Some(process) = self.processes.get_mut(&site) {
            self.recorder.event(format!("{site} is asked to stop"));
            process.ask_to_stop();
        }
    }

    /// Keeps a process from running until a moment, as SIGSTOP does.
    pub fn freeze(&mut self, site: Site, until: Moment) {
        if self.is_up(site) {
            self.note_fault(site.region);
            self.recorder.event(format!("{site} freezes until {until}"));
            self.frozen.insert(site, until);
        }
    }

    /// Everything runs for one tick.
    pub fn step(&mut self) {
        let until = Moment::after(self.now.elapsed() + self.tick);
        self.fabric.expire();
        for site in self.processes.keys().copied().collect::<Vec<_>>() {
            if self.frozen.get(&site).is_some_and(|thaw| *thaw > self.now) {
                continue;
            }
            let has_thawed = self.frozen.remove(&site).is_some();
            let Some(process) = self.processes.get(&site) else {
                continue;
            };
            if has_thawed {
                process.jump_to(self.now);
            }
            process.run_until(until);
            if let Some(ended) = process.ended() {
                // What could not start has not told whether it has dealt with a torn write: the log still shows it.
                let machine = self.machines.get_mut(&site).expect("every node has a machine");
                machine.has_torn_tail |= ended == Ended::NotStarted && process.began_anew();
                // The next process opens the store anew, and finds there what this one could not tell whether it was made.
                let leftover = machine.disk.crash();
                machine.note(leftover);
                let process = self.processes.remove(&site).expect("it was there just now");
                self.bury(site, process);
            }
        }
        let instant = self.clients_anchor.instant + until.elapsed();
        time::within(self.clients_anchor, || {
            self.clients
                .block_on(async { tokio::time::sleep_until(instant).await });
        });
        self.now = until;
        time::set_outside(until);
    }

    /// Whether a process was asked to stop and has not yet.
    pub fn is_stopping(&self, site: Site) -> bool {
        self.processes.get(&site).is_some_and(Process::is_stopping)
    }
}

/// All nodes of a cluster.
pub fn sites_of(cluster: &ClusterConfig) -> Vec<Site> {
    let mut sites = Vec::new();
    for region in cluster.regions() {
        let nodes = region.nodes();
        sites.extend(nodes.iter().map(|node| Site {
            region: region.id,
            node: node.id,
            is_alone: nodes.len() == 1,
        }));
    }
    sites.sort_unstable();
    sites
}

impl Drop for World {
    fn drop(&mut self) {
        for site in self.processes.keys().copied().collect::<Vec<_>>() {
            if let Some(process) = self.processes.remove(&site) {
                self.bury(site, process);
            }
        }
    }
}
