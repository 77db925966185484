//! One client: one operation after the other, against the region where its session is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atoll::model::ids::{Key, Namespace, RegionId};
use atoll::model::record::{RecordId, RecordType};
use bytes::Bytes;

use super::batches::{Ask, tag};
use super::history::{Begun, History};
use super::repeats::Sending;
use super::{Workload, answers, requests};
use crate::dice::Dice;
use crate::evidence::{
    Action, Answer, ClientId, Condition, Moment, OperationId, Outcome, Promise, SessionId, Shown,
};
use crate::world::{Called, Gateway, time};

/// The namespace with the default policy.
pub(super) const PLAIN: &str = "plain";
/// The namespace with a home region: at first the first of all.
pub const HOMED: &str = "homed";
/// The namespace that keeps siblings.
pub const KEPT: &str = "kept";
/// A client that is patient waits longer than any request may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// A client.
pub struct Client {
    pub id: ClientId,
    /// Requests take so long at least.
    pub tick: Duration,
    pub dice: Dice,
    pub workload: Workload,
    pub regions: Vec<RegionId>,
    pub gateway: Gateway,
    pub history: History,
    /// Shared by all clients: the next session.
    pub sessions: Arc<Mutex<u32>>,
}

pub(super) struct Memory {
    region: RegionId,
    session: SessionId,
    /// Without tokens: what it does at a home region, wherever it sends it.
    home_session: SessionId,
    /// The last home region that it has met.
    home: RegionId,
    /// Who has given the last answer; none if none came.
    pub(super) answered_by: Option<RegionId>,
    values: u64,
    /// By record, and member where it is of one: the entity tag that was shown last.
    pub(super) tags: BTreeMap<(RecordId, Option<String>), String>,
    pub(super) contexts: BTreeMap<RecordId, String>,
    pub(super) token: Option<String>,
}

impl Client {
    fn new_session(&self) -> SessionId {
        let mut next = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        SessionId(*next)
    }

    /// Works until a moment.
    pub async fn run(mut self, until: Moment) {
        let mut memory = Memory {
            region: *self.dice.pick(&self.regions.clone()),
            session: self.new_session(),
            home_session: self.new_session(),
            home: self.regions[0],
            answered_by: None,
            values: 0,
            tags: BTreeMap::new(),
            contexts: BTreeMap::new(),
            token: None,
        };
        while time::now() < until {
            let think = self.dice.around(self.workload.think);
            tokio::time::sleep(think).await;
            if time::now() >= until {
                break;
            }
            if self.dice.percent(self.workload.roaming_percent) {
                memory.region = *self.dice.pick(&self.regions.clone());
                // With a token the session goes along.
                if !self.workload.tokens {
                    memory.session = self.new_session();
                }
            }
            self.operate(&mut memory).await;
            if self.workload.batches > 0 && self.dice.percent(20) {
                self.look_at_pair(memory.region).await;
            }
        }
    }

    async fn operate(&mut self, memory: &mut Memory) {
        let ask = self.draw(memory);
        let (level, promise) = self.level(&ask);
        let ids = self.begin(&ask, promise, memory);
        let delay = self.tick + self.dice.up_to(self.tick);
        let patience = if self.dice.percent(self.workload.impatient_percent) {
            self.dice.up_to(Duration::from_millis(60))
        } else {
            PATIENCE
        };
        let is_write = ask.parts.iter().all(|(_, action)| action.is_write());
        let is_keyed = is_write && self.workload.keyed_percent > 0;
        let is_keyed = is_keyed && self.dice.percent(self.workload.keyed_percent);
        // A repeat at another home is another write there.
        let is_keyed = is_keyed && (promise != Promise::Home || self.workload.hand_overs == 0);
        let sending = Sending {
            key: is_keyed.then(|| format!("operation-{}", ids[0].0)),
            region: memory.region,
            ask,
            level,
            delay,
        };
        match self.send_until_decided(&sending, patience, memory).await {
            Ok(outcomes) => {
                let (now, answered_by) = (time::now(), memory.answered_by);
                // A refusal can be that of any region on the way, but for what only the home can know.
                let is_by_home = matches!(
                    outcomes.first(),
                    Some(Outcome::Done(_) | Outcome::Refused { status: 412, .. })
                );
                let answered_by = answered_by.filter(|_| promise == Promise::Home && is_by_home);
                memory.home = answered_by.unwrap_or(memory.home);
                for ((id, outcome), (record, action)) in ids.iter().zip(&outcomes).zip(&sending.ask.parts) {
                    if let Outcome::Done(Answer { tag: Some(tag), .. }) = outcome {
                        let member = action.only_member().map(str::to_owned);
                        memory.tags.insert((record.clone(), member), tag.clone());
                    }
                    self.history.end(*id, now, outcome.clone(), answered_by);
                }
                self.repeat_for_nothing(&sending, ids[0], &outcomes, memory).await;
            }
            Err(detail) => self.history.violated(ids[0], &detail),
        }
        // After a broken connection a client is another one: what it asked may still be under way.
        if matches!(self.history.outcome(ids[0]), Outcome::Unknown { .. }) {
            memory.session = self.new_session();
            memory.home_session = self.new_session();
            memory.token = None;
        }
    }

