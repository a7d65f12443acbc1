//! An execution that ended badly goes on from where it failed.

use super::machines::{machines, steps};
use super::simulation::{START, Simulation};
use crate::core::history::{EventType, Record};
use crate::core::redrive::{RedriveError, redriven};
use crate::core::{Command, Core, Event, Invocation, RecoveryError, Settings, Status, TaskError, recover};
use proptest::prelude::*;
use serde_json::{Value, json};
use stepgrad_asl::Payload;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::Program;

const CASES: u32 = 48;
const KEY: &str = "machine:run";

fn good(invocation: &Invocation) -> Result<Value, TaskError> {
    Ok(json!({"Payload": {"by": invocation.function}}))
}

fn broken(invocation: &Invocation) -> Result<Value, TaskError> {
    match invocation.function.as_str() {
        "bad" => Err(TaskError { error: "Broken".to_owned(), cause: None }),
        _ => good(invocation),
    }
}

fn finish(
    mut run: Simulation,
    answer: &dyn Fn(&Invocation) -> Result<Value, TaskError>,
    most: usize,
) -> Simulation {
    for _ in 0..most {
        if !run.go_on(answer) {
            break;
        }
    }
    run
}

fn all(records: &[Record]) -> impl Iterator<Item = Result<Record, RecoveryError>> {
    records.iter().cloned().map(Ok)
}

/// The records of a run that ended, and the event that redrives it.
fn with_redrive(run: &Simulation) -> Vec<Record> {
    let mut records = run.records.clone();
    records.push(redriven(all(&records), KEY, run.now + 60_000).unwrap());
    records
}

/// Machines in which nothing is caught.
fn without_catch(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(catch) = members.get_mut("Catch") {
                catch[0]["ErrorEquals"] = json!(["Another"]);
            }
            members.values_mut().for_each(without_catch);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_catch),
        _ => {}
    }
}

fn count(records: &[Record], wanted: EventType) -> usize {
    let is_wanted = |record: &&Record| matches!(record, Record::Event { execution, event, .. } if **execution == *KEY && event.event_type == wanted);
    records.iter().filter(is_wanted).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn a_redriven_run_comes_to_the_end_of_one_that_did_not_fail(
        steps in steps(), order in any::<u64>(), again in any::<u64>(), stop in prop::option::of(0_usize..60),
    ) {
        let mut machines = machines(&steps);
        machines.iter_mut().for_each(|(_, definition)| without_catch(definition));
        let input = json!({"items": [1, 2, 3], "passed": 3});
        let expected = finish(Simulation::start(&machines, input.clone(), order), &good, 10_000);
        // Either a function fails, or the run is told to stop somewhere.
        let mut run = match stop {
            None => finish(Simulation::start(&machines, input, order), &broken, 10_000),
            Some(steps) => {
                let mut run = finish(Simulation::start(&machines, input, order), &good, steps);
                run.step(Event::Abort { execution: None, error: None, cause: None });
                run
            }
        };
        let mut redrives = 0;
        while run.result(KEY).status != Status::Succeeded {
            let records = with_redrive(&run);
            run = Simulation::recovered(&machines, &records, run.now + 70_000, again);
            redrives += 1;
            // The first redrive fails again where a function does.
            run = finish(run, if redrives == 1 { &broken } else { &good }, 10_000);
        }
        prop_assert!(redrives <= 2);
        prop_assert_eq!(run.result(KEY), expected.result(KEY));
        for wanted in [EventType::TaskSucceeded, EventType::PassStateExited, EventType::MapIterationSucceeded] {
            prop_assert_eq!(count(&run.records, wanted), count(&expected.records, wanted), "{:?}", wanted);
        }
        // Ids follow one another, and a redriven run that is killed goes on too.
        let ids: Vec<u64> = run.records.iter().filter_map(|record| match record {
            Record::Event { execution, event, .. } if **execution == *KEY => Some(event.id),
            _ => None,
        }).collect();
        prop_assert!(ids.iter().copied().eq(1..=ids.len() as u64));
        let last = run.records.iter().rposition(|record| matches!(record, Record::Event { event, .. } if event.event_type == EventType::ExecutionRedriven));
        if let Some(last) = last {
            let stride = (run.records.len() - last) / 20 + 1;
            for cut in (last + 1..run.records.len()).step_by(stride) {
                let killed = Simulation::recovered(&machines, &run.records[..cut], run.now, order);
                let killed = finish(killed, &good, 10_000);
                prop_assert_eq!(killed.result(KEY), expected.result(KEY), "cut after {}", cut);
            }
        }
    }
}

