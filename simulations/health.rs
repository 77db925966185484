//! Watches the states of the regions during a run.

use std::time::Duration;

use atoll::model::health::RegionState;
use atoll::model::tick::Tick;

use crate::evidence::HealthLife;
use crate::world::World;

/// The first node that is not healthy, though all are equal and at rest.
pub fn first_unhealthy(world: &World) -> Option<String> {
    let regions = world.regions().into_iter();
    let mut members = regions.flat_map(|region| world.members_of(region));
    members.find_map(|site| {
        let context = world.context(site)?;
        let report = context.health.look(&context);
        (report.state != RegionState::Healthy).then(|| {
            format!(
                "{site} is {} long after everything was healed: {:?}",
                report.state.name(),
                report.reasons
            )
        })
    })
}

/// Notes the states that regions have gone through.
pub fn note_changes(world: &World) {
    for site in world.sites() {
        let (Some(context), Some(life)) = (world.context(site), world.life(site)) else {
            continue;
        };
        let recorder = world.recorder();
        let seen = recorder.changes_seen(life);
        // Nearly always: looking is cheap then.
        if context.health.changes() == seen as u64 {
            continue;
        }
        let transitions = context.health.transitions();
        for transition in transitions.iter().skip(seen) {
            recorder.event(format!(
                "{site} was {} and is {}: {:?}",
                transition.from.name(),
                transition.to.name(),
                transition.reasons
            ));
            recorder.reached(match transition.to {
                RegionState::Healthy => "region healthy again",
                RegionState::Degraded => "region degraded",
                RegionState::Unhealthy => "region unhealthy",
                RegionState::Recovering => "region recovering",
            });
        }
        recorder.lived(HealthLife {
            region: site.region,
            life,
            lasted: Duration::from_millis(context.clock.tick().millis_since(Tick::default())),
            calm_ms: context.health.calm_ms(),
            transitions,
        });
    }
}
