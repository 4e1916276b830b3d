//! What the program runs against, AWS or the sandbox, and the context that commands get.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, sync::Arc};

use autoscaler_sandbox::{RegionHandle, Sandbox, demo};
use aws_types::os_shim_internal::Env;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::{
    aws::{Aws, ConnectError, Transport},
    cli::{Cli, Command},
    commands::subscriptions,
    config::{CONFIG_VARIABLE, Config, Overrides, Setting},
    output::{
        error::{Exit, Failure, Report as ErrorReport},
        logging::{self, Level},
    },
    reconcile::{
        clock::Clock,
        context::{Context, Process, Role},
        discovery::discover,
    },
};

/// In the sandbox's daemon a simulated day takes six minutes: ticks are one second, or four
/// simulated minutes, apart.
const DEMO_SPEED: u32 = 240;

/// What the program runs against: AWS, or the embedded one.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
    /// Set with `--sandbox`.
    pub(super) demo: Option<Demo>,
}

/// The embedded AWS, and the state directory of this process.
pub(super) struct Demo {
    pub(super) region: RegionHandle,
    /// Removed when this is dropped. Every process has its own, so that two can run side by side.
    _state: TempDir,
}

pub(super) fn load(cli: &Cli) -> Result<Config, Failure> {
    let path = cli.config_path(std::env::var_os(CONFIG_VARIABLE).as_deref());
    Ok(Config::load(&path, Overrides::from_env(cli.set.clone()))?)
}

pub(super) fn world(cli: &Cli) -> Result<World, Failure> {
    if cli.sandbox {
        // Commands that only read see a demo that stands still; `scale --wait` should not take real
        // minutes.
        let runs = matches!(cli.command, None | Some(Command::Scale(_)));
        return demo_world(cli.once || !runs, cli.set.clone());
    }
    network(load(cli)?)
}

/// AWS itself.
pub(super) fn network(config: Config) -> Result<World, Failure> {
    let transport = Transport::network(&Env::real(), config.ca_bundle.as_deref());
    let transport = transport.map_err(|error| {
        let hint = error.hint();
        Failure::new(Exit::Config, ErrorReport::new(error).hint(hint))
    })?;
    Ok(World {
        config,
        transport,
        clock: Clock::system(),
        demo: None,
    })
}

/// The demo at the present time. The daemon and `scale` run it faster than real time.
fn demo_world(once: bool, settings: Vec<Setting>) -> Result<World, Failure> {
    let clock = Clock::simulated(
        Timestamp::now() - demo::AGE_OF_ALARMS,
        if once { 1 } else { DEMO_SPEED },
    );
    let sandbox = Sandbox::new(clock.reader());
    demo::build(&sandbox, demo::REGION, |by| clock.jump(by));
    let state = demo_state()?;
    let text = demo_config(&state, clock.speed());
    let config = Config::from_toml_and(&text, settings)?;
    let transport = Transport::embedded(sandbox.http_client());
    Ok(World {
        config,
        transport,
        clock,
        demo: Some(Demo {
            region: sandbox.region(demo::REGION),
            _state: state,
        }),
    })
}

pub(super) fn demo_config(state: &TempDir, speed: u32) -> String {
    format!(
        "schedule = \"* * * * * *\"\nstate_dir = {:?}\n[aws]\nregion = \"{}\"\n[log]\ntable = \"{}\"\n{}",
        state.path(),
        demo::REGION,
        demo::TABLE,
        demo::config(speed),
    )
}

/// An empty state directory whose name other users can neither guess nor create in advance.
pub(super) fn demo_state() -> Result<TempDir, Failure> {
    let made = tempfile::Builder::new()
        .prefix("kinesis-autoscaler-sandbox-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir();
    made.map_err(|error| Failure::new(Exit::Failed, error))
}

/// Creates the clients; no request is sent yet.
pub(super) async fn connect(world: &World) -> Result<Aws, Failure> {
    let connected = Aws::connect(&world.config, world.transport.clone()).await;
    connected.map_err(|error| {
        let no_metadata = std::env::var("AWS_EC2_METADATA_DISABLED");
        let exit = match error {
            ConnectError::NoRegion(_) => {
                no_region(no_metadata.is_ok_and(|it| it.eq_ignore_ascii_case("true")))
            }
            _ => Exit::Config,
        };
        let hint = error.hint();
        Failure::new(exit, ErrorReport::new(error).hint(hint))
    })
}

/// The instance metadata service may answer later, so a service that got no Region from it should
/// be restarted.
fn no_region(metadata_is_off: bool) -> Exit {
    match metadata_is_off {
        true => Exit::Config,
        false => Exit::Failed,
    }
}

pub(super) fn context(world: World, aws: Aws, dry_run: bool, role: Role) -> Context {
    let process = Process {
        host: host_name(),
        role,
        dry_run,
    };
    Context::new(world.config, aws, world.clock, process)
}

/// The context of a command.
pub(super) struct CommandContext {
    pub(super) context: Arc<Context>,
    /// Keeps the demo's state directory until the command has ended.
    _demo: Option<Demo>,
}

pub(super) async fn command_context(cli: &Cli) -> Result<CommandContext, Failure> {
    command_context_for(cli, &[]).await
}

/// The context of a command for the named streams only, or for all of them.
pub(super) async fn command_context_for(
    cli: &Cli,
    streams: &[String],
) -> Result<CommandContext, Failure> {
    command_context_and(cli, streams, &[]).await
}

/// The same, with those of `nominees` that a pattern matches, also if they have no alarms.
pub(super) async fn command_context_and(
    cli: &Cli,
    streams: &[String],
    nominees: &[String],
) -> Result<CommandContext, Failure> {
    let mut world = world(cli)?;
    logging::start(
        world.config.log_format,
        cli.log_level(Level::Warn),
        &world.clock,
    );
    let aws = connect(&world).await?;
    let demo = world.demo.take();
    let mut context = discover(context(world, aws, cli.dry_run, Role::Command), nominees).await;
    if !matches!(cli.command, Some(Command::Check { .. })) {
        subscriptions::warn_of_unlisted(&context);
    }
    if !streams.is_empty() {
        let chosen = subscriptions::select(&context, streams).await?;
        let mut roster = (*context.roster).clone();
        roster.keep(&chosen);
        context = context.with_roster(roster);
    }
    Ok(CommandContext {
        context: Arc::new(context),
        _demo: demo,
    })
}

/// This machine's name, for rows and the lease.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
