//! One run: a safety phase under faults, then a liveness phase in which everything heals and must converge, then the
//! checkers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use atoll::model::ids::{Namespace, PartitionId, RegionId};
use atoll::model::limits;
use atoll::model::mutation::{self, Mutation};
use atoll::wire::namespace::HOME_WRITES;
use axum::body::Body;
use axum::http::Request;

use crate::chaos::Chaos;
use crate::checkers;
use crate::dice::Dice;
use crate::evidence::{ClientId, Evidence, FinalRegion, Moment, Settled, Violation};
use crate::finals::gather;
use crate::health;
use crate::members::VoterWatch;
use crate::mix::Mix;
use crate::nodes::NodeOperator;
use crate::operator::Operator;
use crate::workload::{Client, HOMED, History, KEPT, configure};
use crate::world::breakdown::DELIBERATE;
use crate::world::path::Path;
use crate::world::site::Site;
use crate::world::time;
use crate::world::{Called, World, sites_of};

/// Logs are cut once a second: what a peer may send without an acknowledgement can come in between.
const LOG_SLACK_BYTES: u64 = limits::UNACKED_BYTES_MAX as u64;
/// What is asked of a region while nothing else happens is answered within so long.
pub const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Between the nodes of a region: a tick, since nothing is faster.
const NEAR_MS: u64 = 5;

/// As many regions as there are can have come in between.
const CONFIGURE_ATTEMPTS: usize = 5;

/// What came of a run.
pub struct Report {
    pub seed: u64,
    /// Of each region.
    pub nodes: u64,
    pub violations: Vec<Violation>,
    pub situations: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
    pub hash: blake3::Hash,
    pub operations: usize,
    pub commits: usize,
    pub simulated: Duration,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Panics of tasks are caught by the runtime and by actors; a run must hear of them.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !time::is_inside() {
                shown(panic); // A bug of the simulation itself.
            }
            let text = panic.to_string();
            if !text.contains(DELIBERATE) {
                PANICS.with_borrow_mut(|panics| panics.push(text));
            }
        }));
    });
    PANICS.take();
}

/// Runs a mix, with a known bug switched on or none.
pub fn run(mix: &Mix, bug: Option<Mutation>) -> Report {
    listen_for_panics();
    mutation::switch(bug);
    let paths = paths_of(mix);
    let normal = paths.clone();
    let path = |from, to| {
        let found = paths.iter().find(|(ends, _)| *ends == (from, to));
        found.expect("every direction has a path").1
    };
    let mut world = World::new(
        mix.seed,
        mix.tick,
        (&mix.machines(), mix.cluster(&mix.first_nodes())),
        mix.disk,
        mix.raft_entries_kept,
        path,
    );
    let history = History::new(world.recorder().clone());
    let mut chaos = Chaos::new(mix, normal);
    chaos.set_clocks(&world);
    for site in world.sites() {
        world.boot(site);
    }
    found(mix, &mut world);
    begin(mix, &mut world);
    let mut nodes = NodeOperator::new(mix, &world);
    safety_phase(mix, &mut world, (&mut chaos, &mut nodes), &history);
    let settled = liveness_phase(mix, &mut world, (&mut chaos, &mut nodes));
    let finals = gather(mix, &mut world, &history);
    judge(mix, world, &history, settled, finals)
}

/// Waits until regions of several nodes are founded and every partition has a leader.
fn found(mix: &Mix, world: &mut World) {
    let deadline = world.now().elapsed() + ANSWER_TIME;
    while mix.nodes > 1 && nobody_leads(world).is_some() {
        if world.now().elapsed() > deadline {
            let detail = nobody_leads(world).unwrap_or_default();
            world.recorder().violated("start", &detail);
            return;
        }
        world.step();
    }
}

/// The first partition of a region of several nodes that not exactly one of them leads, as these know it.
fn nobody_leads(world: &World) -> Option<String> {
    for region in world.regions() {
        let sites = world.members_of(region);
        let mut leaders: BTreeMap<PartitionId, Vec<Site>> = BTreeMap::new();
        for site in sites {
            let Some(context) = world.context(site) else {
                return Some(format!("{site} does not serve"));
            };
            if context.groups.is_alone() {
                continue;
            }
            for partition in context.partitions.ids() {
                let leaders = leaders.entry(partition).or_default();
                if context.groups.leads(partition) {
                    leaders.push(site);
                }
            }
        }
        let wrong = leaders.into_iter().find(|(_, leaders)| leaders.len() != 1);
        if let Some((partition, leaders)) = wrong {
            return Some(format!("partition {partition} of {region} is led by {leaders:?}"));
        }
    }
    None
}

