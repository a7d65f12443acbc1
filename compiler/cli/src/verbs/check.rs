//! `stepgrad check SPEC`: everything that is wrong with a spec, in one go, without writing anything.

use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::{Loaded, SpecArgs};
use serde_json::json;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let mut loaded = Loaded::load(&args.spec, format)?;
    loaded.warn_of_files(&args.spec);
    // The bounds are part of what can be wrong with a spec.
    loaded.compile(&args.spec, format)?;
    if format == Format::Json {
        output::json(&json!({"version": 1, "valid": true, "diagnostics": loaded.findings()}));
    } else {
        output::say(&format!("{}: no errors", loaded.name));
    }
    Ok(())
}
