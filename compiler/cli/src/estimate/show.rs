//! The cost of a run for people and for programs.

use super::Costs;
use super::measured::{Measured, Moved};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepgrad_compiler::estimate::{Cost, Counts, Estimate};
use stepgrad_compiler::prices::US_EAST_1;
use stepgrad_contract::Function;
use stepgrad_contract::budget::{DOLLAR, dollars};

/// Bytes of a GB as AWS bills storage.
const GB: f64 = 1_073_741_824.0;

/// How long calls take: as a run has measured it, or for all of their time limit.
fn seconds(estimate: &Estimate, measured: Option<&Measured>) -> BTreeMap<Function, f64> {
    let mut seconds = estimate.limits();
    if let Some(measured) = measured {
        seconds.extend(&measured.seconds);
    }
    seconds
}

/// Requests to S3 and bytes of logs that these calls come to.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    reads: f64,
    writes: f64,
    log_bytes: f64,
}

impl Traffic {
    /// `None` where a function was called that was not measured.
    fn of(counts: &Counts, moved: &BTreeMap<Function, Moved>) -> Option<Self> {
        let mut sum = Self::default();
        for (function, calls) in &counts.calls {
            let each = moved.get(function)?;
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let calls = *calls as f64;
            sum.reads += calls * each.reads;
            sum.writes += calls * each.writes;
            sum.log_bytes += calls * each.log_bytes;
        }
        Some(sum)
    }

    /// Of S3 and of logs, in nano-dollars.
    fn cost(self) -> (u64, u64) {
        let prices = US_EAST_1;
        (
            amount(self.reads, prices.s3_read).saturating_add(amount(self.writes, prices.s3_write)),
            amount(self.log_bytes / GB, prices.log_gb),
        )
    }
}

/// A number of units at a price, in nano-dollars, rounded up.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an amount that is an estimate"
)]
fn amount(units: f64, price: u64) -> u64 {
    (units.max(0.0) * price as f64).ceil() as u64
}

/// GB-seconds of these calls, by the memory in MB of each function.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn gb_seconds(counts: &Counts, seconds: &BTreeMap<Function, f64>, memory: &BTreeMap<Function, u32>) -> f64 {
    let of = |(function, calls): (&Function, &u64)| {
        let memory = memory.get(function).copied().unwrap_or(0);
        *calls as f64 * seconds.get(function).copied().unwrap_or(0.0) * f64::from(memory) / 1_024.0
    };
    counts.calls.iter().map(of).sum()
}

/// What stays costs by the month, in nano-dollars.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn a_month(bytes: u64) -> u64 {
    amount(bytes as f64 / GB, US_EAST_1.s3_gb_month)
}

