//! Sees everything that happens in a run: keeps the evidence, counts the situations reached, remembers the last events
//! for people, and folds all of it into one hash, by which two runs of a seed are compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atoll::model::change::{Commit, Delta};
use atoll::model::hlc::{Hlc, WallTime};
use atoll::model::ids::{LogIndex, Namespace, PartitionId, RegionId};
use atoll::model::raft::Term;
use atoll::model::replication::leadership::Leads;
use atoll::model::vector::VersionVector;
use atoll::ports::store::{Family, Mutation, WriteSet};
use atoll::wire::keys::log::LogKey;
use atoll::wire::messages::{Message, RewindReason};
use atoll::wire::namespace;
use atoll::wire::values::decode_commit;

use super::site::Site;
use super::time;
use crate::evidence::{Advertised, ClockPromise, Gauge, HealthLife, Logged, Violation};

/// `max_clock_drift_ms` as configured by default, and a millisecond for rounding.
const DRIFT_MICROS_MAX: u64 = 501_000;
/// What people see of one event.
const EVENT_BYTES_MAX: usize = 2000;
/// Events that are kept for people: all of most runs.
const TRACE_EVENTS_MAX: usize = 100_000;

#[derive(Default)]
struct State {
    hasher: blake3::Hasher,
    order: u64,
    logged: Vec<Logged>,
    advertised: Vec<Advertised>,
    last_advertised: BTreeMap<(Site, PartitionId), VersionVector>,
    promised: Vec<ClockPromise>,
    /// By node: the last of its promises, and by connection what its node leads.
    last_promised: BTreeMap<Site, ClockPromise>,
    told_leads: BTreeMap<(Site, Site), Leads>,
    gauges: BTreeMap<(RegionId, &'static str), Gauge>,
    health: BTreeMap<u64, HealthLife>,
    situations: BTreeMap<&'static str, u64>,
    violations: Vec<Violation>,
    told_about: BTreeSet<String>,
    /// How often each region was booted.
    boots: BTreeMap<RegionId, u64>,
    /// Hand-overs of which the second write is still to come: the old home, and its boots when it began.
    hand_overs: BTreeMap<Namespace, (RegionId, u64)>,
    /// In regions of several nodes: what is at a place of the log, and who wrote it first.
    by_place: BTreeMap<(RegionId, PartitionId, LogIndex), (Site, Commit)>,
    /// In regions of several nodes: the latest term in which each partition was led.
    terms: BTreeMap<(RegionId, PartitionId), Term>,
    trace: VecDeque<String>,
}

/// The recorder of a run; clones share it.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<State>>);

/// What a recorder has at the end.
pub struct Record {
    pub logged: Vec<Logged>,
    pub advertised: Vec<Advertised>,
    pub promised: Vec<ClockPromise>,
    /// The highest of each kind.
    pub gauges: Vec<Gauge>,
    pub health: Vec<HealthLife>,
    pub situations: BTreeMap<&'static str, u64>,
    pub violations: Vec<Violation>,
    pub trace: Vec<String>,
    pub hash: blake3::Hash,
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub fn event(&self, text: impl AsRef<str>) {
        let mut state = self.lock();
        let mut line = String::with_capacity(text.as_ref().len() + 14);
        let _ = write!(line, "{} {}", time::now(), text.as_ref());
        state.hasher.update(line.as_bytes());
        state.hasher.update(b"\n");
        let end = (0..=EVENT_BYTES_MAX.min(line.len()))
            .rev()
            .find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or(0));
        if state.trace.len() == TRACE_EVENTS_MAX {
            state.trace.pop_front();
        }
        state.trace.push_back(line);
    }

    /// Something happened that is too frequent to be told; the hash has it.
    pub fn quiet_event(&self, parts: &[&[u8]]) {
        let mut state = self.lock();
        let micros = time::now().elapsed().as_micros().to_le_bytes();
        state.hasher.update(&micros);
        for part in parts {
            state.hasher.update(&part.len().to_le_bytes());
            state.hasher.update(part);
        }
    }

    /// A situation was reached.
    pub fn reached(&self, situation: &'static str) {
        *self.lock().situations.entry(situation).or_default() += 1;
    }

    /// Something is wrong. The same is told once.
    pub fn violated(&self, checker: &'static str, detail: &str) {
        self.event(format!("VIOLATION {checker}: {detail}"));
        let mut state = self.lock();
        if state.told_about.insert(detail.to_owned()) {
            state.violations.push(Violation {
                checker,
                detail: detail.to_owned(),
            });
        }
    }

