//! A heartbeat has to be shorter than the timeout; a Task without a timeout can wait for ever.

use super::findings::Findings;
use super::outline::Outline;
use crate::json::Node;

pub(super) const HEARTBEAT: &str = "ASL043";
pub(super) const ENDLESS: &str = "ASL060";
pub(super) const CODES: &[(&str, &str)] = &[
    (HEARTBEAT, "HeartbeatSeconds is not smaller than TimeoutSeconds"),
    (ENDLESS, "a Task without TimeoutSeconds can wait for ever"),
];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for (_, state) in outline.states() {
        if state.kind() != "Task" {
            continue;
        }
        let heartbeat = state.node.get("HeartbeatSeconds");
        let timeout = state.node.get("TimeoutSeconds");
        if let (Some(node), Some(heartbeat), Some(timeout)) =
            (heartbeat, heartbeat.and_then(Node::number), timeout.and_then(Node::number))
            && heartbeat >= timeout
        {
            let message =
                format!("HeartbeatSeconds ({heartbeat}) has to be smaller than TimeoutSeconds ({timeout})");
            findings.error(HEARTBEAT, node, &state.field("HeartbeatSeconds"), message, None);
        }
        if timeout.is_none() && state.node.get("TimeoutSecondsPath").is_none() {
            let message = format!("the task {:?} has no TimeoutSeconds: it can wait for ever", state.name);
            let hint = Some("set TimeoutSeconds".to_owned());
            findings.warning(ENDLESS, state.node, &state.pointer, message, hint);
        }
    }
}
