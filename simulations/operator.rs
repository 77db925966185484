//! Somebody who moves the home of a namespace now and then, in the middle of load and of faults: asked of the home itself or
//! of any other region, never forced. Some old homes crash between the two writes of their hand-over.

use std::time::Duration;

use atoll::model::ids::{Namespace, RegionId};
use atoll::wire::namespace::HOME_WRITES;

use crate::dice::Dice;
use crate::evidence::Moment;
use crate::mix::Mix;
use crate::workload::{HOMED, configure};
use crate::world::site::Site;
use crate::world::{Called, World};

/// How often a move is considered.
const INTERVAL: Duration = Duration::from_millis(100);
/// Intervals in ten seconds: the unit of the rate.
const INTERVALS: u64 = 100;
/// Of a hundred old homes so many crash in between, if they begin to hand over in time.
const CRASH_PERCENT: u64 = 40;
/// Of a hundred that crash so many lose only some of their nodes, where they have several.
const SOME_NODES_PERCENT: u64 = 70;
/// So long a hand-over is waited for that shall be broken by a crash.
const CRASH_PATIENCE: Duration = Duration::from_secs(3);
/// Scheduler steps into a tick at which a crash may fall.
const CRASH_STEPS_MAX: u64 = 60;
/// What crashed comes back after about this.
const DOWN: Duration = Duration::from_secs(1);
/// An operator waits no longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Moves homes.
pub struct Operator {
    dice: Dice,
    rate: u64,
    homed: Namespace,
    mode: Option<&'static str>,
    next: Moment,
    /// The home that crashes when it hands over, and until when that is waited for.
    doomed: Option<(RegionId, Moment)>,
    boots: Vec<(Moment, Site)>,
}

impl Operator {
    /// As the mix says.
    pub fn new(mix: &Mix) -> Self {
        let moves = mix.workload.strong > 0 && mix.regions > 1;
        Self {
            dice: Dice::new(mix.seed, "operator"),
            rate: if moves { mix.workload.hand_overs } else { 0 },
            homed: HOMED.parse().expect("a valid name"),
            mode: mix.workload.home_writes.then_some(HOME_WRITES),
            next: Moment::default(),
            doomed: None,
            boots: Vec::new(),
        }
    }

    /// Does what is due.
    pub fn act(&mut self, world: &mut World) {
        let now = world.now();
        for (_, site) in self.boots.extract_if(.., |(at, _)| *at <= now) {
            world.boot(site);
        }
        self.crash(world);
        if now < self.next || self.rate == 0 {
            return;
        }
        self.next = Moment::after(now.elapsed() + INTERVAL);
        if self.dice.below(INTERVALS) < self.rate {
            self.move_home(world);
        }
    }

    fn crash(&mut self, world: &mut World) {
        let Some((home, until)) = self.doomed else {
            return;
        };
        let sites = world.sites_of(home).into_iter();
        let mut sites: Vec<Site> = sites.filter(|site| world.is_up(*site)).collect();
        if world.recorder().is_handing_over(home) && !sites.is_empty() {
            world.recorder().reached("home crashed while it handed over");
            if sites.len() > 1 && self.dice.percent(SOME_NODES_PERCENT) {
                // The others go on with it.
                let first = self.dice.below(sites.len() as u64);
                sites.rotate_left(usize::try_from(first).unwrap_or(0));
                let some = self.dice.between(1, sites.len() as u64 - 1);
                sites.truncate(usize::try_from(some).unwrap_or(1));
            }
            for site in sites {
                world.crash(site, self.dice.below(CRASH_STEPS_MAX));
                let back = world.now().elapsed() + self.dice.around(DOWN);
                self.boots.push((Moment::after(back), site));
            }
            self.doomed = None;
        } else if until < world.now() {
            self.doomed = None;
        }
    }

    fn move_home(&mut self, world: &World) {
        let regions = world.regions();
        let mut asked = *self.dice.pick(&regions);
        // Whoever is asked knows a home, of now or of before.
        let Some(context) = world.context_in(asked) else {
            return;
        };
        let Some(home) = context.namespaces.get(&self.homed).home_region else {
            return;
        };
        if self.dice.percent(60) {
            asked = home;
        }
        let others: Vec<RegionId> = regions.into_iter().filter(|region| *region != home).collect();
        let target = *self.dice.pick(&others);
        if self.dice.percent(CRASH_PERCENT) {
            let until = world.now().elapsed() + CRASH_PATIENCE;
            self.doomed = Some((home, Moment::after(until)));
        }
        let request = configure(&self.homed, "lww", Some(target), self.mode);
        let (gateway, recorder) = (world.gateway(), world.recorder().clone());
        recorder.event(format!(
            "{asked} is told to move the home from {home} to {target}"
        ));
        world.spawn_client(async move {
            let delay = Duration::from_millis(5);
            let called = gateway.call(asked, request, delay, PATIENCE).await;
            let answer = match &called {
                Called::Answered(response) => response.status().to_string(),
                Called::NotTaken | Called::Lost => "nothing".to_owned(),
            };
            recorder.event(format!("{asked} answers the move to {target}: {answer}"));
        });
    }
}