    /// A size; the highest of each kind is kept.
    pub fn gauge(&self, region: RegionId, name: &'static str, value: u64, limit: u64) {
        let at = time::now();
        let mut state = self.lock();
        let highest = state.gauges.entry((region, name)).or_insert(Gauge {
            at,
            region,
            name,
            value,
            limit,
        });
        if value > highest.value {
            (highest.value, highest.limit, highest.at) = (value, limit, at);
        }
    }

    /// The states that a life of a region has gone through so far; the last call of each life counts.
    pub fn lived(&self, life: HealthLife) {
        self.lock().health.insert(life.life, life);
    }

    /// How many changes of state a life has shown so far.
    pub fn changes_seen(&self, life: u64) -> usize {
        self.lock()
            .health
            .get(&life)
            .map_or(0, |known| known.transitions.len())
    }

    /// A process of a node begins.
    pub fn booted(&self, site: Site) {
        self.event(format!("{site} boots"));
        *self.lock().boots.entry(site.region).or_default() += 1;
    }

    /// A node of a region leads a partition in a term.
    pub fn led(&self, site: Site, partition: PartitionId, term: Term) {
        let known = {
            let mut state = self.lock();
            let known = state.terms.get(&(site.region, partition)).copied();
            // Who was deposed and has not noticed says so of an earlier term.
            if known < Some(term) {
                state.terms.insert((site.region, partition), term);
            }
            known
        };
        if known.is_none_or(|known| known < term) {
            self.event(format!("{site} leads partition {partition} in term {}", term.0));
        }
        match known {
            Some(known) if known < term => self.reached("partition led anew"),
            Some(known) if known > term => {
                self.reached("partition led by two nodes, as one of them believes");
            }
            _ => {}
        }
    }

    /// Whether a region has begun to hand a home over, and has not finished.
    pub fn is_handing_over(&self, region: RegionId) -> bool {
        self.lock().hand_overs.values().any(|(from, _)| *from == region)
    }

    /// Looks for the two writes of a hand-over in what a region has made durable of its own.
    fn note_hand_over(&self, region: RegionId, commit: &Commit) {
        for change in commit.changes.iter().filter(|_| commit.origin.region == region) {
            let Delta::Register {
                content: Some(content),
                ..
            } = &change.delta
            else {
                continue;
            };
            let stored = namespace::decode(&content.payload);
            let (Some(homed), Ok(stored)) = (namespace::namespace_of(&change.record), stored) else {
                continue;
            };
            let is_finished = match &stored.takeover {
                Some(takeover) if takeover.from == region => takeover.needs.is_some(),
                _ => continue,
            };
            let mut state = self.lock();
            let boots = state.boots.get(&region).copied().unwrap_or(0);
            if !is_finished {
                state.hand_overs.insert(homed, (region, boots));
                continue;
            }
            let begun = state.hand_overs.remove(&homed);
            drop(state);
            if let Some((_, boots_then)) = begun {
                self.reached("home handed over");
                if boots_then != boots {
                    self.reached("home handed over by the next life of the old one");
                }
            }
        }
    }

    /// Write sets became durable on a node. In a region of several: they were made, since what is applied there is agreed on, and
    /// durable in the agreement's log. The first node to do so counts; others must write the same.
    pub fn durable(&self, site: Site, latest: WallTime, sets: &[WriteSet]) {
        for (family, mutation) in sets.iter().flat_map(WriteSet::iter) {
            if let (Family::Staging, Mutation::Put { .. }) = (family, mutation) {
                self.reached("chunk of a snapshot stored");
            }
            let (Family::Log, Mutation::Put { key, value }) = (family, mutation) else {
                continue;
            };
            let region = site.region;
            let (key, commit) = match (LogKey::decode(key), decode_commit(value)) {
                (Ok(key), Ok(commit)) => (key, commit),
                (Err(error), _) | (_, Err(error)) => {
                    self.violated(
                        "log",
                        &format!("{site} has written a log entry that cannot be read: {error}"),
                    );
                    continue;
                }
            };
            if !site.is_alone && !self.is_first(site, key, &commit) {
                continue;
            }
            self.event(format!(
                "{site} logs {}/{}: {}..={} of {} at {} deps {:?}",
                key.partition,
                key.index.0,
                commit.first_seq,
                commit.last_seq(),
                commit.origin,
                commit.hlc,
                commit.deps
            ));
            // Rule 7: what is further ahead than any time that this region's clock has shown, and the bound, was to be
            // refused before anything of it was kept.
            let bound = WallTime::from_micros(latest.as_micros() + DRIFT_MICROS_MAX);
            if commit.hlc.wall() > bound {
                self.violated(
                    "clock",
                    &format!(
                        "{site} has taken in {} of {}, and its clock has never shown more than {latest:?}",
                        commit.hlc, commit.origin
                    ),
                );
            }
            self.note_hand_over(region, &commit);
            let mut state = self.lock();
            state.order += 1;
            let logged = Logged {
                at: time::now(),
                order: state.order,
                region,
                partition: key.partition,
                index: key.index,
                commit: Arc::new(commit),
            };
            state.logged.push(logged);
        }
    }