/// The paths between the nodes of a mix.
fn paths_of(mix: &Mix) -> Vec<((Site, Site), Path)> {
    let mut dice = Dice::new(mix.seed, "paths");
    let sites = sites_of(&mix.machines());
    let mut paths = Vec::new();
    for from in &sites {
        for to in sites.iter().filter(|to| *to != from) {
            let is_near = from.region == to.region;
            let (low, high) = mix.delay_ms;
            let (low, high) = if is_near { (NEAR_MS, NEAR_MS) } else { (low, high) };
            let jitter_ms = mix.jitter_ms.min(if is_near { NEAR_MS } else { u64::MAX });
            let path = Path {
                jitter: Duration::from_millis(jitter_ms),
                loss_permille: mix.loss_permille,
                duplicate_permille: mix.duplicate_permille,
                ..Path::new(Duration::from_millis(dice.between(low, high)))
            };
            paths.push(((*from, *to), path));
        }
    }
    paths
}

/// Everything starts, and namespaces are configured.
fn begin(mix: &Mix, world: &mut World) {
    let delay = mix.tick;
    let namespace: Namespace = KEPT.parse().expect("a valid name");
    let homed: Namespace = HOMED.parse().expect("a valid name");
    let first = world.regions()[0];
    for region in world.regions() {
        configure_in(world, region, delay, || {
            configure(&namespace, "siblings", None, None)
        });
    }
    let mode = mix.workload.home_writes.then_some(HOME_WRITES);
    configure_in(world, first, delay, || {
        configure(&homed, "lww", Some(first), mode)
    });
    // A region that has not heard of it yet would make such writes itself.
    let deadline = world.now().elapsed() + ANSWER_TIME;
    while mix.workload.home_writes && !all_write_at_home(world, &homed) && world.now().elapsed() < deadline {
        world.step();
    }
}

/// Configures in a region; again where that of another region came in between, as the answer says.
fn configure_in(world: &mut World, region: RegionId, delay: Duration, request: impl Fn() -> Request<Body>) {
    for attempts_left in (0..CONFIGURE_ATTEMPTS).rev() {
        let request = request();
        let answered = ask(world, ANSWER_TIME * 2, move |gateway| async move {
            gateway.call(region, request, delay, ANSWER_TIME).await
        });
        match &answered {
            Some(Called::Answered(response)) if response.status().is_success() => return,
            Some(Called::Answered(response)) if response.status().as_u16() == 409 && attempts_left > 0 => {}
            _ => {
                let detail = format!("{region} does not configure a namespace: {answered:?}");
                world.recorder().violated("start", &detail);
                return;
            }
        }
    }
}

fn all_write_at_home(world: &World, namespace: &Namespace) -> bool {
    world.sites().into_iter().all(|site| {
        let context = world.context(site);
        context.is_some_and(|context| context.namespaces.get(namespace).writes_at_home)
    })
}

fn safety_phase(
    mix: &Mix,
    world: &mut World,
    (chaos, nodes): (&mut Chaos, &mut NodeOperator),
    history: &History,
) {
    let until = Moment::after(world.now().elapsed() + mix.duration);
    let sessions = Arc::new(Mutex::new(0));
    for number in 0..mix.workload.clients {
        let client = Client {
            id: ClientId(number),
            tick: mix.tick,
            dice: Dice::new(mix.seed, &format!("client {number}")),
            workload: mix.workload.clone(),
            regions: world.regions(),
            gateway: world.gateway(),
            history: history.clone(),
            sessions: Arc::clone(&sessions),
        };
        world.spawn_client(client.run(until));
    }
    let mut operator = Operator::new(mix);
    let mut voters = VoterWatch::default();
    while world.now() < until {
        chaos.act(world);
        operator.act(world);
        nodes.act(world);
        world.step();
        voters.look(world);
        sample(mix, world);
    }
}

/// Heals everything and waits until all regions are equal.
fn liveness_phase(mix: &Mix, world: &mut World, (chaos, nodes): (&mut Chaos, &mut NodeOperator)) -> Settled {
    chaos.heal(world);
    nodes.begin_nothing_more();
    let begun = world.now();
    let mut looked_at = begun;
    loop {
        nodes.act(world);
        world.step();
        health::note_changes(world);
        let now = world.now();
        let waited = now.elapsed().saturating_sub(begun.elapsed());
        if now.elapsed().saturating_sub(looked_at.elapsed()) < Duration::from_millis(250) {
            continue;
        }
        looked_at = now;
        let difference = nodes.unfinished(world).or_else(|| difference(world));
        match difference {
            None if health::first_unhealthy(world).is_some() && waited <= mix.settle_time => {}
            None if health::first_unhealthy(world).is_some() => {
                let detail = health::first_unhealthy(world).unwrap_or_default();
                world.recorder().violated("health", &detail);
                return Settled::After(waited);
            }
            // Requests of clients that have given up must have ended too, and those that they then repeat.
            None if waited > Duration::from_secs(12) => {
                world
                    .recorder()
                    .event(format!("settled after {} ms", waited.as_millis()));
                return Settled::After(waited);
            }
            Some(detail) if waited > mix.settle_time => {
                world.recorder().event(format!("not settled: {detail}"));
                return Settled::Never {
                    bound: mix.settle_time,
                    detail,
                };
            }
            _ => {}
        }
        if waited.as_secs() % 2 == 1 {
            chaos.tend(world);
        }
    }
}