/// A number of bytes for people.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// For people.
pub(crate) fn text(costs: &Costs) -> String {
    let prices = US_EAST_1.whose(costs.region.as_deref());
    let (estimate, source) = match &costs.estimate {
        Ok((estimate, source)) => (estimate, source),
        Err(why) => {
            return format!("What a run does and costs is not known: {why}\n{prices}\n{}", stored(costs));
        }
    };
    let measured = costs.measured.as_ref();
    let seconds = seconds(estimate, measured);
    let (epoch, run, worst) = (&estimate.epoch.counts, &estimate.run, estimate.worst);
    let (of_epoch, of_run) = (estimate.cost(epoch, &seconds), estimate.cost(run, &seconds));
    let epochs = match estimate.epoch.epochs {
        1 => "an epoch".to_owned(),
        epochs => format!("{epochs} epochs"),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["if nothing fails", &epochs, "a run", "at the most"]);
    let mut row = |what: &str, epoch: String, run: String, most: String| {
        table.add_row([what.to_owned(), epoch, run, most]);
    };
    let none = String::new;
    row("rounds", estimate.epoch.rounds.to_string(), estimate.rounds.to_string(), none());
    row("executions", epoch.executions.to_string(), run.executions.to_string(), none());
    row(
        "state transitions",
        epoch.transitions.to_string(),
        run.transitions.to_string(),
        worst.transitions.to_string(),
    );
    row(
        "calls of functions",
        epoch.invocations().to_string(),
        run.invocations().to_string(),
        worst.invocations.to_string(),
    );
    let limit = if measured.is_some() { "" } else { "≤ " };
    let time_of = |counts: &Counts| format!("{limit}{:.1}", gb_seconds(counts, &seconds, &costs.memory));
    let most = worst.mb_seconds.div_ceil(1_024);
    row("GB-seconds of functions", time_of(epoch), time_of(run), format!("{most}.0"));
    let time = |cost: Cost| format!("{limit}{}", dollars(cost.time));
    row("USD for transitions", dollars(of_epoch.transitions), dollars(of_run.transitions), none());
    row("USD for requests of functions", dollars(of_epoch.requests), dollars(of_run.requests), none());
    row("USD for time of functions", time(of_epoch), time(of_run), none());
    let beside = |counts: &Counts| measured.and_then(|measured| Traffic::of(counts, &measured.moved));
    let (beside_epoch, beside_run) = (beside(epoch).map(Traffic::cost), beside(run).map(Traffic::cost));
    if let (Some(epoch), Some(run)) = (beside_epoch, beside_run) {
        row("USD for requests to S3", dollars(epoch.0), dollars(run.0), none());
        row("USD for logs", dollars(epoch.1), dollars(run.1), none());
    }
    let sum = |cost: Cost, beside: Option<(u64, u64)>| {
        let (s3, logs) = beside.unwrap_or_default();
        format!("{limit}{}", dollars(cost.total().saturating_add(s3).saturating_add(logs)))
    };
    row("USD for these", sum(of_epoch, beside_epoch), sum(of_run, beside_run), dollars(worst.cost));
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let calls: Vec<_> = run.calls.iter().map(|(function, calls)| format!("{function} {calls}")).collect();
    let lines = [
        format!("calls of a run: {}", calls.join(", ")),
        format!("batches: from {source}; a run that makes all its epochs, one that stops early costs less"),
        match measured {
            Some(measured) => format!("time: what calls of run {} were billed on average; calls that it did not make count with their time limit", measured.run),
            None => "time: not known before a run, so every call counts with its whole time limit, which is far more than it takes; --like RUN takes what a run measured".to_owned(),
        },
        "at the most: every attempt of every call, each for its whole time limit and 10 s of initialisation; this is what budget.usd is held against".to_owned(),
        moved(run, measured),
        prices,
    ];
    let lines: String = lines.into_iter().map(|line| format!("- {line}\n")).collect();
    format!("{}\n\n{lines}{}", table.trim_fmt(), stored(costs))
}

/// What goes to S3 and to logs beside it.
fn moved(run: &Counts, measured: Option<&Measured>) -> String {
    let Some(measured) = measured else {
        return "not counted: requests to S3 and logs, which --like RUN counts; metrics, traces, keys and traffic".to_owned();
    };
    let Some(traffic) = Traffic::of(run, &measured.moved) else {
        return format!(
            "not counted: requests to S3 and logs, as the logs of run {} are not here, or lack a function; metrics, traces, keys and traffic",
            measured.run
        );
    };
    format!(
        "S3 and logs: {:.0} reads, {:.0} writes and {:.1} MB of logs, as calls of run {} moved on average, and not part of what is at the most; not counted: metrics, traces, keys and traffic",
        traffic.reads.ceil(),
        traffic.writes.ceil(),
        traffic.log_bytes / 1_048_576.0,
        measured.run,
    )
}

