//! An execution that ended badly goes on from where it failed.

use super::machines::{machines, steps};
use super::simulation::{START, Simulation, programs};
use crate::core::history::{EventType, Record};
use crate::core::redrive::{RedriveError, redriven};
use crate::core::{Event, Invocation, RecoveryError, Settings, Status, TaskError, recover};
use proptest::prelude::*;
use serde_json::{Value, json};

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

/// Machines in which nothing is caught, and no Map is distributed.
fn without_catch(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(catch) = members.get_mut("Catch") {
                catch[0]["ErrorEquals"] = json!(["Another"]);
            }
            members.remove("ProcessorConfig");
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
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

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

#[test]
fn what_cannot_be_redriven_is_refused() {
    let distributed = json!({"Type": "Map", "Label": "each", "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "F",
        "States": {"F": {"Type": "Fail", "Error": "E"}}}, "End": true});
    let machines = [("machine", json!({"StartAt": "M", "States": {"M": distributed}}))];
    let run = finish(Simulation::start(&machines, json!([1]), 1), &good, 1_000);
    let error = recover(programs(&machines), 7, Settings::default(), with_redrive(&run), START).unwrap_err();
    assert!(matches!(error, RecoveryError::NotRedrivable { .. }), "{error}");
    let machines = [("machine", json!({"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}))];
    let run = finish(Simulation::start(&machines, json!([1]), 1), &good, 1_000);
    assert_eq!(redriven(all(&run.records), KEY, START), Err(RedriveError::Succeeded));
    assert_eq!(redriven(all(&run.records[..2]), KEY, START), Err(RedriveError::Running));
    assert!(matches!(redriven(all(&run.records), "other:run", START), Err(RedriveError::Unknown(_))));
}
