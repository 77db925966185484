//! Cases of the founding, and random schedules of crashes, lost answers and lost disks.

use proptest::prelude::*;

use super::*;

fn node(number: usize) -> NodeId {
    format!("n{number}").parse().unwrap()
}

fn member(number: usize, incarnation: u32) -> MemberId {
    MemberId {
        node: node(number),
        incarnation: Incarnation(incarnation),
    }
}

fn nodes() -> BTreeSet<NodeId> {
    (1..=3).map(node).collect()
}

fn record(incarnations: [u32; 3]) -> FoundingRecord {
    let members = (1..).zip(incarnations);
    FoundingRecord {
        replica: Incarnation(900),
        members: members
            .map(|(number, incarnation)| member(number, incarnation))
            .collect(),
    }
}

fn start(number: usize, incarnation: u32, stored: FoundingState) -> Result<Founding, FoundingError> {
    Founding::new(member(number, incarnation), nodes(), stored)
}

fn fresh(number: usize) -> Founding {
    start(number, 5, FoundingState::Unfounded(None)).unwrap()
}

fn says(number: usize, incarnation: u32, state: FoundingState) -> FoundingAnswer {
    FoundingAnswer {
        member: member(number, incarnation),
        nodes: nodes(),
        state,
        members: BTreeSet::new(),
    }
}

const NOW: Tick = Tick::from_millis(10_000);

fn step(founding: &Founding) -> Result<Step, FoundingError> {
    founding.step(NOW, WallTime::from_micros(7_000_000))
}

fn waiting(founding: &Founding) -> BTreeMap<NodeId, Waiting> {
    match step(founding) {
        Ok(Step::Wait(waiting)) => waiting,
        other => panic!("{other:?}"),
    }
}

fn promised() -> FoundingState {
    FoundingState::Unfounded(Some(member(1, 5)))
}

#[test]
fn the_first_by_name_founds_when_all_others_have_promised_lately() {
    let mut founder = fresh(1);
    let both = [(node(2), Waiting::NoAnswer), (node(3), Waiting::NoAnswer)];
    assert_eq!(waiting(&founder), both.into());
    founder.answered(NOW, says(2, 5, promised()));
    let old = NOW.minus_millis(limits::FOUNDING_ANSWER_MS_MAX + 1);
    founder.answered(old, says(3, 6, promised()));
    assert_eq!(waiting(&founder), [(node(3), Waiting::NoAnswer)].into());
    founder.answered(NOW, says(3, 6, promised()));
    let expected = FoundingRecord {
        // The time is 7 s.
        replica: Incarnation(7),
        members: [member(1, 5), member(2, 5), member(3, 6)].into(),
    };
    let recorded = FoundingState::Recorded(expected);
    assert_eq!(step(&founder), Ok(Step::Store(recorded.clone())));
    founder.stored(recorded);
    let to_store = [(node(2), Waiting::ToStore), (node(3), Waiting::ToStore)];
    assert_eq!(waiting(&founder), to_store.into());
}

#[test]
fn others_wait_for_the_founder_and_take_its_record() {
    let mut second = fresh(2);
    let Reply::StoreFirst(promise) = second.asked(member(1, 5)) else {
        panic!("it is durable before it is given");
    };
    second.stored(promise);
    assert_eq!(second.asked(member(1, 5)), Reply::Answer(says(2, 5, promised())));
    second.answered(NOW, says(1, 5, FoundingState::Unfounded(None)));
    second.answered(NOW, says(3, 5, promised()));
    assert_eq!(waiting(&second), [(node(1), Waiting::ToFound)].into());
    let recorded = FoundingState::Recorded(record([5; 3]));
    second.answered(NOW, says(3, 5, recorded.clone()));
    assert_eq!(step(&second), Ok(Step::Store(recorded.clone())), "from anybody");
    second.stored(recorded.clone());
    assert_eq!(waiting(&second), [(node(1), Waiting::ToStore)].into());
    second.answered(NOW, says(1, 5, recorded));
    let complete = FoundingState::Complete(record([5; 3]));
    assert_eq!(step(&second), Ok(Step::Store(complete.clone())));
    second.stored(complete);
    let membership = OwnMembership {
        own: member(2, 5),
        replica: Incarnation(900),
        founders: record([5; 3]).members,
    };
    assert_eq!(step(&second), Ok(Step::Done(membership)));
}

