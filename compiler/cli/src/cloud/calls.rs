//! The calls of one run, put together from the lines of the functions' logs. A function serves many runs, and most of its
//! lines name none; but a process of it does one call after the other, Lambda says where each begins and ends, and among
//! the lines of a call there is one that names the run.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stepgrad_contract::call_log::CallLog;
use stepgrad_contract::faults::{Fired, Firing};
use stepgrad_contract::report::{Report, request_of};
use stepgrad_deploy::{LogLine, Recorded};

/// A call of a function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Call {
    /// The function.
    pub(super) function: String,
    /// The round that it was of; 0 where it was of none.
    pub(super) round: u32,
    /// The peer in whose name it was made.
    pub(super) peer: Option<u64>,
    /// What the function said of it at its end; a call that was killed says nothing.
    pub(super) log: Option<CallLog>,
    /// What Lambda said of it.
    pub(super) report: Option<Report>,
    /// The faults that fired in it, each with its time.
    pub(super) fired: Vec<(i64, Fired)>,
    /// All its lines, each with its time.
    pub(super) lines: Vec<(i64, String)>,
    of_the_run: bool,
}

/// What a run's history tells of its calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// Calls that ended at Lambda, well or not: so many must stand in the logs.
    pub(super) ended: u64,
    /// Lambda's ids of calls that failed, where the failure names one.
    failed: BTreeSet<String>,
}

/// Errors of calls that never came to a function (Step Functions Developer Guide, "Best practices for Step Functions",
/// "Handle transient Lambda service exceptions").
const NEVER_CALLED: [&str; 4] = [
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
];

impl Made {
    /// What `events` tell.
    pub(super) fn of(events: &[Recorded]) -> Self {
        let mut made = Self::default();
        for Recorded { event, .. } in events {
            let details = match event["type"].as_str() {
                Some("TaskSucceeded") => &event["taskSucceededEventDetails"],
                Some("TaskFailed") => &event["taskFailedEventDetails"],
                Some("TaskTimedOut") => &event["taskTimedOutEventDetails"],
                _ => continue,
            };
            if details["resourceType"] != "lambda" {
                continue;
            }
            if details["error"].as_str().is_some_and(|error| NEVER_CALLED.contains(&error)) {
                continue;
            }
            made.ended += 1;
            made.failed.extend(details["cause"].as_str().into_iter().flat_map(request_ids));
        }
        made
    }
}

/// The ids of calls in a text: UUIDs, e.g. of "RequestId: 2c8…-…-…-…-… Error: Runtime exited with error".
fn request_ids(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|letter: char| !(letter.is_ascii_hexdigit() || letter == '-'));
    let is_one = |word: &&str| {
        let lengths: Vec<usize> = word.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12]
    };
    words.filter(is_one).map(str::to_ascii_lowercase)
}

/// The calls of `run`, in the order in which they began.
pub(super) fn of_run(lines: &[LogLine], run: &str, made: &Made) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    // By process: the call that it is at; and lines that came before one began.
    let mut at_work: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut early: BTreeMap<(&str, &str), Vec<(i64, String)>> = BTreeMap::new();
    for line in lines {
        let process = (line.function.as_str(), line.stream.as_str());
        let (log, report) = (CallLog::from_line(&line.text), Report::from_line(&line.text));
        let named = request_of(&line.text)
            .or_else(|| log.as_ref().map(|log| log.request_id.as_str()))
            .or_else(|| report.as_ref().map(|report| report.request_id.as_str()));
        let place = match named {
            Some(id) => {
                let place = *known.entry(id.to_owned()).or_insert_with(|| {
                    let of_the_run = made.failed.contains(id);
                    calls.push(Call { function: line.function.clone(), of_the_run, ..Call::default() });
                    calls.len() - 1
                });
                at_work.insert(process, place);
                place
            }
            None => match at_work.get(&process) {
                Some(place) => *place,
                None => {
                    early.entry(process).or_default().push((line.time, line.text.clone()));
                    continue;
                }
            },
        };
        if report.is_some() {
            at_work.remove(&process);
        }
        if let Some(call) = calls.get_mut(place) {
            call.lines.extend(early.remove(&process).unwrap_or_default());
            call.take(line, run, log, report);
        }
    }
    calls.retain(|call| call.of_the_run);
    calls
}

impl Call {
    fn take(&mut self, line: &LogLine, run: &str, log: Option<CallLog>, report: Option<Report>) {
        if let Some(Firing { run: of, fired, .. }) = Firing::from_line(&line.text) {
            self.of_the_run |= of == run;
            self.round = fired.round.unwrap_or(self.round);
            self.peer = fired.peer.map(u64::from).or(self.peer);
            self.fired.push((line.time, fired));
        } else if let Some(log) = log {
            self.of_the_run |= log.run.as_deref() == Some(run);
            self.round = log.round.and_then(|round| u32::try_from(round).ok()).unwrap_or(self.round);
            self.peer = log.peer.or(self.peer);
            self.log = Some(log);
        } else if report.is_some() {
            self.report = report;
        } else if let Some(object) = repaired(&line.text) {
            self.of_the_run |= object.split('/').next() == Some(run);
        }
        self.lines.push((line.time, line.text.clone()));
    }
}

