//! `stepgrad schema`: the JSON Schema of specs and of fault files, for editors.

use crate::failure::Failure;
use crate::output;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// That of fault files instead.
    #[arg(long)]
    faults: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let schema =
        if args.faults { stepgrad_compiler::faults::schema() } else { stepgrad_compiler::spec::schema() };
    output::data(&format!("{schema:#}\n"));
    Ok(())
}
