//! A simulated region: the voters of one group with clocks of their own, a network that delays and loses, disks that
//! forget what was not stored, and a checker of what leases and clock promises are for. [`Break`] breaks one rule at a
//! time, to see that the checker finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::candidacy::Candidacy;
use super::epoch::Epoch;
use super::leases::{HeartbeatNumber, LeaderLeases};
use super::liveness::Liveness;
use super::member::MemberId;
use super::promise::{StampFloor, StampPromise};
use super::voters::Voters;
use super::votes::{VOTE_PROMISE_MS, VotePromises};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{Incarnation, PartitionId};
use crate::model::tick::Tick;

pub(super) const GROUP: PartitionId = PartitionId(7);
const MAX_DRIFT: Duration = Duration::from_millis(500);
const MS: u64 = 1000;

/// A rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    Nothing,
    CountReceipt,
    LongLease,
    VoteAfterRestart,
    ForgetVote,
    AcknowledgeOldLeader,
    PromiseWhileStoring,
    OwnVoteIsFree,
    ClockStandsStill,
    FloorForgotten,
    FloorNotDurable,
    FloorNotTold,
    FloorNotAdopted,
    PromiseAlone,
    LeaderStoresNothing,
}

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// A node believes in its lease though a later leader was elected.
    Lease,
    /// A commit has a stamp that somebody had promised not to give.
    Stamp,
}

/// Numbers that look random and are the same for each seed (SplitMix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Debug, Clone)]
enum Message {
    Heartbeat {
        number: HeartbeatNumber,
        leads: BTreeMap<PartitionId, u64>,
        wanted: Hlc,
        suspects: BTreeSet<MemberId>,
    },
    Acknowledge {
        number: HeartbeatNumber,
        excepted: Vec<PartitionId>,
        stamp: Hlc,
    },
    AskVote(Epoch),
    Vote(Epoch, Hlc),
    Append(Epoch, Hlc),
    Appended(Epoch, Hlc),
}

#[derive(Debug, Clone)]
enum Event {
    Look,
    Deliver(usize, Message),
    VoteStored(usize, Epoch),
    FloorStored(Hlc),
    Start,
    Fault,
}

struct Process {
    votes: VotePromises,
    leases: LeaderLeases,
    floor: StampFloor,
    promise: Option<(Epoch, StampPromise)>,
    last_stamp: Hlc,
    campaign: Option<(Epoch, BTreeMap<MemberId, Hlc>)>,
    /// An election that was won, and the floor that must be durable first.
    won: Option<(Epoch, Hlc)>,
    /// By stamp: what was promised by anybody when it was given, and who has the entry.
    proposals: BTreeMap<Hlc, (Hlc, BTreeSet<MemberId>)>,
    liveness: Liveness,
    candidacy: Candidacy,
    storing: Option<Epoch>,
    /// When the last floor will be durable.
    floor_stored_at: u64,
}

pub(super) struct Node {
    pub(super) id: MemberId,
    /// Of the monotonic clock, in thousandths of real time.
    pub(super) rate: u64,
    stood_still: u64,
    /// Of the physical clock, in microseconds.
    skew: u64,
    vote: Option<Epoch>,
    led: Option<Epoch>,
    floor: Hlc,
    life: u64,
    paused_until: u64,
    process: Option<Process>,
}

impl Node {
    fn tick(&self, now: u64) -> Tick {
        Tick::from_micros(3_600_000 * MS + now.saturating_sub(self.stood_still) * self.rate / 1000)
    }

    fn wall(&self, now: u64) -> WallTime {
        WallTime::from_micros(1_800_000_000_000_000 + now + self.skew)
    }

    /// The epoch that this node believes to lead.
    pub(super) fn leads(&self) -> Option<Epoch> {
        self.process.as_ref()?.promise.as_ref().map(|(epoch, _)| *epoch)
    }

