//! A training on AWS, and its record here: the same folder as of a run on this computer, so that both are shown and
//! compared by the same verbs. Tensors of rounds stay in the bucket.
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

use super::calls::Made;
use super::following::{Following, LATE};
use super::objects::{at_once, download, download_replicas};
use super::{AT_ONCE, failure, logs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::folder;
use crate::local::watch::Watch;
use crate::local::{innermost, read_json};
use crate::output;
use crate::record::{Lines, OnAws, Record, Run, Status, is_id};
use crate::show::progress::Progress;
use chrono::DateTime;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use stepgrad_contract::progress as contract;
use stepgrad_contract::{Training, keys};
use stepgrad_deploy::{AGAIN, Execution, Recorded, Runs};
use stepgrad_engine::core::{EventType, Record as Event};

/// The file that says what a run is.
pub(super) const RECORD: &str = "run.json";
/// The files that say what goes wrong in it, as the user wrote it and as it was drawn.
pub(super) const FAULTS: [&str; 2] = ["faults.yaml", "faults.json"];
/// Between two looks at a run: a call each time, of which an account has some per second.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Puts what every function reads of a run into the bucket, and the bundle, from which any computer can make the run's record;
/// and starts it, of this version of the state machine.
pub(crate) async fn start(
    runs: &Runs<'_>,
    record: &Record,
    run: &mut Run,
    version: String,
) -> Result<(), Failure> {
    let mut files = Vec::new();
    for folder in ["objects", "bundle"] {
        let found = folder::files(&record.folder.join(folder))?;
        files.extend(found.into_iter().map(|(name, path)| (format!("{folder}/{name}"), path)));
    }
    // Of a rerun, what goes wrong in it: whoever makes its record elsewhere compares it by that.
    let of_faults = FAULTS.into_iter().map(|name| (name.to_owned(), record.folder.join(name)));
    files.extend(of_faults.filter(|(_, path)| path.is_file()));
    // The record first: a run that is under way can then be followed, whatever becomes of this process.
    run.aws = Some(OnAws { execution: runs.arn(&run.run), version: version.clone(), logged: None });
    record.write(run)?;
    let id = run.run.as_str();
    let puts = files.into_iter().map(|(name, path)| async move {
        let content = std::fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
        runs.put(&format!("{id}/{name}"), content).await.map_err(failure)
    });
    at_once(puts, AT_ONCE).await?;
    // The last, so that whoever finds it finds the others.
    let content = serde_json::to_vec_pretty(&without_folder(run)).unwrap_or_default();
    runs.put(&format!("{}/{RECORD}", run.run), content).await.map_err(failure)?;
    let execution = runs.start(&run.run, &version).await.map_err(failure)?;
    run.aws = Some(OnAws { execution, version, logged: None });
    record.write(run)
}

/// The same run without what is of this computer alone: its folder tells who uses it, and helps nobody elsewhere.
fn without_folder(run: &Run) -> Run {
    Run { root: PathBuf::new(), ..run.clone() }
}

/// Starts a run of which a record is here and which was never started, because whoever began it was interrupted.
pub(crate) async fn start_if_none_did(
    runs: &Runs<'_>,
    record: &Record,
    run: &mut Run,
) -> Result<(), Failure> {
    let OnAws { version, .. } = on_aws(run)?;
    if runs.began(&run.run).await.map_err(failure)? {
        return Ok(());
    }
    start(runs, record, run, version).await
}

/// What to do about a run that is begun, where the command that follows it ends early.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
pub(crate) fn interrupted(run: &str, failure: Failure) -> Failure {
    let again = format!("`stepgrad run --on aws --resume {run}` goes on with it");
    let message = match failure.message.strip_suffix(AGAIN) {
        // The same command would begin another run.
        Some(message) => format!("{message}{again}"),
        None => format!("{}; {again}", failure.message),
    };
    Failure { message, ..failure }
}

/// Makes the record of a run that was started elsewhere; the paths of its `spec` start from the folder in which that is here.
pub(crate) async fn fetch(
    runs: &Runs<'_>,
    folder: &Path,
    id: &str,
    spec: &Path,
) -> Result<(Record, Run), Failure> {
    let none = || {
        let what = format!("there is no run {id} on AWS; `stepgrad runs list --on aws SPEC` shows them");
        Failure::new(Exit::Usage, what)
    };
    if !is_id(id) {
        return Err(none());
    }
    let bytes = runs.get(&format!("{id}/{RECORD}")).await.map_err(failure)?.ok_or_else(none)?;
    let mut run: Run = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new(Exit::Internal, format!("the record of {id} on AWS is damaged: {error}"))
    })?;
    run.root = folder_of_spec(spec)?;
    let record = Record::create(folder, id)?;
    record.write(&run)?;
    Ok((record, run))
}