fn task(function: &str, rest: &Value) -> Value {
    let mut task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 9,
        "Parameters": {"FunctionName": function, "Payload": {"redrives.$": "$$.Execution.RedriveCount"}}});
    task.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    task
}

#[test]
fn a_failed_task_is_scheduled_again_and_nothing_else() {
    let machines = [(
        "machine",
        json!({"StartAt": "A", "States": {
        "A": task("good", &json!({"Next": "B"})), "B": task("bad", &json!({"End": true}))}}),
    )];
    let run = finish(Simulation::start(&machines, json!({}), 1), &broken, 1_000);
    assert_eq!(run.result(KEY).error.as_deref(), Some("Broken"));
    let records = with_redrive(&run);
    let redriven = finish(Simulation::recovered(&machines, &records, run.now, 1), &good, 1_000);
    assert_eq!(redriven.result(KEY).status, Status::Succeeded);
    assert_eq!(redriven.calls.len(), 1);
    assert_eq!(redriven.calls[0].payload.value()["redrives"], 1);
    assert_eq!(
        redriven.types(KEY)[run.types(KEY).len() - 2..],
        [
            "TaskFailed",
            "ExecutionFailed",
            "ExecutionRedriven",
            "TaskScheduled",
            "TaskStarted",
            "TaskSucceeded",
            "TaskStateExited",
            "ExecutionSucceeded"
        ]
    );
    let line = serde_json::to_value(&records[run.records.len()]).unwrap();
    assert_eq!(line["executionRedrivenEventDetails"], json!({"redriveCount": 1}));
}

#[test]
fn a_state_that_fails_with_its_results_goes_on_with_them() {
    let map = json!({"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": {"StartAt": "T", "States": {"T": task("good", &json!({"End": true}))}},
        "ResultSelector": {"n.$": "States.StringToJson($$.Execution.Input.text)"}, "End": true});
    let machines = [("machine", json!({"StartAt": "M", "States": {"M": map}}))];
    let input = json!({"items": [1, 2, 3], "text": "no JSON"});
    let run = finish(Simulation::start(&machines, input, 1), &good, 1_000);
    assert_eq!(run.result(KEY).status, Status::Failed);
    let redriven = finish(Simulation::recovered(&machines, &with_redrive(&run), run.now, 1), &good, 1_000);
    assert_eq!((redriven.result(KEY).status, redriven.calls.len()), (Status::Failed, 0));
}

#[test]
fn a_timeout_starts_anew_and_a_wait_does_not() {
    let machines = [(
        "machine",
        json!({"TimeoutSeconds": 10, "StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 15, "End": true}}}),
    )];
    let run = finish(Simulation::start(&machines, json!({}), 1), &good, 1_000);
    assert_eq!((run.result(KEY).status, run.now), (Status::TimedOut, START + 10_000));
    let mut records = run.records.clone();
    records.push(redriven(all(&records), KEY, run.now + 1_000).unwrap());
    let redriven = finish(Simulation::recovered(&machines, &records, run.now + 1_000, 1), &good, 1_000);
    assert_eq!((redriven.result(KEY).status, redriven.now), (Status::Succeeded, START + 15_000));
}

/// A distributed Map whose items call `first` and then the function that the item names, two at a time.
fn distributed(kind: &str) -> Value {
    let mut named = task("?", &json!({"ResultPath": null, "End": true}));
    named["Parameters"] = json!({"FunctionName.$": "$.call"});
    let mut first = task("first", &json!({"ResultPath": null, "Next": "Named"}));
    if kind == "STANDARD" {
        named["Parameters"]["Payload"] = json!({"redrives.$": "$$.Execution.RedriveCount"});
    } else {
        // An Express execution is never redriven, and knows no count.
        first["Parameters"] = json!({"FunctionName": "first"});
    }
    json!({"StartAt": "M", "States": {"M": {"Type": "Map", "Label": "each", "MaxConcurrency": 2, "End": true, "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}, "StartAt": "First", "States": {
        "First": first, "Named": named}}}}})
}

