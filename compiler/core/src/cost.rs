//! What a training's calls and transitions cost on AWS, for a spec that gives a budget. How they are added up stands in
//! [`stepgrad_contract::budget`].
//!
//! Prices are list prices of us-east-1 without any discount or free tier, in nano-dollars and rounded up. Sources: "AWS
//! Lambda Pricing" (a GB-second on `x86_64` 0.0000166667 USD and on `arm64` 0.0000133334, a GB-second of ephemeral storage
//! beyond 512 MB 0.0000000309, a million requests 0.20), "AWS Step Functions Pricing" (a thousand state transitions 0.025);
//! AWS Lambda Developer Guide, "Lambda execution environment lifecycle" (10 seconds of initialisation at the most).

use crate::aws::storage_mb;
use crate::bound::history;
use crate::bound::{Bounds, Size, retries_of};
use crate::lower::Machine;
use crate::spec::{Processor, Spec};
use stepgrad_contract::Function;
use stepgrad_contract::budget::{Budget, Load, Rate};
use stepgrad_contract::fanout::Choice;

const GB_SECOND_X86_64: u64 = 16_667;
const GB_SECOND_ARM64: u64 = 13_334;
const STORAGE_GB_SECOND: u64 = 31;
/// MB of `/tmp` that cost nothing.
const STORAGE_FREE_MB: u64 = 512;
const REQUEST: u64 = 200;
const TRANSITION: u64 = 25_000;
/// Seconds that Lambda waits for a function's initialisation, which are billed beside the call's own.
const INITIALISATION_S: u32 = 10;

/// The budget of a spec with what its functions cost; `None` where it has none.
pub(crate) fn budget(spec: &Spec, functions: &[Function], machines: &[Machine]) -> Option<Budget> {
    let limit = spec.budget.as_ref()?.limit();
    let rate = |function: &Function| (*function, rate(spec, *function, machines));
    Some(Budget {
        limit,
        request: REQUEST,
        transition: TRANSITION,
        segment_events: history::of_one("segment", machines),
        train_events: history::of_one("train", machines),
        calls: functions.iter().map(rate).collect(),
    })
}

fn rate(spec: &Spec, function: Function, machines: &[Machine]) -> Rate {
    let settings = spec.functions.of(function);
    let (gb_second, architecture) = match spec.functions.architecture.value {
        Processor::X86 => (GB_SECOND_X86_64, "x86_64"),
        Processor::Arm64 => (GB_SECOND_ARM64, "arm64"),
    };
    let storage = u64::from(storage_mb(function.name(), architecture)).saturating_sub(STORAGE_FREE_MB);
    let of_gb = |mb: u64, price: u64| mb.saturating_mul(price).div_ceil(1_024);
    let retries =
        machines.iter().map(|machine| retries_of(&machine.definition, &function.placeholder())).max();
    let calls =
        if function.hands_over() { spec.functions.hand_over.at_most.value.saturating_add(1) } else { 1 };
    Rate {
        second: of_gb(settings.memory_mb.value.into(), gb_second) + of_gb(storage, STORAGE_GB_SECOND),
        longest_s: settings.timeout_s.value.saturating_add(INITIALISATION_S),
        attempts: retries.unwrap_or(0).saturating_add(1).saturating_mul(calls),
    }
}

/// The first round, as far as the spec tells; where only `prepare` can, with one batch for each peer.
pub(crate) fn first(size: Size, bounds: &Bounds) -> Load {
    let whole = Choice { peers_per_execution: None, batches_per_execution: None };
    Load {
        round: 1,
        opens_segment: true,
        batches: vec![size.batches.unwrap_or(1); size.peers as usize],
        choice: bounds.carried.unwrap_or(whole),
    }
}
