//! Where two histories differ, and the differences that are known, each with its reason: `docs/localstack.md` has them
//! too.

use crate::history::Step;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One difference at one event.
pub(crate) struct Difference {
    place: String,
    kind: String,
    /// The key in the event's details; empty where the event itself differs.
    field: String,
    ours: Option<Value>,
    theirs: Option<Value>,
}

/// A difference that is known.
pub(crate) struct Known {
    /// The types of events that have it, and the key, its last words where it begins with a star.
    pub(crate) events: &'static [&'static str],
    pub(crate) fields: &'static [&'static str],
    /// What stands in each history.
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    holds: fn(Option<&Value>, Option<&Value>) -> bool,
    pub(crate) reason: &'static str,
}

/// What LocalStack says of a Fail state that hands an error of Step Functions' own on.
const PREFIX: &str = "Custom Error Names MUST NOT begin with the prefix 'States.'";

pub(crate) const KNOWN: &[Known] = &[
    Known {
        events: &["TaskSucceeded"],
        fields: &["output.SdkHttpMetadata", "output.SdkResponseMetadata"],
        ours: "the status of the HTTP reply and the id of the request",
        theirs: "nothing",
        holds: |ours, theirs| ours.is_some() && theirs.is_none(),
        reason: "AWS records the metadata of its SDK with the reply of a function; LocalStack leaves it out. No compiled \
                 machine reads it.",
    },
    Known {
        events: &["TaskSucceeded"],
        fields: &["output.RedriveCount", "output.RedriveStatus", "output.RedriveStatusReason"],
        ours: "how often a child execution was redriven and why it cannot be",
        theirs: "nothing",
        holds: |ours, theirs| ours.is_some() && theirs.is_none(),
        reason: "AWS's DescribeExecution has them since redrives exist; LocalStack has no redrive. No compiled machine \
                 reads them.",
    },
    Known {
        events: &["TaskSucceeded", "TaskFailed", "TaskStateExited", "FailStateEntered", "ExecutionFailed"],
        fields: &["*StartDate", "*StopDate"],
        ours: "milliseconds since 1970",
        theirs: "a text",
        holds: |ours, theirs| {
            (ours.and_then(Value::as_str), theirs.and_then(Value::as_str))
                == (Some("(a time, in milliseconds)"), Some("(a time, as text)"))
        },
        reason: "The engine follows published examples of such outputs, which have numbers; the recordings at hand have \
                 the times masked. No compiled machine reads them.",
    },
    Known {
        events: &["ExecutionFailed", "TaskFailed", "TaskStateExited", "FailStateEntered"],
        fields: &["error", "*Error"],
        ours: "`States.TaskFailed`",
        theirs: "`States.Runtime`",
        holds: |ours, theirs| {
            (ours.and_then(Value::as_str), theirs.and_then(Value::as_str))
                == (Some("States.TaskFailed"), Some("States.Runtime"))
        },
        reason: "A Fail state hands on the error of the child execution that failed, by ErrorPath. LocalStack refuses names \
                 that begin with `States.` there, as the specification has it for names of one's own. AWS is taken to \
                 allow them, as its own samples have a Fail state with `States.QuorumMet`; that could not be checked here.",
    },
    Known {
        events: &["ExecutionFailed", "TaskFailed", "TaskStateExited", "FailStateEntered"],
        fields: &["cause", "*Cause"],
        ours: "the cause that the child execution gave",
        theirs: "that such a name is refused",
        holds: |ours, theirs| {
            ours.is_some() && theirs.and_then(Value::as_str).is_some_and(|cause| cause.contains(PREFIX))
        },
        reason: "Follows from the one above.",
    },
];

/// What differs between two histories of one execution.
pub(crate) fn differences(ours: &[Step], theirs: &[Step]) -> Vec<Difference> {
    let [ours, theirs] = [ours, theirs].map(|steps| {
        let placed = steps.iter().map(|step| ((step.branch.as_str(), step.place), step));
        placed.collect::<BTreeMap<_, _>>()
    });
    let mut differences = Vec::new();
    let mut lost = BTreeSet::<&str>::new();
    for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (branch, place) = key;
        // After another event nothing in its branch, or in what it splits into, is where it should be.
        if lost.iter().any(|lost| branch.starts_with(*lost)) {
            continue;
        }
        let (ours, theirs) = (ours.get(key), theirs.get(key));
        let place = format!("{branch}, event {place}");
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours.kind == theirs.kind => {
                let event = Event { place: &place, kind: &ours.kind };
                event.compare("", Some(&ours.details), Some(&theirs.details), &mut differences);
            }
            _ => {
                lost.insert(branch);
                let kind = |step: Option<&&Step>| step.map(|step| Value::from(step.kind.as_str()));
                let (field, kind_of) = (String::new(), "another event".to_owned());
                differences.push(Difference {
                    place,
                    kind: kind_of,
                    field,
                    ours: kind(ours),
                    theirs: kind(theirs),
                });
            }
        }
    }
    differences
}

