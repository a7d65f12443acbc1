//! Reading on in histories while a run goes on: what is new of an execution, and which executions it starts and hears of.
//!
//! Sources: Step Functions API Reference, "GetExecutionHistory" (`reverseOrder` lists the newest first; events are numbered from
//! one), "HistoryEvent".

use crate::error::{Error, Kind};
use crate::execution::{EVENTS, Recorded, Runs, child};
use serde_json::Value;
use std::collections::BTreeMap;

/// Events of one answer where some were read before: between two looks there are few, each with all that it carries.
const NEW_EVENTS: i32 = 100;
/// What ends an execution.
const ENDS: [&str; 4] = ["ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"];

impl Runs<'_> {
    /// The events of an execution that came after the one whose id is `than`, in their order. There are none where nobody knows
    /// the execution: its parent may tell of it before it can be asked for.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn newer(&self, arn: &str, than: u64) -> Result<Vec<Recorded>, Error> {
        let most = if than == 0 { EVENTS } else { NEW_EVENTS };
        let (mut newer, mut next) = (Newer { than, events: BTreeMap::new() }, None);
        loop {
            let get = self.session.states.get_execution_history().max_results(most);
            let page = match self.page(arn, get.reverse_order(true).set_next_token(next)).await {
                Err(Error::Api(error)) if error.kind == Kind::Absent => break,
                page => page?,
            };
            next = page.next;
            if !newer.take(page.events) || next.is_none() {
                break;
            }
        }
        let execution = self.name(arn);
        let recorded = |event| Recorded { execution: execution.clone(), event };
        Ok(newer.events.into_values().map(recorded).collect())
    }
}

impl Recorded {
    /// Its number in its execution.
    #[must_use]
    pub fn id(&self) -> u64 {
        id(&self.event)
    }

    /// The ARN of the execution that it says was started.
    #[must_use]
    pub fn child(&self) -> Option<String> {
        child(&self.event)
    }

    /// Whether it says that the execution `arn` has ended, of whose start the event `started` told.
    #[must_use]
    pub fn ends_child(&self, arn: &str, started: u64) -> bool {
        let (details, told) = match self.event["type"].as_str() {
            Some("TaskSucceeded") => ("taskSucceededEventDetails", "output"),
            Some("TaskFailed") => ("taskFailedEventDetails", "cause"),
            Some("TaskTimedOut") => ("taskTimedOutEventDetails", "cause"),
            _ => return false,
        };
        let details = &self.event[details];
        if details["resourceType"] != "states" {
            return false;
        }
        if let Some(before) = self.event["previousEventId"].as_u64().filter(|before| *before > 0) {
            return before == started;
        }
        // A stand-in that does not tell what came before tells which execution it was.
        let told = details[told].as_str().and_then(|told| serde_json::from_str::<Value>(told).ok());
        told.is_some_and(|told| told["ExecutionArn"] == arn)
    }

    /// Whether its execution has ended with it.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.event["type"].as_str().is_some_and(|kind| ENDS.contains(&kind))
    }
}

/// What is put together of pages.
struct Newer {
    /// The newest event that was read before.
    than: u64,
    /// By their ids: a page can repeat the last ones of the page before, where new ones came in between.
    events: BTreeMap<u64, Value>,
}

impl Newer {
    /// Takes a page; says whether those behind it may have what is missing. Not every stand-in gives the newest first: behind a
    /// page that begins with the oldest, all may be new.
    fn take(&mut self, page: Vec<Value>) -> bool {
        let end = |event: Option<&Value>| event.map(id);
        let (first, last) = (end(page.first()), end(page.last()));
        let reached = first > last && last <= Some(self.than.saturating_add(1));
        let new = page.into_iter().map(|event| (id(&event), event)).filter(|(id, _)| *id > self.than);
        self.events.extend(new);
        !reached
    }
}

fn id(event: &Value) -> u64 {
    event["id"].as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Newer, Recorded};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// Reads pages of `size` until one says that it is enough; gives the ids of what is new, and how many pages it took.
    fn read(all: &[u64], size: usize, than: u64) -> (Vec<u64>, usize) {
        let (mut newer, mut pages) = (Newer { than, events: BTreeMap::new() }, 0);
        for page in all.chunks(size) {
            pages += 1;
            if !newer.take(page.iter().map(|id| json!({"id": id})).collect()) {
                break;
            }
        }
        (newer.events.into_keys().collect(), pages)
    }

    #[test]
    fn pages_are_read_until_an_event_that_was_seen() {
        let newest_first: Vec<u64> = (1..=10).rev().collect();
        assert_eq!(read(&newest_first, 3, 0), ((1..=10).collect(), 4));
        assert_eq!(read(&newest_first, 3, 9), (vec![10], 1));
        assert_eq!(read(&newest_first, 3, 10), (vec![], 1));
        assert_eq!(read(&newest_first, 3, 7), (vec![8, 9, 10], 1), "8 is the last that is missing");
        assert_eq!(read(&newest_first, 3, 6), (vec![7, 8, 9, 10], 2));
        // What came meanwhile moves the pages.
        assert_eq!(read(&[10, 9, 8, 9, 8, 7, 6, 5], 3, 5), (vec![6, 7, 8, 9, 10], 3));
    }

    #[test]
    fn where_the_oldest_come_first_all_pages_are_read() {
        let oldest_first: Vec<u64> = (1..=10).collect();
        assert_eq!(read(&oldest_first, 3, 0), ((1..=10).collect(), 4));
        assert_eq!(read(&oldest_first, 3, 9), (vec![10], 4));
        assert_eq!(read(&oldest_first, 1, 9), (vec![10], 10), "one event has no order");
        assert_eq!(read(&[], 3, 9), (vec![], 0));
    }

    #[test]
    fn the_end_of_a_child_is_known_by_what_came_before_it_or_by_its_name() {
        let of = |event: Value| Recorded { execution: "train:r".to_owned(), event };
        let ended = |before: Option<u64>, told: &Value| {
            of(json!({"id": 9, "previousEventId": before, "type": "TaskSucceeded",
                "taskSucceededEventDetails": {"resourceType": "states", "output": told.to_string()}}))
        };
        let one = json!({"ExecutionArn": "one"});
        assert!(ended(Some(4), &json!({})).ends_child("one", 4));
        assert!(!ended(Some(4), &one).ends_child("one", 5));
        assert!(ended(None, &one).ends_child("one", 4));
        assert!(!ended(None, &one).ends_child("other", 4));
        let failed = of(json!({"id": 9, "previousEventId": 4, "type": "TaskTimedOut",
            "taskTimedOutEventDetails": {"resourceType": "states"}}));
        assert!(failed.ends_child("one", 4) && !failed.is_end());
        let call = of(json!({"id": 9, "previousEventId": 4, "type": "TaskFailed",
            "taskFailedEventDetails": {"resourceType": "lambda"}}));
        assert!(!call.ends_child("one", 4));
        assert!(of(json!({"id": 9, "type": "ExecutionAborted"})).is_end());
    }
}
