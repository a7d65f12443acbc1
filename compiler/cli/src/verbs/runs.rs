//! `stepgrad runs list|show|logs|compare`: the records of runs on this computer, and which runs there are on AWS.
#![expect(clippy::disallowed_methods, reason = "the verb reads files")]

use crate::cloud::{self, AwsArgs, Known, KnownArgs, Place, training};
use crate::compare::{self, Comparison, Told};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project;
use crate::record::{self, Run, Status};
use crate::show::summary;
use chrono::{DateTime, SecondsFormat};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use stepgrad_compiler::diagnostic::Source;
use stepgrad_compiler::faults;
use stepgrad_deploy::Runs;

/// What can be done with records.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all runs, the newest last.
    List(ListArgs),
    /// Show one run with its rounds.
    Show(ShowArgs),
    /// Show what the functions wrote to their logs in one run.
    Logs(super::logs::Args),
    /// Compare two runs round by round; exit code 4 where the second one's fault file expects something else.
    Compare(CompareArgs),
}

/// What `list` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// With --on aws, whose runs: the spec that is deployed there.
    #[arg(required_if_eq("on", "aws"))]
    spec: Option<PathBuf>,
    /// Which runs: those with a record on this computer, or the newest 1,000 on AWS.
    #[arg(long, value_enum, default_value_t, value_name = "PLACE")]
    on: Place,
    /// The folder of records.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    #[command(flatten)]
    aws: AwsArgs,
}

/// What `show` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    run: KnownArgs,
    /// With `aws`, bring the record up to date with the run there first, or make it.
    #[arg(long, value_enum, default_value_t, value_name = "PLACE")]
    on: Place,
}

/// What `compare` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// The run to compare with.
    baseline: String,
    /// The other one.
    run: String,
    /// The folder of records.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

pub(crate) fn run(verb: &Verb, format: Format) -> Result<(), Failure> {
    match verb {
        Verb::List(ListArgs { on: Place::Aws, spec: Some(spec), aws, .. }) => list_on_aws(spec, aws, format),
        Verb::List(args) => list(&args.runs, format),
        Verb::Show(args) => show(args, format),
        Verb::Logs(args) => super::logs::run(args, format),
        Verb::Compare(args) => compare(args, format),
    }
}

fn compare(args: &CompareArgs, format: Format) -> Result<(), Failure> {
    let baseline = Told::read(&record::folder_of(&args.runs, &args.baseline)?)?;
    let folder = record::folder_of(&args.runs, &args.run)?;
    let told = Told::read(&folder)?;
    // What a fault file expects, it expects of its own baseline.
    let path = folder.join("faults.yaml");
    let file = if told.run.rerun_of.as_deref() == Some(&baseline.run.run) && path.is_file() {
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let name = path.display().to_string();
        let source = Source { name: &name, text: &text };
        let parsed = faults::parse(&source);
        Some(parsed.map_err(|findings| project::tell(&findings, &source, format, Exit::Invalid))?.0)
    } else {
        None
    };
    let comparison = Comparison::of(&baseline, &told, file.as_ref());
    if format == Format::Json {
        output::json(&serde_json::to_value(&comparison).unwrap_or_default());
    } else {
        output::data(&compare::text(&comparison));
    }
    if comparison.holds { Ok(()) } else { Err(Failure::told(Exit::RunFailed)) }
}

fn list(folder: &Path, format: Format) -> Result<(), Failure> {
    let mut runs: Vec<(&str, Run)> = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::file("read", folder, &error)),
    };
    for entry in entries.into_iter().flatten() {
        let path = entry.map_err(|error| Failure::file("read", folder, &error))?.path();
        if !path.join("run.json").is_file() {
            continue;
        }
        match record::read(&path) {
            Ok(run) => runs.push((stands(&run, &path), run)),
            // One damaged record must not hide the others.
            Err(failure) => output::say(&format!("warning: {}", failure.message)),
        }
    }
    runs.sort_by(|(_, one), (_, other)| (&one.started, &one.run).cmp(&(&other.started, &other.run)));
    if format == Format::Json {
        output::json(
            &json!({"version": 1, "runs": runs.iter().map(|(_, run)| summary::line(run)).collect::<Vec<_>>()}),
        );
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["run", "where", "status", "rounds", "accuracy", "seconds", "started"]);
    for (stands, run) in &runs {
        let result = run.result.as_ref();
        let accuracy = result.and_then(|result| result.validation).map(|validation| validation.accuracy);
        table.add_row([
            run.run.clone(),
            // Where it stood when somebody looked last.
            if run.aws.is_some() { "AWS" } else { "here" }.to_owned(),
            (*stands).to_owned(),
            result.map_or_else(String::new, |result| result.rounds.to_string()),
            accuracy.map_or_else(String::new, |accuracy| format!("{:.2} %", accuracy * 100.0)),
            format!("{:.1}", run.totals.seconds),
            run.started.clone(),
        ]);
    }
    output::data(&format!("{}\n", table.trim_fmt()));
    Ok(())
}

