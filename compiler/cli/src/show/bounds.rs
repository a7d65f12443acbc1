//! `compile --explain`: every limit with its worst case, and what was chosen.

use comfy_table::{CellAlignment, Table, presets};
use stepgrad_compiler::bound::Bounds;

/// The table and the choices.
pub(crate) fn text(bounds: &Bounds) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["limit", "worst case", "of", "", "used", "because"]);
    for figure in &bounds.figures {
        // Tenths of a percent, rounded up: nothing that is over shows as 100 %.
        let tenths = (figure.worst * 1_000).div_ceil(figure.limit.max(1));
        table.add_row([
            figure.what.clone(),
            figure.worst.to_string(),
            figure.limit.to_string(),
            figure.unit.to_owned(),
            format!("{}.{} %", tenths / 10, tenths % 10),
            figure.because.clone(),
        ]);
    }
    for column in [1, 2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let choices: String = bounds.choices.iter().map(|choice| format!("- {choice}\n")).collect();
    format!("{}\n\n{choices}", table.trim_fmt())
}
