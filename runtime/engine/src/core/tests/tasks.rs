//! Timeouts, retries, tokens.

use super::simulation::Simulation;
use crate::core::{Event, Status, TaskError, TaskId};
use serde_json::{Value, json};
use stepgrad_asl::Payload;

fn task(extra: &Value) -> [(&'static str, Value); 1] {
    let mut state = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "good"}, "TimeoutSeconds": 10, "End": true});
    state.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    [("m", json!({"StartAt": "T", "States": {"T": state}}))]
}

#[test]
fn a_task_that_does_not_answer_times_out_and_is_cancelled() {
    let mut run = Simulation::start(&task(&json!({})), json!({}), 1);
    assert_eq!(run.waiting.len(), 1);
    run.now = run.core.next_timer().unwrap();
    run.step(Event::TimersDue);
    assert_eq!(run.waiting.len(), 0);
    let result = run.result("m:run");
    assert_eq!((result.error.as_deref(), result.cause.as_deref()), (Some("States.Timeout"), None));
}

#[test]
fn each_retrier_keeps_its_own_count() {
    let retry = json!({"Parameters": {"FunctionName": "x"}, "Retry": [
        {"ErrorEquals": ["A"], "MaxAttempts": 1, "IntervalSeconds": 1},
        {"ErrorEquals": ["States.ALL"], "MaxAttempts": 2, "IntervalSeconds": 3, "BackoffRate": 2, "MaxDelaySeconds": 4}]});
    let mut run = Simulation::start(&task(&retry), json!({}), 1);
    let mut delays = Vec::new();
    for error in ["B", "A", "B", "A"] {
        let id = *run.waiting.keys().next().unwrap();
        run.waiting.remove(&id);
        let failed = TaskError { error: error.to_owned(), cause: None };
        run.step(Event::Replied { task: id, result: Err(failed) });
        if let Some(at) = run.core.next_timer() {
            delays.push(at - run.now);
            run.now = at;
            run.step(Event::TimersDue);
        }
    }
    assert_eq!(delays, [3_000, 1_000, 4_000]);
    assert_eq!(run.result("m:run").error.as_deref(), Some("A"));
    assert_eq!(run.calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_task_can_wait_for_its_token() {
    let machines =
        task(&json!({"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "HeartbeatSeconds": 4,
        "Parameters": {"FunctionName": "good", "Payload": {"token.$": "$$.Task.Token"}}}));
    let mut run = Simulation::start(&machines, json!({}), 1);
    let (id, call) = run.waiting.pop_first().unwrap();
    let token = call.payload.value()["token"].as_str().unwrap();
    assert_eq!(TaskId::from_token(token), Some(id));
    run.step(Event::Replied { task: id, result: Ok(Payload::empty()) });
    assert!(!run.core.is_idle());
    run.now += 3_000;
    run.step(Event::Heartbeat { task: id });
    run.now += 3_000;
    run.step(Event::Callback { task: id, result: Ok(Payload::new(json!(1))) });
    assert_eq!(run.result("m:run").output, Some(json!(1)));
    assert!(run.types("m:run").contains(&"TaskSubmitted"));

    let mut late = Simulation::start(&machines, json!({}), 1);
    late.now = late.core.next_timer().unwrap();
    late.step(Event::TimersDue);
    assert_eq!(late.result("m:run").error.as_deref(), Some("States.HeartbeatTimeout"));
}

#[test]
fn a_reply_that_is_too_late_is_nobodys() {
    let mut run = Simulation::start(&task(&json!({})), json!({}), 1);
    let (id, _) = run.waiting.pop_first().unwrap();
    run.step(Event::Replied { task: id, result: Ok(Payload::empty()) });
    assert_eq!(run.result("m:run").status, Status::Succeeded);
    let events = run.records.len();
    run.step(Event::Replied { task: id, result: Ok(Payload::empty()) });
    assert_eq!(run.records.len(), events);
}

#[test]
fn the_time_in_a_drivers_queue_is_not_the_functions() {
    let mut run = Simulation::start(&task(&json!({"TimeoutSeconds": 5})), json!({}), 1);
    let id = *run.waiting.keys().next().unwrap();
    run.step(Event::Queued { task: id });
    assert_eq!(run.core.next_timer(), None, "a call that waits for its turn does not time out");
    run.now += 60_000;
    run.step(Event::Begun { task: id });
    assert_eq!(run.core.next_timer(), Some(run.now + 5_000));
    run.now += 5_000;
    run.step(Event::TimersDue);
    assert_eq!(run.result("m:run").error.as_deref(), Some("States.Timeout"));
}

/// Three branches that start the same execution: one asks for its ARN, two wait for its end.
fn thrice(second_input: &Value) -> [(&'static str, Value); 2] {
    let start = |pattern: &str, input: &Value| {
        let name = format!("S{pattern}");
        json!({"StartAt": name, "States": {name: {"Type": "Task", "TimeoutSeconds": 60, "End": true,
            "Resource": format!("arn:aws:states:::states:startExecution{pattern}"),
            "Parameters": {"StateMachineArn": "child", "Name": "fixed", "Input": input}}}})
    };
    let same = json!({"x": 1});
    let branches = [start(".sync:2", &same), start("", second_input), start(".sync", second_input)];
    let child = json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "good"}, "TimeoutSeconds": 10, "ResultSelector": {"y": 2}, "End": true}}});
    [
        (
            "m",
            json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": branches, "End": true}}}),
        ),
        ("child", child),
    ]
}

