//! ErrorEquals: not empty; States.ALL alone and last; no unknown name with the reserved prefix `States.`.

use super::findings::{Findings, did_you_mean};
use super::outline::Outline;
use crate::json::Node;

pub(super) const EMPTY: &str = "ASL040";
pub(super) const ALL_NOT_LAST: &str = "ASL041";
pub(super) const UNKNOWN: &str = "ASL042";
pub(super) const CODES: &[(&str, &str)] = &[
    (EMPTY, "ErrorEquals without an error"),
    (ALL_NOT_LAST, "States.ALL has to stand alone, in the last retrier or catcher"),
    (UNKNOWN, "an error name with the reserved prefix States. that does not exist"),
];

/// AWS: "Handling errors in Step Functions workflows".
const RESERVED: &[&str] = &[
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.Http.StatusCode",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for (_, state) in outline.states() {
        for list in ["Retry", "Catch"] {
            let count = state.items(list).count();
            for (index, (pointer, item)) in state.items(list).enumerate() {
                let Some(node) = item.get("ErrorEquals") else { continue };
                let Some(names) = node.items() else { continue };
                let pointer = format!("{pointer}/ErrorEquals");
                if names.is_empty() {
                    findings.error(EMPTY, node, &pointer, "ErrorEquals has to name an error", None);
                }
                for (place, name) in names.iter().enumerate() {
                    let Some(text) = name.text() else { continue };
                    let pointer = format!("{pointer}/{place}");
                    if text == "States.ALL" && (names.len() > 1 || index + 1 < count) {
                        let message = format!("States.ALL has to stand alone, in the last element of {list}");
                        findings.error(ALL_NOT_LAST, name, &pointer, message, None);
                    } else {
                        reserved(name, &pointer, text, findings);
                    }
                }
            }
        }
    }
}

fn reserved(node: &Node, pointer: &str, name: &str, findings: &mut Findings<'_>) {
    if name.starts_with("States.") && !RESERVED.contains(&name) {
        let hint = did_you_mean(name, RESERVED.iter().copied());
        findings.warning(UNKNOWN, node, pointer, format!("{name:?} is not an error of Step Functions"), hint);
    }
}
