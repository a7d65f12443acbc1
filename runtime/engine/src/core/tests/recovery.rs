//! A run that is killed at any point and recovered comes to the same end, and asks for nothing again that is recorded
//! as done.

use super::machines::{machines, steps};
use super::simulation::{START, Simulation, programs};
use crate::core::history::{EventType, Record};
use crate::core::{Event, RecoveryError, Settings, Status, recover};
use crate::driver::history::Records;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn input() -> Value {
    json!({"items": [1, 2, 3], "passed": 3})
}

/// Event ids of tasks that the records say are done, by execution.
fn done(records: &[Record]) -> BTreeSet<(String, u64)> {
    let mut done = BTreeSet::new();
    for record in records {
        let Record::Event { execution, event, .. } = record else { continue };
        if matches!(
            event.event_type,
            EventType::TaskSucceeded | EventType::LambdaFunctionSucceeded | EventType::TaskFailed
        ) {
            // The event before is TaskStarted or TaskSubmitted; the scheduling one or two before that.
            done.extend([1, 2].map(|back| (execution.to_string(), event.previous_event_id - back)));
        }
    }
    done
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_prefix_leads_to_the_same_end(steps in steps(), order in any::<u64>(), again in any::<u64>()) {
        let machines = machines(&steps);
        let whole = Simulation::start(&machines, input(), order).finish();
        let expected = whole.result("machine:run").clone();
        // All cuts of a short history; of a long one, some all over it.
        let stride = whole.records.len() / 40 + 1;
        for cut in (1..=whole.records.len()).step_by(stride) {
            let prefix = &whole.records[..cut];
            let lines: String = prefix.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
            let torn = lines.clone() + "{\"execution\": \"mach";
            let read: Vec<Record> = Records::of(torn.as_bytes()).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read.len(), prefix.len());
            let later = whole.now + 86_400_000;
            let recovered = Simulation::recovered(&machines, &read, later, again);
            let done = done(prefix);
            for call in &recovered.calls {
                let key = prefix.iter().rev().find_map(|record| match record {
                    Record::Event { execution, .. }
                        if recovered.core.names.get(&**execution) == Some(&call.task.execution) => Some(execution.to_string()),
                    _ => None,
                });
                if let Some(key) = key {
                    prop_assert!(!done.contains(&(key, call.task.event)), "{call:?} was done");
                }
            }
            let recovered = recovered.finish();
            if cut < whole.records.len() {
                prop_assert_eq!(recovered.result("machine:run"), &expected, "cut after {} of {}", cut, whole.records.len());
            }
            // And killed once more, in the middle of what came after.
            let middle = cut + (recovered.records.len() - cut) / 2;
            if middle > cut && middle < recovered.records.len() {
                let twice = Simulation::recovered(&machines, &recovered.records[..middle], recovered.now, order).finish();
                if !recovered.records[..middle].iter().any(is_end) {
                    prop_assert_eq!(twice.result("machine:run"), &expected, "cut twice, {} and {}", cut, middle);
                }
            }
        }
    }
}

fn is_end(record: &Record) -> bool {
    matches!(record, Record::Event { execution, event, .. } if &**execution == "machine:run" && event.event_type.is_end())
}

#[test]
fn a_history_of_another_machine_is_refused() {
    let one = [(
        "machine",
        json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}}),
    )];
    let other = [("machine", json!({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}))];
    let run = Simulation::start(&one, json!({}), 1).finish();
    let records = run.records.clone();
    let error = recover(programs(&other), 7, Settings::default(), records, START).unwrap_err();
    assert!(matches!(error, RecoveryError::Diverged { id: 2, .. }), "{error}");
    assert_eq!(
        recover(programs(&one), 7, Settings::default(), Vec::<Record>::new(), START).unwrap_err(),
        RecoveryError::Empty
    );
}

