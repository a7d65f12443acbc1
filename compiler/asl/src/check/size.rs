//! AWS takes definitions of up to 1 MB (AWS: "Step Functions service quotas").

use super::findings::Findings;
use super::outline::Outline;

pub(super) const TOO_LARGE: &str = "ASL003";
pub(super) const CODES: &[(&str, &str)] = &[(TOO_LARGE, "the definition is larger than 1 MB")];

/// The quota.
pub(super) const MAX_BYTES: usize = 1_048_576;

pub(super) fn message(bytes: usize) -> String {
    format!("the definition has {bytes} bytes, more than the {MAX_BYTES} that Step Functions takes")
}

/// The reading stops at this limit already; here for the list's sake and for texts that grew since.
pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    if outline.text.len() > MAX_BYTES {
        findings.error(TOO_LARGE, outline.root, "", message(outline.text.len()), None);
    }
}
