//! The variables that the templates are rendered with: names, ARNs, retries and what follows what. All that
//! has to be decided is decided here, so that the templates only say how it is written.

use super::{Settings, machine_placeholder};
use crate::limits::FUNCTION_TIMEOUT_S;
use crate::plan::{Dimension, Failure, Map, Plan, Stage, Step};
use serde_json::{Value, json};
use stepgrad_contract::{ErrorKind, Function, view};

/// Seconds that a call may wait for its function to start on top of the function's own timeout, so that it is
/// Lambda that ends a slow function and names the cause.
const TASK_MARGIN: u32 = 60;
/// Seconds after which an execution of each machine is given up: nothing waits for ever.
const BATCHES_TIMEOUT: u32 = 6 * 3_600;
const PEERS_TIMEOUT: u32 = 12 * 3_600;
const ROUND_TIMEOUT: u32 = 24 * 3_600;
const SEGMENT_TIMEOUT: u32 = 90 * 24 * 3_600;

/// A machine to be rendered.
pub(super) struct Rendering {
    pub(super) name: String,
    pub(super) template: &'static str,
    pub(super) variables: Value,
}

/// The machines of a plan.
pub(super) fn machines(plan: &Plan, settings: &Settings) -> Vec<Rendering> {
    let mut all = vec![train(plan, settings), segment(plan, settings)];
    let lowering = Lowering { settings };
    let (steps, mut children) = lowering.steps(&plan.round, None, "RoundFailed");
    all.push(Rendering {
        name: "round".to_owned(),
        template: "machines/round.asl.json",
        variables: json!({
            "comment": format!("one round: {}", plan.summary),
            "steps": steps,
            "failure": {"kind": "fail", "name": "RoundFailed"},
            "child_retry": child_retry(),
        }),
    });
    all.append(&mut children);
    all
}

fn train(plan: &Plan, settings: &Settings) -> Rendering {
    let lowering = Lowering { settings };
    let tasks = |stages: &[Stage], after: Option<&str>| -> Vec<Value> {
        let nexts = stages.iter().skip(1).map(|stage| Some(stage.name)).chain([after]);
        stages
            .iter()
            .zip(nexts)
            .map(|(stage, next)| lowering.task(stage, next, "TrainingFailed", None))
            .collect()
    };
    Rendering {
        name: "train".to_owned(),
        template: "machines/train.asl.json",
        variables: json!({
            "comment": format!("a training: {}", plan.summary),
            "steps": tasks(&plan.setup, Some("Segment")),
            "finish": tasks(&plan.finish, None),
            "timeout_s": settings.longest_run_s,
            "budget": settings.budget,
            "failure": {"kind": "fail", "name": "TrainingFailed"},
            "segment": {"arn": machine_placeholder("segment"), "timeout_s": SEGMENT_TIMEOUT},
            "child_retry": child_retry(),
        }),
    }
}

fn segment(plan: &Plan, settings: &Settings) -> Rendering {
    Rendering {
        name: "segment".to_owned(),
        template: "machines/segment.asl.json",
        variables: json!({
            "comment": format!("as many rounds as one history holds: {}", plan.summary),
            "failure": {"kind": "fail", "name": "SegmentFailed"},
            "budget": settings.budget,
            "budget_error": ErrorKind::BudgetExceeded.name(),
            "first": if settings.budget.is_some() { "Budget" } else { "Round" },
            "round": {"arn": machine_placeholder("round"), "timeout_s": ROUND_TIMEOUT},
            "child_retry": child_retry(),
        }),
    }
}

struct Lowering<'a> {
    settings: &'a Settings,
}

