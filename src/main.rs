//! Parses the command line, runs, and ends with the promised exit code.

use std::process::ExitCode;

use kinesis_autoscaler::{
    cli::{Cli, Output, run},
    output::{
        self,
        error::{Exit, Failure},
    },
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
            if cli.output == Output::Json {
                // With standard output closed, the exit code and standard error still say it.
                let _ = output::print(&failure.to_json());
            }
            failure.exit.into()
        }
    }
}