struct Event<'a> {
    place: &'a str,
    kind: &'a str,
}

impl Event<'_> {
    fn compare(
        &self,
        field: &str,
        ours: Option<&Value>,
        theirs: Option<&Value>,
        differences: &mut Vec<Difference>,
    ) {
        match (ours, theirs) {
            (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
                for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
                    let field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                    self.compare(&field, ours.get(key), theirs.get(key), differences);
                }
            }
            (Some(Value::Array(ours)), Some(Value::Array(theirs))) if ours.len() == theirs.len() => {
                for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                    self.compare(&format!("{field}[{place}]"), Some(ours), Some(theirs), differences);
                }
            }
            _ if ours == theirs => {}
            _ => differences.push(Difference {
                place: self.place.to_owned(),
                kind: self.kind.to_owned(),
                field: field.to_owned(),
                ours: ours.cloned(),
                theirs: theirs.cloned(),
            }),
        }
    }
}

impl Known {
    /// Whether `difference` is this one.
    pub(crate) fn is(&self, difference: &Difference) -> bool {
        self.events.contains(&difference.kind.as_str())
            && self.fields.iter().any(|field| match field.strip_prefix('*') {
                Some(last) => difference.field.ends_with(&format!(".{last}")),
                None => difference.field == *field,
            })
            && (self.holds)(difference.ours.as_ref(), difference.theirs.as_ref())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        let (ours, theirs) = (text(&self.ours), text(&self.theirs));
        write!(formatter, "{}, {} {}: {ours} here, {theirs} there", self.place, self.kind, self.field)
    }
}

#[cfg(test)]
mod tests {
    use super::differences;
    use crate::history::in_order;
    use serde_json::{Value, json};

    fn event(id: u64, before: u64, kind: &str, details: &Value) -> Value {
        json!({"id": id, "previousEventId": before, "type": kind, "someEventDetails": details})
    }

    /// A Map of two iterations, of which the one with index `last` ends last.
    fn map(last: u64) -> Vec<Value> {
        let iteration = |index: u64| json!({"name": "Each", "index": index});
        vec![
            event(1, 0, "ExecutionStarted", &json!({"input": "{\"a\":1}"})),
            event(2, 0, "MapStateEntered", &json!({"name": "Each"})),
            event(3, 2, "MapStateStarted", &json!({"length": 2})),
            event(4, 3, "MapIterationStarted", &iteration(0)),
            event(5, 3, "MapIterationStarted", &iteration(1)),
            event(6, 5 - last, "MapIterationSucceeded", &iteration(1 - last)),
            event(7, 4 + last, "MapIterationSucceeded", &iteration(last)),
            event(8, 7, "MapStateSucceeded", &Value::Null),
            event(9, 7, "MapStateExited", &json!({"name": "Each", "output": "[1, 2]"})),
            event(10, 9, "ExecutionSucceeded", &json!({"output": "[1, 2]"})),
        ]
    }

    fn compared(ours: &[Value], theirs: &[Value]) -> Vec<String> {
        let [ours, theirs] = [ours, theirs].map(|events| in_order("x", events));
        differences(&ours, &theirs).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn which_iteration_ended_first_and_which_took_its_place_is_no_difference() {
        assert_eq!(compared(&map(0), &map(1)), Vec::<String>::new());
        let iteration = |index: u64| json!({"name": "Each", "index": index});
        let mut one_by_one = map(1);
        one_by_one[4] = event(5, 4, "MapIterationSucceeded", &iteration(0));
        one_by_one[5] = event(6, 4, "MapIterationStarted", &iteration(1));
        one_by_one[6] = event(7, 6, "MapIterationSucceeded", &iteration(1));
        assert_eq!(compared(&map(0), &one_by_one), Vec::<String>::new());
    }

    #[test]
    fn another_value_another_event_and_one_too_many_are_told() {
        let mut other = map(0);
        other[0]["someEventDetails"]["input"] = "{ \"a\": 2 }".into();
        assert_eq!(compared(&map(0), &other), ["x, event 0, ExecutionStarted input.a: 1 here, 2 there"]);
        let mut other = map(1);
        other[5]["type"] = "MapIterationFailed".into();
        let told = "x Each[0000], event 1, another event : \"MapIterationSucceeded\" here, \"MapIterationFailed\" there";
        assert_eq!(compared(&map(0), &other), [told]);
        let mut other = map(0);
        other.push(event(11, 10, "ExecutionSucceeded", &Value::Null));
        let told = "x, event 6, another event : nothing here, \"ExecutionSucceeded\" there";
        assert_eq!(compared(&map(0), &other), [told]);
    }

    #[test]
    #[should_panic(expected = "events that no other leads to")]
    fn a_link_to_no_event_is_no_history() {
        let mut torn = map(0);
        torn[9]["previousEventId"] = 77.into();
        in_order("x", &torn);
    }
}
