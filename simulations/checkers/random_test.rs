//! Random histories of the model are accepted by all checkers, seen from inside and from outside; so the checkers raise no
//! false alarm. And the time that they take.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::evidence::{Action, Condition, Evidence};

use super::test_cluster::{Cluster, add_if, fields, from_outside, members, members_if, put, put_if};
use super::{check_all, situations};

const CLIENTS: u64 = 6;
const REGIONS: u64 = 3;

/// Numbers to choose with, from one number.
struct Choices(u64);

impl Choices {
    fn below(&mut self, count: u64) -> u64 {
        let choice = self.0 % count;
        self.0 /= count;
        choice
    }
}

/// What a client does now.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    id: usize,
    region: usize,
    is_executed: bool,
}

struct Script {
    cluster: Cluster,
    under_way: BTreeMap<u64, UnderWay>,
    values: u64,
}

impl Script {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(&["ap", "eu", "us"]),
            under_way: BTreeMap::new(),
            values: 0,
        }
    }

    fn step(&mut self, number: u64) {
        let mut choices = Choices(number);
        match choices.below(8) {
            0..=2 => self.start(&mut choices),
            3 => self.execute(&mut choices),
            4..=5 => self.end(&mut choices),
            6 => {
                let (from, to) = (choices.below(REGIONS), choices.below(REGIONS));
                if from != to {
                    let count = usize::try_from(choices.below(4)).unwrap();
                    self.cluster.deliver(
                        from as usize,
                        to as usize,
                        if count == 0 { usize::MAX } else { count },
                    );
                }
            }
            _ => {
                let region = choices.below(REGIONS) as usize;
                self.cluster.set_ahead(region, choices.below(1000));
                self.cluster.advertise(region);
            }
        }
    }

    fn start(&mut self, choices: &mut Choices) {
        let client = choices.below(CLIENTS);
        if self.under_way.contains_key(&client) {
            return;
        }
        let region = choices.below(REGIONS) as usize;
        let names = [
            "register/a",
            "register/b",
            "siblings/a",
            "siblings/b",
            "counter/a",
            "set/a",
            "map/a",
        ];
        let name = names[choices.below(names.len() as u64) as usize];
        let action = self.action(choices, name, region);
        let id = self
            .cluster
            .start(u16::try_from(client).unwrap(), region, name, action);
        let under_way = UnderWay {
            id,
            region,
            is_executed: false,
        };
        self.under_way.insert(client, under_way);
    }

    fn action(&mut self, choices: &mut Choices, name: &str, region: usize) -> Action {
        self.values += 1;
        let value = format!("\"v{}\"", self.values);
        let part = |choices: &mut Choices| ["x", "y", "z"][choices.below(3) as usize];
        let condition = match choices.below(5) {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 => self.some_tag(),
            _ => Condition::None,
        };
        match name.split_once('/').unwrap().0 {
            "counter" => match choices.below(5) {
                0 => Action::Reset,
                1 | 2 => Action::Count,
                _ => add_if(i64::try_from(choices.below(9)).unwrap() - 4, condition),
            },
            "set" => match choices.below(7) {
                0 | 1 => members_if(&[part(choices)], &[], condition),
                2 => members_if(&[], &[part(choices)], condition),
                3 => members(&[part(choices), part(choices)], &[part(choices)]),
                4 => Action::Members,
                5 => Action::Contains {
                    member: part(choices).to_owned(),
                },
                _ => Action::DropSet,
            },
            "map" => match choices.below(6) {
                0 | 1 => fields(&[(part(choices), &value)], &[]),
                2 => fields(&[], &[part(choices)]),
                3 => fields(&[(part(choices), &value)], &[part(choices)]),
                4 => Action::Fields,
                _ => Action::DropMap,
            },
            kind => match choices.below(6) {
                0 | 1 => put_if(&value, condition),
                2 => Action::Delete { condition },
                3 if kind == "siblings" => {
                    let mut action = put(&value);
                    if let Action::Put { context, .. } = &mut action {
                        *context = Some(self.cluster.context(region, name));
                    }
                    action
                }
                _ => Action::Get,
            },
        }
    }

    /// The tag that somebody saw last, of whatever has one.
    fn some_tag(&self) -> Condition {
        let tag = self.cluster.tags().last().cloned();
        tag.map_or(Condition::Present, Condition::Tag)
    }

    fn execute(&mut self, choices: &mut Choices) {
        let region = choices.below(REGIONS) as usize;
        let mut ids = Vec::new();
        for under_way in self.under_way.values_mut() {
            if under_way.region == region && !under_way.is_executed {
                under_way.is_executed = true;
                ids.push(under_way.id);
            }
        }
        self.cluster.execute(&ids);
    }

    fn end(&mut self, choices: &mut Choices) {
        let client = choices.below(CLIENTS);
        let fate = choices.below(8);
        let Some(under_way) = self.under_way.remove(&client) else {
            return;
        };
        match (under_way.is_executed, fate) {
            // Not executed, refused for certain; or nobody knows, and it was or was not done.
            (false, 0) => self.cluster.refuse(under_way.id),
            (false, 1) => self.cluster.forget(under_way.id),
            (true, 0) => self.cluster.forget(under_way.id),
            (false, 2) => {
                self.cluster.forget(under_way.id);
                self.cluster.execute(&[under_way.id]);
            }
            (false, _) => {
                self.under_way.insert(client, under_way);
            }
            (true, _) => self.cluster.end(under_way.id),
        }
    }

    fn finish(self) -> Evidence {
        self.cluster.finish()
    }
}

fn history(steps: impl IntoIterator<Item = u64>) -> Evidence {
    let mut script = Script::new();
    for step in steps {
        script.step(step);
    }
    script.finish()
}

/// Numbers without end, always the same ones of a seed.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn histories_of_the_model_are_accepted_from_inside_and_outside(steps in prop::collection::vec(any::<u64>(), 0..250)) {
        let evidence = history(steps);
        prop_assert_eq!(check_all(&evidence), []);
        prop_assert_eq!(check_all(&from_outside(evidence)), []);
    }
}

#[test]
fn random_histories_come_into_every_situation_that_they_can() {
    let mut sum: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..30 {
        for (name, count) in situations::count(&history(numbers(seed).take(600))) {
            *sum.entry(name).or_insert(0) += count;
        }
    }
    let never: Vec<&str> = sum
        .into_iter()
        .filter(|(_, count)| *count == 0)
        .map(|(name, _)| name)
        .collect();
    // A cluster of the tests never begins a new incarnation, has logs, so that nothing is searched for, and no homes.
    assert_eq!(
        never,
        [
            "commit of a second incarnation",
            "linearizability undecided",
            "strong operation answered by a new home"
        ]
    );
}

#[test]
fn a_long_history_is_checked_in_a_short_time() {
    let evidence = history(numbers(1).take(26_000));
    let operations = evidence.operations.len();
    assert!(operations > 2500, "{operations}");
    let begun = std::time::Instant::now();
    assert_eq!(check_all(&evidence), []);
    let took = begun.elapsed();
    println!(
        "{operations} operations, {} log entries: {took:?}",
        evidence.logged.len()
    );
    // It takes some 20 ms; a machine under load may take many times that, a quadratic checker takes longer.
    assert!(took.as_secs() < 5, "{took:?}");
}
