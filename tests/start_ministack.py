"""Starts ministack with what it lacks of AWS Step Functions put right, as AWS documents it; nothing else is changed.

- A nested StartExecution takes the ARN of a version or of an alias (Step Functions Developer Guide, "Starting an execution
  with a version or alias"); ministack's own API does, its service integration does not.
- A ResultSelector reads the Context object, `$$` (Developer Guide, "Accessing the Context object").
- The history tells what a task was scheduled with and what it has started (API Reference, `TaskScheduledEventDetails`,
  `TaskSubmittedEventDetails`).
- A Map takes as many iterations at once as `MaxConcurrencyPath` says (Amazon States Language, "Map State").
"""

import json
import sys

from ministack.services import stepfunctions as states

nested, selected, noted = states._nested_start_execution_request, states._apply_result_selector, states._add_event


def of_the_machine(data):
    request = nested(data)
    arn = request["stateMachineArn"]
    request["stateMachineArn"] = states._resolve_state_machine_arn(arn) or arn
    return request


def caller(name):
    """A variable of the nearest caller that has it."""
    frame = sys._getframe(2)
    while frame is not None:
        if name in frame.f_locals:
            return frame.f_locals[name]
        frame = frame.f_back
    return None


def with_context(state, data):
    selector = state.get("ResultSelector")
    if not selector:
        return selected(state, data)
    return states._resolve_params_obj(selector, data, caller("ctx"))


def service(resource):
    """`arn:aws:states:::states:startExecution.sync:2` as an event names it."""
    kind, _, what = resource.split(":::")[-1].partition(":")
    return {"resourceType": kind, "resource": what}


def told(execution, kind, details=None):
    of_task = (details or {}).get(kind[0].lower() + kind[1:] + "EventDetails", {})
    resource = of_task.get("resource", "")
    if not resource.startswith("arn:aws:states:::"):
        return noted(execution, kind, details)
    of_task.update(service(resource))
    if kind != "TaskScheduled":
        return noted(execution, kind, details)
    given = caller("effective") or {}
    of_task.update(region=states.get_region(), parameters=json.dumps(given))
    event = noted(execution, kind, details)
    if of_task["resourceType"] == "states":
        machine = states._resolve_state_machine_arn(given["StateMachineArn"]) or given["StateMachineArn"]
        arn = machine.replace(":stateMachine:", ":execution:") + ":" + given["Name"]
        submitted = service(resource) | {"output": json.dumps({"ExecutionArn": arn})}
        noted(execution, "TaskSubmitted", {"taskSubmittedEventDetails": submitted})
    return event


mapped = states._run_map_items


def at_once(state, data, execution, ctx):
    path = state.get("MaxConcurrencyPath")
    if path:
        number = states._resolve_path_or_ctx(path, states._apply_input_path(state, data, ctx), ctx)
        state = state | {"MaxConcurrency": number}
    return mapped(state, data, execution, ctx)


states._run_map_items = at_once
states._nested_start_execution_request = of_the_machine
states._apply_result_selector = with_context
states._add_event = told

from ministack.app import main

main()
