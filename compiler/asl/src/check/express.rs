//! Express machines cannot wait for a job or a callback (AWS: "Choosing workflow type in Step Functions"), nor run a
//! distributed Map.

use super::findings::Findings;
use super::outline::Outline;
use crate::document::MachineType;

pub(super) const NOT_IN_EXPRESS: &str = "ASL045";
pub(super) const CODES: &[(&str, &str)] = &[(NOT_IN_EXPRESS, "what an Express machine cannot do")];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    if outline.machine_type != MachineType::Express {
        return;
    }
    for (_, state) in outline.states() {
        if let Some(node) = state.node.get("Resource")
            && let Some(resource) = node.text()
            && (resource.ends_with(".sync")
                || resource.contains(".sync:")
                || resource.ends_with(".waitForTaskToken"))
        {
            let message = "an Express machine cannot wait for a job or a callback";
            findings.error(NOT_IN_EXPRESS, node, &state.field("Resource"), message, None);
        }
        let mode = state
            .node
            .get("ItemProcessor")
            .or_else(|| state.node.get("Iterator"))
            .and_then(|processor| processor.get("ProcessorConfig"))
            .and_then(|config| config.get("Mode"));
        if let Some(node) = mode
            && node.text() == Some("DISTRIBUTED")
        {
            let message = "an Express machine cannot run a distributed Map";
            findings.error(NOT_IN_EXPRESS, node, &state.field("ItemProcessor"), message, None);
        }
    }
}
