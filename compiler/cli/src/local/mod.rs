//! A training on this computer: the bundle's machines in the engine, its functions in processes.
#![expect(clippy::disallowed_methods, reason = "reads the record and the clock")]

pub(crate) mod bootstrap;
pub(crate) mod costs;
mod firings;
pub(crate) mod functions;
mod interrupts;
mod journal;
mod logs;
mod meter;
mod strikes;
pub(crate) mod supervise;
mod tally;
pub(crate) mod watch;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::record::{Record, Run, Status};
use crate::show::progress::Progress;
use chrono::{DateTime, Utc};
use costs::Costs;
use firings::Firings;
use interrupts::Interrupts;
use journal::{Journal, Opening};
use logs::Logs;
use meter::Meter;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::{Program, substitute};
use stepgrad_compiler::bundle::Index;
use stepgrad_contract::counted::counted;
use stepgrad_contract::digest::sha256;
use stepgrad_contract::faults::Plan;
use stepgrad_contract::{Training, keys};
use stepgrad_engine::core::{self, Settings};
use stepgrad_engine::driver::Beginning;
use stepgrad_engine::driver::live::{self, LiveOptions, LiveResult};
use stepgrad_engine::faults::Faulty;
use stepgrad_engine::host::{FunctionConfig, Host, HostConfig, InvocationRecord, LogFolder};
use stepgrad_engine::integrations::lambda::Invoke;
use strikes::Strikes;
use tally::{Shared, Tally};

/// How often the record's totals are brought up to date.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// How long the end waits for function processes.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long the end waits for events that were delivered twice, and which nobody else waits for.
const DUPLICATES: Duration = Duration::from_secs(60);
/// The machine that a run starts.
const ROOT: &str = "train";

/// A run to carry out.
pub(crate) struct Job {
    /// Its record.
    pub(crate) record: Record,
    /// What stands in its `run.json`.
    pub(crate) run: Run,
    /// The binary that runs the functions.
    pub(crate) bootstrap: PathBuf,
    /// Function processes at work at once, if the user gave a number.
    pub(crate) concurrency: Option<usize>,
    /// Hands replies on in an order drawn from this seed.
    pub(crate) shuffle: Option<u64>,
    /// Whether it was begun by another process.
    pub(crate) resumed: bool,
    /// Whether nothing is shown.
    pub(crate) quiet: bool,
}

/// Checks that what a run needs of the environment is there, before anything is written.
pub(crate) fn check_environment(training: &Training) -> Result<(), Failure> {
    functions::keys(training).map(drop)
}

