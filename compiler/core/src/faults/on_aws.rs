//! Which faults can be brought about on AWS: those that the functions bring about themselves, for they carry the plan with
//! them. What happens to a call on its way, or to the engine, is up to AWS there.

use super::{Act, Entry, FaultFile};
use crate::diagnostic::{Code, Diagnostic};
use stepgrad_contract::faults::Action;

/// The faults of a file that nobody can bring about on AWS, each at its place in the file.
#[must_use]
pub fn refused_on_aws(file: &FaultFile) -> Vec<Diagnostic> {
    let mut findings: Vec<Diagnostic> = file.faults.iter().filter_map(refused).collect();
    findings.sort_by_key(Diagnostic::order);
    findings
}

fn refused(entry: &Entry) -> Option<Diagnostic> {
    let (why, hint) = match &entry.act.value {
        Act::KillEngine(_) => {
            ("the engine is AWS's own there", "leave --on aws out: the rerun is then done on this computer")
        }
        Act::Fixed(Action::InvocationError { .. }) => (
            "Step Functions makes the call, and sees what Lambda answers",
            "`stepgrad compile SPEC --to fis --faults FILE` writes what AWS FIS can do of it, for a share of all calls; \
             in a rerun, `kill: {when: before}` loses a call and `kill: {when: after}` an answer",
        ),
        Act::Fixed(Action::Throttle { .. }) => (
            "Lambda itself refuses calls there, by the account's concurrency",
            "no action of AWS FIS does it either; `kill: {when: before}` loses a call",
        ),
        Act::Fixed(Action::Duplicate { .. }) => (
            "Step Functions makes the call, once",
            "no action of AWS FIS does it either; `kill: {when: after}` has the same work done twice",
        ),
        Act::Fixed(Action::ColdStart {}) => (
            "Lambda decides there when a process is started",
            "no action of AWS FIS does it either; after a `kill` the next call gets a new process",
        ),
        Act::Fixed(_) => return None,
    };
    let message = format!("`{}` cannot be brought about on AWS: {why}", entry.id.value);
    let found = Diagnostic::error(Code::FaultNotOnAws, message);
    Some(
        found
            .at(&entry.act.place(), format!("`{}` acts outside of functions", entry.act.value.name()))
            .hint(hint),
    )
}

#[cfg(test)]
mod tests {
    use super::refused_on_aws;
    use crate::diagnostic::{Code, Source};
    use crate::faults::parse;

    fn found(text: &str) -> Vec<(Code, Option<usize>)> {
        let source = Source { name: "f.yaml", text };
        let (file, _) = parse(&source).unwrap();
        let json = crate::diagnostic::to_json(&refused_on_aws(&file), &source);
        let line = |finding: &serde_json::Value| finding["line"].as_u64().map(|line| line as usize);
        refused_on_aws(&file)
            .iter()
            .map(|finding| finding.code)
            .zip(json.as_array().unwrap().iter().map(line))
            .collect()
    }

    #[test]
    fn what_happens_outside_of_functions_is_refused_at_its_line_and_nothing_else() {
        let text = "version: 1\nfaults:\n\
            \x20 - {id: a, kill_engine: {event: 3}}\n\
            \x20 - {id: b, at: {function: combine}, invocation_error: {}}\n\
            \x20 - {id: c, at: {function: combine}, throttle: {}}\n\
            \x20 - {id: d, at: {function: combine}, duplicate: {}}\n\
            \x20 - {id: e, at: {function: combine}, cold_start: {}}\n\
            \x20 - {id: f, at: {function: combine}, invocation_delay: {ms: 1}}\n\
            \x20 - {id: g, at: {function: combine}, out_of_memory: {}}\n\
            \x20 - {id: h, at: {peer: 2, rounds: 2..3}, outage: {}}\n\
            \x20 - {id: i, at: {peer: 2}, sign_flip: {}}\n\
            \x20 - {id: j, at: {object: gradient}, bit_flip: {}}\n";
        let expected: Vec<_> = (3..=7).map(|line| (Code::FaultNotOnAws, Some(line))).collect();
        assert_eq!(found(text), expected);
    }

    #[test]
    fn the_example_of_the_page_gives_its_code_and_the_mended_one_none() {
        let examples = Code::FaultNotOnAws.examples();
        assert_eq!(found(examples[0].text), [(Code::FaultNotOnAws, Some(5))]);
        assert_eq!(found(examples[1].text), []);
    }
}