/// What goes on costing.
fn stored(costs: &Costs) -> String {
    let mut text = String::new();
    if let Some(bytes) = costs.stored_bytes {
        let (size, month) = (megabytes(bytes), dollars(a_month(bytes)));
        text.push_str(&format!("- while it is deployed: {size} in S3, {month} USD a month; nothing else of it costs while no run is under way\n"));
    }
    if let Some(bytes) = costs.measured.as_ref().and_then(|measured| measured.kept_bytes) {
        let (size, month) = (megabytes(bytes), dollars(a_month(bytes)));
        text.push_str(&format!(
            "- each run leaves about {size} in S3, {month} USD a month, until it is deleted\n"
        ));
    }
    text
}

/// Nano-dollars as dollars.
#[expect(clippy::cast_precision_loss, reason = "an amount for people and programs")]
fn usd(amount: u64) -> f64 {
    amount as f64 / DOLLAR as f64
}

/// For programs. Dollars are numbers; what is not known is null and says why.
pub(crate) fn json(costs: &Costs) -> Value {
    let prices = json!(US_EAST_1);
    let stored = json!({
        "deployed_bytes": costs.stored_bytes,
        "deployed_usd_a_month": costs.stored_bytes.map(|bytes| usd(a_month(bytes))),
    });
    let (estimate, source) = match &costs.estimate {
        Ok((estimate, source)) => (estimate, source),
        Err(why) => return json!({"not_known": why, "prices_in_nano_usd": prices, "stored": stored}),
    };
    let measured = costs.measured.as_ref();
    let seconds = seconds(estimate, measured);
    let part = |counts: &Counts| {
        let cost = estimate.cost(counts, &seconds);
        let traffic = measured.and_then(|measured| Traffic::of(counts, &measured.moved));
        let beside = traffic.map(Traffic::cost).map_or(0, |(s3, logs)| s3.saturating_add(logs));
        json!({
            "transitions": counts.transitions,
            "executions": counts.executions,
            "invocations": counts.invocations(),
            "calls": json!(counts)["calls"],
            "gb_seconds": gb_seconds(counts, &seconds, &costs.memory),
            "usd": {
                "transitions": usd(cost.transitions),
                "requests": usd(cost.requests),
                "time": usd(cost.time),
                "s3": traffic.map(|traffic| usd(traffic.cost().0)),
                "logs": traffic.map(|traffic| usd(traffic.cost().1)),
                "total": usd(cost.total().saturating_add(beside)),
            },
            "s3": traffic.map(|traffic| json!({"reads": traffic.reads.ceil(), "writes": traffic.writes.ceil()})),
            "log_bytes": traffic.map(|traffic| traffic.log_bytes.ceil()),
        })
    };
    let (mut run, mut epoch) = (part(&estimate.run), part(&estimate.epoch.counts));
    run["rounds"] = json!(estimate.rounds);
    run["segments"] = json!(estimate.segments);
    epoch["rounds"] = json!(estimate.epoch.rounds);
    epoch["epochs"] = json!(estimate.epoch.epochs);
    let worst = estimate.worst;
    #[expect(clippy::cast_precision_loss, reason = "a bound")]
    let worst_gb_seconds = worst.mb_seconds as f64 / 1_024.0;
    json!({
        "batches_from": source,
        "time": if measured.is_some() { "measured" } else { "limit" },
        "measured": measured,
        "run": run,
        "epoch": epoch,
        "worst_case": {
            "transitions": worst.transitions,
            "invocations": worst.invocations,
            "gb_seconds": worst_gb_seconds,
            "usd": usd(worst.cost),
        },
        "stored": stored,
        "prices_in_nano_usd": prices,
    })
}

#[cfg(test)]
mod tests {
    use super::{a_month, amount, megabytes};

    #[test]
    fn amounts_are_rounded_up_and_sizes_are_told_in_tenths() {
        assert_eq!((amount(0.5, 3), amount(-1.0, 3)), (2, 0));
        assert_eq!(a_month(1 << 30), 23_000_000);
        assert_eq!(
            (megabytes(0), megabytes(1), megabytes(3 << 19)),
            ("0.0 MB".into(), "0.1 MB".into(), "1.5 MB".into())
        );
    }
}
