//! Runs what the command line asks for: one tick, the daemon, or a subcommand.

mod backtest;
mod config;
mod ticks;
mod world;

use std::io::{self, Write};

use self::world::{command_context, command_context_and, command_context_for, world};
use crate::{
    cli::{Cli, Command, Output, TableCommand, completions},
    commands::{
        check::{self, Findings},
        consent::Consent,
        history, pause, provision, scale, shards, status, subscriptions,
    },
    config::is_ours,
    output::{
        error::{Exit, Failure},
        print, stdout_colour, terminal_width,
    },
};

/// Names the variables that would configure the program without `--sandbox`.
fn warn_of_variables() {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names = set.filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_ours(name)).collect();
    if names.is_empty() {
        return;
    }
    names.sort();
    let (verb, names) = (
        if names.len() == 1 { "is" } else { "are" },
        names.join(", "),
    );
    // With standard error closed there is nobody to tell.
    let _ = writeln!(
        io::stderr(),
        "warning: --sandbox reads no configuration file or variable (--set works): {names} {verb} ignored"
    );
}

/// Runs the command line.
pub async fn run(cli: &Cli) -> Result<Exit, Failure> {
    if cli.sandbox && !cli.quiet {
        warn_of_variables();
    }
    match &cli.command {
        Some(Command::Completions { shell }) => {
            print(&completions::script(*shell))?;
            Ok(Exit::Done)
        }
        None if cli.once => ticks::once(cli).await,
        None => ticks::daemon(cli).await,
        Some(Command::Check {
            offline: true,
            strict,
            ..
        }) => offline(cli, *strict),
        Some(Command::Check {
            policy,
            strict,
            streams,
            ..
        }) => {
            let made = command_context_for(cli, &streams.names).await?;
            let asked = check::Asked {
                scope: match streams.names.is_empty() {
                    true => check::Scope::All,
                    false => check::Scope::Chosen,
                },
                policy: *policy,
                strict: *strict,
            };
            check::run(&made.context, cli.output, stdout_colour(), asked).await
        }
        Some(Command::Config { command }) => config::run(cli, command).await,
        Some(Command::Alarms { command }) => {
            // The alarms of a stream that a pattern matches may be what is to be created.
            let made = command_context_and(cli, &[], command.streams()).await?;
            let exit = provision::alarms::run(&made.context, command, cli.output).await?;
            Ok(subscriptions::of_what_is_known(&made.context, exit))
        }
        Some(Command::Table {
            command: TableCommand::Print { format },
        }) => {
            let table = world(cli)?.config.log.table;
            print(&provision::table::print(&table, *format, cli.output))?;
            Ok(Exit::Done)
        }
        Some(Command::Table {
            command: TableCommand::Create,
        }) => {
            print(
                &provision::table::create(&command_context(cli).await?.context, cli.output).await?,
            )?;
            Ok(Exit::Done)
        }
        Some(Command::Scale(args)) => {
            let consent = Consent::from_flag(args.yes || cli.dry_run);
            scale::run(
                &command_context(cli).await?.context,
                args,
                cli.output,
                consent,
            )
            .await
        }
        Some(Command::Shards(args)) => {
            shards::run(&command_context(cli).await?.context, args, cli.output).await
        }
        Some(Command::Pause(args)) => {
            pause::pause(&command_context(cli).await?.context, args, cli.output).await
        }
        Some(Command::Resume(args)) => {
            pause::resume(&command_context(cli).await?.context, args, cli.output).await
        }
        Some(Command::Backtest(args)) => backtest::run(cli, args).await,
        Some(Command::Status(args)) => {
            let made = command_context_for(cli, &args.names()).await?;
            status::run(&made.context, args, cli.output).await
        }
        Some(Command::History(args)) => {
            history::run(&command_context(cli).await?.context, args, cli.output).await
        }
    }
}

/// Checks the configuration without asking AWS.
fn offline(cli: &Cli, strict: bool) -> Result<Exit, Failure> {
    let world = match world(cli) {
        Ok(world) => world,
        Err(failure) if cli.output == Output::Json => {
            let findings = Findings::of_failure(&failure);
            print(&findings.render(Output::Json, None, false, None))?;
            return Ok(failure.exit);
        }
        Err(failure) => return Err(failure),
    };
    let findings = check::offline(&world.config, world.clock.now());
    print(&findings.render(cli.output, terminal_width(), stdout_colour(), None))?;
    Ok(findings.exit(strict))
}
