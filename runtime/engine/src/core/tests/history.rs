//! What stands in the history, and in which order.

use super::simulation::Simulation;
use crate::core::history::{EventType, Record};
use crate::core::{Event, Status};
use serde_json::json;

#[test]
fn a_task_in_a_map() {
    let machines = [(
        "m",
        json!({"StartAt": "M", "States": {"M": {"Type": "Map", "MaxConcurrency": 1,
        "ItemProcessor": {"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5,
            "Resource": "arn:aws:lambda:us-east-1:111111111111:function:f", "End": true}}}, "End": true}}}),
    )];
    let run = Simulation::start(&machines, json!([1, 2]), 1).finish();
    let iteration = [
        "MapIterationStarted",
        "TaskStateEntered",
        "LambdaFunctionScheduled",
        "LambdaFunctionStarted",
        "LambdaFunctionSucceeded",
        "TaskStateExited",
        "MapIterationSucceeded",
    ];
    let expected: Vec<&str> = ["ExecutionStarted", "MapStateEntered", "MapStateStarted"]
        .into_iter()
        .chain(iteration)
        .chain(iteration)
        .chain(["MapStateSucceeded", "MapStateExited", "ExecutionSucceeded"])
        .collect();
    assert_eq!(run.types("m:run"), expected);
    assert_eq!(
        run.result("m:run").output,
        Some(json!([
        {"by": "arn:aws:lambda:us-east-1:111111111111:function:f", "of": 1},
        {"by": "arn:aws:lambda:us-east-1:111111111111:function:f", "of": 2}]))
    );
}

#[test]
fn ids_have_no_gaps_and_lead_back() {
    let machines = [(
        "m",
        json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "End": true}}},
        {"StartAt": "C", "States": {"C": {"Type": "Pass", "End": true}}}]}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    for (place, record) in run.records.iter().enumerate() {
        let Record::Event { event, .. } = record else { panic!("an event") };
        assert_eq!(event.id, place as u64 + 1);
        assert!(event.previous_event_id < event.id);
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(&serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}

#[test]
fn a_failing_branch_cancels_the_others() {
    let machines = [(
        "m",
        json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "c"}}},
        {"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5, "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "good"}, "End": true}}},
        {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 100, "End": true}}}]}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1);
    let result = run.result("m:run").clone();
    assert_eq!(
        (result.status, result.error.as_deref(), result.cause.as_deref()),
        (Status::Failed, Some("E"), Some("c"))
    );
    assert!(run.core.is_idle() && run.waiting.is_empty() && run.core.next_timer().is_none());
    assert!(run.types("m:run").contains(&EventType::ParallelStateFailed.name()));
}

#[test]
fn a_child_execution_has_its_own_history() {
    let machines = [
        (
            "m",
            json!({"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5,
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:111111111111:stateMachine:c", "Name": "n", "Input": {"a": 1}},
            "ResultSelector": {"o.$": "$.Output", "s.$": "$.Status"}, "End": true}}}),
        ),
        ("c", json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}})),
    ];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    assert_eq!(run.result("m:run").output, Some(json!({"o": {"a": 1}, "s": "SUCCEEDED"})));
    assert_eq!(
        run.types("c:n"),
        ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    );
    assert_eq!(
        run.types("m:run"),
        [
            "ExecutionStarted",
            "TaskStateEntered",
            "TaskScheduled",
            "TaskStarted",
            "TaskSubmitted",
            "TaskSucceeded",
            "TaskStateExited",
            "ExecutionSucceeded"
        ]
    );
}

/// Types and the events before, from the event `from` on.
fn chain(run: &Simulation, from: usize) -> Vec<(&'static str, u64)> {
    let events = run.records.iter().filter_map(|record| match record {
        Record::Event { execution, event, .. } if &**execution == "m:run" => {
            Some((event.event_type.name(), event.previous_event_id))
        }
        _ => None,
    });
    events.skip(from - 1).collect()
}