    fn level(&mut self, ask: &Ask) -> (Option<&'static str>, Promise) {
        let drawn = *self
            .dice
            .pick(&[None, None, None, Some("local_quorum"), Some("eventual")]);
        let is_read = !ask.parts[0].1.is_write();
        let mut actions = ask.parts.iter().map(|(_, action)| action);
        let has_condition = actions.any(|action| *action.condition() != Condition::None);
        if ask.parts[0].0.namespace.as_str() == HOMED {
            // Where all writes are made at home, their level does not matter.
            let is_any = self.workload.home_writes && ask.parts[0].1.is_write();
            let level = match is_any {
                true => *self.dice.pick(&[Some("strong"), None, Some("eventual")]),
                false => Some("strong"),
            };
            (level, Promise::Home)
        } else if !has_condition && self.dice.percent(self.workload.majority_percent) {
            (Some("global_quorum"), Promise::Majority)
        } else if is_read && drawn == Some("eventual") && !self.workload.is_alone {
            (drawn, Promise::Node)
        } else {
            (drawn, Promise::Region)
        }
    }

    fn begin(&self, ask: &Ask, promise: Promise, memory: &Memory) -> Vec<OperationId> {
        let now = time::now();
        let is_at_home = promise == Promise::Home;
        let session = if is_at_home && !self.workload.tokens {
            memory.home_session
        } else if promise == Promise::Node && !self.workload.tokens {
            // Nothing but a token keeps a node from showing less than another one has shown.
            self.new_session()
        } else {
            memory.session
        };
        let region = if is_at_home { memory.home } else { memory.region };
        let batch = ask.is_batch.then(|| self.history.next_batch());
        let mut ids = Vec::new();
        for (record, action) in &ask.parts {
            let begun = Begun {
                client: self.id,
                session,
                batch,
                region,
                promise,
                record: record.clone(),
                action: action.clone(),
            };
            ids.push(self.history.begin(begun, now));
        }
        ids
    }

    fn draw(&mut self, memory: &mut Memory) -> Ask {
        let workload = self.workload.clone();
        let mut draw = self.dice.below(workload.total());
        for (weight, kind) in [
            (workload.registers, Kind::Register),
            (workload.conditions, Kind::Condition),
            (workload.siblings, Kind::Sibling),
            (workload.strong, Kind::Strong),
            (workload.counters, Kind::Counter),
            (workload.sets, Kind::Set),
            (workload.maps, Kind::Map),
        ] {
            if draw < weight {
                let record = self.record(kind);
                let action = self.action(kind, &record, memory);
                return Ask::single(record, action);
            }
            draw -= weight;
        }
        self.batch(memory)
    }

    fn record(&mut self, kind: Kind) -> RecordId {
        let (namespace, record_type, prefix) = match kind {
            Kind::Register => (PLAIN, RecordType::Register, "r"),
            Kind::Condition => (PLAIN, RecordType::Register, "c"),
            Kind::Strong => (HOMED, RecordType::Register, "h"),
            Kind::Sibling => (KEPT, RecordType::Register, "s"),
            Kind::Counter => (PLAIN, RecordType::Counter, "n"),
            Kind::Set => (PLAIN, RecordType::Set, "m"),
            Kind::Map => (PLAIN, RecordType::Map, "f"),
        };
        let number = self.dice.below(self.workload.keys);
        // Some of what batches write is written by others too.
        let is_shared = self.workload.batches > 0 && namespace == PLAIN && self.dice.percent(30);
        let key = match kind {
            Kind::Condition | Kind::Counter | Kind::Set | Kind::Map if is_shared => {
                format!("{}{prefix}", tag(number))
            }
            _ => format!("{prefix}{number}"),
        };
        let namespace: Namespace = namespace.parse().expect("a valid name");
        RecordId::new(namespace, record_type, Key::new(&key).expect("a valid key"))
    }

