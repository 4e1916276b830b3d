//! The world of `--sandbox`.

use std::time::Duration;

use autoscaler_sandbox::{Sandbox, demo};
use kinesis_autoscaler::{
    config::Config,
    reconcile::{clock::Clock, tick::Autoscaler},
};

use crate::world::{World, tick};

#[tokio::test(start_paused = true)]
async fn the_first_tick_of_the_demo_ends_before_the_next_is_due() {
    const SPEED: u32 = 240;
    let world = World::new();
    let clock = Clock::simulated(world.clock.now(), SPEED);
    let sandbox = Sandbox::new(clock.reader());
    demo::build(&sandbox, demo::REGION, |by| clock.jump(by));
    let text = format!(
        "state_dir = {:?}\n[aws]\nregion = {:?}\n[log]\ntable = {:?}\n{}",
        world.state.path(),
        demo::REGION,
        demo::TABLE,
        demo::config(SPEED)
    );
    let demo_world = World {
        clock,
        sandbox,
        ..world
    };
    let config = Config::from_toml(&text).expect("the demo's configuration");
    let context = demo_world.context(config, false).await;
    let mut autoscaler = Autoscaler::new(context, true);
    autoscaler.inspect_all();
    let started = tokio::time::Instant::now();
    let report = tick(&mut autoscaler).await;
    assert!(report.streams.iter().filter(|it| it.acts()).count() >= 4);
    // Waiting for quotas is all that takes time here.
    assert!(started.elapsed() < Duration::from_secs(1), "{report:#?}");
}