#[test]
fn an_iteration_that_waited_follows_the_last_state_of_the_one_whose_place_it_takes() {
    let pass = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
    let map = json!({"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": pass, "End": true});
    let run = Simulation::start(&[("m", json!({"StartAt": "M", "States": {"M": map}}))], json!([1, 2]), 1);
    let recorded = [
        ("MapStateStarted", 2),
        ("MapIterationStarted", 3),
        ("PassStateEntered", 4),
        ("PassStateExited", 5),
        ("MapIterationSucceeded", 6),
        ("MapIterationStarted", 6),
        ("PassStateEntered", 8),
        ("PassStateExited", 9),
        ("MapIterationSucceeded", 10),
        ("MapStateSucceeded", 11),
        ("MapStateExited", 11),
        ("ExecutionSucceeded", 13),
    ];
    assert_eq!(chain(&run, 3), recorded);
}

#[test]
fn what_runs_beside_a_failing_branch_is_aborted_innermost_first() {
    let wait = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 100, "End": true}}});
    let task = json!({"Type": "Task", "TimeoutSeconds": 5, "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "good"}, "End": true});
    let distributed = json!({"StartAt": "V", "States": {"V": {"Type": "Wait", "Seconds": 100, "End": true}},
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}});
    let machines = [(
        "m",
        json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "Next": "S", "Branches": [
        {"StartAt": "Soon", "States": {"Soon": {"Type": "Wait", "Seconds": 1, "Next": "F"}, "F": {"Type": "Fail", "Error": "E"}}},
        {"StartAt": "T", "States": {"T": task}},
        {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": wait, "End": true}}},
        {"StartAt": "Q", "States": {"Q": {"Type": "Parallel", "Branches": [{"StartAt": "U", "States": {"U": task}}], "End": true}}},
        {"StartAt": "D", "States": {"D": {"Type": "Map", "Label": "d", "ItemProcessor": distributed, "End": true}}}],
        "Catch": [{"ErrorEquals": ["E"], "Next": "S"}]}, "S": {"Type": "Succeed"}}}),
    )];
    let mut run = Simulation::start(&machines, json!([1, 2]), 1);
    let entered = |run: &Simulation, name: &str| {
        let of = |record: &Record| match record {
            Record::Event { event, .. } if event.details.name.as_deref() == Some(name) => Some(event.id),
            _ => None,
        };
        run.records.iter().find_map(of).unwrap()
    };
    let before = run.types("m:run").len();
    run.now += 1_000;
    run.step(Event::TimersDue);
    let run = run.finish();
    assert_eq!(run.result("m:run").status, Status::Succeeded);
    assert!(run.core.is_idle() && run.waiting.is_empty() && run.core.next_timer().is_none());
    let types: Vec<&str> = run.types("m:run").split_off(before);
    let expected = [
        "WaitStateExited",
        "FailStateEntered",
        "TaskStateAborted",
        "WaitStateAborted",
        "MapIterationAborted",
        "WaitStateAborted",
        "MapIterationAborted",
        "MapStateAborted",
        "TaskStateAborted",
        "ParallelStateAborted",
        "MapRunAborted",
        "MapStateAborted",
        "ParallelStateFailed",
        "ParallelStateExited",
        "SucceedStateEntered",
        "SucceedStateExited",
        "ExecutionSucceeded",
    ];
    assert_eq!(types, expected);
    // Each leads back to the last event of its own line, and what follows to the failure.
    let chain = chain(&run, before + 1);
    let failed = before as u64 + 2;
    assert_eq!(chain[2].1, entered(&run, "T") + 2, "the task's TaskStarted");
    assert_eq!((chain[12].1, chain[13].1), (failed, before as u64 + 13));
}

