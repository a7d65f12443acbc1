//! The firing of a fault: a line of JSON in a function's log, and a record of the run's history.

use super::{Action, Call, Fault};
use serde::{Deserialize, Serialize};

/// One firing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The fault's name in the file.
    pub fault: String,
    /// What it did, e.g. `kill`.
    pub action: String,
    /// The function, where it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<u32>,
    /// The round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// The batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The object, where it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl Fired {
    /// The firing of `fault` in `call`.
    #[must_use]
    pub fn in_call(fault: &Fault, call: &Call, object: Option<&str>) -> Self {
        Self {
            fault: fault.id.clone(),
            action: fault.action.name().to_owned(),
            function: Some(call.function.name().to_owned()),
            peer: call.peer,
            round: call.round,
            batch: call.batch,
            attempt: Some(call.attempt),
            object: object.map(str::to_owned),
        }
    }

    /// The firing of a fault of the workflow.
    #[must_use]
    pub fn of_workflow(id: &str, action: &Action) -> Self {
        Self {
            fault: id.to_owned(),
            action: action.name().to_owned(),
            function: None,
            peer: None,
            round: None,
            batch: None,
            attempt: None,
            object: None,
        }
    }

    /// The firing of a line of a log, if it is one; cheap for those that are not.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        Firing::from_line(line).map(|line| line.fired)
    }
}

/// A firing as a line of JSON in a function's log. A function serves many runs, and its log does not tell them apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// `fault`; other lines of a log have other kinds, or are no JSON.
    kind: Kind,
    /// The run; empty in lines of a version that did not write it.
    #[serde(default)]
    pub run: String,
    /// When, in milliseconds since 1970; 0 likewise.
    #[serde(default)]
    pub time: u64,
    /// What fired.
    pub fired: Fired,
}

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The firing of a fault.
    Fault,
}

impl Firing {
    /// The firing of a fault in `run` at `time`, in milliseconds since 1970.
    #[must_use]
    pub fn new(run: &str, time: u64, fired: Fired) -> Self {
        Self { kind: Kind::Fault, run: run.to_owned(), time, fired }
    }

    /// The line, without a line feed.
    #[must_use]
    pub fn line(&self) -> String {
        // Text for keys and no number that JSON lacks.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The line of a log, if it is one; cheap for those that are not.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let line = line.trim();
        if !line.starts_with('{') || !line.contains("\"fired\"") {
            return None;
        }
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fired, Firing};
    use crate::Function;
    use crate::faults::{Action, Call, Fault, Target};

    #[test]
    fn a_firing_comes_back_from_the_log() {
        let fault = Fault { id: "x".to_owned(), at: Target::default(), action: Action::Drop {} };
        let call =
            Call { function: Function::Gradient, peer: Some(1), round: Some(2), batch: Some(3), attempt: 0 };
        let fired = Fired::in_call(&fault, &call, Some("r/objects/x"));
        let line = Firing::new("r", 7, fired.clone());
        assert_eq!(Firing::from_line(&format!("{}\n", line.line())), Some(line.clone()));
        assert_eq!(Fired::from_line(&line.line()), Some(fired.clone()));
        let old = serde_json::json!({"kind": "fault", "fired": fired}).to_string();
        assert_eq!(Firing::from_line(&old).map(|line| (line.run, line.time)), Some((String::new(), 0)));
        assert_eq!(Fired::from_line(&line.line().replace("\"fault\"", "\"call\"")), None);
        assert_eq!(Fired::from_line(r#"{"kind":"call","function":"gradient"}"#), None);
        assert_eq!(Fired::from_line("fired"), None);
    }
}
