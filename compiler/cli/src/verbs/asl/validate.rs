//! `stepgrad asl validate`: all findings of a definition, in one line of JSON.

use super::{Type, read};
use crate::failure::Failure;
use crate::output::{self, Format};
use serde_json::json;
use std::path::PathBuf;
use stepgrad_asl::Severity;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The definition, a JSON file.
    #[arg(long, value_name = "FILE")]
    definition: PathBuf,
    /// The type of the state machine.
    #[arg(long = "type", value_enum, ignore_case = true, default_value_t)]
    kind: Type,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let text = read(&args.definition)?;
    let findings = stepgrad_asl::validate(&text, args.kind.into());
    let valid = findings.iter().all(|finding| finding.severity != Severity::Error);
    if format == Format::Text {
        let path = args.definition.display();
        for finding in &findings {
            output::say(&format!("{path}: {finding}"));
        }
    }
    output::json(&json!({"version": 1, "valid": valid, "diagnostics": findings}));
    Ok(())
}