/// The time.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Carries a run out to its end, and writes its record.
pub(crate) fn run(job: Job) -> Result<Run, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start: {error}")))?;
    let result = runtime.block_on(carry_out(job));
    // A call that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn carry_out(job: Job) -> Result<Run, Failure> {
    let Job { record, mut run, bootstrap, concurrency, shuffle, resumed, quiet } = job;
    let start = Instant::now();
    let interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot listen for signals: {error}")))?;
    let folder =
        record.folder.canonicalize().map_err(|error| Failure::file("open", &record.folder, &error))?;
    let runs = folder.parent().unwrap_or(&folder).to_owned();
    let index: Index = read_json(&folder.join("bundle/bundle.json"))?;
    let training: Training = read_json(&folder.join("bundle/training.json"))?;

    let at_work = functions::concurrency(index.max_concurrency, concurrency);
    let plan = plan(&runs, &run.run, &training)?;
    let progress = Arc::new(Progress::new(quiet));
    let costs = Arc::new(Costs::of(&folder));
    costs.complete(&mut run.totals);
    let (kept, of_run) = (Arc::clone(&costs), folder.clone());
    let last_words = Box::new(move || kept.keep(&of_run));
    let opening =
        Opening { plan: plan.as_ref(), progress: Arc::clone(&progress), start, resumed, last_words };
    let (journal, recover) = Journal::open(&runs, &run.run, &training, opening)?;
    let (counts, firings) = (journal.counts(), journal.firings());
    let observed = Shared::default();
    let logs = logs(&folder, Arc::clone(&costs), Arc::clone(&firings))?;
    let keys = functions::keys(&training)?;
    let functions = functions::functions(&index, &bootstrap, &runs, &run.root, keys.as_deref());
    let host = host(functions::host(&bootstrap, at_work), functions, &logs, &observed, Arc::clone(&costs))?;
    let settings = Settings::default();
    let machines = machines(&index, &folder.join("bundle"), &settings, &host)?;
    let faulty = plan.map(|plan| {
        let (firings, costs) = (Arc::clone(&firings), Arc::clone(&costs));
        let strikes = Strikes::new(plan, move |fired| {
            if fired.action == "duplicate" {
                // The meter sees one call where two are made.
                costs.called(fired.round.unwrap_or(0));
            }
            firings.fired(&fired);
        });
        Arc::new(Faulty::new(Arc::new(host.clone()), host.clone(), Arc::new(strikes)))
    });
    let invoke: Arc<dyn Invoke> = match &faulty {
        None => Arc::new(host.clone()),
        Some(faulty) => Arc::clone(faulty) as Arc<_>,
    };
    let meter = Arc::new(Meter::new(invoke, Arc::clone(&costs)));
    progress.say(&format!(
        "run {}: {}, {} at once{}, record in {}",
        run.run,
        counted(training.peers, "peer"),
        counted(at_work, "function process"),
        functions::capped(index.max_concurrency, at_work),
        record.folder.display()
    ));
    let options = LiveOptions {
        beginning: Beginning {
            machines,
            root: ROOT.to_owned(),
            execution_name: run.run.clone(),
            input: json!({"run": run.run}),
            seed: run.seed,
            settings,
            recover,
        },
        invoke: Arc::clone(&meter) as Arc<_>,
        objects: None,
        max_concurrent_invocations: at_work,
        history: Box::new(journal),
        shuffle,
    };
    let tally = Tally { start, before: run.totals, meter, host, logs, observed, counts, costs };
    let ended = tokio::select! {
        ended = drive(options, interrupts) => ended,
        failure = keep_totals(&record, &mut run, &tally) => Err(failure),
    };
    if let (Some(faulty), Ok(ended)) = (&faulty, &ended)
        && ended.status != core::Status::Aborted
    {
        // One that takes longer is ended with the processes.
        faulty.settle(DUPLICATES).await;
    }
    progress.finish();
    // The processes are gone or were killed; one that the kernel does not let go must not hold up the end.
    let _ = tokio::time::timeout(SHUTDOWN, tally.host.shutdown()).await;

    run.totals = tally.totals();
    run.fired = firings.counts();
    tally.costs.keep(&record.folder)?;
    match ended {
        Ok(result) => {
            run.finished = Some(now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
            conclude(&mut run, result);
            if run.status == Status::Failed {
                run.hint = tally.hint(&index.functions);
            }
            record.write(&run)?;
            Ok(run)
        }
        Err(failure) => {
            // The run can be continued when what kept it from going on is mended.
            record.write(&run)?;
            Err(failure)
        }
    }
}

/// Keeps the totals of the record near the truth, so that little is lost when this process is killed; ends only
/// with a failure.
async fn keep_totals(record: &Record, run: &mut Run, tally: &Tally) -> Failure {
    let mut tick = tokio::time::interval(KEEP_EVERY);
    loop {
        tick.tick().await;
        run.totals = tally.totals();
        if let Err(failure) = record.keep(run).and_then(|()| tally.costs.keep(&record.folder)) {
            return failure;
        }
    }
}

/// Runs to the end, or to the user's interruption.
async fn drive(options: LiveOptions, interrupts: Interrupts) -> Result<LiveResult, Failure> {
    let handle = live::start(options).map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    let abort = handle.aborter();
    let interrupted = tokio::spawn(async move {
        interrupts.first().await;
        abort.abort("interrupted by the user").await;
    });
    let result = handle.wait().await;
    interrupted.abort();
    result.map_err(|error| Failure::new(Exit::Internal, error.to_string()))
}

/// What goes wrong in the run, if anything is to.
fn plan(runs: &Path, run: &str, training: &Training) -> Result<Option<Plan>, Failure> {
    let Some(digest) = &training.faults else { return Ok(None) };
    let path = runs.join(keys::faults(run));
    let bytes = std::fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
    if sha256(&bytes) != *digest {
        let what = format!("{} is not the plan that training.json names: rerun anew", path.display());
        return Err(Failure::new(Exit::Internal, what));
    }
    read_json(&path).map(Some)
}