/// The children of a distributed Map, by the function that their item names.
fn children(records: &[Record]) -> Vec<(String, String)> {
    let started = records.iter().filter_map(|record| match record {
        Record::Event { execution, event, .. }
            if execution.contains('/') && event.event_type == EventType::ExecutionStarted =>
        {
            let call = event.details.input.as_ref()?.value()["call"].as_str()?.to_owned();
            Some((call, execution.to_string()))
        }
        _ => None,
    });
    started.collect()
}

#[test]
fn of_a_distributed_map_only_what_did_not_succeed_is_run_again() {
    for kind in ["STANDARD", "EXPRESS"] {
        let machines = [("machine", distributed(kind))];
        let input = json!([{"call": "good"}, {"call": "bad"}, {"call": "later"}, {"call": "last"}]);
        let run = finish(Simulation::start(&machines, input.clone(), 3), &broken, 1_000);
        let result = run.result(KEY);
        assert_eq!(result.error.as_deref(), Some("States.ExceedToleratedFailureThreshold"));
        let before = children(&run.records);
        assert!(before.len() < 4, "{kind}: not all were started: {before:?}");
        let records = with_redrive(&run);
        let redriven = finish(Simulation::recovered(&machines, &records, run.now, 4), &good, 1_000);
        assert_eq!(redriven.result(KEY).output, Some(input), "{kind} {:?}", redriven.result(KEY));
        let own: Vec<&str> = redriven.types(KEY).split_off(run.types(KEY).len());
        let expected = [
            "ExecutionRedriven",
            "MapRunRedriven",
            "MapRunSucceeded",
            "MapStateSucceeded",
            "MapStateExited",
            "ExecutionSucceeded",
        ];
        assert_eq!(own, expected);
        let again = redriven.records.iter().find_map(|record| match record {
            Record::Event { event, .. } if event.event_type == EventType::MapRunRedriven => Some(event),
            _ => None,
        });
        let details = &again.unwrap().to_value()["mapRunRedrivenEventDetails"];
        assert!(
            details["redriveCount"] == 1 && details["mapRunArn"].as_str().unwrap().contains("machine/each:")
        );
        // What succeeded is not called again; the child that failed goes on, or is started anew.
        let bad = &before.iter().find(|(call, _)| call == "bad").unwrap().1;
        let calls = |function: &str| redriven.calls.iter().filter(|call| call.function == function).count();
        let call = redriven.calls.iter().find(|call| call.function == "bad").unwrap();
        if kind == "STANDARD" {
            assert!(redriven.types(bad).ends_with(&["TaskStateExited", "ExecutionSucceeded"]));
            assert_eq!(redriven.types(bad).iter().filter(|kind| **kind == "ExecutionRedriven").count(), 1);
            assert_eq!(call.payload.value()["redrives"], 1);
            assert_eq!(children(&redriven.records).len(), 4);
            // Those that did not come to it, or were cut off.
            assert!(calls("first") <= 3 && calls("bad") == 1);
        } else {
            assert!(!redriven.types(bad).contains(&"ExecutionRedriven"));
            let after = children(&redriven.records);
            assert_eq!(after.iter().filter(|(call, _)| call == "bad").count(), 2);
        }
        // Once more from every cut after the redrive.
        for cut in records.len()..redriven.records.len() {
            let killed = Simulation::recovered(&machines, &redriven.records[..cut], run.now, 5);
            let killed = finish(killed, &good, 1_000);
            assert_eq!(killed.result(KEY), redriven.result(KEY), "{kind}, cut after {cut}");
        }
    }
}