#[test]
fn who_has_the_record_learns_from_one_that_it_is_complete() {
    let mut third = start(3, 5, FoundingState::Recorded(record([5; 3]))).unwrap();
    third.answered(NOW, says(2, 5, FoundingState::Complete(record([5; 3]))));
    let complete = FoundingState::Complete(record([5; 3]));
    assert_eq!(step(&third), Ok(Step::Store(complete)));
}

#[test]
fn a_node_with_another_disk_than_in_the_record_is_refused_with_what_to_do() {
    let recorded = FoundingState::Recorded(record([5; 3]));
    // It hears of it, or finds it on its disk: a new incarnation was begun.
    let mut emptied = start(3, 6, FoundingState::Unfounded(None)).unwrap();
    emptied.answered(NOW, says(2, 5, recorded.clone()));
    for error in [step(&emptied).unwrap_err(), start(3, 6, recorded).unwrap_err()] {
        let words = "nothing was written to the region yet: stop all of its nodes";
        assert!(error.to_string().contains(words), "{error}");
    }
    let in_use = FoundingState::Member {
        replica: Incarnation(900),
        own: member(3, 5),
    };
    for state in [FoundingState::Complete(record([5; 3])), in_use] {
        let error = start(3, 6, state).unwrap_err().to_string();
        let words = "`atoll node remove n3` on one of them, empty this data folder";
        assert!(
            error.contains("n3@6 was a member of its region as n3@5") && error.contains(words),
            "{error}"
        );
    }
}

#[test]
fn a_node_that_comes_later_waits_until_the_region_has_it() {
    let alone = FoundingState::Member {
        replica: Incarnation(900),
        own: member(1, 5),
    };
    for state in [FoundingState::Complete(record([5; 3])), alone] {
        let mut later = start(3, 6, FoundingState::Unfounded(None)).unwrap();
        let mut answer = says(1, 5, state);
        answer.members = [member(1, 5), member(3, 5)].into();
        later.answered(NOW, answer.clone());
        assert_eq!(waiting(&later), [(node(1), Waiting::ToAdd(node(3)))].into());
        let why = waiting(&later)[&node(1)].to_string();
        assert!(why.contains("`atoll node add n3`"), "{why}");
        answer.members.insert(member(3, 6));
        later.answered(NOW, answer);
        let added = FoundingState::Member {
            replica: Incarnation(900),
            own: member(3, 6),
        };
        assert_eq!(step(&later), Ok(Step::Store(added.clone())));
        later.stored(added);
        let membership = OwnMembership {
            own: member(3, 6),
            replica: Incarnation(900),
            founders: BTreeSet::new(),
        };
        assert_eq!(step(&later), Ok(Step::Done(membership)));
    }
}

#[test]
fn the_founder_that_comes_back_empty_does_not_found_a_region_that_is_in_use() {
    let mut emptied = start(1, 6, FoundingState::Unfounded(None)).unwrap();
    emptied.answered(NOW, says(2, 5, FoundingState::Complete(record([5; 3]))));
    emptied.answered(NOW, says(3, 5, FoundingState::Complete(record([5; 3]))));
    let both = [2, 3].map(|number| (node(number), Waiting::ToAdd(node(1))));
    assert_eq!(waiting(&emptied), both.into());
}

#[test]
fn a_record_of_other_nodes_than_the_configuration_is_refused() {
    let mut other = record([5; 3]);
    other.members.insert(member(4, 5));
    let recorded = FoundingState::Recorded(other.clone());
    let error = start(2, 5, recorded.clone()).unwrap_err();
    let words = "founded with the nodes n1, n2, n3, n4 and regions.toml gives it n1, n2, n3";
    assert!(error.to_string().contains(words), "{error}");
    let mut second = fresh(2);
    second.answered(NOW, says(3, 5, recorded));
    assert_eq!(step(&second), Err(error));
    // Once it is founded its nodes may come and go.
    start(2, 5, FoundingState::Complete(other)).unwrap();
}