    pub(super) fn action(&mut self, kind: Kind, record: &RecordId, memory: &mut Memory) -> Action {
        let is_read = self.dice.percent(self.workload.reads_percent);
        let is_delete = !is_read && self.dice.percent(self.workload.deletes_percent);
        let unique = self.unique(memory);
        let mut value = unique.clone().into_bytes();
        value.resize(value.len().max(self.workload.value_bytes), b' ');
        let value = Bytes::from(value);
        match kind {
            Kind::Register | Kind::Condition | Kind::Sibling | Kind::Strong if is_read => Action::Get,
            Kind::Register | Kind::Sibling if is_delete => Action::Delete {
                condition: Condition::None,
            },
            Kind::Register => Action::Put {
                value,
                condition: Condition::None,
                context: None,
            },
            Kind::Sibling => Action::Put {
                value,
                condition: Condition::None,
                context: memory.contexts.remove(record),
            },
            Kind::Condition | Kind::Strong => {
                let condition = self.condition(memory.tags.get(&(record.clone(), None)));
                if is_delete {
                    Action::Delete { condition }
                } else {
                    Action::Put {
                        value,
                        condition,
                        context: None,
                    }
                }
            }
            Kind::Counter if is_read => Action::Count,
            Kind::Counter if is_delete => Action::Reset,
            Kind::Counter => Action::Add {
                delta: i64::try_from(self.dice.between(0, 20)).unwrap_or(0) - 10,
                condition: if self.is_conditional() {
                    self.condition(memory.tags.get(&(record.clone(), None)))
                } else {
                    Condition::None
                },
            },
            Kind::Set if !is_read && self.is_conditional() => {
                self.conditional_member(is_delete, record, memory)
            }
            Kind::Set => self.set_action(is_read, is_delete),
            Kind::Map => self.map_action(is_read, is_delete, &unique),
        }
    }

    pub(super) fn unique(&self, memory: &mut Memory) -> String {
        memory.values += 1;
        format!("c{}-{}", self.id.0, memory.values)
    }

    /// Whether a write to a set or counter has a condition.
    fn is_conditional(&mut self) -> bool {
        // Mixes without any draw nothing for it.
        self.workload.conditional_percent > 0 && self.dice.percent(self.workload.conditional_percent)
    }

    pub(super) fn condition(&mut self, tag: Option<&String>) -> Condition {
        match (self.dice.below(5), tag) {
            (0, _) => Condition::None,
            (1, _) => Condition::Present,
            (2 | 3, Some(tag)) => Condition::Tag(tag.clone()),
            _ => Condition::Absent,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Register,
    Condition,
    Sibling,
    Strong,
    Counter,
    Set,
    Map,
}

/// What reading some records of a region shows in the end; the error names what could not be read.
pub async fn read_all(
    gateway: Gateway,
    region: RegionId,
    records: Vec<RecordId>,
    delay: Duration,
) -> Result<BTreeMap<RecordId, Shown>, String> {
    let mut reads = BTreeMap::new();
    for record in records {
        let action = match record.record_type {
            RecordType::Register => Action::Get,
            RecordType::Counter => Action::Count,
            RecordType::Set => Action::Members,
            RecordType::Map => Action::Fields,
        };
        let request = requests::request(&record, &action, requests::Wishes::default());
        let called = gateway.call(region, request, delay, PATIENCE).await;
        let Called::Answered(response) = called else {
            return Err(format!(
                "{region} does not answer a read of {}: {called:?}",
                record.key
            ));
        };
        match answers::outcome(&action, &response)? {
            Outcome::Done(answer) => reads.insert(record, answer.shown),
            other => return Err(format!("{region} refuses a read of {}: {other:?}", record.key)),
        };
    }
    Ok(reads)
}
