//! The end of a run: what it reached, and where the time went.

use crate::record::{Run, Totals};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::fmt::Write;

/// For people.
pub(crate) fn text(run: &Run) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "run {}: {}", run.run, run.status.name());
    if let Some(result) = &run.result {
        let _ = write!(text, "{} rounds, {} epochs", result.rounds, result.epochs);
        if let Some(training) = result.training {
            let _ = write!(text, " · training loss {:.4}", training.loss);
        }
        if let Some(validation) = result.validation {
            let _ = write!(
                text,
                " · validation loss {:.4}, accuracy {:.2} %",
                validation.loss,
                validation.accuracy * 100.0
            );
        }
        let _ = writeln!(text, "\nweights sha256 {}", result.weights_sha256);
    }
    if let Some(error) = &run.error {
        let _ = writeln!(text, "{error}: {}", run.cause.as_deref().unwrap_or("no cause given"));
    }
    if let Some(before) = &run.rerun_of {
        let _ = writeln!(text, "repeats run {before}");
    }
    if let Some(hint) = &run.hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    if run.aws.is_some() {
        let totals = &run.totals;
        let _ = write!(
            text,
            "{:.2} s · {} invocations, {} of them failed · {} state transitions · {} executions",
            totals.seconds,
            totals.invocations,
            totals.failed_invocations,
            totals.transitions,
            totals.executions
        );
    } else {
        let _ = write!(text, "\n{}", times(&run.totals));
    }
    text
}

/// What the history of a run on AWS tells; the rest stands in the functions' logs there.
const TOLD_BY_AWS: [&str; 5] = ["seconds", "invocations", "failed_invocations", "transitions", "executions"];

fn times(totals: &Totals) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["where the time went", "seconds", "share"]);
    let whole = totals.seconds.max(f64::MIN_POSITIVE);
    let rows = [
        ("compute (gradients, training, evaluation)", totals.compute_seconds),
        ("exchange (averaging, publishing, collecting)", totals.exchange_seconds),
        ("set-up (data, initial and final model)", totals.setup_seconds),
        ("waiting (state machines, processes to start and end)", totals.waiting_seconds),
        ("in all", totals.seconds),
    ];
    for (what, seconds) in rows {
        table.add_row([
            what.to_owned(),
            format!("{seconds:.2}"),
            format!("{:.1} %", seconds / whole * 100.0),
        ]);
    }
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut counts = Table::new();
    counts.load_style(presets::NOTHING).set_header(["counts", ""]);
    let failed = match totals.failed_invocations {
        0 => String::new(),
        failed => format!(", {failed} of them failed"),
    };
    counts.add_row(["invocations".to_owned(), format!("{}{failed}", totals.invocations)]);
    counts.add_row([
        "cold starts".to_owned(),
        format!("{}, {:.2} s in all", totals.cold_starts, totals.cold_start_seconds),
    ]);
    counts.add_row(["GB seconds".to_owned(), format!("{:.2}", totals.gb_seconds)]);
    let moved = |objects: u64, bytes: u64| format!("{objects}, {}", indicatif::DecimalBytes(bytes));
    counts.add_row(["objects read".to_owned(), moved(totals.objects_read, totals.bytes_read)]);
    counts.add_row(["objects written".to_owned(), moved(totals.objects_written, totals.bytes_written)]);
    counts.add_row(["payloads".to_owned(), indicatif::DecimalBytes(totals.payload_bytes).to_string()]);
    counts.add_row(["state transitions".to_owned(), totals.transitions.to_string()]);
    counts.add_row(["executions".to_owned(), totals.executions.to_string()]);
    format!("{}\n\n{}", table.trim_fmt(), counts.trim_fmt())
}

/// For programs: the one line that `run -o json` ends with.
pub(crate) fn line(run: &Run) -> Value {
    let result = run.result.as_ref();
    let mut line = json!({
        "version": 1,
        "run": run.run,
        "status": run.status,
        "rounds": result.map(|result| result.rounds),
        "epochs": result.map(|result| result.epochs),
        "training": result.and_then(|result| result.training),
        "validation": result.and_then(|result| result.validation),
        "weights_sha256": result.map(|result| &result.weights_sha256),
        "stop": result.map(|result| result.stop),
        "error": run.error,
        "cause": run.cause,
        "hint": run.hint,
    });
    if !run.fired.is_empty() {
        line["fired"] = json!(run.fired);
    }
    if let (Some(line), Ok(Value::Object(mut totals))) =
        (line.as_object_mut(), serde_json::to_value(run.totals))
    {
        if run.aws.is_some() {
            totals.retain(|name, _| TOLD_BY_AWS.contains(&name.as_str()));
        }
        line.extend(totals);
    }
    line
}