fn logs(folder: &Path, costs: Arc<Costs>, firings: Arc<Firings>) -> Result<Arc<Logs>, Failure> {
    let folder = folder.join("logs");
    let sink = LogFolder::new(&folder).map_err(|error| Failure::file("create", &folder, &error))?;
    Ok(Arc::new(Logs::new(sink, costs, firings)))
}

fn host(
    config: HostConfig,
    functions: Vec<FunctionConfig>,
    logs: &Arc<Logs>,
    observed: &Shared,
    costs: Arc<Costs>,
) -> Result<Host, Failure> {
    let observed = Arc::clone(observed);
    let observer = move |record: &InvocationRecord| {
        costs.billed(record);
        tally::observe(&observed, record);
    };
    Host::new(config, functions, Arc::clone(logs) as Arc<_>, Arc::new(observer))
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))
}

/// The bundle's machines, with what their placeholders stand for on this computer.
fn machines(
    index: &Index,
    bundle: &Path,
    settings: &Settings,
    host: &Host,
) -> Result<BTreeMap<String, Program>, Failure> {
    let functions = index.functions.iter().map(|entry| (name(&entry.placeholder), host.arn(&entry.name)));
    let children =
        index.machines.iter().map(|entry| (name(&entry.placeholder), settings.machine(&entry.name)));
    let placeholders: BTreeMap<_, _> = functions.chain(children).collect();
    let mut machines = BTreeMap::new();
    for entry in &index.machines {
        let path = bundle.join(&entry.file);
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let program =
            Program::load(&substitute(&text, &placeholders), MachineType::Standard).map_err(|findings| {
                let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
                Failure::new(
                    Exit::Invalid,
                    format!("{} cannot be run: {}", path.display(), findings.join("; ")),
                )
            })?;
        machines.insert(entry.name.clone(), program);
    }
    Ok(machines)
}

/// A placeholder's name, without `${` and `}`.
fn name(placeholder: &str) -> String {
    placeholder.trim_start_matches("${").trim_end_matches('}').to_owned()
}

/// Writes how the engine ended into the record.
fn conclude(run: &mut Run, result: LiveResult) {
    run.status = match result.status {
        core::Status::Succeeded => Status::Succeeded,
        core::Status::Failed => Status::Failed,
        core::Status::TimedOut => Status::TimedOut,
        core::Status::Aborted => Status::Aborted,
    };
    run.result = result.output.and_then(|output| serde_json::from_value(output).ok());
    (run.error, run.cause) = innermost(result.error, result.cause);
}

/// The error of the execution that failed first. A parent's cause is the JSON of its child, whose own cause may
/// be that of another.
pub(crate) fn innermost(error: Option<String>, cause: Option<String>) -> (Option<String>, Option<String>) {
    let child = cause.as_deref().and_then(|cause| serde_json::from_str::<serde_json::Value>(cause).ok());
    let text = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(|text| text.as_str().map(str::to_owned))
    };
    if let Some(child) = &child {
        if let Some(inner) = text(child, "Error") {
            return innermost(Some(inner), text(child, "Cause"));
        }
        // A function's error: its type is the error's name already.
        if let Some(message) = text(child, "errorMessage") {
            return (text(child, "errorType").or(error), Some(message));
        }
    }
    (error, cause)
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(Exit::Internal, format!("{} is damaged: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::innermost;

    #[test]
    fn the_error_that_came_first_is_told() {
        let function = r#"{"errorType":"Stepgrad.NotFinite","errorMessage":"lower the learning rate"}"#;
        let round = serde_json::json!({"Status": "FAILED", "Error": "Stepgrad.NotFinite", "Cause": function});
        let segment =
            serde_json::json!({"Status": "FAILED", "Error": "States.TaskFailed", "Cause": round.to_string()});
        let (error, cause) = innermost(Some("States.TaskFailed".to_owned()), Some(segment.to_string()));
        assert_eq!(error.as_deref(), Some("Stepgrad.NotFinite"));
        assert_eq!(cause.as_deref(), Some("lower the learning rate"));
        let plain = innermost(Some("Stepgrad.QuorumLost".to_owned()), Some("fewer peers".to_owned()));
        assert_eq!(plain, (Some("Stepgrad.QuorumLost".to_owned()), Some("fewer peers".to_owned())));
    }
}