#[test]
fn answers_of_a_node_with_another_configuration_count_for_nothing() {
    let mut founder = fresh(1);
    founder.answered(NOW, says(2, 5, promised()));
    let mut answer = says(3, 5, promised());
    answer.nodes = [node(0), node(1), node(2), node(3)].into();
    founder.answered(NOW, answer.clone());
    let waiting = waiting(&founder);
    assert_eq!(waiting, [(node(3), Waiting::OtherNodes(answer.nodes))].into());
    assert!(
        waiting[&node(3)]
            .to_string()
            .contains("n0, n1, n2, n3: make them equal")
    );
}

#[test]
fn who_has_promised_itself_to_a_later_life_of_the_founder_takes_no_record_of_an_earlier_one() {
    let mut second = fresh(2);
    second.answered(NOW, says(1, 5, FoundingState::Recorded(record([5; 3]))));
    let promise = FoundingState::Unfounded(Some(member(1, 8)));
    assert_eq!(second.asked(member(1, 8)), Reply::StoreFirst(promise.clone()));
    second.stored(promise.clone());
    assert_eq!(waiting(&second).len(), 2, "what was heard is forgotten");
    // On its way since before.
    second.answered(NOW, says(1, 5, FoundingState::Recorded(record([5; 3]))));
    assert_eq!(waiting(&second).len(), 2);
    assert_eq!(second.asked(member(1, 5)), Reply::Answer(says(2, 5, promise)));
    second.answered(NOW, says(3, 5, FoundingState::Recorded(record([5; 3]))));
    let error = step(&second).unwrap_err().to_string();
    assert!(error.starts_with("node n3 has a founding record of n1@5, n2@5, n3@5, and this node has promised to be founded by n1@8"), "{error}");
}

#[test]
fn an_earlier_life_of_the_founder_that_asks_late_is_told_of_the_later_one() {
    let mut founder = fresh(1);
    founder.answered(NOW, says(2, 5, promised()));
    let later = member(1, 8);
    founder.answered(NOW, says(3, 5, FoundingState::Unfounded(Some(later))));
    assert_eq!(
        waiting(&founder),
        [(node(3), Waiting::OtherFounder(later))].into()
    );
}

#[test]
fn two_records_are_refused_loudly() {
    let mut second = start(2, 5, FoundingState::Recorded(record([5; 3]))).unwrap();
    second.answered(NOW, says(1, 8, FoundingState::Recorded(record([8, 5, 5]))));
    let error = step(&second).unwrap_err();
    assert!(matches!(error, FoundingError::Conflict { .. }));
    assert!(error.to_string().contains("two founding records"), "{error}");
}

#[test]
fn a_member_that_lost_its_disk_before_all_had_the_record_is_waited_for_with_what_to_do() {
    let mut founder = start(1, 5, FoundingState::Recorded(record([5; 3]))).unwrap();
    founder.answered(NOW, says(2, 5, FoundingState::Recorded(record([5; 3]))));
    founder.answered(NOW, says(3, 6, FoundingState::Unfounded(None)));
    let waiting = waiting(&founder);
    assert_eq!(waiting, [(node(3), Waiting::OtherMember(member(3, 6)))].into());
    assert!(waiting[&node(3)].to_string().contains("empty their data folders"));
}

#[test]
fn strangers_are_not_heard_and_no_record_has_a_node_twice() {
    let mut founder = fresh(1);
    founder.answered(NOW, says(4, 5, promised()));
    founder.answered(NOW, says(1, 9, promised()));
    assert!(founder.heard.is_empty());
    let mut twice = record([5; 3]);
    assert!(twice.is_valid());
    twice.members.insert(member(1, 6));
    assert!(!twice.is_valid());
}

/// How a node fails while it stores something.
#[derive(Debug, Clone, Copy)]
enum Failing {
    No,
    Before,
    After,
}

/// What happens in a random schedule.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A question reaches a node; its answer is on its way.
    Ask { by: usize, of: usize, failing: Failing },
    /// An answer arrives, or is lost.
    Arrive { which: usize, is_lost: bool },
    /// A node looks what to do.
    Step { node: usize, failing: Failing },
    /// A process is killed and started again.
    Crash { node: usize },
    /// A disk is lost.
    Wipe { node: usize },
}