impl Lowering<'_> {
    /// The steps one after the other, and the machines that carry parts of them.
    fn steps(&self, steps: &[Step], after: Option<&str>, on_error: &str) -> (Vec<Value>, Vec<Rendering>) {
        let mut values = Vec::new();
        let mut machines = Vec::new();
        // What is still to be put before the next step.
        let mut probe: Option<&Stage> = None;
        for (place, step) in steps.iter().enumerate() {
            let next = steps.get(place + 1).map(step_name).or(after);
            match (step, probe.take()) {
                (Step::Probe(stage), _) => probe = Some(stage),
                (Step::Map(map), Some(stage)) if map.over == Dimension::Batches => {
                    // It begins with a choice already.
                    let (mut value, mut children) = self.map(map, next, on_error);
                    let alive = format!("{}Alive", map.name);
                    value["probe"] = json!({"heartbeat": stage.name, "alive": alive});
                    values.push(value);
                    values.push(self.probe(stage, &alive, on_error));
                    machines.append(&mut children);
                }
                (step, Some(stage)) => {
                    let name = step_name(step);
                    values.push(json!({
                        "kind": "probe",
                        "name": format!("{name}{CHOICE}"),
                        "heartbeat": stage.name,
                        "next": name,
                    }));
                    values.push(self.probe(stage, name, on_error));
                    self.step(step, next, on_error, &mut values, &mut machines);
                }
                (step, None) => self.step(step, next, on_error, &mut values, &mut machines),
            }
        }
        (values, machines)
    }

    fn step(
        &self,
        step: &Step,
        next: Option<&str>,
        on_error: &str,
        values: &mut Vec<Value>,
        machines: &mut Vec<Rendering>,
    ) {
        match step {
            // Taken up with the step that follows it.
            Step::Probe(_) => {}
            Step::Task(stage) => values.push(self.task(stage, next, on_error, None)),
            Step::Guarded(guarded) => {
                let instead = guarded
                    .then
                    .first()
                    .map(|step| json!({"error": guarded.from.name(), "next": step_name(step)}));
                values.push(self.task(&guarded.stage, next, on_error, instead.as_ref()));
                let (mut others, mut children) = self.steps(&guarded.then, next, on_error);
                values.append(&mut others);
                machines.append(&mut children);
            }
            Step::Quorum(name) => values.push(Self::quorum(name, next)),
            Step::Map(map) => {
                let (value, mut children) = self.map(map, next, on_error);
                values.push(value);
                machines.append(&mut children);
            }
        }
    }

    /// A call that is made once.
    fn probe(&self, stage: &Stage, next: &str, on_error: &str) -> Value {
        let mut task = self.task(stage, Some(next), on_error, None);
        task["retry"] = json!([]);
        task
    }

    /// A call; with `instead`, where it goes on after one error in place of `on_error`.
    fn task(&self, stage: &Stage, next: Option<&str>, on_error: &str, instead: Option<&Value>) -> Value {
        let timeout = self.settings.timeouts.get(&stage.function).copied().unwrap_or(FUNCTION_TIMEOUT_S);
        json!({
            "kind": "task",
            "name": stage.name,
            "function": stage.function.name(),
            "arn": stage.function.placeholder(),
            "timeout_s": timeout + TASK_MARGIN,
            "retry": retry(self.settings.max_attempts),
            "next": next,
            "on_error": on_error,
            "error_path": error_path(on_error),
            "instead": instead,
            "view": stage.view,
            // A call for a peer stands in a map over peers, whose failures are reported.
            "of_peer": on_error.ends_with(LOST),
            // What is known of the peers: how their work ended, or how their exchange did.
            "reports": if stage.view == view::FIRST { "$.reports" } else { "$.replicas" },
            "hand_over": self.hand_over(stage, timeout),
            "budget": self.settings.budget,
        })
    }

    /// How a task is called again that handed over for want of time; null for one that never does.
    fn hand_over(&self, stage: &Stage, timeout: u32) -> Value {
        if !stage.function.hands_over() {
            return Value::Null;
        }
        let at_most = self.settings.hand_overs;
        let function = stage.function.name();
        json!({
            "choice": format!("{}HandedOver", stage.name),
            "done": format!("{}Done", stage.name),
            "given_up": format!("{}GivenUp", stage.name),
            // Where the function's reply, and what it begins with, stand in the state.
            "path": if stage.function == Function::Prepare { "$.state.handed_over" } else { "$.work.handed_over" },
            "at_most": at_most,
            "error": ErrorKind::TooManyHandOvers.name(),
            "cause": format!(
                "{function} was not done after {} calls of up to {timeout} s each: raise functions.{function}.timeout_s or functions.hand_over.at_most",
                at_most.saturating_add(1)
            ),
        })
    }

    fn quorum(name: &str, next: Option<&str>) -> Value {
        json!({
            "kind": "quorum",
            "name": name,
            "lost": format!("{name}{LOST}"),
            "next": next,
        })
    }

    fn map(&self, map: &Map, next: Option<&str>, on_error: &str) -> (Value, Vec<Rendering>) {
        let failure = match map.failure {
            Failure::Reported => json!({"kind": "lost", "name": format!("{}{LOST}", map.name)}),
            Failure::Fatal => json!({"kind": "fail", "name": format!("{}ElementFailed", map.name)}),
        };
        let inner_error = failure["name"].as_str().unwrap_or_default().to_owned();
        let (steps, mut machines) = self.steps(&map.steps, None, &inner_error);
        let machine = map.name.to_lowercase();
        let (kind, template, timeout, execution) = match map.over {
            Dimension::Peers => (
                "peers",
                "machines/peers.asl.json",
                PEERS_TIMEOUT,
                format!("States.Format('{{}}-r{{}}-{machine}-g{{}}', $.run, $.round, $.group.group)"),
            ),
            Dimension::Batches => (
                "batches",
                "machines/batches.asl.json",
                BATCHES_TIMEOUT,
                "States.Format('{}-r{}-p{}-b{}', $.run, $.round, $.peer, $.range.first)".to_owned(),
            ),
        };
        let value = json!({
            "kind": kind,
            "name": map.name,
            "inline": format!("{}Inline", map.name),
            "range": format!("{}Range", map.name),
            "ranges": format!("{}Ranges", map.name),
            "groups": format!("{}Groups", map.name),
            "start": format!("Start{}", map.name),
            "probe": null,
            "child_failed": format!("{}ChildFailed", map.name),
            "child": {
                "arn": machine_placeholder(&machine),
                "timeout_s": timeout,
                "execution_name": execution,
            },
            "steps": steps,
            "hands_over": steps.iter().any(|step| !step["hand_over"].is_null()),
            "failure": failure,
            "result_path": map.results,
            "next": next,
            "on_error": on_error,
            "error_path": error_path(on_error),
        });
        machines.push(Rendering {
            name: machine,
            template,
            variables: json!({
                "comment": format!("a part of the map {} of one round", map.name),
                "step": value,
                "failure": {"kind": "fail", "name": format!("{}Failed", map.name)},
                "child_retry": child_retry(),
            }),
        });
        (value, machines)
    }
}

