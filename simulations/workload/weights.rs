//! How much of what clients do: drawn for each run, since operations that are always there hide each other's bugs (swarm
//! testing: Groce et al. 2012).

use std::time::Duration;

use crate::dice::Dice;

/// How often each operation is drawn, relative to the others.
#[derive(Debug, Clone)]
pub struct Workload {
    pub clients: u16,
    /// Records of each type that they share: few, so that they meet.
    pub keys: u64,
    /// Length of what is put into registers, at least.
    pub value_bytes: usize,
    /// Between two operations of a client.
    pub think: Duration,
    pub registers: u64,
    pub conditions: u64,
    pub counters: u64,
    pub sets: u64,
    pub maps: u64,
    pub siblings: u64,
    /// Registers of a namespace with a home region, at `strong`.
    pub strong: u64,
    /// All writes of that namespace are made by its home, whatever their level.
    pub home_writes: bool,
    /// Regions have one node each, so that what one node shows is what its region shows.
    pub is_alone: bool,
    /// How often its home is moved, in ten seconds; 0 is never.
    pub hand_overs: u64,
    /// Several writes to records with a common tag, all or none.
    pub batches: u64,
    /// Of a hundred writes so many have an idempotency key, and are repeated until something was decided, or for nothing.
    pub keyed_percent: u64,
    /// Of a hundred writes to a set or counter so many are of one member, or of the counter, on a condition.
    pub conditional_percent: u64,
    /// Of a hundred operations so many are reads.
    pub reads_percent: u64,
    /// Of a hundred operations so many are deletes.
    pub deletes_percent: u64,
    /// Of a hundred requests so many hang up early.
    pub impatient_percent: u64,
    /// Of a hundred operations so many ask for `global_quorum`.
    pub majority_percent: u64,
    /// Clients carry session tokens, also to other regions.
    pub tokens: bool,
    /// Of a hundred operations so many go to another region than the one before.
    pub roaming_percent: u64,
}

impl Workload {
    /// The workload of a seed. What came later is drawn from dice of its own, so that seeds keep the mixes they had.
    pub fn draw(dice: &mut Dice, later: &mut Dice) -> Self {
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
            strong: weight(40),
            home_writes: false,
            is_alone: true,
            hand_overs: 0,
            majority_percent: 0,
            tokens: false,
            batches: 0,
            keyed_percent: 0,
            conditional_percent: 0,
            clients: 0,
            keys: 0,
            value_bytes: 0,
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
        workload.majority_percent = *dice.pick(&[0, 0, 10, 50]);
        workload.tokens = dice.percent(50);
        workload.roaming_percent = *dice.pick(&[0, 5, 50]);
        workload.batches = if later.percent(50) { later.between(1, 4) } else { 0 };
        workload.keyed_percent = *later.pick(&[0, 20, 80]);
        workload.conditional_percent = *later.pick(&[0, 0, 20, 60]);
        workload.home_writes = later.percent(30);
        workload.hand_overs = *later.pick(&[0, 2, 5, 20]);
        if workload.strong > 0 && workload.hand_overs > 0 && later.percent(50) {
            // Most of what goes on, by clients who have seen other regions: a home is seldom in the middle of something
            // when it is moved, and waiting for what a session has seen is the longest that it can be.
            workload.strong = 4 * workload.total();
            workload.hand_overs = 20;
            workload.tokens = true;
            workload.roaming_percent = 50;
        }
        workload
    }

    /// The sum of the weights of all types.
    pub fn total(&self) -> u64 {
        self.registers
            + self.conditions
            + self.counters
            + self.sets
            + self.maps
            + self.siblings
            + self.strong
            + self.batches
    }
}