#[test]
fn a_map_run_can_be_redriven_again_and_stopped_meanwhile() {
    let machines = [("machine", distributed("STANDARD"))];
    let input = json!([{"call": "good"}, {"call": "bad"}, {"call": "bad"}]);
    let mut run = finish(Simulation::start(&machines, input.clone(), 3), &broken, 1_000);
    for _ in 0..2 {
        let records = with_redrive(&run);
        run = finish(Simulation::recovered(&machines, &records, run.now, 4), &broken, 1_000);
        assert_eq!(run.result(KEY).error.as_deref(), Some("States.ExceedToleratedFailureThreshold"));
    }
    // Stopped while children run.
    let mut stopped = Simulation::recovered(&machines, &with_redrive(&run), run.now, 4);
    stopped = finish(stopped, &good, 2);
    stopped.step(Event::Abort { execution: None, error: None, cause: None });
    assert_eq!(stopped.result(KEY).status, Status::Aborted);
    let records = with_redrive(&stopped);
    let end = finish(Simulation::recovered(&machines, &records, stopped.now, 4), &good, 1_000);
    assert_eq!(end.result(KEY).output, Some(input));
    let counts: Vec<u64> = end
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Event { event, .. } if event.event_type == EventType::MapRunRedriven => {
                event.details.redrive_count.map(u64::from)
            }
            _ => None,
        })
        .collect();
    assert_eq!(counts, [1, 2, 3, 4]);
}

#[test]
fn a_fixed_name_is_used_once_by_a_redriven_task_too() {
    let start = json!({"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "TimeoutSeconds": 60,
        "Parameters": {"StateMachineArn": "child", "Name": "fixed"}, "End": true});
    let child = json!({"StartAt": "T", "States": {"T": task("bad", &json!({"End": true}))}});
    let machine = |start: &Value| {
        [("machine", json!({"StartAt": "S", "States": {"S": start}})), ("child", child.clone())]
    };
    let fixed = machine(&start);
    let run = finish(Simulation::start(&fixed, json!({}), 1), &broken, 1_000);
    let again = finish(Simulation::recovered(&fixed, &with_redrive(&run), run.now, 1), &good, 1_000);
    let error = again.result(KEY).error.as_deref();
    assert_eq!(error, Some("StepFunctions.ExecutionAlreadyExistsException"));
    // A name that tells the redrives apart is what helps.
    let mut drawn = start;
    drawn["Parameters"] =
        json!({"StateMachineArn": "child", "Name.$": "States.Format('n-{}', $$.Execution.RedriveCount)"});
    let drawn = machine(&drawn);
    let run = finish(Simulation::start(&drawn, json!({}), 1), &broken, 1_000);
    let again = finish(Simulation::recovered(&drawn, &with_redrive(&run), run.now, 1), &good, 1_000);
    assert_eq!(again.result(KEY).status, Status::Succeeded);
}

#[test]
fn what_cannot_be_redriven_is_refused() {
    let machines = [("machine", json!({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E"}}}))];
    let express = || {
        let text = machines[0].1.to_string();
        let program = Program::load(&text, MachineType::Express).unwrap();
        std::collections::BTreeMap::from([("machine".to_owned(), program)])
    };
    let mut core = Core::new(express(), 7, Settings::default());
    let mut commands = Vec::new();
    let start =
        Event::Start { machine: "machine".to_owned(), name: "run".to_owned(), input: Payload::empty() };
    core.step(start, START, &mut commands);
    let mut records: Vec<Record> = commands
        .into_iter()
        .filter_map(|command| match command {
            Command::Record(record) => Some(record),
            _ => None,
        })
        .collect();
    records.push(redriven(all(&records), KEY, START).unwrap());
    let error = recover(express(), 7, Settings::default(), records, START).unwrap_err();
    assert!(error.to_string().contains("an Express execution cannot be redriven"), "{error}");
    let machines = [("machine", json!({"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}))];
    let run = finish(Simulation::start(&machines, json!([1]), 1), &good, 1_000);
    assert_eq!(redriven(all(&run.records), KEY, START), Err(RedriveError::Succeeded));
    assert_eq!(redriven(all(&run.records[..2]), KEY, START), Err(RedriveError::Running));
    assert!(matches!(redriven(all(&run.records), "other:run", START), Err(RedriveError::Unknown(_))));
}