/// The runs of a deployment, as Step Functions tells them.
fn list_on_aws(spec: &Path, aws: &AwsArgs, format: Format) -> Result<(), Failure> {
    let resources = cloud::of_spec(spec, format)?;
    let listed = cloud::block_on(async {
        let session = aws.session().await?;
        let runs = Runs::new(&session, &resources).map_err(cloud::failure)?;
        runs.list().await.map_err(cloud::failure)
    })?;
    let time = |millis: Option<i64>| {
        let time = millis.and_then(DateTime::from_timestamp_millis);
        time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    if format == Format::Json {
        let runs = listed.iter().map(|found| {
            json!({"run": found.run, "status": found.status, "started": time(found.started), "finished": time(found.stopped)})
        });
        output::json(&json!({"version": 1, "runs": runs.collect::<Vec<_>>()}));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["run", "status", "started", "finished"]);
    for found in listed {
        let shown = |millis| time(millis).unwrap_or_default();
        table.add_row([found.run, found.status, shown(found.started), shown(found.stopped)]);
    }
    output::data(&format!("{}\n", table.trim_fmt()));
    Ok(())
}

/// Where a run stands; one of this computer that nobody works on any more was killed.
fn stands(run: &Run, folder: &Path) -> &'static str {
    match run.status {
        Status::Running if run.aws.is_none() && !record::is_worked_on(folder) => "KILLED",
        status => status.name(),
    }
}

fn show(args: &ShowArgs, format: Format) -> Result<(), Failure> {
    if args.on == Place::Aws {
        cloud::block_on(async {
            let known = Known::open(&args.run, format).await?;
            let (record, run) = known.record(&args.run).await?;
            training::refresh(&known.runs()?, &record, run).await
        })?;
    }
    let folder = record::folder_of(&args.run.runs, &args.run.id)?;
    let run = record::read(&folder)?;
    let rounds: Vec<Value> = record::lines(&folder.join("metrics.jsonl"))?;
    if format == Format::Json {
        let mut told = json!({"version": 1, "run": run, "rounds": rounds});
        told["run"]["totals"] = summary::totals(&run);
        output::json(&told);
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["round", "epochs", "loss", "accuracy", "rate", "members", "replica"]);
    let number = |value: &Value| value.as_f64().map_or_else(String::new, |number| format!("{number:.4}"));
    for round in &rounds {
        table.add_row([
            round["round"].to_string(),
            round["epochs"].to_string(),
            number(&round["training"]["loss"]),
            number(&round["validation"]["accuracy"]),
            number(&round["learning_rate"]),
            round["members"].to_string(),
            round["replica"].as_str().and_then(|digest| digest.get(..12)).unwrap_or_default().to_owned(),
        ]);
    }
    let text = format!("{}\n{}{}\n", table.trim_fmt(), anomalies(&rounds), summary::text(&run));
    output::data(&text);
    if stands(&run, &folder) == "KILLED" {
        output::say(&format!(
            "no process works on this run: continue it with `stepgrad run --resume {}`",
            run.run
        ));
    }
    Ok(())
}

/// Who was out of the ordinary in which rounds, and which rounds changed nothing; empty where nothing was.
fn anomalies(rounds: &[Value]) -> String {
    let mut told: BTreeMap<(u64, String), Vec<u64>> = BTreeMap::new();
    let mut skipped = Vec::new();
    for metrics in rounds {
        let round = metrics["round"].as_u64().unwrap_or_default();
        for anomaly in metrics["anomalous"].as_array().into_iter().flatten() {
            let why = anomaly["why"].as_str().unwrap_or_default().to_owned();
            told.entry((anomaly["peer"].as_u64().unwrap_or_default(), why)).or_default().push(round);
        }
        if !metrics["skipped"].is_null() {
            skipped.push(round);
        }
    }
    let mut text = String::new();
    for ((peer, why), rounds) in &told {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "anomalous: peer {peer} ({why}) in {}", of_rounds(rounds));
    }
    if !skipped.is_empty() {
        let _ = writeln!(text, "nothing changed for want of contributions in {}", of_rounds(&skipped));
    }
    text
}

/// Rounds in words, those that follow each other as a range: `rounds 1–4, 7`.
fn of_rounds(rounds: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for round in rounds {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *round => *last = *round,
            _ => ranges.push((*round, *round)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}–{last}"),
    });
    format!("{} {}", if rounds.len() == 1 { "round" } else { "rounds" }, shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::anomalies;
    use serde_json::json;

    #[test]
    fn anomalies_are_told_by_peer_and_round() {
        let nan = || json!({"peer": 2, "why": "not_finite"});
        let far = || json!({"peer": 10, "why": "distant", "score": 3.5});
        let rounds = [
            json!({"round": 1, "anomalous": [nan()]}),
            json!({"round": 2, "anomalous": [nan(), far()]}),
            json!({"round": 3}),
            json!({"round": 4, "anomalous": [nan()], "skipped": "why"}),
        ];
        let expected = "anomalous: peer 2 (not_finite) in rounds 1–2, 4\n\
                        anomalous: peer 10 (distant) in round 2\n\
                        nothing changed for want of contributions in round 4\n";
        assert_eq!(anomalies(&rounds), expected);
        assert_eq!(anomalies(&[json!({"round": 1})]), "");
    }
}
