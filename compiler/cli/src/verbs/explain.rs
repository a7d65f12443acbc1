//! `stepgrad explain CODE`: the page of an error's or a warning's code.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use stepgrad_compiler::diagnostic::Code;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code, e.g. SG003; without one, all codes are listed.
    code: Option<String>,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let Some(wanted) = &args.code else {
        for code in Code::ALL {
            let title = code.page().lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
            output::data(&format!("{title}\n"));
        }
        return Ok(());
    };
    let code: Code = wanted.to_uppercase().parse().map_err(|_| {
        Failure::new(Exit::Usage, format!("{wanted} is not a code; `stepgrad explain` lists them"))
    })?;
    if format == Format::Json {
        output::json(&serde_json::json!({"version": 1, "code": code.to_string(), "page": code.page()}));
    } else {
        output::data(code.page());
    }
    Ok(())
}