struct Machine {
    incarnation: u32,
    disk: FoundingState,
    life: u64,
    running: Result<Founding, FoundingError>,
}

struct OnItsWay {
    to: usize,
    life: u64,
    asked_at: Tick,
    answer: FoundingAnswer,
}

/// Three nodes on a network that delays and loses.
struct World {
    machines: Vec<Machine>,
    on_its_way: Vec<OnItsWay>,
    now: Tick,
    latest_incarnation: u32,
    /// Records that some node has taken for complete.
    done: BTreeSet<(Incarnation, BTreeSet<MemberId>)>,
}

impl World {
    fn new() -> Self {
        let machine = |number| {
            let disk = FoundingState::Unfounded(None);
            Machine {
                incarnation: 1,
                disk: disk.clone(),
                life: 0,
                running: start(number, 1, disk),
            }
        };
        Self {
            machines: (1..=3).map(machine).collect(),
            on_its_way: Vec::new(),
            now: Tick::default(),
            latest_incarnation: 1,
            done: BTreeSet::new(),
        }
    }

    fn restart(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        machine.life += 1;
        machine.running = start(index + 1, machine.incarnation, machine.disk.clone());
    }

    /// Stores, unless the machine fails before; whether it runs on.
    fn store(&mut self, index: usize, state: FoundingState, failing: Failing) -> bool {
        if !matches!(failing, Failing::Before) {
            self.machines[index].disk = state.clone();
        }
        if !matches!(failing, Failing::No) {
            self.restart(index);
            return false;
        }
        self.machines[index].running.as_mut().unwrap().stored(state);
        true
    }

    fn ask(&mut self, by: usize, of: usize, failing: Failing) {
        let (life, asker) = (
            self.machines[by].life,
            member(by + 1, self.machines[by].incarnation),
        );
        if by == of || self.machines[by].running.is_err() {
            return;
        }
        let Ok(founding) = &mut self.machines[of].running else {
            return;
        };
        let mut reply = founding.asked(asker);
        if let Reply::StoreFirst(state) = reply {
            if !self.store(of, state, failing) {
                return;
            }
            reply = self.machines[of].running.as_mut().unwrap().asked(asker);
        }
        let Reply::Answer(answer) = reply else {
            panic!("it was stored")
        };
        self.on_its_way.push(OnItsWay {
            to: by,
            life,
            asked_at: self.now,
            answer,
        });
    }

    fn arrive(&mut self, which: usize, is_lost: bool) {
        if self.on_its_way.is_empty() {
            return;
        }
        let arrived = self.on_its_way.remove(which % self.on_its_way.len());
        let machine = &mut self.machines[arrived.to];
        if let Ok(founding) = &mut machine.running
            && !is_lost
            && machine.life == arrived.life
        {
            founding.answered(arrived.asked_at, arrived.answer);
        }
    }

