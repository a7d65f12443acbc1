//! `stepgrad schema`: the JSON Schema of specs, for editors.

use crate::failure::Failure;
use crate::output;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    output::data(&format!("{:#}\n", stepgrad_compiler::spec::schema()));
    Ok(())
}