    /// Whether no other node of its region has written this entry of the log before.
    fn is_first(&self, site: Site, key: LogKey, commit: &Commit) -> bool {
        let name = (site.region, key.partition, key.index);
        let known = self.lock().by_place.get(&name).cloned();
        match known {
            None => {
                let mut state = self.lock();
                state.by_place.insert(name, (site, commit.clone()));
                true
            }
            Some((first, known)) => {
                if known != *commit {
                    let (partition, index) = (key.partition, key.index.0);
                    let detail =
                        format!("{site} logs {partition}/{index}: {commit:?}; {first} has {known:?} there");
                    self.violated("replicas", &detail);
                }
                false
            }
        }
    }

    /// A frame goes from one node to another.
    pub fn sent(&self, from: Site, to: Site, frame: &[u8]) {
        self.quiet_event(&[from.as_str().as_bytes(), to.as_str().as_bytes(), frame]);
        if from.region == to.region {
            return; // What the nodes of a region tell each other is their own affair.
        }
        let Ok(message) = Message::decode(frame) else {
            self.violated("wire", &format!("{from} sends {to} a frame that cannot be read"));
            return;
        };
        match message {
            Message::Heartbeat {
                vectors,
                through,
                busy,
                leads,
                ..
            } => {
                self.advertise(from, vectors);
                self.promise((from, to), through, busy, leads);
            }
            Message::Welcome { vectors, .. } | Message::Acknowledge { vectors } => {
                self.advertise(from, vectors);
            }
            Message::Rewind {
                partition,
                vector,
                reason,
                ..
            } => {
                self.event(format!("{from} wants {partition} again from {to}: {reason:?}"));
                self.reached(match reason {
                    RewindReason::Full => "rewind asked for: queue full",
                    RewindReason::Clock => "remote stamp refused",
                    RewindReason::Storage => "rewind asked for: disk",
                    RewindReason::Poison => "lane stopped by an entry that cannot be applied",
                    RewindReason::NotLeader => "commits refused by a node that does not lead",
                });
                self.advertise(from, vec![(partition, vector)]);
            }
            Message::Fetch { replica, .. } => self.reached(if replica.region == to.region {
                "gap asked of its origin"
            } else {
                "gap asked of a relay"
            }),
            Message::FetchEnd { complete: false } => self.reached("gap that the asked region could not fill"),
            _ => {}
        }
    }

    fn advertise(&self, site: Site, vectors: Vec<(PartitionId, VersionVector)>) {
        let mut state = self.lock();
        for (partition, vector) in vectors {
            let last = state.last_advertised.entry((site, partition)).or_default();
            if *last == vector {
                continue;
            }
            last.clone_from(&vector);
            state.order += 1;
            let advertised = Advertised {
                at: time::now(),
                order: state.order,
                region: site.region,
                partition,
                vector,
            };
            state.advertised.push(advertised);
        }
    }

    /// A heartbeat promises something. `leads` is told when it is new.
    fn promise(
        &self,
        connection: (Site, Site),
        through: Hlc,
        except: Vec<PartitionId>,
        leads: Option<Leads>,
    ) {
        let (site, mut state) = (connection.0, self.lock());
        if let Some(leads) = leads {
            state.told_leads.insert(connection, leads);
        }
        let Some(leads) = state.told_leads.get(&connection).cloned() else {
            return;
        };
        let is_known = state
            .last_promised
            .get(&site)
            .is_some_and(|last| (last.through, &last.leads, &last.except) == (through, &leads, &except));
        if is_known {
            return;
        }
        state.order += 1;
        let promised = ClockPromise {
            at: time::now(),
            order: state.order,
            region: site.region,
            through,
            leads,
            except,
        };
        state.last_promised.insert(site, promised.clone());
        state.promised.push(promised);
    }

    /// Takes everything out.
    pub fn finish(&self) -> Record {
        let mut state = self.lock();
        let state = std::mem::take(&mut *state);
        Record {
            hash: state.hasher.finalize(),
            logged: state.logged,
            advertised: state.advertised,
            promised: state.promised,
            gauges: state.gauges.into_values().collect(),
            health: state.health.into_values().collect(),
            situations: state.situations,
            violations: state.violations,
            trace: state.trace.into(),
        }
    }
}