#[test]
fn a_name_with_the_same_input_is_the_execution_that_runs() {
    let machines = thrice(&json!({"x": 1}));
    let mut run = Simulation::start(&machines, json!({}), 1);
    assert_eq!(run.waiting.len(), 1, "the child was started once");
    let (id, _) = run.waiting.pop_first().unwrap();
    run.now += 5_000;
    run.step(Event::Replied { task: id, result: Ok(Payload::empty()) });
    let output = run.result("m:run").output.clone().unwrap();
    assert_eq!(output[0]["Output"], json!({"y": 2}));
    assert_eq!(output[1]["ExecutionArn"], output[0]["ExecutionArn"]);
    assert_eq!(output[2]["Output"], json!("{\"y\":2}"));
    assert_eq!(output[0]["StopDate"], output[2]["StopDate"]);
    // Wherever it is killed, it comes to the same.
    for cut in 1..run.records.len() {
        let recovered = Simulation::recovered(&machines, &run.records[..cut], run.now, 1).finish();
        assert_eq!(recovered.result("m:run").status, Status::Succeeded, "after {cut} records");
    }
}

#[test]
fn a_name_with_another_input_or_of_an_execution_that_has_ended_exists_already() {
    let run = Simulation::start(&thrice(&json!({"x": 2})), json!({}), 1);
    let error = run.result("m:run").error.as_deref();
    assert_eq!(error, Some("StepFunctions.ExecutionAlreadyExistsException"));
    let start = |next: &Value| {
        let mut state = json!({"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "TimeoutSeconds": 60,
            "Parameters": {"StateMachineArn": "child", "Name": "fixed", "Input": {"x": 1}}});
        state.as_object_mut().unwrap().extend(next.as_object().unwrap().clone());
        state
    };
    let twice = json!({"StartAt": "A", "States": {"A": start(&json!({"Next": "B"})), "B": start(&json!({"End": true}))}});
    let child = json!({"StartAt": "S", "States": {"S": {"Type": "Succeed"}}});
    let run = Simulation::start(&[("m", twice), ("child", child)], json!({}), 1).finish();
    let error = run.result("m:run").error.as_deref();
    assert_eq!(error, Some("StepFunctions.ExecutionAlreadyExistsException"));
}
