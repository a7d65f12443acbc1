//! What a deployment needs against what its account may have, for people and for programs.

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use stepgrad_compiler::bound::quotas;
use stepgrad_deploy::{Compared, compare_quotas};

/// What is needed, and what there is.
#[derive(Debug)]
pub(crate) struct Quotas(Vec<Compared>);

impl Quotas {
    /// Asks the account; what it does not say is not known.
    pub(crate) async fn of(site: &Site) -> Self {
        let needs = quotas::needs(&site.compiled.bounds, &site.compiled.bundle, site.desired.code_bytes());
        Self(compare_quotas(&site.session, needs).await)
    }

    /// What is short, a line each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.0.iter().filter_map(Compared::warning).collect()
    }

    /// That what is to be can work.
    pub(crate) fn hold(&self) -> Result<(), Failure> {
        let cannot: Vec<_> =
            self.0.iter().filter(|compared| compared.cannot_work()).filter_map(Compared::warning).collect();
        if cannot.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Limit, cannot.join("\n"))) }
    }

    /// The table; what is short is marked with `!`.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([
            "",
            "quota of the account",
            "needed",
            "of",
            "code",
            "because",
        ]);
        for compared in &self.0 {
            let need = &compared.need;
            let mark = if compared.is_short() { "!" } else { "" };
            let with_unit = |number: String| format!("{number} {}", need.unit).trim_end().to_owned();
            let (have, code) = match &compared.quota {
                Some(quota) => {
                    let unit = if quota.unit == "None" { String::new() } else { format!(" {}", quota.unit) };
                    let default = if quota.applied { "" } else { " (default)" };
                    (format!("{}{unit}{default}", quota.value), quota.code.clone())
                }
                None => ("not known".to_owned(), String::new()),
            };
            let name = format!("{}: {}", need.service, need.name);
            table.add_row([
                mark.to_owned(),
                name,
                with_unit(need.need.to_string()),
                have,
                code,
                need.because.clone(),
            ]);
        }
        for column in [2, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        // One reason for all of a service.
        let why: BTreeSet<_> = self.0.iter().filter_map(|compared| compared.not_known.as_deref()).collect();
        let why: String = why.into_iter().map(|why| format!("- not known: {why}\n")).collect();
        let short: String = self.warnings().into_iter().map(|line| format!("! {line}\n")).collect();
        format!("{}\n\n{short}{why}", table.trim_fmt())
    }

    /// The same as data.
    pub(crate) fn json(&self) -> Value {
        json!(self.0)
    }
}
