//! What one seed draws: the cluster, the workload and the faults. Each seed leaves some of them out (swarm testing: Groce
//! et al. 2012), since faults and operations that are always there hide each other's bugs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use atoll::config::ClusterConfig;
use atoll::model::limits;

use crate::dice::Dice;
use crate::workload::Workload;
use crate::world::disk::DiskSpeed;

/// The tick of a world that is drawn: nothing between processes is faster.
const TICK: Duration = Duration::from_millis(5);
/// Regions that are left alone settle within so long: reconnecting takes up to 10 s of silence and 5 s of backoff, stamps
/// of a clock that was wrong are refused until the others have come as far.
const SETTLE_TIME: Duration = Duration::from_secs(90);

/// Runs are shorter than what operators wait until the loss of a majority counts.
const QUORUM_LOST_MS: u64 = 4_000;

/// How often each fault is drawn, per ten seconds and region; 0 is never.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub crash: u64,
    pub restart: u64,
    pub freeze: u64,
    pub cut: u64,
    pub one_way_cut: u64,
    pub reset: u64,
    pub stall: u64,
    pub full: u64,
    pub failed_write: u64,
    pub clock: u64,
    pub pause: u64,
    pub slow: u64,
    /// Of partitions' actors.
    pub breakdown: u64,
}

/// One region cannot reach any other for a while.
#[derive(Debug, Clone, Copy)]
pub struct Isolation {
    /// Its position among the regions.
    pub region: usize,
    /// When it begins.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// How the nodes of regions come and go.
#[derive(Debug, Clone, Copy)]
pub struct Comings {
    /// How often somebody begins to change a region's nodes, per ten seconds and region.
    pub rate: u64,
    /// Regions, from the first one on, that begin with one node.
    pub grown: u64,
    /// Only this is done, again and again.
    pub only: Option<Coming>,
}

/// What somebody does about the nodes of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coming {
    /// Another node is added.
    Add,
    /// A node is drained, and maybe taken in again.
    Drain,
    /// A node is removed that keeps its disk.
    Remove,
    /// A node is removed, and another one added before.
    Replace,
    /// A node loses its disk, is removed, and comes back with an empty one.
    Empty,
    /// All nodes but one are removed.
    Shrink,
}

/// Everything that a seed draws.
#[derive(Debug, Clone)]
pub struct Mix {
    pub seed: u64,
    /// Nothing between processes is faster; delays are no shorter.
    pub tick: Duration,
    pub heartbeat_ms: u64,
    pub regions: u64,
    /// Of each region.
    pub nodes: u64,
    pub partitions: u64,
    pub lanes: u64,
    pub batch_changes: u64,
    pub batch_delay_ms: u64,
    pub retention_bytes: u64,
    /// Entries that a group's log keeps behind what is applied; with few of them nodes that were away get snapshots.
    pub raft_entries_kept: u64,
    pub delay_ms: (u64, u64),
    pub jitter_ms: u64,
    pub loss_permille: u64,
    pub duplicate_permille: u64,
    pub disk: DiskSpeed,
    pub clock_error_ms: u64,
    /// Clocks run fast or slow by up to so many parts in a million.
    pub drift_ppm: u64,
    pub workload: Workload,
    pub faults: Faults,
    /// None where regions keep the nodes that they have.
    pub comings: Option<Comings>,
    /// In named scenarios only.
    pub isolation: Option<Isolation>,
    /// How long clients and faults go on.
    pub duration: Duration,
    /// Regions that are left alone settle within so long.
    pub settle_time: Duration,
}

/// Regions of several nodes each.
const REGIONS_OF_SEVERAL_MAX: u64 = 3;

const REGION_NAMES: [&str; 5] = ["ap", "eu", "sa", "us", "za"];

