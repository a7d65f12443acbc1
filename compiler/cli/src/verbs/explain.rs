//! `stepgrad explain CODE`: the page of an error's or a warning's code.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use stepgrad_asl::check::reference;
use stepgrad_compiler::diagnostic::Code;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code, e.g. SG003 or ASL041; without one, all codes are listed.
    code: Option<String>,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let Some(wanted) = &args.code else {
        if format == Format::Json {
            let codes: Vec<_> = Code::ALL
                .iter()
                .map(|code| serde_json::json!({"code": code.name(), "title": code.title()}))
                .collect();
            output::json(&serde_json::json!({"version": 1, "codes": codes}));
            return Ok(());
        }
        for code in Code::ALL {
            let title = code.page().lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
            output::data(&format!("{title}\n"));
        }
        for (code, title) in reference::codes() {
            output::data(&format!("{code}: {title}\n"));
        }
        return Ok(());
    };
    let name = wanted.to_uppercase();
    // The states language has codes of its own.
    let page = match name.parse::<Code>() {
        Ok(code) => code.page().to_owned(),
        Err(_) => reference::page(&name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{wanted} is not a code; `stepgrad explain` lists them"))
        })?,
    };
    if format == Format::Json {
        output::json(&serde_json::json!({"version": 1, "code": name, "page": page}));
    } else {
        output::data(&page);
    }
    Ok(())
}