    fn step(&mut self, index: usize, failing: Failing) {
        let Ok(founding) = &self.machines[index].running else {
            return;
        };
        let wall = WallTime::from_micros(self.now.as_micros());
        match founding.step(self.now, wall) {
            Ok(Step::Wait(_)) => {}
            Ok(Step::Store(state)) => {
                self.store(index, state, failing);
            }
            Ok(Step::Done(record)) => {
                self.done.insert((record.replica, record.founders));
            }
            Err(error) => {
                assert!(!matches!(error, FoundingError::Conflict { .. }), "{error}");
                self.machines[index].running = Err(error);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask { by, of, failing } => self.ask(by, of, failing),
            Event::Arrive { which, is_lost } => self.arrive(which, is_lost),
            Event::Step { node, failing } => self.step(node, failing),
            Event::Crash { node } => self.restart(node),
            Event::Wipe { node } => {
                self.latest_incarnation += 1;
                self.machines[node].incarnation = self.latest_incarnation;
                self.machines[node].disk = FoundingState::Unfounded(None);
                self.restart(node);
            }
        }
        self.now = self.now.plus_millis(50);
        let records = self.machines.iter().filter_map(|machine| machine.disk.record());
        let records: Vec<&FoundingRecord> = records.collect();
        assert!(
            records.windows(2).all(|pair| pair[0] == pair[1]),
            "two records: {records:?}"
        );
    }

    /// All are up and everything arrives.
    fn settle(&mut self) {
        for index in 0..3 {
            self.restart(index);
        }
        self.on_its_way.clear();
        for _ in 0..6 {
            for by in 0..3 {
                for of in 0..3 {
                    self.ask(by, of, Failing::No);
                    self.arrive(0, false);
                }
            }
            for node in 0..3 {
                let failing = Failing::No;
                self.happen(Event::Step { node, failing });
            }
        }
    }

    fn founded(&self) -> usize {
        let is_complete = |machine: &&Machine| {
            machine.running.is_ok() && matches!(machine.disk, FoundingState::Complete(_))
        };
        self.machines.iter().filter(is_complete).count()
    }
}

fn events(wipes: u32) -> impl Strategy<Value = Vec<Event>> {
    let failing = || {
        prop_oneof![
            8 => Just(Failing::No),
            1 => Just(Failing::Before),
            1 => Just(Failing::After),
        ]
    };
    let event = prop_oneof![
        30 => (0..3_usize, 0..3_usize, failing()).prop_map(|(by, of, failing)| Event::Ask { by, of, failing }),
        30 => (0..20_usize, 0..6_u8).prop_map(|(which, lost)| Event::Arrive { which, is_lost: lost == 0 }),
        30 => (0..3_usize, failing()).prop_map(|(node, failing)| Event::Step { node, failing }),
        2 => (0..3_usize).prop_map(|node| Event::Crash { node }),
        wipes => (0..3_usize).prop_map(|node| Event::Wipe { node }),
    ];
    prop::collection::vec(event, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn disks_never_hold_two_records_whatever_is_lost(events in events(4)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        world.settle();
    }

    #[test]
    fn a_region_whose_disks_stay_is_founded_when_all_are_up(events in events(0)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        world.settle();
        prop_assert_eq!(world.founded(), 3);
        prop_assert_eq!(world.done.len(), 1);
    }

    #[test]
    fn a_founder_that_loses_its_disk_before_anybody_has_its_record_founds_anew(events in events(0)) {
        let mut world = World::new();
        for event in events {
            if world.machines[1..].iter().any(|machine| machine.disk.record().is_some()) {
                return Ok(());
            }
            world.happen(event);
        }
        prop_assume!(world.machines[1..].iter().all(|machine| machine.disk.record().is_none()));
        world.happen(Event::Wipe { node: 0 });
        world.settle();
        prop_assert_eq!(world.founded(), 3);
    }
}

#[test]
fn random_schedules_reach_a_founded_region_and_lost_disks_at_every_stage() {
    // That the properties above are not about nothing.
    let mut world = World::new();
    world.settle();
    assert_eq!(world.founded(), 3);
    world.happen(Event::Wipe { node: 0 });
    world.settle();
    assert_eq!(world.founded(), 2);
    let waits = world.machines[0].running.as_ref().unwrap();
    assert!(matches!(step(waits), Ok(Step::Wait(_))));
    assert_eq!(world.done.len(), 1);
}

#[test]
fn a_record_on_its_way_from_a_founder_that_lost_its_disk_does_not_become_a_second_one() {
    // Random schedules seldom come so far.
    for is_heard_before_the_promise in [true, false] {
        let mut world = World::new();
        let ask = |by, of| Event::Ask {
            by,
            of,
            failing: Failing::No,
        };
        let step = |node| Event::Step {
            node,
            failing: Failing::No,
        };
        let arrive = Event::Arrive {
            which: 0,
            is_lost: false,
        };
        for of in [1, 2] {
            world.happen(ask(0, of));
            world.happen(arrive);
        }
        world.happen(step(0));
        world.happen(ask(1, 0));
        if is_heard_before_the_promise {
            world.happen(arrive);
        }
        world.happen(Event::Wipe { node: 0 });
        world.happen(ask(0, 1));
        if !is_heard_before_the_promise {
            world.happen(arrive);
        }
        world.happen(arrive);
        world.happen(ask(0, 2));
        world.happen(arrive);
        world.happen(step(0));
        assert!(world.machines[0].disk.record().is_some(), "it founds anew");
        world.happen(step(1));
        world.settle();
        assert_eq!(world.founded(), 3);
    }
}