impl Mix {
    /// The mix of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed, "mix");
        let regions = *dice.pick(&[1, 2, 2, 3, 3, 3, 3, 4, 5]);
        let near = dice.between(5, 60);
        Self {
            seed,
            tick: TICK,
            heartbeat_ms: 200,
            regions,
            nodes: 1,
            partitions: *dice.pick(&[1, 1, 2, 4, 8]),
            lanes: dice.between(1, 4),
            batch_changes: *dice.pick(&[1, 10, 100]),
            batch_delay_ms: *dice.pick(&[1, 10, 50]),
            retention_bytes: 64 << 20,
            raft_entries_kept: limits::RAFT_ENTRIES_KEPT,
            delay_ms: (near, near + dice.between(0, 120)),
            jitter_ms: *dice.pick(&[0, 2, 30]),
            loss_permille: *dice.pick(&[0, 0, 10, 100]),
            duplicate_permille: *dice.pick(&[0, 50, 300]),
            disk: DiskSpeed {
                write: Duration::from_millis(*dice.pick(&[0, 1, 5])),
                sync: Duration::from_millis(*dice.pick(&[1, 2, 20])),
            },
            clock_error_ms: *dice.pick(&[0, 10, 200]),
            drift_ppm: 200,
            workload: Workload::draw(&mut dice, &mut Dice::new(seed, "batches")),
            faults: Faults::draw(&mut dice, &mut Dice::new(seed, "breakdowns"), regions),
            comings: None,
            isolation: None,
            duration: Duration::from_secs(dice.between(8, 25)),
            settle_time: SETTLE_TIME,
        }
    }

    /// The mix of a seed for regions of some nodes. Of several the world is no larger than a machine can bear.
    pub fn draw_with_nodes(seed: u64, nodes: u64) -> Self {
        let mut mix = Self::draw(seed);
        if nodes > 1 {
            mix.nodes = nodes;
            mix.regions = mix.regions.min(REGIONS_OF_SEVERAL_MAX);
            mix.workload.is_alone = false;
            mix.raft_entries_kept =
                *Dice::new(seed, "raft entries kept").pick(&[8, 64, limits::RAFT_ENTRIES_KEPT]);
            if mix.regions == 1 && mix.faults.is_any() {
                mix.faults
                    .draw_inside(&mut Dice::new(seed, "faults inside a region"));
            }
            if nodes > 2 {
                mix.comings = Comings::draw(&mut Dice::new(seed, "comings"), mix.regions);
            }
        }
        mix
    }

    /// The nodes of each region in the beginning.
    pub fn first_nodes(&self) -> Vec<BTreeSet<u64>> {
        let of_region = |number| match self.comings {
            Some(comings) if number < comings.grown => [1].into(),
            _ => (1..=self.nodes).collect(),
        };
        (0..self.regions).map(of_region).collect()
    }

    /// All machines that nodes of regions may ever run on.
    pub fn machines(&self) -> ClusterConfig {
        let spare = u64::from(self.comings.is_some());
        let of_region: BTreeSet<u64> = (1..=self.nodes + spare).collect();
        self.cluster(&vec![of_region; usize::try_from(self.regions).unwrap_or(0)])
    }

    /// The cluster's configuration with these nodes in its regions, as a file would say it.
    pub fn cluster(&self, nodes: &[BTreeSet<u64>]) -> ClusterConfig {
        let mut text = format!(
            "cluster = \"simulated\"\npartitions = {}\n\n[replication]\nlanes = {}\nbatch_changes = {}\nbatch_delay_ms = {}\nheartbeat_interval_ms = {}\nlog_retention_bytes = {}\n\n[health]\nquorum_lost_ms = {QUORUM_LOST_MS}\n",
            self.partitions,
            self.lanes,
            self.batch_changes,
            self.batch_delay_ms,
            self.heartbeat_ms,
            self.retention_bytes
        );
        for (number, (name, nodes)) in REGION_NAMES.iter().zip(nodes).enumerate() {
            let _ = write!(text, "\n[[region]]\nid = \"{name}\"\n");
            for node in nodes {
                let port = 100 * node + number as u64;
                let _ = write!(
                    text,
                    "[[region.node]]\nid = \"{}\"\nhttp = \"127.0.0.1:{}\"\nquic = \"127.0.0.1:{}\"\n",
                    node_name(name, *node),
                    8000 + port,
                    9000 + port
                );
            }
        }
        ClusterConfig::parse("simulated", &text).expect("what a mix draws is a valid configuration")
    }
}

/// What a region's node of a number is called.
pub fn node_name(region: &str, number: u64) -> String {
    format!("{region}-{number}")
}

impl Comings {
    fn draw(dice: &mut Dice, regions: u64) -> Option<Self> {
        if dice.percent(25) {
            return None; // Nodes that stay are the rule.
        }
        Some(Self {
            rate: dice.between(5, 20),
            grown: if dice.percent(40) {
                dice.between(1, regions)
            } else {
                0
            },
            only: None,
        })
    }
}

impl Faults {
    fn is_any(&self) -> bool {
        self.crash + self.restart + self.freeze + self.stall + self.full + self.failed_write + self.clock > 0
    }

    /// Of the network, where there is one only inside a region.
    fn draw_inside(&mut self, dice: &mut Dice) {
        for rate in [
            &mut self.cut,
            &mut self.one_way_cut,
            &mut self.reset,
            &mut self.slow,
        ] {
            *rate = if dice.percent(50) { dice.between(1, 3) } else { 0 };
        }
    }

    fn draw(dice: &mut Dice, later: &mut Dice, regions: u64) -> Self {
        if dice.percent(8) {
            return Self::default(); // Some bugs need peace.
        }
        let mut rate = |chance, highest| {
            if dice.percent(chance) {
                dice.between(1, highest)
            } else {
                0
            }
        };
        let mut faults = Self {
            crash: rate(50, 6),
            restart: rate(25, 2),
            freeze: rate(20, 2),
            cut: rate(40, 3),
            one_way_cut: rate(30, 3),
            reset: rate(30, 6),
            stall: rate(30, 3),
            full: rate(25, 2),
            failed_write: rate(30, 4),
            clock: rate(30, 3),
            pause: rate(25, 2),
            slow: rate(25, 2),
            breakdown: 0,
        };
        // From dice of its own, so that seeds keep the mixes they had.
        if later.percent(25) {
            faults.breakdown = later.between(1, 3);
        }
        if regions == 1 {
            (
                faults.cut,
                faults.one_way_cut,
                faults.reset,
                faults.pause,
                faults.slow,
            ) = (0, 0, 0, 0, 0);
        }
        faults
    }
}