/// What is different between the nodes, or not at rest.
fn difference(world: &World) -> Option<String> {
    if let Some(difference) = nobody_leads(world) {
        return Some(difference);
    }
    let mut first: Option<(Site, Vec<_>)> = None;
    let regions = world.regions().into_iter();
    for site in regions.flat_map(|region| world.members_of(region)) {
        let Some(context) = world.context(site) else {
            return Some(format!("{site} does not serve"));
        };
        let mut state = Vec::new();
        for partition in context.partitions.ids() {
            let view = context.partitions.view(partition);
            let at_rest = view.held_commits == 0 && view.stopped.is_none() && view.write_trouble.is_none();
            if !at_rest {
                return Some(format!(
                    "{site} is not at rest in partition {partition}: {view:?}"
                ));
            }
            state.push((partition, view.vector, view.digest_root));
        }
        match &first {
            None => first = Some((site, state)),
            Some((other, theirs)) => {
                if let Some((ours, theirs)) = state.iter().zip(theirs).find(|(ours, theirs)| ours != theirs) {
                    return Some(format!("{site} has {ours:?} and {other} has {theirs:?}"));
                }
            }
        }
    }
    None
}

/// Looks at what must stay bounded.
fn sample(mix: &Mix, world: &World) {
    sample_network(world);
    health::note_changes(world);
    for site in world.sites() {
        let Some(context) = world.context(site) else {
            continue;
        };
        let region = site.region;
        for (partition, term) in context.groups.led() {
            world.recorder().led(site, partition, term);
        }
        let held: usize = context
            .partitions
            .ids()
            .map(|id| context.partitions.read(id, |view| view.held_commits))
            .sum();
        let limit = limits::HELD_COMMITS_MAX * context.partitions.ids().count();
        world
            .recorder()
            .gauge(region, "held commits", held as u64, limit as u64);
        let logged: u64 = context
            .partitions
            .ids()
            .map(|id| context.partitions.read(id, |view| view.log_bytes))
            .sum();
        let limit = mix.retention_bytes + LOG_SLACK_BYTES;
        world.recorder().gauge(region, "bytes of logs", logged, limit);
        if held > 0 {
            world
                .recorder()
                .reached("commit held until its dependencies came");
        }
        for peer in &context.peers {
            let now = context.clock.tick();
            if peer.is_quarantined(now) {
                world.recorder().reached("link quarantined");
            }
            if peer.needs_resync() {
                world.recorder().reached("peer needs a resync");
            }
        }
        if !context.failures.all().is_empty() {
            world
                .recorder()
                .violated("actors", &format!("in {site}: {:?}", context.failures.all()));
        }
    }
}

/// What is on its way between the regions; held against what all pairs together may have unacknowledged.
fn sample_network(world: &World) {
    let (regions, count) = (world.regions(), world.sites().len());
    let pairs = count * count.saturating_sub(1);
    let limit = pairs * (limits::UNACKED_BYTES_MAX + limits::FRAME_BYTES_MAX);
    let bytes = world.fabric().bytes_under_way();
    world
        .recorder()
        .gauge(regions[0], "bytes between all regions", bytes, limit as u64);
}

/// Lets the world go on until a task outside of the regions has an answer.
pub fn ask<T, F>(
    world: &mut World,
    patience: Duration,
    question: impl FnOnce(crate::world::Gateway) -> F,
) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let slot: Arc<Mutex<Option<T>>> = Arc::default();
    let (filled, future) = (Arc::clone(&slot), question(world.gateway()));
    world.spawn_client(async move {
        let answer = future.await;
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    });
    let deadline = world.now().elapsed() + patience;
    loop {
        world.step();
        let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if answer.is_some() || world.now().elapsed() > deadline {
            return answer;
        }
    }
}

fn judge(
    mix: &Mix,
    world: World,
    history: &History,
    settled: Settled,
    finals: BTreeMap<RegionId, FinalRegion>,
) -> Report {
    let simulated = world.now().elapsed();
    let recorder = world.recorder().clone();
    drop(world);
    for panic in PANICS.take() {
        recorder.violated("panics", &panic);
    }
    let record = recorder.finish();
    let evidence = Evidence {
        operations: history.operations(),
        logged: record.logged,
        advertised: record.advertised,
        promised: record.promised,
        gauges: record.gauges,
        health: record.health,
        finals,
        settled,
    };
    let mut violations = record.violations;
    violations.extend(checkers::check_all(&evidence));
    let mut situations = record.situations;
    for (situation, count) in checkers::situations(&evidence) {
        *situations.entry(situation).or_default() += count;
    }
    Report {
        seed: mix.seed,
        nodes: mix.nodes,
        violations,
        situations,
        trace: record.trace,
        hash: record.hash,
        operations: evidence.operations.len(),
        commits: evidence.logged.len(),
        simulated,
    }
}
