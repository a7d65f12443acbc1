//! `stepgrad runs logs RUN`: what the functions wrote in a run, in the order of time: from its record, or from AWS.
#![expect(clippy::disallowed_methods, reason = "the verb reads the record")]

use crate::cloud::{self, Known, KnownArgs, Place};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::record;
use chrono::{DateTime, SecondsFormat};
use indicatif::DecimalBytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use stepgrad_contract::Function;
use stepgrad_contract::call_log::CallLog;
use stepgrad_contract::faults::Firing;
use stepgrad_contract::report::request_of;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: KnownArgs,
    /// Where to read: the record on this computer, or the functions' logs on AWS as they are now.
    #[arg(long, value_enum, default_value_t, value_name = "PLACE")]
    on: Place,
    /// Only this function's lines.
    #[arg(long, value_name = "NAME", value_parser = parse_function)]
    function: Option<Function>,
    /// Only lines of calls in this peer's name.
    #[arg(long, value_name = "NUMBER")]
    peer: Option<u64>,
    /// Only lines of calls of this round.
    #[arg(long, value_name = "NUMBER")]
    round: Option<u64>,
}

fn parse_function(text: &str) -> Result<Function, String> {
    Function::from_name(text)
        .ok_or_else(|| format!("give one of {}", Function::ALL.map(Function::name).join(", ")))
}

/// A line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// When, in milliseconds since 1970; in a record not every line says so.
    pub(crate) time: Option<i64>,
    pub(crate) function: String,
    /// Of the call that it belongs to, as far as that is known.
    pub(crate) round: Option<u64>,
    pub(crate) peer: Option<u64>,
    pub(crate) text: String,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let wanted = |function: &str| args.function.is_none_or(|wanted| wanted.name() == function);
    let (mut lines, cut) = match args.on {
        Place::Aws => cloud::block_on(async {
            let known = Known::open(&args.run, format).await?;
            cloud::lines(&known.runs()?, &args.run.id, wanted).await
        })?,
        Place::Here => {
            let folder = record::folder_of(&args.run.runs, &args.run.id)?;
            (of_record(&folder.join("logs"), wanted)?, Vec::new())
        }
    };
    lines.retain(|line| {
        args.peer.is_none_or(|peer| line.peer == Some(peer))
            && args.round.is_none_or(|round| line.round == Some(round))
    });
    if format == Format::Json {
        let lines: Vec<Value> = lines.iter().map(document).collect();
        output::json(&json!({"version": 1, "run": args.run.id, "lines": lines, "cut": cut}));
        return Ok(());
    }
    output::data(&lines.iter().map(shown).collect::<String>());
    for function in cut {
        output::say(&format!(
            "{function} wrote more than is read at once: look into CloudWatch Logs for the rest"
        ));
    }
    Ok(())
}

/// The lines of a record's folder of logs.
fn of_record(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Line>, Failure> {
    let failed = |path: &Path, error: &std::io::Error| Failure::file("read", path, error);
    let mut names = Vec::new();
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(|error| failed(folder, &error))?.file_name();
                names.extend(name.to_str().and_then(|name| name.strip_suffix(".log")).map(str::to_owned));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = format!("{} is not there: no function of the run wrote anything", folder.display());
            return Err(Failure::new(Exit::Usage, what));
        }
        Err(error) => return Err(failed(folder, &error)),
    }
    names.sort();
    let mut all: Vec<(i64, Line)> = Vec::new();
    for function in names.into_iter().filter(|name| wanted(name)) {
        let path = folder.join(format!("{function}.log"));
        let bytes = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
        all.extend(of_text(&function, &String::from_utf8_lossy(&bytes)));
    }
    // Stable: lines of one function keep their order.
    all.sort_by_key(|(time, _)| *time);
    Ok(all.into_iter().map(|(_, line)| line).collect())
}

