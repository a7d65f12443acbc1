//! A history in an order that does not depend on what came first of what ran at the same time: along the links of events
//! to those before them, the iterations of a Map by their index and the branches of a Parallel by their first state.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An event where it stands in its execution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The execution and the iterations around the event.
    pub(crate) branch: String,
    /// How many events stand before it in its branch.
    pub(crate) place: usize,
    /// Its type.
    pub(crate) kind: String,
    /// Its details, without their key; texts that are JSON as what they mean.
    pub(crate) details: Value,
}

/// The events of `execution`, in order within each branch.
///
/// # Panics
/// If the links do not hold all of them together.
pub(crate) fn in_order(execution: &str, events: &[Value]) -> Vec<Step> {
    let mut history = History { events: BTreeMap::new(), after: BTreeMap::new(), steps: Vec::new() };
    for event in events {
        let id = event["id"].as_u64().unwrap();
        let before = match event["previousEventId"].as_u64().unwrap() {
            // The first state's, on AWS and in both engines.
            0 if id > 1 => 1,
            before => before,
        };
        history.events.insert(id, event);
        history.after.entry(before).or_default().insert(id);
    }
    let left = history.branch(execution, 1);
    assert!(left.is_empty(), "{execution}: nothing was split where events {left:?} join");
    assert_eq!(history.steps.len(), events.len(), "{execution}: events that no other leads to");
    history.steps
}

struct History<'a> {
    events: BTreeMap<u64, &'a Value>,
    after: BTreeMap<u64, BTreeSet<u64>>,
    steps: Vec<Step>,
}

impl History<'_> {
    /// Follows a branch from its first event to its end. Gives what belongs to the state around it: the events that join
    /// all branches, linked to the end of the one that ended last, and iterations that were started when this one ended.
    fn branch(&mut self, branch: &str, first: u64) -> BTreeSet<u64> {
        let mut line = VecDeque::from([first]);
        let mut left = BTreeSet::new();
        let mut place = 0;
        while let Some(id) = line.pop_front() {
            let event = self.events[&id];
            let kind = kind(event);
            let step =
                Step { branch: branch.to_owned(), place, kind: kind.to_owned(), details: details(event) };
            self.steps.push(step);
            place += 1;
            let mut after = self.after.get(&id).cloned().unwrap_or_default();
            if matches!(kind, "MapStateStarted" | "ParallelStateStarted") {
                while let Some(next) = after.pop_first() {
                    let start = self.events[&next];
                    if joins(start) {
                        line.push_back(next);
                    } else {
                        after.append(&mut self.branch(&format!("{branch} {}", name(start)), next));
                    }
                }
                line.make_contiguous().sort_unstable();
            } else {
                // A state that has succeeded or failed is left: that is its own.
                let decided = joins(event) && !kind.ends_with("Exited");
                let is_outside = |next: &u64| {
                    let next = self.events[next];
                    starts(next) || joins(next) && !(decided && self::kind(next).ends_with("Exited"))
                };
                let (mut outside, next): (BTreeSet<_>, BTreeSet<_>) = after.into_iter().partition(is_outside);
                left.append(&mut outside);
                assert!(next.len() <= 1, "{branch}: {next:?} all follow event {id}");
                line.extend(next);
            }
        }
        left
    }
}

/// Whether an event begins an iteration.
fn starts(event: &Value) -> bool {
    kind(event) == "MapIterationStarted"
}

/// Whether an event comes when all branches of a state have ended, or one failed.
fn joins(event: &Value) -> bool {
    let kind = kind(event);
    let rest = kind.strip_prefix("MapState").or_else(|| kind.strip_prefix("ParallelState"));
    matches!(rest, Some("Succeeded" | "Failed" | "Aborted" | "Exited"))
}

/// Whether an iteration of a Map failed: which one was the first, and how far the others had come that were aborted for it, is a
/// matter of chance.
pub(crate) fn is_raced(events: &[Value]) -> bool {
    events.iter().any(|event| kind(event) == "MapIterationFailed")
}

/// What tells a branch from its siblings by its first event.
fn name(event: &Value) -> String {
    let details = details(event);
    format!(
        "{}[{:04}]",
        details["name"].as_str().unwrap_or_default(),
        details["index"].as_u64().unwrap_or_default()
    )
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap()
}

fn details(event: &Value) -> Value {
    let details = event.as_object().unwrap().iter().find(|(key, _)| key.ends_with("EventDetails"));
    details.map(|(_, details)| read(details)).unwrap_or_default()
}

/// Replaces texts that are JSON by what they mean, so that spaces, escapes and the order of keys are not compared, and
/// what is another in each run by what it is: times, and the ids of requests.
pub(crate) fn read(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with(['{', '[']) => match serde_json::from_str(text) {
            Ok(meant) => read(&meant),
            Err(_) => value.clone(),
        },
        Value::Array(items) => items.iter().map(read).collect(),
        Value::Object(members) => {
            let mut read: serde_json::Map<_, _> =
                members.iter().map(|(key, value)| (key.clone(), read(value))).collect();
            for (key, value) in &mut read {
                match (key.as_str(), &*value) {
                    ("StartDate" | "StopDate", Value::String(_)) => *value = "(a time, as text)".into(),
                    ("StartDate" | "StopDate", Value::Number(_)) => {
                        *value = "(a time, in milliseconds)".into();
                    }
                    ("RequestId", Value::String(_)) => *value = "(an id)".into(),
                    _ => {}
                }
            }
            Value::Object(read)
        }
        Value::String(text) => without_id(text).into(),
        plain => plain.clone(),
    }
}

/// What Lambda says of a function that ended begins with the id of the request.
fn without_id(text: &str) -> String {
    const ID: &str = "RequestId: ";
    let id_of = |rest: &str| rest.split_once(' ').map(|(_, after)| format!("{ID}(an id) {after}"));
    text.strip_prefix(ID).and_then(id_of).unwrap_or_else(|| text.to_owned())
}
