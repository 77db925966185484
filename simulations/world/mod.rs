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
pub mod time;
mod wire;

use std::collections::BTreeMap;
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
use self::time::{Anchor, SimClock};
use crate::dice::Dice;
use crate::evidence::Moment;

type Gates = BTreeMap<RegionId, mpsc::UnboundedSender<Incoming>>;

/// Where clients reach the regions; clones share it.
#[derive(Clone, Default)]
pub struct Gateway(Arc<Mutex<Gates>>);

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request from inside a process of clients, and waits for the answer as long as `patience` lasts.
    pub async fn call(
        &self,
        region: RegionId,
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
        let gate = self.gates().get(&region).cloned();
        let is_taken = gate.is_some_and(|gate| gate.send(incoming).is_ok());
        if !is_taken {
            tokio::time::sleep(delay * 2).await;
            return Called::NotTaken;
        }
        let waited = tokio::time::timeout(patience, async {
            let (due, response) = answer.await.ok()?;
            time::sleep_until(due).await;
            Some(response)
        });
        match waited.await {
            Ok(Some(response)) => Called::Answered(response),
            Ok(None) | Err(_) => Called::Lost,
        }
    }
}

/// A simulated cluster.
pub struct World {
    tick: Duration,
    now: Moment,
    machines: BTreeMap<RegionId, Machine>,
    processes: BTreeMap<RegionId, Process>,
    /// Processes that do not run until then.
    frozen: BTreeMap<RegionId, Moment>,
    clients: Runtime,
    clients_anchor: Anchor,
    gateway: Gateway,
    fabric: Fabric,
    recorder: Recorder,
    seed: u64,
    boots: u64,
    /// The number of the last boot of each region.
    lives: BTreeMap<RegionId, u64>,
}

impl World {
    /// A world whose regions have machines and no processes yet. `paths` gives the quality of each direction.
    pub fn new(
        seed: u64,
        tick: Duration,
        cluster: ClusterConfig,
        speed: DiskSpeed,
        mut paths: impl FnMut(RegionId, RegionId) -> Path,
    ) -> Self {
        time::set_outside(Moment::default());
        let recorder = Recorder::default();
        let fabric = Fabric::new(cluster.cluster, Dice::new(seed, "network"), recorder.clone());
        let cluster = Arc::new(cluster);
        let mut machines = BTreeMap::new();
        for region in cluster.regions() {
            for peer in cluster.peers_of(&region.id) {
                fabric.set_path(region.id, peer.id, paths(region.id, peer.id));
            }
            let dice = Dice::new(seed, &format!("disk of {}", region.id));
            let clock = Arc::new(SimClock::default());
            let disk = SimDisk::new(region.id, speed, dice, Arc::clone(&clock), recorder.clone());
            let machine = Machine {
                region: region.id,
                node: region.nodes()[0].id,
                cluster: Arc::clone(&cluster),
                disk: Arc::new(disk),
                clock,
                fabric: fabric.clone(),
                has_torn_tail: false,
            };
            machines.insert(region.id, machine);
        }
        let clients = process::paused_runtime();
        let clients_anchor = process::anchor_of(&clients);
        Self {
            tick,
            now: Moment::default(),
            machines,
            processes: BTreeMap::new(),
            frozen: BTreeMap::new(),
            clients,
            clients_anchor,
            gateway: Gateway::default(),
            fabric,
            recorder,
            seed,
            boots: 0,
            lives: BTreeMap::new(),
        }
    }