fn folder_of_spec(spec: &Path) -> Result<PathBuf, Failure> {
    let folder = spec.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().map_err(|error| Failure::file("open", folder, &error))
}

/// Brings a record up to date with its run.
pub(crate) async fn refresh(runs: &Runs<'_>, record: &Record, run: Run) -> Result<Run, Failure> {
    let OnAws { execution, .. } = on_aws(&run)?;
    let stands = runs.describe(&execution).await.map_err(failure)?;
    settle(runs, record, run, &execution, stands).await
}

/// Where a run is.
fn on_aws(run: &Run) -> Result<OnAws, Failure> {
    let here = || Failure::new(Exit::Usage, format!("run {} is of this computer", run.run));
    run.aws.clone().ok_or_else(here)
}

async fn settle(
    runs: &Runs<'_>,
    record: &Record,
    mut run: Run,
    execution: &str,
    stands: Execution,
) -> Result<Run, Failure> {
    download(runs, record, &run.run).await?;
    let events = runs.history(execution).await.map_err(failure)?;
    let told = match logs::read(runs, &run.run, &stands, &Made::of(&events)).await {
        Ok(told) => Some(told),
        Err(error) => {
            output::say(&logs::warn(error));
            None
        }
    };
    let firings = match &told {
        Some(told) => told.firings(record, &run)?,
        None => logs::recorded(record)?,
    };
    write_history(record, &mut run, events, firings)?;
    if let Some(told) = told {
        told.write(record, &mut run)?;
    }
    if run.rerun_of.is_some() {
        download_replicas(runs, record, &run.run).await?;
    }
    conclude(&mut run, stands);
    record.write(&run)?;
    Ok(run)
}

/// Follows a run to its end, and writes its record.
pub(crate) async fn follow(runs: &Runs<'_>, record: &Record, run: Run, quiet: bool) -> Result<Run, Failure> {
    let OnAws { execution, .. } = on_aws(&run)?;
    if !quiet {
        output::say(&format!(
            "run {}: {execution}, record in {}; `stepgrad run --on aws --resume {}` follows it again",
            run.run,
            record.folder.display(),
            run.run
        ));
    }
    let id = run.run.clone();
    let progress = Arc::new(Progress::new(quiet));
    let ended = tokio::select! {
        ended = until_it_ends(runs, record, &run, &execution, &progress) => ended,
        _ = tokio::signal::ctrl_c() => {
            let what = format!("nobody follows run {id} now, and it goes on, on AWS: `stepgrad status {id}` shows where it stands, `stepgrad runs show {id} --on aws` brings its record here, `stepgrad stop {id}` ends it");
            Err(Failure::new(Exit::RunFailed, what))
        }
    };
    progress.finish();
    let ended = ended?;
    tokio::select! {
        settled = settle(runs, record, run, &execution, ended) => settled,
        _ = tokio::signal::ctrl_c() => {
            let what = format!("run {id} has ended, and its record here is not whole: `stepgrad runs show {id} --on aws` completes it");
            Err(Failure::new(Exit::RunFailed, what))
        }
    }
}