/// The lines of one function's log, each with the time that it is sorted by: its own, or that of the next line that has one,
/// for what a call says comes before its end.
fn of_text(function: &str, text: &str) -> Vec<(i64, Line)> {
    let mut lines: Vec<Line> = text
        .lines()
        .map(|text| {
            let mut line = Line {
                time: None,
                function: function.to_owned(),
                round: None,
                peer: None,
                text: text.to_owned(),
            };
            let at = |time: u64| i64::try_from(time).ok().filter(|time| *time > 0);
            if let Some(call) = CallLog::from_line(text) {
                (line.time, line.round, line.peer) = (at(call.time), call.round, call.peer);
            } else if let Some(Firing { time, fired, .. }) = Firing::from_line(text) {
                (line.time, line.round, line.peer) =
                    (at(time), fired.round.map(u64::from), fired.peer.map(u64::from));
            }
            line
        })
        .collect();
    let calls: BTreeMap<String, (Option<u64>, Option<u64>)> = lines
        .iter()
        .filter_map(|line| CallLog::from_line(&line.text))
        .map(|call| (call.request_id, (call.round, call.peer)))
        .collect();
    for line in &mut lines {
        if let Some((round, peer)) = request_of(&line.text).and_then(|id| calls.get(id)) {
            (line.round, line.peer) = (*round, *peer);
        }
    }
    let mut next = lines.iter().rev().find_map(|line| line.time).unwrap_or_default();
    let mut sorted: Vec<(i64, Line)> = lines
        .into_iter()
        .rev()
        .map(|line| {
            next = line.time.unwrap_or(next);
            (next, line)
        })
        .collect();
    sorted.reverse();
    sorted
}

fn time(line: &Line) -> Option<String> {
    let time = line.time.and_then(DateTime::from_timestamp_millis);
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// For programs: what is JSON as such, and any other text as text.
fn document(line: &Line) -> Value {
    let mut told =
        json!({"time": time(line), "function": line.function, "round": line.round, "peer": line.peer});
    match serde_json::from_str::<Value>(&line.text) {
        Ok(value) if value.is_object() => told["line"] = value,
        _ => told["text"] = line.text.as_str().into(),
    }
    told
}

/// For people.
fn shown(line: &Line) -> String {
    let when = time(line).unwrap_or_else(|| " ".repeat("2026-01-01T00:00:00.000Z".len()));
    let mut text = format!("{when} {:<11} ", line.function);
    // Writing into a String cannot fail.
    if let Some(call) = CallLog::from_line(&line.text) {
        text.push_str("call");
        let coordinates = [
            ("round", call.round),
            ("peer", call.peer),
            ("batch", call.batch),
            ("continuation", call.continuation),
        ];
        for (name, value) in coordinates {
            if let Some(value) = value {
                let _ = write!(text, " {name} {value}");
            }
        }
        if let Some(attempt) = call.attempt.filter(|attempt| *attempt > 0) {
            let _ = write!(text, " attempt {attempt}");
        }
        let moved = &call.traffic;
        let _ = write!(
            text,
            " · {} ms · read {} ({}), wrote {} ({})",
            call.duration_ms,
            moved.objects_read,
            DecimalBytes(moved.bytes_read),
            moved.objects_written,
            DecimalBytes(moved.bytes_written)
        );
        if let Some(error) = &call.error {
            let _ = write!(text, " · {error}: {}", call.message.as_deref().unwrap_or("no message"));
        }
    } else if let Some(Firing { fired, .. }) = Firing::from_line(&line.text) {
        let _ = write!(text, "fault {} fires: {}", fired.fault, fired.action);
        for (name, value) in [("round", fired.round), ("peer", fired.peer), ("batch", fired.batch)] {
            if let Some(value) = value {
                let _ = write!(text, " {name} {value}");
            }
        }
        if let Some(object) = &fired.object {
            let _ = write!(text, " {object}");
        }
    } else {
        text.push_str(&line.text.replace('\t', "  "));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::{of_text, shown};

    #[test]
    fn lines_stand_in_time_and_with_their_call() {
        let call = |id: &str, time: u64, round: u32| {
            format!(
                r#"{{"kind":"call","function":"gradient","request_id":"{id}","time":{time},"round":{round},"peer":2,"duration_ms":7,"objects_read":1,"bytes_read":1000,"objects_written":1,"bytes_written":5}}"#
            )
        };
        let text = format!(
            "START RequestId: a Version: 1\na word\n{}\nEND RequestId: a\nSTART RequestId: b Version: 1\n{}\n",
            call("a", 1_700_000_000_000, 1),
            call("b", 1_700_000_000_500, 2)
        );
        let lines = of_text("gradient", &text);
        let told: Vec<_> = lines.iter().map(|(time, line)| (time % 1_000, line.round)).collect();
        assert_eq!(
            told,
            [(0, Some(1)), (0, None), (0, Some(1)), (500, Some(1)), (500, Some(2)), (500, Some(2))]
        );
        assert_eq!(
            shown(&lines[2].1),
            "2023-11-14T22:13:20.000Z gradient    call round 1 peer 2 · 7 ms · read 1 (1.00 kB), wrote 1 (5 B)\n"
        );
        assert_eq!(
            of_text("gradient", "alone"),
            [(0, lines[1].1.clone())].map(|(time, mut line)| {
                line.text = "alone".to_owned();
                (time, line)
            })
        );
    }
}
