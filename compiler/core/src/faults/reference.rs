//! The reference of fault files for people, `docs/faults.md`, from the same tables as the reader.

use super::actions::{ACTIONS, Entry, Kind, Presence};
use super::coordinates::{ATTEMPT, BATCH, EPOCH, OWNER, PEER, ROUND};
use super::expect::KEYS;
use super::places;
use std::fmt::Write;
use stepgrad_contract::Function;
use stepgrad_contract::faults::{ObjectKind, Where};

const ON_AWS: &str = "
## On AWS

`stepgrad rerun RUN --faults FILE --on aws` repeats a run with what is deployed there, wherever the run itself was. The drawn plan
travels as the object `objects/faults.json` of the run, which its `training.json` names; each function reads it and brings about what
happens to its process, to objects, to its peer and to what that publishes, and its log tells each firing. The record, the
comparison, the verdict and the exit code are those of a rerun here.

`invocation_error`, `throttle`, `duplicate`, `cold_start` and `kill_engine` happen outside of functions, where AWS calls them: such a
file is refused at its lines (SG109) before anything is started. `stepgrad compile --to fis --faults FILE` writes what AWS Fault
Injection Service can do, which is not part of a rerun. `out_of_memory` meets Lambda's own limit.
";

const HEAD: &str = "# Fault files

`stepgrad rerun RUN --faults FILE` runs a finished training again, with the same seed, and lets things go wrong where the file says.
This page is made from the tables that the command reads files with. `stepgrad init --faults` lists examples.

```yaml
# yaml-language-server: $schema=../specs/faults.schema.json
version: 1
seed: 42                       # where draws start; the run's seed if it is not given
faults:
  - id: lost-ack               # its name in the history and in expect
    at: {function: combine, peer: 2, round: 3, attempt: 0}
    invocation_error: {prevent_execution: false}
  - id: peer-4-dies
    at: {peer: 4, rounds: 5..8}
    outage: {}
  - id: torn
    at: {object: gradient, operation: put, peer: one, attempt: 0}
    start_after: peer-4-dies   # in the rounds after that one's last
    truncate: {bytes: 16}
expect: {status: SUCCEEDED, lost: {4: 5..8}}
```

Coordinates are logical, never counters of calls: a fault fires at the same place in whatever order calls come. At each place the
first match wins, in the file's order; faults that act at different places do not stand in one another's way. Healing is automatic
at the end of a window. Each firing stands in the history with its fault's id. A fault that never fired fails the rerun by name,
unless the run ended in an error before its window.

## Where

What is left out is not asked for; what is there must be there in the call too. A number is given as itself (`3`), as a range with
both ends (`5..8`, `5..`), as a list of those, or as a share that is drawn with the seed: `{percent: 25}`, `{count: 2}`, `one`,
`minority` (fewer than half), `majority` (more than half), `all`. Each key of numbers can be written in the plural.

";

/// The page, Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let functions: Vec<_> = Function::ALL.iter().map(|function| format!("`{function}`")).collect();
    let kinds: Vec<_> = ObjectKind::ALL.iter().map(|kind| format!("`{}`", kind.name())).collect();
    // Writing into a String cannot fail.
    let _ = writeln!(page, "| key of `at` | what |\n|---|---|");
    let _ = writeln!(page, "| `function` | One or a list of {}. |", functions.join(", "));
    for which in [&PEER, &ROUND, &EPOCH, &BATCH, &ATTEMPT] {
        let _ = writeln!(page, "| `{}` | {} |", which.key, which.doc);
    }
    let _ = writeln!(page, "| `operation` | `get` or `put`. |");
    let _ = writeln!(page, "| `object` | One or a list of {}. |", kinds.join(", "));
    let _ = writeln!(page, "| `owner` | {} |", OWNER.doc);
    let _ = writeln!(page, "| `channel` | `object_store`, the only channel there is. |");
    let _ = writeln!(page, "\n`shard` is refused: no topology has shards yet.\n\n## What");
    let places = [
        (Where::Invocation, "On the call of a function, as its caller sees it"),
        (Where::Process, "On the function's process"),
        (Where::Object, "On an object on its way"),
        (Where::Peer, "On a peer"),
        (Where::Gradient, "On what a peer publishes"),
        (Where::Workflow, "On the workflow"),
    ];
    for (place, title) in places {
        let keys: Vec<_> = places::known(place).iter().map(|key| format!("`{key}`")).collect();
        let at =
            if keys.is_empty() { "It has no `at`.".to_owned() } else { format!("At {}.", keys.join(", ")) };
        let _ = writeln!(page, "\n### {title}\n\n{at}\n\n| action | what | fields |\n|---|---|---|");
        for action in ACTIONS.iter().filter(|action| action.acts == place) {
            let _ = writeln!(page, "| `{}` | {} | {} |", action.name, action.doc, fields(action));
        }
    }
    let _ = writeln!(
        page,
        "\n`partition` has no `peer`; `outage`, `leave` and `join` need one, and the last two a `round`."
    );
    page.push_str(ON_AWS);
    let _ = writeln!(page, "\n## What is expected\n\n| key of `expect` | what |\n|---|---|");
    for (key, doc) in KEYS {
        let _ = writeln!(page, "| `{key}` | {doc} |");
    }
    page
}

fn fields(action: &Entry) -> String {
    let each = action.fields.iter().map(|field| {
        let kind = match field.kind {
            Kind::Whole(first, last) => format!("{first} to {last}"),
            Kind::Number(_) => "a number".to_owned(),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Names(names) => names.join(", "),
            Kind::Groups => "lists of peers".to_owned(),
            Kind::Events => "numbers".to_owned(),
        };
        let presence = match field.presence {
            Presence::Required => "required".to_owned(),
            Presence::Optional => "optional".to_owned(),
            Presence::Default(default) => format!("default {}", default.json()),
        };
        format!("`{}` ({kind}; {presence}): {}", field.name, field.doc)
    });
    each.collect::<Vec<_>>().join("<br>")
}
