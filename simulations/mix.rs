//! What one seed draws: the cluster, the workload and the faults. Each seed leaves some of them out (swarm testing: Groce
//! et al. 2012), since faults and operations that are always there hide each other's bugs.

use std::fmt::Write as _;
use std::time::Duration;

use atoll::config::ClusterConfig;

use crate::dice::Dice;
use crate::world::disk::DiskSpeed;

/// The tick of a world: nothing between processes is faster.
pub const TICK: Duration = Duration::from_millis(5);

/// How often each operation is drawn, relative to the others.
#[derive(Debug, Clone)]
pub struct Workload {
    pub clients: u16,
    /// Records of each type that they share: few, so that they meet.
    pub keys: u64,
    /// Between two operations of a client.
    pub think: Duration,
    pub registers: u64,
    pub conditions: u64,
    pub counters: u64,
    pub sets: u64,
    pub maps: u64,
    pub siblings: u64,
    /// Of a hundred operations so many are reads.
    pub reads_percent: u64,
    /// Of a hundred operations so many are deletes.
    pub deletes_percent: u64,
    /// Of a hundred requests so many hang up early.
    pub impatient_percent: u64,
    /// Of a hundred operations so many go to another region than the one before.
    pub roaming_percent: u64,
}

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
}

/// Everything that a seed draws.
#[derive(Debug, Clone)]
pub struct Mix {
    pub seed: u64,
    pub regions: u64,
    pub partitions: u64,
    pub lanes: u64,
    pub batch_changes: u64,
    pub batch_delay_ms: u64,
    pub retention_bytes: u64,
    pub delay_ms: (u64, u64),
    pub jitter_ms: u64,
    pub loss_permille: u64,
    pub duplicate_permille: u64,
    pub disk: DiskSpeed,
    pub clock_error_ms: u64,
    pub workload: Workload,
    pub faults: Faults,
    /// How long clients and faults go on.
    pub duration: Duration,
}

const REGION_NAMES: [&str; 5] = ["ap", "eu", "sa", "us", "za"];

impl Mix {
    /// The mix of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed, "mix");
        let regions = *dice.pick(&[1, 2, 2, 3, 3, 3, 3, 4, 5]);
        let near = dice.between(5, 60);
        Self {
            seed,
            regions,
            partitions: *dice.pick(&[1, 1, 2, 4, 8]),
            lanes: dice.between(1, 4),
            batch_changes: *dice.pick(&[1, 10, 100]),
            batch_delay_ms: *dice.pick(&[1, 10, 50]),
            retention_bytes: 64 << 20,
            delay_ms: (near, near + dice.between(0, 120)),
            jitter_ms: *dice.pick(&[0, 2, 30]),
            loss_permille: *dice.pick(&[0, 0, 10, 100]),
            duplicate_permille: *dice.pick(&[0, 50, 300]),
            disk: DiskSpeed {
                write: Duration::from_millis(*dice.pick(&[0, 1, 5])),
                sync: Duration::from_millis(*dice.pick(&[1, 2, 20])),
            },
            clock_error_ms: *dice.pick(&[0, 10, 200]),
            workload: Workload::draw(&mut dice),
            faults: Faults::draw(&mut dice, regions),
            duration: Duration::from_secs(dice.between(8, 25)),
        }
    }

    /// The cluster's configuration, as a file would say it.
    pub fn cluster(&self) -> ClusterConfig {
        let mut text = format!(
            "cluster = \"simulated\"\npartitions = {}\n\n[replication]\nlanes = {}\nbatch_changes = {}\nbatch_delay_ms = {}\nlog_retention_bytes = {}\n",
            self.partitions, self.lanes, self.batch_changes, self.batch_delay_ms, self.retention_bytes
        );
        for (number, name) in REGION_NAMES
            .iter()
            .take(usize::try_from(self.regions).unwrap_or(5))
            .enumerate()
        {
            let _ = write!(
                text,
                "\n[[region]]\nid = \"{name}\"\n[[region.node]]\nid = \"{name}-1\"\nhttp = \"127.0.0.1:{}\"\nquic = \"127.0.0.1:{}\"\n",
                8100 + number,
                9100 + number
            );
        }
        ClusterConfig::parse("simulated", &text).expect("what a mix draws is a valid configuration")
    }
}

impl Workload {
    fn draw(dice: &mut Dice) -> Self {
        let mut weight = |chance| {
            if dice.percent(chance) {
                dice.between(1, 4)
            } else {
                0
            }
        };
        let mut workload = Self {
            registers: weight(70),
            conditions: weight(40),
            counters: weight(60),
            sets: weight(60),
            maps: weight(50),
            siblings: weight(40),
            clients: 0,
            keys: 0,
            think: Duration::ZERO,
            reads_percent: 0,
            deletes_percent: 0,
            impatient_percent: 0,
            roaming_percent: 0,
        };
        if workload.total() == 0 {
            workload.registers = 1;
        }
        workload.clients = u16::try_from(dice.between(1, 16)).unwrap_or(1);
        workload.keys = *dice.pick(&[1, 2, 5, 20]);
        workload.think = Duration::from_millis(*dice.pick(&[5, 50, 200]));
        workload.reads_percent = *dice.pick(&[10, 40]);
        workload.deletes_percent = *dice.pick(&[0, 5, 30]);
        workload.impatient_percent = *dice.pick(&[0, 0, 5]);
        workload.roaming_percent = *dice.pick(&[0, 5, 50]);
        workload
    }

    /// The sum of the weights of all types.
    pub fn total(&self) -> u64 {
        self.registers + self.conditions + self.counters + self.sets + self.maps + self.siblings
    }
}

impl Faults {
    fn draw(dice: &mut Dice, regions: u64) -> Self {
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
        };
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
