//! `docs/localstack.md`: what is compared with LocalStack, and in what it differs.

use crate::differences::KNOWN;
use std::fmt::Write as _;

#[test]
fn the_page_is_what_the_table_gives() {
    let path = stepgrad_tests::root().join("docs/localstack.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/localstack.md is out of date: UPDATE_DOCS=1 cargo test -p stepgrad-tests --test localstack"
    );
}

fn page() -> String {
    let mut page = String::from(
        "# Beside LocalStack\n\n\
         LocalStack 4.9.2 has an interpreter of Step Functions that is not of this project. A test runs every spec under \
         `specs/`, with fewer epochs, on both: first by `stepgrad run`, then the compiled bundle on LocalStack, with the same \
         run id and the same functions, which the function host offers as Lambda's Invoke (LocalStack's own Lambda needs \
         Docker, so its client is pointed there). Added are a training that diverges, so that the ways of an error are \
         compared, and one whose batches are carried by child executions of their own; and repetitions of \
         `examples/digits-small.yaml` with three of `examples/faults/`: `exits`, in which functions end in the middle of a call \
         and are called again, `peer-outage`, in which a peer is excluded and comes back, and `quorum-lost`, which fails.\n\n\
         Status, output and the bytes of the final weights have to be the same, and so have the names of all executions and \
         their histories, event by event: type, order within a branch, and all details, payloads with them. JSON in texts is \
         compared by value. Not compared are the times and ids of events, the ids of requests, and what is a matter of chance \
         where iterations of a Map run at the same time: which one ended last (a Map's last events are linked to the end of \
         that one), and which one's place another took (LocalStack's workers take the next iteration as soon as they are \
         free, below MaxConcurrency too, and it is then linked to the end of the one before).\n\n\
         No compiled machine has a distributed Map (child executions carry what does not fit into an inline one), so nothing \
         of a spec is left out for what LocalStack lacks there, ItemBatcher and JSONL.\n\n\
         A repetition with faults takes its plan along as an object, so what happens inside functions, to processes, objects, peers \
         and gradients, happens on LocalStack as here. What the caller of a function does (`invocation_error`, `throttle`, \
         `duplicate`, `cold_start`) and `kill_engine` is done by this project's engine and is not there. Of executions in which an iteration of a Map \
         fails by a fault only the outcome is compared: which one was the first, and how far the others had come that were \
         aborted for it, is a matter of chance.\n\n\
         This page is written by a test, which fails when anything differs that is not listed here, and when something is \
         listed that does not (`UPDATE_DOCS=1 cargo test -p stepgrad-tests --test localstack`); do not edit it.\n\n\
         ## What differs, and why\n\n\
         | events | details | here | LocalStack | why |\n|---|---|---|---|---|\n",
    );
    for known in KNOWN {
        let [events, fields] = [known.events, known.fields]
            .map(|names| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
        writeln!(page, "| {events} | {fields} | {} | {} | {} |", known.ours, known.theirs, known.reason)
            .unwrap();
    }
    page
}