    fn steps_down(&mut self) {
        if let Some(process) = &mut self.process {
            process.leases.resign(GROUP);
            process.promise = None;
            process.won = None;
            process.proposals.clear();
        }
    }
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) nodes: Vec<Node>,
    voters: Voters,
    numbers: Numbers,
    broken: Break,
    /// Whether nodes stand for election whenever they like, and things go wrong.
    is_wild: bool,
    /// How often messages come late, and nodes stand for election.
    late_percent: u64,
    stand_percent: u64,
    /// The longest that the disk takes for a vote and for a floor, and the longest between two faults.
    vote_ms: u64,
    floor_ms: u64,
    fault_ms: u64,
    events: BTreeMap<(u64, u64), (usize, u64, Event)>,
    events_count: u64,
    /// Until when the way from one node to another is cut.
    pub(super) cuts: BTreeMap<(usize, usize), u64>,
    pub(super) elected: Option<Epoch>,
    pub(super) elections: u64,
    pub(super) leased_looks: u64,
    pub(super) commits: u64,
    pub(super) promised: Hlc,
    pub(super) violation: Option<Violation>,
}

impl World {
    pub(super) fn new(seed: u64, count: usize, is_wild: bool, broken: Break) -> Self {
        let mut numbers = Numbers(seed);
        let node = |number: usize| MemberId {
            node: format!("n-{number}").parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        let nodes: Vec<Node> = (0..count)
            .map(|number| Node {
                id: node(number),
                rate: 910 + numbers.below(181),
                stood_still: 0,
                skew: numbers.below(20_000 * MS),
                vote: None,
                led: None,
                floor: Hlc::ZERO,
                life: 0,
                paused_until: 0,
                process: None,
            })
            .collect();
        let mut world = Self {
            now: 0,
            voters: Voters::new(nodes.iter().map(|node| node.id).collect()),
            nodes,
            late_percent: numbers.below(30),
            stand_percent: 2 + numbers.below(30),
            vote_ms: if is_wild { 1 + numbers.below(150) } else { 5 },
            floor_ms: if is_wild { 1 + numbers.below(1000) } else { 5 },
            fault_ms: 300 + numbers.below(1200),
            numbers,
            broken,
            is_wild,
            events: BTreeMap::new(),
            events_count: 0,
            cuts: BTreeMap::new(),
            elected: None,
            elections: 0,
            leased_looks: 0,
            commits: 0,
            promised: Hlc::ZERO,
            violation: None,
        };
        for number in 0..count {
            world.schedule(0, number, Event::Start);
        }
        if is_wild {
            world.schedule(1500 * MS, 0, Event::Fault);
        }
        world
    }

    /// Until that time in milliseconds, or the first violation.
    pub(super) fn run_until(&mut self, end_ms: u64) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end_ms * MS || self.violation.is_some() {
                break;
            }
            let ((at, _), (node, life, event)) = entry.remove_entry();
            self.now = at;
            let is_of_process = !matches!(event, Event::Start | Event::Fault);
            if is_of_process && self.nodes[node].paused_until > at {
                let paused_until = self.nodes[node].paused_until;
                self.insert(paused_until, node, life, event);
            } else if !is_of_process || (self.nodes[node].process.is_some() && life == self.nodes[node].life)
            {
                self.handle(node, event);
                self.check();
            }
        }
    }

    pub(super) fn crash(&mut self, number: usize) {
        let survives = self.numbers.percent(50);
        let node = &mut self.nodes[number];
        if let Some(process) = node.process.take() {
            // What was on its way to the disk may have got there.
            if survives {
                node.vote = node.vote.max(process.storing);
            }
        }
        node.life += 1;
    }

    pub(super) fn restart(&mut self, number: usize, after_ms: u64) {
        self.crash(number);
        self.schedule(after_ms * MS, number, Event::Start);
    }

    fn schedule(&mut self, after: u64, node: usize, event: Event) {
        let life = self.nodes[node].life;
        self.insert(self.now + after, node, life, event);
    }

    fn insert(&mut self, at: u64, node: usize, life: u64, event: Event) {
        self.events_count += 1;
        self.events.insert((at, self.events_count), (node, life, event));
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let is_cut = self.cuts.get(&(from, to)).is_some_and(|until| *until > self.now);
        if is_cut || (self.is_wild && self.numbers.percent(3)) {
            return;
        }
        let is_late = self.is_wild && self.numbers.percent(self.late_percent);
        let delay = self.numbers.below(if is_late { 1500 * MS } else { 10 * MS });
        self.schedule(delay, to, Event::Deliver(from, message));
    }

    fn broadcast(&mut self, from: usize, message: &Message) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            self.send(from, to, message.clone());
        }
    }

    fn handle(&mut self, number: usize, event: Event) {
        match event {
            Event::Fault => self.fault(),
            Event::Start => self.start(number),
            Event::Look => self.look(number),
            Event::Deliver(from, message) => self.deliver(number, from, message),
            Event::VoteStored(to, epoch) => self.vote_stored(number, to, epoch),
            Event::FloorStored(step) => {
                self.nodes[number].floor = step;
                self.nodes[number]
                    .process
                    .as_mut()
                    .unwrap()
                    .floor
                    .settle(Some(step));
                self.maybe_lead(number);
            }
        }
    }

    fn fault(&mut self) {
        let count = self.nodes.len() as u64;
        let victim = usize::try_from(self.numbers.below(count)).unwrap();
        let millis = self.numbers.below(3000);
        match self.numbers.below(5) {
            0 if self.nodes[victim].process.is_some() => self.restart(victim, millis / 2),
            1 => {
                let node = &mut self.nodes[victim];
                node.paused_until = self.now + millis * MS;
                if self.broken == Break::ClockStandsStill {
                    node.stood_still += millis * MS;
                }
            }
            2 => self.nodes[victim].skew = self.numbers.below(20_000 * MS),
            3 => {
                for other in 0..self.nodes.len() {
                    self.cuts.insert((victim, other), self.now + millis * MS);
                    self.cuts.insert((other, victim), self.now + millis * MS);
                }
            }
            _ => {
                let other = usize::try_from(self.numbers.below(count)).unwrap();
                self.cuts.insert((victim, other), self.now + millis * MS);
                if self.numbers.percent(50) {
                    self.cuts.insert((other, victim), self.now + millis * MS);
                }
            }
        }
        let pause = self.numbers.below(self.fault_ms);
        self.schedule(pause * MS, 0, Event::Fault);
    }

    fn start(&mut self, number: usize) {
        let broken = self.broken;
        let now = self.nodes[number].tick(self.now);
        let peers: Vec<MemberId> = self.nodes.iter().map(|node| node.id).collect();
        let node = &mut self.nodes[number];
        // What was sent to it while it was down is lost.
        node.life += 1;
        let is_silent = broken != Break::VoteAfterRestart;
        let started = now.minus_millis(if is_silent { 0 } else { VOTE_PROMISE_MS });
        let mut votes = VotePromises::new(started);
        if let Some(vote) = node.vote.filter(|_| broken != Break::ForgetVote) {
            votes.saw(GROUP, vote);
        }
        let is_kept = broken != Break::FloorForgotten;
        let mut process = Process {
            votes,
            leases: LeaderLeases::default(),
            floor: StampFloor::new(if is_kept { node.floor } else { Hlc::ZERO }, MAX_DRIFT),
            promise: None,
            last_stamp: Hlc::ZERO,
            campaign: None,
            won: None,
            proposals: BTreeMap::new(),
            liveness: Liveness::new(node.id, peers, now),
            candidacy: Candidacy::default(),
            storing: None,
            floor_stored_at: 0,
        };
        // As openraft does: a leader that restarts leads on.
        if let Some(epoch) = node.led.filter(|led| node.vote == Some(*led)) {
            let promise = StampPromise::new(node.id, process.floor.floor());
            process.last_stamp = promise.floor();
            process.leases.lead(GROUP, epoch.term);
            process.promise = Some((epoch, promise));
        }
        node.process = Some(process);
        let phase = self.numbers.below(100 * MS);
        self.schedule(phase, number, Event::Look);
    }
}

#[path = "cluster_steps_test.rs"]
mod steps;