    /// The regions.
    pub fn regions(&self) -> Vec<RegionId> {
        self.machines.keys().copied().collect()
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

    /// The machine of a region.
    pub fn machine(&self, region: RegionId) -> &Machine {
        &self.machines[&region]
    }

    /// What the actors of a region share, while a process of it serves.
    pub fn context(&self, region: RegionId) -> Option<Arc<NodeContext>> {
        self.processes.get(&region).and_then(Process::context)
    }

    /// The actor of one of a region's partitions fails, if the region is up.
    pub fn break_down(&self, region: RegionId, partition: u64) {
        let partitions = self.processes.get(&region).and_then(Process::partitions);
        if let Some(partitions) = partitions {
            let place = usize::try_from(partition).unwrap_or_default() % partitions.len();
            self.recorder
                .event(format!("partition {place} of {region} breaks down"));
            breakdown::break_down(&partitions[place], region);
        }
    }

    /// Which life, counted over all regions, the process of a region is.
    pub fn life(&self, region: RegionId) -> Option<u64> {
        self.lives.get(&region).copied()
    }

    /// Where clients reach the regions.
    pub fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// Adds a client, or any other task of the world outside of the regions.
    pub fn spawn_client(&self, client: impl Future<Output = ()> + Send + 'static) {
        time::within(self.clients_anchor, || drop(self.clients.spawn(client)));
    }

    /// Whether a region has a process.
    pub fn is_up(&self, region: RegionId) -> bool {
        self.processes.contains_key(&region)
    }

    /// Boots the process of a region, if it has none.
    pub fn boot(&mut self, region: RegionId) {
        if self.processes.contains_key(&region) {
            return;
        }
        self.boots += 1;
        self.lives.insert(region, self.boots);
        self.recorder.booted(region);
        let machine = self
            .machines
            .get_mut(&region)
            .expect("every region has a machine");
        if machine.has_torn_tail {
            self.recorder.reached("new incarnation after a torn write");
        }
        let dice = Dice::new(self.seed, &format!("boot {} of {region}", self.boots));
        let process = Process::boot(machine, dice);
        self.gateway.gates().insert(region, process.requests());
        self.processes.insert(region, process);
    }

    /// Ends the process of a region as kill -9 and a loss of power do, `steps` into the next tick.
    pub fn crash(&mut self, region: RegionId, steps: u64) {
        let Some(process) = self.processes.remove(&region) else {
            return;
        };
        if !self.frozen.contains_key(&region) {
            self.run_into_write(region, &process);
            process.run_steps(steps);
        }
        self.bury(region, process);
        let machine = self
            .machines
            .get_mut(&region)
            .expect("every region has a machine");
        let leftover = machine.disk.crash();
        machine.has_torn_tail |= leftover == Leftover::Torn;
        self.recorder.event(format!(
            "{region} crashes; of the write under way is left: {leftover:?}"
        ));
        self.recorder.reached(match leftover {
            Leftover::None => "crash with no write under way",
            Leftover::Nothing => "crash lost the write under way",
            Leftover::Torn => "crash tore the write under way",
            Leftover::All => "crash kept the write under way, unanswered",
        });
    }

    /// Lets it run until a write is under way, or for a tick: a crash between writes teaches little.
    fn run_into_write(&self, region: RegionId, process: &Process) {
        let machine = &self.machines[&region];
        let end = Moment::after(self.now.elapsed() + self.tick);
        let mut until = self.now;
        while until < end && !machine.disk.is_writing() {
            until = Moment::after(until.elapsed() + Duration::from_millis(1));
            process.run_until(until);
        }
    }

    fn bury(&mut self, region: RegionId, process: Process) {
        self.frozen.remove(&region);
        self.gateway.gates().remove(&region);
        // Before the runtime: what is dropped with it must not look like an orderly end.
        self.fabric.crash(region);
        drop(process);
    }

    /// Asks the process of a region to stop in good order.
    pub fn stop(&mut self, region: RegionId) {
        if let Some(process) = self.processes.get_mut(&region) {
            self.recorder.event(format!("{region} is asked to stop"));
            process.ask_to_stop();
        }
    }

    /// Keeps a process from running until a moment, as SIGSTOP does.
    pub fn freeze(&mut self, region: RegionId, until: Moment) {
        if self.is_up(region) {
            self.recorder.event(format!("{region} freezes until {until}"));
            self.frozen.insert(region, until);
        }
    }

    /// Everything runs for one tick.
    pub fn step(&mut self) {
        let until = Moment::after(self.now.elapsed() + self.tick);
        self.fabric.expire();
        for region in self.regions() {
            if self.frozen.get(&region).is_some_and(|thaw| *thaw > self.now) {
                continue;
            }
            let has_thawed = self.frozen.remove(&region).is_some();
            let Some(process) = self.processes.get(&region) else {
                continue;
            };
            if has_thawed {
                process.jump_to(self.now);
            }
            process.run_until(until);
            if let Some(ended) = process.ended() {
                // What could not start has not told whether it has dealt with a torn write: the log still shows it.
                let machine = self
                    .machines
                    .get_mut(&region)
                    .expect("every region has a machine");
                machine.has_torn_tail |= ended == Ended::NotStarted && process.began_anew();
                // The next process opens the store anew, and finds there what this one could not tell whether it was made.
                let leftover = machine.disk.crash();
                machine.has_torn_tail |= leftover == Leftover::Torn;
                let process = self.processes.remove(&region).expect("it was there just now");
                self.bury(region, process);
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
    pub fn is_stopping(&self, region: RegionId) -> bool {
        self.processes.get(&region).is_some_and(Process::is_stopping)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for region in self.regions() {
            if let Some(process) = self.processes.remove(&region) {
                self.bury(region, process);
            }
        }
    }
}
