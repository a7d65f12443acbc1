//! Fields of which there may be one at the most, or has to be exactly one.

use super::findings::Findings;
use super::outline::{Outline, State};

pub(super) const TOGETHER: &str = "ASL014";
pub(super) const NONE: &str = "ASL015";
pub(super) const CODES: &[(&str, &str)] =
    &[(TOGETHER, "two fields that cannot stand together"), (NONE, "one of several fields has to be here")];

/// For these types of states, of these fields there is one at the most; exactly one, where the flag is set.
const GROUPS: &[(&[&str], &[&str], bool)] = &[
    (&["Pass", "Task", "Wait", "Parallel", "Map"], &["Next", "End"], true),
    (&["Wait"], &["Seconds", "SecondsPath", "Timestamp", "TimestampPath"], true),
    (&["Task"], &["TimeoutSeconds", "TimeoutSecondsPath"], false),
    (&["Task"], &["HeartbeatSeconds", "HeartbeatSecondsPath"], false),
    (&["Fail"], &["Error", "ErrorPath"], false),
    (&["Fail"], &["Cause", "CausePath"], false),
    (&["Map"], &["ItemProcessor", "Iterator"], true),
    (&["Map"], &["Parameters", "ItemSelector"], false),
    (&["Map"], &["MaxConcurrency", "MaxConcurrencyPath"], false),
    (&["Map"], &["ToleratedFailureCount", "ToleratedFailureCountPath"], false),
    (&["Map"], &["ToleratedFailurePercentage", "ToleratedFailurePercentagePath"], false),
    (&["Map/ItemBatcher"], &["MaxItemsPerBatch", "MaxItemsPerBatchPath"], false),
    (&["Map/ItemBatcher"], &["MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"], false),
];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for (_, state) in outline.states() {
        for (kinds, fields, required) in GROUPS {
            if kinds.contains(&state.kind()) {
                group(state, None, fields, *required, findings);
            }
            for kind in *kinds {
                if let Some((kind, inner)) = kind.split_once('/')
                    && kind == state.kind()
                {
                    group(state, Some(inner), fields, *required, findings);
                }
            }
        }
    }
}

fn group(
    state: &State<'_>,
    inner: Option<&str>,
    fields: &[&str],
    required: bool,
    findings: &mut Findings<'_>,
) {
    let (node, pointer) = match inner {
        None => (state.node, state.pointer.clone()),
        Some(inner) => match state.node.get(inner) {
            Some(node) => (node, state.field(inner)),
            None => return,
        },
    };
    let present: Vec<_> = fields
        .iter()
        .filter_map(|field| node.member(field))
        // `End: false` says nothing.
        .filter(|member| member.key != "End" || member.value.boolean() != Some(false))
        .collect();
    if let [first, second, ..] = &present[..] {
        let message = format!("{} and {} cannot stand together", first.key, second.key);
        let pointer = crate::diagnostic::pointer_push(&pointer, &second.key);
        findings.at(TOGETHER, crate::Severity::Error, second.key_span, &pointer, message, None);
    } else if present.is_empty() && required {
        findings.error(NONE, node, &pointer, format!("one of {} has to be here", fields.join(", ")), None);
    }
}
