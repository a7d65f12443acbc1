//! `stepgrad completions SHELL`: what the shell needs to complete this command.

use crate::failure::Failure;
use crate::output;
use clap::CommandFactory;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(crate) fn run<C: CommandFactory>(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut C::command(), "stepgrad", &mut script);
    output::data(&String::from_utf8_lossy(&script));
    Ok(())
}