/// Where a caught error goes. A lost peer's report needs the peer beside it; a failure needs the error alone, and
/// drops what was carried, so that a large cause cannot make the payload too large.
fn error_path(on_error: &str) -> &'static str {
    if on_error.ends_with(LOST) { "$.error" } else { "$" }
}

/// How the names of the states end that report a lost element.
const LOST: &str = "Lost";
/// How the name of the state ends that asks whether an element is to be probed.
const CHOICE: &str = "Probe";

fn step_name(step: &Step) -> &str {
    match step {
        Step::Task(stage) | Step::Probe(stage) => stage.name,
        Step::Map(map) => map.name,
        Step::Guarded(guarded) => guarded.stage.name,
        Step::Quorum(name) => name,
    }
}

/// The retriers of a function's call. Throttling has one of its own: it says nothing about the function. As a training's
/// own calls stay within `functions.max_concurrency`, it comes from others in the account, whose calls may take minutes:
/// each delay is three times the one before, so that six attempts wait two minutes on average, and four at the most. More
/// attempts would cost events of every history, and so peers and batches that it holds; longer delays cost none.
fn retry(max_attempts: u32) -> Value {
    let mut transient = vec![
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.Unknown",
        "Runtime.ExitError",
        "Sandbox.Timedout",
    ];
    transient.extend(ErrorKind::ALL.into_iter().filter(|kind| kind.is_retryable()).map(ErrorKind::name));
    json!([
        {
            "ErrorEquals": ["Lambda.TooManyRequestsException"],
            "IntervalSeconds": 1,
            "MaxAttempts": 6,
            "BackoffRate": 3,
            "MaxDelaySeconds": 120,
            "JitterStrategy": "FULL",
        },
        {
            "ErrorEquals": transient,
            "IntervalSeconds": 1,
            "MaxAttempts": max_attempts,
            "BackoffRate": 2,
            "MaxDelaySeconds": 30,
            "JitterStrategy": "FULL",
        },
        {
            "ErrorEquals": ["States.Timeout"],
            "IntervalSeconds": 1,
            "MaxAttempts": max_attempts.min(2),
            "BackoffRate": 2,
            "MaxDelaySeconds": 30,
            "JitterStrategy": "FULL",
        },
    ])
}

/// The retriers of a child execution's start. A child that ran and failed is not started again: its own states
/// have had their retries, and its name is taken. What the service's model does not name, a failure inside it for one,
/// comes under the name of the SDK's base class, as with Lambda's. Where the execution was started all the same, its name
/// and input lead to it again.
fn child_retry() -> Value {
    json!([{
        "ErrorEquals": [
            "StepFunctions.AWSStepFunctionsException",
            "StepFunctions.ExecutionLimitExceededException",
            "StepFunctions.SdkClientException",
            "StepFunctions.ThrottlingException",
        ],
        "IntervalSeconds": 1,
        "MaxAttempts": 6,
        "BackoffRate": 2,
        "MaxDelaySeconds": 30,
        "JitterStrategy": "FULL",
    }])
}