#[test]
fn a_replayed_run_writes_the_same_history() {
    let machines = [(
        "machine",
        json!({"StartAt": "W", "States": {
        "W": {"Type": "Wait", "Seconds": 5, "Next": "T"},
        "T": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 9,
            "Parameters": {"FunctionName": "flaky"}, "Retry": [{"ErrorEquals": ["Flaky"]}], "End": true}}}),
    )];
    let one = Simulation::start(&machines, json!({}), 1).finish();
    let two = Simulation::start(&machines, json!({}), 1).finish();
    assert_eq!(one.records, two.records);
    let attempts: Vec<u32> = one
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Event { attempt, .. } => *attempt,
            Record::Objects { .. } | Record::Resumed { .. } | Record::Fault { .. } => None,
        })
        .collect();
    assert_eq!(attempts, [0, 1]);
}

/// Every cut of these records can be gone on from.
fn every_cut_recovers(machines: &[(&str, Value)], run: &Simulation) {
    for cut in 1..=run.records.len() {
        Simulation::recovered(machines, &run.records[..cut], run.now, 1).finish();
    }
}

#[test]
fn a_timeout_that_was_put_off_does_not_confuse_a_replay() {
    let machines = [(
        "machine",
        json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 5,
            "Parameters": {"FunctionName": "good"}, "End": true}}},
        {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": true}}}]}}}),
    )];
    let mut run = Simulation::start(&machines, json!({}), 1);
    let task = *run.waiting.keys().next().unwrap();
    run.step(Event::Queued { task });
    run.now += 60_000;
    run.step(Event::TimersDue);
    run.step(Event::Begun { task });
    assert!(run.types("machine:run").contains(&"WaitStateExited"));
    let run = run.finish();
    assert_eq!(run.result("machine:run").status, Status::Succeeded);
    every_cut_recovers(&machines, &run);
}

#[test]
fn faults_in_the_log_change_nothing_in_a_recovery() {
    let machines = [(
        "machine",
        json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "TimeoutSeconds": 9, "Parameters": {"FunctionName": "flaky"}, "Retry": [{"ErrorEquals": ["Flaky"]}], "End": true}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    for cut in 1..=run.records.len() {
        let fault = Record::Fault { timestamp: run.now, fired: json!({"fault": "lost", "action": "kill"}) };
        let with_faults: Vec<Record> =
            run.records[..cut].iter().flat_map(|record| [record.clone(), fault.clone()]).collect();
        let lines: String =
            with_faults.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
        let read = Records::of(lines.as_bytes()).collect::<Result<Vec<Record>, _>>().unwrap();
        assert_eq!(read.iter().filter(|record| matches!(record, Record::Fault { .. })).count(), cut);
        let recovered = Simulation::recovered(&machines, &read, run.now, 1).finish();
        assert_eq!(recovered.result("machine:run").output, run.result("machine:run").output);
    }
}

#[test]
fn aborts_that_follow_from_something_are_not_taken_for_orders() {
    let child = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": true}}});
    let machines = [
        (
            "machine",
            json!({"StartAt": "T", "States": {
            "T": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync", "TimeoutSeconds": 5,
                "Parameters": {"StateMachineArn": "child"}, "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "M"}], "End": true},
            "M": {"Type": "Map", "End": true, "ItemsPath": "$.items", "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "C", "States": {
                "C": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "F"}], "Default": "V"},
                "F": {"Type": "Fail", "Error": "E"}, "V": {"Type": "Wait", "Seconds": 600, "End": true}}}}}}),
        ),
        ("child", child),
    ];
    let mut definition = machines[0].1.clone();
    definition["States"]["T"]["Catch"][0]["ResultPath"] = json!("$.error");
    let machines = [("machine", definition), machines[1].clone()];
    let run = Simulation::start(&machines, json!({"items": [2, 1, 3]}), 1).finish();
    let error = run.result("machine:run").error.as_deref();
    assert_eq!(error, Some("States.ExceedToleratedFailureThreshold"));
    every_cut_recovers(&machines, &run);

    let mut ordered = Simulation::start(&machines, json!({"items": []}), 1);
    ordered.step(Event::Abort { execution: None, error: None, cause: Some("enough".to_owned()) });
    assert_eq!(ordered.results.len(), 2);
    every_cut_recovers(&machines, &ordered);
}