#[test]
fn a_task_that_fails_its_branch_is_aborted_and_passed_by() {
    let task = |function: &str| {
        json!({"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5, "End": true,
            "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": function}}}})
    };
    let machines = [(
        "m",
        json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": [task("bad")], "End": true,
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "S"}]}, "S": {"Type": "Succeed"}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    let expected =
        [("TaskFailed", 6), ("TaskStateAborted", 7), ("ParallelStateFailed", 7), ("ParallelStateExited", 9)];
    assert_eq!(chain(&run, 7)[..4], expected);
    // One that is not in a branch has only its own failure.
    let run = Simulation::start(&[("m", task("bad"))], json!({}), 1).finish();
    assert_eq!(chain(&run, 5), [("TaskFailed", 4), ("ExecutionFailed", 5)]);
}

#[test]
fn success_and_failed_iterations_are_passed_by() {
    let map = |inner: serde_json::Value| {
        json!({"StartAt": "M", "States": {"M": {"Type": "Map", "MaxConcurrency": 1, "End": true,
            "ItemProcessor": {"StartAt": "I", "States": {"I": inner}}}}})
    };
    let run = Simulation::start(&[("m", map(json!({"Type": "Pass", "End": true})))], json!([1]), 1).finish();
    let ends = [
        ("MapIterationSucceeded", 6),
        ("MapStateSucceeded", 7),
        ("MapStateExited", 7),
        ("ExecutionSucceeded", 9),
    ];
    assert_eq!(chain(&run, 7), ends);
    let run = Simulation::start(&[("m", map(json!({"Type": "Fail", "Error": "E"})))], json!([1]), 1).finish();
    let ends =
        [("FailStateEntered", 4), ("MapIterationFailed", 5), ("MapStateFailed", 5), ("ExecutionFailed", 7)];
    assert_eq!(chain(&run, 5), ends);
    let distributed = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "Label": "l", "End": true,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}}}}});
    let run = Simulation::start(&[("m", distributed)], json!([1]), 1).finish();
    let ends = [
        ("MapRunStarted", 3),
        ("MapRunSucceeded", 4),
        ("MapStateSucceeded", 5),
        ("MapStateExited", 4),
        ("ExecutionSucceeded", 7),
    ];
    assert_eq!(chain(&run, 4), ends);
    // States.Runtime ends the execution without a word on what stands.
    let runtime = map(json!({"Type": "Pass", "Parameters": {"a.$": "$.none"}, "End": true}));
    let run = Simulation::start(&[("m", runtime)], json!([1]), 1).finish();
    assert_eq!(chain(&run, 5), [("PassStateEntered", 4), ("ExecutionFailed", 5)]);
}

#[test]
fn an_expression_without_a_value_is_told_of_once_and_where() {
    let machines = [(
        "m",
        json!({"QueryLanguage": "JSONata", "StartAt": "P", "States": {
        "P": {"Type": "Parallel", "End": true, "Branches": [
            {"StartAt": "B", "States": {"B": {"Type": "Pass", "Output": {"v": "{% $states.input.none %}"}, "End": true}}}],
            "Catch": [{"ErrorEquals": ["Other"], "Next": "S"}, {"ErrorEquals": ["States.ALL"], "Next": "S",
                "Output": {"w": "{% $states.input.none %}"}}]},
        "S": {"Type": "Succeed"}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    let expected = [
        ("PassStateEntered", 3),
        ("EvaluationFailed", 4),
        ("ParallelStateFailed", 5),
        ("EvaluationFailed", 5),
        ("ParallelStateFailed", 7),
        ("ExecutionFailed", 8),
    ];
    assert_eq!(chain(&run, 4), expected);
    let wheres: Vec<_> = run
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Event { event, .. } => event.details.location.clone().zip(event.details.state.clone()),
            _ => None,
        })
        .collect();
    let wheres: Vec<(&str, &str)> =
        wheres.iter().map(|(location, state)| (location.as_str(), &**state)).collect();
    assert_eq!(wheres, [("Output/v", "B"), ("Catch[1]/Output/w", "P")]);
}