/// A run ends at the latest when its state machine's own time is over, and so does this.
async fn until_it_ends(
    runs: &Runs<'_>,
    record: &Record,
    run: &Run,
    execution: &str,
    progress: &Arc<Progress>,
) -> Result<Execution, Failure> {
    let mut stands = runs.describe(execution).await.map_err(failure)?;
    // Of what nobody is shown, nothing is read; and of a run that has ended, the record tells in a moment.
    let is_shown = !matches!(**progress, Progress::Quiet) && stands.is_running();
    let mut following =
        is_shown.then(|| Following::new(runs, record, &run.run, execution, Arc::clone(progress)));
    let mut late = 0;
    loop {
        if let Some(following) = &mut following {
            following.look().await?;
        }
        if !stands.is_running() {
            // The history can know of the end later than this.
            late += 1;
            if late >= LATE || following.as_ref().is_none_or(Following::is_at_the_end) {
                return Ok(stands);
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        if stands.is_running() {
            stands = runs.describe(execution).await.map_err(failure)?;
        }
    }
}

/// How the newest round went that has ended, if that came after `shown`.
pub(crate) async fn newest(
    runs: &Runs<'_>,
    run: &str,
    shown: u32,
) -> Result<Option<contract::Progress>, Failure> {
    let newest = runs.newest_round(run).await.map_err(failure)?;
    // The newest one is under way, mostly.
    for round in [newest, newest.saturating_sub(1)] {
        if round <= shown {
            break;
        }
        let Some(bytes) = runs.get(&keys::progress(run, round)).await.map_err(failure)? else { continue };
        if let Ok(progress) = serde_json::from_slice(&bytes) {
            return Ok(Some(progress));
        }
    }
    Ok(None)
}

/// How a round went, for people.
pub(crate) fn line_of(progress: &contract::Progress) -> String {
    let mut line = format!("round {} · epochs {}", progress.round, progress.epochs);
    if let Some(training) = progress.training {
        line.push_str(&format!(" · loss {:.4}", training.loss));
    }
    if let Some(validation) = progress.validation {
        line.push_str(&format!(" · validation accuracy {:.2} %", validation.accuracy * 100.0));
    }
    line
}

/// Writes `history.jsonl` and `metrics.jsonl`, and counts what the history tells.
fn write_history(
    record: &Record,
    run: &mut Run,
    events: Vec<Recorded>,
    firings: Vec<(i64, Value)>,
) -> Result<(), Failure> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let fired = |(time, fired): (i64, Value)| {
        (time as f64 / 1_000.0, json!({"timestamp": rfc3339(time as f64), "fired": fired}))
    };
    let time = |recorded: &Recorded| recorded.event["timestamp"].as_f64().unwrap_or_default();
    let mut events: Vec<(f64, Value)> = events
        .into_iter()
        .map(|recorded| (time(&recorded), line(recorded)))
        .chain(firings.into_iter().map(fired))
        .collect();
    // Stable: events of one execution keep their order.
    events.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let training: Training = read_json(&record.folder.join("bundle/training.json"))?;
    let folder =
        record.folder.canonicalize().map_err(|error| Failure::file("open", &record.folder, &error))?;
    let all = folder.parent().unwrap_or(Path::new("."));
    let mut watch = Watch::new(all, &run.run, training, Arc::new(Progress::new(true)))?;
    let counts = watch.counts();
    let mut lines = Lines::create(&record.folder.join("history.jsonl"))?;
    let mut others: Option<Lines> = None;
    let (begin, mut failed) = (Instant::now(), 0);
    for (_, line) in events {
        // A kind of event that the engine never writes stands by itself: whoever reads histories does not know it.
        let Ok(event) = serde_json::from_value::<Event>(line.clone()) else {
            let others = match &mut others {
                Some(others) => others,
                none => none.insert(Lines::create(&record.folder.join("history.other.jsonl"))?),
            };
            others.push(&line)?;
            continue;
        };
        lines.push(&event)?;
        if let Event::Event { event, .. } = &event {
            let of_function = event.details.resource_type == Some("lambda");
            let wrong = matches!(event.event_type, EventType::TaskFailed | EventType::TaskTimedOut);
            failed += u64::from(of_function && wrong);
        }
        watch.record(&event, begin.elapsed(), true)?;
    }
    let counts = *counts.lock().unwrap_or_else(PoisonError::into_inner);
    run.totals.invocations = counts.invocations;
    run.totals.transitions = counts.transitions;
    run.totals.executions = counts.executions;
    run.totals.failed_invocations = failed;
    Ok(())
}

/// An event as the record has it: with its execution, the time as text, and the attempt that its task was told.
pub(super) fn line(recorded: Recorded) -> Value {
    let Recorded { execution, mut event } = recorded;
    let seconds = event["timestamp"].as_f64().unwrap_or_default();
    event["timestamp"] = json!(rfc3339(seconds * 1_000.0));
    let parameters = event.pointer("/taskScheduledEventDetails/parameters").and_then(Value::as_str);
    let parameters: Option<Value> = parameters.and_then(|text| serde_json::from_str(text).ok());
    let attempt = parameters.and_then(|parameters| parameters.pointer("/Payload/attempt").cloned());
    let mut line = json!({"execution": execution});
    if let (Some(line), Value::Object(event)) = (line.as_object_mut(), event) {
        line.extend(event);
        // Of no event before it (Step Functions API Reference, `HistoryEvent`: 0 is what stands for it).
        let _ = line.entry("previousEventId").or_insert(json!(0));
        line.extend(attempt.map(|attempt| ("attempt".to_owned(), attempt)));
    }
    line
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
fn rfc3339(milliseconds: f64) -> String {
    let time = DateTime::from_timestamp_millis(milliseconds.round() as i64).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Writes how the execution ended into the record.
fn conclude(run: &mut Run, ended: Execution) {
    run.status = match ended.status.as_str() {
        "RUNNING" | "PENDING_REDRIVE" => Status::Running,
        "SUCCEEDED" => Status::Succeeded,
        "TIMED_OUT" => Status::TimedOut,
        "ABORTED" => Status::Aborted,
        _ => Status::Failed,
    };
    if let (Some(started), Some(stopped)) = (ended.started, ended.stopped) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
        let seconds = (stopped - started) as f64 / 1_000.0;
        run.totals.seconds = seconds;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
        let finished = rfc3339(stopped as f64);
        run.finished = Some(finished);
    }
    run.result = ended.output.and_then(|output| serde_json::from_str(&output).ok());
    (run.error, run.cause) = innermost(ended.error, ended.cause);
}

#[cfg(test)]
mod tests {
    use super::line;
    use serde_json::json;
    use stepgrad_deploy::Recorded;
    use stepgrad_engine::core::Record;

    #[test]
    fn an_event_of_aws_becomes_a_line_of_the_record() {
        let parameters = json!({"FunctionName": "f", "Payload": {"run": "r", "attempt": 1}}).to_string();
        let recorded = Recorded {
            execution: "round:r-1".to_owned(),
            event: json!({"timestamp": 1_700_000_000.25, "type": "TaskScheduled", "id": 3, "previousEventId": 2,
                "taskScheduledEventDetails": {"resourceType": "lambda", "resource": "invoke", "region": "r",
                    "parameters": parameters}}),
        };
        let line = line(recorded);
        assert_eq!(line["timestamp"], "2023-11-14T22:13:20.250Z");
        assert_eq!(line["attempt"], 1);
        let record: Record = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), line);
        let first = json!({"timestamp": 1, "type": "ExecutionStarted", "id": 1});
        let line = self::line(Recorded { execution: "train:r".to_owned(), event: first });
        let _: Record = serde_json::from_value(line).unwrap();
    }
}