/// The object of a line that tells of a repair.
fn repaired(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line.strip_prefix("{\"kind\":\"repair\"").map(|_| line)?).ok()?;
    line["object"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Made, of_run, request_ids};
    use serde_json::json;
    use stepgrad_deploy::{LogLine, Recorded};

    fn lines(stream: &str, time: i64, texts: &[&str]) -> Vec<LogLine> {
        let line = |text: &&str| LogLine {
            function: "gradient".to_owned(),
            stream: stream.to_owned(),
            time,
            text: (*text).to_owned(),
        };
        texts.iter().map(line).collect()
    }

    fn report(id: &str) -> String {
        format!(
            "REPORT RequestId: {id}\tDuration: 1 ms\tBilled Duration: 2 ms\tMemory Size: 1024 MB\tMax Memory Used: 9 MB\t"
        )
    }

    #[test]
    fn a_process_that_serves_two_runs_has_each_call_told_apart() {
        let call = |id: &str, run: &str, round: u32| {
            format!(
                r#"{{"kind":"call","function":"gradient","request_id":"{id}","run":"{run}","round":{round},"objects_read":1,"bytes_read":10,"objects_written":1,"bytes_written":5}}"#
            )
        };
        let firing = r#"{"kind":"fault","run":"r","time":4,"fired":{"fault":"f","action":"kill","function":"gradient","peer":2,"round":7}}"#;
        let other = firing.replace("\"r\"", "\"other\"");
        let (one, two, three) = (call("1", "r", 3), call("2", "other", 3), call("9", "r", 4));
        let (first, second, killed, died) = (report("1"), report("2"), report("3"), report("4"));
        let mut all = lines(
            "a",
            5,
            &[
                "INIT_START",
                "START RequestId: 1 Version: 1",
                "a word of libtorch's",
                &one,
                "END RequestId: 1",
                &first,
                "START RequestId: 2 Version: 1",
                "not of this run",
                &two,
                &second,
                "START RequestId: 3 Version: 1",
                firing,
                &killed,
                "START RequestId: 4 Version: 1",
                &other,
                &died,
            ],
        );
        // Of another process, in between.
        all.splice(3..3, lines("b", 5, &["START RequestId: 9 Version: 1", "a word", &three]));
        let calls = of_run(&all, "r", &Made::default());
        assert_eq!(calls.iter().map(|call| call.round).collect::<Vec<_>>(), [3, 4, 7]);
        let said: Vec<&str> = calls[0].lines.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(said[..3], ["INIT_START", "START RequestId: 1 Version: 1", "a word of libtorch's"]);
        assert_eq!(said.len(), 6);
        assert_eq!(calls[0].report.as_ref().map(|report| report.billed_ms), Some(2.0));
        assert_eq!((calls[1].report.is_none(), calls[1].lines.len()), (true, 3), "its report is late");
        assert_eq!((calls[2].log.is_none(), calls[2].peer, calls[2].fired.len()), (true, Some(2), 1));
        assert_eq!(of_run(&all, "nobody", &Made::default()), []);
    }

    #[test]
    fn the_history_tells_how_many_calls_ended_and_which_failed() {
        let id = "79b4f56e-95b1-4643-9700-2807f4e68189";
        let event = |kind: &str, key: &str, details: serde_json::Value| Recorded {
            execution: "round:r-r1".to_owned(),
            event: json!({"type": kind, key: details}),
        };
        let died = json!({"errorType": "Runtime.ExitError", "errorMessage": format!("RequestId: {id} Error: Runtime exited")});
        let events = [
            event("TaskSucceeded", "taskSucceededEventDetails", json!({"resourceType": "lambda"})),
            event("TaskSucceeded", "taskSucceededEventDetails", json!({"resourceType": "states"})),
            event(
                "TaskFailed",
                "taskFailedEventDetails",
                json!({"resourceType": "lambda", "error": "Runtime.ExitError", "cause": died.to_string()}),
            ),
            event(
                "TaskFailed",
                "taskFailedEventDetails",
                json!({"resourceType": "lambda", "error": "Lambda.TooManyRequestsException"}),
            ),
        ];
        let made = Made::of(&events);
        assert_eq!(made.ended, 2);
        // A call that was ended for its memory says nothing of its run; its caller knows whose it was.
        let calls = of_run(&lines("a", 1, &[&report(id), &report("other")]), "r", &made);
        assert_eq!(calls.len(), 1);
        assert_eq!(request_ids(&format!("2026-01-01T00:00:00Z {id} Task timed out")).count(), 1);
    }
}
