//! Parses the command line, runs, and ends with the promised exit code.

use std::process::ExitCode;

use kinesis_autoscaler::{
    cli::{Cli, run},
    output::error::{Exit, Failure},
};

fn main() -> ExitCode {
    let cli = Cli::from_env();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run::run(&cli)),
        Err(error) => Err(Failure::new(Exit::Failed, error)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}
