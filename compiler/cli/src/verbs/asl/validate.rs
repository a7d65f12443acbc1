//! `stepgrad asl validate`: all findings of a definition, in one line of JSON.

use super::{Type, read};
use crate::failure::Failure;
use crate::output::{self, Format};
use serde_json::json;
use std::path::PathBuf;
use stepgrad_asl::Severity;
use stepgrad_engine::core::limits::{LIMITS, Limit};

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The definition, a JSON file.
    #[arg(long, value_name = "FILE")]
    definition: PathBuf,
    /// The type of the state machine.
    #[arg(long = "type", value_enum, ignore_case = true, default_value_t)]
    kind: Type,
    /// Give the limits that AWS and this engine set as well, and what happens beyond them.
    #[arg(long)]
    explain: bool,
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
        if args.explain {
            for limit in LIMITS {
                let Limit { name, most, unit, beyond } = limit;
                output::say(&format!("limit: {name}: {most} {unit}; beyond it {beyond}"));
            }
            output::say(&format!("{path}: the definition has {} bytes", text.len()));
        }
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        let warnings = findings.len() - errors;
        let verdict = if valid { "valid" } else { "not valid" };
        output::say(&format!("{path}: {verdict}, {errors} errors, {warnings} warnings"));
    }
    let mut line = json!({"version": 1, "valid": valid, "diagnostics": findings});
    if args.explain {
        let limits = LIMITS.iter().map(|limit| {
            json!({"name": limit.name, "most": limit.most, "unit": limit.unit, "beyond": limit.beyond})
        });
        line["limits"] = limits.collect();
        line["bytes"] = json!(text.len());
    }
    output::json(&line);
    Ok(())
}
