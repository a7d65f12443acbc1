//! What the functions' logs tell of a run, and nothing else does: which faults fired, what calls cost in memory and time, and
//! what they moved. It is written into the record in the form in which a run on this computer has it.
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

use super::calls::{Call, Made, of_run};
use super::failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::local::costs::{self, RoundCosts};
use crate::local::now;
use crate::record::{Logged, Record, Run};
use crate::verbs::logs::Line;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stepgrad_deploy::{Error, Execution, Runs};
use stepgrad_engine::core::Record as Event;
use stepgrad_engine::driver::history::HistoryFile;

/// How long after the end of a run its logs are waited for; what functions write can be read within seconds, mostly.
const LATE: Duration = Duration::from_secs(30);
/// Between two looks, at first and at the most.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];
/// A call that nobody waits for any more can go on for so long (Lambda quotas, "Function timeout").
const LONGEST_CALL_MS: i64 = 900_000;

/// What the logs tell.
#[derive(Debug)]
pub(super) struct Told {
    calls: Vec<Call>,
    logged: Logged,
}

/// Reads the calls of a run; those of one that has just ended are waited for, with an end.
pub(super) async fn read(runs: &Runs<'_>, run: &str, stands: &Execution, made: &Made) -> Result<Told, Error> {
    let since = |time: i64| now().timestamp_millis().saturating_sub(time);
    let patience = match stands.stopped {
        Some(stopped) => LATE.saturating_sub(Duration::from_millis(since(stopped).max(0).unsigned_abs())),
        None => Duration::ZERO,
    };
    let (begun, [mut wait, longest]) = (Instant::now(), LOOK_AGAIN);
    loop {
        let (calls, cut) = calls(runs, run, |_| true, stands, made).await?;
        let reported = calls.iter().filter(|call| call.report.is_some()).count() as u64;
        let logged = Logged { calls: reported, of: made.ended };
        // What is too much to be read does not become less.
        if logged.is_whole() || !cut.is_empty() || begun.elapsed() >= patience {
            return Ok(Told { calls, logged });
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}

/// The calls of a run to the functions for which `wanted` holds, as far as their logs have come in; and the functions of
/// which there is more.
pub(super) async fn calls(
    runs: &Runs<'_>,
    run: &str,
    wanted: impl Fn(&str) -> bool,
    stands: &Execution,
    made: &Made,
) -> Result<(Vec<Call>, Vec<String>), Error> {
    let now = now().timestamp_millis();
    let until = stands.stopped.map_or(now, |stopped| stopped.saturating_add(LONGEST_CALL_MS).min(now));
    let logs = runs.logs(wanted, stands.started.unwrap_or_default(), until.saturating_add(1)).await?;
    Ok((of_run(&logs.lines, run, made), logs.cut))
}

impl Told {
    /// The firings for the history, each with its time: those of the logs; those of the record, where the logs told more of
    /// the run when it was written.
    pub(super) fn firings(&self, record: &Record, run: &Run) -> Result<Vec<(i64, Value)>, Failure> {
        if self.is_news(run) {
            let all = self.calls.iter().flat_map(|call| &call.fired);
            return Ok(all
                .map(|(time, fired)| (*time, serde_json::to_value(fired).unwrap_or_default()))
                .collect());
        }
        recorded(record)
    }

    /// Whether the logs tell at least as much as when the record was written: they are kept for some days only.
    fn is_news(&self, run: &Run) -> bool {
        let before = run.aws.as_ref().and_then(|aws| aws.logged);
        before.is_none_or(|before| self.logged.calls >= before.calls)
    }

    /// Writes them into the record.
    pub(super) fn write(&self, record: &Record, run: &mut Run) -> Result<(), Failure> {
        if !self.is_news(run) {
            return Ok(());
        }
        let mut rounds: BTreeMap<u32, RoundCosts> = BTreeMap::new();
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        let totals = &mut run.totals;
        (totals.gb_seconds, totals.cold_start_seconds, totals.cold_starts) = (0.0, 0.0, 0);
        (totals.objects_read, totals.bytes_read) = (0, 0);
        (totals.objects_written, totals.bytes_written) = (0, 0);
        run.fired.clear();
        for call in &self.calls {
            let round = rounds.entry(call.round).or_default();
            round.round = call.round;
            if let Some(report) = &call.report {
                round.calls += 1;
                round.gb_seconds += report.gb_seconds();
                totals.gb_seconds += report.gb_seconds();
                totals.cold_starts += u64::from(report.init_ms.is_some());
                totals.cold_start_seconds += report.init_ms.unwrap_or_default() / 1_000.0;
            }
            if let Some(log) = &call.log {
                round.bytes_read += log.traffic.bytes_read;
                round.bytes_written += log.traffic.bytes_written;
                totals.objects_read += log.traffic.objects_read;
                totals.bytes_read += log.traffic.bytes_read;
                totals.objects_written += log.traffic.objects_written;
                totals.bytes_written += log.traffic.bytes_written;
            }
            for (_, fired) in &call.fired {
                *run.fired.entry(fired.fault.clone()).or_default() += 1;
            }
            let text = texts.entry(&call.function).or_default();
            call.lines.iter().for_each(|(_, line)| text.extend([line, "\n"]));
        }
        for (function, text) in texts {
            record.replace(&format!("logs/{function}.log"), text.as_bytes())?;
        }
        record.replace(costs::FILE, costs::text(rounds.values()).as_bytes())?;
        if let Some(aws) = &mut run.aws {
            aws.logged = Some(self.logged);
        }
        Ok(())
    }
}

/// The firings that stand in the record's history.
pub(super) fn recorded(record: &Record) -> Result<Vec<(i64, Value)>, Failure> {
    let path = record.folder.join("history.jsonl");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let damaged = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, error.to_string());
    let mut firings = Vec::new();
    for event in HistoryFile::read(&path, u64::MAX).map_err(|error| damaged(&error))? {
        if let Event::Fault { timestamp, fired } = event.map_err(|error| damaged(&error))? {
            firings.push((timestamp, fired));
        }
    }
    Ok(firings)
}

/// What a failure to read logs means for the record: it is written all the same, and says what it does not know.
pub(super) fn warn(error: Error) -> String {
    format!("warning: memory, bytes and faults of the run are not known: {}", failure(error).message)
}

/// The lines of a run that was started in this deployment, in the order of time; and the functions of which there is more.
pub(crate) async fn lines(
    runs: &Runs<'_>,
    run: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<Line>, Vec<String>), Failure> {
    let arn = runs.arn(run);
    let stands = runs.describe(&arn).await.map_err(failure)?;
    let made = Made::of(&runs.history(&arn).await.map_err(failure)?);
    let (calls, cut) = calls(runs, run, wanted, &stands, &made).await.map_err(failure)?;
    let mut lines = Vec::new();
    for call in calls {
        lines.extend(call.lines.into_iter().map(|(time, text)| Line {
            time: Some(time),
            function: call.function.clone(),
            round: Some(u64::from(call.round)).filter(|round| *round > 0),
            peer: call.peer,
            text,
        }));
    }
    // Stable: lines of one call keep their order.
    lines.sort_by_key(|line| line.time);
    Ok((lines, cut))
}
