//! What a fault plan has in store for the calls of functions, as their caller sees them. What happens inside a function
//! is the function's own: it reads the same plan.

use bytes::Bytes;
use std::time::Duration;
use stepgrad_contract::Function;
use stepgrad_contract::faults::{Action, Call, Fault, Fired, Plan, Where};
use stepgrad_engine::faults::{Due, Faults};

/// The plan, and who is told of its firings.
pub(super) struct Strikes<F> {
    plan: Plan,
    fired: F,
}

impl<F: Fn(Fired) + Send + Sync + 'static> Strikes<F> {
    /// `fired` is called when a fault happens, before it does.
    pub(super) fn new(plan: Plan, fired: F) -> Self {
        Self { plan, fired }
    }

    fn of(fault: &Fault) -> Option<Due> {
        Some(match &fault.action {
            Action::InvocationError { prevent_execution, error } => {
                Due::Error { prevent_execution: *prevent_execution, error: error.clone() }
            }
            Action::Throttle { .. } => Due::Throttle,
            Action::Duplicate { after_ms } => Due::Duplicate { after: Duration::from_millis(*after_ms) },
            Action::ColdStart {} => Due::ColdStart,
            // The function waits by itself.
            _ => return None,
        })
    }
}

impl<F: Fn(Fired) + Send + Sync + 'static> Faults for Strikes<F> {
    fn due(&self, function: &str, payload: &Bytes, at_work: usize) -> Option<Due> {
        let call = call(function, payload)?;
        Self::of(self.plan.first_beside(Where::Invocation, &call, at_work)?)
    }

    fn happens(&self, function: &str, payload: &Bytes, at_work: usize) {
        let Some(call) = call(function, payload) else { return };
        if let Some(fault) = self.plan.first_beside(Where::Invocation, &call, at_work) {
            (self.fired)(Fired::in_call(fault, &call, None));
        }
    }
}

fn call(function: &str, payload: &Bytes) -> Option<Call> {
    // A function of a bundle is called by its ARN, which ends with its name.
    let name = function.rsplit(':').next().unwrap_or(function);
    let event = serde_json::from_slice(payload).ok()?;
    Some(Call::of(Function::from_name(name)?, &event))
}

#[cfg(test)]
mod tests {
    use super::Strikes;
    use bytes::Bytes;
    use std::sync::{Arc, Mutex};
    use stepgrad_contract::faults::{Action, Fault, Plan, Set, Target, VERSION};
    use stepgrad_engine::faults::{Due, Faults};

    fn due(action: Action, event: &str, at_work: usize) -> (Option<Due>, usize) {
        let at = Target { peer: Some(Set::of([2])), attempt: Some(Set::of([0])), ..Target::default() };
        let plan = Plan { version: VERSION, seed: 3, faults: vec![Fault { id: "f".to_owned(), at, action }] };
        let fired = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&fired);
        let strikes = Strikes::new(plan, move |_| *counted.lock().unwrap() += 1);
        let name = "arn:aws:lambda:us-east-1:123456789012:function:combine";
        let payload = Bytes::from(event.to_owned());
        let due = strikes.due(name, &payload, at_work);
        assert_eq!(*fired.lock().unwrap(), 0, "it is due, and has not happened");
        if due.is_some() {
            strikes.happens(name, &payload, at_work);
        }
        let fired = *fired.lock().unwrap();
        (due, fired)
    }

    #[test]
    fn what_is_due_is_told_when_it_happens() {
        let event = r#"{"run":"r","round":1,"peer":2,"attempt":0}"#;
        assert_eq!(due(Action::ColdStart {}, event, 0), (Some(Due::ColdStart), 1));
        assert_eq!(due(Action::ColdStart {}, &event.replace(":2", ":3"), 0), (None, 0));
        assert_eq!(due(Action::ColdStart {}, &event.replace("\"attempt\":0", "\"attempt\":1"), 0), (None, 0));
        let above = Action::Throttle { above: Some(2), percent: None };
        assert_eq!(due(above.clone(), event, 1), (None, 0));
        assert_eq!(due(above, event, 2), (Some(Due::Throttle), 1));
        assert_eq!(due(Action::Throttle { above: None, percent: Some(0) }, event, 0), (None, 0));
        assert_eq!(
            due(Action::Throttle { above: None, percent: Some(100) }, event, 0),
            (Some(Due::Throttle), 1)
        );
        assert_eq!(due(Action::InvocationDelay { ms: 1, jitter_ms: 0 }, event, 0), (None, 0));
    }
}
