//! What a deployment and its runs need of the quotas of an account, which differ from account to account.
//!
//! Limits that are the same for every account (25,000 events, 40 iterations, 256 KiB) are figures of [`super::Bounds`]; these
//! are those that Service Quotas lists. Names as there (AWS General Reference, "AWS Lambda endpoints and quotas", "AWS Step
//! Functions endpoints and quotas"); quotas are found by the words of their names, and their codes are those that the account
//! gives. Not compared: roles and buckets of an account, of which it needs to be known how many there are already.

use crate::bound::Bounds;
use crate::bundle::Bundle;
use serde::Serialize;

/// What happens where a quota is lower than what is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Short {
    /// It cannot be made, or never runs.
    Fails,
    /// It waits or is tried again, and may fail for having been tried too often.
    Slows,
}

/// What is needed of one quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// The service's code in Service Quotas.
    pub service: &'static str,
    /// The quota's name there.
    pub name: &'static str,
    /// Words that the name of the quota has at the least; the shortest such name is meant.
    #[serde(skip)]
    pub words: &'static [&'static str],
    /// What is needed.
    pub need: u64,
    /// Of what: empty, or MB.
    pub unit: &'static str,
    /// What for.
    pub because: String,
    /// What happens where there is less.
    pub short: Short,
}

/// What the account's quotas have to hold; `code_bytes` of packages, all functions together.
#[must_use]
pub fn needs(bounds: &Bounds, bundle: &Bundle, code_bytes: u64) -> Vec<Need> {
    let (at_once, max_concurrency) = (bounds.at_once, bundle.index.max_concurrency);
    let children = bounds.carried.map_or(0, |choice| at_once.children(choice));
    let functions = &bundle.index.functions;
    let largest = functions.iter().max_by_key(|entry| entry.memory_mb);
    let mut all = vec![
        Need {
            service: "lambda",
            name: "Concurrent executions",
            words: &["concurrent executions"],
            need: at_once.calls(),
            unit: "",
            because: format!(
                "calls at once, within functions.max_concurrency ({max_concurrency}); those beyond the account's are throttled and made again, six times at the most",
            ),
            short: Short::Slows,
        },
        Need {
            service: "lambda",
            name: "Function and layer storage",
            words: &["function", "layer", "storage"],
            need: code_bytes.div_ceil(1 << 20),
            unit: "MB",
            because: "the packages of one version of every function; earlier versions and other functions come on top".to_owned(),
            short: Short::Fails,
        },
        Need {
            service: "states",
            name: "Registered state machines",
            words: &["registered state machines"],
            need: bundle.machines.len() as u64,
            unit: "",
            because: "beside those of others".to_owned(),
            short: Short::Fails,
        },
        Need {
            service: "states",
            name: "Open executions",
            words: &["open executions"],
            // `train`, its `segment` and that one's `round`.
            need: 3 + children,
            unit: "",
            because: "of one run".to_owned(),
            short: Short::Slows,
        },
        Need {
            service: "states",
            name: "StateTransition throttle token bucket size",
            words: &["statetransition", "bucket"],
            need: at_once.calls(),
            unit: "",
            because: "iterations that begin at once; transitions beyond it are delayed".to_owned(),
            short: Short::Slows,
        },
        Need {
            service: "states",
            name: "StartExecution throttle token bucket size",
            words: &["startexecution", "bucket"],
            need: children.max(1),
            unit: "",
            because: "executions that a round starts at once; those beyond it are started again, six times at the most".to_owned(),
            short: Short::Slows,
        },
    ];
    if let Some(largest) = largest {
        let need = Need {
            service: "lambda",
            name: "Function memory maximum",
            words: &["function memory"],
            need: u64::from(largest.memory_mb),
            unit: "MB",
            because: format!("functions.{}.memory_mb", largest.handler),
            short: Short::Fails,
        };
        all.insert(1, need);
    }
    all
}
