//! `config`: `show` asks AWS nothing, and `init` needs no configuration.

use std::{path::Path, sync::Arc};

use super::{
    backtest::unconfigured,
    world::{connect, context, demo_config, demo_state, network, world},
};
use crate::{
    cli::{Cli, ConfigCommand},
    commands::config::{init, render},
    config::{CONFIG_VARIABLE, Config, Overrides, Shown},
    output::{
        error::{Exit, Failure},
        logging::{self, Level},
        print,
    },
    reconcile::context::Role,
};

pub(super) async fn run(cli: &Cli, command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show => {
            print(&render(&shown(cli)?, cli.output))?;
            Ok(Exit::Done)
        }
        ConfigCommand::Init { out } => init(cli, out.as_deref()).await,
    }
}

/// The configuration in force; in the sandbox, that of the demo.
fn shown(cli: &Cli) -> Result<Shown, Failure> {
    if cli.sandbox {
        let text = demo_config(&demo_state()?, 1);
        return Ok(Config::show_toml(&text, cli.set.clone())?);
    }
    let path = cli.config_path(std::env::var_os(CONFIG_VARIABLE).as_deref());
    Ok(Config::show(&path, &Overrides::from_env(cli.set.clone()))?)
}

async fn init(cli: &Cli, out: Option<&Path>) -> Result<Exit, Failure> {
    let mut world = match cli.sandbox {
        true => world(cli)?,
        // A configuration subscribes at least one stream; this one is never asked for.
        false => network(unconfigured(cli, &["unnamed".to_owned()])?)?,
    };
    logging::start(
        world.config.log_format,
        cli.log_level(Level::Warn),
        &world.clock,
    );
    let aws = connect(&world).await?;
    let _demo = world.demo.take();
    let context = Arc::new(context(world, aws, cli.dry_run, Role::Command));
    init::run(&context, out, cli.output).await
}
