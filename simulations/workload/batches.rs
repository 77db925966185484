//! What a client asks for at once: one operation, or a batch of some on records with a common tag. And the reading that
//! tells from outside whether half of a batch can be seen.
//!
//! Each batch puts a pair of registers that nothing else writes, one right after the other. So of both the same batch wins
//! in every region, whatever it meets, and the stamps of what a listing shows follow each other.

use atoll::model::ids::{Key, Namespace, RegionId};
use atoll::model::record::{RecordId, RecordType, Version};
use bytes::Bytes;
use serde_json::Value;

use super::client::{Client, Kind, Memory, PATIENCE, PLAIN};
use super::requests;
use crate::evidence::{Action, Condition};
use crate::world::Called;

/// What a client asks for in one request.
pub struct Ask {
    /// Records and what is to be done with them; one unless it is a batch.
    pub parts: Vec<(RecordId, Action)>,
    /// Whether it is sent as a batch.
    pub is_batch: bool,
}

impl Ask {
    /// No batch.
    pub fn single(record: RecordId, action: Action) -> Self {
        Self {
            parts: vec![(record, action)],
            is_batch: false,
        }
    }
}

/// What the keys of a batch have in common.
pub fn tag(number: u64) -> String {
    format!("{{b{number}}}")
}

fn record(record_type: RecordType, key: &str) -> RecordId {
    let namespace: Namespace = PLAIN.parse().expect("a valid name");
    RecordId::new(namespace, record_type, Key::new(key).expect("a valid key"))
}

impl Client {
    /// A batch: the pair, and some of a counter, a set, a map and a register with a condition.
    pub(super) fn batch(&mut self, memory: &mut Memory) -> Ask {
        let tag = tag(self.dice.below(self.workload.keys));
        let mut parts = Vec::new();
        for (kind, record_type, name) in [
            (Kind::Condition, RecordType::Register, "c"),
            (Kind::Counter, RecordType::Counter, "n"),
            (Kind::Set, RecordType::Set, "m"),
            (Kind::Map, RecordType::Map, "f"),
        ] {
            if self.dice.percent(40) {
                let record = record(record_type, &format!("{tag}{name}"));
                let action = self.action(kind, &record, memory);
                if action.is_write() {
                    parts.push((record, action));
                }
            }
        }
        let pair = self.pair(&tag, memory);
        // Sometimes first, sometimes last, sometimes between, but always together.
        let place = usize::try_from(self.dice.below(parts.len() as u64 + 1)).unwrap_or(0);
        parts.splice(place..place, pair);
        Ask {
            parts,
            is_batch: true,
        }
    }

    fn pair(&mut self, tag: &str, memory: &mut Memory) -> [(RecordId, Action); 2] {
        let value = self.unique(memory);
        ["left", "right"].map(|side| {
            let action = Action::Put {
                value: Bytes::from(format!("{value}-{side}")),
                condition: Condition::None,
                context: None,
            };
            (record(RecordType::Register, &format!("{tag}pair-{side}")), action)
        })
    }

    /// Lists a pair: both are there or none, and of the same batch.
    pub(super) async fn look_at_pair(&mut self, region: RegionId) {
        let prefix = format!("{}pair-", tag(self.dice.below(self.workload.keys)));
        let request = requests::list(PLAIN, &prefix);
        let delay = self.tick;
        let called = self.gateway.call(region, request, delay, PATIENCE).await;
        let Called::Answered(response) = called else {
            return;
        };
        if response.status().as_u16() != 200 {
            return;
        }
        match versions(response.body()).as_deref() {
            Some([]) => {}
            Some([left, right]) if left.region == right.region && left.hlc.plus(1) == right.hlc => {
                self.history.reached("pair of a batch listed");
            }
            Some(versions) => {
                let detail =
                    format!("{region} lists half of a batch: {prefix} has the versions {versions:?}");
                self.history.shown("batches", &detail);
            }
            None => {
                let detail = format!("{region} does not list as it should");
                self.history.shown("contract", &detail);
            }
        }
    }
}

fn versions(body: &[u8]) -> Option<Vec<Version>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let keys = body["keys"].as_array()?.iter();
    keys.map(|key| key["version"].as_str()?.parse().ok()).collect()
}
